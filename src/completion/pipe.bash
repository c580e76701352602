# Completions of `pipe` for bash. `pipe complete` says what can come next.
_pipe() {
    local line kind= words=()
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ -z $kind ]]; then kind=$line; else words+=("${line%%$'\t'*}"); fi
    done < <("${COMP_WORDS[0]/#\~/$HOME}" complete --breaks "$COMP_WORDBREAKS" --line "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
    if [[ $kind == folders ]]; then
        compopt -o dirnames 2>/dev/null
    elif [[ $kind == words ]]; then
        COMPREPLY=("${words[@]}")
        compopt +o default +o bashdefault 2>/dev/null
        # Whoever completes a part of a word goes on.
        [[ ${#words[@]} == 1 && ${words[0]} == *[/=.] ]] && compopt -o nospace 2>/dev/null
    fi
    return 0
}

complete -F _pipe -o nosort -o bashdefault -o default pipe 2>/dev/null || complete -F _pipe -o bashdefault -o default pipe
