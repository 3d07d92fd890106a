#!/bin/bash
# generate --draw, --edit, --chat and --batch with pictures: the same seed is the same file however it was asked for, the files say how they
# were made, and what makes no sense is said before anything is computed.
. tests/cli/_train.sh
generate=$(realpath "$build")/generate
cases=$PWD/tests/fixtures/parity
photos=$cases/noise_frozen/images

# run CODE ARGUMENTS...: generate, as expect runs train.
run() { ends_with "$generate" "$@"; }
model() { echo --config "$cases/$1/config.json" --set save.dir="$dir/runs" --set name="$1"; }
frozen=$(model noise_frozen) eight=$(model noise_edit)
# size FILE: "WIDTH HEIGHT" of a PNG.
size() { od -An -tu1 -j16 -N8 "$1" | awk '{ print $3 * 256 + $4, $7 * 256 + $8 }'; }
same() { cmp -s "$1" "$2" || fail "$3: not the same file"; }
other() { ! cmp -s "$1" "$2" || fail "$3: the same file"; }
# has FILE KEY VALUE: a text of the PNG; the value ends where the check sum of the chunk stands.
has() { LC_ALL=C grep -qaP "tEXt$2\x00\Q$3\E" "$1" || fail "$1 does not say $2: $3"; }

# A picture, and what its file says.
run 0 $frozen --draw "Draw a cat" --steps 3 --out "$dir/cat.png"
[ "$(cat "$dir/out")" = "$dir/cat.png" ] || fail "the file is not told: $(cat "$dir/out")"
[ "$(size "$dir/cat.png")" = "20 20" ] || fail "a picture of $(size "$dir/cat.png")"
for text in "prompt Draw a cat" "seed 42" "sampler pndm" "steps 3" "guidance 7.5" "checkpoint noise_frozen"; do has "$dir/cat.png" "${text%% *}" "${text#* }"; done
run 0 $frozen --draw "Draw a cat" --steps 3 --seed 42 --out "$dir/again.png"
same "$dir/cat.png" "$dir/again.png" "the same seed"
run 0 $frozen --draw "Draw a cat" --steps 3 --out - --quiet
same "$dir/cat.png" "$dir/out" "standard output"
[ ! -s "$dir/err" ] || fail "--quiet says: $(cat "$dir/err")"
for how in "--seed 43" "--steps 4" "--guidance 1" "--sampler ddim" "--sampler dpm++"; do
    run 0 $frozen --draw "Draw a cat" --steps 3 $how --out "$dir/other.png"
    other "$dir/cat.png" "$dir/other.png" "$how"
done
has "$dir/other.png" sampler dpm++
run 0 $frozen --draw "Draw a dog" --steps 3 --out "$dir/dog.png"
other "$dir/cat.png" "$dir/dog.png" "another text"
run 0 $frozen --draw "Malé kotě" --steps 1 --out "$dir/other.png"
LC_ALL=C grep -qa "Malé kotě" "$dir/other.png" || fail "a text beyond ASCII is not in the file"

# A sheet of several seeds holds the pictures of each of them.
run 0 $frozen --draw "Draw a cat" --steps 3 --grid 3 --out "$dir/sheet.png"
[ "$(size "$dir/sheet.png")" = "44 44" ] || fail "a sheet of $(size "$dir/sheet.png")"
has "$dir/sheet.png" seed 42-44
run 0 $frozen --draw "Draw a cat" --steps 3 --grid 1 --out "$dir/again.png"
same "$dir/cat.png" "$dir/again.png" "a sheet of one"

# Edits: of a picture, by a UNet that sees it and by one that does not.
run 0 $frozen --edit "remove the hat" --image "$photos/b.png" --steps 3 --strength 0.7 --out "$dir/edit.png"
has "$dir/edit.png" strength 0.7
run 0 $frozen --edit "remove the hat" --image "$photos/a.jpg" --steps 3 --strength 0.7 --out "$dir/other.png"
other "$dir/edit.png" "$dir/other.png" "another picture to change"
run 0 $eight --edit "remove the hat" --image "$photos/b.png" --steps 3 --out "$dir/eight.png"
has "$dir/eight.png" image_guidance 1.5
run 0 $eight --edit "remove the hat" --image "$photos/b.png" --steps 3 --image-guidance 3 --out "$dir/other.png"
other "$dir/eight.png" "$dir/other.png" "--image-guidance"
run 0 $eight --edit "remove the hat" --image - --steps 3 --out "$dir/again.png" < <(cat "$photos/b.png")
same "$dir/eight.png" "$dir/again.png" "a picture from standard input"

