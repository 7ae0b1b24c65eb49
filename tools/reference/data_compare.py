#!/usr/bin/env python3
"""Data files to packed sequences once more, with transformers and tokenizers: the reference for the whole of src/data.

    data_compare.py DATA_CAT [MATERIAL]     DATA_CAT: the program tests/data/data_cat.c

Real tokenizers are taken from MATERIAL or the folder that RETORT_MATERIAL names (smollm2.gguf, llama3_1, qwen3, llama2). Text,
completion and chat files made from a seed are read, tokenised, marked, permuted and packed here by the rules of SEMANTICS;
DATA_CAT must print the same sequences: ids, document starts, supervised. What is supervised in a chat is found by the
characters that each token covers.
"""
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

from tokenizers import Tokenizer, pre_tokenizers
from transformers import AutoTokenizer

import data_order
import data_templates

END_OF_TURN = {"smollm2": "<|im_end|>", "qwen3": "<|im_end|>", "llama3": "<|eot_id|>", "llama2": "</s>", "chatml": "<|im_end|>"}
WORDS = """the of and naïve Straße 你好 世界 λ 😀 123 4567 don't   x=1 \n \n\n \t a->b 'quoted' “quoted” end. Why? Привет e\u0301
supercalifragilistic {"json": [1, 2]} <tag> %d\\n I'll 3.14 \u00a0 \u3000""".split(" ")


def open_tokenizer(path):
    """transformers' tokenizer for its settings and template, the library's for the ids: transformers builds some anew
    ("▁" before a text only where it does not begin with a space), and the file is what counts."""
    if path.suffix != ".gguf":
        return AutoTokenizer.from_pretrained(path), Tokenizer.from_file(str(path / "tokenizer.json"))
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    # the conversion drops the split into single digits that tokenizer.ggml.pre asks for
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    return tokenizer, tokenizer.backend_tokenizer


def words(rng, most):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, most)))


class Oracle:
    """Documents as lists of (id, supervised), whether they stay whole, and the packing of many."""

    def __init__(self, path, adds_bos, template):
        self.tokenizer, self.encoder = open_tokenizer(path)
        self.adds_bos, self.template = adds_bos, template

    def encode(self, text):
        return self.encoder.encode(text, add_special_tokens=False)

    def bos(self):
        return [(self.tokenizer.bos_token_id, 0)] if self.adds_bos else []

    def eos(self):
        return [(self.tokenizer.eos_token_id, 1)]

    def text(self, line):
        return self.bos() + [(i, 1) for i in self.encode(line["text"]).ids] + self.eos()

    def completion(self, line):
        prompt, completion = (self.encode(line[key]).ids for key in ("prompt", "completion"))
        return self.bos() + [(i, 0) for i in prompt] + [(i, 1) for i in completion] + self.eos()

    def chat(self, line):
        source, bos, eos = data_templates.SOURCES[self.template]
        messages = line["messages"]
        pairs = [(m["role"], m["content"]) for m in messages]
        text = data_templates.render(self.tokenizer.chat_template or source, bos, eos, pairs, False)
        spans, at = [], 0
        for i, m in enumerate(messages):
            if m["role"] == "assistant":
                start = len(data_templates.render(source, bos, eos, pairs[:i], True))
                at = text.index(END_OF_TURN[self.template], start) + len(END_OF_TURN[self.template])
                spans.append((start, at))
        encoding = self.encode(text)
        document = [(i, int(any(a < end and b > start for start, end in spans)))
                    for i, (a, b) in zip(encoding.ids, encoding.offsets)]
        return document if document[0][0] == self.tokenizer.bos_token_id else self.bos() + document

    def pack(self, documents, whole, length, seed):
        words = data_order.philox(seed, 0, int.from_bytes(b"packing", "big"))
        key = words[0] << 32 | words[1]
        sequences, current = [], []

        def room():
            return length - sum(map(len, current))

        def flush():
            nonlocal current
            if current:
                sequences.append(current)
            current = []

        for j in range(len(documents)):
            d = documents[data_order.permute(key, j, len(documents))]
            d = [(i, s if n else 0) for n, (i, s) in enumerate(d[:length] if whole else d)]
            if not any(s for _, s in d):
                continue
            if whole and room() < len(d):
                flush()
            while len(d) > 1:
                if room() < 2:
                    flush()
                part = d[:room()]
                current.append([(i, s if n else 0) for n, (i, s) in enumerate(part)])
                d = d[len(part) - 1:]
        flush()
        return [self.lay_out(s) for s in sequences]

    @staticmethod
    def lay_out(documents):
        starts = [sum(len(d) for d in documents[:n]) for n in range(len(documents))]
        flat = [t for d in documents for t in d]
        return {"ids": [i for i, _ in flat], "documents": starts, "supervised": [s for _, s in flat]}


def make_lines(rng, kind, system):
    for _ in range(200):
        if kind == "text":
            yield {"text": words(rng, 80)}
        elif kind == "completion":
            yield {"prompt": words(rng, 12), "completion": words(rng, 20)}
        else:
            turns = [("system", words(rng, 5))] if system and rng.random() < 0.5 else []
            for _ in range(rng.randint(1, 3)):
                turns += [("user", words(rng, 10)), ("assistant", words(rng, 10))]
            yield {"messages": [{"role": r, "content": c} for r, c in turns]}


def compare(program, path, kind, oracle, template, expected_template, folder):
    rng = random.Random(f"{path.name} {kind}")
    lines = list(make_lines(rng, kind, True))
    data, corpus = folder / "data.jsonl", folder / "corpus"
    data.write_text("".join(json.dumps(line, ensure_ascii=rng.random() < 0.5) + "\n" for line in lines))
    length, seed = rng.choice([48, 100, 333]), rng.randint(0, 9)
    out = subprocess.run([program, path, kind, data, template, str(length), str(seed), corpus], capture_output=True, text=True)
    if out.returncode:
        sys.exit(f"{path.name} {kind}: {out.stderr}")
    first, *got = map(json.loads, out.stdout.splitlines())
    expected = oracle.pack([getattr(oracle, kind)(line) for line in lines], kind != "text", length, seed)
    same = got == expected and first["template"] == (expected_template if kind == "chat" else None)
    print(f"{path.name} {kind}: {len(got)} sequences of {length}, {'the same' if same else 'DIFFERENT'}")
    if not same:
        where = next((i for i, (g, e) in enumerate(zip(got, expected)) if g != e), None)
        print(f"  {len(expected)} expected, template {first}, first difference in sequence {where}")
        for key in ("ids", "documents", "supervised") if where is not None else ():
            print(f"  {key}\n    ours     {got[where][key]}\n    expected {expected[where][key]}")
    return not same


def main(program, material):
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, adds_bos, template, expected in [("smollm2.gguf", False, "auto", "smollm2"), ("qwen3", False, "auto", "qwen3"),
                                                   ("llama3_1", True, "auto", "llama3"), ("llama2", True, "llama2", "llama2")]:
            path = pathlib.Path(material) / name
            oracle = Oracle(path, adds_bos, expected)
            for kind in ("text", "completion", "chat"):
                wrong += compare(program, path, kind, oracle, template, expected, pathlib.Path(folder))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else os.environ["RETORT_MATERIAL"]))
