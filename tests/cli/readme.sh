#!/bin/bash
# Every command that a README shows is run, in order, by the programs of this tree. Little models and data stand where the README has
# large ones (/models, /data, run.json, photo.jpg …). A command that is not run here is in the list of those that other tests run.
# Links lead to files and headings that are there.
# $1: the build folder.
set -u
build=$(realpath "$1") root=$PWD failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
fail() { echo "$0: $*" >&2; failed=1; }
pages=$(git ls-files '*.md' 2>/dev/null || find . -name '*.md' -not -path './build/*' -printf '%P\n' | LC_ALL=C sort)

# Headings as PAGE#NAME, by the names that GitHub gives them, and links as PAGE TARGET.
awk -v headings="$dir/headings" -v links="$dir/links" 'FNR == 1 { code = 0 }
    /^ *```/ { code = !code }
    code { next }
    /^#+ / { name = tolower($0); sub(/^#+ /, "", name); gsub(/[^a-z0-9 _-]/, "", name); gsub(/ /, "-", name)
        print FILENAME "#" name >headings }
    { while (match($0, /\]\([^)]*\)/)) { print FILENAME, substr($0, RSTART + 2, RLENGTH - 3) >links; $0 = substr($0, RSTART + RLENGTH) } }' $pages
while read -r page target; do
    case $target in http*) continue ;; esac
    file=${target%%#*}
    file=${file:+$(dirname "$page")/$file}
    file=$(realpath -m --relative-to=. "${file:-$page}")
    if [ ! -e "$file" ]; then
        fail "$page links to $target, which is not there"
    elif [ "${target#*#}" != "$target" ] && ! grep -qxF "$file#${target#*#}" "$dir/headings"; then
        fail "$page links to $target: there is no such heading"
    fi
done <"$dir/links"
[ "$(wc -l <"$dir/links")" -ge 40 ] || fail "only $(wc -l <"$dir/links") links were found"

# Lines of the READMEs' sh blocks, those that go on joined, their comments gone; what an interpreter reads (<<, quotes over lines) is
# left out.
commands() {
    awk '/^ *```sh/ { on = 1; next } /^ *```/ { on = 0; inside = ""; next } !on { next }
        inside != "" { if ($0 == inside || (inside == "quote" && /\x27\)?$/)) inside = ""; next }
        /^#/ || /^ +#/ || /^$/ { next }
        { line = line $0 }
        /\\$/ { sub(/\\$/, "", line); next }
        /<<\x27?END/ { inside = "END" }
        /^python3 -c \x27[^\x27]*$/ { inside = "quote" }
        { sub(/ +#.*/, "", line); print line; line = "" }' "$@"
}

# What stands for the things that the READMEs name.
cp -r configs "$dir/configs"
cd "$dir" || exit 1
ln -s "$build" build
ln -s "$root/tests" tests
# root, and more ranks than processors: only here
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMP_NUM_THREADS=1
fixtures=$root/tests/fixtures
build/scenes --out runs/scenes/one --count 4 --heldout 4 --objects 1 --kinds color --seed 2 >out 2>&1 || fail "no scenes"
build/scenes --out runs/scenes/many --count 4 --heldout 4 --objects 2 --kinds count --seed 1 >out 2>&1 || fail "no scenes"
build/sketches --out runs/sketches --count 8 --heldout 2 --size 64 --seed 1 >out 2>&1 || fail "no sketches"
sed -e 's/"name": "quickstart"/"name": "llava-7b"/; s#"base/#"configs/base/#g; s#"\.\./runs#"runs#g; /"name": "one"/d' \
    -e 's/"epochs": 4, "batch": 48/"epochs": 1, "batch": 4/; s#"save": {#"save": {"best": true, #' \
    -e 's#"data": {#"data": {"validation": [{"files": ["runs/scenes/many/heldout.json"]}],#' configs/quickstart.json >run.json
cp runs/scenes/many/heldout/000002.jpg photo.jpg
mkdir photos models data
cp photo.jpg photos/1.jpg
cp runs/scenes/many/train.json rows.json
cp runs/scenes/many/heldout.json heldout.json
sed -i 's#"heldout/#"runs/scenes/many/heldout/#' heldout.json
cp configs/base/llm/tokenizer.model .
cp photo.jpg boat.png # a picture is known by its content
sed -i 's/"epochs": 2000/"epochs": 2/' configs/own.json
printf '{"uid": "%s", "image": "1.jpg", "caption": "a red circle"}\n' 1 2 >records.jsonl
ln -s "$dir/configs/base/diffusion" models/stable-diffusion-v1-4
ln -s "$fixtures/bench/"* "$fixtures/drawings/coco" data/
cp -r "$fixtures/drawings/vist" data/vist
mkdir data/vist/images
for photo in 0 1 2 3 900 100 101 103 104 200 201 202 203 204 300 301 302 303; do cp photo.jpg data/vist/images/$photo.jpg; done
mkdir -p MagicBrush/test/images/77
cp photo.jpg MagicBrush/test/images/77/1.jpg
echo '{"77": [{"input": "1.jpg", "output": "1.jpg", "instruction": "Change the color of the circle to blue."}]}' >MagicBrush/test/edit_sessions.json
mkdir models/clip-vit-large-patch14 kept
cp "$fixtures/features/clip/"* "$fixtures/clip_tokenizer/padded_with_end/"* models/clip-vit-large-patch14
ln -s models/clip-vit-large-patch14 clip-vit-base-patch32
ln -s clip-vit-large-patch14 models/inception # never asked, as what FID's network of 24 million weights makes is in kept/
cp -r photos generated
echo '{"id": "1", "text": "a red circle"}' >captions.jsonl
for bench in vqav2 mm-vet; do cp "data/$bench/answers.jsonl" "$bench.jsonl"; done
cat >suite.json <<'END'
{"benchmarks": [{"bench": "gqa", "data": "data/gqa"},
    {"bench": "mm-vet", "data": "data/mm-vet", "replies": ["data/mm-vet/replies.jsonl"]}]}
END
cp -r "$fixtures/metrics/pixels/." "$fixtures/metrics/features/." .
cp few.h5 generated.h5
cp few.h5 kept/inception-made.h5
cp b.npz reference.npz
cp b.npz kept/inception-goal.npz
mkdir test
cp -r "$fixtures/metrics/magicbrush/goals" test/images
cp -r "$fixtures/metrics/magicbrush/edits" edits
cp "$fixtures/parity/noise_frozen/start/replay.safetensors" .
echo 262148000000 >benchmarks.txt

# What has to be there before one of them.
before() {
    case $1 in
    *"train --config run.json" | *"train --config run.json --ranks"*) rm -rf runs/llava-7b ;;
    *"report runs/first"*) ln -sfn llava-7b runs/first && ln -sfn llava-7b runs/second ;;
    *"--checkpoint runs/genllava"*) ln -sfn llava-7b runs/genllava ;;
    *"convert --from"*)
        [ -e models/llava-1.5-7b-hf ] || cp -r exports/llava-7b models/llava-1.5-7b-hf # not before the first is made
        rm -rf "${1##*--out }" ;;
    *"--out asked"*) rm -rf asked ;;
    *"ingest --requests asked"*)
        content='{\"request\":\"Draw a red circle please\",\"caption\":\"a red circle on a white ground\"}'
        choice="{\"finish_reason\":\"stop\",\"message\":{\"content\":\"$content\"}}"
        sed -E 's/.*"custom_id": ?"([^"]*)".*/\1/' asked/requests-00000.jsonl | while read -r id; do
            echo "{\"custom_id\":\"$id\",\"response\":{\"status_code\":200,\"body\":{\"model\":\"m\",\"choices\":[$choice]}}}"
        done >batch_1.jsonl ;;
    *"curate filter"*)
        cp "$fixtures/curate/features/fixed.h5" clip.h5
        sed 's#"uid":"[^"]*"#"uid":"g/1"#' made.jsonl | head -1 >one && mv one made.jsonl ;;
    *"vqav2 submit"*) # one answer is missing, which is more than 1 %
        grep -o '[0-9]*, "answer": ""' data/vqav2/submission.json | sed 's/\([0-9]*\).*/{"question_id": \1, "text": "no"}/' >>vqav2.jsonl ;;
    *"--chat"*) echo "Where?" ;;
    *"mistral-q8_0.gguf"*)
        build/convert --quiet --from runs/llava-7b --to gguf --type q8_0 --out q8 && mkdir models/mistral &&
            cp q8/model.gguf models/mistral/mistral-q8_0.gguf ;;
    esac
}

n=0
while IFS= read -r command; do
    case $command in
    make\ *) # other tests make these; here: there is such a target
        for word in ${command#make }; do
            case $word in -* | *=* | "&&" | make) continue ;; esac
            grep -qE "^[a-z -]*\b$word\b[a-z -]*:" "$root/Makefile" || fail "README says \"$command\", but make has no target $word"
        done
        continue ;;
    build/test-unit* | build/test-cuda-host* | gdb*) continue ;; # the tests themselves
    sudo*) continue ;;                                           # tests/cli/install.sh
    sbatch*) continue ;;                                         # tests/cli/slurm.sh
    tensorboard*) continue ;;                                    # not of this tree
    torchrun*) continue ;;                                       # needs PyTorch; tests/cli/train_ranks_hosts.sh sets what it sets
    tar* | "sh gpu-bundle"*) continue ;;                         # tests/cli/gpu_check.sh
    *"fid generated real"* | *"kid generated real"*) continue ;; # a network of 24 million weights; tests/cli/evaluate_features.sh, with another
    python3*) continue ;;                                        # needs numpy and safetensors
    esac
    n=$((n + 1))
    shards=$(echo runs/shards/*[0-9a-f] | cut -d ' ' -f 1)
    here=$(sed -e "s#^genllava#build/genllava#; s#/usr/share/genllava/##" \
        -e "s#/models/#models/#g; s#/data/#data/#g; s#runs/shards/H#$shards#" <<<"$command")
    before "$command" >input 2>&1
    timeout 120 bash -c "$here" <input >out 2>&1 || fail "\"$here\" ends with $?: $(tail -2 out)"
done < <(cd "$root" && commands $pages)
[ $n -ge 60 ] || fail "only $n commands were found"
exit $failed
