#!/bin/bash
# Labels on many nodes, then the distillation on few: two jobs, of which the second waits for the first to end well.
#
#   slurm/chain.sh -l "-N 16 --ntasks-per-node=4 -c 8" -d "-N 2 --ntasks-per-node=4 -c 8" JOB [--set key=value]...
#
# -l OPTIONS   of sbatch, for mode: precompute
# -d OPTIONS   of sbatch, for the distillation from the store
# -a N         the labels by an array of N jobs, each an N-th of the sequences: N times the nodes of -l, as they get free
#
# JOB names labels.store. RETORT, RETORT_LAUNCH and RETORT_MPIRUN_ARGS are those of distill.sbatch, which runs both. The job is
# checked before anything is submitted. Prints the numbers of the two jobs. If the labels fail, Slurm keeps the second job back
# for ever unless it is told otherwise (kill_invalid_depend): scancel it, or correct the cause and call this again.
set -euo pipefail
batch=$(dirname "$(readlink -f "$0")")/distill.sbatch
usage() {
    sed -n '2,/^[^#]/ s/^# \{0,1\}//p' "$0"
}

labels=() distill=()
while getopts hl:d:a: option; do
    case $option in
    l) read -r -a words <<<"$OPTARG" && labels+=("${words[@]}") ;;
    d) read -r -a words <<<"$OPTARG" && distill+=("${words[@]}") ;;
    a) labels+=("--array=1-$OPTARG") ;;
    h) usage && exit ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || {
    usage >&2
    exit 2
}
make_labels=("$@" --set mode=precompute)
use_labels=("$@" --set mode=distill --set labels.source=store)

retort=${RETORT:-$(command -v retort || echo build/release/src/retort)}
"$retort" check "${make_labels[@]}" --files >/dev/null
# its store is not there yet, which is only a warning: shown if there is an error as well
said=$("$retort" check "${use_labels[@]}" 2>&1 >/dev/null) || {
    status=$?
    printf '%s\n' "$said" >&2
    exit $status
}

first=$(sbatch --parsable "${labels[@]}" "$batch" "${make_labels[@]}")
second=$(sbatch --parsable --dependency="afterok:${first%%;*}" "${distill[@]}" "$batch" "${use_labels[@]}")
echo "labels: job ${first%%;*}; distillation: job ${second%%;*}"
