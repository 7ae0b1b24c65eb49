"""Makes small random models with transformers' own classes, the same ones every time, for oracles of any room.

    make_model.py DIRECTORY [NAME...]           NAME: a row of MODELS or a type of GGUF_TYPES; without names all of them

    DIRECTORY/NAME, NAME-bf16       Hugging Face directories: model, weights in f32 or bf16, a byte-level tokenizer
    DIRECTORY/llama3-sharded        the f32 weights of llama3 in several files
    DIRECTORY/llama-q4_0.gguf       a GGUF of that type, its q and k rows permuted as converters do
    DIRECTORY/llama-q4_0            the directory with the same values, dequantised by the gguf package, in f32

All parameters are random, gains and biases included (a fresh model has ones and zeros there, which hide mistakes)."""

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

COMMON = dict(vocab_size=331, intermediate_size=112, num_hidden_layers=3, num_attention_heads=9, num_key_value_heads=3,
              max_position_embeddings=512, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2)
MODELS = {
    "llama3": LlamaConfig(**COMMON, hidden_size=72, head_dim=16, rope_parameters=dict(
        rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64,
        rope_theta=10000.0)),
    "llama_tied": LlamaConfig(**{**COMMON, "num_hidden_layers": 2}, hidden_size=72, tie_word_embeddings=True),
    "llama_linear": LlamaConfig(**{**COMMON, "num_hidden_layers": 2}, hidden_size=90, rope_parameters=dict(
        rope_type="linear", factor=2.5, rope_theta=10000.0)),
    "qwen2": Qwen2Config(**COMMON, hidden_size=90, tie_word_embeddings=True),
    "qwen3": Qwen3Config(**COMMON, hidden_size=80, head_dim=16, rope_parameters=dict(rope_type="default", rope_theta=1e6)),
    "mistral": MistralConfig(**COMMON, hidden_size=72, head_dim=16, sliding_window=400),
}

# Rows of quantised tensors are whole blocks: 32 elements, 256 for the K types.
BLOCKS_OF_32 = LlamaConfig(**{**COMMON, "intermediate_size": 128, "num_attention_heads": 6, "num_hidden_layers": 2,
                              "num_key_value_heads": 3}, hidden_size=96)
BLOCKS_OF_256 = LlamaConfig(**{**COMMON, "intermediate_size": 256, "num_attention_heads": 8, "num_hidden_layers": 1,
                               "num_key_value_heads": 2}, hidden_size=256)
GGUF_TYPES = {"f32": BLOCKS_OF_32, "f16": BLOCKS_OF_32, "bf16": BLOCKS_OF_32, "q8_0": BLOCKS_OF_32, "q4_0": BLOCKS_OF_32,
              "q4_1": BLOCKS_OF_32, "q4_k": BLOCKS_OF_256, "q6_k": BLOCKS_OF_256}

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = [("\u0120", "t"), ("h", "e"), ("i", "n"), ("\u0120t", "he"), ("e", "r"), ("\u0120", "a"), ("o", "n"), ("r", "e")]


def byte_alphabet():
    """GPT-2's: bytes that print stand for themselves, the others for U+0100 and up."""
    prints = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = iter(range(256, 512))
    return [chr(b) if b in prints else chr(next(hidden)) for b in range(256)]


TOKENS = SPECIALS + byte_alphabet() + [a + b for a, b in MERGES]


def write_tokenizer(directory):
    """SmolLM's kind: single digits, then GPT-2's pattern. Ids above the last token have no name."""
    byte_level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)
    added = [dict(id=i, content=t, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
             for i, t in enumerate(SPECIALS)]
    model = dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None, end_of_word_suffix=None,
                 fuse_unk=False, byte_fallback=False, ignore_merges=False, vocab={t: i for i, t in enumerate(TOKENS)},
                 merges=[list(m) for m in MERGES])
    pre = dict(type="Sequence", pretokenizers=[dict(type="Digits", individual_digits=True), byte_level])
    whole = dict(version="1.0", truncation=None, padding=None, added_tokens=added, normalizer=None, pre_tokenizer=pre,
                 post_processor=None, decoder=byte_level, model=model)
    settings = dict(tokenizer_class="PreTrainedTokenizerFast", bos_token=SPECIALS[1], eos_token=SPECIALS[2],
                    add_bos_token=False)
    (directory / "tokenizer.json").write_text(json.dumps(whole, ensure_ascii=False))
    (directory / "tokenizer_config.json").write_text(json.dumps(settings, ensure_ascii=False))


