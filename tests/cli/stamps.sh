#!/bin/bash
# stamps: a folder with every quirk, and exit codes.
set -u
bin=$1/stamps dir=$(mktemp -d) failed=0 in=tests/fixtures/images
trap 'rm -rf "$dir"' EXIT
expect() { # what wanted found
    [ "$2" = "$3" ] || { echo "$1: wanted \"$2\", found \"$3\"" >&2; failed=1; }
}
mkdir -p "$dir/from/a/b"
cp $in/rgba.png "$dir/from/a/b/owl.png"
printf '\xef\xbb\xbf  An “owl”. \r\nde.utf8=Eine Eule.\n' >"$dir/from/a/b/owl.txt"
cp $in/palette8.png "$dir/from/key.png"
printf 'A key.' >"$dir/from/key.txt"
cp $in/rgb.png "$dir/from/key_mirror.png"
cp $in/rgb.png "$dir/from/nothing.png"
printf '\n' >"$dir/from/nothing.txt"
cp $in/rgb.png "$dir/from/latin.png"
printf 'A caf\xe9.\n' >"$dir/from/latin.txt"
head -c 60 $in/rgb.png >"$dir/from/broken.png"
printf 'Broken.\n' >"$dir/from/broken.txt"
touch "$dir/from/star.svg"
message=$("$bin" --out "$dir/out" --from "$dir/from" --heldout 0 2>&1)
expect "exit code" 0 $?
expect "message" "warning: $dir/from/broken.png is left out: PNG: read beyond end of data
$dir/out: 2 training and 0 held-out pictures; left out: 1 drawings (SVG), 3 pictures without a caption, 1 unreadable" "$message"
expect "records" '[
{"id":"a/b/owl","image":"pictures/000000.jpg","kind":"name","conversations":[{"from":"human","value":"<image>\nWhat is this?"},{"from":"gpt","value":"An “owl”."}]},
{"id":"key","image":"pictures/000001.jpg","kind":"name","conversations":[{"from":"human","value":"<image>\nWhat is this?"},{"from":"gpt","value":"A key."}]}
]' "$(cat "$dir/out/train.json")"
expect "pictures" 2 "$(ls "$dir/out/pictures" | wc -l)"
"$bin" --out "$dir/held" --from "$dir/from" --heldout 100 --quiet 2>/dev/null
expect "all held out" 2 "$(grep -c '"id"' "$dir/held/heldout.json")"
message=$("$bin" --out "$dir/out" --from "$dir/none" 2>&1)
expect "exit code without stamps" 66 $?
expect "message without stamps" "error: $dir/none: No such file or directory; install the Debian package tuxpaint-stamps-default, or name another folder with --from" "$message"
mkdir "$dir/empty"
message=$("$bin" --out "$dir/out2" --from "$dir/empty" 2>&1)
expect "exit code of an empty folder" 65 $?
expect "message of an empty folder" "error: $dir/empty holds no PNG picture with a caption beside it" "$message"
exit $failed
