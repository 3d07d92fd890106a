#!/bin/sh
# Installs the Debian packages that are missing, of those named or, without names, of tools/libraries.txt; asks for sudo only when not root.
set -eu
list=${*:-$(sed 's/#.*//; s/|.*//' "$(dirname "$0")/libraries.txt")}
command -v dpkg-query >/dev/null 2>&1 || {
    echo "make deps knows Debian packages only; on this system install the libraries of tools/libraries.txt by hand" >&2
    exit 0
}
missing=""
for p in $list; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
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
    $sudo apt-get update -qq
    $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
}
