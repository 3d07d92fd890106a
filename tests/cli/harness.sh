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

needs() { sh tests/needs.sh "$1" "$2" | sed "s|$1|BUILD|" | sort | tr '\n' ' '; }
for case in 'json_decodes_escapes:' 'dry_run_knows:all ' 'tests/cli/inspect.sh:all ' 'tests/cli/train_cuda_host.sh:BUILD/train-cuda-host all ' \
            'tests/cli/model_gpu.sh:BUILD/model-gpu all '; do
    found=$(needs "$1" "${case%%:*}")
    [ "$found" = "${case#*:}" ] || fail "${case%%:*} needs \"$found\", wanted \"${case#*:}\""
done
exit $failed
