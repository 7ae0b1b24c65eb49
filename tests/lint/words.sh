#!/bin/bash
# Nothing that only one machine knows, and nothing left unfinished, in what is committed.
#
#   words.sh ROOT         status 1 and one line for each finding
#
# Each pattern has a [bracket] so that it does not find itself.
set -euo pipefail
cd "$1"

files() {
    find . -type d \( -name .git -o -path './build*' -o -path './models' -o -path './data' -o -path './runs' -o -path './cache' \
        -o -name __pycache__ \) -prune -o -type f ! -name LICENSE -print0
}

# search TEXT OPTION... PATTERN: findings with what is wrong about them
search() {
    local what=$1
    shift
    files | { xargs -0 grep -nIE "$@" || true; } | sed -E "s|^\./([^:]*:[0-9]+):.*|\1: $what|"
}

findings=$(
    search 'names a path of one machine' '(^|[^[:alnum:]_.])/(wor[k]|far[m]|roo[t]|hom[e])/|/tm[p]/(ma[t]|ven[v]|brie[f]|buil[d])'
    search 'names the host of a package registry' 'pyp[i]\.org|pythonhoste[d]|npmj[s]|debia[n]\.org|pytorc[h]\.org'
    search 'was left unfinished' '\<(TOD[O]|FIXM[E]|XX[X])\>|not (yet )?implemente[d]|unimplemente[d]'
)
[ -z "$findings" ] || printf '%s\n' "$findings"
[ -z "$findings" ]
