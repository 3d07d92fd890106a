# Completion of genllava in bash. What it knows of programs, options and keys stands below, made of what the programs say of themselves
# (tools/manual/completion.awk).

# Offers what a kind takes (kinds.awk) for the beginning of a value; $3 is put before each.
_genllava_offer() {
    local kind=${1#[?+]} value=$2 before=$3 words=''
    [[ $kind == *=* ]] && words=${kind#*=}
    case ${kind%%=*} in
    keys) _genllava_offer_key "$value" "$before" ;;
    sections) COMPREPLY+=($(compgen -P "$before" -W "$(cut -d ' ' -f 1 <<<"$_genllava_sections$_genllava_keys")" -- "$value")) ;;
    file | dir)
        compopt -o filenames 2>/dev/null
        local flag=-f name
        [[ ${kind%%=*} == file ]] || flag=-d
        while IFS= read -r name; do COMPREPLY+=("$before$name"); done < <(compgen $flag -- "$value")
        ;;
    esac
    COMPREPLY+=($(compgen -P "$before" -W "${words//,/ }" -- "$value"))
}

_genllava_offer_key() {
    local value=$1 before=$2 key kind text
    while read -r key kind text; do
        if [[ $value == "$key="* ]]; then
            _genllava_offer "$kind" "${value#*=}" "$before$key="
        elif [[ -n $key && $key == "$value"* ]]; then
            compopt -o nospace 2>/dev/null
            COMPREPLY+=("$before$key=")
        fi
    done <<<"$_genllava_keys"
}

_genllava() {
    local line=${COMP_LINE:0:COMP_POINT} at=genllava i=1 rows='' word kind text last='' takes='' value mark
    local -a typed
    COMPREPLY=()
    read -ra typed <<<"$line" # as it was typed: bash itself parts words at = too
    [[ $line == *[[:space:]] ]] && typed+=('')
    value=${typed[${#typed[@]} - 1]}
    for (( ; i < ${#typed[@]} - 1; i++)); do # words that are commands lead to their options
        _genllava_rows "$at"
        [[ $'\n'$rows == *$'\n'"${typed[i]} command "* ]] || break
        [[ ${typed[i]} == help ]] || at="$at ${typed[i]}"
        [[ ${typed[i]} != --* ]] || break
    done
    _genllava_rows "$at"
    for (( ; i < ${#typed[@]} - 1; i++)); do # the option before, and whether it still takes what comes now
        [[ ${typed[i]} == --* ]] && last=${typed[i]} && takes=1 && continue
        [[ $takes && $'\n'$rows == *$'\n'"$last +"* ]] || takes=''
    done
    while read -r word kind text; do
        if [[ $value == "$word="* && $kind != flag ]]; then
            _genllava_offer "$kind" "${value#*=}" "$word="
        elif [[ $takes && $word == "$last" && $kind != flag && $value != --* ]]; then
            COMPREPLY=()
            _genllava_offer "$kind" "$value" ''
            [[ $kind == [?]* ]] || break
            takes=''
        elif [[ $word == @ && $value != -* ]]; then
            _genllava_offer "$kind" "$value" ''
        elif [[ -n $word && $word == "$value"* && ($kind == command || $value == -*) ]]; then
            COMPREPLY+=("$word")
        fi
    done <<<"$rows"
    # bash replaces only what follows the last character at which it parts words.
    for mark in = :; do
        if [[ $value == *$mark* && $COMP_WORDBREAKS == *$mark* ]]; then
            value=${value%"${value##*$mark}"}
            for ((i = 0; i < ${#COMPREPLY[@]}; i++)); do COMPREPLY[i]=${COMPREPLY[i]#"$value"}; done
            return
        fi
    done
}
complete -F _genllava genllava

