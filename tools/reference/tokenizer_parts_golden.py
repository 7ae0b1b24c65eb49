"""Makes tests/fmt/tokenizers/parts.golden.json: what the parts of the `tokenizers` package and Python make of small inputs.

usage: tokenizer_parts_golden.py > tests/fmt/tokenizers/parts.golden.json

  repair    [bytes in hex, repaired text, number of U+FFFD put in]: bytes.decode(errors="replace")
  nfc       [text, its composition]: normalizers.NFC
  patterns  [pattern, text, [[first, last byte + 1] of every match that is not empty]]: Oniguruma, through pre_tokenizers.Split"""
import json
import random

from tokenizers import Regex, normalizers, pre_tokenizers

CL100K = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEXT = "I'm LL'LL don'T  ſ'ſ it\u180es 12345 ٣٤ ½ a_b\t\n\r\n x\u00a0y\u0085z  \u3000 naïve e\u0301 中文、字 かなーな 𝟘😀 \x0b\x1c end\n"
PATTERNS = [
    CL100K, r"\s", r"\S+", r"[^\S]", r"\d+", r"\D+", r"\w+", r"\W+", r"\h+", r"\H", r"[\h\s]+", r"\v", r"a|e", r"a*", r"x?",
    r"\p{Han}+", r"[\p{Hiragana}]+", r"\p{^Han}", r"\P{L}+", r"\p{Lu}\p{Ll}*", r"[\p{L}\p{M}]+", r"\p{Hiragana}|\p{Greek}", r"(?i:DON)", r"(?i)naïve|LL",
    r"(?m:.+)", r".+", r"^.", r".$", r"\A.", r".\z", r"\S\Z", r"(?<=1)2", r"(?<!1)\d", r"(?>\d+)3", r"(\d)(\d)", r"\d{2}", r"\d{2,3}?",
    r"\d{,2}", r"\d{2}+", r"\d{1,2}+5", r"\d++", r"\d*+5", r"\s?+x", r"\u4e2d", r"\x{1F600}", r"\x41|\x78", r"\.|\-|\_|\'", r"{", r"a{b|_", r"[a-e\-]",
    r"[^a-z ]+", r"[一-龥]+", r"\p{N}|\p{P}|\p{S}", r"[0-9][0-9][0-9]", r"(?:a|b(?=_))+", r"\f|\e|\a|\t", r"é|ï", r"中+", r"(?i:[k-l]+)",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\s+",
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
]
MARKS = "\u0300\u0301\u0308\u0323\u0327\u0334\u0338\u0345\u093c\u0307\u1161\u11a8\u1100\uac00\u0344\u0958\u212b\u0f71\u0f73\u1e9b"
NEWER = "\u07fd\u0898\u08d3\u1715\U00011930\U00011935\U00011938\U0001193d\u1abf\U000113c5\U000105d2\u1c89"


def repairs(r):
    made = [b"", b"plain", b"\xff", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"a\xf0\x9f\x98b", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe0\x80\xaf"]
    lead = b"\x80\xbf\xc0\xc1\xc2\xdf\xe0\xe1\xed\xef\xf0\xf1\xf4\xf5\xff\xa0\x9f\x90\x8fab"
    made += [bytes(r.choice(lead) for _ in range(r.randint(1, 9))) for _ in range(300)]
    made += [b"abcdefgh" * n + b"\xe4\xb8" + b"x" * n for n in range(4)]
    for b in made:
        text = b.decode("utf-8", "replace")
        yield [b.hex(), text, text.count("\ufffd") - b.count("\ufffd".encode())]


def compositions(r):
    nfc = normalizers.NFC()
    made = ["", "abc", "e\u0301e", "\u0301", "中e\u0301中\u0301", "x" * 600 + "e\u0301\u0323" * 400]
    made += ["".join(r.choice("ae qAO中가" + 3 * MARKS + NEWER) for _ in range(r.randint(1, 9))) for _ in range(400)]
    for text in made:
        yield [text, nfc.normalize_str(text)]


def matches(pattern, text):
    split = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    at = lambda n: len(text[:n].encode())
    return [[at(a), at(b)] for _, (a, b) in split.pre_tokenize_str(text)]


def main():
    r = random.Random(3)
    lines = lambda items: "[\n" + ",\n".join(json.dumps(i, separators=(",", ":")) for i in items) + "]"
    patterns = [[p, TEXT, matches(p, TEXT)] for p in PATTERNS]
    print('{"repair": %s,\n"nfc": %s,\n"patterns": %s}' % (lines(repairs(r)), lines(compositions(r)), lines(patterns)))


main()
