"""One piece of work in PyTorch (transformers, peft), timed: a fresh process for every measurement.

usage: torch_peer.py WHAT (--model DIR | --config FILE) [options]

  body      forward without the head                     logits    forward with the logits of every token
  lora      step of LoRA factors, r 16, q and v          full      step of every weight
  distil    a whole step of distillation: teacher forward, full KL + cross-entropy, backward of the student, AdamW

--config gives random weights of that shape. The first pass warms up; each of the --passes after it prints one JSON line
{peer, what, precision, threads, tokens, seconds, tokens_per_second, peak_memory_bytes}. A step runs one sequence at a time,
which is where PyTorch needs least memory, and updates once."""

import argparse
import json
import resource
import time

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["body", "logits", "lora", "full", "distil"])
    source = p.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", help="Hugging Face directory")
    source.add_argument("--config", help="config.json; random weights")
    p.add_argument("--precision", choices=DTYPES, default="f32")
    p.add_argument("--sequence-length", type=int, default=1024)
    p.add_argument("--sequences", type=int, default=2)
    p.add_argument("--threads", type=int, required=True)
    p.add_argument("--passes", type=int, default=3)
    p.add_argument("--layers", type=lambda text: [int(i) for i in text.split(",")], help="the student's, of the teacher's")
    p.add_argument("--loss", choices=["eager", "compiled"], default="eager", help="of distil")
    p.add_argument("--tokens", help="what `retort data --json` printed; random ids without it")
    return p.parse_args()


def load(a):
    if a.config:
        torch.manual_seed(1)
        return LlamaForCausalLM(LlamaConfig.from_json_file(a.config)).to(DTYPES[a.precision])
    return AutoModelForCausalLM.from_pretrained(a.model, dtype=DTYPES[a.precision], attn_implementation="sdpa")


def token_ids(a, vocabulary):
    if not a.tokens:
        return torch.randint(0, vocabulary, (a.sequences, a.sequence_length), generator=torch.Generator().manual_seed(1))
    with open(a.tokens, encoding="utf-8") as file:
        return torch.tensor([s["ids"] for s in json.load(file)["sequences"]])


def forward(model, ids):
    def work():
        with torch.inference_mode():
            model(ids, use_cache=False)

    return work


def optimizer(model):
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=True)


def with_factors(model):
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=["q_proj", "v_proj"]))


def training(model, ids, loss):
    """A step whose gradients are those of the mean over all sequences."""
    update = optimizer(model)

    def work():
        for x in ids.split(1):
            (loss(model, x) / len(ids)).backward()
        update.step()
        update.zero_grad()

    return work


def next_token_loss(model, x):
    return model(input_ids=x, labels=x, use_cache=False).loss


def student_of(model, layers):
    """The model with some of its layers, which the new order numbers again."""
    model.model.layers = torch.nn.ModuleList(model.model.layers[i] for i in layers)
    model.config.num_hidden_layers = len(layers)
    for i, layer in enumerate(model.model.layers):
        layer.self_attn.layer_idx = i
    return model


def distillation_loss(student_logits, teacher_logits, x):
    student = F.log_softmax(student_logits[0, :-1].float(), -1)
    teacher = F.log_softmax(teacher_logits[0, :-1].float(), -1)
    kl = F.kl_div(student, teacher, log_target=True, reduction="none").sum(-1).mean()
    return 0.7 * kl + 0.3 * F.cross_entropy(student_logits[0, :-1].float(), x[0, 1:])


def distillation(a, ids):
    teacher, student = load(a).eval(), student_of(load(a), a.layers).train()
    loss = torch.compile(distillation_loss) if a.loss == "compiled" else distillation_loss

    def total(model, x):
        with torch.no_grad():
            labels = teacher(x, use_cache=False).logits
        return loss(model(x, use_cache=False).logits, labels, x)

    return training(student, ids, total)


def prepare(a):
    """(tokens of one pass, the pass)"""
    if a.what == "distil":
        ids = token_ids(a, 0)
        return ids.numel(), distillation(a, ids)
    model = load(a)
    ids = token_ids(a, model.config.vocab_size)
    if a.what in ("body", "logits"):
        model.eval()
        return ids.numel(), forward(model.model if a.what == "body" else model, ids)
    model = with_factors(model) if a.what == "lora" else model
    return ids.numel(), training(model.train(), ids, next_token_loss)


def peak_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main():
    a = arguments()
    torch.set_num_threads(a.threads)
    tokens, work = prepare(a)
    work()
    for _ in range(a.passes):
        start = time.perf_counter()
        work()
        seconds = time.perf_counter() - start
        print(json.dumps({"peer": "pytorch", "what": a.what, "precision": a.precision, "threads": a.threads, "tokens": tokens,
                          "seconds": seconds, "tokens_per_second": tokens / seconds, "peak_memory_bytes": peak_memory()}),
              flush=True)


if __name__ == "__main__":
    main()
