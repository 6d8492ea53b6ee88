# Completion of runner for fish.
function __runner_complete
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    $before[1] __complete words (math (count $before) - 1) $before[2..] "$current" 2>/dev/null | tail -n +2
end
complete -c runner -f -a '(__runner_complete)'
