#!/bin/sh
# The runs that tests/same.sh compares, and what is kept of each: sh tests/same/runs.sh classes | list | one NAME FUNCTION ARGUMENTS…
#   SAME_BUILD  the programs
#   SAME_WORK   the folder of runs, the same for both sides; in/ holds what tests/same/inputs.sh made
#   SAME_OUT    where CLASS/RUN/FILE and status/RUN go
#   SAME_ISAS   instruction sets to run with, the best one last
# A key that the programs no longer take is taken out here: both sides are run by this file.
set -u
export LC_ALL=C TZ=UTC
here=$(dirname "$0")
CLASSES='dump-cpu dump-cuda log checkpoint settings resume samples shards shard-notes pixels report shard-bytes answers scores inspect'
CLASSES="$CLASSES plan memory"

# ---------------------------------------------------------------- what is compared of a JSON file
# Keys that may differ: times, versions, and the size and hash of files that are compared themselves. No path differs, since both sides run
# in the same folder.
flat() { # FILE
    case $1 in
    *train.jsonl) skip='^(seconds|peak_share)$' ;;
    *environment.json) skip='^(version|compiler|started|processor|libraries)$' ;;
    *MANIFEST.json) skip='^(bytes|xxh3|manifest_xxh3)$' ;;
    *) skip= ;;
    esac
    awk -f "$here/flatten.awk" -v ignored="$skip" -v unordered='^algorithms$' "$1" | sort -V
}

# ---------------------------------------------------------------- one run
# step PROGRAM ARGUMENTS…: its output is in $job/stdout; where it fails, so does the run.
step() {
    program=$1
    shift
    timeout 300 "$SAME_BUILD/$program" "$@" > "$job/stdout" 2> "$job/stderr" < "$job/stdin"
    code=$?
    [ $code = 0 ] && return
    { echo $code; echo "$program $*"; tail -n 3 "$job/stderr"; } > "$SAME_OUT/status/$name"
    exit 1
}
keep() { # CLASS FILE COMMAND…: the command's output
    to=$SAME_OUT/$1/$name/$2
    shift 2
    [ -d "${to%/*}" ] || mkdir -p "${to%/*}"
    "$@" > "$to" || { { echo 70; echo "cannot keep $to: $*"; } > "$SAME_OUT/status/$name"; exit 1; }
}
# keep_run FOLDER [CLASS]: the log, the checkpoints, the settings and the samples of a run folder; CLASS instead of their own
keep_run() {
    keep "${2:-log}" train.jsonl flat "$1/train.jsonl"
    keep settings config.resolved.json flat "$1/config.resolved.json"
    keep settings environment.json flat "$1/environment.json"
    for file in $(cd "$1" && find checkpoint-* -type f | sort); do
        case $file in
        */config.resolved.json) keep settings "$file" flat "$1/$file" ;;
        *.json) keep "${2:-checkpoint}" "$file" flat "$1/$file" ;;
        *) keep "${2:-checkpoint}" "$file" cat "$1/$file" ;;
        esac
    done
}

# on WHERE COMPUTE THREADS: sets $train, $generate, $class and the settings $device
on() {
    device="--set train.compute=$2 --set save.dir=$job/runs --set log.tensorboard=false --set data.shards=$job/shards --set name=r --quiet"
    export OMP_NUM_THREADS="$3"
    case $1 in
    cuda) train=train-cuda-host generate=generate-cuda-host class=dump-cuda device="$device --set device=cuda" ;;
    *) train=train generate=generate class=dump-cpu device="$device --set device=cpu" && export GENLLAVA_ISA="$1" ;;
    esac
}

# Trains a case: CONFIG WHERE COMPUTE THREADS OPTIONS…
run_train() {
    config=$SAME_WORK/in/$1/config.json
    on "$2" "$3" "$4"
    shift 4
    step $train --config "$config" $device --dump "$job/dump" "$@"
    mkdir -p "$SAME_OUT/$class" && mv "$job/dump" "$SAME_OUT/$class/$name"
    keep_run "$job/runs/r"
    [ ! -e "$job/runs/r/samples" ] ||
        for file in $(cd "$job/runs/r" && find samples -type f | sort); do keep samples "$file" flat "$job/runs/r/$file"; done
}

# Stopped after STEPS and resumed, several times: CONFIG WHERE COMPUTE STEPS,STEPS… OPTIONS…
run_resume() {
    config=$SAME_WORK/in/$1/config.json
    on "$2" "$3" 1
    stops=$(echo "$4" | tr , ' ')
    shift 4
    for stop in $stops; do step $train --config "$config" $device --resume --steps "$stop" "$@"; done
    step $train --config "$config" $device --resume "$@"
    keep_run "$job/runs/r" resume
}

