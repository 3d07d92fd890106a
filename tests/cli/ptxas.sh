#!/bin/bash
# tools/ptxas.sh over a compiler that spills: told everywhere, the end of the build in the attention kernels.
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0
cat > "$dir/compiler" <<'END'
#!/bin/sh
cat >&2 <<LOG
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'first' for 'sm_80'
ptxas info    : Function properties for first
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 400 bytes cmem[0]
ptxas info    : Compiling entry function 'second' for 'sm_90'
ptxas info    : Function properties for second
    16 bytes stack frame, $1 bytes spill stores, $2 bytes spill loads
ptxas info    : Used 128 registers, used 1 barriers, 400 bytes cmem[0]
LOG
END
chmod +x "$dir/compiler"
# expect CODE LAST-LINE NAME STORES LOADS
expect() {
    sh tools/ptxas.sh "$3" "$dir/compiler" "$4" "$5" > "$dir/out" 2>&1
    local code=$?
    [ $code -eq "$1" ] || { echo "$0: $3 with $4 and $5 bytes: exit $code, wanted $1" >&2; failed=1; }
    [ "$(tail -1 "$dir/out")" = "$2" ] || { echo "$0: $3: said $(tail -1 "$dir/out")" >&2; failed=1; }
}
expect 0 "kernels/cuda/attention_fwd: 2 kernels, at most 128 registers, none spills" kernels/cuda/attention_fwd 0 0
expect 1 "kernels/cuda/attention_fwd: 2 kernels, at most 128 registers, 1 spill" kernels/cuda/attention_fwd 8 12
grep -qx 'kernels/cuda/attention_fwd: second spills 20 bytes (sm_90)' "$dir/out" || { echo "$0: the kernel that spills is not named" >&2; failed=1; }
expect 1 "kernels/cuda/attention_bwd: 2 kernels, at most 128 registers, 1 spill" kernels/cuda/attention_bwd 4 0
expect 0 "kernels/cuda/norm: 2 kernels, at most 128 registers, 1 spill" kernels/cuda/norm 8 12
export QUIET=1
expect 0 "kernels/cuda/norm: second spills 20 bytes (sm_90)" kernels/cuda/norm 8 12
expect 0 "" kernels/cuda/norm 0 0
unset QUIET
echo '#!/bin/sh' > "$dir/silent"
chmod +x "$dir/silent"
[ -z "$(sh tools/ptxas.sh kernels/cuda/errors "$dir/silent" 2>&1)" ] || { echo "$0: a file without kernels is not silent" >&2; failed=1; }
echo 'exit 3' >> "$dir/compiler"
sh tools/ptxas.sh kernels/cuda/norm "$dir/compiler" 0 0 > "$dir/out" 2>&1 && { echo "$0: a failed compilation looked like success" >&2; failed=1; }
exit $failed
