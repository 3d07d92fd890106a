# inspect on each kind of file and folder. $1: the build folder.
set -u
build=$(realpath "$1") root=$(pwd) failed=0
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
parity=$root/tests/fixtures/parity

wrong() { echo "inspect.sh: $*" >&2; failed=1; }
expect() { # CODE TEXT COMMAND...
    code=$1 text=$2; shift 2
    "$@" > "$tmp/stdout" 2> "$tmp/stderr"; got=$?
    [ $got = "$code" ] || wrong "$*: exit code $got, wanted $code: $(tail -n 2 "$tmp/stderr")"
    grep -qF -- "$text" "$tmp/stdout" "$tmp/stderr" || wrong "$*: does not say '$text' but: $(cat "$tmp/stdout" "$tmp/stderr" | tail -n 2)"
}

expect 0 'usage: inspect PATH' "$build/inspect" --help
[ "$(wc -L < "$tmp/stdout")" -le 80 ] || wrong "--help is wider than 80 columns"
expect 2 'nothing to look at' "$build/inspect"
expect 2 '--pixels needs --sample N' "$build/inspect" x --pixels "$tmp/x.ppm"
expect 66 "$tmp/none: No such file or directory" "$build/inspect" "$tmp/none"
mkdir "$tmp/empty"
expect 65 "$tmp/empty: holds no weights" "$build/inspect" "$tmp/empty"
printf 'PK\003\004pickled' > "$tmp/weights.bin"
expect 65 "$tmp/weights.bin: " "$build/inspect" "$tmp/weights.bin"

