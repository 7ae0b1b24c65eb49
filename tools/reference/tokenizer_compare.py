"""Compares our tokenizer with the `tokenizers` package: ids and decoded text of some MB of mixed text.

usage: tokenizer_compare.py PROGRAM MODEL... [--megabytes N] [--seed N]

PROGRAM is `retort` or the test program tokenizer_cat. MODEL is a Hugging Face directory or a GGUF file; of a GGUF the oracle
is what transformers makes of it, with the split into single digits put back that it drops for `smollm`. The text is made
from the seed alone: prose, Chinese, code, emoji, combining marks, digits, long runs of white space, broken UTF-8, and the
model's own added tokens in the middle of it. Exit status 1 if anything differs, with the first difference."""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import unicodedata

import tokenizers

ENGLISH = """the of and a to in he have it that for they I with as not on she at by this we you do but from or which one would
all will there say who make when can more if no man out other so what time up go about than into could state only new year some
take come these know see use get like then first any work now may such give over think most even find day also after way many
must look before great back through long where much should well people down own just because good each those feel seem how high
too place little world very still nation hand old life tell write become here show house both between need mean call develop
under last right move thing general school never same another begin while number part turn real leave might want point form off
child few small since against ask late home interest large person end open public follow during present without again hold
govern around possible head consider word program problem however lead system set order eye plan run keep face fact group play
stand increase early course change help line don't can't we'll I'd they've you're it's that's O'Neil's rock'n'roll""".split()
CODE = """for(int i=0;i<n;i++){\n\tx[i] += y[i]*2.5e-3f;\n}\n|def f(self, *args, **kw):\n    return {k: v for k, v in kw.items()}\n|
#include <stdio.h>\n\nint main(void)\n{\n    printf("%d\\n", 0x1F);\n    return 0;\n}\n|<div class="a b">&nbsp;</div>\r\n|
SELECT * FROM t WHERE a <> 'b' AND c >= 10;\n|if (a && !b || ~c) { d ^= e << 3; } // done\n|{"k": [1, 2.0, null, true], "s": "\\u00e9"}|
$ git log --oneline -n 20 | grep -v '^[0-9a-f]\\{7\\}'\n|\\begin{equation}\\frac{a}{b}\\end{equation}|https://example.org/a/b?c=d&e=%20f#g|
λx.→∀∃∈∅ ≤ ≥ ≠ ± √ ∑∫|a_b-c.d/e\\f@g#h$i%j^k&l*m(n)o+p=q[r]s{t}u;v:w'x"y,z<A>B?C|\t\t\tif\tx:\n\t\t\t\tpass\n|x=y;;;;;;;;;;;;\n/*****/\n""".split("|")
MARKS = ["\u0301", "\u0300", "\u0308", "\u0327", "\u0323", "\u0338", "\u20d7", "\u3099", "\u0345", "\u093c", "\u05bc"]
ODD = ["\u00a0", "\u2009", "\u200b", "\u200d", "\u3000", "\u2028", "\u2029", "\x85", "\x1c", "\x0b", "\x0c", "\x00", "\x7f",
       "\u180e", "\ufeff", "\ufffd", "\u017f", "\u212a", "\u0130", "\u0131", "ß", "ﬁ", "Ⅷ", "½", "²", "٣", "೬", "𝟙", "①", "一",
       "\U000e0001", "\U0010ffff", "\ud7ff", "\ue000", "▁", "Ġ", "Ċ", "\u1e9b\u0323", "\u0958", "\uf900", "\u2126", "\u1100\u1161\u11a8"]
EMOJI = ["😀", "👍🏽", "👨‍👩‍👧‍👦", "🇩🇪", "❤️", "🤷🏻‍♀️", "1️⃣", "🏴\U000e0067\U000e0062\U000e007f", "✨", "🧑‍💻"]
BROKEN = [b"\xff", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80", b"\xe0\x80\xaf",
          b"\xf8\x88\x80\x80\x80", b"\xc3(", b"\xe2(\xa1", b"\xf0\x9f(", b"\xfe\xfe\xff\xff"]
SCRIPTS = [(0x4e00, 0x9fff), (0x3041, 0x30ff), (0xac00, 0xd7a3), (0x400, 0x4ff), (0x590, 0x5f4), (0x600, 0x6ff), (0x900, 0x97f),
           (0xe00, 0xe5b), (0x370, 0x3ff), (0xc0, 0x24f), (0x1e00, 0x1eff), (0x20000, 0x2a6df), (0x1f300, 0x1f6ff), (0x2000, 0x2fff)]


def script_word(r):
    low, high = r.choice(SCRIPTS)
    return "".join(chr(r.randint(low, high)) for _ in range(r.randint(1, 8)))


def any_character(r):
    while True:
        c = r.randint(0, 0x10ffff)
        if not 0xd800 <= c < 0xe000:
            return chr(c)


def chinese(r):
    return "".join(chr(r.randint(0x4e00, 0x9fa5)) for _ in range(r.randint(1, 20))) + r.choice("，。！？、；")


