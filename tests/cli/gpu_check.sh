#!/bin/bash
# gpu-check: its table and rows say what logs say and no more; its stages run over the emulation, each under its limit, and what is missing of a
# machine is told.
build=$1
failed=0
fail() {
    echo "$0: $*" >&2
    failed=1
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
targets=tools/bench/gpu/targets.txt
report() { awk -f tools/bench/gpu_report.awk "$@"; }

# ---- the table: the last number of a row counts, with the device that it was measured on
cat >"$dir/log" <<'END'
device: Card A; driver for CUDA 13.0; 2026-01-02
G1   17000 tokens/s: step of x: 16384 tokens
G1   18500 tokens/s: step of x: 16384 tokens
G7   70.1 GB: in use on the device
G7b  18.5 GB: in use on the device
G9   0.9 TB/s: of another unit
G10  0.99 of the largest: matmuls
G99  3 tokens/s: of no row
tests 2 failed: 100 passed, 0 skipped
-    12 GB: in no table
G2   not measured
END
cat >"$dir/later" <<'END'
device: host emulation; 2026-01-03; --tiny: no figure below means anything
G6   99999 tokens/s: step of y
device: Card B; driver for CUDA 13.1; 2026-01-04
G11  0.4 %: gaps
END
report $targets "$dir/log" "$dir/later" >"$dir/table"
row() { awk -v id="$1" '$1 == id' "$dir/table" | sed 's/  */ /g'; }
says() { case $(row "$1") in *" $2"*) ;; *) fail "$1 is \"$(row "$1")\", expected … $2 …" ;; esac; }
says G1 "18500 20800 18500 reached tokens/s"
says G7 "70 66 70.1 MISSED GB"
says G7b "22 19 18.5 stretch reached GB"
says G10 "0.88 0.95 0.99 stretch reached of the"
says G11 "1.5 0.5 0.4 stretch reached %"
says tests "0 0 2 MISSED failed"
says G6 "16800 19000 99999 emulated tokens/s"
says G9 "0.85 0.92 - not measured of"
says G2 "1.4 1.55 - not measured times"
[ -z "$(row G99)" ] && [ "$(wc -l <"$dir/table")" -eq "$(($(grep -vc '^#' $targets) + 1))" ] || fail "rows: $(cat "$dir/table")"
report -v rows=1 $targets "$dir/log" "$dir/later" >"$dir/rows"
has() { grep -qxF "$1" "$dir/rows" || fail "no row $1 in $(cat "$dir/rows")"; }
has "| G7 | memory in use at 16k tokens a pass, rank 16 | 70 GB | 66 GB | 70.1 GB | Card A; driver for CUDA 13.0; 2026-01-02 |"
has "| G11 | gaps between launches | 1.5 % | 0.5 % | 0.4 % | Card B; driver for CUDA 13.1; 2026-01-04 |"
has "| G6 | step with adapters of rank 128 | 16800 tokens/s | 19000 tokens/s | not measured | – |"
# kernels/RESULTS.md has these rows, and goals of its own nowhere.
report -v rows=1 $targets /dev/null | cut -d'|' -f2-5 >"$dir/wanted"
sed -n '/^| row | what | hold/,/^$/p' kernels/RESULTS.md | sed '/^$/d' | cut -d'|' -f2-5 | cmp -s - "$dir/wanted" ||
    fail "the first table of kernels/RESULTS.md is not that of $targets (awk -f tools/bench/gpu_report.awk -v rows=1 $targets)"

# ---- what a caller may do wrong
check() { sh tools/bench/gpu_check.sh --out "$dir/out" --bin "$build" --python "$dir/python" "$@" >"$dir/said" 2>&1; }
refused() {
    check "${@:3}"
    code=$?
    [ $code -eq "$1" ] && [ "$(tail -n 1 "$dir/said")" = "gpu-check: $2" ] || fail "${*:3}: exit $code: $(tail -n 1 "$dir/said")"
}
refused 2 'there is no stage "stepp", expected of: device tests step ceilings kernels runs counters sanitizer beside unet' stepp
refused 2 'there is no option --fast; --help lists them' --fast
refused 2 '--seconds is "soon", expected a number of seconds' --seconds soon
check --help && [ "$(grep -c '^  [a-z]*: .* s)$' "$dir/said")" -eq 10 ] || fail "--help: $(cat "$dir/said")"
sh tools/bench/gpu_check.sh --help | sed -n 's/^  [a-z]*: .*(\([0-9]*\) s)$/\1/p' |
    awk '{ all += $1; if (NR <= 6) first += $1 } END { exit !(NR == 10 && all <= 600 && first <= 360) }' || fail "stages take longer than 10 minutes, or the first six than 6"