def random_model(config, seed):
    generator = torch.Generator().manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, p in model.named_parameters():
            x = torch.randn(p.shape, generator=generator)
            if name.endswith("norm.weight"):
                p.copy_(1 + 0.2 * x)
            else:
                p.copy_(x * (0.2 if p.dim() == 1 else p.shape[-1] ** -0.5))
    return model.eval()


def save(model, directory, **options):
    model.save_pretrained(directory, **options)
    write_tokenizer(directory)


def make_directories(out, name, seed):
    model = random_model(MODELS[name], seed)
    save(model, out / name)
    if name == "llama3":
        save(model, out / "llama3-sharded", max_shard_size="100KB")
    save(model.to(torch.bfloat16), out / f"{name}-bf16")


def permute(rows, heads):
    """[2, hd/2] halves of each head -> [hd/2, 2] pairs, as converters of llama write q and k."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(rows.shape)


def unpermute(rows, heads):
    return rows.reshape(heads, rows.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(rows.shape)


def gguf_name(name):
    for ours, theirs in [("model.layers.", "blk."), ("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"),
                         ("lm_head", "output"), ("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"),
                         ("self_attn.v_proj", "attn_v"), ("self_attn.o_proj", "attn_output"),
                         ("mlp.gate_proj", "ffn_gate"), ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down"),
                         ("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ffn_norm")]:
        name = name.replace(ours, theirs)
    return name


def random_k_blocks(shape, kind, rng):
    """The package dequantises K types but does not quantise them: random codes under scales of a sensible size."""
    data = rng.integers(0, 256, gguf.quant_shape_to_byte_shape(shape, kind), dtype=np.uint8)
    _, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    blocks = data.reshape(-1, block_bytes)

    def put(first, scale):
        blocks[:, first:first + 2] = np.float16(scale).reshape(1).view(np.uint8)

    if kind == gguf.GGMLQuantizationType.Q4_K:
        put(0, 2e-4)  # d, of 6-bit scales and 4-bit codes
        put(2, 1.5e-3)  # dmin
    else:
        put(block_bytes - 2, 3e-5)  # d, of 8-bit scales and 6-bit codes
    return data


def quantise(x, kind, rng):
    if kind in (gguf.GGMLQuantizationType.Q4_K, gguf.GGMLQuantizationType.Q6_K):
        return random_k_blocks(x.shape, kind, rng)
    return gguf.quantize(x, kind)


def write_metadata(writer, config):
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(TOKENS)
    writer.add_token_types([gguf.TokenType.CONTROL] * len(SPECIALS) + [gguf.TokenType.NORMAL] * (len(TOKENS) - len(SPECIALS)))
    writer.add_token_merges([f"{a} {b}" for a, b in MERGES])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)


def make_gguf(out, name, seed):
    config = GGUF_TYPES[name]
    model = random_model(config, seed)
    kind = gguf.GGMLQuantizationType[name.upper()]
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(out / f"llama-{name}.gguf", "llama")
    write_metadata(writer, config)
    state = model.state_dict()
    for key, tensor in state.items():
        x = tensor.numpy()
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(key.split(".")[-2])
        if x.ndim == 1:
            writer.add_tensor(gguf_name(key), x)
            continue
        data = quantise(np.ascontiguousarray(permute(x, heads) if heads else x), kind, rng)
        writer.add_tensor(gguf_name(key), data, raw_dtype=kind)
        values = gguf.dequantize(data, kind).reshape(x.shape)
        state[key] = torch.from_numpy(np.ascontiguousarray(unpermute(values, heads) if heads else values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model.load_state_dict(state)
    save(model, out / f"llama-{name}")


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    wanted = sys.argv[2:] or [*MODELS, *GGUF_TYPES]
    for seed, name in enumerate([*MODELS, *GGUF_TYPES]):
        if name in wanted:
            (make_directories if name in MODELS else make_gguf)(out, name, seed)


if __name__ == "__main__":
    main()
