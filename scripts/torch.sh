#!/bin/sh
# Prints the path of a Python with PyTorch, for tests: that of Debian or Ubuntu with the package python3-torch. If it is
# not installed, this unpacks the package and what it needs into the user's cache (about 500 MB). That needs no root, does
# not change the machine, and takes half the time of an installation.
# Exit status 3: not possible on this machine; it prints why.
cache="${XDG_CACHE_HOME:-$HOME/.cache}/baton-tests"

cannot() { echo "no Debian or Ubuntu with PyTorch for Python 3.11 or newer: $1" >&2; exit 3; }
system=/usr/bin/python3
fits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; }

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || cannot "there is no apt-get"
[ ! -x $system ] || fits $system || cannot "$system is $($system --version)"
if [ -x $system ] && $system -c 'import torch' 2>/dev/null; then echo $system; exit 0; fi

home="$cache/torch-$(. /etc/os-release && echo "$ID-$VERSION_ID")"
if [ -e "$home" ]; then echo "$home/python"; exit 0; fi

# Several test runs may do this at once: each unpacks into its own folder, and the first folder is kept.
mkdir -p "$cache"
new=$(mktemp -d "$cache/torch-new.XXXXXX")
trap 'rm -rf "$new"' EXIT
echo "unpacking python3-torch into $home" >&2

# The lists and archives of this user. Nothing is installed, so no lock is needed.
mkdir -p "$new/lists/partial" "$new/cache/archives/partial" "$new/root"
apt() {
  apt-get -qq -o Acquire::Retries=5 -o "Dir::State::lists=$new/lists" -o "Dir::Cache=$new/cache" -o Debug::NoLocking=true \
    -o APT::Sandbox::User=root "$@" >&2
}
apt update || exit 2
apt-cache -o "Dir::State::lists=$new/lists" -o "Dir::Cache=$new/cache" show python3-torch >/dev/null 2>&1 ||
  cannot "this release has no package python3-torch"
apt install --yes --download-only --no-install-recommends python3-torch || exit 2

export new
find "$new/cache/archives" -name '*.deb' -print0 | xargs -0 -n 8 -P "$(nproc)" sh -c '
  for archive; do dpkg-deb --fsys-tarfile "$archive" | tar -x -C "$new/root" --exclude=./usr/share || exit 255; done' sh || exit 2
rm -rf "$new/lists" "$new/cache"

# Without an installation, no link says which implementation of BLAS and LAPACK is used.
cat >"$new/python" <<'END'
#!/bin/sh
root="${0%/*}/root"
for folder in "$root"/usr/lib/*-linux-gnu*; do
  export LD_LIBRARY_PATH="$folder:$folder/blas:$folder/lapack:$root/usr/lib:$root/lib/${folder##*/}"
done
export PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}$root/usr/lib/python3/dist-packages"
python=/usr/bin/python3
[ -x $python ] || python="$root/usr/bin/python3"
exec "$python" "$@"
END
chmod +x "$new/python"
fits "$new/python" || cannot "its Python is $("$new/python" --version)"
# This also writes the compiled modules.
PYTHONDONTWRITEBYTECODE= "$new/python" -c 'import torch' || exit 2
chmod 755 "$new"
[ -e "$home" ] || mv "$new" "$home"
echo "$home/python"