def spaces(r):
    return r.choice([" ", "\n", "\t", "\r\n", " \n", "\u3000", "\u00a0"]) * r.choice([1, 2, 3, 4, 7, 15, 16, 17, 31, 100, 1000])


def prose(r):
    words = [r.choice(ENGLISH) for _ in range(r.randint(4, 40))]
    words = [w.capitalize() if r.random() < .1 else w.upper() if r.random() < .03 else w for w in words]
    return " ".join(w + (r.choice(",.;:!?—…") if r.random() < .1 else "") for w in words)


def made_word(r):
    return "".join(r.choice("abcdefghijklmnopqrstuvwxyzäöüéèñç") for _ in range(r.choice([2, 5, 9, 14, 30, 60])))


def accents(r):
    return unicodedata.normalize(r.choice(["NFC", "NFD"]), "".join(
        r.choice("aeiouncAEOsky가ガ") + "".join(r.choice(MARKS) for _ in range(r.randint(0, 3))) for _ in range(r.randint(1, 9))))


def make_text(seed, size, added):
    r = random.Random(seed)
    kinds = [(30, prose), (8, chinese), (8, lambda r: r.choice(CODE)), (5, lambda r: r.choice(EMOJI) * r.randint(1, 3)),
             (6, spaces), (5, lambda r: "".join(r.choice("0123456789") for _ in range(r.randint(1, 13)))), (5, script_word),
             (5, accents), (5, lambda r: r.choice(ODD)), (2, any_character), (3, made_word),
             (3, lambda r: r.choice(BROKEN)), (2, lambda r: r.choice(ENGLISH) * r.choice([5, 300])),
             (4, lambda r: r.choice(["", " "]) + r.choice(added) + r.choice(["", " ", "\n"]) if added else "")]
    weights, makers = zip(*kinds)
    out, n = [], 0
    while n < size:
        piece = r.choices(makers, weights)[0](r)
        piece = piece if isinstance(piece, bytes) else piece.encode("utf-8", "surrogatepass")
        piece += r.choice([b"", b" ", b" ", b"\n"])
        out.append(piece)
        n += len(piece)
    return b"".join(out)


def oracle(model, work):
    if os.path.isdir(model):
        return tokenizers.Tokenizer.from_file(os.path.join(model, "tokenizer.json"))
    from gguf import GGUFReader
    from transformers import AutoTokenizer
    made = os.path.join(work, "oracle")
    AutoTokenizer.from_pretrained(os.path.dirname(model), gguf_file=os.path.basename(model)).save_pretrained(made)
    pre = GGUFReader(model).fields.get("tokenizer.ggml.pre")
    path = os.path.join(made, "tokenizer.json")
    if pre is not None and pre.contents() == "smollm":
        with open(path, encoding="utf-8") as f:
            j = json.load(f)
        j["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": True},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]}
        with open(path, "w", encoding="utf-8") as f:
            json.dump(j, f, ensure_ascii=False)
    return tokenizers.Tokenizer.from_file(path)


def run(command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def ours(program, model, path, work):
    if os.path.basename(program).startswith("tokenizer_cat"):
        ids, text = run([program, model, path]).split(b"\n", 1)
        return [int(x) for x in ids.split()], text.decode("utf-8")
    ids = json.loads(run([program, "tokenize", "--model", model, "--file", path, "--json"]))["ids"]
    return ids, None


def first_difference(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def compare(program, model, args):
    with tempfile.TemporaryDirectory() as work:
        t = oracle(model, work)
        added = [a.content for a in t.get_added_tokens_decoder().values()]
        data = make_text(args.seed, int(args.megabytes * 1e6), added)
        path = os.path.join(work, "text")
        with open(path, "wb") as f:
            f.write(data)
        text = data.decode("utf-8", "replace")
        begin = time.time()
        e = t.encode(text, add_special_tokens=False)
        seconds = time.time() - begin
        got, decoded = ours(program, model, path, work)
        want = e.ids
        if got != want:
            i = first_difference(got, want)
            at = e.offsets[min(i, len(want) - 1)][0]
            print(f"{model}: id {i} of {len(want)} differs, near {text[max(0, at - 30):at + 30]!r}")
            print("  ours:   ", [t.id_to_token(x) for x in got[max(0, i - 3):i + 6]])
            print("  theirs: ", [t.id_to_token(x) for x in want[max(0, i - 3):i + 6]])
            return False
        back = t.decode(want, skip_special_tokens=False)
        if decoded is not None and decoded != back:
            i = first_difference(decoded, back)
            print(f"{model}: decoded character {i} differs: {decoded[max(0, i - 20):i + 20]!r}, theirs {back[max(0, i - 20):i + 20]!r}")
            return False
        print(f"{model}: {len(data)} bytes, {len(want)} ids equal" + ("" if decoded is None else ", decoded text equal") +
              f" (theirs took {seconds:.2f} s)")
        return True


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("models", nargs="+")
    p.add_argument("--megabytes", type=float, default=2.5)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    sys.exit(0 if all([compare(args.program, m, args) for m in args.models]) else 1)


main()
