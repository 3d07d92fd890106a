#!/bin/sh
# Runs test programs one after the other: sh tests/run.sh FILTER PROGRAM… . Exit 1 when a test fails, or when no program has one that matches.
filter=$1
shift
failed=0 matched=0
for program; do
    "$program" $filter
    case $? in
    0) matched=1 ;;
    5) ;; # nothing matches in this one
    69) exit 69 ;; # the device is missing, and it has said so
    *) matched=1 failed=1 ;;
    esac
done
[ "$matched" = 1 ] || echo "no test matches \"$filter\"" >&2
[ "$matched" = 1 ] && [ "$failed" = 0 ]
