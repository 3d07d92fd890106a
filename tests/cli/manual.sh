#!/bin/bash
# Manual pages and completion, as tools/manual makes them of what the programs say: read by mandoc and man, and typed into real shells.
set -u
build=$1
failed=0
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
fail() { echo "manual.sh: $*" >&2; failed=1; }
sh tools/manual/manual.sh "$build" "$tmp" 2026-01-31 || exit 1

# ---------------------------------------------------------------- manual pages
for page in "$tmp"/man?/*; do
    name=$(basename "$page")
    ! command -v mandoc >/dev/null || mandoc -T lint -W warning "$page" || fail "mandoc"
    ! command -v man >/dev/null || MANPAGER=cat MANWIDTH=120 man --warnings=w -l "$page" >"$tmp/$name.txt" 2>"$tmp/err" || fail "man: exit $?"
    [ ! -s "$tmp/err" ] || fail "man $name: $(cat "$tmp/err")"
done
shows() { # PAGE TEXT: what people read, where man is there, else what the page holds
    if [ -f "$tmp/$1.txt" ]; then tr -s ' \n' ' ' <"$tmp/$1.txt"; else sed 's/\\-/-/g; s/\\f[BIR]//g' "$tmp"/man?/"$1" | tr '\n' ' '; fi |
        grep -qF -- "$2" || fail "$1 does not show \"$2\""
}
shows genllava-train.1 'genllava-train - tunes a vision-language model as a JSON file says'
shows genllava-train.1 'genllava train --config FILE.json'
shows genllava-train.1 '--resume [CHECKPOINT] go on from this checkpoint'
shows genllava-curate.1 '--recipe NAME|FILE'
shows genllava-evaluate.1 'EVALUATE BENCH JUDGE'
shows genllava-evaluate.1 'vqav2, gqa, vizwiz'
shows genllava-config.5 'optim.schedule "cosine", "linear" or "constant" ("cosine")'
shows genllava.1 '75 (pre-empted, checkpoint saved)'
"$build/train" --keys | grep -E '^[a-z]' | while read -r key; do
    grep -qxF "\\fB$key\\fR" "$tmp/man5/genllava-config.5" || echo "$key"
done >"$tmp/missing"
[ ! -s "$tmp/missing" ] || fail "genllava-config.5 lacks $(cat "$tmp/missing")"

# ---------------------------------------------------------------- completion
# offers LINE WORDS: what bash offers behind the line.
offers() {
    local got
    got=$(COMP_LINE=$1 COMP_POINT=${#1} bash -c 'source "$0"; COMP_WORDBREAKS=$'"' \t\n\"><=;|&(:'"'; _genllava; echo "${COMPREPLY[*]}"' "$tmp/bash/genllava")
    [ "$got" = "$2" ] || fail "\"$1\" offers \"$got\", wanted \"$2\""
}
# What the shell knew before, it knows after: only names that begin with _genllava, and what bash itself sets, are new.
COMP_LINE='genllava train --set optim.schedule=' COMP_POINT=36 bash -c 'set -o posix; set >"$1/before"; set +o posix
source "$0"; COMP_WORDBREAKS="=:"; _genllava; set -o posix; set >"$1/after"' "$tmp/bash/genllava" "$tmp"
diff <(cut -d = -f 1 "$tmp/before") <(cut -d = -f 1 "$tmp/after") | grep '^> [A-Za-z_]*$' | grep -vE '^> (_genllava_|COMP|BASH|PIPESTATUS|_$)' && fail "completion leaves variables behind"
programs=$(sed -n 's/^INSTALLED *:= *//p' Makefile)
offers 'genllava ' "$programs help"
offers 'genllava help ' "$programs help"
offers 'genllava pre' prepare
offers 'genllava train --re' --resume
offers 'genllava train --config configs/slurm/' configs/slurm/train.sbatch
offers 'genllava train --set optim.w' 'optim.weight_decay= optim.warmup='
offers 'genllava train --set optim.schedule=' 'cosine linear constant'
offers 'genllava train --set=optim.schedule=l' linear
offers 'genllava train --set model.llm.path=configs/slu' configs/slurm
offers 'genllava train --set model.lora.init=def' default
offers 'genllava train --set save.best=' 'true false'
offers 'genllava train --keys optim.sch' optim.schedule
offers 'genllava train --dry-run ' quick
offers 'genllava train --quiet x' ''
offers 'genllava convert --to hf' 'hf hf-llava'
offers 'genllava curate ' 'request ingest filter stats'
offers 'genllava curate request --rec' '--recipe --records'
offers 'genllava evaluate mm-vet ' 'ask score submit judge'
offers 'genllava evaluate mm-vet judge --answers a configs/slurm/t' configs/slurm/train.sbatch
offers 'genllava evaluate mm-vet judge --answers a --form' --format
offers 'genllava evaluate --suite configs/slurm/' configs/slurm/train.sbatch
offers 'genllava inspect --format=' 'text json'
offers 'genllava report configs/slu' configs/slurm
offers 'genllava train --from-llava configs/slurm/t' configs/slurm/train.sbatch
offers 'genllava inspect configs/slurm/' configs/slurm/train.sbatch

# types SHELL START…: the lines of START, then keys as a person presses them; what genllava was called with.
types() {
    local shell=$1
    shift
    {
        printf '%s\n' "$@" 'genllava() { echo "called: $*."; }'
        printf 'genllava tra\t--set optim.sch\tli\t\ngenllava eval\tpop\tas\t--conf\tconfigs/quickstart.js\t\nexit\n'
    } >"$tmp/keys"
    (cd "$root" && HOME=$tmp TERM=dumb timeout 30 script -qec "$shell" /dev/null <"$tmp/keys") | tr -d '\r' | grep -ao 'called: [a-z].*' >"$tmp/called"
    printf 'called: %s.\n' 'train --set optim.schedule=linear' 'evaluate pope ask --config configs/quickstart.json' | diff "$tmp/called" - >"$tmp/log" ||
        fail "typed into $shell: $(cat "$tmp/log")"
}
root=$PWD
if command -v script >/dev/null; then
    types 'bash --norc --noprofile -i' "source $tmp/bash/genllava"
    ! command -v zsh >/dev/null || types 'zsh -f -i' 'autoload -U compinit; compinit -u -D' "fpath=($tmp/zsh \$fpath); autoload -U _genllava; compdef _genllava genllava"
fi
if command -v fish >/dev/null; then
    in_fish() {
        local got
        got=$(HOME=$tmp fish --no-config -c "source $tmp/fish/genllava.fish; complete -C '$1'" | cut -f 1 | sort | xargs)
        [ "$got" = "$2" ] || fail "in fish \"$1\" offers \"$got\", wanted \"$2\""
    }
    in_fish 'genllava pre' prepare
    in_fish 'genllava help pre' prepare
    in_fish 'genllava train --re' --resume
    in_fish 'genllava train --set optim.w' 'optim.warmup= optim.weight_decay='
    in_fish 'genllava train --set optim.schedule=l' optim.schedule=linear
    in_fish 'genllava train --keys optim.sch' optim.schedule
    in_fish 'genllava evaluate mm-vet ' 'ask judge score submit'
    in_fish 'genllava inspect --format ' 'json text'
    in_fish 'genllava train --config configs/slurm/' configs/slurm/train.sbatch
fi
absent=
for program in mandoc man script zsh fish; do command -v $program >/dev/null || absent="$absent $program"; done
[ $failed = 1 ] || [ -z "$absent" ] || { echo "manual.sh: the rest is right; not there to be asked:$absent"; exit 77; }
exit $failed
