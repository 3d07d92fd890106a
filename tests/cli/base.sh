#!/bin/bash
# tools/base.sh (make base) end to end, with few pictures and steps, in a copy of configs/: the model it makes can be asked. $1: the build folder.
build=$(realpath "$1") root=$PWD failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
fail() { echo "$0: $*" >&2; failed=1; }
cp -r configs "$dir/configs"
cd "$dir" || exit 1
make_base() {
    PICTURES=40 sh "$root/tools/base.sh" "$build" --set train.steps=2 --set train.batch=4 --set train.micro_tokens=1024 > out 2>&1 || fail "exit $?: $(tail -2 out)"
}
make_base
grep -qx 'the base model of configs/base is the one of runs/base/latest now' out || fail "the end is not said: $(tail -1 out)"
for part in llm/model.safetensors vision/model.safetensors projector.safetensors; do
    cmp -s "configs/base/$part" "runs/base/latest/$part" || fail "$part is not the one that was trained"
    cmp -s "configs/base/$part" "$root/configs/base/$part" && fail "$part is the old one"
done
"$build/generate" --quiet --config configs/quickstart.json --ask "What is it?" --image runs/base-scenes/whole/heldout/000000.jpg --max-new-tokens 2 > out 2>&1 ||
    fail "the new base cannot be asked: $(tail -1 out)"
make_base
grep -q '2 of 2 steps are finished: there is nothing left to do' out || fail "made again it does not say that it is finished: $(cat out)"
exit $failed
