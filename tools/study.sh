#!/bin/sh
# What one stage of tuning does, on the quickstart's models and worlds: three tasks in one stage against each task alone and against two
# stages in turn; with and without task tokens; with each loss for pictures. Every run sees each row of its tasks equally often. Prints one
# Markdown table. $1: the folder with the programs. Run again it goes on where it was stopped; what is finished is not done again.
# STUDY_RUNS: where worlds and runs lie (runs); STUDY_EPOCHS (4); STUDY_PART: worlds so many times smaller (1). Called by `make study`.
set -eu
export LC_ALL=C # in other languages awk may read 0.5 as 0
bin=$1
runs=${STUDY_RUNS:-runs}
epochs=${STUDY_EPOCHS:-4}
study=$runs/study
sketches=$runs/sketches
table=$study/table

say() { echo "== $*" >&2; }

source_of() { # NAME FILE TASK: an entry of data.mixture
    printf '{"name": "%s", "files": ["%s"], "task": "%s"}' "$1" "$2" "$3"
}

train() { # NAME MIXTURE FLAG…: a run, or the rest of it
    run=$1
    say "training $run"
    mixture=$2
    shift 2
    "$bin/train" --quiet --config configs/quickstart.json --resume --set save.dir="$runs" --set name="$run" \
        --set train.epochs="$epochs" --set data.mixture="[$mixture]" "$@" >&2
}

seconds() { # RUN…: of all their steps
    for run; do cat "$runs/$run/train.jsonl"; done |
        sed 's/.*"seconds":\([^,}]*\).*/\1/' | awk '{ s += $1 } END { printf "%.0f", s }'
}

answers_right() { # FOLDER [2]: percent of both worlds' held-out questions; with 2, of the most frequent answer
    cat "$1/one/answers.jsonl" "$1/many/answers.jsonl" >"$1/answers.jsonl"
    "$bin/evaluate" --answers "$1/answers.jsonl" | sed -n "s/^accuracy: \([0-9.]* %\) (majority \([0-9.]* %\).*/\\${2:-1}/p"
}

pictures_right() { # FOLDER TASK: percent
    "$bin/sketches" --check "$sketches/heldout.jsonl" --pictures "$1" | awk -v task="$2" '$1 == task { printf "%.1f %%", 100 * $5 }'
}

scored() { # FOLDER RUN: this folder of answers and pictures is of the run's newest checkpoint, and whole
    [ "$study/$1/scored" -nt "$runs/$2/latest/MANIFEST.json" ]
}

draw() { # FOLDER RUN FLAG…: the held-out pictures, drawn and changed
    to=$study/$1 run=$2
    shift 2
    "$bin/generate" --quiet --checkpoint "$runs/$run" --batch "$sketches/heldout.jsonl" --out "$to" --steps 25 --guidance 3 "$@" >&2
}

score() { # LABEL RUN TASKS FLAG…: prints a row for a run that knows those tasks
    label=$1 run=$2 tasks=$3 folder=$study/$2
    shift 3
    answers=- drawings=- edits=-
    if ! scored "$run" "$run"; then
        say "asking $run"
        mkdir -p "$folder"
        case $tasks in *understand*)
            for part in one many; do
                "$bin/generate" --quiet --checkpoint "$runs/$run" --batch "$runs/scenes/$part/heldout.json" --out "$folder/$part" \
                    --max-new-tokens 16 >&2
            done ;;
        esac
        case $tasks in *generate* | *edit*) draw "$run/pictures" "$run" ;; esac
        touch "$study/$run/scored"
    fi
    case $tasks in *understand*) answers=$(answers_right "$folder") ;; esac
    case $tasks in *generate*) drawings=$(pictures_right "$folder/pictures" generate) ;; esac
    case $tasks in *edit*) edits=$(pictures_right "$folder/pictures" edit) ;; esac
    echo "| $label | $answers | $drawings | $edits | $(seconds "$@") |" >>"$table"
}

sh tools/worlds/quickstart.sh "$bin" "$runs" "${STUDY_PART:-1}" >&2
mkdir -p "$study"
for task in generate edit; do # beside the whole, so that the paths of pictures stay right
    grep "\"task\":\"$task\"" "$sketches/train.jsonl" >"$sketches/$task.new"
    cmp -s "$sketches/$task.new" "$sketches/$task.jsonl" || cp "$sketches/$task.new" "$sketches/$task.jsonl"
    rm "$sketches/$task.new"
done
scenes="$(source_of one "$runs/scenes/one/train.json" understand), $(source_of many "$runs/scenes/many/train.json" understand)"
both="{\"name\": \"sketches\", \"files\": [\"$sketches/train.jsonl\"]}"
all=understand+generate+edit

cat >"$table" <<ROWS
| run | answers right | drawings right | edits right | training, s |
|---|---|---|---|---|
ROWS
train quickstart "$scenes, $both"
score "one stage, three tasks" quickstart $all quickstart

train study-understand "$scenes"
score "questions alone" study-understand understand study-understand
train study-generate "$(source_of sketches "$sketches/generate.jsonl" generate)"
score "drawing alone" study-generate generate study-generate
train study-edit "$(source_of sketches "$sketches/edit.jsonl" edit)"
score "editing alone" study-edit edit study-edit

first=$runs/study-understand/latest
train study-second "$both" --set model.lora.init="$first" --set model.projector.init="$first/projector.safetensors" \
    --set model.tokens.init="$first/token_rows.safetensors"
score "two stages: questions, then drawing and editing" study-second $all study-understand study-second

train study-no-task-tokens "$scenes, $both" --set model.tokens.task=null
score "one stage without task tokens" study-no-task-tokens $all study-no-task-tokens
for loss in mse noise; do
    train study-$loss "$scenes, $both" --set loss.generate=$loss --set loss.edit=$loss
    score "one stage, pictures by \`$loss\` in place of \`l2norm\`" study-$loss $all study-$loss
done

# Who guesses always gives the most frequent answer, and for each picture the true one of the row before last: the same task's.
say "chance and ceiling"
rm -rf "$study/chance"
mkdir "$study/chance"
ls "$sketches/heldout" | grep -v before | awk -v from="$sketches/heldout/" -v to="$study/chance/" '
    { name[NR - 1] = $1 }
    END { for (i = 0; i < NR; i++) print "cp", from name[i], to name[(i + 2) % NR] }' | sh
scored ceiling quickstart || draw ceiling quickstart --captions
touch "$study/ceiling/scored"
for row in chance ceiling; do
    case $row in
    chance) label="chance: the most frequent answer; the picture of another row" answers=$(answers_right "$study/quickstart" 2) ;;
    ceiling) label="ceiling: Stable Diffusion, told the true captions" answers=- ;;
    esac
    echo "| $label | $answers | $(pictures_right "$study/$row" generate) | $(pictures_right "$study/$row" edit) | - |" >>"$table"
done
cat "$table"
