#!/bin/bash
# The test programs themselves: --list names tests, --here runs one of them in this process, tests/needs.sh names the programs that tests run.
set -u
failed=0
unit=$1/test-unit
fail() { echo "harness.sh: $*" >&2; failed=1; }
[ "$("$unit" --list tests/cli/harness.sh)" = tests/cli/harness.sh ] || fail "--list does not know this script"
"$unit" --list | grep -qx 'tests/data/formats/json.c:json_decodes_escapes' || fail "--list does not name a test by file and name"
out=$("$unit" --here json_decodes_escapes 2>&1) || fail "--here: exit $?"
[ -z "$out" ] || fail "--here says: $out"
out=$("$unit" --here tests/data/formats/json.c 2>&1)
[ $? = 5 ] || fail "--here with several tests: exit $?"
[[ $out == '--here runs one test; "tests/data/formats/json.c" is in tests/data/formats/json.c:'* ]] || fail "--here with several tests says: $out"
"$unit" --list no_such_test
[ $? = 5 ] || fail "--list without a match: exit $?"

# What failed is repeated at the end, and then all are counted.
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
printf '#!/bin/sh\nprintf "ok   a (0.00 s)\\n"; seq 50; echo why >&2; printf "FAIL b (0.00 s)\\n     repeat: make\\nok   c (0.00 s)\\n2 passed, 1 failed, 0 skipped\\n"; exit 1\n' > "$dir/failing"
printf '#!/bin/sh\nprintf "ok   d (0.00 s)\\n1 passed, 0 failed, 0 skipped\\n"\n' > "$dir/passing"
chmod +x "$dir/failing" "$dir/passing"
sh tests/run.sh '' "$dir/failing" "$dir/passing" > "$dir/out" && fail "run.sh ends with 0 where a test fails"
wanted=$'== failed\nFAIL b (0.00 s)\n'$(seq -f '    %.0f' 12 50)$'\n    why\n3 passed, 1 failed, 0 skipped'
[ "$(sed -n '/^== failed/,$p' "$dir/out")" = "$wanted" ] || fail "at the end run.sh says: $(sed -n '/^== failed/,$p' "$dir/out")"
sh tests/run.sh '' "$dir/failing" > "$dir/out"
[ "$(tail -n 1 "$dir/out")" = "2 passed, 1 failed, 0 skipped" ] || fail "of one program run.sh says last: $(tail -n 1 "$dir/out")"
sh tests/run.sh '' "$dir/passing" > "$dir/out" || fail "run.sh ends with $? where all pass"
[ "$(cat "$dir/out")" = $'ok   d (0.00 s)\n1 passed, 0 failed, 0 skipped' ] || fail "of what passes run.sh says: $(cat "$dir/out")"

needs() { sh tests/needs.sh "$1" "$2" | sed "s|$1|BUILD|" | sort | tr '\n' ' '; }
for case in 'json_decodes_escapes:' 'dry_run_knows:all ' 'tests/cli/inspect.sh:all ' 'tests/cli/train_cuda_host.sh:BUILD/train-cuda-host all ' \
            'tests/cli/model_gpu.sh:BUILD/model-gpu all '; do
    found=$(needs "$1" "${case%%:*}")
    [ "$found" = "${case#*:}" ] || fail "${case%%:*} needs \"$found\", wanted \"${case#*:}\""
done
exit $failed
