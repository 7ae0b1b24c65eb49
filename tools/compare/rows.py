"""The two tables of the comparison: runs, the processes that are measured, and rows, what is said about them.

A run is named GROUP/NAME; runs of one group take turns. A record is what one process left: {documents: the JSON that it
printed}, or {error}. A figure makes one number of the records that its runs left in one round. A row compares the best figure of
retort with the best figure of the peer."""

import os
import statistics
from dataclasses import dataclass
from typing import Callable

HERE = os.path.relpath(os.path.dirname(__file__))
PRECISIONS = ("f32", "bf16")
# Memory limits under which activations of most blocks are computed twice.
LEAN_MIB = {("lora", "f32"): 1000, ("lora", "bf16"): 800, ("full", "f32"): 2600, ("full", "bf16"): 2600}


@dataclass(frozen=True)
class Figure:
    label: str
    runs: tuple
    value: Callable  # of a record of each run
    share: Callable | None = None  # of a record of the first run: the part of its ceiling that it reaches


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    unit: str  # rate: tokens/s; bytes; quotient; share
    ours: tuple
    peers: tuple = ()
    peer: str = "PyTorch"
    goal: tuple | None = None  # (">=" or "<=", bound)
    judged: str = "ratio"  # what the goal is about: the ratio to the peer, or retort's own figure
    better: str = "higher"
    share_goal: float | None = None


# Figures of records. `retort bench` prints one document, a peer one for each pass.


def document(record):
    return record["documents"][-1]


def median_of(name):
    return lambda record: statistics.median(d[name] for d in record["documents"])


rate, seconds = median_of("tokens_per_second"), median_of("seconds")


def peak_memory(record):
    return document(record)["peak_memory_bytes"]


def body_seconds(record):
    return document(record)["phases"]["forward"]


def body_and_logits_seconds(record):
    return body_seconds(record) + document(record)["breakdown"]["head"]


def body_rate(record):
    return document(record)["sequences"] * document(record)["sequence_length"] / body_seconds(record)


def head_over_gemms(record):
    return document(record)["seconds"] / document(record)["breakdown"]["head"]


def quotient(over, under):
    return lambda a, b: over(a) / under(b)


def body_flops(c, length):
    """Of a token of one document of that length: 2 P + 2 L d s."""
    d, q, kv = c["hidden_size"], c["num_attention_heads"] * c["head_dim"], c["num_key_value_heads"] * c["head_dim"]
    return c["num_hidden_layers"] * (2 * (2 * d * q + 2 * d * kv + 3 * d * c["intermediate_size"]) + 2 * q * length)


def body_share(config):
    def share(record):
        d = document(record)
        return body_rate(record) * body_flops(config, d["sequence_length"]) / (1e9 * d["ceiling_gflops"])

    return share


def whole_share(record):
    return document(record)["share"]


class Runs:
    """Commands by the name of the run. Prefill of PyTorch is measured in every precision, all else in those that the CPU
    multiplies: a backward pass in an emulated one takes minutes."""

    def __init__(self, context):
        self.context = context
        self.commands = {}
        self.multiplied = context["precisions"]
        self.best = self.multiplied[0]
        out = context["out"]
        self.shapes = {name: f"{out}/shapes/{name}.json" for name in ("8b", "1b", "head")}
        self.teacher, self.jobs, self.tokens = f"{out}/teacher", f"{out}/jobs", f"{out}/tokens.json"

    def add(self, name, *command):
        self.commands[name] = [str(part) for part in command]
        return name

    def bench(self, name, what, *arguments, precision=None, threads=None, ranks=1):
        return self.add(name, *mpirun(ranks), self.context["retort"], "bench", what, *arguments, "--precision",
                        precision or self.best, "--threads", threads or self.context["threads"], "--repeat", 3, "--json")

    def job(self, name, job, ranks):
        return self.add(name, self.context["python"], f"{HERE}/retort_distil.py", f"{self.jobs}/{job}.yaml", "--", *mpirun(ranks),
                        self.context["retort"])

    def pytorch(self, name, what, *arguments, precisions=PRECISIONS):
        """{precision: run}; one pass tells how slow an emulated precision is."""
        passes = {p: 3 if p in self.multiplied else 1 for p in precisions}
        return {p: self.add(f"{name} {p}", self.context["python"], f"{HERE}/torch_peer.py", what, *arguments, "--precision", p,
                            "--threads", self.context["threads"], "--passes", passes[p]) for p in precisions}

    def llama(self, name, path):
        return self.add(name, self.context["python"], f"{HERE}/llama_peer.py", path, "--threads", self.context["threads"])


