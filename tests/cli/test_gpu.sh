#!/bin/bash
# test-gpu where there is no device: one sentence, exit 69, and no test that looks passed or skipped.
build=$1
program=$build/test-gpu
[ -x "$program" ] || { echo "built without the CUDA toolkit"; exit 77; }
[ ! -e /dev/nvidiactl ] || { echo "this machine has a device: make test-gpu runs the tests"; exit 77; }
err=$("$program" 2>&1 >/dev/null)
code=$?
out=$("$program" 2>/dev/null)
case $err in
"test-gpu: no test was run: no CUDA "*) ;;
*) echo "$0: says: $err" >&2; exit 1 ;;
esac
[ $code -eq 69 ] && [ -z "$out" ] && [ "$(echo "$err" | wc -l)" -eq 1 ] || { echo "$0: exit $code, $out" >&2; exit 1; }
