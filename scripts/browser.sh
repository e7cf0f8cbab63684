#!/bin/sh
# Prints the path of a Chromium or Chrome for tests: the one in BATON_BROWSER, else an installed one, else Debian's
# Chromium, which it installs if possible. Without a browser it prints what to do.
candidates="chromium chromium-browser google-chrome google-chrome-stable microsoft-edge"
mac="/Applications/Google Chrome.app/Contents/MacOS/Google Chrome
/Applications/Chromium.app/Contents/MacOS/Chromium"

find_one() {
  for name in $candidates; do
    found=$(command -v "$name" 2>/dev/null) || continue
    # Ubuntu's chromium-browser may be only a script that asks to install a snap.
    if "$found" --version >/dev/null 2>&1; then echo "$found"; return 0; fi
  done
  echo "$mac" | while read -r path; do if [ -x "$path" ]; then echo "$path"; fi; done | grep -m1 .
}

if [ -n "$BATON_BROWSER" ]; then
  if command -v "$BATON_BROWSER" >/dev/null; then command -v "$BATON_BROWSER"; exit 0; fi
  echo "BATON_BROWSER names $BATON_BROWSER, which is not an executable program." >&2
  exit 2
fi
find_one && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-cache show chromium >/dev/null 2>&1 || {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq >&2; }; then
  echo "installing Debian's chromium for the tests of the dashboard" >&2
  # Another process of the same test run may install it at the same time.
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 chromium >&2
  find_one && exit 0
fi
echo "The tests of the dashboard need Chromium or Chrome. Install one (on Debian: apt install chromium), or set its path:" \
  "BATON_BROWSER=/path/to/chrome; without them: make test ARGS='--ignore tests/browser'" >&2
exit 2
