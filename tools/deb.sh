#!/bin/sh
# Makes a Debian package of what make install puts under /usr. Called by make deb. $1: the folder with the programs; $2: the
# version; $3: where the package goes. What it depends on is read off the programs by dpkg-shlibdeps.
set -eu
bin=$1 version=$2 out=$3
arch=$(dpkg --print-architecture)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date -r Makefile +%s)}
export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/debian/genllava # where dpkg-shlibdeps looks for what is to be packed
mkdir -p "$root/DEBIAN"

ZSH_FOLDER=vendor-completions sh tools/install.sh install "$bin" "$root" /usr
rm "$root/usr/share/genllava/installed" # dpkg keeps its own
gzip -9n "$root"/usr/share/man/man*/*

: >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O debian/genllava/usr/libexec/genllava/* | sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ] || { echo "dpkg-shlibdeps does not say which packages the libraries are of" >&2; exit 1; }

cat >"$root/DEBIAN/control" <<END
Package: genllava
Version: $version
Architecture: $arch
Maintainer: GenLLaVA <genllava@localhost>
Section: science
Priority: optional
Installed-Size: $(du -sk --apparent-size "$root/usr" | cut -f 1)
Depends: $depends
Suggests: bash-completion, man-db, openmpi-bin
Description: visual instruction tuning in C
 Finetunes a language model with a vision tower, so that it answers questions
 about pictures, draws and changes them, by one stage of instruction tuning.
 "genllava --help" lists the programs; the little base models and pictures in
 /usr/share/genllava are there to try them on.
END
(cd "$root" && find usr -type f | LC_ALL=C sort | tr '\n' '\0' | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
chmod 644 "$root"/DEBIAN/*
package=$out/genllava_${version}_$arch.deb
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
echo "$package"
