#!/bin/sh
# Checks what the compiler does not: who includes whom (tools/rooms.txt) and who may but does not, that headers stand alone, calls that
# are banned, the size of files and lines, that a file says what it is for, paths of one machine. Usage: sh tools/check.sh CC CXX
# 'CPPFLAGS' [ROOT]. Prints one line a finding, FILE:LINE: sentence; exit 1 if any.
set -u
export LC_ALL=C
cc=${1:-cc} cxx=${2:-c++} cppflags=${3:-} root=${4:-.}
rooms=$(cd "$(dirname "$0")" && pwd)/rooms.txt
cd "$root" || exit 2
# What programs print as their result: --help, schema, dry run.
PRINTERS='kernels/base/cli.c train/config/options_text.c train/dry_run.c tools/bench/bench_gpu_kernels.c'
MAX_LINES=600 MAX_COLUMNS=140

findings=$(mktemp) && sources=$(mktemp) || exit 2
trap 'rm -f "$findings" "$sources"' EXIT
find kernels data train eval tools tests -type f \( -name '*.[ch]' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' \) 2>/dev/null |
    sort > "$sources"
MAINS=$(tr '\n' '\0' < "$sources" | xargs -0 grep -lE '^int main\(' | tr '\n' ' ')

# ---------------------------------------------------------------- includes and calls
# One pass over every source. Comments and the insides of strings are blanked first, so that only code is judged.
tr '\n' '\0' < "$sources" | xargs -0 awk -v mains="$MAINS" -v printers="$PRINTERS" -v max_lines="$MAX_LINES" \
    -v max_columns="$MAX_COLUMNS" -v rooms="$rooms" '
function say(text) { printf "%s:%d: %s\n", FILENAME, FNR, text }

# The room a file lies in: the longest path of the table that it lies under.
function unit_of(path,    i, best) {
    best = ""
    for (i = 1; i <= n_units; i++)
        if (index(path, units[i] "/") == 1 && length(units[i]) > length(best)) best = units[i]
    return best
}

function may_include(unit, path,    n, list, i, target) {
    target = unit_of(path)
    if (target == unit || allowed[unit] ~ /^ *\* *$/) return 1
    n = split(allowed[unit], list, " ")
    for (i = 1; i <= n; i++)
        if (list[i] == target || list[i] == path) return used[unit, list[i]] = 1
    return 0
}

# Permissions of rooms that have files, of which none makes use.
function check_permissions(    n, list, i, k) {
    for (i = 1; i <= n_units; i++) {
        n = lived_in[units[i]] ? split(allowed[units[i]], list, " ") : 0
        for (k = 1; k <= n; k++)
            if (list[k] != "*" && !used[units[i], list[k]])
                printf "tools/rooms.txt:%d: %s may include %s, and no file of it does\n", row[units[i]], units[i], list[k]
    }
}

# Every call of one of these functions (names joined by |) in the line of code.
function calls(names, verdict,    rest, name) {
    rest = code
    while (match(rest, "(^|[^A-Za-z0-9_>.])(" names ")[ \t]*\\(")) {
        name = substr(rest, RSTART, RLENGTH)
        gsub(/[^a-z_]/, "", name)
        say(name "() " verdict)
        rest = substr(rest, RSTART + RLENGTH - 1)
    }
}

# Library headers that only these files may see.
function check_library(header,    i) {
    for (i = 1; i <= n_walls; i++)
        if (header ~ wall_header[i] && FILENAME !~ wall_file[i]) say(header " is included outside of " wall_name[i])
}

function wall(header, file, name) { n_walls++; wall_header[n_walls] = header; wall_file[n_walls] = file; wall_name[n_walls] = name }

BEGIN {
    while ((getline line < rooms) > 0) {
        line_number++
        if (line ~ /^#/ || split(line, field, "|") != 3) continue
        gsub(/^[ \t]+|[ \t]+$/, "", field[1])
        units[++n_units] = field[1]
        allowed[field[1]] = field[3]
        row[field[1]] = line_number
    }
    wall("^(cuda|cublas|cudnn|nvrtc|mma\\.h|cooperative_groups)", "^(kernels/cuda/|tests/)", "kernels/cuda")
    wall("^nccl", "^(train/dist/nccl\\.c$|tests/)", "train/dist/nccl.c")
    wall("^mpi\\.h$", "^train/dist/mpi\\.c$", "train/dist/mpi.c")
    wall("^(oneapi/)?dnnl", "^kernels/cpu/", "kernels/cpu")
    n = split(mains, list, " ")
    for (i = 1; i <= n; i++) is_main[list[i]] = 1
    n = split(printers, list, " ")
    for (i = 1; i <= n; i++) is_printer[list[i]] = 1
}

FNR == 1 {
    if (long) print long
    long = ""
    in_comment = 0
    unit = unit_of(FILENAME)
    if (unit == "") say("lies in no room of tools/rooms.txt")
    lived_in[unit] = 1
    below_main = unit != "tests" && !(FILENAME in is_main)
    may_print = !below_main || (FILENAME in is_printer)
    may_allocate = FILENAME == "kernels/base/arena.c" || unit == "data/formats" || unit == "tests"
}

FNR == 1 && !/^\/\*/ { say("the file does not begin with a comment that says what it is for") }

{ # bytes that go on with a character take no column
    columns = $0
    gsub(/[\200-\277]/, "", columns)
    if (length(columns) > max_columns) say("more than " max_columns " columns")
}

FNR == max_lines + 1 { long = FILENAME ":" FNR ": more than " max_lines " lines; split the file" }

{
    line = $0
    code = ""
    while (line != "") { # blank comments, strings and characters
        if (in_comment) {
            at = index(line, "*/")
            if (!at) break
            line = substr(line, at + 2)
            in_comment = 0
        } else if (match(line, /\/\*|\/\/|"(\\.|[^"\\])*"|\047(\\.|[^\047\\])*\047/)) {
            token = substr(line, RSTART, RLENGTH)
            code = code substr(line, 1, RSTART - 1)
            line = substr(line, RSTART + RLENGTH)
            if (token == "//") break
            if (token == "/*") in_comment = 1
            else code = code substr(token, 1, 1) substr(token, 1, 1)
        } else {
            code = code line
            break
        }
    }
}

# hdf5.h and the SentencePiece headers have one file each: the second that includes them is the finding.
/^[ \t]*#[ \t]*include[ \t]*[<"](hdf5|sentencepiece)/ {
    library = /hdf5/ ? "hdf5.h" : "SentencePiece"
    if (unit != "tests") {
        if ((library in owner) && owner[library] != FILENAME) say(library " is included by " owner[library] " already; one file may")
        owner[library] = FILENAME
    }
}

