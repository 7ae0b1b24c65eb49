#!/usr/bin/env python3
"""Reads a sealed file of a label store without retort: prints its records, one JSON line each, as `retort inspect FILE --record ID
--json` does.

    tools/read_store.py FILE.safetensors [SEQ_ID]

Needs numpy, safetensors and zstandard (Python's own zstd begins with 3.14). Checks the crc32c of every record; the hash of the whole
file is for `retort store verify`. src/label/record.h describes the format."""

import json
import math
import struct
import sys

import numpy as np
import zstandard
from safetensors import safe_open

HEADER = struct.Struct("<4sHHQQIIQQQQBBBBfQQI")
KINDS, VALUES = ["sampled", "random", "top_k", "hidden"], ["u8", "f16", "f32"]
CRC = list(range(256))
for _ in range(8):
    CRC = [c >> 1 ^ (0x82F63B78 if c & 1 else 0) for c in CRC]


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def columns(body, shapes):
    """A column of w-byte numbers is w planes: every lowest byte, then every next one."""
    at = 0
    for dtype, width, count in shapes:
        planes = np.zeros((count, np.dtype(dtype).itemsize), np.uint8)
        planes[:, :width] = np.frombuffer(body, np.uint8, width * count, at).reshape(width, count).T
        at += width * count
        yield np.frombuffer(planes.tobytes(), dtype)
    assert at == len(body), "the body has another length than its columns"


def decode(record):
    magic, version, flags, seq_id, input_hash, tokens, labels, heads, tails, raw, packed, kind, values, id_bytes, _, temperature, parameter, \
        seed, crc = HEADER.unpack_from(record)
    assert (magic, version, flags, id_bytes) == (b"RTLR", 1, 0, 3) and len(record) == HEADER.size + packed, "no record of version 1"
    assert crc32c(record[:88] + bytes(4) + record[92:]) == crc, f"sequence {seq_id}: the checksum is wrong"
    kind, values = KINDS[kind], VALUES[values]
    head = {"labels": kind, "values": values, "seq_id": seq_id, "input_hash": f"{input_hash:016x}", "tokens": tokens,
            "label_count": labels, "temperature": temperature}
    body, value = zstandard.decompress(record[92:], raw), {"u8": ("u1", 1), "f16": ("<f2", 2), "f32": ("<f4", 4)}[values]
    if kind == "hidden":
        (states,) = columns(body, [(*value, heads)])
        return {**head, "entries": [{"hidden": state.tolist()} for state in states.astype(np.float32).reshape(labels, parameter)]}
    tau = struct.unpack("<d", struct.pack("<Q", parameter))[0]
    exact, has_head = values == "f32", kind != "random"
    exact_tail = exact and kind == "top_k"
    head_count, tail_mass, head_id, head_value, tail_id, entropy = columns(body, [
        ("<u4", 4 * has_head, labels * has_head), ("<f4" if exact_tail else "<u2", (4 if exact_tail else 2) * has_head, labels * has_head),
        ("<u4", 3, heads), (*value, heads),
        ("<u4", 3, tails), ("<f4", 4, labels) if exact else ("<f2", 2, labels)])
    lowest = tau if kind == "sampled" else 2.0**-20
    level = np.array([0.0] + [math.pow(lowest, (255 - c) / 254) for c in range(1, 256)])
    entries, h, t = [], 0, 0
    for i in range(labels):
        mass, n, draws = 1.0, 0, parameter
        if has_head:
            n, mass = int(head_count[i]), float(tail_mass[i])
            if not exact_tail:
                mass = 0.0 if tail_mass[i] == 65535 else (int(tail_mass[i]) + 1) / 65535
            draws = math.ceil(mass / tau) if kind == "sampled" else 0
        p = level[head_value[h:h + n]] if values == "u8" else head_value[h:h + n].astype(np.float64)
        if not exact_tail and n:
            p = p.astype(np.float32) / np.cumsum(p)[-1] * (1 - mass)  # scaled to what the tail leaves
        drawn, times = np.unique(np.cumsum(tail_id[t:t + draws], dtype=np.uint64), return_counts=True)
        ids = np.concatenate([np.cumsum(head_id[h:h + n], dtype=np.uint64), drawn])
        p = np.concatenate([p, times * (mass / max(draws, 1))]).astype(np.float32)
        entries.append({"ids": ids.tolist(), "p": p.tolist(), "tail": float(np.float32(mass)) if kind == "top_k" else 0.0,
                        "entropy": float(entropy[i])})
        h, t = h + n, t + draws
    return {**head, "entries": entries}


def read(path):
    """Every record of a sealed file, decoded."""
    with safe_open(path, "numpy") as file:
        records, index = file.get_tensor("records"), file.get_tensor("index").astype(np.int64)
    for seq_id, offset, size in index:
        yield {"kind": "record", "path": str(path), **decode(records[offset - 65536:offset - 65536 + size].tobytes())}


if __name__ == "__main__":
    for found in read(sys.argv[1]):
        if len(sys.argv) < 3 or found["seq_id"] == int(sys.argv[2]):
            print(json.dumps(found))
