#!/bin/sh
# Finds the CUDA toolkit by compiling and linking with it, and prints make variables: CUDA_FOUND (0 or 1), NVCC, CUDA_FOLDER. Says in one
# line what it found. $1: where to look first, $2: the compiler for host code.
set -u
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
nvcc=$1/bin/nvcc
[ -x "$nvcc" ] || nvcc=$(command -v nvcc || true)
found=0 why="no nvcc in $1/bin or the path"
if [ -n "$nvcc" ]; then
    folder=$(dirname "$(dirname "$nvcc")")
    lib=$folder/lib64
    [ -d "$lib" ] || lib=$folder/lib
    printf '#include <cublasLt.h>\n__global__ void k() {}\nint main() { k<<<1, 1>>>(); return CUBLAS_VER_MAJOR < 12; }\n' >"$dir/probe.cu"
    if "$nvcc" -ccbin "$2" -std=c++17 -arch=sm_90 "$dir/probe.cu" -o "$dir/probe" -L"$lib" >"$dir/log" 2>&1; then
        found=1 why="$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/CUDA \1/p') in $folder"
    else
        why="$nvcc does not build a program: $(grep -m1 -i error "$dir/log")"
    fi
fi
[ "$found" = 1 ] && echo "cuda: $why" >&2 || echo "cuda: not built in: $why" >&2
echo "CUDA_FOUND := $found"
echo "NVCC := $nvcc"
echo "CUDA_LIB := ${lib:-}"
