#!/bin/sh
# Compares what two sets of runs left behind, class by class: sh tests/same/compare.sh REFERENCE NEW EXCEPT. Exit 1 when something differs.
set -u
export LC_ALL=C
here=$(dirname "$0")
ref=$1 new=$2 except=$3
MOST=5 # files of a class that are described
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
different=0
set -f # the patterns of EXCEPT are not names of files

excepted() { # NAME
    for pattern in $except; do
        case $1 in $pattern) return 0 ;; esac
    done
    return 1
}

# Runs that fail here and not on the reference; their files are not compared.
failed=' '
while read -r run rest; do
    code=$(head -n 1 "$new/status/$run" 2> /dev/null)
    [ "$code" = 0 ] && continue
    failed="$failed$run "
    excepted "$run" || excepted runs && { echo "run $run: left out, exit ${code:-none}"; continue; }
    different=1
    printf 'run %s: FAILS, exit %s: %s\n' "$run" "${code:-none}" "$(sed -n '$p' "$new/status/$run") ($(sed -n 2p "$new/status/$run"))"
done < "$ref/list"

# Of the first lines that diff gives of either side, what stands around the first difference.
first_difference() {
    awk '
        /^</ && !a { a = substr($0, 3) }
        /^>/ && !b { b = substr($0, 3) }
        END {
            at = 1
            while (at < length(a) && substr(a, 1, at) == substr(b, 1, at)) at++
            from = at > 80 ? at - 60 : 1
            dots = from > 1 ? "..." : ""
            printf "< %s%s   > %s%s\n", dots, substr(a, from, 100), dots, substr(b, from, 100)
        }'
}

describe() { # FILE
    case $1 in
    *.safetensors) sh "$here/tensors.sh" "$ref/$1" "$new/$1" ;;
    *.h5 | *.ppm | *.model) cmp "$ref/$1" "$new/$1" 2>&1 | sed 's/.* differ: /first at /; s/.*: EOF on.*/one is the start of the other/' ;;
    *) diff -a "$ref/$1" "$new/$1" | first_difference | tr -c '\n -~' '?' ;;
    esac
}

for class in $(sh "$here/runs.sh" classes); do
    (cd "$ref/$class" 2> /dev/null && find . -type f | sed 's/^..//') | sort > "$dir/ref"
    (cd "$new/$class" 2> /dev/null && find . -type f | sed 's/^..//') | sort > "$dir/new"
    [ -s "$dir/ref" ] || { echo "same: the reference has nothing of class $class" >&2; exit 70; }
    excepted "$class" && { echo "$class: left out, $(grep -c . "$dir/ref") files"; continue; }
    sort -u "$dir/ref" "$dir/new" > "$dir/all"
    same=0 n=0 out=0
    : > "$dir/said"
    while read -r file; do
        run=${file%%/*}
        case $failed in *" $run "*) continue ;; esac
        cmp -s "$ref/$class/$file" "$new/$class/$file" && { same=$((same + 1)); continue; }
        excepted "$run" && { out=$((out + 1)); continue; }
        n=$((n + 1))
        [ $n -gt $MOST ] && continue
        if [ ! -e "$new/$class/$file" ]; then
            echo "    $file: only on the reference" >> "$dir/said"
        elif [ ! -e "$ref/$class/$file" ]; then
            echo "    $file: not on the reference" >> "$dir/said"
        else
            printf '    %s: %s\n' "$file" "$(describe "$class/$file")" >> "$dir/said"
        fi
    done < "$dir/all"
    left_out=
    [ $out = 0 ] || left_out="; $out that differ are left out with their runs"
    if [ $n = 0 ]; then
        echo "$class: same, $same files$left_out"
    else
        different=1
        echo "$class: DIFFERENT, $n of $((n + same)) files$left_out"
        cat "$dir/said"
        [ $n -le $MOST ] || echo "    and $((n - MOST)) more"
    fi
done
exit $different
