"""Makes the seeds of the tokenizer's fuzzers: small files in which every part of the format is there, so that a mutation hits
one. A .json each for byte-level and byte-fallback BPE, a .gguf each (by the gguf package), and patterns with a text.

    tokenizer_seeds.py OUT"""
import json
import sys
from pathlib import Path

import gguf

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
BOS = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
       "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [9], "tokens": ["<s>"]}}}
PATTERNS = [r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}+| ?[^\s\p{L}]+[\r\n]*|\s+(?!\S)", r"(?<=a)\w*?|(?>x{2,}y|\u4e2d)+|[\h\-一-龥]{,3}"]
TEXT = "it's  12345 naïve\r\n中文 xxy e\u0301 "


def added(i, content, **flags):
    return {"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True, **flags}


def byte_level():
    split = lambda p, b, i: {"type": "Split", "pattern": p, "behavior": b, "invert": i}
    return {"added_tokens": [added(9, "<s>"), added(10, "it", single_word=True, lstrip=True), added(11, "e\u0301", normalized=True, special=False, rstrip=True)],
            "normalizer": {"type": "NFC"},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                split({"Regex": PATTERNS[0]}, "Isolated", False), split({"String": "x"}, "MergedWithNext", True),
                split({"Regex": "\\s"}, "Removed", False), {"type": "Digits", "individual_digits": True}, BYTE_LEVEL]},
            "post_processor": {"type": "Sequence", "processors": [BYTE_LEVEL, BOS]}, "decoder": BYTE_LEVEL,
            "model": {"type": "BPE", "unk_token": "?", "fuse_unk": False, "ignore_merges": True,
                      "vocab": {"a": 0, "b": 1, "t": 2, "i": 3, "ab": 4, "?": 5, "Ġ": 6, "Ġa": 7, "abt": 8},
                      "merges": ["a b", "Ġ a", "ab t"]}}


def byte_fallback():
    replace = lambda a, b: {"type": "Replace", "pattern": {"String": a}, "content": b}
    return {"added_tokens": [added(0, "<unk>"), added(9, "<s>")],
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace(" ", "▁")]},
            "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}, "post_processor": BOS,
            "decoder": {"type": "Sequence", "decoders": [replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"},
                                                         {"type": "Strip", "content": " ", "start": 1, "stop": 0},
                                                         {"type": "Metaspace", "replacement": "_"}]},
            "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True,
                      "vocab": {"<unk>": 0, "<0x0A>": 1, "<0xC3>": 2, "▁": 3, "a": 4, "b": 5, "ab": 6, "▁a": 7, "<0xAF>": 8, "<s>": 9},
                      "merges": [["a", "b"], ["▁", "a"]]}}


def write_gguf(path, model, pre, tokens, types, rest):
    w = gguf.GGUFWriter(path, "llama")
    w.add_tokenizer_model(model)
    if pre:
        w.add_tokenizer_pre(pre)
    w.add_token_list(tokens)
    w.add_token_types(types)
    rest(w)
    w.add_bos_token_id(0)
    w.add_eos_token_id(1)
    w.add_add_bos_token(True)
    w.add_chat_template("{{ messages }}")
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.close()


def main():
    out = Path(sys.argv[1])
    for name, made in ("byte_level", byte_level()), ("byte_fallback", byte_fallback()):
        (out / f"seed_{name}.json").write_text(json.dumps(made, ensure_ascii=False))
    for i, pattern in enumerate(PATTERNS):
        (out / f"seed_pattern_{i}.txt").write_text(f"{pattern}\n{TEXT}")
    write_gguf(out / "seed_byte_level.gguf", "gpt2", "llama-bpe", ["<s>", "</s>", "<tool>", "a", "b", "ab", "Ġ", "[PAD]"], [3, 3, 4, 1, 1, 1, 1, 5],
               lambda w: w.add_token_merges(["a b"]))
    write_gguf(out / "seed_scores.gguf", "llama", None, ["<s>", "</s>", "<unk>", "<0x0A>", "▁", "a", "b", "ab", "▁ab"], [3, 3, 2, 6, 1, 1, 1, 1, 1],
               lambda w: w.add_token_scores([0, 0, 0, 0, -1, -2, -3, -4, -5]))


main()
