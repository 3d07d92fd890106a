# prepare on the public layouts of edit data, InstructPix2Pix and MagicBrush, and pictures that are excluded: rows, exit codes, what makes
# shards stale, equal bytes after kills. $1: the build folder.
. tests/cli/_prepare.sh
fixture=$root/tests/fixtures/edit_sets
cp -r "$fixture" "$tmp/sets"
cat > "$tmp/run.json" <<END
{"model":{"llm":{"path":"$bases/llm-gqa"},"vision":{"path":"$bases/vision-only"}},
 "data":{"mixture":"mixture.json","shard_samples":5},"train":{"batch":4}}
END
ip2p='{"name":"ip2p","format":"instructpix2pix","root":"sets/instructpix2pix"' magic='{"name":"magic","format":"magicbrush","root":"sets/magicbrush"'
sources() { echo "{\"sources\":[$1]${2:-}}" > "$tmp/mixture.json"; }
prepare() { "$build/prepare" --config "$tmp/run.json" "$@"; }
count() { grep -cF -- "$1" "$2"; }

# the rows of an independent reading, but for the one whose picture is not there
compare() { # NAME ROOT EXPECTED
    expect 0 '' prepare --export "$tmp/$1.jsonl"
    sed "s|\"path\":\"$tmp/$2/|\"path\":\"|g" "$tmp/$1.jsonl" > "$tmp/$1.rows"
    grep -v '"bad"' "$fixture/$3.jsonl" | grep -v '"uid":"ip2p/0000006' | cmp -s - "$tmp/$1.rows" || wrong "$1: other rows: $(diff "$fixture/$3.jsonl" "$tmp/$1.rows" | head -n 4)"
}
sources "$ip2p}"
compare pairs sets/instructpix2pix ip2p-train
grep -q 'row [0-9]*: 0000008/metadata.jsonl:2:' "$tmp/stderr" || wrong "a torn line of scores is not told: $(cat "$tmp/stderr")"
[ "$(grep -c 'this line of scores is passed over' "$tmp/stderr")" = 1 ] || wrong "a torn line is told more than once"
sources "$ip2p,\"split\":\"val\",\"license\":\"mit\"}"
compare pairs_val sets/instructpix2pix ip2p-val
sources "$magic,\"license\":\"cc-by-4.0\"}"
compare turns sets/magicbrush magic-train
sources "$magic,\"license\":\"cc-by-4.0\",\"split\":\"val\"}"
compare turns_val sets/magicbrush magic-val

# bad rows are named; the filter's are no bad rows
sources "$ip2p}"
expect 0 '19 samples' prepare --out "$tmp/out" --report "$tmp/report.json"
for row in '"id":"0000004/41","path":"0000004/prompt.json","reason":"bad_json","message":"1:35: this string has no closing quote' \
    '"path":"0000005/prompt.json","reason":"missing"' '"id":"../outside/5","path":"../outside/prompt.json","reason":"outside_root"' \
    '_1.jpg","reason":"missing","message":"there is no such file in '; do
    [ "$(count "$row" "$tmp/report.json")" = 1 ] || wrong "not reported: $row: $(cat "$tmp/report.json")"
