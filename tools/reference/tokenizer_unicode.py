"""Makes src/fmt/unicode_tables.h: where the Unicode of the `tokenizers` package is another than that of our libraries.

usage: tokenizer_unicode.py > src/fmt/unicode_tables.h     (with a Python whose unicodedata is Unicode 14, and `tokenizers`)

Its regular expressions know characters that PCRE2 before 10.43 (Unicode 14) does not; its normaliser on the other hand is
of Unicode 9, and takes every later character for one that neither moves nor composes."""
import sys
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers

ALL = [c for c in range(0x110000) if not 0xd800 <= c < 0xe000]
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cf".split()
NFC, NFD = normalizers.NFC(), normalizers.NFD()


def ranges(values):
    """[(character, mark)] in order -> [[first, last, mark]] of neighbours with equal marks."""
    out = []
    for c, mark in values:
        if out and out[-1][1] == c - 1 and out[-1][2] == mark:
            out[-1][1] = c
        else:
            out.append([c, c, mark])
    return out


def newer():
    text = "".join(map(chr, ALL))
    found = []
    for category in CATEGORIES:
        split = pre_tokenizers.Split(Regex(r"\p{%s}" % category), "removed", invert=True)
        found += [(ord(c), category) for piece, _ in split.pre_tokenize_str(text) for c in piece
                  if unicodedata.category(c) == "Cn"]
    return sorted(found)


def moves(c):
    """Whether their normaliser gives the character a combining class."""
    return NFC.normalize_str("q" + chr(c) + "\u0334") != "q" + chr(c) + "\u0334" or \
        NFC.normalize_str("q\u0300" + chr(c)) != "q\u0300" + chr(c)


def unknown():
    found = {c for c in ALL if unicodedata.combining(chr(c)) and not moves(c)}
    for c in ALL:
        parts = unicodedata.normalize("NFD", chr(c))
        if parts != chr(c) and NFD.normalize_str(chr(c)) == chr(c):
            found |= {c, *map(ord, parts)}
    return [(c, "") for c in sorted(found)]


def main():
    if unicodedata.unidata_version != "14.0.0":
        sys.exit("a Python with Unicode 14 is needed (3.11), not " + unicodedata.unidata_version)
    print("/* Made by tools/reference/tokenizer_unicode.py: where the Unicode of `tokenizers` is another than ours. */\n"
          "#ifndef RETORT_FMT_UNICODE_TABLES_H\n#define RETORT_FMT_UNICODE_TABLES_H\n\n#include \"fmt/unicode.h\"\n\n"
          "/* clang-format off */\n\n"
          "/* Characters that came after Unicode 14, with their general category. */\n"
          "static const struct unicode_range newer_characters[] = {")
    for first, last, category in ranges(newer()):
        print(f"    {{0x{first:x}, 0x{last:x}, \"{category}\"}},")
    print("};\n\n/* Characters of Unicode 10 to 14 that move or compose, but not in `tokenizers`. */\n"
          "static const struct unicode_range unknown_to_nfc[] = {")
    for first, last, _ in ranges(unknown()):
        print(f"    {{0x{first:x}, 0x{last:x}, \"\"}},")
    print("};\n\n/* clang-format on */\n\n#endif")


main()
