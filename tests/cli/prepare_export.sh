# prepare --export as a person runs it: what stands where, exit codes, and a file that is whole or not touched. $1: the build folder.
. tests/cli/_prepare.sh
export TMPDIR=$tmp/scans
mkdir "$tmp/images" "$tmp/scans"
cp "$root/tests/fixtures/images/rgb.png" "$tmp/images/0.png"
{
    echo '['
    for i in $(seq 0 99); do
        [ "$i" = 0 ] || echo ','
        image= marker=
        [ $((i % 10)) != 0 ] || image='"image":"0.jpg",' marker='<image>\n'
        [ $((i % 20)) != 5 ] || image='"image":"gone.png",' marker='<image>\n'
        echo "{\"id\":\"r$i\",$image\"conversations\":[{\"from\":\"human\",\"value\":\"${marker}Question $i?\"},{\"from\":\"gpt\",\"value\":\"Answer $i.\"}]}"
    done
    echo ']'
} > "$tmp/rows.json"
cat > "$tmp/run.json" <<END
{"model":{"llm":{"path":"$bases/llm-gqa"},"vision":{"path":"$bases/vision-only"}},
 "data":{"mixture":[{"name":"rows","files":["rows.json"],"image_root":"images","weight":2.5}]},"train":{"batch":4}}
END
prepare() { "$build/prepare" --config "$tmp/run.json" "$@"; }

expect 2 '--export and --out: ' prepare --export "$tmp/a.jsonl" --out "$tmp/x"
expect 2 'both cannot go to standard output' prepare --export - --report -
expect 73 "$tmp/none/a.jsonl: cannot be created" prepare --export "$tmp/none/a.jsonl"
[ ! -e "$tmp/none" ] || wrong "a folder was made"

expect 0 "$tmp/a.jsonl: 95 samples; 5 of 100 rows left out" prepare --export "$tmp/a.jsonl" --report "$tmp/report.json"
grep -qF "$tmp/images/0.jpg is found under another ending" "$tmp/stderr" || wrong "it is not said which: $(cat "$tmp/stderr")"
[ "$(grep -c '"reason":"missing"' "$tmp/report.json")" = 5 ] || wrong "the report does not list 5 rows"
[ "$(wc -l < "$tmp/a.jsonl")" = 95 ] || wrong "not 95 lines: $(wc -l < "$tmp/a.jsonl")"
head -n 1 "$tmp/a.jsonl" > "$tmp/first"
printf '%s\n' '{"schema":"genllava.sample/1","uid":"rows/r0","source":"rows","task":"understand","images":[{"path":"'"$tmp"'/images/0.png","role":"input"}],"turns":[{"from":"human","value":"<image>\nQuestion 0?"},{"from":"gpt","value":"Answer 0."}]}' |
    cmp -s - "$tmp/first" || wrong "the first line: $(cat "$tmp/first")"
[ ! -e "$tmp/runs" ] || wrong "shards were made"

# nothing else on standard output, also for a machine
for format in text json; do
    prepare --export - --log-format $format 2> "$tmp/stderr" | cmp -s - "$tmp/a.jsonl" || wrong "standard output is not the file (--log-format $format)"
done
expect 0 '"exported_to":"'"$tmp/b.jsonl"'","samples":95,"left_out":5' prepare --export "$tmp/b.jsonl" --log-format json --quiet
cmp -s "$tmp/a.jsonl" "$tmp/b.jsonl" || wrong "two exports differ"

# read back below "/" it is the same rows
expect 0 '95 samples; 0 of 95 rows left out' prepare --export "$tmp/c.jsonl" --strict --set 'data.mixture=[{"name":"rows","files":["'"$tmp"'/a.jsonl"],"image_root":"/"}]'
cmp -s "$tmp/a.jsonl" "$tmp/c.jsonl" || wrong "an export of an export is another one"

