#!/bin/bash
# evaluate features: pictures, texts and records to files that clip-score, fid and curate filter read; the first two on pictures and
# texts themselves; what it says of bad input. $1: the build folder. The scores are those that tests/oracle/features.py prints.
set -u
build=$(realpath "$1") bad=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
wrong() { echo "evaluate_features.sh: $*"; bad=1; }
features() { "$build/evaluate" features --device cpu "$@" > "$dir/stdout" 2> "$dir/err"; }
# refused CODE SENTENCE WORDS…
refused() {
    local code=$1 sentence=$2 rc
    shift 2
    features "$@"
    rc=$?
    [ $rc = "$code" ] || wrong "$*: exit $rc, wanted $code: $(cat "$dir/err")"
    grep -qF -- "$sentence" "$dir/err" || wrong "$*: says $(cat "$dir/err"), wanted $sentence"
    [ ! -s "$dir/stdout" ] || wrong "$*: printed though it failed"
    [ -z "$(find "$dir/to" -mindepth 1)" ] || wrong "$*: leaves $(find "$dir/to" -mindepth 1)"
}
mkdir "$dir/clip" "$dir/pictures" "$dir/to" "$dir/none"
cp tests/fixtures/features/clip/* tests/fixtures/clip_tokenizer/padded_with_end/* "$dir/clip"
cp tests/fixtures/metrics/pixels/{resized.a,enlarged.a,grey.a}.png "$dir/pictures"
echo text > "$dir/pictures/notes.txt"
long='two circles on a blue ground, and one more circle that goes beyond the sixteen tokens of a prompt'
printf '{"id":"grey.a","text":"%s"}\n{"id":"resized.a","text":"a red circle"}\n{"text":"","id":"enlarged.a"}\n' "$long" > "$dir/texts.jsonl"

# ---- pictures and texts
features --model "$dir/clip" --images "$dir/pictures" --out "$dir/pictures.h5" || wrong "pictures: $(cat "$dir/err")"
[ "$(cat "$dir/stdout")" = "$dir/pictures.h5: 3 rows of 10 features of clip" ] || wrong "pictures: $(cat "$dir/stdout")"
features --model "$dir/clip" --texts "$dir/texts.jsonl" --out "$dir/texts.h5" || wrong "texts: $(cat "$dir/err")"
grep -q '1 texts have more tokens than the network takes and were cut' "$dir/err" || wrong "texts: $(cat "$dir/err")"
"$build/evaluate" clip-score "$dir/pictures.h5" "$dir/texts.h5" --format json | grep -q '^{"metric":"clip-score","n":3,"score":19\.5563' ||
    wrong "clip-score: $("$build/evaluate" clip-score "$dir/pictures.h5" "$dir/texts.h5" --format json)"
"$build/evaluate" fid "$dir/pictures.h5" "$dir/pictures.h5" --format json 2> "$dir/err" | grep -q '"n":3,"n_reference":3,"dim":10,"fid":' ||
    wrong "fid: $(cat "$dir/err")"
# Of another network with as many features a row.
cp -r "$dir/clip" "$dir/other"
printf '\1\2' | dd of="$dir/other/model.safetensors" bs=1 seek=$(($(stat -c %s "$dir/other/model.safetensors") - 2)) conv=notrunc 2> /dev/null
features --model "$dir/other" --images "$dir/pictures" --out "$dir/other.h5" || wrong "another network: $(cat "$dir/err")"
for metric in clip-score fid; do
    "$build/evaluate" $metric "$dir/pictures.h5" "$dir/other.h5" > "$dir/stdout" 2> "$dir/err"
    [ $? -eq 65 ] && grep -qF "$dir/pictures.h5 and $dir/other.h5 are of different networks (weights_sha256 " "$dir/err" ||
        wrong "$metric of different networks: $(cat "$dir/stdout" "$dir/err")"
done
# A prefix is part of the text; one file takes another's place; for programs.
sed 's/"text":"/&A photo depicts /' "$dir/texts.jsonl" > "$dir/prefixed.jsonl"
features --model "$dir/clip" --texts "$dir/prefixed.jsonl" --out "$dir/prefixed.h5" || wrong "prefixed: $(cat "$dir/err")"
features --model "$dir/clip" --texts "$dir/texts.jsonl" --prefix "A photo depicts " --out "$dir/texts.h5" --log-format json || wrong "prefix: $(cat "$dir/err")"
cmp -s "$dir/prefixed.h5" "$dir/texts.h5" || wrong "--prefix gives other features than texts that begin so"
grep -q '"model":"clip","n":3,"dim":10,"truncated":1,"passed_over":0}$' "$dir/stdout" || wrong "JSON: $(cat "$dir/stdout")"

# ---- what compares features takes the pictures and texts themselves, and leaves nothing behind
mkdir "$dir/others" "$dir/one" "$dir/tmp"
cp tests/fixtures/metrics/pixels/{resized,enlarged,grey,alpha}.b.png "$dir/others"
cp tests/fixtures/metrics/pixels/grey.a.png "$dir/one"
export TMPDIR=$dir/tmp
features --model "$dir/clip" --images "$dir/others" --out "$dir/others.h5" || wrong "others: $(cat "$dir/err")"
features --model "$dir/clip" --texts "$dir/texts.jsonl" --out "$dir/plain.h5" || wrong "texts: $(cat "$dir/err")"
# alike COMMAND FILES… -- WORDS…: says of the words what it says of these files of features.
alike() {
    local command=$1 a=$2 b=$3
    shift 4
    "$build/evaluate" "$command" "$a" "$b" --format json > "$dir/of.files" 2> "$dir/err" || wrong "$command $a $b: $(cat "$dir/err")"
    "$build/evaluate" "$command" "$@" --device cpu --format json > "$dir/stdout" 2> "$dir/err" || wrong "$command $*: $(cat "$dir/err")"
    cmp -s "$dir/of.files" "$dir/stdout" || wrong "$command $*: $(cat "$dir/stdout"), of files $(cat "$dir/of.files")"
    [ -z "$(ls "$dir/tmp")" ] || wrong "$command $*: leaves $(ls "$dir/tmp")"
}
alike fid "$dir/pictures.h5" "$dir/others.h5" -- "$dir/pictures" "$dir/others" --inception "$dir/clip"
grep -qF "$dir/pictures: 3 pictures are too few" "$dir/err" || wrong "fid of pictures: $(cat "$dir/err")"
alike fid "$dir/pictures.h5" "$dir/others.h5" -- "$dir/pictures.h5" "$dir/others" --inception "$dir/clip"
alike kid "$dir/pictures.h5" "$dir/others.h5" -- "$dir/pictures" "$dir/others" --inception "$dir/clip"
alike clip-score "$dir/pictures.h5" "$dir/plain.h5" -- "$dir/pictures" "$dir/texts.jsonl" --model "$dir/clip"
alike clip-score "$dir/pictures.h5" "$dir/texts.h5" -- "$dir/pictures" "$dir/texts.jsonl" --model "$dir/clip" --prefix "A photo depicts "
# compares CODE SENTENCE WORDS…
compares() {
    local code=$1 sentence=$2 rc
    shift 2
    "$build/evaluate" "$@" > "$dir/stdout" 2> "$dir/err"
    rc=$?
    [ $rc = "$code" ] && grep -qF -- "$sentence" "$dir/err" && [ ! -s "$dir/stdout" ] && [ -z "$(ls "$dir/tmp")" ] ||
        wrong "$*: exit $rc, says $(cat "$dir/stdout" "$dir/err"), leaves $(ls "$dir/tmp")"
}
compares 2 "evaluate fid: $dir/pictures is a folder of pictures, and no file of features: give the network, --inception FILE" fid "$dir/pictures" "$dir/others"
compares 2 "$dir/texts.jsonl is a list of texts, and no file of features: give the network, --model DIR" clip-score "$dir/pictures.h5" "$dir/texts.jsonl"
compares 2 "evaluate clip-score: --prefix stands before texts, expected a FILE.jsonl" clip-score "$dir/pictures.h5" "$dir/texts.h5" --prefix "A photo depicts "
compares 65 "$dir/one: " fid "$dir/pictures" "$dir/one" --inception "$dir/clip" --device cpu
compares 65 "$dir/pictures and $dir/other.h5 are of different networks" fid "$dir/pictures" "$dir/other.h5" --inception "$dir/clip" --device cpu
compares 66 "$dir/none: holds no picture" fid "$dir/pictures" "$dir/none" --inception "$dir/clip" --device cpu
unset TMPDIR

# ---- records, scored by curate filter
{
    printf '{"schema":"genllava.sample/1","uid":"e","task":"edit","images":[{"path":"resized.a.png","role":"input"},{"path":"grey.a.png","role":"target"}],"turns":[{"from":"human","value":"<image>\\nChange it."},{"from":"gpt","value":"<gen>"}],"sd":{"src_prompt":"%s","prompt":"a red circle"}}\n' "$long"
    printf '{"schema":"genllava.sample/1","uid":"g","task":"generate","images":[{"path":"enlarged.a.png","role":"target"}],"turns":[{"from":"human","value":"Draw."},{"from":"gpt","value":"<gen>"}],"sd":{"prompt":"a red circle"}}\n'
    printf '{"schema":"genllava.sample/1","uid":"u","task":"understand","images":[{"path":"none.png","role":"input"}],"turns":[{"from":"human","value":"<image>\\nWhat?"},{"from":"gpt","value":"That."}]}\n'
} > "$dir/records.jsonl"
features --model "$dir/clip" --records "$dir/records.jsonl" --images "$dir/pictures" --out "$dir/records.h5" || wrong "records: $(cat "$dir/err")"
grep -q '1 records have no features' "$dir/err" || wrong "records: $(cat "$dir/err")"
"$build/curate" filter --in "$dir/records.jsonl" --out "$dir/kept.jsonl" --features "$dir/records.h5" --min-clip -1 --min-clip-image -1 --min-clip-dir -1 > "$dir/stdout" 2> "$dir/err" ||
    wrong "filter: $(cat "$dir/err")"
grep -q '"uid":"e".*"scores":{"clip_sim_0":-0\.17076[0-9]*,"clip_sim_1":-0\.72537[0-9]*,"clip_sim_dir":-0\.32703[0-9]*,"clip_sim_image":0\.4166' "$dir/kept.jsonl" ||
    wrong "scores of an edit: $(cat "$dir/kept.jsonl")"
grep -q '"uid":"g".*"scores":{"clip_sim_1":0\.4870' "$dir/kept.jsonl" || wrong "scores of a drawing: $(cat "$dir/kept.jsonl")"

# ---- bad input
out="--out $dir/to/f.h5"
refused 2 'model DIR is needed' --images "$dir/pictures" $out
refused 2 '--images DIR, --texts FILE.jsonl or --records FILE.jsonl is needed' --model "$dir/clip" $out
refused 2 '--texts makes a file of its own' --model "$dir/clip" --images "$dir/pictures" --texts "$dir/texts.jsonl" $out
refused 2 '--prefix stands before texts' --model "$dir/clip" --images "$dir/pictures" --prefix x $out
refused 2 'reads no texts' --model tests/fixtures/features/vit --texts "$dir/texts.jsonl" $out
refused 66 'holds no picture' --model "$dir/clip" --images "$dir/none" $out
refused 66 "$dir/absent" --model "$dir/clip" --images "$dir/absent" $out
refused 66 "$dir/none/config.json" --model "$dir/none" --images "$dir/pictures" $out
refused 73 "$dir/absent" --model "$dir/clip" --images "$dir/pictures" --out "$dir/absent/f.h5"
for row in '{"id":1}' '{"text":"x"}' '{"id":1.5,"text":"x"}' '{"id":1,"text":3}' '[]' '{"id":1,"te'; do
    echo "$row" > "$dir/row.jsonl"
    refused 65 'row.jsonl:1' --model "$dir/clip" --texts "$dir/row.jsonl" $out
done
: > "$dir/row.jsonl"
refused 65 'holds no text' --model "$dir/clip" --texts "$dir/row.jsonl" $out
refused 65 'holds no record' --model "$dir/clip" --records "$dir/row.jsonl" $out
refused 66 "none.png" --model "$dir/clip" --records <(sed 's/grey.a.png/none.png/' "$dir/records.jsonl") --images "$dir/pictures" $out
head -c 100 "$dir/pictures/grey.a.png" > "$dir/pictures/cut.png"
refused 65 "picture $dir/pictures/cut.png" --model "$dir/clip" --images "$dir/pictures" $out
exit $bad
