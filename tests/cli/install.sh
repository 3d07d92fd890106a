#!/bin/bash
# What make install puts under a prefix runs from there, in any folder, and make uninstall leaves what was there before and nothing else. The
# Debian package holds the same, and names the packages of the libraries; make dist packs what is committed, always to the same bytes.
set -u
build=$1
failed=0
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
fail() { echo "install.sh: $*" >&2; failed=1; }
root=$tmp/root\ of\ 100%d # what nobody may take for something else
install() { sh tools/install.sh "$1" "$build" "$root" /usr >"$tmp/log" 2>&1 || fail "$1: exit $?: $(cat "$tmp/log")"; }

mkdir -p "$root/usr/share/man/man1" "$tmp/work"
echo old >"$root/usr/share/man/man1/other.1"
(cd "$root" && find . | sort) >"$tmp/before"
install install
genllava=$root/usr/bin/genllava share=$root/usr/share/genllava
config=$share/configs/quickstart.json
for program in $(sed -n 's/^INSTALLED *:= *//p' Makefile); do
    "$genllava" "$program" --help | grep -q "^usage: $program" || fail "$program is not found"
    [ -f "$root/usr/share/man/man1/genllava-$program.1" ] || fail "$program has no manual page"
done
! command -v man >/dev/null || "$genllava" help inspect 2>&1 | grep -qi '^NAME' || fail "help shows no manual page"
# Read-only, as for other users: what a run writes goes to the folder in which it is started.
chmod -R a-w "$share"
cd "$tmp/work" || exit 1
"$genllava" train --config "$config" --set device=cpu --dry-run=quick >"$tmp/log" 2>&1 || fail "dry run: exit $?: $(cat "$tmp/log")"
[ -z "$(ls)" ] || fail "a dry run leaves $(ls)"
"$genllava" train --config "$config" --set device=cpu --set train.batch=4 --steps 1 --quiet >"$tmp/log" 2>&1 || fail "train: exit $?: $(cat "$tmp/log")"
[ -f runs/quickstart/latest/MANIFEST.json ] || fail "no checkpoint in the folder where train was started: $(find . | head)"
cd "$OLDPWD" || exit 1
chmod -R u+w "$share"

# Once more over itself, over one that was cut short before its list was written, and over one of which somebody has removed a folder; then a file of someone else stays, and every other goes.
install install
mv "$share/installed" "$tmp/list"
install install
mv "$tmp/list" "$share/installed"
rm -r "$share/runs/scenes"
echo mine >"$share/configs/mine.json"
install uninstall
printf '%s\n' ./usr/share/genllava ./usr/share/genllava/configs ./usr/share/genllava/configs/mine.json | sort - "$tmp/before" >"$tmp/wanted"
(cd "$root" && find . | sort) | diff - "$tmp/wanted" >"$tmp/log" || fail "uninstall leaves: $(cat "$tmp/log")"
sh tools/install.sh uninstall "$build" "$root" /usr 2>"$tmp/log"
[ $? = 66 ] && grep -q 'nothing is installed under' "$tmp/log" || fail "a second uninstall: $(cat "$tmp/log")"

if command -v dpkg-shlibdeps >/dev/null; then
    deb=$(DPKG_DEB_COMPRESSOR_TYPE=none sh tools/deb.sh "$build" 1.2.3 "$tmp" 2>"$tmp/log") || fail "deb: exit $?: $(cat "$tmp/log")"
    dpkg-deb -x "$deb" "$tmp/unpacked"
    "$tmp/unpacked/usr/bin/genllava" train --help | grep -q '^usage: train' || fail "the package's train does not start"
    ! command -v man >/dev/null || "$tmp/unpacked/usr/bin/genllava" help train 2>&1 | grep -qi '^NAME' || fail "the package shows no manual page"
    depends=$(dpkg-deb -f "$deb" Depends)
    # Libraries that are linked whole into the programs (-l:…a) are no packages of their users.
    for library in libcjson libpng libwebp libsentencepiece libxxhash libgomp libc6; do
        [[ $depends == *$library* ]] || fail "the package does not depend on $library: $depends"
    done
    [[ $depends != *-dev* && $(dpkg-deb -f "$deb" Version) = 1.2.3 ]] || fail "depends on $depends"
fi
mkdir "$tmp/bare"
GIT_DIR=$tmp/bare make -s BUILD="$tmp/dist" dist >"$tmp/log" 2>&1 && fail "make dist packs what is not in a repository: $(cat "$tmp/log")"
if git rev-parse HEAD >/dev/null 2>&1; then
    for n in 1 2; do
        make -s BUILD="$tmp/dist$n" dist >"$tmp/log" 2>&1 || fail "make dist: $(cat "$tmp/log")"
    done
    cmp "$tmp"/dist?/genllava-*.tar.gz || fail "make dist makes different bytes"
    tar tzf "$tmp"/dist1/genllava-*.tar.gz | grep -q '^genllava-[0-9.]*/train/loop.c$' || fail "make dist lacks the sources"
fi
exit $failed
