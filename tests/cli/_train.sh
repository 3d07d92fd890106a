# To be sourced: a folder of its own with a small run over the parity fixtures, and what the tests of `train` share.
# Nothing here or in these tests waits for a length of time where it can wait for a thing: machines are slow when they are busy.
#   $dir      the folder, removed at the end      $dir/run.json   $steps steps (STEPS=, 16), adapters with dropout, several passes a step
#   $last     the name of its last checkpoint
set -u
build=$1
train=$build/train
[ -x "$train" ] || { echo "$train is not built" >&2; exit 1; }
dir=$(mktemp -d) || exit 1
trap 'chmod -R u+rwX "$dir"; rm -rf "$dir"' EXIT
failed=0
steps=${STEPS:-16}
last=checkpoint-$(printf %06d "$steps")

bases=$PWD/tests/fixtures/parity/bases
cat > "$dir/run.json" <<END
{
  "name": "r", "device": "cpu",
  "model": {
    "llm": {"path": "$bases/llm-gqa"},
    "vision": {"path": "$bases/vision-only"},
    "lora": {"r": 2, "alpha": 4, "dropout": 0.1},
    "tokens": {"image": 2}
  },
  "data": {"mixture": [{"name": "rows", "files": ["$PWD/tests/fixtures/parity/visual_tokens/rows.jsonl"],
                        "image_root": "$PWD/tests/fixtures/parity/visual_tokens/images"}], "shards": "$dir/shards"},
  "train": {"steps": $steps, "batch": 3, "micro_tokens": 90, "compute": "f32"},
  "optim": {"lr": 1e-2, "lr_projector": 1e-2, "lr_tokens": 1e-2, "warmup": 2},
  "save": {"dir": "$dir/runs", "every": 1, "keep": 100},
  "log": {"tensorboard": false}
}
END

fail() {
    echo "$0: $*" >&2
    failed=1
}

# ends_with PROGRAM CODE ARGUMENTS...: its output is in $dir/out and $dir/err afterwards.
ends_with() {
    local program=$1 wanted=$2 code
    shift 2
    "$program" "$@" > "$dir/out" 2> "$dir/err"
    code=$?
    [ $code -eq "$wanted" ] || { fail "${program##*/} $*: exit $code, wanted $wanted"; sed 's/^/    /' "$dir/err" >&2; }
}
# expect CODE ARGUMENTS...: runs train.
expect() { ends_with "$train" "$@"; }

# says TEXT: the last run's stderr holds it.
says() {
    grep -qF -- "$1" "$dir/err" || { fail "stderr does not say: $1"; sed 's/^/    /' "$dir/err" >&2; }
}

# await PID COMMAND...: waits until the command is true; fails when the process ends before.
await() {
    local pid=$1
    shift
    until "$@"; do
        kill -0 "$pid" 2> /dev/null || { "$@" || { fail "process $pid has ended before: $*"; sed 's/^/    /' "$dir/err" >&2; }; return; }
        sleep 0.02
    done
}
# steps_past N: the run under runs/r has done more steps than that.
steps_past() { [ "$(cat "$dir/runs/r/train.jsonl" 2> /dev/null | wc -l)" -gt "$1" ]; }

# beside NAME COMMAND...: in the background, with a folder of its own as $dir, whose run.json saves there.
besides=()
beside() {
    local name=$1
    shift
    mkdir "$dir/$name"
    sed "s|\"dir\": \"$dir/runs\"|\"dir\": \"$dir/$name/runs\"|" "$dir/run.json" > "$dir/$name/run.json"
    (dir=$dir/$name failed=0; "$@"; exit $failed) &
    besides+=($!)
}
# together: waits for all of them, and fails where one has.
together() {
    local pid
    for pid in "${besides[@]}"; do wait "$pid" || failed=1; done
    besides=()
}

# The log without what differs from run to run.
log_of() { sed -E 's/,"(seconds|waited|peak_share)":[^,}]*//g' "$1/train.jsonl"; }

# straight FOLDER: an uninterrupted run, moved there.
straight() {
    expect 0 --config "$dir/run.json"
    mv "$dir/runs/r" "$1"
}

# same_end FOLDER WHEN: the run under runs/r ended as the one in FOLDER: every byte of the last checkpoint but its settings, and the log.
same_end() {
    diff -rq -x config.resolved.json -x MANIFEST.json "$1/$last" "$dir/runs/r/$last" || fail "$2: the last checkpoints differ"
    diff <(log_of "$1") <(log_of "$dir/runs/r") > "$dir/diff" || { fail "$2: train.jsonl differs"; head -4 "$dir/diff" >&2; }
}
