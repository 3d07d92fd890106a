# prepare as a person runs it: exit codes and sentences, reports, equal bytes for any jobs and after kills. $1: the build folder.
. tests/cli/_prepare.sh

mkdir "$tmp/images"
for i in 0 1 2 3 4 5; do cp "$root/tests/fixtures/images/rgb.png" "$tmp/images/$i.png"; printf "$i" >> "$tmp/images/$i.png"; done
{
    echo '['
    for i in $(seq 0 59); do
        [ "$i" = 0 ] || echo ','
        image=
        [ $((i % 2)) = 0 ] || image="\"image\":\"$((i % 9)).png\","
        marker=
        [ -z "$image" ] || marker='<image>\n'
        echo "{\"id\":\"r$i\",$image\"conversations\":[{\"from\":\"human\",\"value\":\"${marker}Question $i?\"},{\"from\":\"gpt\",\"value\":\"Answer $i.\"}]}"
    done
    echo ']'
} > "$tmp/rows.json"
cat > "$tmp/run.json" <<END
{"model":{"llm":{"path":"$bases/llm-gqa"},"vision":{"path":"$bases/vision-only"}},
 "data":{"mixture":[{"name":"rows","files":["rows.json"],"image_root":"images"}],"shard_samples":7},"train":{"batch":4}}
END

# help fits the terminal, mistakes are usage errors
expect 0 'usage: prepare --config RUN.json' "$build/prepare" --help
[ "$(wc -L < "$tmp/stdout")" -le 80 ] || wrong "--help is wider than 80 columns"
expect 2 '--config FILE is needed' "$build/prepare" --out "$tmp/x"
expect 2 '--jbos' "$build/prepare" --jbos 3
expect 66 "$tmp/none.json" "$build/prepare" --config "$tmp/none.json"
expect 66 "$tmp/gone.json" "$build/prepare" --config "$tmp/run.json" --set 'data.mixture=[{"name":"a","files":["'"$tmp"'/gone.json"]}]'

# a preparation, its report, and once more
expect 0 "$tmp/one: 51 samples, " "$build/prepare" --config "$tmp/run.json" --out "$tmp/one" --jobs 1 --report "$tmp/report.json"
grep -qxF "warning: 9 of 60 rows left out: 9 missing; $tmp/report.json lists them all" "$tmp/stderr" || wrong "no summary of the bad rows"
[ "$(grep -c ' left out, missing: ' "$tmp/stderr")" = 3 ] || wrong "not the first three rows are said: $(cat "$tmp/stderr")"
[ "$(grep -c '"reason":"missing"' "$tmp/report.json")" = 9 ] || wrong "the report does not list 9 rows"
expect 0 'genllava.report/1' "$build/prepare" --config "$tmp/run.json" --out "$tmp/one" --report -
cmp -s "$tmp/stdout" "$tmp/report.json" || wrong "the report of standard output is another one"
expect 65 '9 of 60 rows cannot be used, and --strict allows none' "$build/prepare" --config "$tmp/run.json" --out "$tmp/one" --strict
expect 65 'none of the 60 rows of the mixture can be used' "$build/prepare" --config "$tmp/run.json" --out "$tmp/none" \
    --set 'data.max_tokens=8'
expect 73 "$tmp/rows.json" "$build/prepare" --config "$tmp/run.json" --out "$tmp/rows.json/inside"

# what is cut, found under another ending, filtered or cut off is said; a source of which too much is bad is refused, by train too
cut() { "$build/prepare" --config "$tmp/run.json" --set data.max_tokens=30 "$@"; }
expect 0 ' rows were cut to data.max_tokens = 30, which costs ' cut --out "$tmp/cut"
grep -q ' of 60 rows left out, [1-9][0-9]* cut$' "$tmp/stdout" || wrong "prepare does not count the rows cut: $(cat "$tmp/stdout")"
expect 0 ' of the samples are cut to data.max_tokens, which costs ' "$build/train" --config "$tmp/run.json" --set model.lora.r=1 \
    --set train.micro_tokens=2048 --set data.max_tokens=30 --set data.shards="$tmp/cut" --set save.dir="$tmp/cut_runs" --steps=1