# pictures, vocabularies, JSON: what they are, and what reads them
images=$root/tests/fixtures/images
expect 0 "$images/rgb.jpg: a JPEG picture of 21 x 13 pixels" "$build/inspect" "$images/rgb.jpg"
expect 0 '"orientation": 6' "$build/inspect" "$images/exif6.jpg" --format json
# drawn in the terminal: letters where there are no colours, else the hashes of what a few lines of Python make of Pillow's resize
expect 0 '%##*+===+*##**++**###' "$build/inspect" "$images/rgb.png" --show
[ "$(sed 1d "$tmp/stdout" | sha256sum | cut -c 1-16)" = 438abb64686a9d02 ] || wrong "--show in letters: $(cat "$tmp/stdout")"
drawn() { # COLORTERM HASH
    hash=$(script -qec "env -u NO_COLOR TERM=xterm-256color COLORTERM=$1 '$build/inspect' '$images/rgb.png' --show" /dev/null | tr -d '\r' | sed 1d | sha256sum | cut -c 1-16)
    [ "$hash" = "$2" ] || wrong "--show with COLORTERM=$1: $hash"
}
drawn truecolor 8b087f57e9552f55
drawn '' 4a77bbb93e70561f
expect 2 'config.json is neither' "$build/inspect" "$parity/plain/config.json" --show
expect 2 '--show draws in the terminal; it does not go with --format json' "$build/inspect" "$images/rgb.png" --show --format json
head -c 300 "$images/rgb.jpg" > "$tmp/half.jpg"
expect 65 "$tmp/half.jpg: JPEG: " "$build/inspect" "$tmp/half.jpg"
expect 0 'a SentencePiece vocabulary (BPE with byte fallback) of 512 pieces: begin 1, end 2, unknown 0' "$build/inspect" "$root/configs/base/llm/tokenizer.model"
expect 0 'JSON: settings of a model (model.llm.path' "$build/inspect" "$parity/bases/llm-gqa/config.json"
expect 0 'JSON: settings of a run (train --config' "$build/inspect" "$parity/plain/config.json"
expect 0 'JSON: a mixture (data.mixture' "$build/inspect" "$parity/visual_tokens/mixture.json"
expect 0 '5 rows of JSON: unified records (a source of data.mixture' "$build/inspect" "$parity/visual_tokens/rows.jsonl"
expect 0 '9 rows of JSON: conversations in "messages" (a source of data.mixture' "$build/inspect" "$root/tests/fixtures/sources/messages.jsonl"
printf '[{"conversations": [{"from": "human", "value": "Q"}]},\n {"conversations": ' > "$tmp/cut.json"
expect 0 "$tmp/cut.json: 2 rows of JSON, some of them damaged: LLaVA records" "$build/inspect" "$tmp/cut.json"
expect 0 '"damaged": 1' "$build/inspect" "$tmp/cut.json" --format json
printf '{\n "a": 1\n}\n' > "$tmp/other.json"
expect 0 'JSON: a recipe (curate request' "$build/inspect" configs/curate/draw.json
asked=tests/fixtures/curate/requests/28/wanted
expect 0 'rows of JSON: requests for a batch service' "$build/inspect" $asked/requests-00000.jsonl
expect 0 'rows of JSON: what the requests beside it are of' "$build/inspect" $asked/records.jsonl
printf '{"id":"b","custom_id":"c","response":null,"error":{"code":"batch_expired"}}\n' > "$tmp/replies.jsonl"
expect 0 '1 row of JSON: replies of a batch service' "$build/inspect" "$tmp/replies.jsonl"
expect 0 "$tmp/other.json: JSON: an object that nothing here reads" "$build/inspect" "$tmp/other.json"
printf '{{ messages }}\n' > "$tmp/chat_template.jinja"
expect 65 "$tmp/chat_template.jinja:1:2: " "$build/inspect" "$tmp/chat_template.jinja"
printf 'PAR1 and columns' > "$tmp/rows.parquet"
expect 65 "$tmp/rows.parquet:1:1: this is a Parquet file; python3 -c" "$build/inspect" "$tmp/rows.parquet"
# what public data sets and curate are made of
sources=tests/fixtures/sources
expect 0 'JSON: COCO annotations (a source with "format": "captions" takes' "$build/inspect" $sources/captions_train2017.json
{ printf '{"images":[{}'; yes ',{"id":1}' | head -n 2000000 | tr -d '\n'; printf '],"annotations":[{"image_id":1,"caption":"c"}]}'; } > "$tmp/large.json"
expect 0 "$tmp/large.json: JSON: COCO annotations" "$build/inspect" "$tmp/large.json"
rm "$tmp/large.json"
expect 0 'text: fields between tabs (a source with "format": "captions" takes' "$build/inspect" $sources/cc3m.tsv
expect 0 'rows of JSON: captions of LAION (a source with "format": "laion-gpt4v"' "$build/inspect" $sources/laion.jsonl
expect 0 'JSON: templates of requests ("requests" of a source' "$build/inspect" $sources/requests.json
said() { printf "$3\n" > "$tmp/$1"; expect 0 "$tmp/$1: $2" "$build/inspect" "$tmp/$1"; } # NAME TEXT CONTENTS
said captions.jsonl '1 row of JSON: captions (a source with "format": "captions"' '{"caption":"c","file":"f"}'
said records.jsonl '1 row of JSON: records without conversations (curate request' '{"uid":"1","image":"1.jpg","caption":"c"}'
said edit_sessions.json 'JSON: edits of MagicBrush' '{"1":[{"input":"1-input.png","output":"1-output1.png","instruction":"i"}]}'
said prompt.json 'JSON: texts of InstructPix2Pix' '{"edit":"e","input":"i","output":"o"}'
said metadata.jsonl '2 rows of JSON: scores of InstructPix2Pix' '{"seed":1,"clip_sim_dir":0.2}\n{"seed":2,"clip_sim_dir":0.3}'
said report.json 'JSON: a report of prepare' '{"sources":[],"bad_rows":[]}'
said rows.json 'JSON: an object with a list inside, which is no file of rows (jq .data FILE' '{"data":[{"a":1}]}'
said run.json 'JSON: settings of a run' '{"data":{"mixture":"m.json"}}'
said ids.txt 'text: lines that are no JSON (--exclude-image-ids' '1\n2'
said page 'text: HTML or XML, as a download that failed' '<html>'
expect 0 '"what": "lines that are no JSON' "$build/inspect" "$tmp/ids.txt" --format json
echo '<html>' > "$tmp/web.jpg"
expect 65 "$tmp/web.jpg: its first bytes are not those of a JPEG" "$build/inspect" "$tmp/web.jpg"
mkdir -p "$tmp/magic/train" "$tmp/pairs" "$tmp/asked"
touch "$tmp/magic/train/edit_sessions.json" "$tmp/pairs/seeds.json" "$tmp/asked/records.jsonl"
expect 0 "$tmp/magic: folder of data: MagicBrush (a source" "$build/inspect" "$tmp/magic"
expect 0 "$tmp/magic/train: folder of data: a split of MagicBrush" "$build/inspect" "$tmp/magic/train"
expect 0 "$tmp/pairs: folder of data: InstructPix2Pix" "$build/inspect" "$tmp/pairs"
expect 65 "$tmp/asked: holds no weights (*.safetensors), shards, checkpoint or run, and is no data set" "$build/inspect" "$tmp/asked"
touch "$tmp/asked/recipe.json"
expect 0 "$tmp/asked: folder of data: requests for a batch service (curate ingest" "$build/inspect" "$tmp/asked"
printf 'BM and pixels' > "$tmp/p.bmp"
expect 65 "$tmp/p.bmp: it is a BMP picture; JPEG, PNG, WebP and GIF are read" "$build/inspect" "$tmp/p.bmp"
# folders of several things, and what takes them
things() { mkdir -p "$tmp/$1" && for file in $2; do mkdir -p "$(dirname "$tmp/$1/$file")" && echo '{}' > "$tmp/$1/$file"; done; } # NAME FILES
things parts "run.json projector.safetensors"
cp -r "$parity/bases/llm-gqa" "$tmp/parts/llm"
expect 0 "$tmp/parts: parts of a model, as convert --to parts writes them (train --config goes on" "$build/inspect" "$tmp/parts"
grep -qE '^  llm  +a language model \(model.llm.path takes it\)$' "$tmp/stdout" || wrong "a part is not told: $(cat "$tmp/stdout")"
expect 0 '"what": "a language model (model.llm.path takes it)"' "$build/inspect" "$tmp/parts" --format json
things gguf "README.md model.gguf mmproj.gguf"
expect 0 "$tmp/gguf: a model in GGUF, for llama.cpp" "$build/inspect" "$tmp/gguf"
things drawn "gen_head.safetensors unet/config.json"
expect 0 "$tmp/drawn: a generation head" "$build/inspect" "$tmp/drawn"
things loose "projector.safetensors README.md"
expect 0 "$tmp/loose: parts of a model, a file each" "$build/inspect" "$tmp/loose"
things runs "a/train.jsonl shards/x"
expect 0 "$tmp/runs: runs (report takes one" "$build/inspect" "$tmp/runs"
grep -qE '^  a  +run$' "$tmp/stdout" || wrong "a run among runs is not told: $(cat "$tmp/stdout")"
things begun "environment.json"
expect 0 "$tmp/begun: a run that ended before its first step" "$build/inspect" "$tmp/begun"
things tb "events.out.tfevents.1"
expect 0 "$tmp/tb: curves for TensorBoard" "$build/inspect" "$tmp/tb"
things samples "step-000100/answers.jsonl sheet.png"
expect 0 "$tmp/samples: samples of a run" "$build/inspect" "$tmp/samples"
things photos "1.jpg 1.txt 2.jpg 2.txt"
expect 0 "$tmp/photos: pictures with texts beside them (a source with \"format\": \"folder\"" "$build/inspect" "$tmp/photos"
things pictures "1.jpg 2.png"
expect 0 "$tmp/pictures: pictures (a source" "$build/inspect" "$tmp/pictures"
things mixed "1.jpg a b"
expect 65 'evaluate --list says what folders of benchmarks hold' "$build/inspect" "$tmp/mixed"
for role in "llm-gqa:a language model" "vision-only:SigLIP" "clip-only:CLIP (" "diffusion-text/text_encoder:a text encoder" "diffusion-noise/unet:a UNet"; do
    expect 0 "/${role%%:*}: ${role#*:}" "$build/inspect" "$parity/bases/${role%%:*}"
