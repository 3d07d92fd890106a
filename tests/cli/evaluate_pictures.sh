#!/bin/bash
# evaluate pixels, fid, kid, clip-score and the benchmarks of editing: their JSON, tables, and what it says of bad input.
set -u
build=$1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
pairs=tests/fixtures/metrics/pixels
bad=0
wrong() { echo "$1"; bad=1; }
# refused CODE SENTENCE WORDS…: evaluate WORDS ends with CODE, says SENTENCE and prints nothing.
refused() {
    local code=$1 sentence=$2 rc
    shift 2
    "$build/evaluate" "$@" > "$dir/out" 2> "$dir/err"
    rc=$?
    [ $rc = "$code" ] || wrong "evaluate $*: exit $rc, wanted $code: $(cat "$dir/err")"
    grep -qF -- "$sentence" "$dir/err" || wrong "evaluate $*: says $(cat "$dir/err"), wanted $sentence"
    [ ! -s "$dir/out" ] || wrong "evaluate $*: printed though it failed"
}

# ---- pixels
"$build/evaluate" pixels --pairs $pairs/pairs.jsonl --format json > "$dir/out" || wrong "pixels failed"
grep -q '^{"metric":"pixels","n":9,"l1":0\.[0-9]*,"l2":0\.[0-9]*,"psnr":[0-9.]*,"ssim":0\.[0-9]*,"per_image":\[{"id":"near","l1":' "$dir/out" ||
    wrong "pixels: $(head -c 300 "$dir/out")"
grep -q '{"id":"equal","l1":0.0,"l2":0.0,"psnr":null,"ssim":1.0}' "$dir/out" || wrong "pixels: equal pictures: $(cat "$dir/out")"
"$build/evaluate" pixels --pairs $pairs/pairs.jsonl | grep -q '^9 pairs: L1 0\.[0-9]*, L2 0\.[0-9]*, PSNR [0-9.]*, SSIM 0\.[0-9]*$' ||
    wrong "pixels: no table"
(cd $pairs && sed 's|"\([a-z]*\.[ab]\.png\)"|"'"$PWD"'/\1"|g' pairs.jsonl) | "$build/evaluate" pixels --pairs - --format json > "$dir/again" ||
    wrong "pixels: whole paths from standard input failed"
cmp -s "$dir/out" "$dir/again" || wrong "pixels: whole paths from standard input give other numbers"
refused 2 'needs --pairs' pixels
refused 66 'none.jsonl' pixels --pairs "$dir/none.jsonl"
echo '{"id":1,"a":"none.png","b":"none.png"}' > "$dir/pairs.jsonl"
refused 66 'pairs.jsonl:1' pixels --pairs "$dir/pairs.jsonl"
head -c 200 $pairs/near.a.png > "$dir/cut.png"
echo '{"id":1,"a":"cut.png","b":"cut.png"}' > "$dir/pairs.jsonl"
refused 65 'cut.png' pixels --pairs "$dir/pairs.jsonl"
for row in '{"id":1,"a":"cut.png"}' '{"a":"cut.png","b":"cut.png"}' '[]' '{"id":1,"a":"cut.png","b":3}'; do
    echo "$row" > "$dir/pairs.jsonl"
    refused 65 'pairs.jsonl:1' pixels --pairs "$dir/pairs.jsonl"
done
head -c 30 $pairs/pairs.jsonl > "$dir/pairs.jsonl"
refused 65 'pairs.jsonl:1' pixels --pairs "$dir/pairs.jsonl"
: > "$dir/pairs.jsonl"
refused 65 'holds no pairs' pixels --pairs "$dir/pairs.jsonl"

# ---- LPIPS, as tests/oracle/features.py has it
lpips=$PWD/tests/fixtures/features/lpips
printf '{"id":1,"a":"a.jpg","b":"b.jpg"}\n{"id":2,"a":"c.jpg","b":"b.jpg"}\n' | sed "s|\([abc]\)\.jpg|$lpips/&|g" > "$dir/pairs.jsonl"
mean=$(awk '($1 == "a" || $1 == "c") && $2 == "b" { sum += $3 / 2 } END { printf "%.4f", sum }' "$lpips/distances.txt")
"$build/evaluate" pixels --pairs "$dir/pairs.jsonl" --lpips "$lpips/alex.safetensors" --device cpu 2> "$dir/err" |
    grep -q "^2 pairs: L1 0\.[0-9]*, L2 0\.[0-9]*, PSNR [0-9.]*, SSIM [-0-9.]*, LPIPS $mean\$" || wrong "pixels with LPIPS: $(cat "$dir/err")"
"$build/evaluate" pixels --pairs "$dir/pairs.jsonl" --lpips "$lpips/alex.safetensors" --device cpu --format json 2> "$dir/err" |
    grep -q '^{"metric":"pixels","n":2,.*"ssim":[-0-9.]*,"lpips":[0-9.]*,"per_image":\[{"id":1,.*,"lpips":[0-9.]*},{"id":2,.*,"lpips":[0-9.]*}\]}$' ||
    wrong "pixels with LPIPS as JSON: $(cat "$dir/err")"
