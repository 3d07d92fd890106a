#!/bin/bash
# evaluate BENCH ask by several ranks: the file of one process to the byte, also stopped and gone on with by other numbers of ranks; one process
# at a time has a file. $1: the build folder.
. tests/cli/_train.sh
command -v pgrep > /dev/null || { echo "no pgrep (Debian package procps)"; exit 77; }
. tests/cli/_ranks.sh
evaluate=$build/evaluate
images=$PWD/tests/fixtures/images
data=$dir/gqa
mkdir -p "$data/images"
cp "$images/rgb.jpg" "$data/images/a.jpg"
cp "$images/grey.jpg" "$data/images/b.jpg"
head -c 200 "$images/rgb.jpg" > "$data/images/c.jpg" # broken
# questions SPLIT N: about a, b and c in turn.
questions() {
    local names=(c a b) i
    for i in $(seq "$2"); do
        printf '%s"q%d": {"question": "What is %d?%s", "imageId": "%s", "isBalanced": true}' "$([ $i = 1 ] && echo '{' || echo ', ')" $i $i \
            "$(printf ' Why?%.0s' $(seq $((i % 5))))" ${names[i % 3]}
    done > "$data/$1_questions.json"
    echo '}' >> "$data/$1_questions.json"
}
questions few 5
questions many 600

# ask CODE OUT OPTIONS...
ask() {
    local wanted=$1 out=$2
    shift 2
    ends_with "${program:-$evaluate}" "$wanted" gqa ask --data "$data" --config "$dir/run.json" --out "$out" "$@"
}
same() { cmp -s "$1" "$2" || { fail "$3: other answers"; diff "$1" "$2" | head -6 >&2; }; }

ask 0 "$dir/few" --split few
for n in 2 3; do
    ask 0 "$dir/few$n" --split few --ranks $n
    same "$dir/few" "$dir/few$n" "--ranks $n"
    says "warning: question q3: picture $data/images/c.jpg: "
    says "warning: 1 questions have an empty answer, as their picture is missing or broken"
done
ask 0 "$dir/many" --split many
ask 0 "$dir/many2" --split many --ranks 2
same "$dir/many" "$dir/many2" "more than a round"
says "warning: 200 questions have an empty answer"
ask 0 "$dir/piece" --split many --chunk 2/7 --ranks 2
sed -n 87,172p "$dir/many" | cmp -s - "$dir/piece" || fail "a chunk by two ranks: other answers"
ask 0 "$dir/many2" --ranks 2
says "is whole and is left alone"

# Under a launcher.
as_ranks "$evaluate"
RANKS=2 program=$train ask 0 "$dir/launched" --split few
same "$dir/few" "$dir/launched" "a launcher's ranks"
RANKS=2 program=$train ask 2 "$dir/launched2" --split few --ranks 2
says "leave one of the two"

# Stopped, and gone on with by one process, then by three ranks.
answers_past() { [ "$(cat "$dir/stopped.partial" 2> /dev/null | wc -l)" -gt "$1" ]; }
stop() {
    "$evaluate" gqa ask --data "$data" --config "$dir/run.json" --out "$dir/stopped" --split many "$@" 2> "$dir/err" &
    await $! answers_past "$lines"
    kill -TERM $!
    wait $!
    local code=$?
    [ $code -eq 75 ] || { fail "SIGTERM: exit $code, wanted 75"; cat "$dir/err" >&2; }
    says "stopped by SIGTERM: "
    [ ! -e "$dir/stopped" ] && [ ! -e "$dir/stopped.partial.lock" ] || fail "stopped: $(ls "$dir"/stopped*)"
    lines=$(wc -l < "$dir/stopped.partial")
}
lines=0
stop --ranks 2
stop
ask 0 "$dir/stopped" --split many --ranks 3
says "$lines of 600 questions are answered already"
same "$dir/many" "$dir/stopped" "stopped and resumed"

# A rank that is killed ends all; what was told is not lost.
"$evaluate" gqa ask --data "$data" --config "$dir/run.json" --out "$dir/killed" --split many --ranks 2 2> "$dir/err" &
pid=$!
await $pid test -s "$dir/killed.partial"
kill -KILL $(pgrep -P $pid | tail -1)
wait $pid
code=$?
[ $code -eq 69 ] || { fail "a rank is killed: exit $code, wanted 69"; cat "$dir/err" >&2; }
[ -s "$dir/killed.partial" ] && [ ! -e "$dir/killed" ] || fail "killed: $(ls "$dir"/killed*)"
ask 0 "$dir/killed" --split many
same "$dir/many" "$dir/killed" "killed and resumed"

# Two processes do not write one file: the second says who does.
"$evaluate" gqa ask --data "$data" --config "$dir/run.json" --out "$dir/held" --split many --quiet 2> "$dir/err" &
pid=$!
await $pid test -s "$dir/held.partial"
kill -STOP $pid
for ranks in 1 2; do
    ask 73 "$dir/held" --split many --ranks $ranks
    says "$dir/held.partial is being written by process $pid on $(hostname)"
done
kill -CONT $pid
wait $pid || fail "who holds the file: exit $?"
same "$dir/many" "$dir/held" "held"
[ ! -e "$dir/held.partial.lock" ] || fail "the lock stays"
exit $failed
