#!/bin/bash
# curate ingest: the bytes that tests/oracle/curate_ingest.py made of the same replies, in any order and through pipes; retry lines; what is an error;
# whole or not at all, killed or without room; memory. KILLS=: how often it is killed (30). $1: the build folder.
set -u
build=$(realpath "$1") failed=0 fixtures=tests/fixtures/curate/replies
dir=$(mktemp -d) || exit 1
trap 'chmod -R u+rwX "$dir"; rm -rf "$dir"' EXIT
wrong() { echo "curate_ingest.sh: $*" >&2; failed=1; }

# ingest CODE ARGUMENTS...: output in $dir/stdout and $dir/err.
ingest() {
    local wanted=$1 code
    shift
    "$build/curate" ingest "$@" > "$dir/stdout" 2> "$dir/err"
    code=$?
    [ $code -eq "$wanted" ] || { wrong "ingest $*: exit $code, wanted $wanted"; sed 's/^/    /' "$dir/err" >&2; }
}
says() { grep -qF -- "$1" "$dir/err" || { wrong "stderr does not say: $1"; sed 's/^/    /' "$dir/err" >&2; }; }
prints() { [ "$(cat "$dir/stdout")" = "$1" ] || wrong "prints $(cat "$dir/stdout"), wanted $1"; }
# members FILE: of a JSON object of one line, in any order.
members() { tr '{},' '\n\n\n' < "$1" | sort; }
# same CASE: what lies in $dir/out* is what the case wants.
same() {
    cmp "$dir/out.jsonl" "$fixtures/$1/wanted.jsonl" || failed=1
    sed -E 's/,"message":"([^"\\]|\\.)+"\}$/}/' "$dir/out.rejects.jsonl" | cmp - "$fixtures/$1/wanted.rejects.jsonl" || failed=1
    cat "$dir"/out.retry-*.jsonl | cmp - "$fixtures/$1/wanted.retry.jsonl" || failed=1
    [ "$(members "$dir/stdout")" = "$(members "$fixtures/$1/wanted.json")" ] || wrong "$1: prints $(cat "$dir/stdout")"
    [ "$(find "$dir" -name '.*.new' | wc -l)" -eq 0 ] || wrong "$1: leaves $(find "$dir" -name '.*.new')"
}