# Shards of a case: CONFIG OPTIONS…
run_shards() {
    config=$SAME_WORK/in/$1/config.json all=
    shift
    # Of some sources most rows are bad. Programs that do not know the key prepare those as well.
    ! "$SAME_BUILD/train" --keys data 2>&1 | grep -qw data.max_bad || all='--set data.max_bad=1'
    step prepare --config "$config" --out "$job/shards" --report "$job/report.json" --quiet $all "$@"
    keep report report.json flat "$job/report.json"
    for file in $(cd "$job/shards" && find . -type f | sed 's/^..//' | sort); do keep shard-bytes "$file" cat "$job/shards/$file"; done
    i=0
    shown="$SAME_BUILD/inspect $job/shards --config $config"
    while $shown --sample $i --format json > "$job/sample.json" 2> "$job/stderr"; do
        flat "$job/sample.json" > "$job/sample"
        keep shards "sample-$i" grep '^#1\.tokens' "$job/sample"
        keep shard-notes "sample-$i" grep -v '^#1\.\(tokens\|path\)' "$job/sample"
        k=0
        while $shown --sample $i --image $k --pixels "$job/view.ppm" > "$job/stdout" 2> "$job/stderr"; do
            keep pixels "sample-$i-$k.ppm" cat "$job/view.ppm"
            k=$((k + 1))
        done
        i=$((i + 1))
    done
    [ $i -gt 0 ] || step inspect "$job/shards" --sample 0 --format json --config "$config"
}

# Questions to a checkpoint: CONFIG WHERE COMPUTE IMAGE ROWS OPTIONS…
run_answers() {
    in=$SAME_WORK/in/$1
    on "$2" "$3" 1
    image= rows=$5
    [ "$4" = - ] || image="--image $in/images/$4"
    shift 5
    step $train --config "$in/config.json" $device --set optim.lr=1e-2 "$@"
    ask="--checkpoint $job/runs/r --quiet --max-new-tokens 12"
    step $generate $ask --ask 'What is in the photo?' $image
    keep answers ask cat "$job/stdout"
    for seed in 1 2 3; do
        step $generate $ask --temperature 0.8 --top-p 0.9 --seed $seed --ask 'Is it a cat?' $image
        keep answers ask-seed-$seed cat "$job/stdout"
    done
    printf 'What is it?\nAnd where?\n' > "$job/stdin"
    step $generate $ask --chat $image
    keep answers chat cat "$job/stdout"
    : > "$job/stdin"
    for how in '' '--temperature 1.2 --seed 5'; do
        step $generate $ask $how --batch "$in/$rows" --image-root "$in/images" --out "$job/answers"
        keep answers "batch${how:+-drawn}" flat "$job/answers/answers.jsonl"
        # every other answer made right, so that there is something to count
        sed 's/"expected":"[^"]*"/"expected":"A cat."/' "$job/answers/answers.jsonl" > "$job/before.jsonl"
        sed 's/"answer":".*"/"answer":"a cat"/; n' "$job/before.jsonl" > "$job/after.jsonl"
        step evaluate --answers "$job/answers/answers.jsonl"
        keep scores "scores${how:+-drawn}" cat "$job/stdout"
        step evaluate --answers "$job/after.jsonl" --before "$job/before.jsonl"
        keep scores "before${how:+-drawn}" cat "$job/stdout"
    done
    for what in $(cd "$job/runs/r" && echo checkpoint-*) .; do
        step inspect "$job/runs/r/$what"
        keep inspect "$what-text" sed '/^ *seconds /d' "$job/stdout"
    done
}

# What a dry run says: CONFIG WHERE COMPUTE OPTIONS…
run_plan() {
    config=$SAME_WORK/in/$1/config.json where=$2
    on "$2" "$3" 1
    shift 3
    step $train --config "$config" $device --dry-run --log-format json "$@"
    keep plan plan flat "$job/stdout"
    # On the cpu the plan's workspace holds what the process takes already, which is measured.
    [ $where = cuda ] && keep memory memory grep memory "$SAME_OUT/plan/$name/plan" ||
        keep memory memory grep 'memory\.\(weights\|trainable\|optimizer\|activations\)' "$SAME_OUT/plan/$name/plan"
    sed -i /memory/d "$SAME_OUT/plan/$name/plan"
}

# Weights as inspect shows them: PATH
run_inspect() {
    step inspect "$SAME_WORK/in/$1"
    keep inspect text cat "$job/stdout"
    step inspect "$SAME_WORK/in/$1" --format json
    keep inspect json flat "$job/stdout"
}

