#!/usr/bin/env bash
# Builds Baton's images with docker, podman or buildah, the first that is installed: images.sh [TARGET...]
#   TARGETs: service, worker-cpu, worker-gpu; default: the first two.
#   ENGINE=docker|podman|buildah   TAG=latest   BASE=image to build on (Debian with Python 3.11 to 3.13)
#   PIP_CONFIG_FILE, PIP_CERT, PIP_INDEX_URL, PIP_EXTRA_INDEX_URL reach pip as secrets and are not stored in an image.
# If buildah's runtime may not create containers here, buildah builds in a chroot. BUILDAH_ISOLATION overrides this.
# Without a reachable registry, buildah builds on a Debian from debootstrap, which needs root.
set -euo pipefail
cd "$(dirname "$0")/.."

SUITE="${SUITE:-bookworm}"
OWN_BASE="localhost/baton-base:$SUITE"
TAG="${TAG:-latest}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

say() { echo "==> $*" >&2; }
stop() { echo "make images: $*" >&2; exit 2; }

find_engine() {
  local name
  for name in ${ENGINE:-docker podman buildah}; do
    if command -v "$name" >/dev/null && "$name" info >/dev/null 2>&1; then echo "$name"; return; fi
  done
  stop "there is no docker, podman or buildah that works here; on Debian: apt install buildah debootstrap"
}

# The base image with its digest, if scripts/pin_images.sh has written one.
default_base() {
  if [ -f deploy/images.env ]; then sed -n 's/^BASE=//p' deploy/images.env; else sed -n 's/^ARG BASE=//p' Dockerfile; fi
}

choose_base() {
  local image
  image="${BASE:-$(default_base)}"
  if [ "$engine" != buildah ] || buildah inspect --type image "$image" >/dev/null 2>&1; then echo "$image"; return; fi
  if buildah pull "$image" >/dev/null 2>"$work/pull"; then echo "$image"; return; fi
  [ -z "${BASE:-}" ] || { cat "$work/pull" >&2; stop "the base image BASE=$BASE cannot be pulled: choose another one"; }
  say "$image cannot be pulled here: building on Debian $SUITE of debootstrap, with its own Python"
  buildah inspect --type image "$OWN_BASE" >/dev/null 2>&1 || make_base >&2
  echo "$OWN_BASE"
}

# Debian's smallest system and its python3: like python:3.12-slim, but with a newer Python.
make_base() {
  command -v debootstrap >/dev/null || stop "debootstrap is missing: apt install debootstrap"
  [ "$(id -u)" = 0 ] || stop "debootstrap needs root"
  local root="$work/root" container
  debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv "$SUITE" "$root" "${MIRROR:-http://deb.debian.org/debian}"
  add_security_updates "$root"
  container="$(buildah from scratch)"
  buildah add --quiet "$container" "$root" / >/dev/null
  buildah commit --quiet "$container" "$OWN_BASE" >/dev/null
  buildah rm "$container" >/dev/null
}

add_security_updates() { # ROOT
  echo "deb ${SECURITY_MIRROR:-http://deb.debian.org/debian-security} $SUITE-security main" >"$1/etc/apt/sources.list.d/security.list"
  chroot "$1" apt-get update
  chroot "$1" env DEBIAN_FRONTEND=noninteractive apt-get upgrade --yes
  rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin "$1"/var/cache/apt/archives/*.deb "$1"/etc/resolv.conf "$1"/etc/hostname
}

# pip's settings for the build: the user's file, or one made from pip's environment variables.
pip_secrets() {
  local certificate="${PIP_CERT:-}"
  if [ -n "${PIP_CONFIG_FILE:-}" ]; then
    cp "$PIP_CONFIG_FILE" "$work/pip.conf"
  else
    { echo "[global]"; setting index-url "${PIP_INDEX_URL:-}"; setting extra-index-url "${PIP_EXTRA_INDEX_URL:-}"
      setting cert "${certificate:+/run/secrets/ca}"; } >"$work/pip.conf"
  fi
  secrets=(--secret "id=pip,src=$work/pip.conf")
  if [ -n "$certificate" ]; then secrets+=(--secret "id=ca,src=$certificate"); fi
}

# An installed runtime (crun, runc) may be forbidden to create containers. A command in the base image shows it.
choose_isolation() {
  [ "$engine" = buildah ] && [ -z "${BUILDAH_ISOLATION:-}" ] || return 0
  local container works=yes
  container="$(buildah from --pull-never "$base")"
  buildah run "$container" true >/dev/null 2>"$work/isolation" || works=no
  buildah rm "$container" >/dev/null
  [ "$works" = no ] || return 0
  export BUILDAH_ISOLATION=chroot
  say "buildah cannot create containers here: building with BUILDAH_ISOLATION=chroot. The message of its runtime:"
  head -n 3 "$work/isolation" >&2
}

setting() { [ -z "$2" ] || echo "$1 = $2"; }

build() { # TARGET
  say "baton-$1:$TAG on $base with $engine"
  local options=(--target "$1" --tag "baton-$1:$TAG" --build-arg "BASE=$base" "${secrets[@]}")
  case "$engine" in
    docker) docker build "${options[@]}" . ;;
    podman) podman build --format docker "${options[@]}" . ;;
    # Docker's format, because OCI's has no health check. Layers are cached, so that unchanged ones are not built again.
    buildah) buildah build --format docker --layers --pull-never "${options[@]}" . ;;
  esac
}

engine="$(find_engine)"
base="$(choose_base)"
choose_isolation
pip_secrets
[ $# -gt 0 ] || set -- service worker-cpu
for target in "$@"; do build "$target"; done
