#!/bin/sh
# The quickstart: draws two small worlds of pictures, tunes the little base models in one stage to answer questions about the one and to
# draw and change pictures of the other, scores all three on held-out rows, and makes a page of the run. $1: the folder with the programs;
# $2: the run's name; what follows goes to train. Run again it goes on where it was stopped, or says that it is finished.
set -eu
bin=$1 name=$2
shift 2
config=configs/quickstart.json
world=runs/scenes
sketches=runs/sketches
how="--steps 25 --guidance 3"
run=runs/$name

answer() { # NAME RUN: the held-out questions, answered by the newest checkpoint of that run or, when it has none, by the base
    mkdir -p "$world/$1"
    for part in one many; do
        "$bin/generate" --quiet --config "$config" --set name="$2" --batch "$world/$part/heldout.json" \
            --out "$world/$1/$part" --max-new-tokens 16
    done
    cat "$world/$1/one/answers.jsonl" "$world/$1/many/answers.jsonl" >"$world/$1/answers.jsonl"
}

draw() { # NAME FLAG…: the held-out pictures, drawn and changed
    out=$sketches/$1
    shift
    # shellcheck disable=SC2086 # words are wanted apart
    "$bin/generate" --quiet --config "$config" --set name="$name" --batch "$sketches/heldout.jsonl" --out "$out" $how "$@"
}

echo "== the worlds"
sh tools/worlds/quickstart.sh "$bin" runs
if [ ! -e "$run/latest" ] || [ ! -e "$world/before/answers.jsonl" ]; then # the answers go when the world is removed, the run stays
    echo "== the base model answers the held-out questions"
    answer before untuned
fi
echo "== tuning: questions, drawings and changes in one stage"
"$bin/train" --config "$config" --set name="$name" --resume --set eval.every=200 --set sample.every=200 \
    --set sample.prompts=configs/quickstart-prompts.jsonl --set "data.validation=[
        {\"files\": \"$world/one/heldout.json\"}, {\"files\": \"$world/many/heldout.json\"}, {\"files\": \"$sketches/heldout.jsonl\"}]" "$@"
echo "== the tuned model answers, draws and changes"
answer after "$name"
draw after
draw ceiling --captions
echo
"$bin/evaluate" --answers "$world/after/answers.jsonl" --before "$world/before/answers.jsonl" --label "held-out accuracy"
echo
echo "held-out pictures, judged by their pixels"
"$bin/sketches" --check "$sketches/heldout.jsonl" --pictures "$sketches/after" --sheet "$sketches/sheet.png"
echo "the ceiling: the same by the base of Stable Diffusion, told the true captions"
"$bin/sketches" --check "$sketches/heldout.jsonl" --pictures "$sketches/ceiling"
"$bin/report" "$run" --out "$run/report.html" --quiet
model="--config $config --set name=$name"
question="How many objects are there? Answer the question using a single word or phrase."
cat <<END

the sheet     $sketches/sheet.png: drawn above; changed below, beside what it was
the run       $run/report.html: open it in a browser (the folder beside it: tensorboard --logdir $run/tb)
the adapter   $run/latest (adapter_model.safetensors loads with PEFT)
the pictures  $world/one, $world/many, $sketches
ask it        $bin/generate $model --ask "$question" --image $world/many/heldout/000000.jpg
draw with it  $bin/generate $model $how --draw "Draw a red circle in the top left on white." --out circle.png
change that   $bin/generate $model $how --edit "Change the color of the circle to blue." --image circle.png --out b.png
END
