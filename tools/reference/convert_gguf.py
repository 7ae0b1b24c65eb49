"""A GGUF of architecture llama as a Hugging Face directory in f32: what the oracles load where retort loads the GGUF.

usage: convert_gguf.py MODEL.gguf OUT

transformers keeps a GGUF quantised and does not save it, so the tensors are dequantised here by the gguf package. Two things
differ from a plain copy: the rows of q and k are stored for interleaved rotary pairs and are put back into halves, and the
tokenizer that transformers derives lacks the split into single digits that the pre-tokenizer "smollm" means."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFReader, dequantize
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

OUTSIDE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
INSIDE = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def read_config(reader):
    def get(key, default=None):
        field = reader.get_field(key)
        return default if field is None else field.contents()

    architecture = get("general.architecture")
    if architecture != "llama":
        sys.exit(f"architecture {architecture}: only llama is converted here")
    heads = get("llama.attention.head_count")
    hidden = get("llama.embedding_length")
    names = {tensor.name for tensor in reader.tensors}
    return LlamaConfig(
        vocab_size=len(get("tokenizer.ggml.tokens")),
        hidden_size=hidden,
        intermediate_size=get("llama.feed_forward_length"),
        num_hidden_layers=get("llama.block_count"),
        num_attention_heads=heads,
        num_key_value_heads=get("llama.attention.head_count_kv", heads),
        head_dim=get("llama.attention.key_length", hidden // heads),
        max_position_embeddings=get("llama.context_length"),
        rms_norm_eps=get("llama.attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": get("llama.rope.freq_base", 10000.0)},
        tie_word_embeddings="output.weight" not in names,
        bos_token_id=get("tokenizer.ggml.bos_token_id"),
        eos_token_id=get("tokenizer.ggml.eos_token_id"),
        pad_token_id=get("tokenizer.ggml.padding_token_id"),
    )


def hf_name(name):
    if name in OUTSIDE:
        return OUTSIDE[name]
    _, layer, kind, suffix = name.split(".")
    return f"model.layers.{layer}.{INSIDE[kind]}.{suffix}"


def halves(weight, heads):
    """Rows of each head from [pair, 2] to [2, pair]."""
    return weight.reshape(heads, -1, 2, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def read_weights(reader, config):
    weights = {}
    for tensor in reader.tensors:
        value = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if tensor.name.endswith("attn_q.weight"):
            value = halves(value, config.num_attention_heads)
        if tensor.name.endswith("attn_k.weight"):
            value = halves(value, config.num_key_value_heads)
        weights[hf_name(tensor.name)] = torch.from_numpy(np.ascontiguousarray(value))
    return weights


def write_tokenizer(path, out, pre):
    AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).save_pretrained(out)
    if pre != "smollm":
        return
    file = out / "tokenizer.json"
    tokenizer = json.loads(file.read_text(encoding="utf-8"))
    bytes_of_text = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits, bytes_of_text]}
    file.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    path, out = Path(sys.argv[1]), Path(sys.argv[2])
    reader = GGUFReader(path)
    config = read_config(reader)
    model = LlamaForCausalLM(config)
    missing, unexpected = model.load_state_dict(read_weights(reader, config), strict=False)
    allowed = {"lm_head.weight"} if config.tie_word_embeddings else set()
    if unexpected or set(missing) - allowed:
        sys.exit(f"missing {missing}, unexpected {unexpected}")
    model.tie_weights()
    model.save_pretrained(out)
    write_tokenizer(path, out, reader.get_field("tokenizer.ggml.pre").contents())


if __name__ == "__main__":
    main()
