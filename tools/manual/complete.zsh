#compdef genllava
# Completion of genllava in zsh. What it knows of programs, options and keys stands below, made of what the programs say of themselves
# (tools/manual/completion.awk).

# Offers what a kind takes (kinds.awk).
_genllava_offer() {
    local kind=${1#[?+]}
    [[ $kind == *=* ]] && compadd -- ${(s:,:)${kind#*=}}
    case ${kind%%=*} in
    keys) _genllava_offer_key ;;
    sections) compadd -- ${${(f)_genllava_sections}%% *} ${${(f)_genllava_keys}%% *} ;;
    file) _files ;;
    dir) _files -/ ;;
    esac
}

_genllava_offer_key() {
    local line key
    local -a shown
    if compset -P '*='; then
        key=${${IPREFIX%=}##*[= ]}
        for line in ${(f)_genllava_keys}; do
            [[ $line == "$key "* ]] && _genllava_offer ${${line#* }%% *}
        done
        return
    fi
    for line in ${(f)_genllava_keys}; do shown+=("${line%% *}:${${line#* }#* }"); done
    _describe -t keys key shown -S = -q
}

_genllava() {
    local at=genllava rows line word kind last= takes=
    local -a commands options
    integer i=2
    for (( ; i < CURRENT; i++)); do # words that are commands lead to their options
        _genllava_rows $at
        [[ $'\n'$rows == *$'\n'"$words[i] command "* ]] || break
        [[ $words[i] == help ]] || at="$at $words[i]"
        [[ $words[i] != --* ]] || break
    done
    _genllava_rows $at
    for (( ; i < CURRENT; i++)); do # the option before, and whether it still takes what comes now
        [[ $words[i] == --* ]] && last=$words[i] && takes=1 && continue
        [[ -n $takes && $'\n'$rows == *$'\n'"$last +"* ]] || takes=
    done
    for line in ${(f)rows}; do
        word=${line%% *} kind=${${line#* }%% *} line=${${line#* }#* }
        if [[ $kind != flag && $PREFIX == "$word="* ]]; then
            compset -P "$word="
            _genllava_offer $kind
            return
        elif [[ -n $takes && $word == $last && $kind != flag && $PREFIX != --* ]]; then
            _genllava_offer $kind
            [[ $kind == \?* ]] || return
        elif [[ $word == @ && $PREFIX != -* ]]; then
            _genllava_offer $kind
        elif [[ $kind == command ]]; then
            commands+=("$word:$line")
        elif [[ $word == --* ]]; then
            options+=("$word:$line")
        fi
    done
    (( $#commands )) && _describe -t commands command commands
    [[ $PREFIX == -* ]] && _describe -o -t options option options
}