# what is read is never written over, whatever name it goes by
printf '0\n' > "$tmp/ids"
ln "$tmp/ids" "$tmp/hard"; ln -s rows.json "$tmp/soft"
printf '{"schema":"genllava.requests/1","generate":["Draw: {caption}"],"understand":["Tell."]}' > "$tmp/asks.json"
printf '{"caption":"A dog.","file":"0.jpg"}\n' > "$tmp/words.jsonl"
echo '{"sources":[{"files":["rows.json"],"image_root":"images"},{"format":"captions","files":["words.jsonl"],"image_root":"images","requests":"asks.json"}],"exclude_image_ids":"ids"}' > "$tmp/mix.json"
spared() { # OUTPUT WHAT
    cp "$1" "$tmp/kept"
    for option in --export --report; do
        expect 2 "$option $1: is $2, which would be lost; choose another name" \
            prepare $option "$1" --set data.mixture="$tmp/mix.json" --set data.validation="$tmp/held.json"
        cmp -s "$1" "$tmp/kept" || wrong "$1 was written over"
    done
}
cp "$tmp/rows.json" "$tmp/later.json"
echo '[{"files":["later.json"],"image_root":"images"}]' > "$tmp/held.json"
spared "$tmp/run.json" 'the config of this run'
spared "$tmp/mix.json" 'the data.mixture of this run'
spared "$tmp/held.json" 'the data.validation of this run'
spared "$tmp/soft" 'the data file of this run'
spared "$tmp/later.json" 'the data file of this run'
spared "$tmp/words.jsonl" 'the data file of this run'
spared "$tmp/asks.json" 'the file of request templates of this run'
spared "$tmp/hard" 'the list exclude_image_ids of this run'
spared "$tmp/images/0.png" 'a picture'
expect 2 "--export $tmp/both: is the file of --report too" prepare --export "$tmp/both" --report "$tmp/both"
rm "$tmp/ids" "$tmp/hard" "$tmp/soft" "$tmp/asks.json" "$tmp/later.json" "$tmp/words.jsonl" "$tmp/mix.json" "$tmp/held.json" "$tmp/kept"

# the old file stays: data that is refused, a disk that is full, a folder without the right to write, a kill
cp "$tmp/a.jsonl" "$tmp/old"
expect 65 '5 of 100 rows cannot be used' prepare --export "$tmp/a.jsonl" --strict
expect 74 'cannot be written' bash -c 'ulimit -f 8; exec "$@"' - "$build/prepare" --config "$tmp/run.json" --export "$tmp/a.jsonl"
expect 74 'No space left on device' prepare --export /dev/full
"$build/prepare" --config "$tmp/run.json" --export - > /dev/full 2> "$tmp/stderr"
[ $? = 74 ] || wrong "a full standard output is not 74: $(cat "$tmp/stderr")"
for round in 1 2 3 4; do
    "$build/prepare" --config "$tmp/run.json" --export "$tmp/a.jsonl" > /dev/null 2>&1 &
    pid=$!
    sleep "0.0$((RANDOM % 50 + 10))"
    { kill -9 $pid; wait $pid; } 2> /dev/null
done
cmp -s "$tmp/a.jsonl" "$tmp/old" || wrong "the old file did not stay"
expect 0 '95 samples' prepare --export "$tmp/a.jsonl"
[ -z "$(find "$tmp" -name '.*.new')" ] || wrong "a draft stays behind"
[ -z "$(find "$tmp/scans" -name 'more.*' -o -name rows)" ] || wrong "files of the scan stay behind a kill"
if [ "$(id -u)" != 0 ]; then
    mkdir -m 555 "$tmp/closed"
    expect 73 'Permission denied' prepare --export "$tmp/closed/a.jsonl"
fi


# an interrupt says that nothing was made, exits with 75 and leaves nothing
rm -rf "$tmp/scans"/*
for i in $(seq 200); do sed "s/\"r\([0-9]*\)\"/\"r$i-\1\"/; s/^\[\|^\]//" "$tmp/rows.json"; [ $i = 200 ] || echo ','; done | sed '1i [' > "$tmp/many.json"
echo ']' >> "$tmp/many.json"
code=0
for round in $(seq 40); do
    "$build/prepare" --config "$tmp/run.json" --set 'data.mixture=[{"files":["'"$tmp"'/many.json"],"image_root":"'"$tmp"'/images"}]' \
        --export "$tmp/many.jsonl" > /dev/null 2> "$tmp/stderr" &
    pid=$!
    sleep "0.0$((RANDOM % 60 + 30))"
    kill -TERM $pid 2> /dev/null
    wait $pid
    code=$?
    [ $code != 75 ] || break
done
[ $code = 75 ] && grep -q 'stopped; nothing was made' "$tmp/stderr" || wrong "stopped: exit $code: $(cat "$tmp/stderr")"
[ -z "$(ls -A "$tmp/scans")" ] || wrong "an interrupt leaves $(ls -A "$tmp/scans")"
exit $failed
