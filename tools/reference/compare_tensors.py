"""Two safetensors files side by side, by the project's measures of difference.

usage: compare_tensors.py OURS REFERENCE [--tolerance 1e-4] [--before FILE]

Without --before: max|a - b| / max|b| of every tensor (gradients, logits). With --before, the weights at the start: the norm of the
difference of the moves over the norm of the reference's move, over all tensors at once (weights after some steps). Both files
must have the same names and shapes. Prints the worst; status 1 above the tolerance."""

import argparse
import sys

import torch
from safetensors.torch import load_file


def load_pair(a):
    ours, reference = load_file(a.ours), load_file(a.reference)
    if set(ours) != set(reference):
        sys.exit(f"names differ: {sorted(set(ours) ^ set(reference))[:8]}")
    for name in reference:
        if ours[name].shape != reference[name].shape:
            sys.exit(f"{name}: {list(ours[name].shape)}, expected {list(reference[name].shape)}")
    return ours, reference


def worst_tensor(ours, reference):
    differences = {}
    for name, b in reference.items():
        a, b = ours[name].double(), b.double()
        differences[name] = ((a - b).abs().max() / b.abs().max().clamp_min(1e-30)).item()
    # a NaN compares with nothing: it is the worst of all
    name = max(differences, key=lambda n: float("inf") if differences[n] != differences[n] else differences[n])
    return name, differences[name]


def difference_of_moves(ours, reference, before):
    wrong = moved = 0.0
    for name, b in reference.items():
        start = before[name].double()
        wrong += (ours[name].double() - b.double()).square().sum().item()
        moved += (b.double() - start).square().sum().item()
    return (wrong / moved) ** 0.5


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("ours")
    p.add_argument("reference")
    p.add_argument("--tolerance", type=float, default=1e-4)
    p.add_argument("--before")
    a = p.parse_args()
    ours, reference = load_pair(a)
    if a.before:
        name, difference = "move of all weights", difference_of_moves(ours, reference, load_file(a.before))
    else:
        name, difference = worst_tensor(ours, reference)
    print(f"{len(reference)} tensors, worst {name}: {difference:.3g}, allowed {a.tolerance:.3g}")
    sys.exit(not difference <= a.tolerance)


if __name__ == "__main__":
    main()
