"""Golden files of kern's conversions: random blocks of every GGUF type that retort expands, with the `gguf` package's own
values, and casts of f32 to bf16 and f16 by PyTorch.

    python kern_quant.py OUT

For each type OUT/<type>.bin holds u32 n (elements), the encoded bytes, n f32 values. Bytes are drawn freely, so scales
include zeros, denormals, both signs and infinity; NaN is left out, because its payload is nobody's definition.
OUT/casts.bin holds u32 n, n f32, n u16 of bf16, n u16 of f16.
"""
import struct
import sys
from pathlib import Path

import gguf
import numpy as np
import torch

F16_FIELDS = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q4_K": [0, 2], "Q6_K": [208]}


def blocks_of(name, count, rng):
    block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for offset in F16_FIELDS[name]:
        field = blocks[:, offset:offset + 2].copy().view(np.uint16)
        finite = (field & 0x7C00) != 0x7C00
        blocks[:, offset:offset + 2] = np.where(finite, field, field & 0x83FF).view(np.uint8)
    # ordinary weights, too: scales of about a hundredth
    for offset in F16_FIELDS[name]:
        small = (rng.standard_normal(count // 2) * 0.01).astype(np.float16)
        blocks[:count // 2, offset:offset + 2] = small.view(np.uint8).reshape(-1, 2)
    return blocks, block * count


def write_blocks(out, name, rng):
    blocks, n = blocks_of(name, 16384 // gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]][0] // 8 * 2, rng)
    with np.errstate(all="ignore"):
        values = gguf.dequantize(blocks.reshape(-1), gguf.GGMLQuantizationType[name]).astype(np.float32)
    (out / f"{name}.bin").write_bytes(struct.pack("<I", n) + blocks.tobytes() + values.tobytes())


def write_casts(out, rng):
    bits = rng.integers(0, 2**32, 2000, dtype=np.uint32)
    edges = [0x00000000, 0x80000000, 0x7F800000, 0xFF800000, 0x00000001, 0x007FFFFF, 0x00800000, 0x3F808000, 0x3F818000,
             0x3F808001, 0x7F7FFFFF, 0x477FE000, 0x477FEFFF, 0x477FF000, 0x477FFFFF, 0x38800000, 0x387FFFFF, 0x33000000,
             0x33000001, 0x32FFFFFF, 0x33800000, 0x33C00000, 0x3FC01000, 0x3FC03000]
    halves = (rng.integers(0, 2**16, 1000).astype(np.uint32) << 13) + rng.integers(0, 3, 1000).astype(np.uint32) * 0x800 + 0x38000000
    x = np.concatenate([bits, np.array(edges, np.uint32), halves.astype(np.uint32)]).view(np.float32)
    x = x[~np.isnan(x)]
    t = torch.from_numpy(x)
    (out / "casts.bin").write_bytes(struct.pack("<I", len(x)) + x.tobytes()
                                    + t.to(torch.bfloat16).view(torch.int16).numpy().tobytes()
                                    + t.to(torch.float16).view(torch.int16).numpy().tobytes())


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    for name in F16_FIELDS:
        write_blocks(out, name, rng)
    write_casts(out, rng)


main()
