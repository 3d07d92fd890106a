#!/bin/sh
# Finds the libraries of tools/libraries.txt by compiling and linking against them, and prints make variables: LIB_CPPFLAGS, LIB_LIBS,
# LIB_SHARED (no archives), LIB_VERSIONS (package=version, for --version), TEST_LIBS (of what is there for "tests only"), and MISSING
# (packages to install). $1: C compiler, $2: C++ compiler.
set -eu
cc=$1 cxx=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cppflags="" libs="" shared="" versions="" test_libs="" missing=""
# shellcheck disable=SC2086 # flags are words
links() { [ -n "$1" ] && $compiler $flags -x "$lang" "$dir/probe.$lang" -x none -o "$dir/probe" $1 2>/dev/null; }
version_of() { dpkg-query -W -f '${Version}' "$1" 2>/dev/null || pkg-config --modversion "$2" 2>/dev/null || echo unknown; }
trim() { echo "$*" | sed 's/^ *//; s/ *$//'; }
while IFS='|' read -r package pkg lang headers link what; do
    package=$(trim "$package") pkg=$(trim "$pkg") lang=$(trim "$lang") link=$(trim "$link")
    case $package in '' | '#'*) continue ;; esac
    [ "$lang" != - ] || continue
    flags=
    first= last=$link
    case $link in *' or '*) first=${link%% or *} last=${link##* or } ;; esac
    if [ "$pkg" != - ] && pkg-config --exists "$pkg" 2>/dev/null; then
        flags=$(pkg-config --cflags "$pkg") last=$(pkg-config --libs "$pkg")
    fi
    {
        for h in $headers; do echo "#include <$h>"; done
        echo 'int main(void) { return 0; }'
    } >"$dir/probe.$lang"
    compiler=$cc
    [ "$lang" = c ] || compiler=$cxx
    link=$first
    links "$first" || link=$last
    if links "$link"; then
        cppflags="$cppflags $flags"
        case $(trim "$what") in
        'tests only'*) test_libs="$test_libs $link" ;;
        *) libs="$libs $link" shared="$shared $last" versions="$versions $package=$(version_of "$package" "$pkg")" ;;
        esac
    else
        missing="$missing $package"
    fi
done <"$(dirname "$0")/libraries.txt"
echo "LIB_CPPFLAGS :=$cppflags"
echo "LIB_LIBS :=$libs"
echo "LIB_SHARED :=$shared"
echo "LIB_VERSIONS :=$versions"
echo "TEST_LIBS :=$test_libs"
echo "MISSING :=$missing"
