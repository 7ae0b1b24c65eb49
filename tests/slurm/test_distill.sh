#!/bin/bash
# The same small job by mpirun on this machine and by sbatch slurm/distill.sbatch on four hosts of a private Slurm, started by
# mpirun and by srun --mpi=pmix: the metrics are equal but for the timing fields, and so are the student's weights. Once more with
# shards in bf16 and sequences that are long enough to be computed in halves where shards are on several hosts (model/halves.h).
#
#   test_distill.sh SOURCE_DIR RETORT MODEL_MAKER
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
source "$here/lib.sh"
batch=$1/slurm/distill.sbatch
export RETORT=$2
model_maker=$3

make_job() {
    "$model_maker" teacher --family llama --layers 2 --hidden 64 --heads 4 --kv-heads 2 --head-dim 16 --ffn 96 --vocab 320 \
        --seed 1 --dtype f32
    "$model_maker" student --family llama --layers 1 --hidden 64 --heads 4 --kv-heads 2 --head-dim 16 --ffn 96 --vocab 320 \
        --seed 2 --dtype f32
    local i
    for i in $(seq 240); do
        printf '{"prompt": "%d plus %d is ", "completion": "%d, and twice that is %d."}\n' "$i" $((i * 7)) $((i * 8)) $((i * 16))
    done >data.jsonl
    cat >job.yaml <<'JOB'
name: slurm-test
mode: distill
seed: 3
output: run
ranks:
  teacher: {replicas: 1, tensor_parallel: 2}
  student: {replicas: 2, tensor_parallel: 1}
  threads: 1
teacher: {model: teacher, precision: f32}
student: {model: student, precision: f32, method: full}
data:
  train: [{path: data.jsonl, format: completion}]
  validation: [{path: data.jsonl, format: completion}]
  sequence_length: 64
labels: {source: stream, encoding: {kind: sampled}}
train:
  steps: 6
  batch_tokens: 256
  optimizer: {name: adamw, learning_rate: 1.0e-3}
  schedule: {name: cosine, warmup_steps: 2}
  evaluate_every: 3
  checkpoint_every: 0
JOB
}

# The lines of a metrics file without the fields that hold times.
timeless() {
    sed -E 's/"[a-z_]*seconds?": *[-+.0-9eE]+(, *)?//g' "$1/metrics.jsonl"
}

# $1: run directory; $2: that of mpirun on this machine
compare() {
    timeless "$1" >"$1.metrics"
    diff "$2.metrics" "$1.metrics" >"$1.diff" || expect "other metrics" "the metrics of mpirun here" "$1.diff"
    cmp "$2/model/model.safetensors" "$1/model/model.safetensors" || expect "other weights" "the weights of mpirun here"
}

# $1: run directory; then what differs from the job
run_here() {
    local out=$1
    shift
    begin "mpirun on this machine: $out"
    mpirun -n 4 --oversubscribe --bind-to none --quiet "$RETORT" run job.yaml --set "output=$out" "$@" >"$out.log" 2>&1 ||
        expect "status $?" "status 0" "$out.log"
    timeless "$out" >"$out.metrics"
    expect "$(grep -c '"step": *[1-6]\b.*"kl"' "$out.metrics")" 8 "$out.metrics" # 6 steps, validation at 3 and 6
}

# $1: run directory; $2: what it must equal; $3: mpirun or srun; then what differs from the job
run_in_slurm() {
    local out=$1 same=$2 launch=$3
    shift 3
    begin "sbatch slurm/distill.sbatch, started by $launch: $out"
    RETORT_LAUNCH=$launch sbatch -W -N 4 --ntasks-per-node=1 -o "$out.log" "$batch" job.yaml --set "output=$out" "$@" \
        >sbatch.log || expect "status $?" "status 0" "$out.log"
    compare "$out" "$same"
}

halves=(--set teacher.precision=bf16 --set student.precision=bf16 --set ranks.student.replicas=1
    --set ranks.student.tensor_parallel=2 --set data.sequence_length=768 --set train.batch_tokens=1536)

if [ -z "${IN_CLUSTER:-}" ]; then
    enter_work test_distill.work
    make_job
    run_here plain
    run_here halves "${halves[@]}"
    IN_CLUSTER=yes exec "$here/cluster.sh" "$here/test_distill.sh" "$@"
fi
work=$PWD
run_in_slurm mpirun plain mpirun
run_in_slurm srun plain srun
run_in_slurm halves-of-hosts halves mpirun "${halves[@]}"
passed