# The picture to change is not overwritten, however it is named.
cp "$photos/b.png" "$dir/own.png"; ln "$dir/own.png" "$dir/link.png"
run 2 $eight --edit "remove the hat" --image "$dir/own.png" --steps 1 --out "$dir/link.png"
says "generate: --out $dir/link.png: is the picture of --image, which it would take the place of; give another name"
same "$photos/b.png" "$dir/own.png" "a refused edit"
run 2 $frozen --edit "remove the hat" --image "$photos/b.png" --strength 0 --out "$dir/other.png"
says 'generate: --strength is "0"; it takes a number from 1e-09 to 1'

# In a conversation a picture that cannot be changed is said, and the conversation goes on.
printf '/edit make it red\n/draw a cat\n' > "$dir/said"
rm -f "$dir/own.png"; printf 'no picture' > "$dir/own.png"; mkdir "$dir/aside"
(cd "$dir/aside" && "$generate" $eight --chat --image "$dir/own.png" --steps 1 < "$dir/said" > "$dir/out" 2> "$dir/err") || fail "a conversation ends with $?: $(cat "$dir/err")"
grep -q '^warning: /edit: ' "$dir/err" && [ "$(cat "$dir/out")" = picture-001.png ] || fail "a conversation after a bad edit: $(cat "$dir/out" "$dir/err")"

