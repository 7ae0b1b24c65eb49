"""Makes the small files of tests/fmt/files with the libraries that define the formats: safetensors, gguf, transformers, peft.

    fmt_files.py DIRECTORY

They are what the ordinary tests of src/fmt read (and what its fuzzers mutate), so those tests need no Python. Every *.tensors
file lists what the container beside it holds: name, type, shape, sum of the data's bytes modulo 2^32."""

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from peft import LoraConfig
from safetensors.torch import save_file
from transformers import LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

SIZES = dict(vocab_size=320, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=2048, bos_token_id=1, eos_token_id=2)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=8192, rope_theta=500000.0)


def write_list(path, tensors):
    """tensors: (name, type, shape slowest first, bytes)."""
    lines = [f"{name} {kind} {'x'.join(map(str, shape)) or 'scalar'} {sum(data) % 2**32}\n"
             for name, kind, shape, data in tensors]
    path.write_text("".join(lines))


def make_safetensors(out):
    generator = torch.Generator().manual_seed(1)
    tensors = {
        "a.weight": torch.randn(3, 5, generator=generator),
        "b.weight": torch.randn(2, 2, 2, generator=generator).to(torch.bfloat16),
        "c.half": torch.randn(7, generator=generator).to(torch.float16),
        "d.double": torch.randn(2, dtype=torch.float64, generator=generator),
        "e.bytes": torch.arange(9, dtype=torch.uint8),
        "f.ids": torch.arange(4, dtype=torch.int64) - 2,
        "g.empty": torch.zeros(0, 4),
        "h.scalar": torch.tensor(2.5),
        "i.flags": torch.tensor([True, False, True]),
    }
    save_file(tensors, out / "pass_types.safetensors", metadata={"format": "pt", "note": "quote \" and \u00e9"})
    kinds = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.float64: "F64", torch.uint8: "U8",
             torch.int64: "I64", torch.bool: "BOOL"}
    write_list(out / "pass_types.safetensors.tensors",
               [(n, kinds[t.dtype], t.shape, t.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if t.numel()
                 else b"") for n, t in tensors.items()])
    save_file({}, out / "pass_empty.safetensors")