done
[ "$(count '"reason":' "$tmp/report.json")" = 5 ] || wrong "not five bad rows: $(cat "$tmp/report.json")"
sed 's|"0000012", \["|"0000012", ["../../../|; s|"0000013"|"/0000013"|' "$fixture/instructpix2pix/seeds.json" > "$tmp/sets/instructpix2pix/seeds.json"
expect 0 '17 samples' prepare --out "$tmp/out" --report "$tmp/report.json"
[ "$(count '"reason":"outside_root"' "$tmp/report.json")" = 3 ] || wrong "names that lead out: $(cat "$tmp/report.json")"
cp "$fixture/instructpix2pix/seeds.json" "$tmp/sets/instructpix2pix/seeds.json"
sources "$ip2p,\"filter\":{\"clip_sim_dir\":[0.2,null]},\"each\":1,\"max\":3}"
expect 0 '3 samples' prepare --out "$tmp/best" --report "$tmp/best.json"
sources "$ip2p,\"filter\":{\"clip_sim_dir\":[0.2,null]},\"each\":1}"
expect 0 '' prepare --out "$tmp/best" --report "$tmp/best.json"
filtered=$(count '"bad":"filtered"' "$fixture/ip2p-best.jsonl")
[ "$(count "\"left_out\":{\"filtered\":$filtered," "$tmp/best.json")" = 1 ] || wrong "not $filtered rows filtered: $(head -c 300 "$tmp/best.json")"
# a score that no row has leaves a source out whole: that is said, and which scores there are
sources "$ip2p,\"filter\":{\"clip_sim_dri\":[0.2,null]}},{\"name\":\"w\",\"format\":\"magicbrush\",\"root\":\"sets/magicbrush\"}"
expect 0 'no score "clip_sim_dri"; it has p2p_threshold, cfg_scale, clip_sim_0, clip_sim_1, clip_sim_dir, clip_sim_image; did you mean "clip_sim_dir"?' \
    prepare --export "$tmp/typo.jsonl" --set data.max_bad=1
grep -qE 'warning: source "ip2p": its filter leaves out [0-9]+ rows, and none is left' "$tmp/stderr" || wrong "not said: $(cat "$tmp/stderr")"

