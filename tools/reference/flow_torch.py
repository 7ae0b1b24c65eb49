"""The distillation loss, its gradients and AdamW steps by PyTorch: the oracle of retort's whole flow.

usage: flow_torch.py --teacher DIR --student DIR --sequences STEP1.json [STEP2.json ...] --out OUT [options]

Inputs
  DIR          Hugging Face directories that transformers loads; the student's tokenizer.json says which ids a token names
  STEPn.json   the packed sequences of step n, as `retort data JOB --step n --json` prints them:
               {sequence_length, sequences: [{seq_id, ids, documents: [start, ..], supervised: [0|1, ..]}]}
  --adapter    a PEFT adapter directory: only its factors are trained (method lora); without it every parameter is (full)

What is computed, by the definitions of the project and nothing of its code
  - A label stands at position i where supervised[i + 1] is 1 and i, i + 1 are in one document; it predicts ids[i + 1].
  - Every document is run by itself: nothing is seen across its start, and positions begin at 0.
  - loss = alpha * T^2 * kl + beta * ce; kl is KL(teacher || student) at temperature T with the teacher's dense distribution,
    over the ids that both models have and a token names; ce is at temperature 1 over the whole vocabulary. Both are sums over
    all labels of the step divided by one count, that of the labels of the step.
  - Each step: gradients, clipping of the global norm, AdamW with weight decay on matrices only, at that step's learning rate.

Outputs in OUT
  loss.json             [{step, labels, loss, kl, ce, grad_norm}, ..], one for each step, before its update
  logits.safetensors    step 1, at the positions of labels: student.<seq_id> and teacher.<seq_id>, [labels, vocabulary]
  gradients.safetensors step 1, before clipping, by Hugging Face names (of PEFT for an adapter)
  before.safetensors    the trained parameters at the start
  weights.safetensors   the trained parameters after the last step
"""

import argparse
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--teacher", type=Path, required=True)
    p.add_argument("--student", type=Path, required=True)
    p.add_argument("--adapter", type=Path)
    p.add_argument("--sequences", type=Path, nargs="+", required=True)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--alpha", type=float, default=1.0)
    p.add_argument("--beta", type=float, help="default: 1 - alpha")
    p.add_argument("--temperature", type=float, default=1.0)
    p.add_argument("--plain-temperature", action="store_true", help="no factor T^2 (temperature_squared: false)")
    p.add_argument("--learning-rate", type=float, nargs="+", default=[1e-3], help="one for each step; the last goes on")
    p.add_argument("--betas", type=float, nargs=2, default=[0.9, 0.95])
    p.add_argument("--eps", type=float, default=1e-8)
    p.add_argument("--weight-decay", type=float, default=0.0)
    p.add_argument("--clip-norm", type=float, default=0.0, help="0: none")
    p.add_argument("--dtype", choices=["f32", "f64"], default="f32")
    a = p.parse_args()
    a.beta = 1 - a.alpha if a.beta is None else a.beta
    a.dtype = {"f32": torch.float32, "f64": torch.float64}[a.dtype]
    return a


def load_student(a):
    student = AutoModelForCausalLM.from_pretrained(a.student, dtype=a.dtype, attn_implementation="eager")
    if a.adapter is None:
        return student
    from peft import PeftModel

    return PeftModel.from_pretrained(student, a.adapter, is_trainable=True, autocast_adapter_dtype=False).to(a.dtype)


def trained(model):
    """Name in the file -> parameter, once for tied ones. PEFT's files leave the adapter's name out."""
    return {n.replace(".default.", "."): p for n, p in model.named_parameters() if p.requires_grad}


def save(parameters, path):
    save_file({n: p.detach().to(torch.float32).contiguous().clone() for n, p in parameters.items()}, path)


def shared_ids(a, teacher, student):
    """The ids that the KL is over: both models have them and, where the student has a tokenizer, a token names them."""
    count = min(teacher.config.vocab_size, student.config.vocab_size)
    file = a.student / "tokenizer.json"
    if not file.exists():
        return torch.arange(count)
    tokenizer = json.loads(file.read_text(encoding="utf-8"))
    named = set(tokenizer["model"]["vocab"].values()) | {t["id"] for t in tokenizer.get("added_tokens", [])}
    return torch.tensor(sorted(i for i in named if i < count))


