# To be sourced: a folder of its own, $tmp, which goes at the end, and what the tests of `prepare` share. $1: the build folder.
set -u
build=$(realpath "$1") root=$(pwd) failed=0
tmp=$(realpath "$(mktemp -d)") || exit 1
trap 'chmod -R u+rwX "$tmp"; rm -rf "$tmp"' EXIT
bases=$root/tests/fixtures/parity/bases

wrong() { echo "${0##*/}: $*" >&2; failed=1; }
# expect CODE TEXT COMMAND...: the exit code, and a text that standard output or error must hold
expect() {
    code=$1 text=$2; shift 2
    "$@" > "$tmp/stdout" 2> "$tmp/stderr"; got=$?
    [ $got = "$code" ] || wrong "$*: exit code $got, wanted $code: $(tail -n 2 "$tmp/stderr")"
    grep -qF -- "$text" "$tmp/stdout" "$tmp/stderr" || wrong "$*: does not say '$text' but: $(cat "$tmp/stdout" "$tmp/stderr" | tail -n 2)"
}