# ---------------------------------------------------------------- the list: NAME FUNCTION ARGUMENTS…
CASES='defaults_like first_visual full_decay micro_mean mixture plain skipped stretch_rslora tied_full vision_full visual_tokens'
list() {
    best=${SAME_ISAS##* }
    # The emulated device first: it is slow.
    echo "cuda-wide-lora run_train dropout cuda bf16 1 --steps 1 --set model.llm.path=$SAME_WORK/in/bases/wide --set model.llm.init=random"
    for compute in f32 bf16; do
        for c in $CASES; do echo "cuda-$compute-$c run_train $c cuda $compute 1 --steps 2"; done
        echo "cuda-$compute-dropout run_train dropout cuda $compute 1 --steps 3"
        echo "cuda-$compute-answers run_answers defaults_like cuda $compute tall.png rows.json --steps 2"
        for recompute in none block; do
            for c in skipped tied_full; do
                echo "cuda-$compute-$recompute-$c run_train $c cuda $compute 1 --steps 2 --set train.recompute=$recompute"
            done
        done
        echo "resume-cuda-$compute run_resume dropout cuda $compute 1,2 --set train.steps=3"
        echo "plan-cuda-$compute run_plan defaults_like cuda $compute"
    done
    for isa in $SAME_ISAS; do
        for compute in f32 bf16; do
            for c in $CASES; do echo "$isa-$compute-$c run_train $c $isa $compute 1"; done
            echo "$isa-$compute-dropout run_train dropout $isa $compute 1"
            echo "$isa-$compute-wide run_train wide $isa $compute 1"
            echo "resume-$isa-$compute run_resume dropout $isa $compute 1,4,6"
            echo "answers-$isa-$compute run_answers defaults_like $isa $compute tall.png rows.json"
        done
    done
    for compute in f32 bf16; do
        for recompute in none selective block; do
            for c in defaults_like micro_mean tied_full vision_full visual_tokens wide; do
                echo "$recompute-$compute-$c run_train $c $best $compute 1 --set train.recompute=$recompute"
            done
        done
        for c in defaults_like tied_full wide; do echo "threads-$compute-$c run_train $c $best $compute 2"; done
        echo "full-$compute-wide run_train wide $best $compute 2 --set model.llm.train=full --set model.vision.train=full --steps 1"
        for c in $CASES wide; do echo "plan-$compute-$c run_plan $c $best $compute"; done
        echo "answers-text-$compute run_answers mixture $best $compute - first.json"
    done
    for recompute in none block; do echo "plan-$recompute run_plan wide $best f32 --set train.recompute=$recompute"; done
    # Orders, losses, schedules and starts that the cases do not have.
    t="$best f32 1"
    echo "shuffle-mixture run_train mixture $t --set data.shuffle=true --set train.epochs=3 --set seed=7"
    echo "shuffle-images run_train defaults_like $t --set data.shuffle=true --set seed=3"
    echo "workers run_train defaults_like $t --set data.shuffle=true --set data.workers=2"
    echo "first run_train visual_tokens $t --set loss.image_tokens=first"
    echo "none run_train visual_tokens $t --set loss.image_tokens=none"
    echo "rank run_train skipped $t --set loss.normalise=rank"
    echo "linear run_train visual_tokens $t --set optim.schedule=linear --set optim.max_grad_norm=0.1"
    echo "rslora run_train defaults_like $t --set model.lora.rslora=true --set model.lora.init=default"
    fresh="--set model.lora.init=default --set model.projector.init=default --set model.tokens.init=default"
    echo "fresh run_train stretch_rslora $t $fresh"
    echo "random run_train tied_full $t --set model.llm.init=random --set model.vision.init=random --set model.projector.init=default"
    echo "vision-unfrozen run_train visual_tokens $t --set model.vision.train=full"
    sampling="--set sample.every=2 --set sample.prompts=$SAME_WORK/in/dropout/ask.jsonl --set train.steps=3"
    echo "samples-cuda run_train dropout cuda bf16 1 $sampling"
    echo "samples-cpu run_train dropout $t $sampling"
    for template in mistral_instruct v1 llava_llama_2 plain; do
        echo "template-$template run_train dropout $t --steps 2 --set data.template=$template --set train.micro_tokens=400"
        for c in defaults_like visual_tokens mixture; do
            echo "shards-$template-$c run_shards $c --set data.template=$template --set data.max_tokens=300"
        done
    done
    for c in $CASES wide broken; do echo "shards-$c run_shards $c"; done
    echo "shards-cut run_shards broken --set data.max_tokens=40 --jobs 2"
    echo "shards-stretch run_shards broken --set model.vision.aspect=stretch --jobs 1"
    for base in llm-gqa llm-old llm-tied vision-cut vision-only vision-text; do echo "inspect-$base run_inspect bases/$base"; done
    for c in defaults_like tied_full; do echo "inspect-$c run_inspect $c/start/projector.safetensors"; done
}

case $1 in
classes) echo "$CLASSES" ;;
list) list ;;
one)
    name=$2 job=$SAME_WORK/jobs/$2
    shift 2
    rm -rf "$job"
    mkdir -p "$job" || exit 73
    : > "$job/stdin"
    ("$@")
    code=$?
    [ -e "$SAME_OUT/status/$name" ] || { echo $code; echo "$*"; } > "$SAME_OUT/status/$name"
    rm -rf "$job"
    ;;
esac