def make_gguf_types(out):
    """Every kind of key and every type of tensor that retort reads. Q4_K and Q6_K blocks are random: any bytes are valid."""
    rng = np.random.default_rng(2)
    writer = gguf.GGUFWriter(out / "pass_types.gguf", "llama")
    writer.add_uint8("k.u8", 200)
    writer.add_int8("k.i8", -100)
    writer.add_uint16("k.u16", 60000)
    writer.add_int16("k.i16", -30000)
    writer.add_uint32("k.u32", 4000000000)
    writer.add_int32("k.i32", -2000000000)
    writer.add_float32("k.f32", 1e-5)
    writer.add_uint64("k.u64", 2**64 - 1)
    writer.add_int64("k.i64", -(2**63))
    writer.add_float64("k.f64", 0.1)
    writer.add_bool("k.bool", True)
    writer.add_string("k.string", "h\u00e9llo")
    writer.add_array("k.strings", ["", "a", "bc", "d\u00e9f"])
    writer.add_array("k.integers", [3, -4, 5])
    writer.add_array("k.floats", [0.5, -1.5])
    listed = []
    for kind in ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K"]:
        number = gguf.GGMLQuantizationType[kind]
        x = rng.standard_normal((2, 512)).astype(np.float32)
        if kind in ("Q4_K", "Q6_K"):
            data = rng.integers(0, 256, gguf.quant_shape_to_byte_shape((2, 512), number), dtype=np.uint8)
        else:
            data = gguf.quantize(x, number)
        name = f"blk.0.{kind.lower()}.weight"
        writer.add_tensor(name, data, raw_dtype=number)
        listed.append((name, kind, (2, 512), data.tobytes()))
    vector = rng.standard_normal(5).astype(np.float32)
    writer.add_tensor("norm.weight", vector)
    listed.append(("norm.weight", "F32", (5,), vector.tobytes()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    write_list(out / "pass_types.gguf.tensors", listed)


def llama3_divisors(head_dim):
    """As the converters of Llama 3.x write them: f32 powers, the rest in Python floats."""
    frequencies = 1.0 / (LLAMA3["rope_theta"] ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim))
    low = LLAMA3["original_max_position_embeddings"] / LLAMA3["low_freq_factor"]
    high = LLAMA3["original_max_position_embeddings"] / LLAMA3["high_freq_factor"]
    divisors = []
    for frequency in frequencies.tolist():
        wavelength = 2 * np.pi / frequency
        smooth = (LLAMA3["original_max_position_embeddings"] / wavelength - LLAMA3["low_freq_factor"]) / (
            LLAMA3["high_freq_factor"] - LLAMA3["low_freq_factor"])
        between = 1 / ((1 - smooth) / LLAMA3["factor"] + smooth)
        divisors.append(1 if wavelength < high else LLAMA3["factor"] if wavelength > low else between)
    return np.array(divisors, dtype=np.float32)


def make_gguf_model(path, architecture, divisors=None, biases=(), tied=False, window=None):
    """Keys and the few tensors that a config is read from; not a whole model."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(2048)
    writer.add_embedding_length(64)
    writer.add_block_count(2)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_key_length(32)
    writer.add_value_length(32)
    writer.add_rope_dimension_count(32)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(500000.0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    if window:
        writer.add_sliding_window(window)
    writer.add_tensor("token_embd.weight", np.zeros((20, 64), dtype=np.float16))
    if divisors is not None:
        writer.add_tensor("rope_freqs.weight", divisors)
    for name in biases:
        writer.add_tensor(f"blk.0.{name}.bias", np.zeros(128, dtype=np.float32))
    if not tied:
        writer.add_tensor("output.weight", np.zeros((20, 64), dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_configs(out):
    """transformers 5 as it saves; version 4's spelling of the same, moved by hand."""
    configs = {
        "llama": LlamaConfig(**SIZES, tie_word_embeddings=True, rope_parameters=LLAMA3),
        "mistral": MistralConfig(**SIZES, head_dim=32, sliding_window=1024),
        "qwen2": Qwen2Config(**SIZES, tie_word_embeddings=True),
        "qwen3": Qwen3Config(**SIZES, head_dim=32, rope_parameters=dict(rope_type="linear", factor=2.0, rope_theta=1e6)),
    }
    for name, config in configs.items():
        new = json.loads(config.to_json_string())
        new["architectures"] = [type(config).__name__.replace("Config", "ForCausalLM")]
        new["dtype"] = "bfloat16"
        (out / f"pass_{name}_v5.json").write_text(json.dumps(new, indent=2) + "\n")
        old = dict(new, torch_dtype=new.pop("dtype"))
        old.pop("dtype", None)
        rope = old.pop("rope_parameters")
        old["rope_theta"] = rope.pop("rope_theta")
        old["rope_scaling"] = None if rope["rope_type"] == "default" else rope
        (out / f"pass_{name}_v4.json").write_text(json.dumps(old, indent=2) + "\n")


def make_adapter(out):
    config = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.05, target_modules=["q_proj", "v_proj"], use_rslora=True,
                        task_type="CAUSAL_LM", base_model_name_or_path="models/base")
    plain = {k: sorted(v) if isinstance(v, set) else v for k, v in config.to_dict().items()}
    (out / "pass_adapter_config.json").write_text(json.dumps(plain, indent=2, default=str) + "\n")


def main():
    out = Path(sys.argv[1])
    make_safetensors(out)
    make_gguf_types(out)
    make_gguf_model(out / "pass_llama3.gguf", "llama", divisors=llama3_divisors(32))
    make_gguf_model(out / "pass_mistral.gguf", "llama", window=1024)
    make_gguf_model(out / "pass_qwen2.gguf", "qwen2", biases=["attn_q"], tied=True)
    make_gguf_model(out / "pass_biases.gguf", "llama", biases=["attn_q", "attn_output"])
    make_configs(out)
    make_adapter(out)


if __name__ == "__main__":
    main()