done
expect 0 'LLaVA in the form of transformers (convert --from it --to parts' "$build/inspect" "$root/tests/fixtures/llava"
features=$root/tests/fixtures/metrics/features
expect 0 'features: an HDF5 file that is no shard' "$build/inspect" "$features/few.h5"
expect 0 'an array of numpy, [60, 12]: numbers of pictures or texts' "$build/inspect" "$features/a.npy"
expect 0 'features: arrays of numpy (evaluate fid takes' "$build/inspect" "$features/b.npz"
said report.html 'text: a page for a browser, as report writes it' '<!DOCTYPE html>'
said card.md 'text: Markdown' '# A model'
said gen_head_config.json 'JSON: the sizes of a generation head' '{"encoder_layers": 1}'
expect 0 'JSON: a JSON Schema' "$build/inspect" configs/genllava.schema.json
expect 0 'JSON: settings of a run' "$build/inspect" configs/genllava.json

# Several: each is looked at, whatever is wrong with others.
expect 66 "$tmp/gone: No such file or directory" "$build/inspect" "$images/rgb.jpg" "$tmp/gone" "$tmp/web.jpg" "$tmp/ids.txt"
grep -qF "$tmp/web.jpg: its first bytes are not those" "$tmp/stderr" || wrong "of two mistakes the second is not said: $(cat "$tmp/stderr")"
[ "$(grep -c . "$tmp/stdout")" = 2 ] || wrong "what is whole is not looked at: $(cat "$tmp/stdout")"
expect 2 '--sample looks into shards' "$build/inspect" "$images/rgb.jpg" --sample 0

