"""Compares src/fmt with the libraries that define the formats: what it reads of their files, and whether they load what it writes.

    fmt_check.py FMT_DUMP               FMT_DUMP: the program tests/fmt/fmt_dump.c

Models come from make_model.py; if RETORT_MATERIAL names a folder with smollm2.gguf, that one is read, too."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import torch
from peft import LoraConfig, PeftConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

import make_model

failures = 0


def check(good, what):
    global failures
    failures += not good
    if not good:
        print("FAILED:", what)


def dump(program, *arguments):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{arguments}: {done.stderr}")
    return done.stdout


def same_config(a, b):
    """Names of what decides the numbers of a model and differs; rope as transformers itself normalises it. Without head_dim,
    which Qwen2's class does not declare: shapes and logits show it."""
    keys = ["model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
            "num_key_value_heads", "rms_norm_eps", "rope_parameters", "sliding_window", "attention_bias",
            "mlp_bias", "tie_word_embeddings", "max_position_embeddings", "bos_token_id", "eos_token_id", "hidden_act",
            "layer_types"]
    return [k for k in keys if getattr(a, k, None) != getattr(b, k, None)]


def check_directory(program, path, scratch):
    """Written anew, transformers finds the same config and weights, bit for bit, and computes the same logits."""
    copy = scratch / f"copy-{path.name}"
    dump(program, "copy", path, copy)
    ours, loading = AutoModelForCausalLM.from_pretrained(copy, output_loading_info=True)
    theirs = AutoModelForCausalLM.from_pretrained(path)
    check(not loading["missing_keys"] and not loading["unexpected_keys"], f"{path.name}: keys {loading}")
    check(ours.dtype == theirs.dtype, f"{path.name}: {ours.dtype}, not {theirs.dtype}")
    check(not same_config(ours.config, theirs.config), f"{path.name}: config {same_config(ours.config, theirs.config)}")
    expected = theirs.state_dict()
    for name, tensor in ours.state_dict().items():
        check(torch.equal(tensor, expected[name]), f"{path.name}: tensor {name}")
    ids = torch.arange(200).reshape(1, -1) % 300  # longer than the 64 positions of llama3's scaling
    with torch.no_grad():
        check(torch.equal(ours(ids).logits, theirs(ids).logits), f"{path.name}: logits")


def check_gguf(program, path):
    """Names, types, shapes and bytes as the gguf package reads them."""
    ours = json.loads(dump(program, "list", path))["tensors"]
    reader = gguf.GGUFReader(path)
    check(len(ours) == len(reader.tensors), f"{path.name}: {len(ours)} tensors, not {len(reader.tensors)}")
    for t in reader.tensors:
        expected = dict(dtype=t.tensor_type.name, sum=int(t.data.view("uint8").sum(dtype="uint64")),
                        shape=[int(n) for n in reversed(t.shape)])
        check(ours.get(t.name) == expected, f"{path.name}: {t.name} is {ours.get(t.name)}, not {expected}")


def check_gguf_config(program, path, directory, scratch):
    """The config of a GGUF is that of the directory with the same values."""
    copy = scratch / f"config-{path.stem}"
    copy.mkdir()
    (copy / "config.json").write_text(json.dumps(json.loads(dump(program, "list", path))["config"]))
    differing = same_config(AutoConfig.from_pretrained(copy), AutoConfig.from_pretrained(directory))
    check(not differing, f"{path.name}: config differs in {differing}")


def check_adapter(program, base, scratch):
    """What peft saves is read, and peft loads what was written."""
    config = LoraConfig(r=12, lora_alpha=20, lora_dropout=0.05, use_rslora=True, target_modules=["q_proj", "down_proj"],
                        task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(scratch / "adapter")
    dump(program, "adapter", scratch / "adapter", scratch / "adapter-copy")
    ours = PeftConfig.from_pretrained(scratch / "adapter-copy")
    for key in ["peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "target_modules", "bias",
                "fan_in_fan_out", "modules_to_save"]:
        check(getattr(ours, key) == getattr(config, key), f"adapter: {key} is {getattr(ours, key)}")
    check(ours.base_model_name_or_path == 'a/base "model"', "adapter: the name of its base")


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        sys.argv[1:] = [str(scratch / "models")]
        make_model.main()
        directories = sorted(p for p in (scratch / "models").iterdir() if p.is_dir())
        files = sorted((scratch / "models").glob("*.gguf"))
        for path in directories:
            check_directory(program, path, scratch)
        for path in files:
            check_gguf(program, path)
            check_gguf_config(program, path, path.with_suffix(""), scratch)
        check_adapter(program, directories[0], scratch)
        material = Path(os.environ.get("RETORT_MATERIAL", "")) / "smollm2.gguf"
        if material.is_file():
            check_gguf(program, material)
            files.append(material)
    print(f"{len(directories)} directories, {len(files)} GGUF files, 1 adapter: {failures} failures")
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
