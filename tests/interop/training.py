"""Training against PyTorch: logits, all gradients of the distillation loss, three AdamW steps.

    training.py FAMILY                  a row of make_model.MODELS

The job is run by `retort run` as a user would, with dense labels (top_k, k = vocabulary, f32) and 1 step a checkpoint. The first
moment of AdamW after step 1 is (1 - beta1) times the clipped gradient: so a checkpoint shows every gradient, by name and whole,
as it left all layouts, buckets and reductions. PyTorch computes the same from the sequences that `retort data` prints."""

import json
import sys

from interop import check, compare_files, dump_logits, expect, oracle, relative, retort, run

import flow_torch
import make_adapter
import make_model
import torch
from safetensors.torch import load_file

STEPS = 3
BETAS = (0.9, 0.95)
RATES = [1e-3, 2e-3, 2e-3]  # warm-up over two steps
JOB = """\
name: interop
mode: distill
seed: 5
output: {output}
ranks:
  teacher: {{replicas: 1, tensor_parallel: {teacher_shards}}}
  student: {{replicas: auto, tensor_parallel: {student_shards}}}
  threads: 1
teacher: {{model: {teacher}, precision: f32}}
student: {{model: {student}, precision: f32, {method}}}
data:
  train: [{{path: pairs.jsonl, format: completion}}, {{path: lines.jsonl, format: text}}]
  validation: [{{path: pairs.jsonl, format: completion}}]
  sequence_length: 80
labels: {{source: {source}, encoding: {{kind: top_k, k: 331, values: f32}}, window: 2}}
distill: {{temperature: {temperature}, alpha: {alpha}}}
train:
  steps: 3
  batch_tokens: 320
  optimizer: {{name: adamw, learning_rate: 2.0e-3, betas: [0.9, 0.95], weight_decay: {decay}}}
  schedule: {{name: constant, warmup_steps: 2}}
  clip_norm: {clip}
  evaluate_every: 0
  checkpoint_every: 1
  keep_checkpoints: 3
"""
LORA = "method: lora, adapter: adapter, lora: {rank: 4, alpha: 12, targets: [q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj]}"
WORDS = "the student reads what its teacher says of every word and 12 or 345 numbers, naïve 漢字 too".split()

# (name, method, temperature, alpha, source, ranks, teacher shards, student shards, clip, decay)
CASES = [
    ("full, local", "full", 1.0, 0.7, "local", 1, 1, 1, 0.0, 0.0),
    ("full, T 2, local, TP 2", "full", 2.0, 1.0, "local", 2, 1, 2, 0.0, 0.1),
    ("full, T 2, streamed, TP 2 + 2", "full", 2.0, 0.6, "stream", 4, 2, 2, 0.5, 0.1),
    ("lora, streamed, 1 + 2 replicas", "lora", 1.0, 0.7, "stream", 3, 1, 1, 0.0, 0.1),
    ("lora, T 2, local, TP 2", "lora", 2.0, 0.7, "local", 2, 1, 2, 0.5, 0.0),
]


