#!/bin/bash
# configs/genllava.schema.json is what train --print-schema prints, and every run of configs/ names it, so that editors check and complete it.
set -u
build=$1
failed=0
"$build/train" --print-schema | cmp - configs/genllava.schema.json || { echo "schema.sh: make schema writes the file anew" >&2; failed=1; }
n=0
for config in $(grep -l '^  "model":' configs/*.json); do
    n=$((n + 1))
    grep -q '^  "$schema": "genllava.schema.json",$' "$config" || { echo "schema.sh: $config does not name it" >&2; failed=1; }
done
[ $n -ge 4 ] || { echo "schema.sh: only $n runs in configs/" >&2; failed=1; }
exit $failed