/^[ \t]*#[ \t]*include[ \t]*</ {
    header = $0
    sub(/^[^<]*</, "", header)
    sub(/>.*/, "", header)
    check_library(header)
}

/^[ \t]*#[ \t]*include[ \t]*"/ {
    header = $0
    sub(/^[^"]*"/, "", header)
    sub(/".*/, "", header)
    if (!may_include(unit, header)) say(unit " may not include " header)
}

# A thread that watches over ranks ends one that nobody waits for any more.
below_main && FILENAME != "train/dist/pulse.c" { calls("_exit", "is banned below main") }
below_main { calls("exit|abort|atoi|atol|atof|strcpy|strcat|sprintf|vsprintf|gets", "is banned below main") }

!may_print {
    calls("printf|vprintf|puts|putchar", "is banned below main: log_* is for people, a FILE * from main for results")
    if (code ~ /(fprintf|vfprintf|fputs|fputc|putc|fwrite)[ \t]*\(.*[^A-Za-z0-9_]stdout/)
        say("writing to stdout is banned below main: log_* is for people, a FILE * from main for results")
}

!may_allocate {
    calls("malloc|calloc|realloc|aligned_alloc|posix_memalign|alloca|strdup|strndup|asprintf",
          "belongs to kernels/base/arena.c and data/formats; use mem_alloc or an arena")
}

END { if (long) print long; check_permissions() }
' >> "$findings"

# ---------------------------------------------------------------- headers alone, as C and as C++
check_header() { # FILE
    case $1 in
    tests/cuda_host/*) # stand-ins for C++ headers of the CUDA toolkit
        $cxx -Itests/cuda_host $cppflags -I. -std=c++17 -Wall -Wextra -Werror -fsyntax-only -x c++ "$1" > "$findings.$$" 2>&1 ||
            echo "$1:1: does not compile alone as C++: $(grep -m1 -o 'error: .*' "$findings.$$")" >> "$findings"
        rm -f "$findings.$$"
        return ;;
    esac
    $cc $cppflags -I. -std=c11 -Wall -Wextra -Werror -fsyntax-only -x c "$1" > "$findings.$$" 2>&1 ||
        echo "$1:1: does not compile alone as C: $(grep -m1 -o 'error: .*' "$findings.$$")" >> "$findings"
    $cxx $cppflags -I. -std=c++17 -Wall -Wextra -Werror -fsyntax-only -x c++ "$1" > "$findings.$$" 2>&1 ||
        echo "$1:1: does not compile alone as C++: $(grep -m1 -o 'error: .*' "$findings.$$")" >> "$findings"
    rm -f "$findings.$$"
}
for header in $(grep '\.h$' "$sources"); do
    check_header "$header"
done

# ---------------------------------------------------------------- scripts; the tests of programs quote sentences, as long as they are
tracked() { git ls-files 2>/dev/null || find . -type f -not -path './build/*' | sed 's/^\.\///'; }
tracked | grep -E '(^|/)Makefile$|\.sh$' | grep -v '^tests/cli/' | tr '\n' '\0' | xargs -0r awk -v max="$MAX_COLUMNS" '
FNR <= 2 && /^#[^!]/ { says[FILENAME] = 1 }
FNR == 3 && !says[FILENAME] { printf "%s:1: the file does not begin with a comment that says what it is for\n", FILENAME }
{
    columns = $0
    gsub(/[\200-\277]/, "", columns)
    if (length(columns) > max) printf "%s:%d: more than %d columns\n", FILENAME, FNR, max
}' >> "$findings"

# ---------------------------------------------------------------- paths of one machine, in everything that is text
tracked | grep -v '^tests/cli/check.sh$' | tr '\n' '\0' |
    xargs -0 grep -nIE '(^|[^A-Za-z0-9_./])/(home/[a-z]|(root|work|Users)/|opt/oracle)|\.\./(shared)/' 2>/dev/null |
    sed -E 's/^(\.\/)?([^:]*:[0-9]+):.*/\2: a path of one machine/' >> "$findings"

sort -u "$findings" | sort -s -t: -k1,1 -k2,2n
if [ -s "$findings" ]; then
    echo "check: $(sort -u "$findings" | wc -l) findings" >&2
    exit 1
fi
echo "check: $(wc -l < "$sources") sources, nothing found"
