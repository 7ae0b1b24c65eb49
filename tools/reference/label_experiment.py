"""How good a label encoding is: by the gradient that a student gets from it, and by what a student becomes that trains from it.

usage: label_experiment.py gradients training --model DIR --text FILE [options]
       label_experiment.py --from FILE.json [FILE.json ..]
       label_experiment.py --check

Inputs
  --model DIR   a Hugging Face directory with its tokenizer.json: the teacher. The student is the same with some of its layers
  --text FILE   plain text, or *.jsonl with {"text"}; cut into contiguous sequences, of which the last tenth is validation

Encodings (--encodings, separated by commas), at temperature 1
  full, sampled-TAU, random-N, top_k-K   those of retort
  renormalised-K                         the K most probable ids scaled to sum to 1, without a tail: what other systems keep
  ce                                     no teacher: the next token of the text

gradients
  The student first trains --warm-steps steps of full distillation: fresh from losing its layers it is like no student that
  trains. Then the gradient of the mean loss over a batch, with each encoding against full: angle in degrees and ratio of norms,
  for the head (tied: the embedding) and for the blocks (all other parameters) apart. Small batches are parts of large ones;
  figures are means over batches. Also a token's entries (head + draws) and distinct ids, and the noise E|p_hat - p|^2.

training
  For each seed (order of the data, draws) one student per encoding, all in step, from the same start: AdamW, a cosine, the loss
  of the encoding alone. On validation: exact KL to the teacher, loss of the next token, calibration error (ECE: 15 bins of the
  student's highest probability, against whether that token comes next), and the share of what full distillation gains over ce:
  (kl_ce - kl) / (kl_ce - kl_full).

Outputs
  A table a part on stdout; --markdown FILE the same; --json FILE all figures, written again after every seed. --from prints the
  tables of such files again, those of several runs with other seeds as one, and needs nothing but Python."""

import argparse
import json
import statistics
import sys
from pathlib import Path

PARTS = ("gradients", "training")
ENCODINGS = ("ce", "full", "top_k-12", "top_k-50", "top_k-300", "renormalised-12", "renormalised-50", "random-50",
             "sampled-0.06", "sampled-0.03", "sampled-0.02", "sampled-0.005")


def refuse(text):
    print(f"label_experiment: {text}", file=sys.stderr)
    sys.exit(2)


def numbers(text):
    return [int(n) for n in text.split(",")]


def parser():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("parts", nargs="*", metavar="PART", help=" or ".join(PARTS))
    p.add_argument("--model", type=Path)
    p.add_argument("--text", type=Path)
    p.add_argument("--layers", type=numbers, default=[0, 3, 6, 9, 12, 15, 18, 21, 24, 29], help="of the teacher, the student's")
    p.add_argument("--encodings", type=lambda text: text.split(","), default=list(ENCODINGS))
    p.add_argument("--records", action="store_true", help="round head values and tail mass as records with values: u8 do")
    p.add_argument("--sequence-length", type=int, default=1024)
    p.add_argument("--tokens", type=numbers, default=[1024, 4096, 16384], help="batch sizes whose gradients are compared")
    p.add_argument("--batches", type=int, default=2, help="of the largest size, where the text has so many")
    p.add_argument("--warm-steps", type=int, default=200, help="of full distillation before the gradients")
    p.add_argument("--training-warm-steps", type=int, default=0, help="of full distillation before the training")
    p.add_argument("--steps", type=int, default=300)
    p.add_argument("--batch", type=int, default=8, help="sequences a step")
    p.add_argument("--seeds", type=numbers, default=[1, 2, 3])
    p.add_argument("--validation", type=int, help="sequences; default: the last tenth of the text, which is also the most")
    p.add_argument("--learning-rate", type=float, default=5e-4)
    p.add_argument("--precision", choices=["f32", "tf32", "bf16"], help="of training; gradients and validation are always f32. "
                   "bf16: autocast, with teacher and head in tf32. Default: bf16 on cuda, f32 on the CPU")
    p.add_argument("--device", choices=["cuda", "cpu"], help="default: cuda where there is one")
    p.add_argument("--threads", type=int, help="of PyTorch on the CPU")
    p.add_argument("--bytes", type=Path, help="{encoding: bytes a token on disk}, for the tables")
    p.add_argument("--json", type=Path)
    p.add_argument("--markdown", type=Path)
    p.add_argument("--from", dest="source", type=Path, nargs="+", metavar="FILE", help="their tables; nothing is measured")
    p.add_argument("--check", action="store_true", help="assert the encoders' properties on random logits, and end")
    return p


def arguments():
    p = parser()
    a = p.parse_args()
    if not (a.source or a.check or (a.parts and a.model and a.text)) or not set(a.parts) <= set(PARTS):
        p.error(f"give {' or '.join(PARTS)} or both, with --model and --text; or --from; or --check")
    if any(tokens % a.sequence_length or tokens < 1 for tokens in a.tokens):
        p.error("--tokens: multiples of --sequence-length")
    a.encodings = list(dict.fromkeys(a.encodings))
    return a


# Tables.


COLUMNS_OF_GRADIENTS = ("encoding", "entries", "ids", "bytes", "noise")
COLUMNS_OF_TRAINING = ("encoding", "bytes", "KL to the teacher", "share of the gain", "ECE", "next-token loss")


def dash(value, form):
    return "-" if value is None else format(value, form)


def entries(row):
    return f"{row['heads']:.1f} + {row['draws']:.1f}" if row["heads"] and row["draws"] else f"{row['heads'] + row['draws']:.4g}"


def mean_of(row, size, figure):
    """head / blocks"""
    seen = row["batches"][size]
    form = ".1f" if figure == "angle" else ".3f"
    return " / ".join(format(statistics.mean(batch[part][figure] for batch in seen), form) for part in ("head", "blocks"))


