#!/usr/bin/env python3
"""What Python makes of bytes that are not UTF-8 and of white space: the reference for src/data/text.c.

    data_text.py > tests/data/golden_text.txt

A line holds, in hexadecimal: bytes, their decoding with errors="replace" as UTF-8, and that text stripped.
"""
import random

random.seed(17)
PARTS = [b"a", b" ", b"\n", b"\x00", "ä".encode(), "€".encode(), "🙂".encode(), "\u3000".encode(), "\u00a0".encode(),
         "\u2028".encode(), "\u200b".encode(), "\ufeff".encode(), b"\x1c", "\x85".encode(), "\u1680".encode(),
         b"\x80", b"\xbf", b"\xc0\x80", b"\xc1", b"\xc2", b"\xe0", b"\xe0\x9f\xbf", b"\xe0\xa0", b"\xe2\x82",
         b"\xed\xa0\x80", b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xf0", b"\xf0\x8f\xbf\xbf", b"\xf0\x90\x80", b"\xf0\x9f\x99",
         b"\xf4\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5", b"\xff", b"\xfe"]


def line(data):
    text = data.decode(errors="replace")
    return " ".join(x.hex() or "-" for x in (data, text.encode(), text.strip().encode()))


for space in (chr(c) for c in range(0x110000) if chr(c).isspace()):
    for c in (chr(ord(space) - 1), space, chr(ord(space) + 1)):
        print(line(f"{c} x {c}".encode()))
for part in PARTS:
    print(line(part))
for _ in range(400):
    print(line(b"".join(random.choices(PARTS, k=random.randint(0, 8)))))
for _ in range(200):
    print(line(random.randbytes(random.randint(1, 12))))