def documents(sequence):
    """(start, end) of each document, and the positions inside it that carry a label."""
    bounds = sequence["documents"] + [len(sequence["ids"])]
    for start, end in zip(bounds, bounds[1:]):
        supervised = sequence["supervised"][start:end]
        yield start, end, [i for i in range(end - start - 1) if supervised[i + 1]]


def label_count(step):
    return sum(len(labels) for s in step["sequences"] for _, _, labels in documents(s))


def document_losses(a, ids, labels, teacher, student, shared):
    """Sums of kl and ce over the labels of one document, and both models' logits there."""
    x = torch.tensor([ids])
    with torch.no_grad():
        q = teacher(input_ids=x, use_cache=False).logits[0, labels]
    p = student(input_ids=x, use_cache=False).logits[0, labels]
    target = F.log_softmax(q[:, shared] / a.temperature, dim=-1)
    output = F.log_softmax(p[:, shared] / a.temperature, dim=-1)
    kl = F.kl_div(output, target, log_target=True, reduction="sum")
    ce = F.cross_entropy(p, x[0, [i + 1 for i in labels]], reduction="sum")
    return kl, ce, q, p.detach()


def accumulate(a, step, teacher, student, shared, logits):
    """Adds the gradients of one step to the student; returns its figures and, if wanted, fills logits."""
    count = label_count(step)
    square = 1.0 if a.plain_temperature else a.temperature**2
    kl_sum = ce_sum = 0.0
    for sequence in step["sequences"]:
        rows = []
        for start, end, labels in documents(sequence):
            if not labels:
                continue
            kl, ce, q, p = document_losses(a, sequence["ids"][start:end], labels, teacher, student, shared)
            ((a.alpha * square * kl + a.beta * ce) / count).backward()
            kl_sum += kl.item()
            ce_sum += ce.item()
            rows.append((q, p))
        if logits is not None and rows:
            logits[f"teacher.{sequence['seq_id']}"] = torch.cat([q for q, _ in rows]).float()
            logits[f"student.{sequence['seq_id']}"] = torch.cat([p for _, p in rows]).float()
    kl, ce = kl_sum / count, ce_sum / count
    return {"labels": count, "loss": a.alpha * square * kl + a.beta * ce, "kl": kl, "ce": ce}


def make_optimizer(a, parameters):
    groups = [
        {"params": [p for p in parameters.values() if p.ndim >= 2], "weight_decay": a.weight_decay},
        {"params": [p for p in parameters.values() if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    return torch.optim.AdamW(groups, lr=0.0, betas=tuple(a.betas), eps=a.eps)


def main():
    a = arguments()
    a.out.mkdir(parents=True, exist_ok=True)
    teacher = AutoModelForCausalLM.from_pretrained(a.teacher, dtype=a.dtype, attn_implementation="eager").eval()
    student = load_student(a).eval()  # no dropout
    parameters = trained(student)
    shared = shared_ids(a, teacher, student)
    optimizer = make_optimizer(a, parameters)
    save(parameters, a.out / "before.safetensors")

    figures = []
    for number, path in enumerate(a.sequences, 1):
        logits = {} if number == 1 else None
        optimizer.zero_grad()
        figure = accumulate(a, json.loads(path.read_text(encoding="utf-8")), teacher, student, shared, logits)
        if number == 1:
            save_file(logits, a.out / "logits.safetensors")
            save({n: p.grad for n, p in parameters.items()}, a.out / "gradients.safetensors")
        norm = torch.nn.utils.clip_grad_norm_(parameters.values(), a.clip_norm or float("inf"))
        for group in optimizer.param_groups:
            group["lr"] = a.learning_rate[min(number, len(a.learning_rate)) - 1]
        optimizer.step()
        figures.append({"step": number, **figure, "grad_norm": norm.item()})
    save(parameters, a.out / "weights.safetensors")
    (a.out / "loss.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
