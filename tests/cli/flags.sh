#!/bin/bash
# Every flag that --help shows is read: the variable that a table of options (kernels/base/cli.h) fills is named once more, outside of that table.
set -u
failed=0 n=0
for file in $(grep -rlE '\{(\.name = )?"--' --include='*.c' train eval tools data/curate); do
    for member in $(grep -E '"--[a-z-]+", *(\.kind = )?CLI_' "$file" | grep -oE '&[a-z]+(->|\.)[a-z_.]+' | sed -E 's/^&[a-z]+(->|\.)//; s/\..*//'); do
        n=$((n + 1))
        grep -hE "[a-z](->|\.)$member\b" "$(dirname "$file")"/*.c | grep -qvE '"--[a-z-]+",' && continue
        echo "$file: nothing reads \"$member\", yet its flag is shown; take it out" >&2
        failed=1
    done
done
[ $n -ge 25 ] || { echo "only $n flags were found" >&2; failed=1; }
exit $failed
