#!/bin/bash
# slurm/distill.sbatch by itself, with a stand-in for retort: exit statuses reach Slurm, a signal reaches every rank, status 75
# puts the job back into the queue and its second start ends it. Runs on the login host of cluster.sh.
#
#   test_sbatch.sh SOURCE_DIR
set -euo pipefail
source "$(dirname "$0")/lib.sh"
batch=$1/slurm/distill.sbatch
enter_work test_sbatch.work

# "run --status N" ends so. "run FILE" says that it is ready and waits for USR1, as a rank at work would; started again, it is
# done. The ranks leave together, as MPI programs do: mpirun kills the others once one has ended with a status.
cat >retort <<'PROGRAM'
#!/bin/bash
[ "$2" != --status ] || exit "$3"
rank=${SLURM_PROCID:-0}
rank=${OMPI_COMM_WORLD_RANK:-$rank}
if [ -e "$2.stopped.$rank" ]; then
    touch "$2.done.$rank"
    exit 0
fi
stop() {
    touch "$2.stopped.$rank"
    while [ "$(compgen -G "$2.stopped.*" | wc -l)" -lt 8 ]; do sleep 0.1; done
    exit 75
}
trap 'stop "$@"' USR1
touch "$2.ready.$rank"
while :; do sleep 0.1; done
PROGRAM
chmod +x retort
export RETORT=$PWD/retort

count() {
    compgen -G "$1.*" | wc -l
}

for launch in mpirun srun; do
    export RETORT_LAUNCH=$launch
    begin "$launch: the status of a job that failed is the job's"
    status=0
    sbatch -W -N 2 --ntasks-per-node=1 -o "failed-$launch.log" "$batch" --status 3 >sbatch.log || status=$?
    expect "$status" 3 "failed-$launch.log"

    begin "$launch: a signal reaches all ranks, and 75 requeues"
    job=$(sbatch --parsable -N 4 --ntasks-per-node=2 -o "signal-$launch.log" "$batch" "$PWD/$launch")
    wait_until 30 '[ "$(count $launch.ready)" = 8 ]'
    scancel --batch --signal=USR1 "$job"
    wait_until 30 '[ "$(count $launch.stopped)" = 8 ]'
    wait_until 60 'job_ended "$job"'
    expect "$(job_state "$job") after $(job_restarts "$job") restart, $(count "$launch.done") ranks done" \
        "COMPLETED after 1 restart, 8 ranks done" "signal-$launch.log"
done

begin "another launcher is refused"
status=0
RETORT_LAUNCH=ssh sbatch -W -N 1 -o refused.log "$batch" x >sbatch.log || status=$?
expect "$status $(cat refused.log)" "2 distill.sbatch: RETORT_LAUNCH is ssh; it takes mpirun or srun" refused.log
passed
