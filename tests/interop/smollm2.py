"""A real model: SmolLM2-135M-Instruct as retort reads it from its GGUF, and as transformers computes it from the same values."""

from interop import compare_score, expect, load_model, material, oracle, retort, retort_json, run

import convert_gguf
import make_adapter
import torch
from comparison import LORA_ALPHA, LORA_RANK, TARGETS, Case, Models, compare, write_data

TEXT = """The teacher runs ahead of the student by a window; a teacher without permission waits, and nothing is unbounded.
def area(r):\n    return 3.14159 * r ** 2  # 2 * pi * r would be its border\n
在一个晴朗的早晨，两个学生在图书馆里读书。 "Wait," she said -- it's 7:45 already! 👍🏽 Naïve café, größer.\n""" * 4
PROMPTS = ["The capital of France is", "def fibonacci(n):\n", "Once upon a time, there was a little", "1 2 3 4 5 6"]
VOCABULARY = 49152
STUDENT_LAYERS = "0,14,29"


def compare_scores(gguf, model, work):
    text = work / "text.txt"
    text.write_text(TEXT)
    words = ["--model", gguf, "--data", text]
    for ranks in (0, 2, 4):
        compare_score(model, [*words, "--sequence-length", 300], f"score on {max(ranks, 1)} shards", ranks=ranks)


def compare_generation(gguf, model):
    """Greedy: the same ids; retort goes token by token through its cache."""
    for prompt in PROMPTS:
        ours = retort_json("generate", "--model", gguf, "--prompt", prompt, "--max-tokens", 20)
        start = torch.tensor([ours["prompt_ids"]])
        theirs = model.generate(start, attention_mask=torch.ones_like(start), max_new_tokens=20, do_sample=False)
        ids = theirs[0, start.shape[1]:].tolist()
        stop = model.generation_config.eos_token_id
        expect([i for i in ours["ids"] if i != stop] == [i for i in ids if i != stop], f"greedy answer to {prompt!r}")


def compare_export(gguf, model, work):
    """The GGUF as a directory in f32: every weight as the gguf package dequantises it, bit for bit."""
    out = work / "export"
    retort("export", "--model", gguf, "--format", "hf", "--out", out)
    ours = load_model(out).state_dict()
    expect(all(torch.equal(t, ours[n]) for n, t in model.state_dict().items()), "export: weights equal to the last bit")


def main(work):
    gguf, directory = material() / "smollm2.gguf", work / "hf"
    oracle(convert_gguf, gguf, directory)
    model = load_model(directory)
    compare_export(gguf, model, work)
    compare_scores(gguf, model, work)
    compare_generation(gguf, model)
    del model

    # training: an adapter of the whole model, and a student of some of its layers with its whole vocabulary
    write_data(work)
    student, adapter = work / "student", work / "adapter"
    oracle(make_adapter, directory, adapter, "--rank", LORA_RANK, "--alpha", LORA_ALPHA, "--targets", *TARGETS)
    retort("prune", "--model", gguf, "--layers", STUDENT_LAYERS, "--out", student)
    small = dict(sequences=1, sequence_length=64)
    compare(work, Models(gguf, gguf, directory, directory, adapter, VOCABULARY),
            Case("lora, T 2, local, TP 2", method="lora", temperature=2.0, ranks=2, student_shards=2, **small))
    compare(work, Models(gguf, student, directory, student, adapter, VOCABULARY),
            Case("full, streamed, 1 + 1", source="stream", ranks=2, steps=1, **small))


if __name__ == "__main__":
    run(main)
