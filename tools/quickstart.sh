#!/bin/sh
# The quickstart: draws the picture world, tunes the little base model on questions it cannot answer, scores it on held-out ones. $1: the
# folder with the programs. Run again it goes on where it was stopped, or says that it is finished.
set -eu
bin=$1
config=configs/quickstart.json
world=runs/scenes
run=runs/quickstart

answer() { # NAME RUN: the held-out questions, answered by the newest checkpoint of that run or, when it has none, by the base
    mkdir -p "$world/$1"
    for part in one many; do
        "$bin/generate" --quiet --config "$config" --set name="$2" --batch "$world/$part/heldout.json" \
            --out "$world/$1/$part" --max-new-tokens 16
    done
    cat "$world/$1/one/answers.jsonl" "$world/$1/many/answers.jsonl" >"$world/$1/answers.jsonl"
}

echo "== the picture world"
mkdir -p "$world"
"$bin/scenes" --out "$world/one" --count 2500 --heldout 100 --seed 21 --objects 1 --kinds color
"$bin/scenes" --out "$world/many" --count 10000 --heldout 400 --seed 22 --objects 3 --kinds side,height,size,count
if [ ! -e "$run/latest" ] || [ ! -e "$world/before/answers.jsonl" ]; then # the answers go when the world is removed, the run stays
    echo "== the base model answers the held-out questions"
    answer before untuned
fi
echo "== tuning"
"$bin/train" --config "$config" --resume
echo "== the tuned model answers them"
answer after quickstart
echo
"$bin/evaluate" --answers "$world/after/answers.jsonl" --before "$world/before/answers.jsonl" --label "held-out accuracy"
question="How many objects are there? Answer the question using a single word or phrase."
cat <<END

the run       $run (curves: tensorboard --logdir $run/tb)
the adapter   $run/latest (adapter_model.safetensors loads with PEFT)
the pictures  $world/one, $world/many
ask it        $bin/generate --config $config --ask "$question" --image $world/many/heldout/000000.jpg
END