def gradient_table(result, sizes_on_disk):
    sizes = list(result["rows"][0]["batches"])
    counts = [len(result["rows"][0]["batches"][size]) for size in sizes]
    columns = [f"angle, {size} tokens x {count}" for size, count in zip(sizes, counts)]
    lines = [(*COLUMNS_OF_GRADIENTS, *columns, f"norm, {sizes[-1]} tokens")]
    for row in result["rows"]:
        lines.append((row["encoding"], entries(row), f"{row['ids']:.4g}", dash(sizes_on_disk.get(row["encoding"]), ".0f"),
                      dash(row["noise"], ".5f"), *(mean_of(row, size, "angle") for size in sizes),
                      mean_of(row, sizes[-1], "ratio")))
    return lines


def shares(runs, encoding):
    """Of each seed in which full gained something over ce."""
    kl = {(run["seed"], run["encoding"]): run["kl"] for run in runs}
    for run in runs:
        ce, full = kl.get((run["seed"], "ce")), kl.get((run["seed"], "full"))
        if run["encoding"] == encoding and ce is not None and full is not None and ce > full:
            yield (ce - run["kl"]) / (ce - full)


def spread(values, form):
    """Mean, and the standard deviation over the seeds."""
    values = list(values)
    if len(values) < 2:
        return format(values[0], form) if values else "-"
    return f"{statistics.mean(values):{form}} ± {statistics.stdev(values):{form}}"


def training_table(result, sizes_on_disk):
    lines = [COLUMNS_OF_TRAINING]
    for name in dict.fromkeys(run["encoding"] for run in result["runs"]):
        runs = [run for run in result["runs"] if run["encoding"] == name]
        lines.append((name, dash(sizes_on_disk.get(name), ".0f"), spread((run["kl"] for run in runs), ".4f"),
                      spread(shares(result["runs"], name), ".3f"), spread((run["ece"] for run in runs), ".4f"),
                      spread((run["nll"] for run in runs), ".3f")))
    for name in ("start", "teacher"):
        seen = result[name]
        lines.append((f"({name})", "-", f"{seen['kl']:.4f}", "-", f"{seen['ece']:.4f}", f"{seen['nll']:.3f}"))
    return lines


def tables(store, sizes_on_disk):
    """(heading, what was done, lines) of each part."""
    if "gradients" in store:
        g = store["gradients"]
        s = g["settings"]
        yield ("Gradients against full distillation, head / blocks",
               f"{s['model']}, a student of its layers {s['layers']} after {s['warm_steps']} steps of full distillation; KL "
               f"{g['kl']:.3f}, entropy of the teacher {g['entropy']:.2f} nats, {g['tokens']} tokens of {s['text']}; angles in "
               f"degrees, norms over that of full; {s['device']}, {g['seconds']:.0f} s", gradient_table(g, sizes_on_disk))
    if store.get("training", {}).get("runs"):
        t = store["training"]
        s = t["settings"]
        count = len({run["seed"] for run in t["runs"]})
        yield ("Students trained from labels",
               f"{s['steps']} steps of {s['batch']} x {s['sequence_length']} tokens after {s['training_warm_steps']} of full "
               f"distillation, on {t['train_tokens']} tokens of {s['text']}, validation on {t['validation_tokens']}; learning "
               f"rate {s['learning_rate']:g}, {s['precision']}; seeds: {count} (mean ± standard deviation); {s['device']}, "
               f"{t['seconds']:.0f} s",
               training_table(t, sizes_on_disk))


def text_table(lines):
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def markdown_table(lines):
    return "\n".join("| " + " | ".join(line) + " |" for line in (lines[0], ["---"] * len(lines[0]), *lines[1:]))


def print_tables(a, store):
    parts = list(tables(store, json.loads(a.bytes.read_text(encoding="utf-8")) if a.bytes else {}))
    print("\n\n".join(f"{heading}\n{done}\n\n{text_table(lines)}" for heading, done, lines in parts))
    if a.markdown:
        text = "\n\n".join(f"## {heading}\n\n{done}\n\n{markdown_table(lines)}" for heading, done, lines in parts)
        a.markdown.write_text(text + "\n", encoding="utf-8")


def add_runs(training, other, path):
    differing = [key for key, value in training["settings"].items() if key != "seeds" and other["settings"].get(key) != value]
    if differing:
        refuse(f"{path}: other {', '.join(differing)} than in the file before; print it alone")
    training["runs"] += other["runs"]
    training["seconds"] = max(training["seconds"], other["seconds"])


def stored(paths):
    """Several files as one: gradients of the first that has them, training of all seeds."""
    first, *others = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    for path, other in zip(paths[1:], others):
        for part, result in other.items():
            if part == "training" and part in first:
                add_runs(first[part], result, path)
            first.setdefault(part, result)
    return first


def measure(a):
    import label_students  # and with it PyTorch, which tables need not have

    store, settings = {}, label_students.prepare(a)

    def keep(part, result):
        store[part] = {"settings": settings, **result}
        if a.json:
            a.json.write_text(json.dumps(store, indent=1) + "\n", encoding="utf-8")

    teacher = label_students.load(a)
    rows, validation = label_students.stretches(a)
    if "gradients" in a.parts:
        keep("gradients", label_students.gradients(a, teacher, rows))
    if "training" in a.parts:
        label_students.training(a, teacher, rows, validation, lambda result: keep("training", result))
    return store


def check(a):
    import label_encodings

    label_encodings.check(a.encodings)
    print(f"{len(a.encodings)} encodings are as they are defined")


def main():
    a = arguments()
    if a.check:
        check(a)
    else:
        print_tables(a, stored(a.source) if a.source else measure(a))


if __name__ == "__main__":
    main()
