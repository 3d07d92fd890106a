#!/bin/sh
# Names the programs behind `genllava PROGRAM`, a line each: name, tab, the first sentence of its summary. Called by the Makefile.
# $1: the folder with the programs; then their names.
set -eu
bin=$1
shift
for program; do
    summary=$("$bin/$program" --describe | sed -n 's/^summary\t//p')
    [ -n "$summary" ] || { echo "$bin/$program --describe tells no summary" >&2; exit 1; }
    printf '%s\t%s\n' "$program" "${summary%%. *}" | sed 's/\.*$/./'
done
