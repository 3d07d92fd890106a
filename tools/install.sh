#!/bin/sh
# Puts the programs and what belongs to them under a prefix, or removes again what it has put there. Called by make install and uninstall,
# and by tools/deb.sh. $1: install or uninstall; $2: the folder with the programs; $3: DESTDIR; $4: PREFIX.
#   bin/genllava              a link to libexec/genllava/genllava, which finds the other programs beside it
#   share/genllava/configs    as in the tree, with the little base models; share/genllava/runs: a fortieth of the quickstart's pictures
#   share/doc/genllava        the READMEs and what they link to
#   share/genllava/installed  every file, and folders that were not there before (with / at the end), for uninstall
set -eu
action=$1 bin=$2 to=$3$4
list=$to/share/genllava/installed

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
remove() { # what the list names: files, and folders unless something else has come to lie in them
    cp "$list" "$made/old"
    grep -v '/$' "$made/old" | tr '\n' '\0' | (cd "$to" && xargs -0 rm -f)
    grep '/$' "$made/old" | sort -r | while read -r folder; do
        [ ! -d "$to/$folder" ] || rmdir --ignore-fail-on-non-empty "$to/$folder"
    done
}
if [ "$action" = uninstall ]; then
    [ -f "$list" ] || { echo "$list is not there: nothing is installed under $to" >&2; exit 66; }
    remove
    exit 0
fi
[ ! -f "$list" ] || remove

libexec=$to/libexec/genllava share=$to/share/genllava doc=$to/share/doc/genllava
: >"$made/list"
make_folder() {
    [ -d "$1" ] || {
        make_folder "$(dirname "$1")"
        mkdir "$1"
        echo "${1#"$to"/}/" >>"$made/list"
    }
}
put() { # MODE FILE PLACE
    make_folder "$(dirname "$3")"
    install -m "$1" "$2" "$3"
    echo "${3#"$to"/}" >>"$made/list"
}
put_folder() { # FOLDER PLACE
    find "$1" -type d -printf '/%P\n' | sort >"$made/folders"
    while read -r folder; do make_folder "$2${folder%/}"; done <"$made/folders"
    cp -R --no-preserve=mode "$1/." "$2"
    find "$1" -type f -printf "${2#"$to"/}/%P\n" >>"$made/list"
}
put_link() { # TARGET PLACE
    make_folder "$(dirname "$2")"
    ln -sfn "$1" "$2"
    echo "${2#"$to"/}" >>"$made/list"
}

umask 022
mkdir -p "$to"
programs=$("$bin/genllava" --describe | awk -F'\t' '$1 == "command" && $2 != "help" { print $2 }')
for program in genllava $programs; do
    put 755 "$bin/$program" "$libexec/$program"
    strip "$libexec/$program"
done
put_link ../libexec/genllava/genllava "$to/bin/genllava"

sh tools/manual/manual.sh "$bin" "$made/manual" "$(date -u -d "@${SOURCE_DATE_EPOCH:-$(date -r Makefile +%s)}" +%F)"
put_folder "$made/manual/man1" "$to/share/man/man1"
put_folder "$made/manual/man5" "$to/share/man/man5"
put 644 "$made/manual/bash/genllava" "$to/share/bash-completion/completions/genllava"
put 644 "$made/manual/zsh/_genllava" "$to/share/zsh/${ZSH_FOLDER:-site-functions}/_genllava"
put 644 "$made/manual/fish/genllava.fish" "$to/share/fish/vendor_completions.d/genllava.fish"

put_folder configs "$share/configs"
sh tools/worlds/quickstart.sh "$bin" "$made/runs" 40 >"$made/log" 2>&1 || { cat "$made/log" >&2; exit 1; }
put_folder "$made/runs" "$share/runs"
for page in README.md CONTRIBUTING.md data/*.md eval/*.md kernels/*.md tools/*.md train/*.md; do put 644 "$page" "$doc/$page"; done
put 644 LICENSE "$doc/copyright"
put_link ../../genllava/configs "$doc/configs"
echo share/genllava/installed >>"$made/list"
sort "$made/list" >"$list"
