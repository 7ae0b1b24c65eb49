"""A real model as its own student: the distance to the teacher is 0. With dense labels and f32 values it is 0 but for rounding; with
sampled labels it is noise, because the reported KL is unbiased, whatever the labels leave out."""

import json

from interop import check, material, retort, run

JOB = """\
name: equal
mode: distill
output: {output}
ranks: {{student: {{replicas: auto}}}}
teacher: {{model: {model}, precision: f32}}
student: {{model: {model}, precision: f32, method: lora, lora: {{rank: 1, alpha: 1, targets: [q_proj]}}}}
data:
  train: [{{path: text.txt, format: text}}]
  validation: [{{path: text.txt, format: text}}]
  sequence_length: {length}
labels: {{source: local, encoding: {encoding}}}
train: {{steps: 1, batch_tokens: {length}, optimizer: {{learning_rate: 0.0}}, evaluate_every: 0, checkpoint_every: 0}}
"""
DENSE = "{kind: top_k, k: 49152, values: f32}"
SAMPLED = "{kind: sampled, threshold: 0.02, values: u8}"


def text(words):
    """Words in a changing order: nothing here repeats for long, so that entropies are of every size."""
    stock = """ship morning because 1848 river, the of quietly "yes" engine under and green for (each) letter; window king a walked
    def return x = salt together nothing island.\n above 3.5 price they if not whether teacher's Paris""".split(" ")
    return " ".join(stock[(i * i + 7 * (i // 11)) % len(stock)] for i in range(words))


def distance(work, name, encoding, length, words):
    """KL and tokens of the first validation."""
    folder = work / name
    folder.mkdir()
    (folder / "text.txt").write_text(text(words))
    job = folder / "job.yaml"
    job.write_text(JOB.format(output=folder / "run", model=material() / "smollm2.gguf", encoding=encoding, length=length))
    retort("run", job)
    first = json.loads((folder / "run" / "metrics.jsonl").read_text().splitlines()[0])
    return first["validation"]["kl"], first["validation"]["supervised_tokens"]


def main(work):
    kl, tokens = distance(work, "dense", DENSE, 128, 100)
    check(abs(kl), 1e-6, f"KL of a model to itself, dense labels, {tokens} tokens")
    kl, tokens = distance(work, "sampled", SAMPLED, 512, 7100)
    check(abs(kl), 0.01, f"KL of a model to itself, sampled labels, {tokens} tokens")


if __name__ == "__main__":
    run(main)
