"""Makes tests/fmt/tokenizers: small tokenizer.json files, and beside each NAME.golden.json what the `tokenizers` library makes of
some texts with it: [{text: bytes in hex, ids, decoded, decoded_plain: without special tokens}].

    tokenizer_golden.py OUT"""

import json
import sys
from pathlib import Path

from tokenizer_oracle import CHINESE, COMBINED, EMOJI, NUMBERS, SPACES, WORDS, small_tokenizers

# one of each kind; tokenizer_oracle.py runs them all
NAMES = ["gpt2", "gpt2-prefix", "digits-single", "split-removed-False", "split-merged_with_previous-False",
         "split-merged_with_next-True", "split-contiguous-False", "nfc", "added", "llama", "llama-added", "unknown", "unknown-fused",
         "unknown-none", "metaspace-first-True", "metaspace-always-False", "ignore-merges", "deepseek"]
TEXTS = [b"", b" ", b"  two  spaces ", b"The quick brown fox; the end. word wordy\n\n  x = 12345\n", "naïve café — déjà vu".encode(),
         CHINESE[:30].encode(), " ".join(WORDS).encode(), "".join(SPACES).encode(), " ".join(EMOJI).encode(), "".join(COMBINED).encode(),
         " ".join(COMBINED).encode(), " ".join(NUMBERS).encode(), b"a\xffb\xe4\xb8c\xf0\x9f\x98 \xed\xa0\x80 \xc0\xaf",
         b"a  <l>  b <r>  c <lr> <lr>  d<l><r>", b"sword word words word, the the end the  ende\xcc\x81!", b"<s>hello</s> <unk><|endoftext|>",
         "e\u0301! \u00e9! \u212b \u00c5 one<l>".encode(), "\u2581The \u2581\u2581".encode(), b"x" * 300, b" " * 70 + b"\n" * 40]


def golden(t):
    out = []
    for text in TEXTS:
        ids = t.encode(text.decode(errors="replace"), add_special_tokens=False).ids
        out.append({"text": text.hex(), "ids": ids, "decoded": t.decode(ids, skip_special_tokens=False),
                    "decoded_plain": t.decode(ids, skip_special_tokens=True)})
    return out


def main():
    out = Path(sys.argv[1])
    out.mkdir(exist_ok=True)
    made = small_tokenizers(450)
    for name in NAMES:
        text = json.dumps(json.loads(made[name].to_str()), ensure_ascii=False, separators=(",", ":"))
        (out / f"{name}.json").write_text(text + "\n")
        lines = ",\n".join(json.dumps(g, separators=(",", ":")) for g in golden(made[name]))
        (out / f"{name}.golden.json").write_text(f"[{lines}]\n")


if __name__ == "__main__":
    main()
