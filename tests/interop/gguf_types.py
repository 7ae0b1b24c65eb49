"""GGUF files of every tensor type: retort computes from them what transformers computes from their values, which the gguf package has
dequantised into a directory."""

from interop import compare_score, load_model, oracle, run

import make_model

TEXT = "the student reads what its teacher says of every word and 12 or 345 numbers, naïve 漢字 too\n" * 2


def main(work):
    oracle(make_model, work, *make_model.GGUF_TYPES)
    text = work / "text.txt"
    text.write_text(TEXT)
    for name in make_model.GGUF_TYPES:
        model = load_model(work / f"llama-{name}")
        words = ["--model", work / f"llama-{name}.gguf", "--data", text]
        compare_score(model, words, name)
        compare_score(model, words, f"{name} on 2 shards", ranks=2)


if __name__ == "__main__":
    run(main)
