#!/usr/bin/env bash
# Writes deploy/images.env: every image in Dockerfile and docker-compose.yml, with the current digest of its tag.
#   scripts/pin_images.sh [FILE]      queries the registries with docker, skopeo or crane, the first that is installed
# `make images` uses the BASE in that file. For Compose: `docker compose --env-file .env --env-file deploy/images.env up`.
set -euo pipefail
cd "$(dirname "$0")/.."

file="${1:-deploy/images.env}"
partial="$(mktemp)"
trap 'rm -f "$partial"' EXIT

stop() { echo "pin_images: $*" >&2; exit 2; }

# NAME=image, one per line: the defaults in the two files.
named() {
  sed -n 's/^ARG \(BASE=.*\)/\1/p' Dockerfile
  sed -n 's/^ *image: \${\([A-Z]*_IMAGE\):-\(.*\)}$/\1=\2/p' docker-compose.yml
}

find_tool() {
  local name
  for name in docker skopeo crane; do
    if command -v "$name" >/dev/null; then echo "$name"; return; fi
  done
  stop "docker, skopeo or crane is needed to query a registry: install one of them"
}

digest() { # IMAGE
  case "$tool" in
    docker) docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$1" ;;
    skopeo) skopeo inspect --format '{{.Digest}}' "docker://$1" ;;
    crane) crane digest "$1" ;;
  esac
}

tool="$(find_tool)"
while IFS='=' read -r name image; do
  found="$(digest "$image")" || stop "$tool cannot get the digest of $image"
  [[ "$found" =~ ^sha256:[0-9a-f]{64}$ ]] || stop "$tool printed ${found:0:80} instead of a digest of $image"
  echo "$name=$image@$found" >>"$partial"
  echo "$name=$image@$found"
done < <(named)
mv "$partial" "$file"
chmod 644 "$file"