def mpirun(ranks):
    return ["mpirun", "-n", str(ranks), "--oversubscribe", "--bind-to", "none", "--quiet"] if ranks > 1 else []


def each(runs, value):
    return tuple(Figure(label, (run,), value) for label, run in runs.items())


def prefill_rows(runs):
    for shape, goal, share in (("8b", 1.04, 0.95), ("1b", 1.10, 0.92)):
        for p in runs.multiplied:
            group = f"prefill-{shape}-{p}"
            work = ("--config", runs.shapes[shape], "--sequence-length", 1024, "--sequences", 1)
            ours = runs.bench(f"{group}/retort", "teacher", *work, "--layers", 2, precision=p)
            # the fastest precision of retort meets the fastest of the peer, any other one its like
            peers = runs.pytorch(f"{group}/pytorch", "body", *work, precisions=PRECISIONS if p == runs.best else (p,))
            figure = Figure(p, (ours,), body_rate, body_share(runs.context["shapes"][shape]))
            yield Row(group, f"prefill body, 2 layers of {shape.upper()} shape, T = 1024", "rate", (figure,), each(peers, rate),
                      goal=(">=", goal), share_goal=share)


def smollm2_rows(runs):
    ours = runs.bench("smollm2/retort", "teacher", "--model", runs.context["model"], "--sequence-length", 1024, "--sequences", 2)
    body, logits = (runs.pytorch(f"smollm2/pytorch {what}", what, "--model", runs.teacher) for what in ("body", "logits"))
    files = {"Q4_1": runs.context["model"]} | {f: f"{runs.context['out']}/gguf/{f}.gguf" for f in ("Q8_0", "BF16", "F16", "F32")}
    llama = {f: runs.llama(f"smollm2/llama.cpp {f}", path) for f, path in files.items()}
    ours_body = (Figure(runs.best, (ours,), body_rate, body_share(runs.context["shapes"]["smollm2"])),)
    yield Row("smollm2-labels", "SmolLM2 prefill, 2 x 1024: sampled labels against logits", "rate",
              (Figure(runs.best, (ours,), rate, whole_share),), each(logits, rate), goal=(">=", 1.35))
    yield Row("smollm2-body", "SmolLM2 prefill body, 2 x 1024", "rate", ours_body, each(body, rate), goal=(">=", 1.25))
    yield Row("smollm2-llama.cpp", "SmolLM2 prefill body, 2 x 1024", "rate", ours_body, each(llama, rate), "llama.cpp",
              goal=(">=", 3.3))


def step_rows(runs):
    for method, goal in (("lora", 1.9), ("full", 1.4)):
        work = ("--model", runs.context["model"], "--method", method, "--sequence-length", 1024, "--sequences", 2)
        ours = runs.bench(f"{method}/retort", "student", *work)
        limit = LEAN_MIB[method, runs.best]
        lean = runs.bench(f"{method}/retort lean", "student", *work, "--memory-limit", limit)
        peers = runs.pytorch(f"{method}/pytorch", method, "--model", runs.teacher, precisions=runs.multiplied)
        kind = {"lora": "LoRA step (r 16, q and v)", "full": "full step"}[method]
        yield Row(f"{method}-step", f"SmolLM2 {kind}, 2 x 1024", "rate",
                  (Figure(runs.best, (ours,), rate, whole_share),), each(peers, rate), goal=(">=", goal))
        yield Row(f"{method}-step-lean", f"SmolLM2 {kind}, 2 x 1024, train.memory_limit {limit} MiB", "rate",
                  (Figure(runs.best, (lean,), rate, whole_share),), each(peers, rate))
        # a limit is there for whoever needs one: both figures of retort stand in the row, the smaller one counts
        yield Row(f"{method}-memory", f"peak memory of the {kind}", "bytes",
                  (Figure(runs.best, (ours,), peak_memory), Figure(f"{runs.best}, lean", (lean,), peak_memory)),
                  each(peers, peak_memory), goal=("<=", 0.35) if method == "lora" else None, better="lower")