refused 66 'none.safetensors' pixels --pairs "$dir/pairs.jsonl" --lpips none.safetensors --device cpu
refused 65 'no tensor net.slice1.0.weight' pixels --pairs "$dir/pairs.jsonl" --lpips tests/fixtures/features/vit/model.safetensors --device cpu
refused 65 'pairs.jsonl:1' pixels --pairs $pairs/pairs.jsonl --lpips "$lpips/alex.safetensors" --device cpu

# ---- fid, clip-score
features=tests/fixtures/metrics/features
"$build/evaluate" fid $features/a.npy $features/b.npy --format json > "$dir/out" 2> "$dir/err" || wrong "fid failed"
grep -q '^{"metric":"fid","n":60,"n_reference":45,"dim":12,"fid":15\.8141789977' "$dir/out" || wrong "fid: $(cat "$dir/out")"
[ ! -s "$dir/err" ] || wrong "fid of enough pictures warns: $(cat "$dir/err")"
"$build/evaluate" fid $features/b_deflated.npz $features/a.npy --format json |
    grep -q '^{"metric":"fid","n":null,"n_reference":60,"dim":12,"fid":15\.8141789977' || wrong "fid of .npz"
"$build/evaluate" fid $features/few.h5 $features/b.npy > "$dir/out" 2> "$dir/err" || wrong "fid of few failed"
grep -q '^FID 31\.2669 (12 features)$' "$dir/out" || wrong "fid: $(cat "$dir/out")"
grep -q 'few.h5: 7 pictures are too few' "$dir/err" || wrong "fid of few does not warn: $(cat "$dir/err")"
for threads in 1 2 3; do
    OMP_NUM_THREADS=$threads "$build/evaluate" fid $features/a.npy $features/b.npy --format json > "$dir/fid.$threads"
done
cmp "$dir/fid.1" "$dir/fid.2" && cmp "$dir/fid.1" "$dir/fid.3" || wrong "fid depends on the number of threads"
refused 2 'needs two sets, folders of pictures or files of features, has 1' fid $features/a.npy
refused 2 'its name has to end in .npy or .h5' fid $features/a.npy $pairs/near.a.png
refused 66 'none.npy' fid $features/a.npy "$dir/none.npy"
refused 65 'they have to come from the same network' fid $features/a.npy $features/images.h5
"$build/evaluate" kid $features/kid_some.npy $features/kid_b.npy --format json |
    grep -q '^{"metric":"kid","n":30,"n_reference":30,"dim":8,"subsets":1,"subset_size":30,"kid":0\.4645048402' || wrong "kid"
"$build/evaluate" kid $features/kid_a.npy $features/kid_b.npy --subset-size 20 --subsets 7 | grep -q '^KID 0\.[0-9]*, deviation 0\.[0-9]* (7 subsets of 20; 8 features)$' ||
    wrong "kid: no line for people"
refused 2 'evaluate kid needs two sets' kid $features/kid_a.npy
refused 65 'they have to come from the same network' kid $features/kid_a.npy $features/images.h5
"$build/evaluate" clip-score $features/images.h5 $features/texts.h5 --format json |
    grep -q '^{"metric":"clip-score","n":7,"score":64\.4147763889[0-9]*,"clipscore":1\.61036940972[0-9]*}$' || wrong "clip-score"
"$build/evaluate" clip-score $features/images.h5 $features/texts.npy | grep -q '^7 pairs: CLIP score 64.41, CLIPScore 1.6104$' ||
    wrong "clip-score: no line for people"
refused 2 'has 0' clip-score
refused 65 'row by row' clip-score $features/images.h5 $features/a.npy

# ---- benchmarks of editing
brush=tests/fixtures/metrics/magicbrush
"$build/evaluate" magicbrush score --data $brush/goals --answers $brush/edits --format json |
    grep -q '^{"bench":"magicbrush","split":"test","n":15,.*"score":0\.3451773351.*"all_turn/n":15.0,"final_turn/l1":0\.26468' ||
    wrong "magicbrush"
"$build/evaluate" magicbrush score --data $brush/goals --answers $brush/edits | grep -q '^all_turn/l2  *0\.1765$' || wrong "magicbrush: no table"
refused 65 'hold no question' magicbrush ask --data $brush/goals --out "$dir/edits" --config run.json
refused 2 'has no server' magicbrush submit --data $brush/goals --answers $brush/edits --out "$dir/out.json"
refused 2 'needs no judge' magicbrush judge --data $brush/goals --answers $brush/edits
refused 2 'one, not 2' magicbrush score --data $brush/goals --answers $brush/edits $brush/goals
refused 2 'needs --answers' magicbrush score --data $brush/goals
refused 65 'pictures are missing' gier score --data tests/fixtures/metrics/edits/data --answers tests/fixtures/metrics/edits/made
"$build/evaluate" --list | grep -q '^ma5k  *split test; files SPLIT.jsonl' || wrong "--list lacks ma5k"
exit $bad
