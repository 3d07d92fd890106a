#!/bin/bash
# curate request: the bytes that tests/oracle/curate_requests.py made of the same records; what is left out and what is an error; folders that are
# replaced or not, whole or not at all. $1: the build folder.
set -u
build=$(realpath "$1") failed=0 images=$PWD/tests/fixtures/images
dir=$(mktemp -d) || exit 1
trap 'chmod -R u+rwX "$dir"; rm -rf "$dir"' EXIT
wrong() { echo "curate_request.sh: $*" >&2; failed=1; }

# request CODE ARGUMENTS...: output in $dir/stdout and $dir/err.
request() {
    local wanted=$1 code
    shift
    "$build/curate" request "$@" > "$dir/stdout" 2> "$dir/err"
    code=$?
    [ $code -eq "$wanted" ] || { wrong "request $*: exit $code, wanted $wanted"; sed 's/^/    /' "$dir/err" >&2; }
}
says() { grep -qF -- "$1" "$dir/err" || { wrong "stderr does not say: $1"; sed 's/^/    /' "$dir/err" >&2; }; }
# same FOLDER WANTED: the same requests and records.
same() {
    local f
    [ "$(ls "$1")" = "$(ls "$2" | sed '1i recipe.json' | sort)" ] || wrong "$1 holds $(ls -m "$1")"
    for f in "$2"/*; do cmp "$f" "$1/${f##*/}" || failed=1; done
}
# no_trace: nothing of $dir/out or its hidden folder is there.
no_trace() { [ -z "$(find "$dir" -name 'out' -o -name '.out*')" ] || wrong "$1: left $(find "$dir" -name 'out' -o -name '.out*')"; }

