#!/bin/sh
# Names the programs behind `genllava PROGRAM`, a line each: name, tab, the first sentence of its summary. Called by the Makefile.
# $1: the folder with the programs; then their names.
set -eu
bin=$1
shift
for program; do
    "$bin/$program" --describe | awk -F'\t' -v name="$program" '$1 == "summary" {
        sub(/\. .*/, ".", $2)
        print name "\t" $2
    }'
done
