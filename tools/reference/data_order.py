#!/usr/bin/env python3
"""The order of sequences (src/data/order.c) once more, from its definition: the reference for tests/data/test_order.c.

    data_order.py > tests/data/golden_order.inc

Philox4x32-10 (Salmon et al. 2011) keyed by the seed gives the epoch's key; six Feistel rounds, each half at least four
bits wide, permute the next power of four; walking the cycle stays below n.
"""
MASK = 2**32 - 1


def philox(key, lo, hi):
    k0, k1 = key & MASK, key >> 32
    c = [lo & MASK, lo >> 32, hi & MASK, hi >> 32]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & MASK, (p0 >> 32) ^ c[3] ^ k1, p0 & MASK]
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c


def permute(key, x, n):
    half = max(4, ((n - 1).bit_length() + 1) // 2)
    while True:
        left, right = x >> half, x & (2**half - 1)
        for r in range(6):
            left, right = right, (left ^ philox(key, right, r)[0]) & (2**half - 1)
        x = left << half | right
        if x < n:
            return x


def index(seed, g, n):
    words = philox(seed, g // n, int.from_bytes(b"epoch", "big"))
    return permute(words[0] << 32 | words[1], g % n, n)


def main():
    for seed, n, first in [(0, 10, 0), (17, 10, 7), (17, 1000, 123000), (2**64 - 1, 300, 5), (5, 2**40 + 3, 2**41)]:
        values = ", ".join(str(index(seed, first + i, n)) for i in range(8))
        print(f"{{{seed}u, {n}, {first}, {{{values}}}}},")


if __name__ == "__main__":
    main()
