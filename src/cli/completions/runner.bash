# Completion of runner for bash.
_runner() {
    local line mode=""
    COMPREPLY=()
    while IFS= read -r line; do
        if [ -z "$mode" ]; then mode=$line; else COMPREPLY+=("$line"); fi
    done < <(RUNNER_WORDBREAKS="$COMP_WORDBREAKS" "$1" __complete bash \
        "${COMP_LINE:0:COMP_POINT}" "${COMP_LINE:COMP_POINT}" 2>/dev/null)
    case $mode in
        files) compopt -o filenames 2>/dev/null ;;
        partial) compopt -o nospace 2>/dev/null ;;
    esac
}
complete -F _runner runner
