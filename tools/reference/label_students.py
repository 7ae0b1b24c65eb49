"""What students get from encoded labels: their gradients, and what they become. The two parts of label_experiment.py.

A student is the teacher with some of its layers. The logits' gradient is written down (label_encodings.logits_gradient) and
handed to autograd, so that one forward serves every encoding, and the teacher runs once for all of them."""

import copy
import hashlib
import json
import math
import sys
import time

import torch
import torch.nn.functional as F
from label_encodings import encode, logits_gradient, noise, parse
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

BINS = 15
PARTS = ("head", "blocks")
SETTINGS = ("layers", "encodings", "records", "sequence_length", "tokens", "batches", "warm_steps", "training_warm_steps",
            "steps", "batch", "seeds", "validation", "learning_rate", "precision")


def refuse(text):
    print(f"label_experiment: {text}", file=sys.stderr)
    sys.exit(2)


def progress(start, text):
    print(f"{time.perf_counter() - start:7.1f} s  {text}", file=sys.stderr, flush=True)


def generator(*key):
    """Random numbers on the CPU that depend on what they are for, and on nothing else that is drawn."""
    seed = hashlib.sha256(repr(key).encode()).digest()[:7]
    return torch.Generator().manual_seed(int.from_bytes(seed, "little"))


def prepare(a):
    """Chooses what is not chosen yet; the settings that stand in the JSON file."""
    try:
        for name in a.encodings:
            parse(name)
    except ValueError as e:
        refuse(e)
    if a.threads:
        torch.set_num_threads(a.threads)
    a.device = torch.device(a.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    a.precision = a.precision or ("bf16" if a.device.type == "cuda" else "f32")
    device = torch.cuda.get_device_name() if a.device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    kept = {key: getattr(a, key) for key in SETTINGS}
    return {"model": a.model.resolve().name, "text": a.text.name, **kept, "device": device, "torch": torch.__version__}


# Text and models.


def documents(path):
    text = path.read_text(encoding="utf-8")
    return [json.loads(line)["text"] for line in text.split("\n") if line.strip()] if path.suffix == ".jsonl" else [text]


def stretches(a):
    """(training, validation), [n, length + 1]: contiguous stretches; the last id of one is the first of the next."""
    tokenizer = Tokenizer.from_file(str(a.model / "tokenizer.json"))
    ids = torch.tensor([id for e in tokenizer.encode_batch(documents(a.text), add_special_tokens=False) for id in e.ids])
    if len(ids) <= 2 * a.sequence_length:
        refuse(f"{a.text}: {len(ids)} tokens; two sequences of {a.sequence_length} are the least")
    rows = ids.unfold(0, a.sequence_length + 1, a.sequence_length)
    validation = max(1, len(rows) // 10)
    return rows[:-validation].to(a.device), rows[-validation:][: a.validation].to(a.device)


def student_of(teacher, layers):
    student = copy.deepcopy(teacher)
    student.model.layers = torch.nn.ModuleList(student.model.layers[i] for i in layers)
    student.config.num_hidden_layers = len(layers)
    for i, layer in enumerate(student.model.layers):
        layer.self_attn.layer_idx = i
    return student.requires_grad_(True)


def load(a):
    model = AutoModelForCausalLM.from_pretrained(a.model, dtype=torch.float32, attn_implementation="sdpa").to(a.device).eval()
    if max(a.layers) >= len(model.model.layers):
        refuse(f"{a.model} has {len(model.model.layers)} layers; --layers counts from 0")
    return model.requires_grad_(False)


def logits(model, ids, bf16=False):
    """[tokens, V] in f32: a head whose logits were rounded to bf16 would add noise of its own to every encoding."""
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=bf16):
        h = model.model(input_ids=ids, use_cache=False).last_hidden_state
    return model.get_output_embeddings()(h.flatten(0, 1).float())


@torch.no_grad()
def log_probabilities(model, ids):
    return F.log_softmax(logits(model, ids), -1)


# Training.


class Trainee:
    """A student, what it learns from, and its optimizer."""

    def __init__(self, a, model, encoding, seed):
        self.a, self.model, self.encoding = a, model, encoding
        self.generator = generator("draws", seed, encoding.name)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.95), weight_decay=0.0,
                                           fused=a.device.type == "cuda")

    def step(self, x, p, rate):
        z = logits(self.model, x[:, :-1], self.a.precision == "bf16")
        with torch.no_grad():
            label = encode(self.encoding, p, self.generator, x[:, 1:].flatten(), self.a.records)
            gradient = logits_gradient(label, F.log_softmax(z, -1)).div_(len(z))
        z.backward(gradient)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()


