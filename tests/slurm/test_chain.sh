#!/bin/bash
# slurm/chain.sh: labels by an array of two jobs, then the distillation from their store, which waits for both; its metrics are
# those of the streamed run. A job that is wrong is not submitted. Runs on the login host of cluster.sh.
#
#   test_chain.sh SOURCE_DIR RETORT MODEL_MAKER
set -euo pipefail
source "$(dirname "$0")/lib.sh"
chain=$1/slurm/chain.sh
export RETORT=$2
model_maker=$3
enter_work test_chain.work

make_job() {
    local i
    "$model_maker" teacher --family llama --layers 2 --hidden 64 --heads 4 --kv-heads 2 --head-dim 16 --ffn 96 --vocab 320 \
        --seed 1 --dtype f32
    "$model_maker" student --family llama --layers 1 --hidden 64 --heads 4 --kv-heads 2 --head-dim 16 --ffn 96 --vocab 320 \
        --seed 2 --dtype f32
    for i in $(seq 60); do
        printf '{"prompt": "%d plus %d is ", "completion": "%d."}\n' "$i" $((i * 7)) $((i * 8))
    done >data.jsonl
    cat >job.yaml <<'JOB'
name: chained
mode: distill
output: run
ranks: {threads: 1}
teacher: {model: teacher, precision: f32}
student: {model: student, precision: f32}
data:
  train: [{path: data.jsonl, format: completion}]
  sequence_length: 64
labels: {store: store}
train: {steps: 6, batch_tokens: 256, checkpoint_every: 0}
JOB
}

timeless() {
    sed -E 's/"[a-z_]*seconds?": *[-+.0-9eE]+(, *)?//g; s/"tokens_per_second": *[-+.0-9eE]+(, *)?//g' "$1/metrics.jsonl"
}

make_job
begin "a job that is wrong is not submitted"
status=0
"$chain" -l "-N 2" -d "-N 1" job.yaml --set train.stepz=3 >refused.log 2>&1 || status=$?
expect "$status $(squeue -h -t all | wc -l)" "2 0" refused.log

begin "labels by an array, then the distillation"
said=$("$chain" -a 2 -l "-N 1 --ntasks-per-node=2 -o labels-%a.log" -d "-N 1 --ntasks-per-node=1 -o distill.log" job.yaml)
second=${said##* }
wait_until 120 'job_ended "$second"'
expect "$(job_state "$second")" COMPLETED distill.log
grep -q "labels.part: 1/2" labels-1.log || expect "no part 1/2" "part 1/2 in the log" labels-1.log
grep -q "labels.part: 2/2" labels-2.log || expect "no part 2/2" "part 2/2 in the log" labels-2.log

begin "the run is the streamed one"
mpirun --oversubscribe --bind-to none -n 2 "$RETORT" run job.yaml --set output=streamed >streamed.log 2>&1
diff <(timeless streamed) <(timeless run) >run.diff || expect "other metrics" "those of the streamed run" run.diff
cmp streamed/model/model.safetensors run/model/model.safetensors || expect "other weights" "those of the streamed run"
passed
