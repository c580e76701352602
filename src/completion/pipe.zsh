#compdef pipe

# Completions of `pipe` for zsh. `pipe complete` says what can come next.
_pipe() {
    local -a lines whole parts
    local line text about entry
    lines=("${(@f)$("${words[1]/#\~/$HOME}" complete -- "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    case $lines[1] in
        files) compset -P '--*='; _files; return ;;
        folders) compset -P '--*='; _files -/; return ;;
    esac
    for line in "${(@)lines[2,-1]}"; do
        text=${line%%$'\t'*}
        about=${line#*$'\t'}
        entry=${text//:/\\:}${about:+:$about}
        # Whoever completes a part of a word goes on.
        if [[ $text == *[/=.] ]]; then parts+=("$entry"); else whole+=("$entry"); fi
    done
    local found=1
    (( $#parts )) && _describe 'completion' parts -S '' && found=0
    (( $#whole )) && _describe 'completion' whole && found=0
    return $found
}

if [ "$funcstack[1]" = "_pipe" ]; then
    _pipe "$@"
else
    compdef _pipe pipe
fi