expect 65 'source "rows": 9 of 60 rows cannot be used (9 missing), and data.max_bad allows a share of 0.1; mend the data, or raise data.max_bad' \
    "$build/prepare" --config "$tmp/run.json" --out "$tmp/one" --set data.max_bad=0.1
expect 65 'source "rows": 9 of 60 rows cannot be used' "$build/train" --config "$tmp/run.json" --set data.max_bad=0.1 --set data.shards="$tmp/one" \
    --set save.dir="$tmp/poor" --steps=1
expect 65 'source "rows": 9 of 60 rows cannot be used' "$build/train" --config "$tmp/run.json" --set data.max_bad=0.1 --set data.shards="$tmp/poor_shards" \
    --set save.dir="$tmp/poor" --dry-run
expect 0 'rows left out' "$build/prepare" --config "$tmp/run.json" --out "$tmp/one" --set data.max_bad=0.15
expect 2 'data.max_bad' "$build/prepare" --config "$tmp/run.json" --out "$tmp/one" --set data.max_bad=1.5
sed 's|0.png|0.jpg|' "$tmp/rows.json" | head -c -200 > "$tmp/renamed.json"
expect 0 '1 picture was found under another ending' "$build/prepare" --config "$tmp/run.json" --out "$tmp/renamed" \
    --set 'data.mixture=[{"name":"a","files":["'"$tmp"'/renamed.json"],"image_root":"'"$tmp"'/images"}]'
grep -q 'bad_json: .*the file ends inside this row; the file was cut off, 58 rows came before' "$tmp/stderr" || wrong "a file cut off: $(cat "$tmp/stderr")"
grep -qxF 'warning: 1 data file could not be read to the end: the rows behind are missing, and nobody knows how many' "$tmp/stderr" || wrong "a file cut off is no warning of its own"

# a task of which nothing is left is said, now and by shards that are there
{ echo '{"uid":"q","task":"understand","turns":[{"from":"human","value":"Q"},{"from":"gpt","value":"A"}]}'
  echo '{"uid":"d","task":"edit","turns":[{"from":"human","value":"Q"},{"from":"gpt","value":"A"}]}'
} > "$tmp/lost.jsonl"
for round in 1 2; do
    expect 0 'warning: of task "edit" not one of 1 row can be used' "$build/prepare" --config "$tmp/run.json" --out "$tmp/lost" \
        --set 'data.mixture=[{"files":"'"$tmp"'/lost.jsonl"}]' --report "$tmp/lost.json"
done
tr -d '\n ' < "$tmp/lost.json" | grep -qF '"edit":{"good":0,"bad":1}' || wrong "the report does not count tasks: $(cat "$tmp/lost.json")"

# a key of a unified row that nearly is one is said; keys of other people are their business
{ echo '{"uid":"q","wieght":2,"metadata":1,"turns":[{"from":"human","value":"Q"},{"from":"gpt","value":"A"}]}'
  echo '{"uid":"d","weights":"ours","weight":2,"turns":[{"from":"human","value":"Q"},{"from":"gpt","value":"A"}]}'
} > "$tmp/slip.jsonl"
expect 0 "warning: $tmp/slip.jsonl: row 0 has the key \"wieght\", which nothing reads; did you mean \"weight\"?" "$build/prepare" --config "$tmp/run.json" \
    --out "$tmp/slip" --jobs 2 --set 'data.mixture=[{"files":"'"$tmp"'/slip.jsonl"}]'
[ "$(grep -c 'nothing reads' "$tmp/stderr")" = 1 ] || wrong "slips: $(cat "$tmp/stderr")"