# weights: a file, a folder, a sharded folder
expect 0 'model.norm.weight ' "$build/inspect" "$parity/bases/llm-gqa/model.safetensors"
expect 0 '21 tensors, 73,968 elements, 144.5 KiB (73,968 BF16)' "$build/inspect" "$parity/bases/llm-gqa"
expect 0 ' tensors, ' "$build/inspect" "$parity/bases/llm-old"
expect 0 '"elements": 73968' "$build/inspect" "$parity/bases/llm-gqa" --format json
cp "$parity/bases/llm-gqa/model.safetensors" "$tmp/cut.safetensors"
truncate -s -5 "$tmp/cut.safetensors"
expect 65 "$tmp/cut.safetensors" "$build/inspect" "$tmp/cut.safetensors"

containers=$root/tests/fixtures/containers
expect 0 '4 tensors, 1,742 elements, 4.0 KiB (576 F32, 576 BF16, 14 F16, 576 Q8_0)' "$build/inspect" "$containers/model.gguf"
grep -qxF 'llama.rope.freq_base          1000000.0' "$tmp/stdout" || wrong "metadata is not shown"
grep -qxF 'tokenizer.ggml.tokens         {"elements":3}' "$tmp/stdout" || wrong "an array of the metadata is not shown"
expect 0 '"test.int8": -100' "$build/inspect" "$containers/kinds.gguf" --format json
expect 0 'test.uint64           9.223372036854776e+18' "$build/inspect" "$containers/kinds.gguf"
expect 0 'transposed     F32   [8, 6]' "$build/inspect" "$containers/tensors.bin"
expect 65 "$containers/calls.bin: refused: it names posix.system" "$build/inspect" "$containers/calls.bin"

# shards
"$build/prepare" --config "$parity/vision_full/config.json" --out "$tmp/shards" --set data.shard_samples=2 --quiet > /dev/null || wrong "prepare failed"
shard=$tmp/shards/shard-00000-of-00002.h5
expect 0 'samples    2 (2 understand)' "$build/inspect" "$shard"
expect 0 'samples    3 (3 understand)' "$build/inspect" "$tmp/shards"
expect 0 '"kind": "shard"' "$build/inspect" "$shard" --format json
expect 0 'sample 1 of' "$build/inspect" "$shard" --sample 1
grep -qE '^ *0   +1  text   <s>$' "$tmp/stdout" || wrong "the first token is not shown as <s>"
grep -qE '^ *[0-9]+ \*  +2  text   </s>$' "$tmp/stdout" || wrong "the terminator is not shown as trained"
grep -qE '^ *[0-9]+ +-200  image  <image>$' "$tmp/stdout" || wrong "the image placeholder is not shown"
grep -qF 'image 0: input, ' "$tmp/stdout" || wrong "the image is not described"
expect 0 '"trained": true' "$build/inspect" "$shard" --sample 1 --format json
expect 0 'image 0: input' "$build/inspect" "$shard" --sample 1 --show
grep -A 100 '^image 0' "$tmp/stdout" | sed '1d;/^line: /,$d' > "$tmp/shown"
seen=0
for picture in "$parity/vision_full/images/"*; do
    "$build/inspect" "$picture" --show 2> "$tmp/stderr" | sed 1d | cmp -s - "$tmp/shown" && seen=1
