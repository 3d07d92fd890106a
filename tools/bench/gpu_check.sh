#!/bin/sh
# What the GPU of this machine makes of this program: tests, then measurements, the most telling first, each stage under its own limit of
# time and logged at once; at the end a table against tools/bench/gpu/targets.txt and the rows for kernels/RESULTS.md. Needs a shell, a
# driver and the CUDA libraries. `make gpu-bundle` packs it with the programs, as gpu-check.sh; `make bench-gpu` runs it over the build
# folder.
#
# usage: sh gpu-check.sh [--out DIR] [--seconds N] [--bin DIR] [--python PYTHON] [--tiny] [STAGE...]
#   Without stages all of them. A second call with the same --out goes on with its log: name the stages that are left.
#   --tiny: over the emulation, as small as it gets: shows that everything works, measures nothing.
set -u
export LC_ALL=C # in other languages awk may read 0.5 as 0
ALL="device tests step ceilings kernels runs counters sanitizer beside unet"
# Seconds that a stage may take, and what it is for.
about() {
    case $1 in
    device) echo 20 "what is here" ;;
    tests) echo 110 "kernels against the specification, real sizes, training against PyTorch and the CPU" ;;
    step) echo 45 "G1, G7, G11: the step that everything is about" ;;
    ceilings) echo 40 "G8 and what PyTorch reaches of the same device" ;;
    kernels) echo 60 "G9, G10, convolutions" ;;
    runs) echo 75 "G6, G7b: rank 128, dropout, block recompute" ;;
    counters) echo 40 "what the hardware counts in one launch each" ;;
    sanitizer) echo 60 "attention and adapters under compute-sanitizer" ;;
    beside) echo 110 "G2, G3, G4: beside transformers and PEFT, one pair each" ;;
    unet) echo 40 "G12, 3T: pictures" ;;
    *) return 1 ;;
    esac
}

