# What the Slurm tests share: one line for each check, what Slurm says of a job, how MPI behaves on the virtual hosts.
# shellcheck shell=bash
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# the virtual hosts share this machine's cores: ranks must not be bound to the same ones, nor spin
export RETORT_MPIRUN_ARGS="--bind-to none" OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_btl_vader_single_copy_mechanism=none

# A fresh work folder in the current one (the build folder, which every host sees); a test that passed removes it.
enter_work() {
    work=$PWD/$1
    rm -rf "$work"
    mkdir "$work"
    cd "$work"
}

passed() {
    cd /
    rm -rf "$work"
}

begin() {
    printf 'check: %s\n' "$1"
}

# expect GOT WANTED [LOG]
expect() {
    [ "$1" != "$2" ] || return 0
    printf 'failed: got "%s", expected "%s"\n' "$1" "$2" >&2
    [ -z "${3:-}" ] || cat "$3" >&2
    exit 1
}

# wait_until SECONDS CONDITION: the condition is a command line
wait_until() {
    local end=$((SECONDS + $1))
    until eval "$2"; do
        if [ $SECONDS -ge $end ]; then
            printf 'failed: after %s s still not: %s\n' "$1" "$2" >&2
            squeue -t all >&2
            tail -n 50 ./*.log >&2
            exit 1
        fi
        sleep 0.2
    done
}

job_field() {
    scontrol show job -o "$1" | tr ' ' '\n' | sed -n "s/^$2=//p"
}

job_state() {
    job_field "$1" JobState
}

job_restarts() {
    job_field "$1" Restarts
}

job_ended() {
    case $(job_state "$1") in COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL) return 0 ;; *) return 1 ;; esac
}