done
[ $seen = 1 ] || wrong "--sample 1 --show draws $(cat "$tmp/shown")"
expect 2 '--sample 2: ' "$build/inspect" "$shard" --sample 2
expect 2 'sample 1 has 1 images' "$build/inspect" "$shard" --sample 1 --image 1
expect 2 '--pixels needs --config' "$build/inspect" "$shard" --sample 1 --pixels "$tmp/x.ppm"
"$build/inspect" "$shard" --sample 1 --pixels "$tmp/x.ppm" --config "$parity/vision_full/config.json" || wrong "--pixels failed"
[ "$(head -c 13 "$tmp/x.ppm" | tr '\n' ' ')" = "P6 31 31 255 " ] && [ "$(wc -c < "$tmp/x.ppm")" = $((13 + 31 * 31 * 3)) ] || wrong "the PPM is not 31x31"
"$build/inspect" "$shard" --sample 1 --image 0 --pixels - --config "$parity/vision_full/config.json" | cmp -s - "$tmp/x.ppm" || wrong "--pixels - differs"

# the label mask is what loss.image_tokens makes of it
"$build/prepare" --config "$parity/visual_tokens/config.json" --out "$tmp/visual" --quiet > /dev/null || wrong "prepare failed"
marked() { # VALUE TRAINED: the trained tokens of sample 0, of [IMG] tokens as the value says
    sed "s/\"image_tokens\": \"all\"/\"image_tokens\": \"$1\"/" "$parity/visual_tokens/config.json" > "$parity_copy/config.json"
    expect 0 "trained (*); of [IMG] tokens as loss.image_tokens \"$1\" says" "$build/inspect" "$tmp/visual" --sample "$sample" --config "$parity_copy/config.json"
    [ "$(sed -n 's/^ *[0-9]* \([* ]\) .* visual *\(\[IMG.\]\)/\1\2/p' "$tmp/stdout" | tr -d ' \n')" = "$2" ] ||
        wrong "loss.image_tokens $1 marks $(grep ' visual ' "$tmp/stdout")"
}
parity_copy=$tmp/case
cp -r "$parity/visual_tokens" "$parity_copy"
ln -s "$parity/bases" "$tmp/bases"
sample=0
while [ $sample -lt 20 ] && ! "$build/inspect" "$tmp/visual" --sample $sample | grep -q ' visual '; do sample=$((sample + 1)); done
marked first '*[IMG0][IMG1][IMG2][IMG3]'
marked all '*[IMG0]*[IMG1]*[IMG2]*[IMG3]'
marked none '[IMG0][IMG1][IMG2][IMG3]'
expect 0 'as loss.image_tokens "first" says, the default (--config RUN.json tells that of a run)' "$build/inspect" "$tmp/visual" --sample $sample
expect 0 '"image_tokens": "first"' "$build/inspect" "$tmp/visual" --sample $sample --format json
trained() { "$build/inspect" "$tmp/visual" --config "$parity_copy/config.json" --format json | sed -n 's/.*"trained_tokens": *\([0-9]*\).*/\1/p'; }
none=$(trained)
sed -i 's/"image_tokens": "none"/"image_tokens": "all"/' "$parity_copy/config.json"
[ "$(trained)" -gt "$none" ] || wrong "the trained tokens of a folder of shards do not depend on loss.image_tokens: $none, $(trained)"

# the folder of a diffusers model
expect 0 'diffusion-noise: diffusers model, 3 parts with weights; inspect a part' "$build/inspect" "$parity/bases/diffusion-noise"
grep -qE '^unet +208 tensors, 36,076 elements, 70.5 KiB \(36,076 F16\)$' "$tmp/stdout" || wrong "the UNet is not listed: $(cat "$tmp/stdout")"
grep -q '^scheduler' "$tmp/stdout" && wrong "a folder without weights is listed"
expect 0 '"kind": "diffusers"' "$build/inspect" "$parity/bases/diffusion-noise" --format json
mkdir "$tmp/sd"
cp -r "$parity/bases/diffusion-noise/vae" "$tmp/sd"
chmod -R u+w "$tmp/sd"
truncate -s -9 "$tmp/sd/vae/diffusion_pytorch_model.safetensors"
expect 65 "$tmp/sd/vae/diffusion_pytorch_model.safetensors" "$build/inspect" "$tmp/sd"

