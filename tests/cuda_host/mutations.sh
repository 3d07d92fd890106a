#!/bin/bash
# Are the emulated tests worth anything? Each patch of tests/cuda_host/mutations is a deliberate fault in a kernel and names a test that
# must fail with it. Usage: bash tests/cuda_host/mutations.sh 'COMPILER' 'FLAGS' 'LINK FLAGS' OBJECT… [-- NAME…]: the objects are those of
# test-cuda-host.
set -u
compiler=$1 flags=$2 link=$3
shift 3
objects=() only=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do objects+=("$1"); shift; done
[ $# -gt 0 ] && shift && only=("$@")
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
missed=0 n=0
for patch in tests/cuda_host/mutations/*.patch; do
    name=$(basename "$patch" .patch)
    [ ${#only[@]} -eq 0 ] || [[ " ${only[*]} " == *" $name "* ]] || continue
    test=$(sed -n 's/^test: //p' "$patch")
    rm -rf "$dir/tree" && mkdir -p "$dir/tree/kernels" && cp -r kernels/cuda "$dir/tree/kernels/"
    patch -s -p1 -d "$dir/tree" < "$patch" || { echo "$name: the patch does not apply any more" >&2; missed=1; continue; }
    # A header is in every kernel: those of the tested family stand for all.
    files=$(sed -n 's|^+++ b/kernels/cuda/\([^[:space:]]*\).*|\1|p' "$patch")
    case $files in
    attention.cuh) files="attention_fwd.cu attention_bwd.cu attention_plain.cu" ;;
    attention_mma.cuh) files="attention_fwd.cu attention_bwd.cu" ;;
    adapter_mma.cuh) files=adapter_mma.cu ;;
    device.cuh) files="act.cu norm.cu" ;;
    esac
    linked=("${objects[@]}")
    for f in $files; do
        $compiler -I"$dir/tree" $flags -O1 -w -x c++ -c "$dir/tree/kernels/cuda/$f" -o "$dir/$f.o" ||
            { echo "$name: $f does not compile" >&2; missed=1; continue 2; }
        for i in "${!linked[@]}"; do
            [[ ${linked[i]} == */kernels/cuda/${f%.cu}.host.o ]] && linked[i]=$dir/$f.o
        done
    done
    $compiler -o "$dir/test-cuda-host" "${linked[@]}" $link || { missed=1; continue; }
    n=$((n + 1))
    if "$dir/test-cuda-host" "$test" > "$dir/log" 2>&1 || grep -q '^0 passed, 0 failed' "$dir/log"; then
        echo "$name: no test notices: $(head -1 "$patch")" >&2
        missed=1
    else
        echo "ok   $name: $(grep -m1 '^tests/' "$dir/log" | cut -c1-150)"
    fi
done
echo "$n mutations tried"
exit $missed
