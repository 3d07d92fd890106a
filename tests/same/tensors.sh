#!/bin/sh
# Says in one line how two safetensors files differ: the first tensor that does, and by how much. sh tests/same/tensors.sh A B
here=$(dirname "$0")
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
# start, bytes, type and name of each tensor, in the file's order
tensors() {
    head=$(od -An -t u8 -N 8 "$1" | tr -d ' ')
    tail -c +9 "$1" | head -c "$head" | awk -f "$here/flatten.awk" | awk -v data=$((head + 8)) '
        { name = $1; sub(/^#1\./, "", name); field = name; sub(/.*\./, "", field); sub(/\.[^.]*$/, "", name) }
        field == "dtype" { type[name] = substr($3, 2, length($3) - 2) }
        field == "data_offsets[0]" { from[name] = $3 }
        field == "data_offsets[1]" { print data + from[name], $3 - from[name], type[name], name }' | sort -n
}
values() { # FILE START BYTES TYPE
    case $4 in
    F32) as=f4 ;; F64) as=f8 ;; I32) as=d4 ;; I64) as=d8 ;; BF16) as=u2 ;; *) as=u1 ;;
    esac
    od -An -v -w8 -t $as -j "$2" -N "$3" "$1" | tr -s ' ' '\n' | grep .
}
tensors "$1" > "$dir/a"
tensors "$2" > "$dir/b"
# A tensor that only one side has, or that has another type or size
awk 'FNR == NR { what[$4] = $3 " of " $2 " bytes"; next }
    { here[$4] = 1 }
    !($4 in what) && !n++ { print "tensor " $4 ": not on the reference" }
    $4 in what && what[$4] != $3 " of " $2 " bytes" && !n++ {
        print "tensor " $4 ": " $3 " of " $2 " bytes, on the reference " what[$4]
    }
    END { for (name in what) if (!(name in here) && !n++) print "tensor " name ": only on the reference" }' "$dir/a" "$dir/b" > "$dir/other"
if [ -s "$dir/other" ]; then
    cat "$dir/other"
    exit
fi
while read -r start bytes type name; do
    other=$(awk -v name="$name" '$4 == name { print $1 }' "$dir/b")
    cmp -s -i "$start:$other" -n "$bytes" "$1" "$2" && continue
    values "$1" "$start" "$bytes" "$type" > "$dir/x"
    values "$2" "$other" "$bytes" "$type" > "$dir/y"
    paste "$dir/x" "$dir/y" | awk -v type="$type" -v name="$name" '
        function number(u,    sign, exponent, part) {
            if (type != "BF16") return u
            sign = u >= 32768 ? -1 : 1
            u %= 32768
            exponent = int(u / 128)
            part = u % 128
            return sign * (exponent ? (1 + part / 128) * 2 ^ (exponent - 127) : part / 128 * 2 ^ -126)
        }
        $1 != $2 { n++; d = number($1) - number($2); if (d < 0) d = -d; if (d > most) most = d }
        END { printf "tensor %s: %d of %d elements differ, by at most %.3g\n", name, n, NR, most }'
    exit
done < "$dir/a"
echo "the tensors are the same, their order or the header differs"