# A file of all kinds of rows: pictures are named after their rows.
cp "$photos/a.jpg" "$photos/b.png" "$dir"
cat > "$dir/rows.jsonl" <<'ROWS'
{"draw": "Draw a cat", "id": 1}
{"ask": "What is it?", "image": "b.png"}
{"edit": "remove the hat", "image": "b.png", "expected": "none"}
{"draw": "Draw a cat", "image": "b.png"}
{"edit": "remove the hat"}
{"draw": "Draw a cat", "edit": "it"}
{"draw": 5}
{"uid": "g/0", "task": "generate", "images": [{"path": "a.jpg", "role": "target"}], "turns": [{"from": "human", "value": "Draw a cat"}, {"from": "gpt", "value": "<gen>"}]}
{"uid": "e/0", "task": "edit", "images": [{"path": "b.png", "role": "input"}, {"path": "a.jpg", "role": "target"}, {"path": "a.jpg", "role": "target"}], "turns": [{"from": "human", "value": "<image>\nremove the hat"}, {"from": "gpt", "value": "<gen>"}, {"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}, {"from": "human", "value": "the shoes"}, {"from": "gpt", "value": "<gen>"}]}
ROWS
run 0 $frozen --batch "$dir/rows.jsonl" --out "$dir/batch" --steps 3 --max-new-tokens 3
for said in 'rows.jsonl:4: "draw" begins without a picture, and there is an "image"; "edit" changes one' 'rows.jsonl:5: "edit" needs an "image", the path of the picture to change' \
            'rows.jsonl:6: has "draw" and "edit"; a row asks for one thing' 'rows.jsonl:7: "draw" is an integer; it takes a text'; do
    says "$said"
done
same "$dir/cat.png" "$dir/batch/000000.png" "the first row"
[ "$(ls "$dir/batch" | tr '\n' ' ')" = "000000.png 000002.png 000007.png 000008-0.png 000008-2.png answers.jsonl bad_rows.jsonl " ] || fail "the files of a batch: $(ls "$dir/batch")"
sed 's/"answer":"[^<"]*"}/"answer":TEXT}/; s/"images":\[.*\],"id"/"id"/' "$dir/batch/answers.jsonl" > "$dir/found"
cat > "$dir/wanted" <<'ROWS'
{"draw":"Draw a cat","id":1,"answer":"<gen>","picture":"000000.png"}
{"ask":"What is it?","image":"b.png","answer":TEXT}
{"edit":"remove the hat","image":"b.png","expected":"none","answer":"<gen>","picture":"000002.png"}
{"ask":"Draw a cat","uid":"g/0","task":"generate","id":"g/0","turn":0,"answer":"<gen>","picture":"000007.png"}
{"ask":"remove the hat","uid":"e/0","task":"edit","id":"e/0","turn":0,"answer":"<gen>","picture":"000008-0.png"}
{"ask":"Why?","uid":"e/0","task":"edit","id":"e/0","turn":1,"expected":"So.","answer":TEXT}
{"ask":"the shoes","uid":"e/0","task":"edit","id":"e/0","turn":2,"answer":"<gen>","picture":"000008-2.png"}
ROWS
cmp -s "$dir/wanted" "$dir/found" || { fail "the lines of a batch:"; diff "$dir/wanted" "$dir/found" >&2; }
# Captions: what the text encoder does not read, or cannot, is said.
printf '{"draw": "a red\\u0000 cat"}\n{"draw": "a cat"}\n' > "$dir/captions.jsonl"
caption="--config configs/quickstart.json --set save.dir=$dir/runs --set device=cpu --captions --steps 1"
run 0 $caption --batch "$dir/captions.jsonl" --out "$dir/captions"
says "$dir/captions.jsonl:1: its text holds the character NUL, which the text encoder does not take"
run 0 $caption --draw "$(yes 'a red cat' | head -60 | tr '\n' ' ')" --out "$dir/other.png"
says "warning: the text has 242 tokens, of which the text encoder reads 16: what is behind is not seen"
# Another batch into the same folder: pictures of the earlier one are gone, what others put there stays.
cp -r "$dir/batch" "$dir/rebatch"; cp "$dir/cat.png" "$dir/rebatch/999999.png"
echo '{"ask": "Why?"}' | run 0 $frozen --batch - --out "$dir/rebatch" --max-new-tokens 1
[ "$(cd "$dir/rebatch" && echo *.png)" = 999999.png ] || fail "pictures of an earlier batch: $(ls "$dir/rebatch")"
run 0 $frozen --batch - --out "$dir/piped" --steps 3 --max-new-tokens 3 --image-root "$dir" < "$dir/rows.jsonl"
same "$dir/batch/000008-2.png" "$dir/piped/000008-2.png" "rows from standard input"
# Questions alone open nothing that draws: a folder without a UNet will do.
mkdir "$dir/part"
ln -s "$cases/bases/diffusion-noise/text_encoder" "$cases/bases/diffusion-noise/tokenizer" "$dir/part"
texts=("--set" "model.diffusion.path=$dir/part" "--set" "loss.generate=mse" "--set" "loss.edit=mse" "--set" "model.diffusion.edit=llm_only" "--set" "debug.replay=null")
sed -n 2p "$dir/rows.jsonl" > "$dir/asked.jsonl"
run 0 $frozen "${texts[@]}" --batch "$dir/asked.jsonl" --out "$dir/answers" --max-new-tokens 3
run 0 $frozen "${texts[@]}" --chat --max-new-tokens 3 <<< "/draw a cat"
says "/draw: this model does not draw: model.diffusion.path: there is no $dir/part/unet/config.json"
run 2 $frozen "${texts[@]}" --batch <(sed -n 1p "$dir/rows.jsonl") --out "$dir/answers"
says "this model does not draw: model.diffusion.path: there is no $dir/part/unet/config.json"
run 66 $frozen "${texts[@]}" --draw "a cat" --out "$dir/none.png"
says "--draw: this model does not draw: model.diffusion.path: there is no $dir/part/unet/config.json"

# A conversation draws as --draw does, edits what was drawn last, and answers what is asked between.
printf '/draw Draw a cat\n/edit remove the hat\nWhat is it?\n/draw\n' > "$dir/said"
(cd "$dir" && exec "$generate" $frozen --chat --steps 3 --max-new-tokens 4 < said > out 2> err) || fail "--chat: exit $?"
[ "$(head -2 "$dir/out" | tr '\n' ' ')" = "picture-001.png picture-002.png " ] && [ "$(wc -l < "$dir/out")" -ge 3 ] || fail "--chat says: $(cat "$dir/out")"
says '/draw: a text is missing'
same "$dir/cat.png" "$dir/picture-001.png" "/draw"
run 0 $frozen --chat --steps 3 --max-new-tokens 4 --out "$dir/talk" <<< "/Draw a cat"
says "warning: /Draw is no command; there are /draw TEXT and /edit TEXT"
[ ! -s "$dir/out" ] || fail "/Draw is answered: $(cat "$dir/out")"
run 0 $frozen --draw "Draw a cat" --steps 1 --out "$dir/cat.jpg"
[ "$(grep -c 'is written as PNG' "$dir/err")" -eq 1 ] || fail "another kind of file is not told once: $(cat "$dir/err")"
run 2 $frozen --draw "Draw a cat" --sampler dpm --out "$dir/none.png"
says "did you mean dpm++?"
run 0 $frozen --chat --steps 3 --max-new-tokens 4 --out "$dir/talk" <<< "/edit remove the hat"
says "/edit: no picture was shown (--image FILE) or drawn (/draw TEXT) so far"
run 0 $frozen --chat --steps 3 --strength 0.7 --image "$photos/b.png" --out "$dir/talk" <<< "/edit remove the hat"
same "$dir/edit.png" "$dir/talk/picture-001.png" "/edit of the picture shown"
run 0 $frozen --chat --steps 3 --image "$photos/b.png" --out "$dir/talk" <<< "/draw Draw a cat"
[ "$(cat "$dir/out")" = "$dir/talk/picture-002.png" ] || fail "a picture that is there was taken: $(cat "$dir/out")"
same "$dir/cat.png" "$dir/talk/picture-002.png" "/draw with a picture shown"

# An answer that begins a picture by itself: at a temperature where everything is as likely, some seed does.
for seed in $(seq 40); do
    rm -f "$dir/own.png"
    run 0 $frozen --ask "Draw a cat" --temperature 1e6 --max-new-tokens 40 --seed $seed --steps 2 --out "$dir/own.png"
    [ ! -e "$dir/own.png" ] || break
    says "the answer draws no picture, so $dir/own.png is not written"
done
[ -e "$dir/own.png" ] && grep -qaF "$dir/own.png" "$dir/out" || fail "no answer of 40 has drawn a picture: $(cat "$dir/out")"
has "$dir/own.png" seed $seed
run 0 $frozen --chat --temperature 1e6 --max-new-tokens 40 --seed $seed --steps 2 --out "$dir/own" <<< "Draw a cat"
grep -qa picture-001.png "$dir/out" || run 0 $frozen --ask "Draw a cat" --temperature 1e6 --max-new-tokens 40 --seed $seed
grep -qaF -e '<gen>' -e picture-001.png "$dir/out" || fail "an answer of text alone does not say where its picture would be: $(cat "$dir/out")"

# From a checkpoint, which is named in the file; the head of a run without one is random.
"$train" --config "$cases/noise_frozen/config.json" --set save.dir="$dir/runs" --set name=trained --set debug.replay=null --set data.shards="$dir/shards" --steps 2 --quiet || fail "train: exit $?"
run 0 --checkpoint "$dir/runs/trained" --draw "Draw a cat" --steps 3 --out "$dir/trained.png"
has "$dir/trained.png" checkpoint trained/checkpoint-000002
other "$dir/cat.png" "$dir/trained.png" "a trained model"
run 0 $frozen --set model.gen_head.init=default --draw "Draw a cat" --steps 1 --out "$dir/random.png"
random="warning: the generation head is random: no checkpoint has trained it, and model.gen_head.init names no file"
says "$random"
"$train" --config "$cases/noise_frozen/config.json" --set save.dir="$dir/runs" --set name=untrained --set model.gen_head.train=frozen --set model.gen_head.init=default \
    --set debug.replay=null --set data.shards="$dir/shards" --steps 1 --quiet 2> "$dir/err" || fail "train: exit $?"
run 0 --checkpoint "$dir/runs/untrained" --draw "Draw a cat" --steps 1 --out "$dir/random.png"
says "$random"
run 0 $frozen --draw "Draw a cat" --steps 1 --out "$dir/random.png"
! grep -q "is random" "$dir/err" || fail "a head from a file is said to be random"

# What makes no sense, before anything is computed.
refused() {
    local code=$1 sentence=$2
    shift 2
    run "$code" "$@"
    says "$sentence"
    [ ! -e "$dir/x.png" ] || fail "refused, and written all the same"
}
out="--out $dir/x.png"
refused 2 "generate: say one thing to do: --ask, --draw, --edit, --batch or --chat" $frozen --draw a --edit b $out
refused 2 "generate: --draw needs --out FILE, the PNG file for the picture" $frozen --draw "a cat"
refused 2 "generate: --edit needs --image FILE, the picture to change" $frozen --edit "a cat" $out
refused 2 "generate: --image is not for --draw, which begins without a picture; --edit TEXT --image FILE changes one" $frozen --draw a --image "$photos/b.png" $out
refused 2 "generate: --draw: its text is empty" $frozen --draw " " $out
refused 2 "generate: --image: the name of a picture is empty" $frozen --edit a --image "" $out
refused 2 "generate: --image -: standard input has the questions of --chat; name a file" $frozen --chat --image -
refused 2 "generate: --steps is \"0\"; it takes an integer from 1 to 1000" $frozen --draw a --steps 0 $out
refused 2 "generate: --sampler is \"ddmi\"; it takes one of ddim, pndm, dpm++ (did you mean ddim?)" $frozen --draw a --sampler ddmi $out
refused 2 "generate: --steps is for pictures (--draw, --edit, --batch, --chat, or --ask with --out)" $frozen --ask a --steps 3
refused 2 "generate: --grid is for --draw and --edit" $frozen --chat --grid 3
refused 2 "generate: --image-guidance is for changing pictures; --draw begins without one" $frozen --draw a --image-guidance 2 $out
refused 2 "generate: --image-guidance is for a UNet that sees the picture; this run's model.diffusion.edit is \"sdedit\"" $frozen --edit a --image "$photos/b.png" --image-guidance 2 $out
refused 2 "generate: --strength is for model.diffusion.edit \"sdedit\"; this run's is \"ip2p\"" $eight --edit a --image "$photos/b.png" --strength 0.5 $out
refused 2 "generate: --temperature is for answers in text" $frozen --draw a --temperature 1 $out
refused 2 "generate: --draw: this model does not draw: model.diffusion.path is null" --config "$dir/run.json" --draw a $out
refused 73 "--out $dir: is a folder; the picture takes the name of a file: give another one" $frozen --draw a --out "$dir"
refused 73 "--out /dev/null: is a device" $frozen --draw a --out /dev/null
refused 73 "--out $dir/none/x.png: $dir/none: there is no such folder" $frozen --draw a --out "$dir/none/x.png"
refused 73 "--out $dir/run.json/x.png: $dir/run.json is a file, expected a folder" $frozen --draw a --out "$dir/run.json/x.png"
if [ -e /dev/full ]; then
    "$generate" $frozen --draw a --steps 1 --out - > /dev/full 2> "$dir/err"
    [ $? -eq 74 ] || fail "standard output is full: exit $?, wanted 74"
fi
# A picture that does not fit into what is left of memory: said before weights are read (sanitizers need more addresses than that by themselves).
if (ulimit -v 1500000; "$generate" --version > /dev/null 2>&1); then
    (ulimit -v 1500000; "$generate" $frozen --set model.diffusion.size=2048 --draw a $out > "$dir/out" 2> "$dir/err")
    [ $? -eq 71 ] || fail "a picture of 2048 pixels in 1.5 GB: exit $?, wanted 71"
    says ", workspace of drawing "
fi
# Pictures to change: the smallest there is; one that is too narrow, one that is none, one that is not there.
printf 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNgYGAAAAAEAAH2FzhVAAAAAElFTkSuQmCC' | base64 -d > "$dir/dot.png"
run 0 $frozen --edit a --image "$dir/dot.png" --steps 2 --out "$dir/dotted.png"
printf '\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x23\x28\0\0\0\x28\x08\x02\0\0\0\0\0\0\0' > "$dir/wide.png"
refused 65 "picture $dir/wide.png: 9000x40 pixels: one side is more than 100 times the other" $frozen --edit a --image "$dir/wide.png" $out
refused 65 "picture $dir/run.json: its first bytes are not those of a JPEG, PNG, WebP or GIF picture" $frozen --edit a --image "$dir/run.json" $out
refused 66 "picture $dir/gone.png: cannot be opened: No such file or directory" $frozen --edit a --image "$dir/gone.png" $out
run 0 $frozen --draw a --steps 1 --out "$dir/a.webp"
says "warning: --out $dir/a.webp: is written as PNG, whatever its name says"
exit $failed