# whatever rows depend on makes shards stale; a listing that is made of names depends on them
stale() { expect 0 "preparing $tmp/out: files that the rows of source \"$1\" are made of changed" prepare --out "$tmp/out"; }
fresh() { prepare --out "$tmp/out" > /dev/null 2> "$tmp/stderr"; ! grep -q preparing "$tmp/stderr" || wrong "made again: $(cat "$tmp/stderr")"; }
set=$tmp/sets/instructpix2pix
sources "$ip2p}"; stale ip2p; fresh
sed -i 's/make it number 9/make it number X/' "$set/0000009/prompt.json"; stale ip2p; fresh
grep -qF 'make it number X' <(prepare --export - 2> /dev/null) || wrong "the new prompt is not read"
sed -i 's/"0000012"/"0000099"/' "$set/seeds.json"; stale ip2p; fresh
sed -i 's/0\./1./' "$set/0000013/metadata.jsonl"; stale ip2p; fresh
cp "$set/0000000/prompt.json" "$set/0000005/prompt.json"; stale ip2p; fresh
mv "$set/seeds.json" "$tmp/seeds.json"; stale ip2p; fresh
cp "$set"/0000000/*_0.jpg "$set/0000000/5_0.jpg"; cp "$set"/0000000/*[0-9]_1.jpg "$set/0000000/5_1.jpg"; stale ip2p
grep -qF '"uid":"ip2p/0000000/5"' <(prepare --export - 2> /dev/null) || wrong "a pair that came is not read"
set=$tmp/sets/magicbrush/train
sources "$magic}"
expect 0 '10 samples' prepare --out "$tmp/out"; fresh
cp "$set/images/33471/33471-mask1.png" "$set/images/33471/33471-mask2.png"; stale magic; fresh
sed -i 's/let it snow/let it rain/' "$set/edit_sessions.json"; stale magic; fresh
echo '{}' > "$set/global_descriptions.json"; stale magic; fresh

# excluded pictures: by the mixture's list or by the flag's, which stands in its place; they are no bad rows, and max does not count them
for name in COCO_val2014_000000000139 000000033471 139 kept 1390; do cp "$root/tests/fixtures/images/rgb.png" "$tmp/sets/$name.jpg"; done
for name in COCO_val2014_000000000139 000000033471 kept 139 gone 1390; do
    echo "{\"id\":\"$name\",\"image\":\"$name.jpg\",\"conversations\":[{\"from\":\"human\",\"value\":\"<image>\\nQ\"},{\"from\":\"gpt\",\"value\":\"A\"}]}"
done > "$tmp/rows.jsonl"
printf '# benchmark pictures\n 139 \n\n33471\n20-output2.png\ngone\n' > "$tmp/ids.txt"
rows='{"name":"rows","files":"rows.jsonl","image_root":"sets"' dev='{"name":"dev","format":"magicbrush","root":"sets/magicbrush/dev","split":"val"}'
sources "$rows},$dev" ',"exclude_image_ids":"ids.txt"'
expect 0 ': 3 samples, ' prepare --out "$tmp/out" --report "$tmp/report.json" --strict --set data.max_bad=0
grep -qF '5 rows have a picture of the list exclude_image_ids and are left out' "$tmp/stderr" || wrong "not said: $(cat "$tmp/stderr")"
grep -qF '"excluded":5' "$tmp/report.json" || wrong "not counted: $(cat "$tmp/report.json")"
grep -qF '"excluded":5' <(prepare --out "$tmp/out" --log-format json 2> /dev/null) || wrong "not in the result"
fresh
[ "$(prepare --export - 2> /dev/null | grep -o '"uid":"[^"]*"' | tr '\n' ' ')" = '"uid":"rows/kept" "uid":"rows/1390" "uid":"dev/20/1" ' ] || wrong "other rows are left"
expect 0 "preparing $tmp/other: there are none yet" prepare --out "$tmp/other" --exclude-image-ids "$tmp/ids.txt"
diff -r "$tmp/out" "$tmp/other" > /dev/null || wrong "the flag's list gives other shards than the mixture's"
sources "$rows},$dev"
expect 0 "preparing $tmp/out: the mixture's list of excluded pictures (exclude_image_ids) changed" prepare --out "$tmp/out"
expect 0 'the mixture'"'"'s list of excluded pictures (exclude_image_ids) changed' prepare --out "$tmp/out" --exclude-image-ids "$tmp/ids.txt"
diff -r "$tmp/out" "$tmp/other" > /dev/null || wrong "the flag's list gives other shards than the mixture's"
echo kept.jpg >> "$tmp/ids.txt"
expect 0 'the mixture'"'"'s list of excluded pictures (exclude_image_ids) changed' prepare --out "$tmp/out" --exclude-image-ids "$tmp/ids.txt"
expect 0 ': 2 samples, ' prepare --out "$tmp/out" --exclude-image-ids "$tmp/ids.txt"
sources "$rows,\"max\":1},$dev" ',"exclude_image_ids":"ids.txt"'
expect 0 ': 2 samples, ' prepare --out "$tmp/out"
sources "$rows,\"max\":1}" ',"exclude_image_ids":"ids.txt"'
printf '139\n33471\ngone\nkept\n1390\n' > "$tmp/ids.txt"
expect 65 'none of the 6 rows of the mixture can be used: the filters and exclude_image_ids want none' prepare --out "$tmp/none"
expect 66 "$tmp/gone.txt: cannot be opened: No such file or directory (exclude_image_ids of the mixture)" prepare --exclude-image-ids "$tmp/gone.txt"
sources "$rows}" ',"exclude_image_ids":"sets"'
expect 66 "$tmp/sets: is a folder, expected a file (exclude_image_ids of the mixture)" prepare --out "$tmp/none"
sources "$rows}" ',"exclude_image_ids":5'
expect 2 'exclude_image_ids must be a file or null, found 5' prepare --out "$tmp/none"
# a list that does nothing is said, and what is odd about it
printf '# none\n3, 4, 5\nmouse\n6,7\n' > "$tmp/odd.txt"
sources "$rows}" ',"exclude_image_ids":"odd.txt"'
expect 0 "warning: $tmp/odd.txt:2: this line holds several ids, expected an id a line (2 such lines)" prepare --out "$tmp/odd" --jobs 2
[ "$(grep -c "odd.txt: 3 ids of pictures to leave out" "$tmp/stderr")" = 1 ] || wrong "its ids: $(cat "$tmp/stderr")"
[ "$(grep -c "odd.txt:2: this line" "$tmp/stderr")" = 1 ] || wrong "told by each process: $(cat "$tmp/stderr")"
grep -qF "warning: $tmp/odd.txt: no row is left out for it: no picture has one of its numbers or names" "$tmp/stderr" || wrong "not said: $(cat "$tmp/stderr")"
sources "$rows}" ',"exclude_image_ids":"odd.jpg"'
printf '\377\330\0\0' > "$tmp/odd.jpg"
expect 65 "$tmp/odd.jpg:1: is no text in UTF-8 (it has zero bytes), expected an id of a picture a line" prepare --out "$tmp/none"

# what ends the run before anything is written
rm -rf "$tmp/never" "$tmp/sets/magicbrush/test"
cp -r "$tmp/sets/magicbrush/dev" "$tmp/sets/magicbrush/test"
never() { expect "$@" prepare --out "$tmp/never" --report "$tmp/never.json"; ls "$tmp/never"/*.h5 "$tmp/never.json" > /dev/null 2>&1 && wrong "$*: something was written"; }
sources '{"format":"magicbrush","root":"sets/magicbrush/test"}'; never 2 'its test split is never trained on'
ln -s magicbrush/dev "$tmp/sets/held"
for set in magicbrush/dev magicbrush/dev/ held; do
    sources '{"format":"magicbrush","root":"sets/'$set'","split":"train"}'
    never 2 'root is a folder called "dev", and split is "train": expected the split "val", or another root'
    sources '{"format":"magicbrush","root":"sets/'$set'"}'
    expect 0 'this is a folder called "dev", read as the split "train", the default; to hold it out, write "split": "val"' \
        prepare --export "$tmp/said.jsonl" --set data.max_bad=1
    [ "$(grep -c 'this is a folder called' "$tmp/stderr")" = 1 ] || wrong "said more than once: $(cat "$tmp/stderr")"
done
sources '{"format":"magicbrush","root":"sets/magicbrush/train","split":"val"}'; never 2 'root is a folder called "train", and split is "val"'
rm "$tmp/sets/held" "$tmp/said.jsonl"
sources '{"format":"magicbrush","root":"sets/magicbrush","split":"test"}'; never 2 'split is "test"'
sources '{"format":"instructpix2pix","root":"sets/instructpix2pix","split":"test"}'; never 2 'split is "test"'
sources '{"format":"instructpix2pix","root":"sets/gone"}'; never 66 "error: $tmp/sets/gone: cannot be opened"
grep -qF image_root "$tmp/stderr" && wrong "the root is called by the name of another key: $(cat "$tmp/stderr")"
sources '{"format":"magicbrush","root":"sets/instructpix2pix"}'; never 66 "$tmp/sets/instructpix2pix/train/edit_sessions.json: cannot be opened"
sources "$ip2p}"; head -c 100 "$tmp/seeds.json" > "$tmp/sets/instructpix2pix/seeds.json"; never 65 "$tmp/sets/instructpix2pix/seeds.json:1:"
sources "$dev"; echo '{"20":[' > "$tmp/sets/magicbrush/dev/edit_sessions.json"; never 65 "$tmp/sets/magicbrush/dev/edit_sessions.json:"

# killed at random moments, any number of processes: the same bytes in the end
rm -rf "$tmp/sets"; cp -r "$fixture" "$tmp/sets"
sources "$ip2p},$magic}" ',"exclude_image_ids":"ids.txt"'
expect 0 ' samples, ' prepare --out "$tmp/whole" --jobs 1
seed=$RANDOM RANDOM=$seed
for round in 1 2 3 4 5 6; do
    prepare --out "$tmp/killed" --jobs 3 > /dev/null 2>&1 &
    pid=$!
    sleep "0.0$((RANDOM % 90 + 10))"
    { kill -9 $pid; wait $pid; } 2> /dev/null
done
expect 0 ' samples, ' prepare --out "$tmp/killed" --jobs 2
diff -r "$tmp/whole" "$tmp/killed" > /dev/null || wrong "other bytes after kills (seed $seed)"
exit $failed
