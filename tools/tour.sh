#!/bin/sh
# A walk through a whole run (make tour): looks at data, trains, asks, draws, damages something on purpose and repairs it, takes the model
# elsewhere, looks back. Every command is shown before it runs, as one would type it. $1: the folder with the programs; $2: how many times
# smaller than the quickstart's the worlds are (1); what follows goes to train. TOUR_STEPS: of
# the first part of the training (400). On a terminal it waits for Enter between the stations.
set -eu
bin=$1
part=${2:-1}
shift
[ $# = 0 ] || shift
settings="--config configs/quickstart.json --set name=tour"
run=runs/tour
more=
for word; do more="$more $word"; done
first=${TOUR_STEPS:-400}
every=$((first / 4)) # checkpoints to fall back to
[ $every -gt 0 ] || every=1
train="$bin/train $settings --set save.every=$every"
station=0

station() { # TITLE
    if [ -t 0 ] && [ -t 1 ] && [ $station -gt 0 ]; then
        printf '\n[Enter goes on, Ctrl-C ends; run it again and it starts from the top, without training anew] '
        read -r _ || exit 0
    fi
    station=$((station + 1))
    printf '\n== %s. %s\n' $station "$1"
}
say() { printf '\n'; printf '%s\n' "$*" | fold -s -w 100; }
try() { # COMMAND, as typed
    printf '\n$ %s\n' "$1"
    eval "$1"
}
fails() { # CODE COMMAND: a command that is meant to fail
    printf '\n$ %s\n' "$2"
    code=0
    eval "$2" || code=$?
    [ $code = "$1" ] || { echo "tour: that was to end with $1, not with $code" >&2; exit 1; }
    echo "(it ended with $code)"
}

station "The data"
say "Two little worlds of drawn pictures stand for your data: questions about the one, requests to draw and to" \
    "change pictures in the other."
[ -e runs/sketches/train.jsonl ] || try "sh tools/worlds/quickstart.sh $bin runs $part"
say "A picture of the first, drawn in the terminal, and a row of each kind, as you would write them."
try "$bin/inspect --show runs/scenes/many/heldout/000000.jpg"
try "head -c 600 runs/scenes/many/heldout.json; echo …"
try "grep -m 1 '\"edit\"' runs/sketches/train.jsonl"
say "What would be trained of all this: rows, pictures, lengths, and what would be left out. Nothing is written."
try "$bin/prepare $settings --stats"

station "Before anything is spent"
say "A misspelt setting is found before the run starts."
fails 2 "$bin/train $settings --set optim.warm_up=0.1"
say "Parameters, memory and steps of the run, without running it."
try "$train --dry-run$more"

station "Training"
say "The first steps. The data are prepared on the way, once. Ctrl-C would finish the step, save and end; the" \
    "same command goes on from there."
try "$train --resume --steps $first$more"

station "Something breaks"
say "A disk loses a byte of the newest checkpoint."
try "printf x | dd of=$run/latest/adapter_model.safetensors bs=1 seek=4000 conv=notrunc status=none"
say "Nothing takes it for whole."
fails 65 "$bin/inspect $run/latest"
say "Going on, the run passes over it, to the newest checkpoint that is whole, and takes the lost steps again: to" \
    "the same bits. Then it goes on to its end, some minutes."
try "$train --resume$more"

station "Ask, draw, change"
ask="'How many objects are there? Answer the question using a single word or phrase.'"
try "$bin/generate $settings --image runs/scenes/many/heldout/000000.jpg --ask $ask"
try "$bin/generate $settings --steps 25 --guidance 3 --draw 'Draw a red circle in the top left on white.' --out $run/circle.png"
try "$bin/inspect --show $run/circle.png"
change="'Change the color of the circle to blue.' --image $run/circle.png"
try "$bin/generate $settings --steps 25 --guidance 3 --edit $change --out $run/blue.png"
try "$bin/inspect --show $run/blue.png"
say "And how often it is right, on held-out questions."
try "$bin/generate --quiet $settings --batch runs/scenes/one/heldout.json --out $run/answers --max-new-tokens 16"
try "$bin/evaluate --answers $run/answers/answers.jsonl"

station "Elsewhere"
say "The adapter as PEFT reads it, beside the base model; hf, llava, gguf and others are there too (convert --help)."
[ ! -e $run/peft ] || rm -r $run/peft
try "$bin/convert --from $run --to peft --out $run/peft"
try "ls $run/peft"

station "Looking back"
try "$bin/report $run --out $run/report.html"
say "Open $run/report.html in a browser. Your own data are next: README.md, \"Your own run\"."
