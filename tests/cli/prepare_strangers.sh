#!/bin/bash
# A folder of shards in which somebody put pipes, devices, folders and links in place of files, or whose journal lies: prepare and train end at once, refuse it
# or make again what they can, and never wait. (Shards that are files: tests/data/shards/strangers.c.)
STEPS=1 . tests/cli/_train.sh
prepare=$build/prepare
settings=(--config "$dir/run.json" --set data.shard_samples=3 --set "data.shards=$dir/s")
expect 0 --config "$dir/run.json" --set data.shard_samples=3
sums() { (cd "$1" && sha256sum -- *.h5); }

# ends CODES PROGRAM ARGUMENTS...: in a minute, with one of the exit codes
ends() {
    local codes=$1 code
    shift
    timeout 60 "$@" > "$dir/out" 2> "$dir/err"
    code=$?
    [[ " $codes " = *" $code "* ]] || fail "$what: $*: exit $code, wanted $codes: $(tail -n 1 "$dir/err")"
}

# check NAME CODE: what stands there now is NAME of the folder; prepare ends with the code and, where that is 0, the shards are whole again.
check() {
    local plan=0 # it reads the mixture where the shards are not whole
    [ "$1" != manifest.jsonl ] && [ "$2" != 65 ] || plan=$2
    ends "$plan" "$train" "${settings[@]}" --dry-run
    ends "$2" "$prepare" "${settings[@]}" --jobs 1
    [ "$2" != 0 ] || [ "$(sums "$dir/s")" = "$(sums "$dir/shards")" ] || fail "$what: the shards are others now"
}

afresh() { rm -rf "$dir/s"; cp -r "$dir/shards" "$dir/s"; }

for name in manifest.jsonl pictures.list shard-00000-of-00002.h5; do
    for kind in pipe device folder; do
        what="$name is a $kind"
        afresh
        rm "$dir/s/$name"
        case $kind in
        pipe) mkfifo "$dir/s/$name" ;;
        device) ln -s /dev/zero "$dir/s/$name" ;;
        folder) mkdir "$dir/s/$name" ;;
        esac
        case $name,$kind in
        manifest.jsonl,*) check "$name" 66 ;;
        shard-*,folder) check "$name" 65 ;; # what is made cannot take its place: said before it is made
        *,folder) check "$name" 74 ;;
        *) check "$name" 0 ;;
        esac
    done
done

# What a killed run left behind is read only where all of it is there.
what="the scan is a pipe"
afresh
rm "$dir/s/shard-00001-of-00002.h5"
mkdir "$dir/s/.scan"
mkfifo "$dir/s/.scan/complete"
check scan 0
what="the scan's rows are a pipe"
afresh
rm "$dir/s/shard-00001-of-00002.h5"
mkdir "$dir/s/.scan"
config=$(sed -n '1s/.*"config_sha256": *"\([0-9a-f]*\)".*/\1/p' "$dir/s/manifest.jsonl")
echo "genllava.scan/2 $config 5 0 2 1" > "$dir/s/.scan/complete"
mkfifo "$dir/s/.scan/rows" "$dir/s/.scan/pictures" "$dir/s/.scan/more.0"
ends "74 65" "$prepare" "${settings[@]}" --jobs 1

# journal EXPRESSION: the journal as sed changes it. It is as if there were none, or what it says of a shard is not believed: all is made again.
journal() {
    what="the journal after $1"
    afresh
    sed -i "$1" "$dir/s/manifest.jsonl"
    ! cmp -s "$dir/s/manifest.jsonl" "$dir/shards/manifest.jsonl" || fail "$what is as it was"
    check journal 0
    cmp -s "$dir/s/manifest.jsonl" "$dir/shards/manifest.jsonl" || fail "$what: prepare left $(head -c 300 "$dir/s/manifest.jsonl")"
}
journal '1s/"shards": *2/"shards":1000000000000000000/'
journal '1s/"shards": *2/"shards":0/'
journal '1s/"shards": *2/"shards":5/'
journal '1s/"good": *5/"good":4611686018427387904/'
journal '1s/"good": *5/"good":-1/'
journal '2s/shard-00000-of-00002.h5/..\/run.json/'
journal '2s/shard-00000-of-00002.h5/shard-00001-of-00002.h5/'
journal '2s/"shard": *0/"shard":-9223372036854775808/'
journal '2s/"bytes": *[0-9]*/"bytes":-1/'
journal '2s/"samples": *[0-9]*/"samples":-9223372036854775807/'
[ -f "$dir/run.json" ] || fail "a journal's file name reached out of the folder"
exit $failed
