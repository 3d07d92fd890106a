#!/bin/sh
# Proves that a refactoring changed no number: two builds make the same runs, and what they leave behind is compared bit by bit.
# `make same` calls it.
#   sh tests/same.sh fetch BUILD COMMIT     puts the tree of COMMIT to BUILD/same/ref/HASH, prints that folder; a build in it stays
#   sh tests/same.sh compare BUILD FOLDER   makes the runs with FOLDER/build and BUILD/same/new, and compares
# EXCEPT: classes or runs (patterns, as 'shards cuda-*') that may differ. Exit 1: something differs, 70: a run failed on the reference.
# The inputs: tests/same/inputs.sh; the runs: tests/same/runs.sh; how a class is compared: tests/same/compare.sh.
# Only the programs' options and files are used, and the Makefile's all and cuda-host, whatever happens to the sources.
set -u
here=$(dirname "$0")
what=$1 build=$2
PROGRAMS='train prepare generate evaluate inspect train-cuda-host generate-cuda-host'
mkdir -p "$build/same" || exit 73
same=$(realpath "$build/same")

fetch() { # COMMIT
    hash=$(git rev-parse --verify --quiet "$1^{commit}") || { echo "same: REF=$1 is no commit of this repository" >&2; exit 2; }
    ref=$same/ref/$hash
    if [ ! -e "$ref/fetched" ]; then
        rm -rf "$same/ref"
        mkdir -p "$ref" && git archive "$hash" | tar -x -C "$ref" && : > "$ref/fetched" || exit 73
    fi
    echo "$ref"
}

# The runs of one tree. Both have them in the same folder, one after the other, so that no path differs.
make_runs() { # TREE BUILD OUT
    rm -rf "$same/runs" "$3"
    mkdir -p "$same/runs" "$3/status" || exit 73
    SAME_BUILD=$(realpath "$2") SAME_OUT=$3
    export SAME_BUILD SAME_OUT
    sh "$here/same/inputs.sh" "$1" "$same/runs/in" || exit 70
    sh "$here/same/runs.sh" list > "$3/list" || exit 70
    xargs -P "$(nproc)" -L 1 sh "$here/same/runs.sh" one < "$3/list"
    rm -rf "$same/runs"
}

# The instruction sets that this machine has, as the reference says; what it lacks is said and left out.
find_isas() { # TREE BUILD
    SAME_ISAS= SAME_WORK=$same/runs
    for isa in avx2 avx512 avx512bf16; do
        probe="--config $1/tests/fixtures/parity/plain/config.json --set save.dir=$same/probe --set device=cpu --dry-run"
        GENLLAVA_ISA=$isa "$2/train" $probe > "$same/said" 2>&1
        code=$?
        case $code in
        0) SAME_ISAS="$SAME_ISAS $isa" ;;
        69) echo "same: this machine has no $isa; those runs are left out" ;;
        *) echo "same: the reference cannot make a dry run with $isa: exit $code" >&2; cat "$same/said" >&2; exit 70 ;;
        esac
    done
    [ -n "$SAME_ISAS" ] || { echo "same: this machine has none of the instruction sets" >&2; exit 70; }
    export SAME_ISAS SAME_WORK
}

# What EXCEPT names must be there.
check_except() {
    set -f
    for pattern in ${EXCEPT:-}; do
        for known in runs $(sh "$here/same/runs.sh" classes) $(sh "$here/same/runs.sh" list | cut -d' ' -f1); do
            case $known in $pattern) continue 2 ;; esac
        done
        echo "same: EXCEPT: $pattern is no class and no run; classes are runs $(sh "$here/same/runs.sh" classes)" >&2
        exit 2
    done
    set +f
}

compare() { # REFERENCE
    start=$(date +%s)
    exec 9> "$same/lock" && flock -n 9 || { echo "same: another comparison runs in $same" >&2; exit 73; }
    for program in $PROGRAMS; do
        [ -x "$same/new/$program" ] && [ -x "$1/build/$program" ] || { echo "same: $program is not built on both sides" >&2; exit 70; }
    done
    find_isas "$1" "$1/build"
    check_except
    # The reference's runs stay until the commit, the build, the runs or the machine are others.
    key="$(basename "$1") $SAME_ISAS $(cat "$here"/same.sh "$here"/same/* | cksum) $(cd "$1/build" && cat $PROGRAMS | cksum)"
    if [ "$(cat "$same/out-ref/key" 2> /dev/null)" != "$key" ]; then
        make_runs "$1" "$1/build" "$same/out-ref"
        failed=$(awk 'FNR == 1 && $0 != "0" { print FILENAME }' "$same"/out-ref/status/*)
        if [ -n "$failed" ]; then
            echo "same: runs failed on the reference, which must make them all:" >&2
            tail -n 6 $failed >&2
            exit 70
        fi
        echo "$key" > "$same/out-ref/key"
    fi
    make_runs . "$same/new" "$same/out-new"
    sh "$here/same/compare.sh" "$same/out-ref" "$same/out-new" "${EXCEPT:-}"
    code=$?
    echo "same: $(grep -c . "$same/out-ref/list") runs on each side, $(($(date +%s) - start)) seconds after building"
    exit $code
}

case $what in
fetch) fetch "$3" ;;
compare) compare "$3" ;;
*) sed -n '2,8s/^# *//p' "$0" >&2; exit 2 ;;
esac
