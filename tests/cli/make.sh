#!/bin/bash
# The Makefile builds again what was built with other options, and nothing else.
set -u
failed=0
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
unset MAKEFLAGS MAKELEVEL MFLAGS DEBUG SANITIZE WERROR CC
fail() { echo "make.sh: $*" >&2; failed=1; }
object=$tmp/obj/kernels/base/status.o
# builds WANTED OPTIONS...: whether make compiles the object with these options
builds() {
    local wanted=$1 out
    shift
    out=$(make --no-print-directory BUILD="$tmp" CUDA=0 "$@" "$object" 2>&1) || fail "make $*: $out"
    [ "$(grep -c -- ' -c kernels/base/status.c' <<< "$out")" = "$wanted" ] || fail "make $*: compiled $((1 - wanted)) times, wanted $wanted: $out"
}
builds 1
builds 0
builds 1 DEBUG=1
builds 0 DEBUG=1
builds 1 WERROR=1
builds 1 CC='cc -DANOTHER'
exit $failed
