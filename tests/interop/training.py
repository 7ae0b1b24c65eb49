"""Small random models of one family in training against PyTorch: full and LoRA, at temperatures 1 and 2, on several layouts.

    training.py FAMILY                  a row of make_model.MODELS

The models have 9 query heads and 3 key/value heads, which no even number of shards divides."""

import sys

from interop import oracle, run

import make_adapter
import make_model
from comparison import LORA_ALPHA, LORA_RANK, TARGETS, Case, Models, compare, write_data

CASES = [
    Case("full, local"),
    Case("full, T 2, local, TP 2", temperature=2.0, alpha=1.0, ranks=2, student_shards=2, decay=0.1),
    Case("full, T 2, streamed, TP 2 + 2", temperature=2.0, alpha=0.6, source="stream", ranks=4, teacher_shards=2,
         student_shards=2, clip=0.5, decay=0.1),
    Case("lora, streamed, 1 + 2 replicas", method="lora", source="stream", ranks=3, decay=0.1),
    Case("lora, T 2, local, TP 2", method="lora", temperature=2.0, ranks=2, student_shards=2, clip=0.5),
]


def main(work):
    family = sys.argv[1]
    other = "llama_tied" if family != "llama_tied" else "qwen3"
    oracle(make_model, work, family, other)
    teacher, student, adapter = work / other, work / family, work / "adapter"
    oracle(make_adapter, student, adapter, "--rank", LORA_RANK, "--alpha", LORA_ALPHA, "--targets", *TARGETS)
    write_data(work)
    for case in CASES:
        compare(work, Models(teacher, student, teacher, student, adapter, 331), case)


if __name__ == "__main__":
    run(main)