def write_data(work):
    """Documents of many lengths, so that sequences hold several of them; the last are cut."""
    def line(i, n):
        return " ".join(WORDS[(i * 5 + k * k) % len(WORDS)] for k in range(n))

    pairs = [{"prompt": line(i, 1 + i % 3) + ":", "completion": " " + line(i + 7, 1 + i % 5)} for i in range(24)]
    lines = [{"text": line(i, 3 + 5 * (i % 4))} for i in range(12)]
    for name, rows in [("pairs", pairs), ("lines", lines)]:
        (work / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def reference(work, out, adapter, temperature, alpha, clip, decay):
    options = ["--adapter", adapter] if adapter else []
    oracle(flow_torch, "--teacher", work / "teacher", "--student", work / "student", "--out", out, *options,
           "--sequences", *[work / f"step{s}.json" for s in range(1, STEPS + 1)], "--alpha", alpha, "--temperature", temperature,
           "--learning-rate", *RATES, "--betas", *BETAS, "--weight-decay", decay, "--clip-norm", clip)
    return json.loads((out / "loss.json").read_text())


def state(output, step):
    """Weights and first moments of a checkpoint."""
    tensors = load_file(output / "checkpoints" / f"step-{step:06d}" / "state.safetensors")
    moments = {n.removeprefix("exp_avg."): t for n, t in tensors.items() if n.startswith("exp_avg.")}
    return {n: t for n, t in tensors.items() if n in moments}, moments


def compare_gradients(output, expected, figure, clip, name):
    gradients = load_file(expected / "gradients.safetensors")
    factor = (1 - BETAS[0]) * min(1.0, clip / (figure["grad_norm"] + 1e-6) if clip else 1.0)
    _, moments = state(output, 1)
    compare_files(moments, {n: g.double() * factor for n, g in gradients.items()}, 1e-4, f"{name}: gradients")


def compare_moves(output, expected, name):
    weights, _ = state(output, STEPS)
    before, after = load_file(expected / "before.safetensors"), load_file(expected / "weights.safetensors")
    wrong = sum((weights[n].double() - b.double()).square().sum() for n, b in after.items())
    moved = sum((b.double() - before[n].double()).square().sum() for n, b in after.items())
    check(torch.sqrt(wrong / moved).item(), 2e-3, f"{name}: move of {STEPS} steps")


def compare_metrics(output, figures, name):
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    expect([s["supervised_tokens"] for s in steps] == [f["labels"] for f in figures], f"{name}: counts of labels")
    for key in ("loss", "kl", "ce", "grad_norm"):
        check(relative([s[key] for s in steps], [f[key] for f in figures]), 1e-4, f"{name}: {key} of each step")


def compare_logits(work, expected, adapter, ranks, name):
    reference_logits = load_file(expected / "logits.safetensors")
    for role in ("teacher", "student"):
        ours = dump_logits(work / role, adapter if role == "student" else None, work / "step1.json", work / "logits", ranks)
        theirs = {n.removeprefix(f"{role}."): t for n, t in reference_logits.items() if n.startswith(role)}
        compare_files(ours, theirs, 1e-4, f"{name}: {role} logits")


def compare(work, number, case):
    name, method, temperature, alpha, source, ranks, teacher_shards, student_shards, clip, decay = case
    adapter = work / "adapter" if method == "lora" else None
    output, expected = work / f"run{number}", work / f"torch{number}"
    job = work / f"job{number}.yaml"
    job.write_text(JOB.format(output=output, teacher="teacher", student="student", method=LORA if adapter else "method: full",
                              temperature=temperature, alpha=alpha, source=source, teacher_shards=teacher_shards,
                              student_shards=student_shards, clip=clip, decay=decay))
    for step in range(1, STEPS + 1):
        (work / f"step{step}.json").write_text(retort("data", job, "--step", step, "--json"))
    retort("run", job, ranks=ranks)
    figures = reference(work, expected, adapter, temperature, alpha, clip, decay)
    compare_logits(work, expected, adapter, student_shards, name)
    compare_metrics(output, figures, name)
    compare_gradients(output, expected, figures[0], clip, name)
    compare_moves(output, expected, name)


def main(work):
    family = sys.argv[1]
    other = "llama_tied" if family != "llama_tied" else "qwen3"
    oracle(make_model, work, family, other)
    (work / family).rename(work / "student")
    (work / other).rename(work / "teacher")
    oracle(make_adapter, work / "student", work / "adapter", "--rank", 4, "--alpha", 12, "--targets", "q_proj", "k_proj", "v_proj",
           "o_proj", "gate_proj", "up_proj", "down_proj")
    write_data(work)
    for number, case in enumerate(CASES):
        compare(work, number, case)


if __name__ == "__main__":
    run(main)
