#!/bin/sh
# Which programs the tests that match FILTER run, beside test-unit itself, as targets of make: sh tests/needs.sh BUILD FILTER
build=$1 filter=$2
"$build/test-unit" --list "$filter" | sed 's/:.*//' | sort -u | while read -r file; do
    case $file in
    *.sh) sed 's/\$1\/\|"\$build"\//$build\//g' "$file" ;;
    *) grep -l test_build_dir "$file" "${file%.c}_case.c" 2>/dev/null | xargs -r cat "$file" ;;
    esac
done | grep -oE '\$build/[a-z-]+|[a-z-]+-cuda-host|_train\.sh|test_build_dir' | sort -u | while read -r word; do
    name=${word#\$build/}
    case $name in
    refusing-*) for p in train prepare generate evaluate inspect convert curate report; do echo "$build/refusing-$p"; done ;;
    test-cuda-host | train-cuda-host | generate-cuda-host | bench-gpu-cuda-host | model-gpu) echo "$build/$name" ;;
    libnccl-host) echo "$build/$name.so" ;;
    *) echo all ;;
    esac
done | sort -u