# so in LLaVA's rows, and where the row is left out for it
{ echo '{"imgae":"1.jpg","conversations":[{"from":"human","value":"Q"},{"from":"gpt","value":"A"}]}'
  echo '{"conversation":[{"from":"human","value":"Q"},{"from":"gpt","value":"A"}]}'
  echo '{"imgae":"1.jpg","conversations":[{"from":"human","value":"<image>\nQ"},{"from":"gpt","value":"A"}]}'
  echo '{"task":"genrate","conversations":[{"from":"human","value":"Q"},{"from":"gpt","value":"A"}]}'
} > "$tmp/slip.jsonl"
expect 0 "warning: $tmp/slip.jsonl: row 0 has the key \"imgae\", which nothing reads; did you mean \"image\"?" "$build/prepare" --config "$tmp/run.json" \
    --out "$tmp/slip" --jobs 2 --report "$tmp/slip.json" --set 'data.mixture=[{"files":"'"$tmp"'/slip.jsonl"}]'
grep -qF 'row 3: its "task" is none of understand, generate and edit, and is passed over; did you mean "generate"?' "$tmp/stderr" || wrong "tasks: $(cat "$tmp/stderr")"
grep -qF '; it has the key \"conversation\", did you mean \"conversations\"?' "$tmp/slip.json" || wrong "the report: $(cat "$tmp/slip.json")"
grep -qF '; it has the key \"imgae\", did you mean \"image\"?' "$tmp/slip.json" || wrong "the report: $(cat "$tmp/slip.json")"

# a file that is trained on and held out
expect 0 "warning: $tmp/slip.jsonl: a file of data.mixture and of data.validation: rows that are trained on are not held out" "$build/prepare" \
    --config "$tmp/run.json" --out "$tmp/slip" --set 'data.mixture=[{"files":"'"$tmp"'/slip.jsonl"}]' --set 'data.validation=[{"files":"'"$tmp"'/slip.jsonl"}]'
[ "$(grep -c 'are not held out' "$tmp/stderr")" = 1 ] || wrong "said more than once: $(cat "$tmp/stderr")"

# rows that describe pictures do not draw them, whatever their source says; how they would is said
cp "$root/tests/fixtures/images/rgb.png" "$tmp/a.png"
echo '{"image":"a.png","conversations":[{"from":"human","value":"<image>\nQ"},{"from":"gpt","value":"A"}]}' > "$tmp/slip.jsonl"
expect 65 'marker_mismatch: task generate, and no picture to draw (an image of role target, <gen> in an answer); a source whose answers describe their pictures has "format": "llava-reversed" and no task' \
    "$build/prepare" --config "$tmp/run.json" --out "$tmp/slip" --set 'data.mixture=[{"files":"'"$tmp"'/slip.jsonl","task":"generate"}]'

# what becomes of target images is said in a line
draws() { echo "{\"uid\":\"$1\",\"task\":\"$2\",\"images\":[$3],\"turns\":[{\"from\":\"human\",\"value\":\"$4\"},{\"from\":\"gpt\",\"value\":\"<gen>\"}]}"; }
input='{"path":"0.png"}' target='{"path":"1.png","role":"target"}'
{
    draws a generate "$target" 'Draw it'; draws b generate "$target" 'Draw it again'; draws c edit "$input,$target" '<image> Now red'
    draws d edit "$target" 'Now red'; draws e understand "$target" 'Draw it'
} > "$tmp/drawing.jsonl"
expect 0 '3 target images of 2 rows of task "generate" and 1 of task "edit": this run learns their text and not to draw them (model.diffusion.path is null)' \
    "$build/prepare" --config "$tmp/run.json" --out "$tmp/drawing" \
    --set 'data.mixture=[{"name":"a","files":["'"$tmp"'/drawing.jsonl"],"image_root":"'"$tmp"'/images"}]'
