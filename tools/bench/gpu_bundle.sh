#!/bin/sh
# Packs gpu-bundle.tar.xz for a bare machine with a GPU: the programs that `make gpu-bundle` linked, every shared library they need but
# those of the C library, the fixtures of the tests, the configs of the steps and gpu-check.sh. $1: the build folder.
set -eu
build=$1 most_mb=40
bundle=$build/gpu-bundle archive=$build/gpu-bundle.tar.xz
rm -rf "$bundle/lib" "$bundle/tools" "$bundle/tests" "$archive"
mkdir -p "$bundle/lib" "$bundle/tools/bench" "$bundle/tests/oracle" "$bundle/tests/fixtures"
# Of the C library, which belongs to the system, only the oldest release that will do is told.
ours='lib\(c\|m\|dl\|rt\|pthread\|resolv\)\.so'
for program in "$bundle"/bin/*; do ldd "$program"; done | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u | grep -v "/$ours" |
    while read -r library; do
        cp -L "$library" "$bundle/lib/"
    done
# Whatever else they would load here is not there.
outside=$(for program in "$bundle"/bin/*; do ldd "$program"; done | awk '$2 == "=>"' | grep -v "/$ours" |
    awk '!index($0, "/gpu-bundle/bin/../lib/")')
[ -z "$outside" ] || { echo "gpu-bundle: outside of the bundle: $outside" >&2; exit 70; }
cp -R tools/bench/gpu tools/bench/gpu_report.awk "$bundle/tools/bench/"
cp tests/oracle/bench_gpu.py tests/oracle/gpu_ceilings.py "$bundle/tests/oracle/"
cp -R tests/fixtures/parity tests/fixtures/large "$bundle/tests/fixtures/"
cp tools/bench/gpu_check.sh "$bundle/gpu-check.sh"
libc=$(cat "$bundle"/bin/* "$bundle"/lib/* | grep -ao 'GLIBC_2\.[0-9]*' | sort -uV | tail -n 1)
# The programs hold the same kernels: a dictionary that spans them.
tar -C "$build" --sort=name --owner=0 --group=0 -cf - gpu-bundle | xz --lzma2=preset=3,dict=64MiB >"$archive"
bytes=$(wc -c <"$archive")
echo "$archive: $(awk -v n="$bytes" 'BEGIN { printf "%.1f", n / 1e6 }') MB, for x86-64 with $(echo "$libc" | tr _ ' ') or newer"
[ "$bytes" -le $((most_mb * 1000000)) ] || { echo "gpu-bundle: more than $most_mb MB" >&2; exit 70; }
echo "there: tar xf gpu-bundle.tar.xz && sh gpu-bundle/gpu-check.sh     (without xz: python3 -m tarfile -e gpu-bundle.tar.xz)"