die() {
    echo "gpu-check: $1" >&2
    exit "$2"
}
self=$0 out=gpu-check.out seconds=600 bin= python= tiny= stages= inside=
called_from=$PWD
case $self in /*) ;; *) self=$PWD/$self ;; esac
while [ $# -gt 0 ]; do
    case $1 in
    --out | --seconds | --bin | --python | --inside)
        [ $# -gt 1 ] || die "$1 needs a value" 2
        case $1 in
        --out) out=$2 ;;
        --seconds) seconds=$2 ;;
        --bin) bin=$2 ;;
        --python) python=$2 ;;
        --inside) inside=$2 ;; # this process is one stage
        esac
        shift
        ;;
    --tiny) tiny=--tiny ;;
    --help | -h)
        sed -n '2,/^set -u/p' "$self" | sed '/^set -u/d; s/^# \{0,1\}//'
        for s in $ALL; do echo "  $s: $(about "$s" | sed 's/^\([0-9]*\) \(.*\)/\2 (\1 s)/')"; done
        exit 0
        ;;
    -*) die "there is no option $1; --help lists them" 2 ;;
    *)
        about "$1" >/dev/null || die "there is no stage \"$1\", expected of: $ALL" 2
        stages="$stages $1"
        ;;
    esac
    shift
done
case $seconds in '' | *[!0-9]*) die "--seconds is \"$seconds\", expected a number of seconds" 2 ;; esac
stages=${stages:-$ALL}
case $out in /*) ;; *) out=$called_from/$out ;; esac
root=$(cd "$(dirname "$self")" && pwd) || exit 2
[ -d "$root/tools/bench/gpu" ] || root=$(cd "$root/../.." && pwd)
cd "$root" || exit 2
case $bin in
'') bin=$root/$([ -d bin ] && echo bin || echo build) ;;
/*) ;;
*) bin=$called_from/$bin ;;
esac
python=${python:-python3}
host=
[ -z "$tiny" ] || host=-cuda-host
log=$out/gpu-check.log

# ---------------------------------------------------------------- libraries of CUDA

have() { command -v "$1" >/dev/null 2>&1; }
# Folders that may hold NVIDIA's libraries: the toolkit's, those of Python's wheels.
cuda_folders() {
    for d in "${CUDA_HOME:-/usr/local/cuda}"/lib64 /usr/local/cuda-*/lib64 /usr/local/cuda*/targets/*/lib; do echo "$d"; done
    have "$python" && "$python" -c 'import glob, os, sys
for p in sys.path: print("\n".join(glob.glob(os.path.join(p, "nvidia", "*", "lib"))))' 2>/dev/null
    for d in /usr/lib/python3*/*-packages/nvidia/*/lib /usr/local/lib/python3*/*-packages/nvidia/*/lib; do echo "$d"; done
}
# find_library NAME: "the system's loader", a folder, or nothing.
find_library() {
    if { ldconfig -p || /sbin/ldconfig -p; } 2>/dev/null | grep -q "[[:space:]]$1 "; then
        echo "the system's loader"
        return
    fi
    cuda_folders | while read -r d; do
        [ ! -e "$d/$1" ] || { echo "$d"; break; }
    done
}
cublas=$(grep -ao 'libcublasLt\.so\.[0-9]*' "$bin/bench-gpu" 2>/dev/null | head -n 1)
libraries=
for name in ${cublas:-libcublasLt.so} libcudnn.so.9; do
    folder=$(find_library "$name")
    case $folder in /*) case :$libraries: in *:"$folder":*) ;; *) libraries=${libraries:+$libraries:}$folder ;; esac ;; esac
done
# Our programs alone get these folders: those beside them are nobody else's business.
ours() { LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+${libraries:+:}$LD_LIBRARY_PATH} "$@"; }
bench=$bin/bench-gpu$host
small=train.compute=bf16
bench() { ours "$bench" $tiny "$@"; }
# run_of NAME: the config of a step, on the emulation a little one with what it needs.
run_of() {
    case $tiny$1 in
    --tinythree-tasks) echo tests/fixtures/parity/noise_frozen/config.json ;;
    --tiny*) echo tests/fixtures/parity/visual_tokens/config.json ;;
    *) echo "tools/bench/gpu/$1.json" ;;
    esac
}
# tokens_of N: those of a pass.
tokens_of() { [ -z "$tiny" ] && echo "$1" || echo 64; }
sized() { [ -z "$tiny" ] || echo "--segment 32 --labels 5"; }

# ---------------------------------------------------------------- stages

stage_device() {
    date -u '+%Y-%m-%d %H:%M:%S UTC'
    echo "$(uname -srm), $(getconf _NPROCESSORS_ONLN) processors, $(getconf GNU_LIBC_VERSION 2>/dev/null || echo 'another C library')"
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.max.sm,power.limit --format=csv 2>/dev/null ||
        echo "nvidia-smi: not found, or it finds no device"
    for name in ${cublas:-libcublasLt.so} libcudnn.so.9 libnccl.so.2; do
        folder=$(find_library "$name")
        echo "$name: ${folder:-not found}"
    done
    # Without importing them, which takes many seconds the first time.
    "$python" -c 'from importlib.metadata import version
print(*(f"{name} {version(name)}" for name in ("torch", "transformers", "peft")), sep=", ")' 2>/dev/null ||
        echo "$python: not there, or without torch, transformers or peft: nothing is measured beside it"
    for tool in ncu compute-sanitizer; do echo "$tool: $(tool_path $tool || echo 'not found')"; done
    for p in train generate; do
        version=$(ours "$bin/$p$host" --version 2>&1) || { echo "$p does not run here: $version"; return 69; }
        echo "$version" | head -n 1
    done
    bench --only device --config "$(run_of r16)"
}

tool_path() {
    command -v "$1" 2>/dev/null && return
    for p in "${CUDA_HOME:-/usr/local/cuda}"/bin /usr/local/cuda-*/bin /usr/local/cuda/compute-sanitizer /opt/nvidia/nsight-compute/*; do
        [ ! -x "$p/$1" ] || { echo "$p/$1"; return 0; }
    done
    return 1
}

# Labels without those that another's filter holds already.
labels() { "$1" --list "$2" | LC_ALL=C sort | awk 'last == "" || index($0, last) != 1 { print; last = $0 }'; }
stage_tests() {
    program=test-gpu filter=
    # On the emulation a handful: all of them are `make test`.
    [ -z "$tiny" ] || { program=test-cuda-host filter=kernels/rope; }
    jobs=$(getconf _NPROCESSORS_ONLN)
    [ "$jobs" -le 8 ] || jobs=8
    labels "$bin/$program" "$filter" >"$out/labels"
    : >"$out/tests"
    ours xargs -P "$jobs" -I{} sh -c 'text=$("$1" "$2" 2>&1); printf "%s\n" "$text" | tee -a "$3"' - \
        "$bin/$program" {} "$out/tests" <"$out/labels"
    awk '/^[0-9]+ passed, / { p += $1; f += $3; s += $5 } /no test was run/ { f++ }
        END { printf "tests %d failed: %d passed, %d skipped\n", f, p, s; exit f > 0 || p == 0 }' "$out/tests"
}

stage_step() { bench $(sized) --step "G1,G7,G11 $(run_of r16) tokens=$(tokens_of 16384) $small"; }

# python FILE ARGS: exit 77 where it has nothing to run with.
python() {
    have "$python" || { echo "$python: there is no such program" >&2; return 77; }
    "$python" "$@"
}
# Bounds by somebody else's kernels.
stage_ceilings() {
    bench --only attention --config "$(run_of r16)" || return
    python tests/oracle/gpu_ceilings.py $tiny
    code=$?
    [ $code -eq 77 ] && return 0 || return $code
}

stage_kernels() {
    for part in matmul elementwise conv; do
        bench $(sized) --only $part --config "$(run_of r16)" --set $small --tokens "$(tokens_of 16384)" || return
    done
}

stage_runs() {
    bench $(sized) --step "G6 $(run_of r128) tokens=$(tokens_of 16384) $small" \
        --step "G1b,G7b $(run_of r16) tokens=$(tokens_of 8192) $small train.recompute=block" \
        --step "G6d $(run_of r128) tokens=$(tokens_of 16384) $small model.lora.dropout=0.05" \
        --step "G1d $(run_of r16) tokens=$(tokens_of 16384) $small model.lora.dropout=0.05" \
        --step "G15 $(run_of r16) tokens=$(tokens_of 16384) $small model.llm.multiply=fp8"
}

METRICS=gpu__time_duration.sum,sm__throughput.avg.pct_of_peak_sustained_elapsed
METRICS=$METRICS,dram__throughput.avg.pct_of_peak_sustained_elapsed,dram__bytes_read.sum,dram__bytes_write.sum
METRICS=$METRICS,sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active,smsp__issue_active.avg.pct_of_peak_sustained_active
METRICS=$METRICS,sm__warps_active.avg.pct_of_peak_sustained_active,launch__registers_per_thread,launch__occupancy_limit_registers
METRICS=$METRICS,l1tex__data_bank_conflicts_pipe_lsu.sum,smsp__inst_executed.sum
stage_counters() {
    ncu=$(tool_path ncu) || { echo "ncu is not found: nothing is counted"; return 0; }
    ours "$ncu" --clock-control none --csv --page raw --metrics $METRICS "$bench" $tiny --only once --config "$(run_of r16)"
}

stage_sanitizer() {
    sanitizer=$(tool_path compute-sanitizer) || { echo "compute-sanitizer is not found: nothing is checked"; return 0; }
    failed=0
    for tool in memcheck racecheck; do
        for test in attention_fwd_keeps attention_bwd_keeps kernels/adapter; do
            ours "$sanitizer" --tool $tool --target-processes all --error-exitcode 9 "$bin/test-gpu" $test || failed=1
        done
    done
    return $failed
}

# compare ROW VARIANT
compare() {
    ours_line=$(bench $(sized) --step "ours $(run_of r16) tokens=$(tokens_of 16384) $small") || return 1
    ours_speed=$(echo "$ours_line" | sed -n 's/^ours \([0-9.]*\) tokens.*/\1/p')
    theirs=$(python tests/oracle/bench_gpu.py "$(run_of r16)" "$2" $(beside_sizes) 2>"$out/err")
    code=$?
    [ $code -eq 0 ] || { echo "$1: not measured: $(tail -n 1 "$out/err")"; return $code; }
    echo "$theirs $ours_speed" | awk -v row="$1" '{
        printf "%-4s %.3f times: ours over transformers and PEFT, %s: %s and %s tokens/s, theirs with %d tokens a pass in %.1f GB\n",
            row, $5 / $2, $1, $5, $2, $3, $4 / 1e9 }'
}
beside_sizes() { [ -z "$tiny" ] || echo "--device cpu --tokens 64 --segment 32 --labels 5 --steps 1"; }
stage_beside() {
    for pair in "G2 eager" "G3 checkpoint" "G4 compile"; do
        [ -z "$tiny" ] || [ "$pair" != "G4 compile" ] || continue # minutes of compiling
        compare $pair
        code=$?
        [ $code -ne 77 ] || return 0
        [ $code -eq 0 ] || return $code
    done
}