grep -qF 'left out, marker_mismatch: task edit, and no input image' "$tmp/stderr" || wrong "an edit row without a source: $(cat "$tmp/stderr")"
grep -qF 'warning: 1 row of task "understand" with target images: only their text is learned' "$tmp/stderr" || wrong "targets of understand: $(cat "$tmp/stderr")"

expect 0 'of task "edit": loss.generate' "$build/prepare" --config "$root/tests/fixtures/parity/draw_l2norm/config.json" --out "$tmp/learned"
grep -qF ': loss.generate and loss.edit say how this run learns to draw them' "$tmp/stderr" || wrong "a run that draws: $(cat "$tmp/stderr")"
grep -qF 'left out, no_prompt: task generate without "sd": {"prompt": text}' "$tmp/stderr" || wrong "a row without its prompt: $(cat "$tmp/stderr")"

# a row of 15 MB costs little more than that, one word of 15 MB is too long, and the other rows are as ever
{
    echo '[{"id":"long","conversations":[{"from":"human","value":"Q"},{"from":"gpt","value":"'
    yes 'the red star on a blue ring ' | tr -d '\n' | head -c 15000000
    echo '"}]},{"id":"word","conversations":[{"from":"human","value":"Q"},{"from":"gpt","value":"'
    head -c 15000000 /dev/zero | tr '\0' x
    echo '"}]},{"id":"x","conversations":[{"from":"human","value":"Q"},{"from":"gpt","value":"A"}]}]'
} | tr -d '\n' > "$tmp/long.json"
expect 0 '2 samples, 0 images' bash -c 'ulimit -v 1000000; exec "$@"' - "$build/prepare" --config "$tmp/run.json" --out "$tmp/long" --jobs 2 \
    --set 'data.mixture=[{"name":"long","files":["'"$tmp"'/long.json"]}]'
grep -q ' (id word) left out, too_long: a word of more than 1 MiB' "$tmp/stderr" || wrong "a word of 15 MB: $(cat "$tmp/stderr")"

# train says each row once, whether it prepares or only plans
expect 0 "9 of 60 rows left out: 9 missing; $tmp/one/manifest.jsonl lists them all" "$build/prepare" --config "$tmp/run.json" --out "$tmp/one"
small="--config $tmp/run.json --set model.lora.r=1 --set train.micro_tokens=2048 --set data.shards=$tmp/planned"
for last in --dry-run --steps=1; do
    expect 0 '9 of 60 rows left out: 9 missing; ' "$build/train" $small --set "save.dir=$tmp/runs" $last
    [ "$(grep -c 'left out\|cannot be used' "$tmp/stderr")" = 4 ] || wrong "train $last says rows more than once: $(cat "$tmp/stderr")"
    [ "$last" = --steps=1 ] || grep -qF 'prepare --report FILE.json lists them all' "$tmp/stderr" || wrong "a dry run does not say where the rows are"
done

# the same bytes with other jobs, and after kills at random moments (the seed is printed when it fails)
expect 0 '8 shards' "$build/prepare" --config "$tmp/run.json" --out "$tmp/two" --jobs 2
diff -r "$tmp/one" "$tmp/two" > /dev/null || wrong "two jobs make other bytes than one"
seed=$RANDOM RANDOM=$seed
for round in 1 2 3 4 5 6; do
    "$build/prepare" --config "$tmp/run.json" --out "$tmp/killed" --jobs 2 > /dev/null 2>&1 &
    pid=$!
    sleep "0.0$((RANDOM % 90 + 10))"
    { kill -9 $pid; wait $pid; } 2> /dev/null
done
expect 0 '8 shards' "$build/prepare" --config "$tmp/run.json" --out "$tmp/killed"
diff -r "$tmp/one" "$tmp/killed" > /dev/null || wrong "other bytes after kills (seed $seed)"

