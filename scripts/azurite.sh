#!/bin/sh
# Prints the path of the script that starts Azurite's blob server, for tests of Azure Blob Storage. If this version of
# Azurite is missing, npm installs it into the user's cache. Uses the machine's Node.js and npm; as root on Debian it
# installs them if they are missing. If it cannot, it prints what to do.
version=3.35.0
cache="${XDG_CACHE_HOME:-$HOME/.cache}/baton-tests"
home="$cache/azurite-$version"
main="$home/node_modules/azurite/dist/src/blob/main.js"

if [ -e "$main" ] && command -v node >/dev/null; then echo "$main"; exit 0; fi

if ! { command -v node && command -v npm; } >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing Debian's nodejs and npm for the tests of Azure Blob Storage" >&2
    apt-get update -qq >&2
    # Another process of the same test run may install something at the same time.
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 nodejs npm >&2
  fi
  if ! { command -v node && command -v npm; } >/dev/null; then
    echo "The tests of Azure Blob Storage need Node.js and npm. Install them (on Debian: apt install nodejs npm)." >&2
    exit 2
  fi
fi

# Several processes of a test run may do this at once: each installs into its own folder, and the first folder is kept.
mkdir -p "$cache"
new=$(mktemp -d "$cache/azurite-new.XXXXXX")
echo "installing Azurite $version into $home" >&2
# No install scripts of dependencies: they only build modules for SQL databases and key chains, which are not needed.
if npm install --prefix "$new" --ignore-scripts --no-audit --no-fund --loglevel=error "azurite@$version" >&2; then
  if [ -e "$home" ]; then rm -rf "$new"; else mv "$new" "$home"; fi
else
  rm -rf "$new"
fi
if [ -e "$main" ]; then echo "$main"; exit 0; fi
echo "npm could not install azurite@$version; see above." >&2
exit 2