if [ -x "$build/bench-gpu" ] && [ -x "$build/train" ] && [ ! -e /dev/nvidiactl ]; then
    refused 69 "there is no device, or it cannot be used; the log says why"
    grep -q '^libcublasLt\.so\.[0-9]*: ' "$dir/said" && grep -q '^error: no CUDA driver is installed' "$dir/said" || fail "without a driver: $(cat "$dir/said")"
    ! grep -q '^== tests' "$dir/said" || fail "goes on without a device"
fi

# ---- over the emulation
for p in bench-gpu train generate; do [ -x "$build/$p-cuda-host" ] || { echo "make cuda-host builds $p-cuda-host"; exit 77; }; done
[ -x "$build/test-cuda-host" ] || { echo "not built: test-cuda-host"; exit 77; }
rm -rf "$dir/out"
check --tiny device tests step kernels || fail "exit $?: $(cat "$dir/said")"
for line in '^== device: done in ' '^libcudnn.so.9: ' '^device: host emulation' '^tests 0 failed: [1-9][0-9]* passed, 0 skipped$' '^== tests: done in ' \
    '^G1   .*; loss ' '^G10  ' '^G9   ' '^     conv2d_dw ' '^== kernels: done in ' '^G1 .* emulated  *tokens/s$' '^G6 .* not measured  *tokens/s$'; do
    grep -q "$line" "$dir/said" || fail "no line $line: $(cat "$dir/said")"
done
grep -q '| not measured | – |$' "$dir/out/RESULTS.rows" && ! grep -v '| not measured | – |$' "$dir/out/RESULTS.rows" | grep -q '^| [G3t]' || fail "claims a number: $(cat "$dir/out/RESULTS.rows")"
# A second call goes on with the log: G1 stays in the table. Without Python and profilers it says so.
PATH=/usr/bin:/bin check --tiny runs ceilings counters sanitizer beside || fail "exit $?: $(cat "$dir/said")"
for line in '^G6d  ' '^G7b  ' '^G8b  ' '/python: there is no such program$' '^G2: not measured: .*/python: there is no such program$' '^ncu is not found' '^G1 .* emulated  *tokens/s$'; do
    grep -q "$line" "$dir/said" || fail "no line $line: $(cat "$dir/said")"
done
# Counters: one process under a profiler, of which this is none.
mkdir "$dir/path"
printf '#!/bin/sh\nwhile [ "${1##*/}" != bench-gpu-cuda-host ]; do\n    echo "asked: $1"\n    shift\ndone\nexec "$@"\n' >"$dir/path/ncu"
chmod +x "$dir/path/ncu"
PATH=$dir/path:$PATH check --tiny counters || fail "exit $?: $(cat "$dir/said")"
grep -qx 'asked: --clock-control' "$dir/said" && grep -qx 'asked: none' "$dir/said" && grep -q '^     attention_bwd ' "$dir/said" || fail "counters: $(cat "$dir/said")"
# Libraries that the system's loader does not know are looked for, and our programs alone are told where they are.
printf '#!/bin/sh\n' >"$dir/path/ldconfig"
printf '#!/bin/sh\necho "folders: $LD_LIBRARY_PATH"\n' >"$dir/path/ncu"
chmod +x "$dir/path/ldconfig"
mkdir -p "$dir/cuda/lib64"
touch "$dir/cuda/lib64/libcudnn.so.9"
PATH=$dir/path:$PATH CUDA_HOME=$dir/cuda LD_LIBRARY_PATH='' check --tiny device counters || fail "exit $?: $(cat "$dir/said")"
grep -qx "libcudnn.so.9: $dir/cuda/lib64" "$dir/said" && grep -qx "folders: .*$dir/cuda/lib64" "$dir/said" || fail "libraries: $(cat "$dir/said")"
# A program that does not run here ends the check, with its loader's words.
mkdir "$dir/bin"
printf '#!/bin/sh\necho "version GLIBC_2.99 not found" >&2\nexit 1\n' >"$dir/bin/train-cuda-host"
cp "$dir/bin/train-cuda-host" "$dir/bin/bench-gpu-cuda-host"
chmod +x "$dir/bin/"*
check --tiny --bin "$dir/bin"
code=$?
[ $code -eq 69 ] && grep -qx 'train does not run here: version GLIBC_2.99 not found' "$dir/said" || fail "a program that does not run: exit $code: $(cat "$dir/said")"
# A stage that takes too long is stopped, and the others are run all the same; no time left: it is named.
printf '#!/bin/sh\nsleep 100\n' >"$dir/path/ncu"
PATH=$dir/path:$PATH check --tiny --seconds 8 counters step
code=$?
[ $code -eq 1 ] && grep -q '^== counters: stopped at its limit of [1-8] s; what stands above was measured$' "$dir/said" &&
    grep -q '^== step: not begun, the 8 s are over; go on with: --out .* step$' "$dir/said" &&
    [ "$(tail -n 1 "$dir/said")" = "gpu-check: not finished: counters step" ] || fail "limits: exit $code: $(cat "$dir/said")"
exit $failed
