#!/bin/bash
# Runs a command on the login host of a private Slurm cluster that lives exactly as long as the command.
#
#   cluster.sh COMMAND...        status: the command's; 4 if there is no cluster
#
# CLUSTER_HOSTS (4) virtual hosts of CLUSTER_CORES (2) cores on this machine, each with its own name, network interface, /dev/shm
# and slurmd; all see the same files. Needs root and Debian's slurmctld, slurmd, slurm-client, munge and iproute2.
#
# Everything lives in one unshared pid, mount, network and name space: when this script ends, however it ends, the kernel kills
# every process in it and takes networks and mounts away. What Slurm and MPI write (state, spool, logs, sockets) is on a tmpfs
# over /run that only the cluster sees. So nothing is left behind and nothing has to be tidied.
set -euo pipefail
self=$(readlink -f "$0")
export PATH=$PATH:/usr/sbin:/sbin
export CLUSTER_HOSTS=${CLUSTER_HOSTS:-4} CLUSTER_CORES=${CLUSTER_CORES:-2}
home=/run/cluster
network=10.0.0

die() {
    printf 'cluster.sh: %s\n' "$*" >&2
    exit 4
}

check_machine() {
    [ "$(id -u)" = 0 ] || die "needs root: it makes networks and mounts"
    local tool
    for tool in slurmctld slurmd sbatch srun munged ip unshare; do
        command -v "$tool" >/dev/null || die "$tool is missing; tools/install-deps test installs it"
    done
}

write_config() {
    local i
    mkdir -p $home/etc $home/log $home/state
    mkdir -m 1777 $home/tmp
    {
        echo "127.0.0.1 localhost"
        echo "$network.1 login"
        for i in $(seq "$CLUSTER_HOSTS"); do echo "$network.$((10 + i)) host$i"; done
    } >$home/etc/hosts
    # Short intervals: a test waits for the scheduler. cred_expire is also how long a requeued job waits for its next start. PMIx
    # makes folders of one name on every host in TmpFS, so each host has its own.
    cat >$home/etc/slurm.conf <<CONF
ClusterName=tests
SlurmctldHost=login($network.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,sched_min_interval=0,batch_sched_delay=0
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=10
StateSaveLocation=$home/state
SlurmdSpoolDir=$home/spool-%n
TmpFS=$home/tmp-%n
SlurmctldPidFile=$home/slurmctld.pid
SlurmdPidFile=$home/slurmd-%n.pid
SlurmctldLogFile=$home/log/slurmctld
SlurmdLogFile=$home/log/slurmd-%n
NodeName=host[1-$CLUSTER_HOSTS] CPUs=$CLUSTER_CORES CoresPerSocket=$CLUSTER_CORES RealMemory=2000
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE
CONF
}

# A virtual host is a process in a network, name and mount space of its own; it gets its end of a cable by process id.
start_host() {
    local i=$1 pid outside
    outside=$(readlink /proc/self/ns/net)
    unshare --net --uts --mount "$self" --host "host$i" </dev/null >"$home/log/host$i" 2>&1 &
    pid=$!
    until [ "$(readlink /proc/$pid/ns/net)" != "$outside" ]; do sleep 0.01; done
    ip link add "cable$i" type veth peer name eth0 netns $pid
    ip link set "cable$i" master switch up
}

host() {
    local i=${1#host}
    hostname "$1"
    mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    until ip link show eth0 >/dev/null 2>&1; do sleep 0.01; done
    ip link set lo up
    ip addr add "$network.$((10 + i))/24" dev eth0
    ip link set eth0 up
    mkdir "$home/spool-$1"
    mkdir -m 1777 "$home/tmp-$1"
    exec slurmd -D -N "$1"
}

start_login() {
    hostname login
    mount --bind $home/etc/hosts /etc/hosts
    mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    ip link set lo up
    ip link add switch type bridge
    ip addr add $network.1/24 dev switch
    ip link set switch up
    mkdir -m 755 /run/munge
    (umask 077 && head -c 1024 /dev/urandom >/run/munge/key)
    munged --key-file=/run/munge/key --pid-file=/run/munge/pid --log-file=$home/log/munged --seed-file=/run/munge/seed
    slurmctld -i
}

wait_for_hosts() {
    for _ in $(seq 100); do
        [ "$(sinfo -h -t idle -o %D 2>/dev/null)" != "$CLUSTER_HOSTS" ] || return 0
        sleep 0.1
    done
    tail -n 20 $home/log/* >&2
    die "not all hosts came up; their logs are above"
}

# The first process of the cluster: what it starts ends with it.
cluster() {
    local status=0 i
    trap 'exit 130' INT TERM
    mount -t tmpfs -o mode=755 tmpfs /run
    write_config
    export SLURM_CONF=$home/etc/slurm.conf TMPDIR=$home/tmp
    start_login
    for i in $(seq "$CLUSTER_HOSTS"); do start_host "$i"; done
    wait_for_hosts
    "$@" || status=$?
    exit $status
}

case ${1:-} in
'') sed -n '2,/^[^#]/ s/^# \{0,1\}//p' "$self" && exit 2 ;;
--cluster | --host) "${1#--}" "${@:2}" ;;
*)
    check_machine
    exec unshare --pid --mount --net --uts --fork --kill-child --mount-proc "$self" --cluster "$@"
    ;;
esac
