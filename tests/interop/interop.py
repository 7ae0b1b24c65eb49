"""What the comparisons of this room share: our programs as a user starts them, the oracles of tools/reference, and one list of
differences that decides the exit status.

A comparison is a program `NAME.py`; CMake gives it where our programs stand by RETORT_PROGRAM, DUMP_LOGITS, STORE_MAKER and RETORT_MPIRUN,
and tools/test the material by RETORT_MATERIAL. Each runs in a directory of its own, which is kept if something differs."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools" / "reference"))

import torch
import transformers

warnings.simplefilter("ignore", FutureWarning)  # of transformers, about itself
torch.set_num_threads(2)
transformers.utils.logging.disable_progress_bar()

failures = []


def check(difference, tolerance, what):
    """One line for each number; a NaN fails."""
    good = difference <= tolerance
    print(f"{'ok    ' if good else 'FAILED'} {what}: {difference:.3g}, allowed {tolerance:.3g}", flush=True)
    if not good:
        failures.append(what)


def expect(good, what):
    print(f"{'ok    ' if good else 'FAILED'} {what}", flush=True)
    if not good:
        failures.append(what)


def relative(ours, reference):
    """max |a - b| / max |b|, NaN if shapes differ."""
    a, b = torch.as_tensor(ours, dtype=torch.float64), torch.as_tensor(reference, dtype=torch.float64)
    return ((a - b).abs().max() / b.abs().max().clamp_min(1e-30)).item() if a.shape == b.shape else float("nan")


def compare_files(ours, reference, tolerance, what):
    """All tensors of two dictionaries, by the worst."""
    if set(ours) != set(reference):
        expect(False, f"{what}: names differ, {sorted(set(ours) ^ set(reference))[:4]}")
        return
    differences = {name: relative(ours[name], reference[name]) for name in reference}
    worst = max(differences, key=lambda n: float("inf") if differences[n] != differences[n] else differences[n])
    check(differences[worst], tolerance, f"{what}: {len(differences)} tensors, worst {worst}")


# --- programs


def execute(command, where):
    done = subprocess.run(list(map(str, command)), cwd=where, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{shlex.join(map(str, command))}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def launch(ranks):
    return [*os.environ["RETORT_MPIRUN"].split(";"), "-n", str(ranks)] if ranks else []


def retort(*words, ranks=0, where="."):
    return execute([*launch(ranks), os.environ["RETORT_PROGRAM"], *words], where)


def retort_json(*words, **options):
    return json.loads(retort(*words, "--json", **options))


def dump_logits(model, adapter, sequences, out, ranks=0):
    """seq_id -> logits of the rows that carry a label."""
    from safetensors.torch import load_file

    execute([*launch(ranks), os.environ["DUMP_LOGITS"], model, adapter or "-", sequences, out], ".")
    return load_file(out)


def oracle(module, *arguments):
    """Runs main of a script of tools/reference in this process, which has loaded torch already."""
    old = sys.argv
    sys.argv = [module.__file__, *map(str, arguments)]
    try:
        module.main()
    finally:
        sys.argv = old


# --- transformers


def load_model(path, adapter=None):
    """In f32, with every weight found in the files and every tensor of the files used."""
    model, loading = transformers.AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    expect(not loading["missing_keys"] and not loading["unexpected_keys"], f"{Path(path).name}: transformers finds its tensors")
    if adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
    return model.eval()


def log_probabilities(model, ids):
    """log p(ids[i] | ids[<i]) from i = 1."""
    x = torch.tensor([ids])
    with torch.no_grad():
        logp = model(input_ids=x, use_cache=False).logits[0, :-1].log_softmax(-1)
    return logp.gather(1, x[0, 1:, None])[:, 0]


def compare_score(model, words, what, **options):
    """`retort score WORDS --per-token` against a model of transformers: every token of every window."""
    scored = retort_json("score", *words, "--per-token", **options)
    ours, theirs = [], []
    for window in scored["sequences"]:
        ours += window["logprobs"][1:]
        theirs += log_probabilities(model, window["ids"]).tolist()
    check(relative(ours, theirs), 1e-4, f"{what}: {len(ours)} log-probabilities")
    return scored


# --- the frame


def material():
    folder = os.environ.get("RETORT_MATERIAL")
    if not folder:
        sys.exit("RETORT_MATERIAL must name the folder that tools/material has filled")
    return Path(folder)


def run(body):
    """Runs body(scratch directory) and ends the program."""
    work = Path(tempfile.mkdtemp(prefix=f"{Path(sys.argv[0]).stem}.", dir=os.getcwd()))
    body(work)
    if failures:
        print(f"{len(failures)} differences; see {work}")
        sys.exit(1)
    shutil.rmtree(work)