# a target, as the diffusion model gets it: 512x512, the middle of the picture
"$build/prepare" --config "$parity/draw_l2norm/config.json" --out "$tmp/drawn" --quiet > /dev/null || wrong "prepare failed"
expect 0 'image 0: target, ' "$build/inspect" "$tmp/drawn" --sample 0
"$build/inspect" "$tmp/drawn" --sample 0 --pixels "$tmp/x.ppm" --config "$parity/draw_l2norm/config.json" || wrong "--pixels failed"
[ "$(head -c 15 "$tmp/x.ppm" | tr '\n' ' ')" = "P6 512 512 255 " ] && [ "$(wc -c < "$tmp/x.ppm")" = $((15 + 512 * 512 * 3)) ] || wrong "the target is not 512x512"
"$build/inspect" "$tmp/drawn" --sample 0 --pixels "$tmp/x.ppm" --config "$parity/vision_full/config.json" || wrong "--pixels failed"
[ "$(head -c 9 "$tmp/x.ppm" | tr '\n' ' ')" = "P6 31 31 " ] || wrong "a target without a diffusion model is not what the tower gets"

# pictures of other shards: the sample of this one shows what the first holds
cat > "$tmp/rows.json" <<'END'
[{"id":"0","image":"a.png","conversations":[{"from":"human","value":"<image>\nWhat?"},{"from":"gpt","value":"This."}]},
 {"id":"1","image":"a.png","conversations":[{"from":"human","value":"<image>\nAnd?"},{"from":"gpt","value":"That."}]}]
END
cp "$root/tests/fixtures/images/rgb.png" "$tmp/a.png"
"$build/prepare" --config "$parity/vision_full/config.json" --out "$tmp/pair" --set data.shard_samples=1 --quiet \
    --set 'data.mixture=[{"name":"a","files":["'"$tmp/rows.json"'"]}]' > /dev/null || wrong "prepare failed"
expect 0 'references 2 to them, 1 from one shard to another' "$build/inspect" "$tmp/pair"
second=$tmp/pair/shard-00001-of-00002.h5
expect 0 'image 0: input, stored as image 0 of shard-00000-of-00002.h5, PNG ' "$build/inspect" "$second" --sample 0
expect 0 '"format": "PNG"' "$build/inspect" "$second" --sample 0 --format json
"$build/inspect" "$tmp/pair" --sample 0 --pixels "$tmp/first.ppm" --config "$parity/vision_full/config.json" || wrong "--pixels failed"
"$build/inspect" "$second" --sample 0 --pixels - --config "$parity/vision_full/config.json" | cmp -s - "$tmp/first.ppm" || wrong "--pixels of another shard differs"
mkdir "$tmp/alone"
cp "$second" "$tmp/alone"
second=$tmp/alone/shard-00001-of-00002.h5
expect 0 'stored as image 0 of shard-00000-of-00002.h5, which is not beside this shard' "$build/inspect" "$second" --sample 0
expect 66 "sample 0 of $second shows image 0 of shard 0 of its set, which is not beside it" \
    "$build/inspect" "$second" --sample 0 --pixels - --config "$parity/vision_full/config.json"
printf 'GENLLAVA SHARD 1\n' | dd of="$second" conv=notrunc 2> /dev/null
expect 65 "$second: a shard of the older layout genllava.shard/1, this program reads genllava.shard/2" "$build/inspect" "$second"

# The bytes of pictures are verified, and it is said.
expect 0 '; their bytes are verified' "$build/inspect" "$shard"
expect 0 '"image_bytes_verified": true' "$build/inspect" "$tmp/shards" --format json
cp -r "$tmp/shards" "$tmp/torn"
torn=$tmp/torn/$(basename "$shard")
at=$(sed -n 's/^image_offset //p' "$torn" | head -1)
printf 'damaged' | dd of="$torn" bs=1 seek=$((10#$at + 40)) conv=notrunc 2> /dev/null
expect 65 "$torn: image 0 is damaged" "$build/inspect" "$torn"
expect 65 "$torn: image 0 is damaged" "$build/inspect" "$tmp/torn"
expect 0 'sample 1 of' "$build/inspect" "$shard" --sample 1 # another picture

printf X | dd of="$shard" bs=1 seek=2000 conv=notrunc 2> /dev/null
expect 65 'damaged' "$build/inspect" "$shard"

# checkpoints and runs need a manifest
mkdir "$tmp/checkpoint-000001"
echo '{}' > "$tmp/checkpoint-000001/MANIFEST.json"
expect 65 "$tmp/checkpoint-000001/MANIFEST.json" "$build/inspect" "$tmp/checkpoint-000001"
expect 65 'DAMAGED' "$build/inspect" "$tmp"
exit $failed
