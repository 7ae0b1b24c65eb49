"""Golden file of AdamW: three steps of torch.optim.AdamW in f64 on 64 weights.

    python kern_adamw.py OUT/adamw.bin

u32 n, u32 steps, f64 lr, beta1, beta2, eps, decay; then n f32 of the first weights; for every step n f32 of gradient and n
f64 of the weights after it.
"""
import struct
import sys

import numpy as np
import torch

N, STEPS, LR, BETAS, EPS, DECAY = 64, 3, 1e-2, (0.9, 0.95), 1e-8, 0.1

rng = np.random.default_rng(2)
w0 = rng.standard_normal(N).astype(np.float32)
w = torch.nn.Parameter(torch.from_numpy(w0.astype(np.float64)))
optimizer = torch.optim.AdamW([w], lr=LR, betas=BETAS, eps=EPS, weight_decay=DECAY)
data = struct.pack("<II5d", N, STEPS, LR, *BETAS, EPS, DECAY) + w0.tobytes()
for step in range(STEPS):
    g = (rng.standard_normal(N) * 10.0 ** rng.integers(-6, 2, N)).astype(np.float32)
    w.grad = torch.from_numpy(g.astype(np.float64))
    optimizer.step()
    data += g.tobytes() + w.detach().numpy().tobytes()
open(sys.argv[1], "wb").write(data)
