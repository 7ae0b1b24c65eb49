"""A label store read without our code: the safetensors package opens every sealed file and the export, and refuses both where they
are cut; tools/read_store.py decodes the records of every encoding to what `retort inspect` and the export say."""

import math
import os
import sys
from pathlib import Path

from interop import check, execute, expect, retort, retort_json, run

import numpy as np
import safetensors
from safetensors.numpy import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import read_store

FORMATS = [(k, v) for k in ("sampled", "random", "top_k") for v in ("u8", "f16", "f32")] + [("hidden", "f16"), ("hidden", "f32")]
TRAIN, SEQUENCES = 40, 44  # of the corpus of store_maker; of its stores, 4 of them for validation
REST = ["kind", "labels", "values", "seq_id", "input_hash", "tokens", "label_count", "temperature"]


def ulps(ours, theirs):
    """How many f32 numbers lie between the two, at most."""
    a, b = (np.array(x, np.float32).view(np.int32).astype(np.int64) for x in (ours, theirs))
    return int(abs(a - b).max(initial=0)) if a.shape == b.shape else math.inf


def flat(record, name):
    values = [entry[name] for entry in record["entries"]]
    return [x for v in values for x in v] if name in ("ids", "p") else values


def compare_inspected(store, records, allowed, what):
    worst, same = 0, True
    for theirs in records:
        ours = retort_json("inspect", store, "--record", str(theirs["seq_id"]))
        same = same and all(ours[key] == theirs[key] for key in REST) and flat(ours, "ids") == flat(theirs, "ids")
        same = same and [len(e["p"]) for e in ours["entries"]] == [len(e["p"]) for e in theirs["entries"]]
        same = same and all(np.float32(a) == np.float32(b) for n in ("tail", "entropy") for a, b in zip(flat(ours, n), flat(theirs, n)))
        worst = max(worst, ulps(flat(ours, "p"), flat(theirs, "p")))
    expect(same, f"{what}: ids, tails, entropies and headers of {len(records)} records")
    check(worst, allowed, f"{what}: probabilities, in units of the last place")


def compare_exported(path, records, allowed, what):
    records = sorted(records, key=lambda r: r["seq_id"])
    x = load_file(path)
    expect(x["seq_id"].tolist() == [r["seq_id"] for r in records], f"{what}: sequences of the export")
    expect([f"{h:016x}" for h in x["input_hash"].tolist()] == [r["input_hash"] for r in records], f"{what}: its hashes")
    counts = [len(e["ids"]) for r in records for e in r["entries"]]
    expect(x["label_offset"].tolist() == np.cumsum([0] + [r["label_count"] for r in records]).tolist() and
           x["entry_offset"].tolist() == np.cumsum([0] + counts).tolist(), f"{what}: its offsets")
    for name, most in [("ids", 0), ("p", allowed), ("tail", 0), ("entropy", 0)]:
        theirs = [value for r in records for value in flat(r, name)]
        check(ulps(x[name], theirs), most, f"{what}: exported {name}, in units of the last place")


def compare_states(store, path, records, what):
    """Labels without entries: nothing is rounded on the way."""
    states = {r["seq_id"]: np.array([e["hidden"] for e in r["entries"]], np.float32) for r in records}
    ours = [retort_json("inspect", store, "--record", str(id)) for id in states]
    expect(all(np.array_equal(states[o["seq_id"]], np.array([e["hidden"] for e in o["entries"]], np.float32)) for o in ours),
           f"{what}: states of {len(ours)} records")
    exported = load_file(path)["hidden"]
    expect(np.array_equal(exported, np.concatenate([states[id] for id in sorted(states)])), f"{what}: exported states")


def opens(path):
    try:
        return load_file(path)
    except safetensors.SafetensorError:
        return None


def refuses_cuts(path, work, what):
    whole, cut = path.read_bytes(), work / "cut.safetensors"
    sizes = [0, 7, 8, 100, 65536, 65537, len(whole) // 2, len(whole) - 8, len(whole) - 1]
    opened = []
    for size in sizes:
        cut.write_bytes(whole[:size])
        if size < len(whole) and opens(cut) is not None:
            opened.append(size)
    expect(not opened, f"{what}: cuts are refused, but for {opened}" if opened else f"{what}: {len(sizes)} cuts are refused")


def main(work):
    for format, (kind, values) in enumerate(FORMATS):
        store, what = work / f"{kind}-{values}", f"{kind} {values}"
        for first, end in [(0, 20), (20, SEQUENCES)]:
            execute([os.environ["STORE_MAKER"], store, format, first, end, "sealed"], ".")
        sealed = sorted(store.glob("*.safetensors"))
        records = [r for path in sealed for r in read_store.read(path)]
        expect(len(records) == SEQUENCES and sum(r["seq_id"] >> 56 for r in records) == SEQUENCES - TRAIN, f"{what}: all records are there")
        # levels of u8 come out of pow(), which is not rounded the same way everywhere; all else is the same arithmetic
        allowed = 1 if values == "u8" else 0
        exported = work / f"{kind}-{values}.safetensors"
        retort("store", "export", store, "--out", exported)
        if kind == "hidden":
            compare_states(store, exported, records, what)
        else:
            compare_inspected(store, records, allowed, what)
            compare_exported(exported, records, allowed, what)
        for path in [*sealed, exported]:
            expect(opens(path) is not None, f"{what}: safetensors opens {path.name}")
        refuses_cuts(sealed[0], work, f"{what}: {sealed[0].name}")
        refuses_cuts(exported, work, f"{what}: the export")


if __name__ == "__main__":
    run(main)
