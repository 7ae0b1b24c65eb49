"""One distillation job, run by `retort run` as a user would and by PyTorch, and all that must be equal between them: logits,
figures of every step, gradients, weights.

Labels are dense (top_k, k = vocabulary, f32) and every step is followed by a checkpoint. The first moment of AdamW after step 1 is
(1 - beta1) times the clipped gradient: so a checkpoint shows every gradient, by name and whole, as it left all layouts, buckets
and reductions. PyTorch computes the same from the sequences that `retort data` prints; in f64, because where teacher and student
are alike the gradient is a small difference of probabilities, and PyTorch's own f32 is then 3e-4 off."""

import json
from dataclasses import dataclass
from pathlib import Path

from interop import check, compare_files, dump_logits, expect, oracle, relative, retort

import flow_torch
import torch
from safetensors.torch import load_file

BETAS = (0.9, 0.95)
RATE = 2e-3
WARMUP = 2
LORA_RANK, LORA_ALPHA = 4, 12
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@dataclass
class Models:
    """What retort loads and what PyTorch loads: the same weights, perhaps in other files."""
    teacher: Path
    student: Path
    torch_teacher: Path
    torch_student: Path
    adapter: Path
    vocabulary: int


@dataclass
class Case:
    name: str
    method: str = "full"
    temperature: float = 1.0
    alpha: float = 0.7
    source: str = "local"
    ranks: int = 1
    teacher_shards: int = 1
    student_shards: int = 1
    clip: float = 0.0
    decay: float = 0.0
    steps: int = 3
    sequences: int = 4
    sequence_length: int = 80


JOB = """\
name: interop
mode: distill
seed: 5
output: {output}
ranks:
  teacher: {{replicas: 1, tensor_parallel: {case.teacher_shards}}}
  student: {{replicas: auto, tensor_parallel: {case.student_shards}}}
  threads: 1
teacher: {{model: {models.teacher}, precision: f32}}
student: {{model: {models.student}, precision: f32, {method}}}
data:
  train: [{{path: pairs.jsonl, format: completion}}, {{path: lines.jsonl, format: text}}]
  sequence_length: {case.sequence_length}
labels: {{source: {case.source}, encoding: {{kind: top_k, k: {models.vocabulary}, values: f32}}, window: 2}}
distill: {{temperature: {case.temperature}, alpha: {case.alpha}}}
train:
  steps: {case.steps}
  batch_tokens: {batch_tokens}
  optimizer: {{name: adamw, learning_rate: {rate}, betas: [0.9, 0.95], weight_decay: {case.decay}}}
  schedule: {{name: constant, warmup_steps: {warmup}}}
  clip_norm: {case.clip}
  evaluate_every: 0
  checkpoint_every: 1
  keep_checkpoints: {case.steps}
"""
WORDS = "the student reads what its teacher says of every word and 12 or 345 numbers, naïve 漢字 too".split()


def write_data(work):
    """Documents of many lengths, so that sequences hold several of them; the last are cut."""
    def line(i, n):
        return " ".join(WORDS[(i * 5 + k * k) % len(WORDS)] for k in range(n))

    pairs = [{"prompt": line(i, 1 + i % 3) + ":", "completion": " " + line(i + 7, 1 + i % 5)} for i in range(24)]
    lines = [{"text": line(i, 3 + 5 * (i % 4))} for i in range(12)]
    for name, rows in [("pairs", pairs), ("lines", lines)]:
        (work / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_job(path, output, models, case):
    lora = f"lora: {{rank: {LORA_RANK}, alpha: {LORA_ALPHA}, targets: [{', '.join(TARGETS)}]}}"
    method = f"method: lora, adapter: {models.adapter}, {lora}" if case.method == "lora" else "method: full"
    path.write_text(JOB.format(output=output, models=models, case=case, method=method, rate=RATE, warmup=WARMUP,
                               batch_tokens=case.sequences * case.sequence_length))


def reference(models, case, adapter, sequences, out):
    """PyTorch's figures of each step; its tensors are in out."""
    rates = [RATE * min(1, s / WARMUP) for s in range(1, case.steps + 1)]
    options = ["--adapter", adapter] if adapter else []
    oracle(flow_torch, "--teacher", models.torch_teacher, "--student", models.torch_student, "--out", out, *options,
           "--sequences", *sequences, "--alpha", case.alpha, "--temperature", case.temperature, "--learning-rate", *rates,
           "--betas", *BETAS, "--weight-decay", case.decay, "--clip-norm", case.clip, "--dtype", "f64")
    return json.loads((out / "loss.json").read_text())


def state(output, step):
    """Weights and first moments of a checkpoint."""
    tensors = load_file(output / "checkpoints" / f"step-{step:06d}" / "state.safetensors")
    moments = {n.removeprefix("exp_avg."): t for n, t in tensors.items() if n.startswith("exp_avg.")}
    return {n: t for n, t in tensors.items() if n in moments}, moments


def compare_logits(models, case, adapter, sequences, expected):
    theirs = load_file(expected / "logits.safetensors")
    out = expected / "ours.safetensors"
    for role, model, adapter in [("teacher", models.teacher, None), ("student", models.student, adapter)]:
        ours = dump_logits(model, adapter, sequences, out, case.student_shards)
        compare_files(ours, {n.removeprefix(f"{role}."): t for n, t in theirs.items() if n.startswith(role)}, 1e-4,
                      f"{case.name}: {role} logits")


def compare_metrics(case, output, figures):
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    expect([s["supervised_tokens"] for s in steps] == [f["labels"] for f in figures], f"{case.name}: counts of labels")
    for key in ("loss", "kl", "ce", "grad_norm"):
        check(relative([s[key] for s in steps], [f[key] for f in figures]), 1e-4, f"{case.name}: {key} of each step")


def compare_gradients(case, output, expected, norm):
    factor = (1 - BETAS[0]) * min(1.0, case.clip / (norm + 1e-6) if case.clip else 1.0)
    gradients = load_file(expected / "gradients.safetensors")
    compare_files(state(output, 1)[1], {n: g.double() * factor for n, g in gradients.items()}, 1e-4, f"{case.name}: gradients")


def compare_moves(case, output, expected):
    weights, _ = state(output, case.steps)
    before, after = load_file(expected / "before.safetensors"), load_file(expected / "weights.safetensors")
    wrong = sum((weights[n].double() - b.double()).square().sum() for n, b in after.items())
    moved = sum((b.double() - before[n].double()).square().sum() for n, b in after.items())
    check(torch.sqrt(wrong / moved).item(), 2e-3, f"{case.name}: move of {case.steps} steps")


def compare(work, models, case):
    """work holds the data (write_data); everything of this case goes to a folder of it."""
    folder = work / case.name.replace(" ", "_")
    folder.mkdir()
    job, output, expected = work / f"{folder.name}.yaml", folder / "run", folder / "torch"
    adapter = models.adapter if case.method == "lora" else None
    write_job(job, output, models, case)
    sequences = [folder / f"step{s}.json" for s in range(1, case.steps + 1)]
    for step, path in enumerate(sequences, 1):
        path.write_text(retort("data", job, "--step", step, "--json"))
    retort("run", job, ranks=case.ranks)
    figures = reference(models, case, adapter, sequences, expected)
    compare_logits(models, case, adapter, sequences[0], expected)
    compare_metrics(case, output, figures)
    compare_gradients(case, output, expected, figures[0]["grad_norm"])
    compare_moves(case, output, expected)
