"""Compares src/fmt/tokenizer with the `tokenizers` library: ids and decoded text, byte by byte, on some 2 MB of mixed text, and
whether transformers loads what tokenizer_write makes.

    tokenizer_oracle.py TOKENIZER_PIPE [NAME...]     TOKENIZER_PIPE: the program tests/fmt/tokenizer_pipe.c

Tokenizers are the real ones in the folder that RETORT_MATERIAL names (smollm2.gguf, llama3_1, qwen3, llama2) and small ones that
are trained here, one for every setting that a tokenizer.json can have. NAMEs choose among them."""

import json
import os
import pydoc_data.topics
import random
import string
import struct
import subprocess
import sys
import tempfile
import argparse as code_one
import ast as code_two
import unicodedata
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

SPACES = [" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x1f", "\x85", "\xa0", "\u1680", "\u180e",
          "\u2003", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\u200b", "\ufeff", " " * 37, "\n" * 9, " \n" * 5, "\t" * 4]
EMOJI = ["😀", "👩‍👩‍👧‍👦", "👍🏽", "🇩🇪", "🇯🇵🇰🇷", "❤️", "☺", "1️⃣", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🫠", "✨", "👨🏿‍🚀"]
COMBINED = ["é", "e\u0301", "A\u030a", "\u212b", "\u1100\u1161\u11a8", "각", "q\u0307\u0323", "q\u0323\u0307", "\u0344", "\u0958",
            "\u0301", "ẛ\u0323", "ﬁ", "Ǆ", "i\u0307", "ß", "क्षि", "ำ", "\u0f73", "\u2126", "\U0002f800", "Việt", "Vie\u0323\u0302t"]
NUMBERS = ["0", "7", "12", "123", "1234", "1234567890", "3.14159", "1,000,000", "٣٤٥", "²³", "Ⅷ", "½", "१२३", "𝟘𝟙", "①", "0x1F", "1e-9"]
CHINESE = "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生自会那后能对着事其里所去行过家十用发天如然作方成者多日都三小军二无同么经法当起与好看学进种将还分此心前面又定见只主没公从知"
WORDS = ["don't", "DON'T", "we'LL", "I'm", "it's", "'s", "'S", "ſ'ſ", "K'K", "can’t", "naïve", "Straße", "Привет", "мир", "γειά", "שלום",
         "مرحبا", "สวัสดี", "こんにちは", "カタカナ", "안녕하세요", "camelCase", "snake_case", "x=1", "a->b", "//", "/*", "!!", "?!", "...", "___", "▁", "▁▁x",
         "<0x41>", "<unk>", "<s>", "</s>", "Ġ", "Ċ", "supercalifragilisticexpialidocious", "aaaaaaaaaaaaaaaaaaaaaaaa", "=" * 60]


def some_characters(r):
    """From everywhere in Unicode, assigned or not."""
    base = r.choice([0x20, 0xa0, 0x300, 0x400, 0x590, 0x900, 0x1100, 0x1e00, 0x2000, 0x2100, 0x3040, 0xa000, 0xf900, 0xfb00, 0x10000,
                     0x1d400, 0x1f000, 0x20000, 0xe0000, 0x10ff00])
    return "".join(c for c in map(chr, (base + r.randrange(256) for _ in range(r.randrange(1, 12)))) if not 0xd800 <= ord(c) < 0xe000)


def some_bytes(r):
    return bytes(r.choice([r.randrange(256), r.choice(b"\x80\xbf\xc0\xc2\xe0\xed\xf0\xf4\xf5\xff\xa0\x9f\x90\x8f")])
                 for _ in range(r.randrange(1, 9)))


def mixed_document(r, specials):
    parts = []
    kinds = r.sample(range(10), r.randrange(1, 6))
    for _ in range(r.randrange(1, 120)):
        kind = r.choice(kinds)
        part = (r.choice(WORDS) if kind == 0 else r.choice(SPACES) if kind == 1 else r.choice(EMOJI) if kind == 2
                else r.choice(COMBINED) if kind == 3 else r.choice(NUMBERS) if kind == 4
                else "".join(r.choice(CHINESE) for _ in range(r.randrange(1, 20))) if kind == 5
                else some_characters(r) if kind == 6 else some_bytes(r) if kind == 7
                else r.choice(specials) if kind == 8 and specials
                else "".join(r.choice(string.printable) for _ in range(r.randrange(1, 20))))
        parts.append(part if isinstance(part, bytes) else part.encode())
    return r.choice([b"", b" "]).join(parts)


def documents(specials, size):
    """About `size` bytes, the same ones every time for one version of Python: half of it prose and code."""
    r = random.Random(17)
    prose = "\n".join(pydoc_data.topics.topics.values()).encode()
    code = Path(code_one.__file__).read_bytes() + Path(code_two.__file__).read_bytes()
    out = [b"", b" ", b"a", b"  a", b"\n", prose[:size // 4], code[:size // 8], b"a" * 5000, b" " * 5000, b"\n" * 3000,
           ("".join(r.choice(CHINESE) for _ in range(20000))).encode(), b"0123456789" * 200, "é".encode() * 3000]
    out += [s.encode() for s in WORDS + EMOJI + COMBINED + NUMBERS + SPACES]
    out += [s.encode() for s in specials] + [f" {s} ".encode() for s in specials] + [f"x{s}y".encode() for s in specials]
    total = sum(map(len, out))
    while total < size:
        out.append(mixed_document(r, specials))
        total += len(out[-1])
    return out


class Pipe:
    """The program on a pipe; see tokenizer_pipe.c."""

    def __init__(self, program, model, requests):
        done = subprocess.run([program, str(model)], input=requests, capture_output=True)
        if done.returncode:
            raise SystemExit(f"{model}: {done.stderr.decode()}")
        self.answers, self.at = done.stdout, 0

    def take(self, size):
        n, = struct.unpack_from("<I", self.answers, self.at)
        got = self.answers[self.at + 4:self.at + 4 + n * size]
        self.at += 4 + n * size
        return got

    def ids(self):
        got = self.take(4)
        return list(struct.unpack(f"<{len(got) // 4}I", got))


def ask_encode(text):
    return b"E" + struct.pack("<I", len(text)) + text


def ask_decode(ids):
    return b"D" + struct.pack(f"<I{len(ids)}I", len(ids), *ids)


def show_difference(name, text, ours, theirs):
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    print(f"{name}: FAILED: {text[:120]!r}: from {at} on {ours[at:at + 8]!r}, not {theirs[at:at + 8]!r}")


def compare(program, name, model, oracle, size):
    """The number of documents that differ."""
    specials = [t.content for t in oracle.get_added_tokens_decoder().values()]
    texts = documents(specials[:40], size)
    r = random.Random(5)
    known = [i for i in range(oracle.get_vocab_size() + 3)]
    random_ids = [[r.choice(known) for _ in range(r.randrange(40))] for _ in range(400)] + [[i] for i in known[:700]]
    expected = [oracle.encode(t.decode(errors="replace"), add_special_tokens=False).ids for t in texts]
    lists = expected + random_ids
    answers = Pipe(program, model, b"".join(map(ask_encode, texts)) + b"".join(map(ask_decode, lists)))
    wrong = 0
    for text, theirs in zip(texts, expected):
        ours = answers.ids()
        if ours != theirs:
            wrong += 1
            if wrong < 6:
                show_difference(name, text, ours, theirs)
    for ids in lists:
        for skip in False, True:
            ours, theirs = answers.take(1).decode(), oracle.decode(ids, skip_special_tokens=skip)
            if ours != theirs:
                wrong += 1
                if wrong < 12:
                    show_difference(f"{name} decode {skip}", str(ids[:30]), ours, theirs)
    print(f"{name}: {len(texts)} texts, {sum(map(len, texts))} bytes, {sum(map(len, expected))} ids, {wrong} differences")
    return wrong


def compare_written(program, name, model, oracle, scratch):
    """What tokenizer_write makes loads as AutoTokenizer, with the same ids (of a directory: as before; transformers follows some
    tokenizer.json less closely than `tokenizers`)."""
    out = scratch / f"written-{name}"
    out.mkdir()
    done = subprocess.run([program, str(model), str(out)], capture_output=True)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr.decode()}")
    written = AutoTokenizer.from_pretrained(out)
    texts = documents([t.content for t in oracle.get_added_tokens_decoder().values()][:10], 250000)
    before = AutoTokenizer.from_pretrained(model) if model.is_dir() else None
    encode = lambda t: (before.encode(t, add_special_tokens=False) if before else oracle.encode(t, add_special_tokens=False).ids)
    wrong = sum(written.encode(t, add_special_tokens=False) != encode(t) for t in (t.decode(errors="replace") for t in texts))
    print(f"{name}: written anew, {wrong} differences; template: {bool(written.chat_template)}; "
          f"bos {written.bos_token!r}, eos {written.eos_token!r}")
    return wrong


def from_gguf(path):
    """SmolLM2 as its publisher's tokenizer.json has it, made from the GGUF's lists."""
    import gguf
    fields = gguf.GGUFReader(path).fields
    pieces = [p for p in fields["tokenizer.ggml.tokens"].contents()]
    types = fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"].contents()]
    t = Tokenizer(models.BPE({p: i for i, p in enumerate(pieces)}, merges))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([AddedToken(p, special=True, normalized=False) for p, k in zip(pieces, types) if k == 3])
    return t


def to_gguf(directory, path, pre):
    """The tokenizer of a directory as llama.cpp's converter writes it; pre: "llama" is SentencePiece, else a name for the split."""
    import gguf
    j = json.loads((directory / "tokenizer.json").read_text())
    added = {a["content"]: a["special"] for a in j["added_tokens"]}
    ids = {**j["model"]["vocab"], **{a["content"]: a["id"] for a in j["added_tokens"]}}
    names = {i: p for p, i in ids.items()}
    kind, types = gguf.TokenType, []
    for i in range(max(names) + 4):  # and some that fill the matrix up
        piece = names.setdefault(i, f"[PAD{i}]")
        types.append(kind.UNUSED if piece not in ids else kind.UNKNOWN if piece == j["model"].get("unk_token")
                     else kind.CONTROL if added.get(piece) else kind.USER_DEFINED if piece in added
                     else kind.BYTE if pre == "llama" and len(piece) == 6 and piece[:3] == "<0x" else kind.NORMAL)
    w = gguf.GGUFWriter(path, "llama")
    w.add_tokenizer_model("llama" if pre == "llama" else "gpt2")
    w.add_token_list([names[i] for i in range(len(names))])
    w.add_token_types(types)
    merges = [m if isinstance(m, str) else " ".join(m) for m in j["model"]["merges"]]
    if pre == "llama":  # transformers made the merges from the scores; this is the way back
        first = {}
        for rank, m in enumerate(merges):
            first.setdefault(m.replace(" ", ""), -float(rank))
        w.add_token_scores([first.get(names[i], -1e9) for i in range(len(names))])
    else:
        w.add_tokenizer_pre(pre)
        w.add_token_merges(merges)
    said = json.loads((directory / "tokenizer_config.json").read_text())
    for key, put in ("bos_token", w.add_bos_token_id), ("eos_token", w.add_eos_token_id):
        token = said.get(key)
        if token:
            put(ids[token["content"] if isinstance(token, dict) else token])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.close()


def train(model, size, special=("<s>", "</s>"), normalizer=None, pre=None, decoder=None, post=None, added=(), alphabet=None):
    """A small tokenizer trained on the prose, with every part as given."""
    t = Tokenizer(model)
    for part, value in (("normalizer", normalizer), ("pre_tokenizer", pre), ("decoder", decoder), ("post_processor", post)):
        if value is not None:
            setattr(t, part, value)
    unk = [model.unk_token] if model.unk_token else []
    byte_tokens = [f"<0x{i:02X}>" for i in range(256)] if model.byte_fallback else []
    trainer = trainers.BpeTrainer(vocab_size=size + len(byte_tokens), show_progress=False, special_tokens=unk + list(special) + byte_tokens,
                                  initial_alphabet=alphabet or [], limit_alphabet=300)
    prose = "\n".join(pydoc_data.topics.topics.values())[:60000]
    t.train_from_iterator(prose.split("\n\n") + ["naïve café 中文 一二三 des мир"] * 3, trainer)
    if byte_tokens:  # the trainer makes them special; models have them as ordinary pieces
        j = json.loads(t.to_str())
        j["added_tokens"] = [a for a in j["added_tokens"] if a["content"] not in byte_tokens]
        t = Tokenizer.from_str(json.dumps(j))
    for a in added:
        (t.add_special_tokens if a.special else t.add_tokens)([a])
    return t


def small_tokenizers(size=900):
    """name -> tokenizer: together they use every setting that is supported."""
    def trained(model, **parts):
        return train(model, size, **parts)

    byte, alphabet = pre_tokenizers.ByteLevel, pre_tokenizers.ByteLevel.alphabet()
    level = decoders.ByteLevel()
    split = lambda p, b="isolated", invert=False: pre_tokenizers.Split(p, b, invert)
    chain = lambda *p: pre_tokenizers.Sequence(list(p))
    bpe = lambda **k: models.BPE(**k)
    out = {}
    out["gpt2"] = trained(bpe(), pre=byte(add_prefix_space=False), decoder=level, alphabet=alphabet, special=["<|endoftext|>"])
    out["gpt2-prefix"] = trained(bpe(), pre=byte(add_prefix_space=True), decoder=level, alphabet=alphabet)
    out["bytes-whole"] = trained(bpe(), pre=byte(add_prefix_space=False, use_regex=False), decoder=level, alphabet=alphabet)
    out["digits"] = trained(bpe(), pre=chain(pre_tokenizers.Digits(False), byte(add_prefix_space=False)), decoder=level, alphabet=alphabet)
    out["digits-single"] = trained(bpe(), pre=chain(pre_tokenizers.Digits(True), byte(add_prefix_space=False)), decoder=level, alphabet=alphabet)
    for behavior in "isolated", "removed", "contiguous", "merged_with_previous", "merged_with_next":
        for invert in False, True:
            pattern = Regex(r"\p{L}+|\s+(?!\S)") if behavior != "contiguous" else " "
            out[f"split-{behavior}-{invert}"] = trained(
                bpe(), pre=chain(split(pattern, behavior, invert), byte(add_prefix_space=False, use_regex=False)), decoder=level,
                alphabet=alphabet)
    out["nfc"] = trained(bpe(), normalizer=normalizers.NFC(), pre=byte(add_prefix_space=False), decoder=level, alphabet=alphabet,
                         added=[AddedToken("e\u0301!", normalized=True), AddedToken("\u212b", normalized=False)])
    out["deepseek"] = trained(bpe(), pre=chain(split(Regex("[\r\n]")), split(Regex(r"\s?\p{L}+")), split(Regex(r"\s?\p{P}+")),
                                               split(Regex("[一-龥ࠀ-一가-퟿]+")), pre_tokenizers.Digits(True),
                                               byte(add_prefix_space=False, use_regex=False)), decoder=level, alphabet=alphabet)
    marks = [AddedToken("<l>", lstrip=True, special=True), AddedToken("<r>", rstrip=True, special=True),
             AddedToken("<lr>", lstrip=True, rstrip=True, normalized=False), AddedToken("word", single_word=True),
             AddedToken("the ", normalized=True), AddedToken("the end", normalized=False), AddedToken("one<l>", special=True)]
    out["added"] = trained(bpe(), pre=byte(add_prefix_space=True), decoder=level, alphabet=alphabet, added=marks)
    llama = dict(normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
                 decoder=decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]))
    out["llama"] = trained(bpe(unk_token="<unk>", fuse_unk=True, byte_fallback=True), **llama)
    out["llama-added"] = trained(bpe(unk_token="<unk>", fuse_unk=True, byte_fallback=True), added=marks, **llama)
    out["unknown"] = trained(bpe(unk_token="<unk>"), **llama)
    out["unknown-fused"] = trained(bpe(unk_token="<unk>", fuse_unk=True), **llama)
    out["unknown-none"] = trained(bpe(), **llama)
    for scheme in "first", "always", "never":
        for splits in True, False:
            out[f"metaspace-{scheme}-{splits}"] = trained(
                bpe(unk_token="<unk>", byte_fallback=True), pre=pre_tokenizers.Metaspace("▁", scheme, splits),
                decoder=decoders.Metaspace("▁", scheme, splits), added=marks)
    j = json.loads(out["gpt2"].to_str())
    j["model"]["ignore_merges"] = True
    del j["model"]["merges"][-60::2]  # pieces that no merge makes any more
    out["ignore-merges"] = Tokenizer.from_str(json.dumps(j))
    return out