def learning_rate(a, step, steps):
    """Up over a twentieth of the steps, then a cosine down to a tenth."""
    warmup = max(1, steps // 20)
    return a.learning_rate * min((step + 1) / warmup, 0.55 + 0.45 * math.cos(math.pi * step / steps))


def batches(a, rows, steps, seed):
    """[steps, batch] numbers of rows: epochs, each in its own order."""
    epochs = -(-steps * a.batch // len(rows))
    order = torch.cat([torch.randperm(len(rows), generator=generator("order", seed, epoch)) for epoch in range(epochs)])
    return order[: steps * a.batch].view(steps, a.batch).to(a.device)


def train(a, teacher, trainees, rows, steps, seed, start):
    """All in step: the teacher runs once for all of them."""
    torch.set_float32_matmul_precision("highest" if a.precision == "f32" else "high")
    for step, numbers in enumerate(batches(a, rows, steps, seed)):
        x = rows[numbers]
        p = log_probabilities(teacher, x[:, :-1]).exp_()
        for trainee in trainees:
            trainee.step(x, p, learning_rate(a, step, steps))
        if (step + 1) % max(1, steps // 5) == 0:
            progress(start, f"seed {seed}: step {step + 1} of {steps}, {len(trainees)} students")


def warmed_student(a, teacher, rows, steps, start):
    student = student_of(teacher, a.layers)
    if steps:
        train(a, teacher, [Trainee(a, student, parse("full"), "warm")], rows, steps, "warm", start)
    return student


# What a student is worth.


class Tally:
    """KL to the teacher, loss of the text's next tokens, and the calibration error of one model over many positions.

    Calibration error: positions fall into 15 bins of equal width by the probability of the student's most probable token. In
    each bin: that probability's mean minus the share of positions at which this token is the text's next. The mean of the
    absolute values, weighted by the positions in the bins."""

    def __init__(self, device):
        self.sums = torch.zeros(3, dtype=torch.float64, device=device)  # positions, KL, loss
        self.bins = torch.zeros(2, BINS, dtype=torch.float64, device=device)  # probability, correct

    def add(self, log_q, log_p, following):
        kl = (log_p.exp() * (log_p - log_q)).sum(dtype=torch.float64)
        loss = -log_q.gather(1, following[:, None]).sum(dtype=torch.float64)
        self.sums += torch.stack([torch.full_like(kl, len(log_q)), kl, loss])
        top, id = log_q.max(-1)
        top = top.double().exp()
        bin = (torch.ceil(top * BINS) - 1).clamp(0, BINS - 1).long()
        self.bins[0].index_add_(0, bin, top)
        self.bins[1].index_add_(0, bin, (id == following).double())

    def figures(self):
        count, kl, loss = self.sums.tolist()
        return {"kl": kl / count, "nll": loss / count, "ece": (self.bins[0] - self.bins[1]).abs().sum().item() / count}


@torch.no_grad()
def evaluate(a, teacher, students, rows):
    """Figures of the teacher itself, then of each student; in f32, whatever they were trained in."""
    torch.set_float32_matmul_precision("highest")
    tallies = [Tally(rows.device) for _ in range(len(students) + 1)]
    for x in rows.split(a.batch):
        log_p, following = log_probabilities(teacher, x[:, :-1]), x[:, 1:].flatten()
        for tally, model in zip(tallies, [None, *students]):
            tally.add(log_probabilities(model, x[:, :-1]) if model else log_p, log_p, following)
    return [tally.figures() for tally in tallies]


def training(a, teacher, rows, validation, keep):
    """{start, teacher, runs: [{seed, encoding, kl, nll, ece}, ..]}; keep is called with it after every seed."""
    start = time.perf_counter()
    origin = warmed_student(a, teacher, rows, a.training_warm_steps, start)
    figures = dict(zip(("teacher", "start"), evaluate(a, teacher, [origin], validation)))
    result = {**figures, "validation_tokens": validation[:, 1:].numel(), "train_tokens": rows[:, 1:].numel(), "runs": []}
    for seed in a.seeds:
        trainees = [Trainee(a, copy.deepcopy(origin), parse(name), seed) for name in a.encodings]
        train(a, teacher, trainees, rows, a.steps, seed, start)
        seen = evaluate(a, teacher, [t.model for t in trainees], validation)[1:]
        result["runs"] += [{"seed": seed, "encoding": name, **f} for name, f in zip(a.encodings, seen)]
        result["seconds"] = time.perf_counter() - start
        progress(start, f"seed {seed}: " + ", ".join(f"{name} {f['kl']:.4f}" for name, f in zip(a.encodings, seen)))
        keep(result)
    return result


# Gradients.


def split_parameters(model):
    """The head, which may be tied to the embedding, and all the rest."""
    head = model.get_output_embeddings().weight
    return [head], [p for p in model.parameters() if p is not head]


def gradients_of(z, gradient, parts):
    """One flat vector for each part."""
    found = torch.autograd.grad(z, [p for part in parts for p in part], gradient, retain_graph=True)
    count = len(parts[0])
    return [torch.cat([g.flatten() for g in part]) for part in (found[:count], found[count:])]


def dot(a, b):
    """f64: f32 over 28 M elements makes 3.2 degrees of 1.7."""
    return (a.double() @ b.double()).item()


def compared(g, full):
    square, square_full = dot(g, g), dot(full, full)
    cosine = dot(g, full) / math.sqrt(square * square_full)
    return {"angle": math.degrees(math.acos(max(-1.0, min(1.0, cosine)))), "ratio": math.sqrt(square / square_full)}


class Batch:
    """Gradients of one encoding after another, summed over the sequences of a batch of one size. f32: it is a few additions."""

    def __init__(self, sequences):
        self.sequences, self.sums = sequences, {}

    def add(self, name, gradients):
        if name not in self.sums:
            self.sums[name] = [g.clone() for g in gradients]
        else:
            for total, g in zip(self.sums[name], gradients):
                total.add_(g)

    def close(self):
        """{encoding: {head: {angle, ratio}, blocks: ..}}"""
        full = self.sums["full"]
        figures = {name: {part: compared(g, f) for part, g, f in zip(PARTS, sums, full)} for name, sums in self.sums.items()}
        self.sums = {}
        return figures


class Row:
    """What is said of one encoding."""

    def __init__(self, encoding, sizes):
        self.encoding, self.generator = encoding, generator("draws", "gradients", encoding.name)
        self.positions, self.sums = 0, dict.fromkeys(("heads", "draws", "ids", "noise"), 0.0)
        self.batches = {str(size): [] for size in sizes}

    def label(self, p, following, records):
        label = encode(self.encoding, p, self.generator, following, records)
        self.positions += len(p)
        mean = {"heads": label.heads, "draws": label.draws, "ids": (label.target > 0).sum(-1)}
        for key, value in mean.items():
            self.sums[key] += value * len(p) if isinstance(value, int) else value.sum(dtype=torch.float64).item()
        squares = noise(label, p)
        self.sums["noise"] = None if squares is None else self.sums["noise"] + squares
        return label

    def figures(self):
        means = {key: None if value is None else value / self.positions for key, value in self.sums.items()}
        return {"encoding": self.encoding.name, **means, "batches": self.batches}


def sequence_gradients(a, teacher, student, parts, x, rows, sizes):
    """Adds one sequence to the batches of every size; its KL and the teacher's entropy, summed over its tokens."""
    log_p, following = log_probabilities(teacher, x[:, :-1]), x[:, 1:].flatten()
    p, z = log_p.exp(), logits(student, x[:, :-1])
    log_q = F.log_softmax(z.detach(), -1)
    for row in rows:
        gradient = logits_gradient(row.label(p, following, a.records), log_q)
        found = gradients_of(z, gradient, parts)
        for size in sizes:
            size.add(row.encoding.name, found)
    entropy = -(p * log_p).sum(dtype=torch.float64).item()
    return (p * (log_p - log_q)).sum(dtype=torch.float64).item(), entropy


def gradients(a, teacher, rows):
    """{kl, entropy, tokens, rows: [{encoding, heads, draws, ids, noise, batches: {size: [{head, blocks}, ..]}}, ..]}"""
    start = time.perf_counter()
    largest = max(a.tokens) // a.sequence_length
    count = min(a.batches, len(rows) // largest) * largest
    if not count:
        refuse(f"{a.text}: {len(rows)} sequences to train on are no batch of {max(a.tokens)} tokens; make --tokens smaller")
    # the student has not seen what its gradients are taken of, unless there is no other text
    seen = rows[:-count] if len(rows) - count >= a.batch else rows
    student = warmed_student(a, teacher, seen, a.warm_steps, start)
    torch.set_float32_matmul_precision("highest")
    parts, sizes = split_parameters(student), [Batch(tokens // a.sequence_length) for tokens in a.tokens]
    names = ["full", *(name for name in a.encodings if name not in ("full", "ce"))]
    table = [Row(parse(name), a.tokens) for name in names]
    kl = entropy = 0.0
    for number, x in enumerate(rows[-count:].split(1), 1):
        more = sequence_gradients(a, teacher, student, parts, x, table, sizes)
        kl, entropy = kl + more[0], entropy + more[1]
        for size, tokens in zip(sizes, a.tokens):
            closed = size.close() if number % size.sequences == 0 else {}
            for row in table if closed else []:
                row.batches[str(tokens)].append(closed[row.encoding.name])
        if number % max(1, count // 5) == 0:
            progress(start, f"gradients of {number} of {count} sequences")
    tokens = count * a.sequence_length
    return {"kl": kl / tokens, "entropy": entropy / tokens, "tokens": tokens, "seconds": time.perf_counter() - start,
            "rows": [row.figures() for row in table]}
