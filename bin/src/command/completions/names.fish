
# Names of services and groups are asked of the running node.
function __fish_bh_names
    set -l typed (commandline -opc)
    $typed[1] names -- $typed[2..] 2>/dev/null
end
complete -c bh -n "__fish_bh_using_subcommand status top logs events history start stop restart scale" -f -a "(__fish_bh_names)"
