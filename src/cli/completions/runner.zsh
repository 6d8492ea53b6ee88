#compdef runner
# Completion of runner for zsh.
_runner() {
    local -a lines folders others
    local mode
    lines=("${(@f)$(${(Q)words[1]} __complete words $((CURRENT - 2)) "${(@Q)words[2,-1]}" 2>/dev/null)}")
    mode=$lines[1]
    (( $#lines > 1 )) || return 1
    lines=("${(@)lines[2,-1]}")
    case $mode in
        files)
            folders=(${(M)lines:#*/})
            others=(${lines:#*/})
            (( $#folders )) && compadd -f -S '' -- $folders
            (( $#others )) && compadd -f -- $others
            ;;
        partial) compadd -S '' -- $lines ;;
        *) compadd -- $lines ;;
    esac
}
if [ "$funcstack[1]" = "_runner" ]; then
    _runner "$@"
else
    compdef _runner runner
fi