def lora_over_forward_row(runs):
    work = ("--config", runs.shapes["8b"], "--sequence-length", 1024, "--sequences", 1)
    forward = runs.bench("lora-8b/retort forward", "teacher", *work, "--layers", 2)
    step = runs.bench("lora-8b/retort step", "student", *work, "--layers", 2, "--method", "lora")
    peer_forward, peer_step = (runs.pytorch(f"lora-8b/pytorch {what}", what, *work, precisions=(runs.best,))[runs.best]
                               for what in ("logits", "lora"))
    ours = Figure(runs.best, (step, forward), quotient(seconds, body_and_logits_seconds))
    peer = Figure(runs.best, (peer_step, peer_forward), quotient(seconds, seconds))
    yield Row("lora-over-forward", "LoRA step / forward, 2 layers of 8B shape, T = 1024", "quotient", (ours,), (peer,),
              goal=("<=", 2.1), judged="retort", better="lower")


def distillation_rows(runs):
    work = ("--model", runs.teacher, "--layers", runs.context["layers"], "--tokens", runs.tokens)
    peers = {kind: runs.pytorch(f"distil/pytorch {kind}", "distil", *work, "--loss", kind, precisions=runs.multiplied)
             for kind in ("eager", "compiled")}
    local = {f"local, {n} rank{'s' * (n > 1)}": runs.job(f"distil/retort local {n}", job, n)
             for n, job in ((1, "local"), (2, "local-2"))}
    stream = {"streamed, 2 ranks": runs.job("distil/retort stream", "stream", 2)}
    for way, title, ours in (("local", "local", local), ("stream", "streamed", stream)):
        for kind, goal in (("eager", 2.4), ("compiled", 1.6)):
            loss = {"eager": "eager", "compiled": "compiled loss"}[kind]
            yield Row(f"distil-{way}-{kind}", f"distillation of SmolLM2 into 10 of its layers, 2 x 1024, {title}", "rate",
                      each(ours, rate), each(peers[kind], rate), f"PyTorch, {loss}", goal=(">=", goal))
    yield Row("label-wait", "the student's wait for labels, teacher faster", "share",
              each(stream, median_of("label_wait_share")), goal=("<=", 0.02), judged="retort", better="lower")


def teacher_wait_row(runs):
    fast_student = runs.job("waits/retort fast student", "fast-student", 2)
    yield Row("teacher-wait", "the teacher's wait for its student, student faster", "share",
              (Figure("3 layers, LoRA", (fast_student,), median_of("teacher_wait_share")),), goal=("<=", 0.02), judged="retort",
              better="lower")


def head_row(runs):
    ours = runs.bench("head/retort", "head", "--config", runs.shapes["head"], "--sequence-length", 1024, "--sequences", 1)
    yield Row("head", "head + KL over its own GEMMs, V = 151,936, d = 2048, 1024 tokens", "quotient",
              (Figure(runs.best, (ours,), head_over_gemms, whole_share),), goal=("<=", 1.10), judged="retort", better="lower")


def tensor_parallel_row(runs):
    threads = max(runs.context["threads"] // 2, 1)
    work = ("--config", runs.shapes["8b"], "--layers", 2, "--sequence-length", 2048, "--sequences", 1)
    one = runs.bench("tensor-parallel/retort 1 rank", "teacher", *work, threads=2 * threads)
    two = runs.bench("tensor-parallel/retort 2 ranks", "teacher", *work, threads=threads, ranks=2)
    yield Row("tensor-parallel", "TP 2 against TP 1 at equal cores, 2 layers of 8B shape, M = 2048", "rate",
              (Figure(f"{runs.best}, 2 x {threads}", (two,), body_rate),),
              (Figure(f"{runs.best}, 1 x {2 * threads}", (one,), body_rate),), "retort, TP 1", goal=(">=", 0.93))


def long_sequence_row(runs):
    work = ("--config", runs.shapes["1b"], "--layers", 2, "--sequences", 1)
    short, long = (runs.bench(f"long-sequence/retort {T}", "teacher", *work, "--sequence-length", T) for T in (1024, 8192))
    config = runs.context["shapes"]["1b"]
    allowed = body_flops(config, 1024) / body_flops(config, 8192)
    yield Row("long-sequence", "T = 8192 against what its FLOPs allow after T = 1024, 2 layers of 1B shape", "rate",
              (Figure(f"{runs.best}, 8192", (long,), body_rate),),
              (Figure(f"{runs.best}, 1024 x {allowed:.2f}", (short,), lambda record: body_rate(record) * allowed),),
              "retort, T = 1024", goal=(">=", 0.90))


def tables(context):
    """(commands by the name of their run, rows)"""
    runs = Runs(context)
    parts = (prefill_rows, smollm2_rows, step_rows, lora_over_forward_row, distillation_rows, teacher_wait_row, head_row,
             tensor_parallel_row, long_sequence_row)
    return runs.commands, [row for part in parts for row in part(runs)]
