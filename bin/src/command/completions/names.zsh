
# Names of services and groups are asked of the running node.
(( $+functions[_bh_names] )) ||
_bh_names() {
    local -a typed names
    typed=(${(z)${LBUFFER%$PREFIX}})
    names=(${(f)"$($typed[1] names -- ${typed[2,-1]} 2>/dev/null)"})
    if [[ "$names[1]" == *= ]]; then compadd -S '' -a names; else compadd -a names; fi
}
