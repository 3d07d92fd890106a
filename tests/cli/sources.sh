# Sources in the layouts in which data sets are published, from download to shards: prepare reads the files of tests/fixtures/sources beside small
# pictures, and what it makes of them is what the independent reading there says. $1: the build folder.
. tests/cli/_prepare.sh

# the files as they are, and a picture for every name in a good row, each another one
cp -r "$root/tests/fixtures/sources" "$tmp/sources"
cd "$tmp/sources" || exit 1
grep -o '"path":"[^"]*"' expected.jsonl | cut -d'"' -f4 | sort -u > names
for folder in pictures .; do
    while read -r name; do
        mkdir -p "$folder/$(dirname "$name")"
        { cat "$root/tests/fixtures/images/rgb.png"; echo "$name"; } > "$folder/$name"
    done < names
done
cat > run.json <<END
{"model": {"llm": {"path": "$bases/llm-gqa"}, "vision": {"path": "$bases/vision-only"}}, "data": {"mixture": "mixture.json", "max_bad": 1}, "train": {"batch": 4}}
END
good=$(wc -l < expected.jsonl) bad=$(grep -vc '"reason":"filtered"' rejected.jsonl)

# whole
expect 0 "$tmp/one: $good samples, " "$build/prepare" --config run.json --out "$tmp/one" --jobs 1 --report report.json
grep -qF "\"good\":$good," report.json || wrong "the report counts other good rows: $(head -c 200 report.json)"
grep -o '"row":[0-9]*,"id":"[^"]*"' report.json | sed 's/"row"/"row"/' > found_rows
grep -v '"reason":"filtered"' rejected.jsonl | grep -o '"row":[0-9]*,"id":"[^"]*"' > wanted_rows
cmp -s found_rows wanted_rows || { wrong "other rows are left out:"; diff wanted_rows found_rows >&2; }
grep -o '"reason":"[^"]*"' report.json > found_reasons
grep -v '"reason":"filtered"' rejected.jsonl | grep -o '"reason":"[^"]*"' > wanted_reasons
cmp -s found_reasons wanted_reasons || { wrong "for other reasons:"; diff wanted_reasons found_reasons >&2; }
[ "$(wc -l < wanted_rows)" = "$bad" ] || wrong "the fixture is not read as it is meant"
grep -qF 'captions_train2017.json: row 6 (id 54) left out, missing: 13:15: ' "$tmp/stderr" || wrong "a bad row is not named with its place: $(cat "$tmp/stderr")"
expect 0 '"prov":{"license":"other"}}' "$build/inspect" "$tmp/one" --sample 0 --config run.json

# the rows themselves are those of the independent reading
expect 0 '' "$build/prepare" --config run.json --export exported.jsonl
sed "s|\"path\":\"$tmp/sources/\(pictures/\)\{0,1\}|\"path\":\"|g" exported.jsonl > found.jsonl
cmp -s found.jsonl expected.jsonl || { wrong "other rows:"; diff expected.jsonl found.jsonl >&2; }

# the same bytes from several processes; a row that is bad is an error where none may be
expect 0 "$tmp/two: $good samples, " "$build/prepare" --config run.json --out "$tmp/two" --jobs 3
for shard in "$tmp"/one/*.h5; do
    cmp -s <(tail -c +4096 "$shard") <(tail -c +4096 "$tmp/two/$(basename "$shard")") || wrong "three processes make another $(basename "$shard")"
done
expect 65 "$bad of " "$build/prepare" --config run.json --out "$tmp/one" --strict

# held-out rows come from the same layouts; paths of an inline list are relative to the run's file
cat > inline.json <<END
{"model": {"llm": {"path": "$bases/llm-gqa"}, "vision": {"path": "$bases/vision-only"}},
 "data": {"mixture": [{"name": "rows", "format": "captions", "as": "understand", "files": ["rows.jsonl"], "image_root": "pictures", "requests": "requests.json"}],
          "validation": [{"name": "s4v", "format": "sharegpt4v", "as": "generate", "files": ["sharegpt4v.json"], "image_root": "pictures", "requests": "requests.json"}],
          "max_bad": 1}, "train": {"batch": 4}}
END
(mkdir "$tmp/elsewhere" && cd "$tmp/elsewhere" && expect 0 '2 of 2 rows are of task "generate" or "edit"' "$build/train" --config "$tmp/sources/inline.json" --dry-run; exit $failed) || failed=1

# what is missing or broken
mv requests.json away.json
expect 66 "$tmp/sources/requests.json: cannot be opened: No such file or directory (the requests of source \"s4v\" of the mixture)" \
    "$build/prepare" --config run.json --out "$tmp/one"
mv away.json requests.json
cp captions_train2017.json whole.json
head -c 900 whole.json > captions_train2017.json
expect 65 "$tmp/sources/captions_train2017.json:" "$build/prepare" --config run.json --out "$tmp/one"
mv whole.json captions_train2017.json
sed 's/{caption}, please/it/' requests.json > once && mv once requests.json
expect 2 'this template of "generate" holds {caption} 0 times, expected once' "$build/prepare" --config run.json --out "$tmp/one"

# Ten pictures of one's own: a folder with a text beside each, which two sources name; the run goes on from its checkpoint.
mkdir "$tmp/own" "$tmp/own/photos" && cd "$tmp/own" || exit 1
for k in 0 1 2 3; do
    cp "$root/tests/fixtures/images/rgb.png" "photos/$k.PNG" && echo "picture $k" >> "photos/$k.PNG"
    echo "number $k" > "photos/$k.txt"
done
cp photos/0.PNG photos/alone.png
cat > run.json <<END
{"name": "own", "model": {"llm": {"path": "$bases/llm-gqa"}, "vision": {"path": "$bases/vision-only"}},
 "data": {"mixture": [{"name": "draw", "format": "folder", "root": "photos"}, {"name": "describe", "format": "folder", "as": "understand", "root": "photos"}]},
 "train": {"batch": 4, "epochs": 2}}
END
expect 0 'photos: row 4 (id alone.png) left out, no_prompt: alone.png: no caption is beside it, expected one in alone.txt' \
    "$build/train" --config run.json --steps 1
expect 0 'saved ' "$build/train" --config run.json --resume
echo "another caption" > photos/1.txt
expect 2 'own/photos.sha256: ' "$build/train" --config run.json --resume --set train.epochs=3
exit $failed
