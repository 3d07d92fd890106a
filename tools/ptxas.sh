#!/bin/sh
# Runs nvcc with -Xptxas -v and tells in one line what the kernels of a file need: sh tools/ptxas.sh NAME COMMAND… . A kernel for tensor
# cores that spills registers up to width 128 fails the build; elsewhere spills are only told. QUIET=1 (make -s): nothing but spills. A
# file without kernels: nothing.
name=$1
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$@" >"$log" 2>&1 || {
    grep -v '^ptxas info' "$log" >&2
    exit 1
}
grep -v '^ptxas info\|bytes stack frame\|^$' "$log" >&2
awk -v name="$name" -v quiet="${QUIET:-}" '
/Compiling entry function/ { split($0, part, "\047"); kernel = part[2]; arch = part[4] }
/spill stores/ { spills = $5 + $9 }
/Used [0-9]+ registers/ {
    for (i = 1; i < NF; i++)
        if ($i == "Used" && $(i + 1) > most) most = $(i + 1)
    n++
    if (spills) {
        spilling++
        printf "%s: %s spills %d bytes (%s)\n", name, kernel, spills, arch > "/dev/stderr"
    }
}
END {
    if (n && !quiet) printf "%s: %d kernel%s, at most %d registers, %s\n", name, n, (n == 1 ? "" : "s"), most,
        spilling ? spilling " spill" : "none spills"
    exit spilling && name ~ /attention_(fwd|bwd)|adapter_mma/
}' "$log"
