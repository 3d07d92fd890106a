#!/bin/bash
# curate filter and curate stats: what stays keeps its bytes and order; exclusion, scores and dedupe; what is an error. $1: the build folder.
set -u
build=$(realpath "$1") failed=0 features=tests/fixtures/curate/features
dir=$(mktemp -d) || exit 1
trap 'chmod -R u+rwX "$dir"; rm -rf "$dir"' EXIT
wrong() { echo "curate_filter.sh: $*" >&2; failed=1; }

# curate CODE ARGUMENTS...: output in $dir/stdout and $dir/err.
curate() {
    local wanted=$1 code
    shift
    "$build/curate" "$@" > "$dir/stdout" 2> "$dir/err"
    code=$?
    [ $code -eq "$wanted" ] || { wrong "$*: exit $code, wanted $wanted"; sed 's/^/    /' "$dir/err" >&2; }
}
says() { grep -qF -- "$1" "$dir/err" || { wrong "stderr does not say: $1"; sed 's/^/    /' "$dir/err" >&2; }; }
prints() { [ "$(cat "$dir/stdout")" = "$1" ] || wrong "prints $(cat "$dir/stdout"), wanted $1"; }
# stay LINES...: these lines of $dir/in are in $dir/out.jsonl, by their numbers.
stay() { for n; do sed -n "${n}p" "$dir/in"; done | sed 's/\r$//; s/^ *//' | cmp - "$dir/out.jsonl" || wrong "others stay than $*"; }
# rejected LINES: of the rejects, as uid stage.reason.
rejected() { [ "$(sed -E 's/^\{"uid":"([^"]*)","stage":"([^"]*)","reason":"([^"]*)","message":".+"\}$/\1 \2.\3/' "$dir/out.rejects.jsonl")" = "$1" ] || wrong "rejects: $(cat "$dir/out.rejects.jsonl")"; }

# draw UID PATH TEXT, edit UID PATH TEXT: a record.
draw() { printf '{"uid": "%s", "task":"generate","images":[{"path":"%s","role":"target"}],"turns":[{"from":"human","value":"%s"},{"from":"gpt","value":"<gen>"}],"sd":{"prompt":"p"}}\n' "$@"; }
edit() { printf '{"schema":"genllava.sample/1","uid":"%s","source":"s","task":"edit","images":[{"path":"a/%s.png","role":"input"},{"path":"b.png","role":"target"}],"turns":[{"from":"human","value":"<image>\\n%s"},{"from":"gpt","value":"<gen>"}],"prov":{"license":"cc0"}%s}\n' "$@"; }
{
    draw 1 x.png 'Draw  a cat.' | sed 's/$/\r/'
    printf '\n'
    draw 2 y.png 'draw a\u00a0CAT!?'          # the same instruction, another picture
    draw 3 x.png ' <image>draw a cat'         # the same text
    edit 4 1 'Make it \u00e9 \"1\".' ',"weight":1e0,"more":[1.50]'
    draw 5 z.png 'DRAW a cat'                 # once more
    draw 6 z.png 'draw a c\u00c4t'            # letters beyond ASCII keep their case
    draw 7 z.png 'draw a c\u00e4t'
    edit 8 1 'make it \u00e9 \"1\"' ''
    printf '   '; draw 9 000042.png 'x'
    sed 's/generate/understand/; s/"target"/"input"/; s/<gen>/yes/' < <(draw 10 y.png '<image>draw a cat')
    draw 11 COCO_val2014_000000000007.jpg 'y'
} > "$dir/in"
curate 0 filter --in "$dir/in" --out "$dir/out.jsonl" --format json
stay 1 3 5 6 7 8 10 11 12
prints '{"in":11,"out":9,"rejected":{"dedupe.same_text":2}}'
rejected "$(printf '3 dedupe.same_text\n8 dedupe.same_text')"
curate 0 filter --in - --out "$dir/out.jsonl" --max-same 1 --exclude-image-ids <(printf '# ids\n42\n7\n') < "$dir/in"
stay 1 5 7 8 11
rejected "$(printf '2 dedupe.too_frequent\n3 dedupe.same_text\n5 dedupe.too_frequent\n8 dedupe.same_text\n9 exclusion.excluded\n11 exclusion.excluded')"
[ "$(sed "s|$dir|DIR|" "$dir/stdout")" = "$(printf 'DIR/out.jsonl: 5 of 11 records\n           2  exclusion.excluded\n           2  dedupe.same_text\n           2  dedupe.too_frequent')" ] || wrong "for people: $(cat "$dir/stdout")"
# A list that looks like something else is told of.
printf '3, 4\n' > "$dir/several"
curate 0 filter --in "$dir/in" --out "$dir/same.jsonl" --exclude-image-ids "$dir/several"
says "$dir/several: 1 id of pictures to leave out"
says "$dir/several:1: this line holds several ids, expected an id a line (1 such line)"
# Through it once more: nothing changes.
curate 0 filter --in "$dir/out.jsonl" --out "$dir/same.jsonl" --max-same 0
cmp "$dir/same.jsonl" "$dir/out.jsonl" || failed=1
# What is read is not written over.
ln -s . "$dir/way"
for name in same.jsonl same.rejects.jsonl; do
    cp "$dir/out.jsonl" "$dir/$name"
    for reads in "--in $dir/$name" "--in $dir/in --exclude-image-ids $dir/$name" "--in $dir/in --features $dir/way/f.jsonl"; do
        cp $features/fixed.h5 "$dir/f.jsonl"
        out=$dir/way/same.jsonl
        [ "${reads##*/}" = f.jsonl ] && out=$dir/f.jsonl
        curate 2 filter $reads --out "$out"
        says "${reads##* }: is read, and --out $out would replace or remove it; give another --out"
        cmp "$dir/$name" "$dir/out.jsonl" && cmp "$dir/f.jsonl" $features/fixed.h5 || wrong "$reads is written over"
    done
done

# ---------------------------------------------------------------- scores: numbers of tests/data/curate/features.c
{
    edit r/1 1 'a' ''
    edit r/1 2 'b' ', "scores" : {"x\u00e9":1.50,"clip_sim_1":7,"y":{"}":2}} , "z":"\u00fc"'
    edit r/1 3 '\u00fc' ', "scores":null'
    draw r/1 4 'c'
    sed 's/generate/understand/; s/"target"/"input"/; s/<gen>/yes/' < <(draw r/1 5 '<image>d')
    draw none 6 'e'
    edit r/3 7 'f' '' # a picture of zeros
    draw 'r/\u00fc' 8 'g'
} > "$dir/in"
low=(--min-clip -1 --min-clip-image -1 --min-clip-dir -1)
four='"clip_sim_0":0.44036072834334694,"clip_sim_1":-0.7131569869472763,"clip_sim_dir":-0.38864655156484,"clip_sim_image":-0.7787326582604452'
for file in fixed variable; do
    curate 0 filter --in "$dir/in" --out "$dir/out.jsonl" --features $features/$file.h5 "${low[@]}"
    rejected "$(printf 'none scores.no_features\nr/3 scores.clip')"
    sed -E -n "1s/}\$/,\"scores\":{$four}}/p; 2s/\"scores\" : .*\\}\\} ,/\"scores\" : {\"xé\":1.5,\"y\":{\"}\":2},$four} ,/p; 3s/null/{$four}/p; 4s/}\$/,\"scores\":{\"clip_sim_1\":-0.7131569869472763}}/p; 5p; 8s/}\$/,\"scores\":{\"clip_sim_1\":0.6160776057515379}}/p" "$dir/in" > "$dir/wanted"
    # the last digits are the compiler's
    sed -E 's/([0-9]\.[0-9]{12})[0-9]*/\1/g' "$dir/wanted" > "$dir/wanted.12"
    sed -E 's/([0-9]\.[0-9]{12})[0-9]*/\1/g' "$dir/out.jsonl" | cmp - "$dir/wanted.12" || { diff "$dir/out.jsonl" "$dir/wanted" >&2; failed=1; }
done
# Scores that are none give way too, whatever they are.
for odd in 5 true '[]' '[1,{"a":"],}\\""},[2]]' '"x,}{\\""' '{}'; do
    draw r/1 4 'c' | sed "s|}\$|,\"scores\": $odd ,\"z\":[1]}|"
done > "$dir/in.odd"
curate 0 filter --in "$dir/in.odd" --out "$dir/out.jsonl" --features $features/fixed.h5 --max-same 0 --min-clip -1
rejected "$(for n in 2 3 4 5 6; do echo r/1 dedupe.same_text; done)"
while read -r line; do
    echo "$line" > "$dir/one"
    curate 0 filter --in "$dir/one" --out "$dir/out.jsonl" --features $features/fixed.h5 --min-clip -1
    draw r/1 4 'c' | sed 's|}$|,"scores": {"clip_sim_1":-0.713156986947| ; s|$|} ,"z":[1]}|' > "$dir/wanted"
    sed -E 's/([0-9]\.[0-9]{12})[0-9]*/\1/g' "$dir/out.jsonl" | cmp - "$dir/wanted" || { diff "$dir/out.jsonl" "$dir/wanted" >&2; failed=1; }
done < "$dir/in.odd"
# threshold OPTION VALUE NUMBER: so many stay.
threshold() {
    curate 0 filter --in "$dir/in" --out "$dir/out.jsonl" --features $features/fixed.h5 "${low[@]}" "$1" "$2" --format json
    grep -qF "\"out\":$3," "$dir/stdout" || wrong "$1 $2: $(cat "$dir/stdout"), wanted $3"
}
threshold --min-clip -0.72 6
threshold --min-clip -0.71 2 # what does not draw, and the last one
threshold --min-clip-image -0.77 3
threshold --min-clip-image -0.78 6
threshold --min-clip-dir -0.38 3
threshold --min-clip-dir -0.39 6
curate 0 filter --in "$dir/in" --out "$dir/out.jsonl" --features $features/fixed.h5
rejected "$(printf 'r/1 scores.clip\nr/1 scores.clip\nr/1 scores.clip\nr/1 scores.clip\nnone scores.no_features\nr/3 scores.clip')"

# ---------------------------------------------------------------- stats
curate 0 stats --format json <(draw 1 a 'Draw it!'; edit 2 b 'draw  it' '') - < <(edit 3 c 'Draw me' ''; sed 's/edit/understand/' <(edit 4 c x ''))
prints '{"records":4,"tasks":{"understand":1,"generate":1,"edit":2},"sources":{"s":3,"":1},"licenses":{"cc0":3,"":1},"instructions":[{"text":"draw it","n":2},{"text":"draw me","n":1}]}'
curate 0 stats <(for i in $(seq 25); do draw $i a "a\\n$i"; done; edit x b 'a 7' '')
[ "$(sed -n '1,3p; 11,13p; $p' "$dir/stdout")" = "$(printf '26 records\n          25  generate\n           1  edit\n           2  a 7\n           1  a 1\n           1  a 2\n              and 5 more')" ] || wrong "stats for people: $(cat "$dir/stdout")"
: > "$dir/empty"
curate 0 stats --format json "$dir/empty"
prints '{"records":0,"tasks":{},"sources":{},"licenses":{},"instructions":[]}'

# ---------------------------------------------------------------- what is an error
# bad LINE SENTENCE: the third line of a file (the second is blank).
echo old > "$dir/out.jsonl"
bad() {
    { draw 1 x y; echo; printf '%s\n' "$1"; } > "$dir/in"
    curate 65 filter --in "$dir/in" --out "$dir/out.jsonl"
    says "$dir/in:3:$2"
    curate 65 stats "$dir/in"
    says "$dir/in:3:$2"
    [ "$(cat "$dir/out.jsonl")" = old ] || wrong "the old output is gone after $1"
}
bad '{"uid":' '8: expected a value'
bad '[]' ' no record: 3:1: a row is an array, expected an object'
bad '{"id":"x","conversations":[{"from":"human","value":"x"},{"from":"gpt","value":"y"}]}' ' no unified record: it has no "uid"; prepare --export makes unified records of other layouts'
bad '{"uid":"x","task":"paint","turns":[]}' ' no record: 3:19: "task" is "paint", expected understand, generate or edit'
bad "$(draw 2 x y)x" ''
curate 2 filter --in "$dir/in"
says "--out FILE.jsonl is needed"
curate 2 filter --out "$dir/out.jsonl"
says "--in FILE is needed"
curate 2 filter --in - --exclude-image-ids - --out "$dir/out.jsonl"
says "standard input can be --in or --exclude-image-ids, not both"
for option in --min-clip --min-clip-image --min-clip-dir; do
    curate 2 filter --in "$dir/in" --out "$dir/out.jsonl" $option 0.2
    says "$option: there is nothing that it could be compared with; give --features FILE.h5 too"
done
curate 2 filter --in "$dir/in" --out "$dir/out.jsonl" --max-same -1
curate 2 stats
says "FILE… is needed"
curate 66 filter --in "$dir/none" --out "$dir/out.jsonl"
curate 66 stats "$dir/none"
curate 73 filter --in "$dir/empty" --out "$dir/none/out.jsonl"
[ "$(cat "$dir/out.jsonl")" = old ] && [ "$(find "$dir" -name '.*.new' | wc -l)" -eq 0 ] || wrong "errors leave $(ls -A "$dir")"
for i in $(seq 100); do draw $i a "number $i"; done > "$dir/in"
(ulimit -f 4; curate 74 filter --in "$dir/in" --out "$dir/out.jsonl"; exit $failed) || failed=1
[ "$(cat "$dir/out.jsonl")" = old ] && [ "$(find "$dir" -name '.*.new' | wc -l)" -eq 0 ] || wrong "a full disk leaves $(ls -A "$dir")"

# ---------------------------------------------------------------- many bytes in little memory
pad=$(head -c 15000 /dev/zero | tr '\0' x)
draw N picture words | sed "s/\"uid\"/\"pad\":\"$pad\",\"uid\"/" > "$dir/one"
awk '{ for (i = 0; i < 20000; i++) { line = $0; sub(/"uid": "N"/, "\"uid\": \"" i "\"", line); sub(/words/, "words of " i, line); print line } }' "$dir/one" > "$dir/in"
(ulimit -v 262144; curate 0 filter --in "$dir/in" --out "$dir/out.jsonl" --format json; exit $failed) || failed=1
prints '{"in":20000,"out":20000,"rejected":{}}'
cmp "$dir/in" "$dir/out.jsonl" || failed=1
(ulimit -v 262144; curate 0 stats --format json "$dir/in"; exit $failed) || failed=1
[ "$(grep -o '"n":1}' "$dir/stdout" | wc -l)" -eq 20000 ] || wrong "stats of many: $(head -c 300 "$dir/stdout")"
exit $failed
