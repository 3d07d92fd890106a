# prepare --stats and --export of a mixture that Python has read and counted, too (tests/oracle/mixture.py). $1: the build folder.
set -u
build=$(realpath "$1") root=$(pwd) failed=0
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
bases=$root/tests/fixtures/parity/bases mixture=$root/tests/fixtures/mixture
export TMPDIR=$tmp

wrong() { echo "prepare_stats.sh: $*" >&2; failed=1; }
cat > "$tmp/run.json" <<END
{"model":{"llm":{"path":"$bases/llm-gqa"},"vision":{"path":"$bases/vision-only"}},
 "data":{"mixture":"$mixture/keep.json","max_tokens":90},"train":{"batch":4}}
END
# expect CODE TEXT ARGUMENTS...: the exit code of prepare, and a text that standard output or error must hold
expect() {
    code=$1 text=$2; shift 2
    "$build/prepare" --config "$tmp/run.json" "$@" > "$tmp/stdout" 2> "$tmp/stderr"; got=$?
    [ $got = "$code" ] || wrong "$*: exit code $got, wanted $code: $(tail -n 2 "$tmp/stderr")"
    grep -qF -- "$text" "$tmp/stdout" "$tmp/stderr" || wrong "$*: does not say '$text' but: $(cat "$tmp/stdout" "$tmp/stderr" | tail -n 2)"
}

for near in keep drop; do
    for jobs in 1 3; do
        expect 0 genllava.stats/1 --set "data.mixture=$mixture/$near.json" --stats --format json --jobs $jobs
        cmp "$tmp/stdout" "$mixture/$near-stats.json" || wrong "$near: other statistics than Python's: $(cat "$tmp/stdout")"
    done
    expect 0 "rows written to standard output" --set "data.mixture=$mixture/$near.json" --export -
    sed "s|$mixture/\.\./images|@ROOT@|g" "$tmp/stdout" | cmp - "$mixture/$near-export.jsonl" || wrong "$near: other rows than Python's"
done
expect 0 genllava.stats/1 --stats --quiet --log-format json
cmp -s "$tmp/stdout" "$mixture/keep-stats.json" || wrong "--log-format json gives something else than --format json"

# for people: the same numbers
expect 0 'the same file: 4' --stats
for line in 'talk +24 +0 +0 +2 +0 ' 'all +[0-9]+ ' '9 rows are cut to data.max_tokens = 90, which costs [0-9]+ trained tokens' 'pictures: [0-9]+ names, [0-9]+ different files' \
    '[0-9]+  Yes$' 'again/3 = talk/6' '"near_duplicates": "drop" leaves them out' 'sub0.jpg \(again\) ~ .* \(talk\), 2 bits apart'; do
    grep -qE "$line" "$tmp/stdout" || wrong "no line '$line' in: $(cat "$tmp/stdout")"
done
expect 0 'they are left out (near_duplicates)' --set "data.mixture=$mixture/drop.json" --stats

# nothing is made, and what is wrong is told behind the numbers
[ -z "$(find "$tmp" -name '*.h5' -o -name 'genllava-scan-*')" ] || wrong "something was made: $(find "$tmp")"
expect 65 'rows cannot be used, and --strict allows none' --stats --strict
grep -qF 'most frequent answers' "$tmp/stdout" || wrong "no numbers where the mixture is refused"
expect 65 'data.max_bad allows a share of 0.01' --stats --set data.max_bad=0.01
expect 2 '--stats and --out: ' --stats --out "$tmp/x"
expect 2 '--stats and --export: ' --stats --export "$tmp/x"
expect 2 '--format json is for --stats' --format json
expect 2 'both cannot go to standard output' --stats --report -
expect 0 'lists them all' --stats --report "$tmp/report.json"
"$build/prepare" --config "$tmp/run.json" --quiet --stats > /dev/full 2> "$tmp/stderr"
[ $? = 74 ] || wrong "a full standard output is not 74: $(cat "$tmp/stderr")"
exit $failed
