# What every script in tools/ shares: where the checkout is, plain messages, timed stages, the environment of MPI programs.
# Sourced by bash scripts; it changes to the root of the checkout and does nothing else.
# shellcheck shell=bash
set -euo pipefail
script=$(readlink -f "$0")
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() {
    printf '%s\n' "$*"
}

# die STATUS TEXT: the exit statuses of retort (README): 2 usage, 3 input, 4 environment.
die() {
    printf '%s: %s\n' "${0##*/}" "$2" >&2
    exit "$1"
}

# A path that the user gave, as it was meant where the script was called.
absolute() {
    case $1 in /*) say "$1" ;; *) say "$called_from/$1" ;; esac
}

# The comment at the head of the calling script is its help.
usage() {
    sed -n '2,/^[^#]/ s/^# \{0,1\}//p' "$script"
}

# stage NAME COMMAND...: runs the command and says how long it took. A command that fails ends the script (set -e).
stage() {
    local name=$1 start=$SECONDS
    shift
    say "== $name"
    "$@"
    say "-- $name: $((SECONDS - start)) s"
}

# Open MPI as it behaves well on one machine: root is allowed (containers), ranks that wait give their core away (ranks may
# outnumber cores), and no cross-memory attach, which containers forbid.
mpi_environment() {
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_btl_vader_single_copy_mechanism=none
}