# ---------------------------------------------------------------- another implementation's bytes
options=(--format json --max-same 2 --max-lines 7 --out "$dir/out.jsonl")
for case in conversation detail draw edit reasoning; do
    at=$fixtures/$case
    rm -f "$dir"/out*
    ingest 0 --requests $at/dir --replies $at/replies-*.jsonl "${options[@]}"
    same $case
    # Other orders and files, over what is there: an older run left more retry files.
    for i in 00001 00002 00009 12345; do echo old > "$dir/out.retry-$i.jsonl"; done
    mine=("$dir"/out.retry-{x,7,2026,000009}.jsonl)
    for file in "${mine[@]}"; do echo mine > "$file"; done
    sed '1s/^\xef\xbb\xbf//' $at/replies-*.jsonl | grep . | shuf > "$dir/shuffled"
    split -n r/3 "$dir/shuffled" "$dir/part-"
    ingest 0 --requests $at/dir --replies "$dir/part-ac" "$dir"/part-a[ab] "${options[@]}"
    rm "${mine[@]}" || wrong "$case: files of other names went"
    same $case
    ingest 0 --requests $at/dir --replies <(cat "$dir/part-ab") - <(cat "$dir"/part-a[ac]) "${options[@]}" < /dev/null
    same $case
    # A file for each line, more than may be open.
    mkdir "$dir/lines"
    split -l 1 -a 3 "$dir/shuffled" "$dir/lines/"
    for i in $(seq 300); do : > "$dir/lines/none-$i"; done
    (ulimit -n 100; ingest 0 --requests $at/dir --replies "$dir"/lines/* "${options[@]}"; exit $failed) || failed=1
    rm -r "$dir/lines"
    same $case
    cat "$dir/shuffled" | "$build/curate" ingest --requests $at/dir --replies - "${options[@]}" > "$dir/stdout" 2> "$dir/err" || wrong "$case through a pipe"
    same $case
done
ingest 0 --requests $at/dir --replies $at/replies-*.jsonl --max-same 2 --out "$dir/out.jsonl"
grep -qE '^ +1  schema.marker$' "$dir/stdout" && grep -qF "records of 16 requests" "$dir/stdout" || wrong "for people: $(cat "$dir/stdout")"

# ---------------------------------------------------------------- several replies, sent again
# reply ID TEXT [FINISH]: a line.
reply() { printf '{"custom_id":"%s","response":{"status_code":200,"body":{"model":"m","choices":[{"finish_reason":"%s","message":{"content":%s}}]}},"error":null}\n' "$1" "${3:-stop}" "$2"; }
printf '{"uid":"u/%d","image":"rgb.png","kind":"a \\"thing\\""}\n' 1 2 3 > "$dir/records"
cat > "$dir/recipe.json" <<'END'
{"schema": "genllava.recipe/1", "name": "mine", "kind": "detail", "model": "gpt", "max_tokens": 350, "question": "What is it?",
 "user": "Describe {kind} as JSON.", "body": {"seed": 1, "metadata": {"max_completion_tokens": 7}}}
END
for api in chat responses; do
    "$build/curate" request --recipe "$dir/recipe.json" --records "$dir/records" --image-root tests/fixtures/images --api $api --out "$dir/requests" > /dev/null || failed=1
    mapfile -t ids < <(grep -oE '"custom_id":"[0-9a-f]*' "$dir/requests/records.jsonl" | sed 's/.*"//')
    good='"{\"description\": \"a small picture of nothing much\"}"'
    { reply ${ids[0]} '"{\"description\""' length; reply ${ids[1]} '"no JSON {"'; } > "$dir/first"
    ingest 65 --requests "$dir/requests" --replies "$dir/first" --out "$dir/out.jsonl" --format json
    prints '{"requests":3,"lines":2,"accepted":0,"retry":3,"rejected":{"join.absent":1,"transport.length":1,"parse.bad_json":1},"unknown_id":0,"bad_line":0,"duplicate":0}'
    says "error: $dir/out.jsonl: no record came out of 3 requests; $dir/out.rejects.jsonl says why"
    [ ! -s "$dir/out.jsonl" ] && [ "$(wc -l < "$dir/out.rejects.jsonl")" -eq 3 ] || wrong "no record: $(ls -l "$dir")"
    mapfile -t was < "$dir/requests/requests-00000.jsonl"
    mapfile -t now < "$dir/out.retry-00000.jsonl"
    [ "${now[0]}" = "${was[0]/tokens\":350,/tokens\":700,}" ] && [ "${now[0]}" != "${was[0]}" ] || wrong "$api: after length ${now[0]}"
    [ "${now[1]}" = "${was[1]/as JSON./$(printf %s "${now[1]}" | grep -o 'as JSON\.\\n\\nYour reply must be one JSON object and nothing else[^"]*')}" ] && [ "${now[1]}" != "${was[1]}" ] ||
        wrong "$api: after bad_json ${now[1]}"
    [ "${now[2]}" = "${was[2]}" ] || wrong "$api: without a reply ${now[2]}"
    # The further one counts wherever it stands; of two that get as far the smaller line.
    { reply ${ids[1]} "$good"; reply ${ids[0]} '"{\"description\": \"short\"}"'; reply ${ids[2]} '"{\"description\": \"b b b b b\"}"'; reply ${ids[2]} '"{\"description\": \"a a a a a\"}"'; echo; echo x; reply none '""'; } > "$dir/second"
    for order in "first second" "second first"; do
        ingest 0 --requests "$dir/requests" --replies $(printf "$dir/%s " $order) --out "$dir/out.jsonl" --format json
        prints '{"requests":3,"lines":8,"accepted":2,"retry":0,"rejected":{"schema.too_short":1},"unknown_id":1,"bad_line":1,"duplicate":3}'
        printf '{"custom_id":"%s","uid":"u/1","stage":"schema","reason":"too_short","retry":false,"message":"\\"description\\" has 1 word, wanted at least 5"}\n' ${ids[0]} | cmp - "$dir/out.rejects.jsonl" || failed=1
        grep -o '"value":"a a a a a"' "$dir/out.jsonl" | grep -q . && ! grep -q 'b b b' "$dir/out.jsonl" || wrong "the smaller line: $(cat "$dir/out.jsonl")"
        [ ! -e "$dir/out.retry-00000.jsonl" ] || wrong "old retry files stay"
    done
done
head -1 "$dir/out.jsonl" | cmp - <(printf '{"schema":"genllava.sample/1","uid":"mine/u/2","source":"curate","task":"understand","images":[{"path":"rgb.png","role":"input"}],"turns":[{"from":"human","value":"<image>\\nWhat is it?"},{"from":"gpt","value":"a small picture of nothing much"}],"prov":{"curator":"mine","model":"m","template":"%s","request":"%s"}}\n' "$(grep -oE '[0-9a-f]{64}' "$dir/requests/recipe.json")" ${ids[1]}) || failed=1
# What ingest writes is what prepare and filter read.
"$build/curate" stats --format json "$dir/out.jsonl" | grep -qF '{"records":2,"tasks":{"understand":2},"sources":{"curate":2},"licenses":{"":2},"instructions":[]}' || wrong "stats of it: $("$build/curate" stats --format json "$dir/out.jsonl")"

# ---------------------------------------------------------------- retry files keep to their limits
: > "$dir/empty"
ingest 65 --requests "$dir/requests" --replies "$dir/empty" --out "$dir/out.jsonl" --max-bytes $((2 * ${#was[0]} + 2))
[ "$(cat "$dir"/out.retry-0000[01].jsonl | wc -l)" -eq 3 ] && [ "$(wc -l < "$dir/out.retry-00000.jsonl")" -eq 2 ] || wrong "limits of bytes: $(wc "$dir"/out.retry-*)"
ingest 65 --requests "$dir/requests" --replies "$dir/empty" --out "$dir/out.jsonl" --max-bytes $((2 * ${#was[0]} + 1)) --max-lines 1
[ "$(cat "$dir"/out.retry-0000[012].jsonl | cmp - "$dir/requests/requests-00000.jsonl" && ls "$dir"/out.retry-* | wc -l)" = 3 ] || wrong "limits of lines: $(wc "$dir"/out.retry-*)"
ingest 65 --requests "$dir/requests" --replies "$dir/empty" --out "$dir/out.jsonl" --max-bytes ${#was[0]}
says "u/1: a request to send again has $((${#was[0]} + 1)) bytes, and a file at most ${#was[0]} (--max-bytes)"

# ---------------------------------------------------------------- files that are no replies
# told NAME SENTENCE < CONTENTS: nothing comes of the file, and this is said.
told() {
    cat > "$dir/told/$1"
    ingest 65 --requests "$dir/requests" --replies "$dir/told/$1" --out "$dir/told/out.jsonl"
    says "$dir/told/$1$2"
}
mkdir "$dir/told"
(echo '['; sed 's/^{/  &/; $!s/$/,/' "$dir/first"; echo ']') | told array.json ":1:2: "
says "a line each: jq -c '.[]' FILE makes lines of an array ("
(printf '['; head -n 1 "$dir/first" | tr -d '\n'; echo ']') | told row.json ':1: has no "custom_id"; a reply is a JSON object with a "custom_id", a line each: jq -c'
printf '{\n "custom_id": "a"\n}\n' | told pretty.json ':1:2: '
says 'a line each: jq -c . FILE puts each object on a line (lines that are no replies: 3 of 3)'
printf 'custom_id,reply\na,b\n' | told replies.csv ':1:1: '
says '(lines that are no replies: 2 of 2)'
told asked.jsonl ': lines that are requests, no replies: 3; --replies takes the output and error files of the batch' < "$dir/requests/requests-00000.jsonl"
sed 's/"custom_id": *"[^"]*"/"custom_id":"other"/' "$dir/first" | told others.jsonl ": none of its replies is to a request of $dir/requests; they belong to other requests"

# ---------------------------------------------------------------- what is an error
ingest 2 --requests "$dir/requests" --out "$dir/o"
says "--replies FILE… is needed"
ingest 2 --replies "$dir/first" --out "$dir/o"
says "--requests DIR is needed"
ingest 2 --replies "$dir/first" --requests "$dir/requests"
says "--out FILE.jsonl is needed"
ingest 2 --replies "$dir/first" --requests "$dir/requests" --out -
says "--out names a file"
ingest 2 --replies - - --requests "$dir/requests" --out "$dir/o"
says "standard input can be one of --replies, not 2"
# Requests and replies cost money: nothing is written over them.
mkdir "$dir/paid"
ln -s paid "$dir/way"
for name in b.jsonl b.rejects.jsonl b.retry-00003.jsonl; do
    cp "$dir/first" "$dir/paid/$name"
    ingest 2 --replies "$dir/second" "$dir/paid/$name" --requests "$dir/requests" --out "$dir/way/b.jsonl"
    says "$dir/paid/$name: is read, and --out $dir/way/b.jsonl would replace or remove it; give another --out"
    cmp "$dir/first" "$dir/paid/$name" && [ "$(ls -A "$dir/paid")" = $name ] || wrong "$name is touched: $(ls -A "$dir/paid")"
    rm "$dir/paid/$name"
done
cp "$dir/first" "$dir/paid/b.retry-3.jsonl"
ingest 0 --replies "$dir/second" "$dir/paid/b.retry-3.jsonl" --requests "$dir/requests" --out "$dir/paid/b.jsonl"
for name in records.jsonl new.jsonl; do
    ingest 2 --replies "$dir/first" --requests "$dir/requests/" --out "$dir/requests/$name"
    says "--out $dir/requests/$name: lies in the folder of the requests, which holds nothing else; give another place"
done
ingest 2 --replies "$dir/first" --requests "$dir/requests" --out "$dir/o" --exclude-image-ids "$dir/first"
ingest 2 --replies "$dir/first" --requests "$dir/requests" --out "$dir/o" --min-clip 2
ingest 2 --replies "$dir/first" --requests "$dir/requests" --out "$dir/o" --min-clip-dir 0
says "--min-clip-dir: there is nothing that it could be compared with; give --features FILE.h5 too"
ingest 66 --replies "$dir/none" --requests "$dir/requests" --out "$dir/o"
says "$dir/none: cannot be opened: No such file or directory"
ingest 66 --replies "$dir/first" --requests "$dir/none" --out "$dir/o"
says "--requests $dir/none: No such file or directory; it is the folder that curate request made"
ingest 66 --replies "$dir/first" --requests "$dir/requests/requests-00000.jsonl" --out "$dir/o"
says "--requests $dir/requests/requests-00000.jsonl: is a file, expected the folder that curate request made"
ingest 66 --replies "$dir/first" --requests "$dir/requests" --out "$dir/o" --features "$dir/none"
ingest 65 --replies "$dir/first" --requests "$dir/requests" --out "$dir/o" --features "$dir/first"
ingest 73 --replies "$dir/first" --requests "$dir/requests" --out "$dir/none/o"
mkdir "$dir/folder.jsonl" "$dir/x.rejects.jsonl"
ingest 73 --replies "$dir/first" --requests "$dir/requests" --out "$dir/folder.jsonl"
says "$dir/folder.jsonl: is a folder, expected a file to replace"
ingest 73 --replies "$dir/first" --requests "$dir/requests" --out "$dir/x.jsonl"
says "$dir/x.rejects.jsonl: is a folder, expected a file to replace"
ingest 73 --replies "$dir/first" --requests "$dir/requests" --out /dev/full
says "/dev/full: is a device, expected a file to replace"
# damage SED FILE SENTENCE: the folder of requests with one of its files changed.
damage() {
    rm -rf "$dir/damaged"
    cp -r "$dir/requests" "$dir/damaged"
    sed -i "$1" "$dir/damaged/$2"
    ingest 65 --replies "$dir/first" --requests "$dir/damaged" --out "$dir/o"
    says "$3"
}
damage '2s/.*/{/' records.jsonl "$dir/damaged/records.jsonl:2:2: expected"
damage '2s/"custom_id"/"id"/' records.jsonl "$dir/damaged/records.jsonl:2: no request with a custom_id"
damage '2p' records.jsonl "$dir/damaged/records.jsonl:3: its custom_id stands there twice"
damage 's/"u.3"/"u\/4"/' records.jsonl "$dir/damaged/records.jsonl:3: its custom_id is not that of its uid and of recipe.json"
damage 's/"role":"input"/"role":"x"/' records.jsonl "$dir/damaged/records.jsonl:1: lacks what curate request writes"
damage 's/Describe/Name/' recipe.json "template_sha256 is not that of its texts"
damage '1s/^/ /' requests-00000.jsonl "$dir/damaged/requests-00000.jsonl: byte 0 does not begin the request ${ids[0]}"
damage '3d' requests-00000.jsonl "$dir/damaged"
[ -z "$(find "$dir" -maxdepth 1 -name 'o*' -newer "$dir/second" ! -name 'out*')" ] && [ ! -e "$dir/o" ] || wrong "an error leaves $(ls -A "$dir")"

# ---------------------------------------------------------------- a full disk: what was there stays
echo '{"custom_id":"x"}' > "$dir/small"
for f in out.jsonl out.rejects.jsonl out.retry-00000.jsonl; do echo old > "$dir/$f"; done
for blocks in 1 2 3; do
    at=$fixtures/conversation
    (ulimit -f $blocks; ingest 74 --requests $at/dir --replies $at/replies-*.jsonl --out "$dir/out.jsonl"; exit $failed) || failed=1
    [ "$(cat "$dir/out.jsonl" "$dir/out.rejects.jsonl" "$dir/out.retry-00000.jsonl")" = "$(printf 'old\nold\nold')" ] || wrong "no room for $blocks KiB: the old output is gone"
    [ "$(find "$dir" -name '.*.new' | wc -l)" -eq 0 ] || wrong "no room for $blocks KiB leaves $(find "$dir" -name '.*.new')"
done

# ---------------------------------------------------------------- many bytes in little memory
# 20,000 requests, and replies of 15 KB each
n=20000
mkdir "$dir/many"
printf '{"uid":"u%d","image":"rgb.png"}\n' $(seq $n) > "$dir/records"
sed -i 's/{kind}/it/' "$dir/recipe.json"
"$build/curate" request --recipe "$dir/recipe.json" --records "$dir/records" --image-root tests/fixtures/images --out "$dir/many" > /dev/null || failed=1
grep -oE '^\{"custom_id":"[0-9a-f]*' "$dir/many/records.jsonl" | sed 's/.*"//' |
    awk 'BEGIN { for (i = 0; i < 15000; i++) pad = pad "x" } { printf "{\"custom_id\":\"%s\",\"response\":{\"status_code\":200,\"pad\":\"%s\",\"body\":{\"model\":\"m\",\"choices\":[{\"finish_reason\":\"stop\",\"message\":{\"content\":\"{\\\"description\\\": \\\"the thing of number %d is this\\\"}\"}}]}},\"error\":null}\n", $1, pad, NR }' > "$dir/replies"
[ "$(stat -c %s "$dir/replies")" -gt 300000000 ] || wrong "only $(stat -c %s "$dir/replies") bytes of replies"
many=(--requests "$dir/many" --replies "$dir/replies" --out "$dir/out.jsonl" --quiet --format json)
(ulimit -v 262144; ingest 0 "${many[@]}"; exit $failed) || failed=1
prints '{"requests":20000,"lines":20000,"accepted":20000,"retry":0,"rejected":{},"unknown_id":0,"bad_line":0,"duplicate":0}'
cat "$dir"/out.* | sha256sum > "$dir/wanted"

# ---------------------------------------------------------------- killed at random moments
RANDOM=${SEED:-$$}
for i in $(seq "${KILLS:-30}"); do
    "$build/curate" ingest "${many[@]}" > /dev/null 2>&1 &
    pid=$!
    sleep "$(printf '0.%03d' $((RANDOM % 1000)))"
    kill -9 $pid 2> /dev/null
    wait $pid 2> /dev/null
    [ $((i % 5)) -ne 0 ] || rm -f "$dir"/out.*
done
echo left > "$dir/.out.retry-00031.jsonl.new"
ingest 0 "${many[@]}"
cat "$dir"/out.* | sha256sum | cmp - "$dir/wanted" || wrong "other bytes after kills (SEED=${SEED:-$$})"
[ "$(find "$dir" -name '.out*' | wc -l)" -eq 0 ] || wrong "kills leave $(find "$dir" -name '.out*')"
exit $failed
