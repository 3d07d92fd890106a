#!/bin/bash
# doctor on this machine: what it finds is what train --version and train say, its exit code, and the step on every backend; on emulated CUDA too.
set -u
build=$1
failed=0
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
fail() { echo "doctor.sh: $*" >&2; failed=1; }
# The GPU of this machine, where there is one, is not asked.
export CUDA_VISIBLE_DEVICES=
"$build/doctor" >"$tmp/out" 2>"$tmp/err"
code=$?
[ $code = 0 ] || grep -q '^does not work: ' "$tmp/out" || fail "exit $code: $(cat "$tmp/err")"
"$build/train" --version | tail -n +2 | tr -s ' ' | sort >"$tmp/version"
sed -n '/^libraries$/,/^$/p' "$tmp/out" | grep '^  ' | sed 's/^ *//' | tr -s ' ' | sort | diff - "$tmp/version" >"$tmp/log" ||
    fail "libraries are not those of --version: $(cat "$tmp/log")"
"$build/train" --config configs/quickstart.json --dry-run=quick 2>&1 | grep -oE '^device: .*, computing' | sed 's/^device: //; s/, computing$//' >"$tmp/device"
[ ! -s "$tmp/device" ] || grep -qF "which is               $(cat "$tmp/device")" "$tmp/out" || fail "takes another device than train: $(cat "$tmp/device")"
GENLLAVA_MPI=/nowhere "$build/doctor" >"$tmp/out" 2>"$tmp/err"
[ $? = 69 ] && grep -q '^does not work: GENLLAVA_MPI is "/nowhere"' "$tmp/out" || fail "a library that is not there: $(cat "$tmp/err")"
"$build/doctor" --test --format json >"$tmp/out" 2>"$tmp/err"
[ $? = $code ] || fail "--test: $(cat "$tmp/err")"
[ "$(grep -c '"right": true' "$tmp/out")" -ge 1 ] && ! grep -q '"right": false' "$tmp/out" || fail "--test: $(cat "$tmp/out")"
if [ -x "$build/doctor-cuda-host" ]; then
    env -u CUDA_VISIBLE_DEVICES "$build/doctor-cuda-host" --test >"$tmp/out" 2>"$tmp/err" || fail "emulated CUDA: exit $?: $(cat "$tmp/err")"
    [ "$(grep -cE '^  cuda +(f32|bf16) +right: ' "$tmp/out")" = 2 ] && grep -q '^  auto takes  *cuda$' "$tmp/out" || fail "emulated CUDA: $(cat "$tmp/out")"
fi
[ "$(find "${TMPDIR:-/tmp}" -maxdepth 1 -name "genllava-doctor-*" -newer "$tmp/version" | wc -l)" = 0 ] || fail "its folder stays"
exit $failed
