"""llama.cpp's prefill of one GGUF file, timed: a fresh process for every measurement.

usage: llama_peer.py MODEL.gguf --threads N [--sequence-length N] [--sequences N] [--passes N]

The body alone, as llama.cpp makes logits of the last token of a batch only. The first pass warms up; each one after it prints
one JSON line {peer, what, file, threads, tokens, seconds, tokens_per_second}."""

import argparse
import json
import time
from pathlib import Path

from llama_cpp import Llama


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", type=Path)
    p.add_argument("--sequence-length", type=int, default=1024)
    p.add_argument("--sequences", type=int, default=2)
    p.add_argument("--threads", type=int, required=True)
    p.add_argument("--passes", type=int, default=3)
    return p.parse_args()


def main():
    a = arguments()
    length = a.sequence_length
    model = Llama(str(a.model), n_ctx=length, n_batch=length, n_ubatch=length, n_threads=a.threads, n_threads_batch=a.threads,
                  logits_all=False, verbose=False)
    ids = [[(s * length + i) * 7919 % model.n_vocab() for i in range(length)] for s in range(a.sequences)]

    def work():
        for sequence in ids:
            model.reset()
            model.eval(sequence)

    work()
    tokens = a.sequences * length
    for _ in range(a.passes):
        start = time.perf_counter()
        work()
        seconds = time.perf_counter() - start
        print(json.dumps({"peer": "llama.cpp", "what": "body", "file": a.model.name, "threads": a.threads, "tokens": tokens,
                          "seconds": seconds, "tokens_per_second": tokens / seconds}), flush=True)


if __name__ == "__main__":
    main()
