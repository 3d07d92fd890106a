#!/bin/bash
# tools/study.sh on worlds 32 times smaller: one Markdown table, whose cells are those of the runs; stopped in the middle it goes on, and what
# was trained, asked and drawn before is not done again.
set -u
build=$(realpath "$1") failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
fail() { echo "$0: $*" >&2; failed=1; }
study() { STUDY_RUNS=$dir/runs STUDY_EPOCHS=1 STUDY_PART=32 sh tools/study.sh "$1"; }

# Programs of which generate fails when it is asked about the run of editing alone.
mkdir "$dir/bin"
for program in train evaluate scenes sketches; do ln -s "$build/$program" "$dir/bin/$program"; done
printf '#!/bin/sh\ncase "$*" in *study-edit*) exit 75 ;; esac\nexec "%s/generate" "$@"\n' "$build" > "$dir/bin/generate"
chmod +x "$dir/bin/generate"
study "$dir/bin" > "$dir/stopped" 2> /dev/null && fail "a run that fails does not stop the study"
[ -s "$dir/stopped" ] && fail "a table of a study that was stopped"
[ -e "$dir/runs/study-edit/latest" ] || fail "the study stopped before it was stopped"
[ -e "$dir/runs/study-mse" ] && fail "the study went on behind a failure"

done_before() { # the seconds of its steps tell one training from another
    sha256sum "$dir"/runs/{quickstart,study-understand,study-generate,study-edit}/train.jsonl
    stat -c '%n %y' "$dir"/runs/study/{quickstart,study-generate}/pictures/*
}
before=$(done_before)
study "$build" > "$dir/table" 2> "$dir/log" || fail "going on: exit $?: $(tail -3 "$dir/log")"
after=$(done_before)
[ "$before" = "$after" ] || fail "what was finished was done again"

right='([0-9]+\.[0-9] %)'
cells() { # PATTERN of the label, of answers, drawings, edits, seconds
    [ "$(grep -cE "^\| $1 \| $2 \| $3 \| $4 \| $5 \|\$" "$dir/table")" = 1 ] || fail "no row \"$1\" of that form: $(cat "$dir/table")"
}
[ "$(head -2 "$dir/table")" = "| run | answers right | drawings right | edits right | training, s |
|---|---|---|---|---|" ] || fail "the head: $(head -2 "$dir/table")"
[ "$(wc -l < "$dir/table")" = 12 ] || fail "$(wc -l < "$dir/table") lines"
cells 'one stage, three tasks' "$right" "$right" "$right" '[0-9]+'
cells 'questions alone' "$right" - - '[0-9]+'
cells 'drawing alone' - "$right" - '[0-9]+'
cells 'editing alone' - - "$right" '[0-9]+'
cells 'two stages: questions, then drawing and editing' "$right" "$right" "$right" '[0-9]+'
cells 'one stage without task tokens' "$right" "$right" "$right" '[0-9]+'
for loss in mse noise; do cells "one stage, pictures by \`$loss\` in place of \`l2norm\`" "$right" "$right" "$right" '[0-9]+'; done
cells 'chance: .*' "$right" '0\.0 %' '0\.0 %' -
cells 'ceiling: .*' - '100\.0 %' '100\.0 %' -
# The two stages begin where the questions ended, and the others differ as they say.
grep -q 'study-understand' "$dir/runs/study-second/config.resolved.json" || fail "the second stage does not begin with the first"
grep -q '"generate": *"noise"' "$dir/runs/study-noise/config.resolved.json" || fail "the run by noise is by another loss"
share=$("$build/evaluate" --answers "$dir/runs/study/study-mse/answers.jsonl" | sed -n 's/^accuracy: \([0-9.]* %\).*/\1/p')
grep -q "by \`mse\` .* | $share | " "$dir/table" || fail "evaluate says $share of the run by mse"
exit $failed
