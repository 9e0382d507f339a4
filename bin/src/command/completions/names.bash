
# Names of services and groups are asked of the running node.
_bh_with_names() {
    _bh "$@"
    [[ "$2" == -* ]] && return
    local line="${COMP_LINE:0:COMP_POINT}" words names
    read -ra words <<< "${line%"$2"}"
    names="$("${words[0]}" names -- "${words[@]:1}" 2>/dev/null)" || return
    [[ -n "$names" ]] || return
    mapfile -t COMPREPLY < <(compgen -W "$names" -- "$2")
    [[ "$names" == *= ]] && compopt -o nospace
}

complete -F _bh_with_names -o bashdefault -o default bh
