#!/bin/sh
# Runs test programs one after the other: sh tests/run.sh FILTER PROGRAM… . What failed tests said last is repeated at the end: in a long
# log it stands far above, where it is easily cut away. The last line counts the tests of all of them. Exit 1 when a test fails, or when
# no program has one that matches.
filter=$1
shift
last=$(mktemp -d) || exit 1
trap 'rm -rf "$last"' EXIT
# Pages of a program that was just linked lie in memory in larger pieces than those of one that was read, and count for more in a process
# that uses it: tests of memory would see half a megabyte come and go. So programs are read anew.
for file in "$(dirname "$1")"/*; do
    [ ! -f "$file" ] || [ ! -x "$file" ] || { sync "$file" && dd if="$file" iflag=nocache count=0; } 2>/dev/null
done
failed=0 matched=0
n=$#
for program; do
    [ $n = 1 ] || echo "== $program"
    { "$program" $filter 2>&1; echo $? >"$last/code"; } | tee "$last/out"
    cat "$last/out" >>"$last/all"
    grep '^[0-9]* passed, ' "$last/out" | tail -n 1 >>"$last/counts" # a sanitizer may speak after it
    case $(cat "$last/code") in
    0) matched=1 ;;
    5) ;; # nothing matches in this one
    69) exit 69 ;; # the device is missing, and it has said so
    *) matched=1 failed=1 ;;
    esac
done
[ "$failed" = 0 ] || awk -v most=40 '
    /^     repeat: / { next }
    /^(ok  |FAIL|skip) / {
        if (/^FAIL/) {
            print said++ ? $0 : "== failed\n" $0
            for (i = n > most ? n - most : 0; i < n; i++)
                print "    " line[i % most]
        }
        n = 0
        next
    }
    { line[n++ % most] = $0 }' "$last/all"
[ $n$failed = 10 ] || awk '/^[0-9]+ passed, / { p += $1; f += $3; s += $5 }
    END { printf "%d passed, %d failed, %d skipped\n", p, f, s }' "$last/counts"
[ "$matched" = 1 ] || echo "no test matches \"$filter\"" >&2
[ "$matched" = 1 ] && [ "$failed" = 0 ]