# ---------------------------------------------------------------- another implementation's bytes
for case in tests/fixtures/curate/requests/*; do
    mapfile -t options < "$case/options"
    request 0 "${options[@]}" --out "$dir/out"
    same "$dir/out" "$case/wanted"
    rm -r "$dir/out"
    request 0 "${options[@]}" --records <(cat "$case/records.jsonl") --out "$dir/out/again"
    same "$dir/out/again" "$case/wanted"
    rm -r "$dir/out/again"
    request 0 "${options[@]}" --records - --out "$dir/out/below" < "$case/records.jsonl"
    same "$dir/out/below" "$case/wanted"
    [ "$(ls -A "$dir/out")" = below ] || wrong "beside the folder: $(ls -A "$dir/out")"
    rm -r "$dir/out"
done

# ids N: the custom_ids of $dir/N.
ids() { grep -ho '^{"custom_id":"[^"]*"' "$dir/$1"/requests-*.jsonl; }
case=tests/fixtures/curate/requests/28
mapfile -t options < "$case/options"
request 0 "${options[@]}" --out "$dir/all"
tac "$case/records.jsonl" > "$dir/turned.jsonl"
request 0 "${options[@]}" --records "$dir/turned.jsonl" --image-root "$images" --max-lines 1 --out "$dir/turned"
[ "$(ids all | sort)" = "$(ids turned | sort)" ] && [ "$(ids all)" != "$(ids turned)" ] || wrong "other ids in another order or split"
request 0 "${options[@]}" --limit 2 --out "$dir/two"
[ "$(ids two)" = "$(ids all | head -2)" ] || wrong "--limit 2: $(ids two)"
ids all | sed 's/.*:"//; s/"$//' | grep -qvE '^[A-Za-z0-9_-]{1,64}$' && wrong "ids of another form: $(ids all)"
rm -r "$dir/all" "$dir/turned" "$dir/two"

# ---------------------------------------------------------------- pictures of a folder, those that are large
mkdir -p "$dir/pictures/b" "$dir/pictures/a" "$dir/elsewhere"
cp "$images/rgb.jpg" "$dir/pictures/a/1.png" # a JPEG, whatever its name says
cp "$images/plain.gif" "$dir/pictures/a-1"
cp "$images/rgb.png" "$dir/pictures/b/x.png"
cp "$images/lossy.webp" "$dir/pictures/b/y.webp"
echo "no picture" > "$dir/pictures/b/notes.txt"
cp "$images/rgb.png" "$dir/elsewhere/z.png"
ln -s ../elsewhere "$dir/pictures/folder"
request 0 --recipe detail --images "$dir/pictures" --out "$dir/out"
[ "$(grep -o '"uid":"[^"]*"' "$dir/out/records.jsonl" | tr '\n' ' ')" = '"uid":"a-1" "uid":"a/1.png" "uid":"b/x.png" "uid":"b/y.webp" ' ] ||
    wrong "pictures of a folder: $(cat "$dir/out/records.jsonl")"
[ "$(grep -o 'data:image/[a-z]*' "$dir/out/requests-00000.jsonl" | tr '\n' ' ')" = 'data:image/gif data:image/jpeg data:image/png data:image/webp ' ] ||
    wrong "kinds: $(grep -o 'data:image/[a-z]*' "$dir/out/requests-00000.jsonl")"
grep -qF ': 4 requests in 1 file (' "$dir/stdout" || wrong "stdout: $(cat "$dir/stdout")"

# decode N FILE: the picture of line N.
decode() { sed -n "$1p" "$dir/out/requests-00000.jsonl" | grep -o 'base64,[A-Za-z0-9+/=]*' | sed 's/base64,//' | base64 -d > "$2"; }
decode 2 "$dir/own"
cmp "$dir/own" "$images/rgb.jpg" || wrong "a small picture is not sent as its own bytes"
request 0 --recipe detail --images "$dir/pictures" --out "$dir/out" --max-side 10
decode 3 "$dir/small.jpg"
"$build/inspect" "$dir/small.jpg" | grep -qF 'a JPEG picture of 10 x 6 pixels' || wrong "21 x 13 pixels, cut down to 10: $("$build/inspect" "$dir/small.jpg")"
ln -s ../elsewhere/z.png "$dir/pictures/link.png"
request 0 --recipe detail --images "$dir/pictures" --out "$dir/out"
says 'record "link.png" is left out: picture link.png: leads by a link out of the image root'
rm "$dir/pictures/link.png"
cp "$images/rgb.png" "$dir/pictures/b/$(printf '\351').png"
request 0 --recipe detail --images "$dir/pictures" --out "$dir/out"
says 'is left out: its name is not UTF-8'
rm -r "$dir/out"

# ---------------------------------------------------------------- records that are wrong, before anything is written
printf '%s\n' '{"schema":"genllava.recipe/1","name":"r","kind":"detail","question":"?","model":"m","user":"JSON {caption}"}' > "$dir/recipe.json"
# bad SENTENCE RECORD...: as the records, they end with 65 and say this.
bad() {
    local sentence=$1
    shift
    printf '%s\n' "$@" > "$dir/bad.jsonl"
    request 65 --recipe "$dir/recipe.json" --records "$dir/bad.jsonl" --image-root "$images" --out "$dir/out"
    says "$sentence"
    no_trace "$*"
}
good='{"uid":"g","image":"rgb.jpg","caption":"c"}'
bad 'bad.jsonl:2: record "x" has no field "caption", which user of the recipe names as {caption}' "$good" '{"uid":"x","image":"rgb.jpg"}'
bad 'bad.jsonl:1: field "caption" of record "x" is an object, expected a text, a number or a list of them' '{"uid":"x","image":"rgb.jpg","caption":{}}'
bad 'bad.jsonl:1: record "x" has no input picture, which a recipe of the kind "detail" needs' '{"uid":"x","caption":"c"}'
bad 'bad.jsonl:2: uid "g" is that of record 1 already' "$good" "$good"
bad 'bad.jsonl:1:1: this record has no "uid", expected {"uid", "image", …} or a unified record; prepare --export makes unified records of other layouts' '{"id":"x","image":"rgb.jpg","caption":"c"}'
bad 'bad.jsonl:1:8: "uid" is 3, expected a text that is not empty' '{"uid":3,"image":"rgb.jpg","caption":"c"}'
bad 'bad.jsonl:1:1: a record is an array, expected an object' '[1]'
bad 'bad.jsonl:2:' "$good" '{"uid":"x", "image'
bad '"role" is "inptu", expected input, target or mask' '{"uid":"x","images":[{"path":"rgb.jpg","role":"inptu"}],"caption":"c"}'
bad '"split" is "test", expected no rows of a test split' '{"uid":"x","images":[{"path":"rgb.jpg"}],"caption":"c","split":"test"}'
bad 'record "x" has no field "sd.src_prompt"' '{"uid":"x","task":"edit","images":[{"path":"rgb.jpg"},{"path":"rgb.jpg","role":"target"}],"caption":"c"}'
printf '%s\n' '{"uid":"x"}' '{"uid":"y","image":"rgb.jpg"}' > "$dir/bad.jsonl"
bad 'record "y" has no field' '{"uid":"x"}' '{"uid":"y","image":"rgb.jpg"}' # every record's mistake is said
says 'record "x" has no input picture'
request 65 --recipe "$dir/recipe.json" --records - --out "$dir/out" < "$dir/bad.jsonl"
says 'standard input:1: record "x"'
no_trace "standard input"
# What is a picture by its name alone is named and counted, beside what leads out of the folder and what is not UTF-8.
: > "$dir/pictures/a/zero.JPEG"
echo "<html>not found</html>" > "$dir/pictures/b/web.jpg"
echo "BM and pixels" > "$dir/pictures/b/old.bmp"
request 0 --recipe detail --images "$dir/pictures" --out "$dir/out"
says 'record "a/zero.JPEG" is left out: '
says 'the file is empty'
says 'record "b/web.jpg" is left out: '
says 'its first bytes are not those of a JPEG, PNG, WebP or GIF picture'
says 'record "b/old.bmp" is left out: '
says 'it is a BMP picture'
grep -qF ': 4 requests in 1 file (' "$dir/stdout" && grep -qF ', 5 records left out' "$dir/stdout" || wrong "damaged ones: $(cat "$dir/stdout")"
rm -r "$dir/out"
request 65 --recipe detail --images "$dir/pictures" --out "$dir/out" --strict
no_trace "--strict"
rm "$dir/pictures/a/zero.JPEG" "$dir/pictures/b/web.jpg" "$dir/pictures/b/old.bmp"
request 65 --recipe edit --images "$dir/pictures" --out "$dir/out"
says 'has 0 target pictures, a recipe of the kind "edit" needs one'
request 65 --recipe "$dir/recipe.json" --images "$dir/pictures" --out "$dir/out"
says 'a picture alone has no field "caption"'
: > "$dir/bad.jsonl"
request 65 --recipe draw --records "$dir/bad.jsonl" --out "$dir/out"
says 'no record can be used'
no_trace "no records"

# ---------------------------------------------------------------- pictures that cannot be used
head -c 400 "$images/rgb.jpg" > "$dir/pictures/half.jpg"
printf '%s\n' '{"uid":"gone","image":"gone.jpg"}' '{"uid":"half","image":"half.jpg"}' '{"uid":"out","image":"../elsewhere/z.png"}' \
    '{"uid":"stays","image":"b/x.png"}' > "$dir/pictures/records.jsonl"
request 0 --recipe draw --records "$dir/pictures/records.jsonl" --out "$dir/out" # the root is the records' folder
says 'records.jsonl:1: record "gone" is left out: picture gone.jpg: there is no such file'
says 'records.jsonl:2: record "half" is left out: picture half.jpg: JPEG: '
says 'records.jsonl:3: record "out" is left out: picture ../elsewhere/z.png: leads by ".." out of the image root'
[ "$(grep -o '"uid":"[^"]*"' "$dir/out/records.jsonl")" = '"uid":"stays"' ] || wrong "what is left: $(cat "$dir/out/records.jsonl")"
grep -qF '1 request in 1 file' "$dir/stdout" && grep -qF '3 records left out' "$dir/stdout" || wrong "stdout: $(cat "$dir/stdout")"
request 0 --recipe draw --records "$dir/pictures/records.jsonl" --out "$dir/out" --log-format json
grep -qE '^\{"requests_in":"[^"]*","requests":1,"files":1,"bytes":[0-9]+,"left_out":3\}$' "$dir/stdout" || wrong "as JSON: $(cat "$dir/stdout")"
rm -r "$dir/out"
request 65 --recipe draw --records "$dir/pictures/records.jsonl" --out "$dir/out" --strict
says 'record "gone": picture gone.jpg: there is no such file'
no_trace "--strict"

# ---------------------------------------------------------------- limits
printf '%s\n' "$good" '{"uid":"h","image":"rgb.jpg","caption":"d"}' '{"uid":"i","image":"rgb.jpg","caption":"e"}' > "$dir/three.jsonl"
three() { local code=$1; shift; request "$code" --recipe "$dir/recipe.json" --records "$dir/three.jsonl" --image-root "$images" --out "$dir/out" "$@"; }
three 0
size=$(($(head -1 "$dir/out/requests-00000.jsonl" | wc -c))) # all three have that size
three 0 --max-bytes $((2 * size))
[ "$(cat "$dir/out"/requests-*.jsonl | wc -l) $(wc -l < "$dir/out/requests-00000.jsonl")" = "3 2" ] || wrong "two fit into $((2 * size)) bytes: $(wc -l "$dir/out"/requests*)"
three 0 --max-bytes $((2 * size - 1))
[ "$(ls "$dir/out" | grep -c requests-)" = 3 ] || wrong "one fits into $((2 * size - 1)) bytes: $(wc -l "$dir/out"/requests*)"
three 0 --max-bytes "$size"
three 65 --max-bytes $((size - 1))
says "three.jsonl:1: record \"g\": its request has $size bytes, and a file at most $((size - 1)) (--max-bytes)"
[ "$(ls "$dir/out" | grep -c requests-)" = 3 ] || wrong "the old requests did not stay"
three 2 --max-lines 50001
three 2 --max-bytes 200000001
three 2 --max-lines 0
three 2 --limit 0

# ---------------------------------------------------------------- the command line
rm -r "$dir/out"
request 2 --records "$dir/three.jsonl" --out "$dir/out"
says '--recipe NAME|FILE is needed'
request 2 --recipe draww --records "$dir/three.jsonl" --out "$dir/out"
says '--recipe is "draww"; it takes one of conversation, detail, reasoning, draw, edit, or a file (with a '"'/', or ending in .json) (did you mean draw?)"
request 2 --recipe draw --out "$dir/out"
says 'one of --records FILE and --images DIR is needed'
request 2 --recipe draw --records "$dir/three.jsonl" --images "$images" --out "$dir/out"
says 'not both'
request 2 --recipe draw --images "$images" --image-root "$images" --out "$dir/out"
request 2 --recipe draw --images "$images"
says '--out DIR is needed'
request 66 --recipe "$dir/none.json" --records "$dir/three.jsonl" --out "$dir/out"
request 66 --recipe draw --records "$dir/none.jsonl" --out "$dir/out"
request 66 --recipe draw --images "$dir/none" --out "$dir/out"
request 0 --recipe draw --images "$images" --limit 1 --out "$dir/asked"
cp -r "$dir/asked" "$dir/kept"
ln -s asked "$dir/way"
request 2 --recipe draw --records "$dir/asked/records.jsonl" --image-root "$images" --out "$dir/way"
says "$dir/asked/records.jsonl: is read, and --out $dir/way would replace the folder that it lies in; give another --out"
diff -r "$dir/asked" "$dir/kept" || wrong "the records among the requests are touched"
rm -r "$dir/asked" "$dir/kept" "$dir/way"
request 66 --recipe draw --records "$dir/three.jsonl" --image-root "$dir/none" --out "$dir/out"
printf '%s\n' '{"schema":"genllava.recipe/1","name":"r","kind":"draw","user":"JSON"}' > "$dir/mute.json"
request 2 --recipe "$dir/mute.json" --records "$dir/three.jsonl" --image-root "$images" --out "$dir/out"
says 'recipe "r" has no "model"'
request 0 --recipe "$dir/mute.json" --records "$dir/three.jsonl" --image-root "$images" --out "$dir/out" --model other
grep -q '"model": "other"' "$dir/out/recipe.json" && grep -q '"body":{"model":"other",' "$dir/out/requests-00000.jsonl" || wrong "--model: $(cat "$dir/out/recipe.json")"
printf '%s\n' '{' '  "schema": "genllava.recipe/1", "name": "r", "kind": "draw",' '  "usr": "JSON", "user": "JSON"' '}' > "$dir/slip.json"
request 2 --recipe "$dir/slip.json" --records "$dir/three.jsonl" --out "$dir/out"
says "$dir/slip.json:3:3: unknown key \"usr\"; did you mean \"user\"?"
printf '{' > "$dir/slip.json"
request 2 --recipe "$dir/slip.json" --records "$dir/three.jsonl" --out "$dir/out"
"$build/curate" > /dev/null 2> "$dir/err"
[ $? -eq 2 ] || wrong "no command"
"$build/curate" requst > /dev/null 2> "$dir/err"
[ $? -eq 2 ] || wrong "a command that is misspelt"
says 'unknown command "requst" (did you mean request?)'
(cd "$dir" && ln -s "$build/curate" other-name && ./other-name request --recipe draw --images "$images" --limit 1 --out elsewhere/out) > /dev/null 2>&1 ||
    wrong "from another folder: built-in recipes are not found"

# ---------------------------------------------------------------- folders of others
other() { # other SENTENCE: $dir/other is left alone
    (cd "$dir/other" && find . -type f -exec cksum {} + | sort) > "$dir/before"
    request 73 --recipe "$dir/recipe.json" --records "$dir/three.jsonl" --image-root "$images" --out "$dir/other"
    says "$1"
    (cd "$dir/other" && find . -type f -exec cksum {} + | sort) | cmp - "$dir/before" || wrong "$1: it was changed"
}
mkdir "$dir/other"
three 0 --out "$dir/other/" # an empty one is fine
three 0 --out "$dir/other" --limit 1
[ "$(wc -l < "$dir/other/records.jsonl")" = 1 ] || wrong "an earlier folder is not replaced"
echo '{}' > "$dir/other/replies.jsonl"
other 'holds "replies.jsonl", which curate request has not written'
rm "$dir/other/replies.jsonl"
sed -i 's/JSON/json/' "$dir/other/recipe.json"
other 'template_sha256 is not that of its texts'
rm "$dir/other/recipe.json"
other 'no recipe.json'
request 73 --recipe draw --images "$images" --out "$dir/three.jsonl"
says 'is a file, expected a folder'
[ "$(id -u)" = 0 ] || { chmod a-w "$dir/elsewhere"; request 73 --recipe draw --images "$images" --out "$dir/elsewhere/new"; }
request 73 --recipe draw --images "$images" --out /proc/none/out
(cd "$dir/other" && rm -f ./* && "$build/curate" request --recipe draw --images "$images" --out . > /dev/null 2>&1) || wrong "--out .: exit $?"
[ -s "$dir/other/records.jsonl" ] || wrong "--out .: $(ls -A "$dir/other")"

# ---------------------------------------------------------------- a full disk, a kill
three 0
cksum "$dir/out"/* > "$dir/before"
(ulimit -f 1; exec "$build/curate" request --recipe "$dir/recipe.json" --records "$dir/three.jsonl" --image-root "$images" --out "$dir/out" --max-side 700) > /dev/null 2> "$dir/err"
[ $? -eq 74 ] || wrong "a full disk: exit $?, wanted 74"
says 'cannot be written: File too large'
cksum "$dir/out"/* | cmp - "$dir/before" || wrong "a full disk: the old requests did not stay"
[ -z "$(find "$dir" -name '.out*')" ] || wrong "a full disk: left $(find "$dir" -name '.out*')"

for k in $(seq 1 400); do echo '{"uid":"u'$k'","image":"rgb.jpg","caption":"c"}'; done > "$dir/many.jsonl"
many=(--recipe "$dir/recipe.json" --records "$dir/many.jsonl" --image-root "$images" --out "$dir/out" --max-lines 100)
request 0 "${many[@]}"
cksum "$dir/out"/* > "$dir/wanted"
three 0
cksum "$dir/out"/* > "$dir/before"
for k in $(seq 1 "${KILLS:-40}"); do
    "$build/curate" request "${many[@]}" > /dev/null 2>&1 &
    pid=$!
    sleep "0.$(printf %03d $((RANDOM % 60)))"
    kill -9 $pid 2> /dev/null
    wait $pid 2> /dev/null
    cksum "$dir/out"/* > "$dir/after" 2>&1
    cmp -s "$dir/after" "$dir/before" || cmp -s "$dir/after" "$dir/wanted" || wrong "kill $k: neither the old nor the new requests: $(cat "$dir/after")"
done
mkdir -p "$dir/.out.partial/deep"
echo junk > "$dir/.out.partial/deep/requests-00009.jsonl"
request 0 "${many[@]}"
cksum "$dir/out"/* | cmp - "$dir/wanted" || wrong "after kills: other bytes"
[ -z "$(find "$dir" -maxdepth 1 -name '.out*')" ] || wrong "after kills: left $(find "$dir" -maxdepth 1 -name '.out*')"

# ---------------------------------------------------------------- memory: 300 MB of records in 256 MB of addresses
awk 'BEGIN { for (s = "x"; length(s) < 1000000;) s = s s; for (i = 0; i < 290; i++)
    printf "{\"uid\":\"%d\",\"image\":\"rgb.jpg\",\"caption\":\"c\",\"notes\":\"%s\"}\n", i, s }' > "$dir/large.jsonl"
[ "$(stat -c %s "$dir/large.jsonl")" -ge 300000000 ] || wrong "only $(stat -c %s "$dir/large.jsonl") bytes of records"
large=(--recipe "$dir/recipe.json" --records "$dir/large.jsonl" --image-root "$images" --out "$dir/large")
if (ulimit -v 262144; "$build/curate" --version > /dev/null 2>&1); then # not with the address sanitizer
    (ulimit -v 262144; "$build/curate" request "${large[@]}") > /dev/null 2> "$dir/err" || { wrong "300 MB of records in 256 MB: exit $?"; cat "$dir/err" >&2; }
    [ "$(wc -l < "$dir/large/records.jsonl")" = 290 ] || wrong "300 MB of records: $(wc -l < "$dir/large/records.jsonl") requests"
fi
exit $failed