def check_small(program, name, t, scratch):
    directory = scratch / name
    directory.mkdir()
    t.save(str(directory / "tokenizer.json"))
    return compare(program, name, directory, t, 120000)


def check_real(program, name, path, scratch):
    oracle = from_gguf(path) if path.suffix == ".gguf" else Tokenizer.from_file(str(path / "tokenizer.json"))
    wrong = compare(program, name, path, oracle, 2 << 20) + compare_written(program, name, path, oracle, scratch)
    pre = {"llama3_1": "llama-bpe", "qwen3": "qwen2", "llama2": "llama"}.get(name)
    if pre:
        made = scratch / f"{name}.gguf"
        to_gguf(path, made, pre)
        wrong += compare(program, made.name, made, oracle, 1 << 20) + compare_written(program, made.name, made, oracle, scratch)
    return wrong


def main():
    program, chosen = sys.argv[1], sys.argv[2:]
    material = Path(os.environ["RETORT_MATERIAL"]) if "RETORT_MATERIAL" in os.environ else None
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        for name, t in small_tokenizers().items():
            if not chosen or name in chosen:
                wrong += check_small(program, name, t, Path(scratch))
        for name in ["smollm2.gguf", "llama3_1", "qwen3", "llama2"] if material else []:
            if not chosen or name in chosen:
                wrong += check_real(program, name, material / name, Path(scratch))
    return wrong != 0


if __name__ == "__main__":
    sys.exit(main())
