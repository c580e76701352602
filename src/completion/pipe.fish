# Completions of `pipe` for fish. `pipe complete` says what can come next.
function __pipe_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '^~' $HOME -- $words[1])
    set -l lines ($program complete -- $words "$current" 2>/dev/null)
    # `--out=` is part of the word.
    set -l option (string match -r -- '^--[^=]+=' "$current")
    set -l path (string replace -r -- '^--[^=]+=' '' "$current")
    switch "$lines[1]"
        case files
            for path in (__fish_complete_path "$path")
                printf '%s%s\n' "$option" $path
            end
        case folders
            for path in (__fish_complete_directories "$path" '')
                printf '%s%s\n' "$option" $path
            end
        case '*'
            test (count $lines) -gt 1; and printf '%s\n' $lines[2..-1]
    end
end

complete -c pipe -f -a '(__pipe_complete)'