stage_unet() {
    run=$(run_of three-tasks) unreplayed=
    [ -z "$tiny" ] || unreplayed="debug.replay=null"
    bench --only unet --config "$run" --set $small ${unreplayed:+--set $unreplayed} || return
    sizes=
    [ -z "$tiny" ] || sizes="--segment 64 --labels 5"
    tokens=$([ -z "$tiny" ] && echo 8192 || echo 192)
    bench $sizes --step "3T $run tokens=$tokens $small $unreplayed" || return
    GENLLAVA_CUDNN=0 bench $sizes --step "3Tn $run tokens=$tokens $small $unreplayed"
}

if [ -n "$inside" ]; then
    "stage_$inside"
    exit
fi

# ---------------------------------------------------------------- one after the other

mkdir -p "$out" || die "cannot make $out" 73
[ -x "$bench" ] || die "$bench is not there; --bin names the folder with the programs" 66
begun=$(date +%s)
touch "$log" || exit 73
first=$(($(wc -l <"$log") + 1))
tail -n +$first -f "$log" &
follower=$!
trap 'kill $follower 2>/dev/null' EXIT
failed= no_device=
for stage in $stages; do
    set -- $(about "$stage")
    limit=$1
    shift
    left=$((seconds - ($(date +%s) - begun)))
    [ "$left" -ge "$limit" ] || limit=$left
    if [ "$limit" -lt 5 ]; then
        echo "== $stage: not begun, the $seconds s are over; go on with: --out $out $stage" >>"$log"
        failed="$failed $stage"
        continue
    fi
    echo "== $stage: $* (at most $limit s)" >>"$log"
    start=$(date +%s)
    timeout -k 5 "$limit" sh "$self" --inside "$stage" --out "$out" --bin "$bin" --python "$python" $tiny >>"$log" 2>&1
    code=$?
    took=$(($(date +%s) - start))
    case $code in
    0) echo "== $stage: done in $took s" >>"$log" ;;
    124 | 137) echo "== $stage: stopped at its limit of $limit s; what stands above was measured" >>"$log" ;;
    *) echo "== $stage: failed with exit $code after $took s" >>"$log" ;;
    esac
    [ $code -eq 0 ] || failed="$failed $stage"
    [ "$stage$code" != device69 ] || { no_device=1 && break; }
done
awk -f tools/bench/gpu_report.awk tools/bench/gpu/targets.txt "$log" >"$out/table"
awk -f tools/bench/gpu_report.awk -v rows=1 tools/bench/gpu/targets.txt "$log" >"$out/RESULTS.rows"
sleep 1 # what follows the log shows its end
kill $follower 2>/dev/null
echo
cat "$out/table"
rm -f "$out/labels" "$out/tests" "$out/err"
echo "log: $log; rows for kernels/RESULTS.md: $out/RESULTS.rows"
[ -z "$no_device" ] || die "there is no device, or it cannot be used; the log says why" 69
[ -z "$failed" ] || die "not finished:$failed" 1