# an interrupt says what is kept, exits with 75, and is gone on from
code=0
for round in $(seq 40); do
    rm -rf "$tmp/stopped"
    "$build/prepare" --config "$tmp/run.json" --out "$tmp/stopped" > /dev/null 2> "$tmp/stderr" &
    pid=$!
    sleep "0.0$((RANDOM % 30 + 5))"
    kill -TERM $pid 2> /dev/null
    wait $pid
    code=$?
    [ $code != 75 ] || break
done
[ $code = 75 ] && grep -q 'stopped; the shards and cached results that are finished stay' "$tmp/stderr" || wrong "stopped: exit $code: $(cat "$tmp/stderr")"
expect 0 '8 shards' "$build/prepare" --config "$tmp/run.json" --out "$tmp/stopped"
diff -r "$tmp/one" "$tmp/stopped" > /dev/null || wrong "other bytes after an interrupt"
expect 0 '"samples":51,"images":' "$build/prepare" --config "$tmp/run.json" --out "$tmp/one" --log-format json
grep -qv '^{"time":' "$tmp/stderr" && wrong "messages that are no JSON: $(cat "$tmp/stderr")"

# a full disk: 74, the file and the cause, nothing half done, and it goes on when there is room
expect 74 'File too large' bash -c 'ulimit -f 8; exec "$@"' - "$build/prepare" --config "$tmp/run.json" --out "$tmp/full"
ls -A "$tmp/full" | grep -q tmp && wrong "a full disk leaves temporary files"
expect 0 '8 shards' "$build/prepare" --config "$tmp/run.json" --out "$tmp/full"
diff -r "$tmp/one" "$tmp/full" > /dev/null || wrong "other bytes after a full disk"

# a damaged shard is made again
printf X | dd of="$tmp/two/shard-00003-of-00008.h5" bs=1 seek=2000 conv=notrunc 2> /dev/null
expect 0 'shard-00003-of-00008.h5 is damaged and is made again' "$build/prepare" --config "$tmp/run.json" --out "$tmp/two"
diff -r "$tmp/one" "$tmp/two" > /dev/null || wrong "other bytes after a repair"

# a folder where a shard belongs is named, whether the shard was there or is still to be made
mv "$tmp/two/shard-00003-of-00008.h5" "$tmp/kept"
mkdir "$tmp/two/shard-00003-of-00008.h5" "$tmp/begun"
mkdir "$tmp/begun/shard-00003-of-00008.h5"
for out in two begun; do
    expect 65 "$tmp/$out/shard-00003-of-00008.h5: is a folder, expected a shard of this set; move it away" \
        "$build/prepare" --config "$tmp/run.json" --out "$tmp/$out"
done
expect 65 "$tmp/two/shard-00003-of-00008.h5: is a folder, expected a shard of this set; move it away" \
    "$build/train" --config "$tmp/run.json" --set data.shards="$tmp/two" --set save.dir="$tmp/older"
rmdir "$tmp/two/shard-00003-of-00008.h5"
mv "$tmp/kept" "$tmp/two/shard-00003-of-00008.h5"

# shards of the older layout are made again, whoever meets them, and one line says why
for again in "prepare --config $tmp/run.json --out $tmp/two" "train $small --set data.shards=$tmp/two --set save.dir=$tmp/older --steps=1"; do
    sed -i '1s|genllava.shard/2|genllava.shard/1|; 1s|"config_sha256":"[0-9a-f]*|"config_sha256":"'"$(printf '%064d' 1)"'|' "$tmp/two/manifest.jsonl"
    for shard in "$tmp/two"/*.h5; do printf 'GENLLAVA SHARD 1\n' | dd of="$shard" conv=notrunc 2> /dev/null; done
    expect 0 "preparing $tmp/two: schema was genllava.shard/1, is genllava.shard/2" "$build"/$again
    diff -r "$tmp/one" "$tmp/two" > /dev/null || wrong "other bytes where shards of the older layout were"
done
exit $failed
