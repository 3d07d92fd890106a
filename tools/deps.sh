#!/bin/sh
# Installs the Debian packages that are missing, of those named or, without names, of tools/libraries.txt; asks for sudo only when not root.
# Packages for some tests only, which are skipped without them, come along with others, or with --all.
set -eu
file=$(dirname "$0")/libraries.txt
all=
[ "${1:-}" != --all ] || { all=1; shift; }
extra=
[ $# -gt 0 ] || extra=$(sed -n 's/#.*//; s/ *|.*some tests.*//p' "$file")
list=${*:-$(sed 's/#.*//; /some tests/d; s/|.*//' "$file")}
command -v dpkg-query >/dev/null 2>&1 || {
    echo "make deps knows Debian packages only; on this system install the libraries of tools/libraries.txt by hand" >&2
    exit 0
}
absent() {
    for p; do
        dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || printf ' %s' "$p"
    done
}
# shellcheck disable=SC2086 # words are wanted apart
missing=$(absent $list)
# shellcheck disable=SC2086
[ -z "$all$missing" ] || missing=$missing$(absent $extra)
[ -n "$missing" ] || exit 0
echo "installing:$missing" >&2
if [ "$(id -u)" = 0 ]; then
    sudo=""
elif command -v sudo >/dev/null 2>&1; then
    sudo=sudo
else
    echo "missing packages:$missing; run as root: apt-get install$missing" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # words are wanted apart
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 || {
    $sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
} || {
    echo "apt-get could not install:$missing (its own message stands above); what is needed for what is said in $file" >&2
    exit 1
}
