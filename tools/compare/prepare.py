"""What the measurements read, made once in a folder: shapes, file formats of llama.cpp, text, jobs.

usage: prepare.py MODEL.gguf OUT --threads N --precision f32|bf16 [--wordnet DIR]

  OUT/shapes/8b, 1b, head .json    config.json of Llama 3.1 8B and Llama 3.2 1B with 2 layers and a vocabulary of 1000, and of a
                                   Qwen3 1.7B, whose vocabulary of 151,936 the head is measured at
  OUT/gguf/FORMAT.gguf             the model's tensors in F32, F16, BF16 and Q8_0
  OUT/text.jsonl                   WordNet's glosses, some hundreds a document: every token is supervised
  OUT/jobs/NAME.yaml               distillation of the model into a student made of some of its layers"""

import argparse
import json
import shutil
from pathlib import Path

import gguf
import numpy as np

COMMON = {"rms_norm_eps": 1e-5, "num_hidden_layers": 2, "hidden_act": "silu", "max_position_embeddings": 131072,
          "num_key_value_heads": 8, "torch_dtype": "float32"}
LLAMA = {**COMMON, "architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_attention_heads": 32, "vocab_size": 1000,
         "rope_theta": 500000.0, "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2}
SHAPES = {
    "8b": {**LLAMA, "hidden_size": 4096, "intermediate_size": 14336, "head_dim": 128},
    "1b": {**LLAMA, "hidden_size": 2048, "intermediate_size": 8192, "head_dim": 64},
    "head": {**COMMON, "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 2048,
             "intermediate_size": 6144, "num_attention_heads": 16, "head_dim": 128, "vocab_size": 151936, "rope_theta": 1000000.0,
             "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2},
}
FORMATS = {"F32": gguf.LlamaFileType.ALL_F32, "F16": gguf.LlamaFileType.MOSTLY_F16, "BF16": gguf.LlamaFileType.MOSTLY_BF16,
           "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}

JOB = """\
name: compare-{name}
mode: distill
seed: 17
output: {out}/runs/{name}
ranks: {{threads: {threads}}}
teacher: {{model: {model}, precision: {precision}}}
student: {{model: {student}, precision: {precision}, method: {method}}}
data:
  train: [{{path: {out}/text.jsonl, format: text}}]
  validation: []
  sequence_length: 1024
labels: {{source: {source}, encoding: {{kind: sampled, threshold: 0.02}}}}
distill: {{alpha: 0.7}}
train:
  steps: {steps}
  batch_tokens: 2048
  optimizer: {{name: adamw, learning_rate: 1.0e-4}}
  schedule: {{name: constant}}
  clip_norm: 0
  evaluate_every: 0
  checkpoint_every: 0
"""


def write_shapes(out):
    out.mkdir(parents=True, exist_ok=True)
    for name, config in SHAPES.items():
        (out / f"{name}.json").write_text(json.dumps(config, indent=1) + "\n")


def copy_metadata(reader, writer, file_type):
    """Every key but those that the writer makes itself."""
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in ("general.architecture", "general.file_type"):
            continue
        array = field.types[0] == gguf.GGUFValueType.ARRAY
        writer.add_key_value(field.name, field.contents(), field.types[0], field.types[-1] if array else None)
    writer.add_file_type(file_type)


def write_format(reader, name, path):
    """The matrices in one type; norms stay in f32, as every converter leaves them."""
    part = path.with_suffix(".part")
    writer = gguf.GGUFWriter(part, reader.get_field("general.architecture").contents())
    copy_metadata(reader, writer, FORMATS[name])
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        kind = gguf.GGMLQuantizationType[name] if values.ndim > 1 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(tensor.name, gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.rename(path)


def write_formats(model, out):
    out.mkdir(parents=True, exist_ok=True)
    reader = gguf.GGUFReader(model)
    for name in FORMATS:
        path = out / f"{name}.gguf"
        if not path.exists():
            write_format(reader, name, path)


def glosses(wordnet):
    for part in ("noun", "verb"):
        with open(wordnet / f"data.{part}", encoding="utf-8") as file:
            for line in file:
                if not line.startswith(" "):
                    yield line.split("| ", 1)[1].strip()


def write_text(wordnet, out, documents=20, glosses_each=500):
    gloss = glosses(wordnet)
    with open(out, "w", encoding="utf-8") as file:
        for _ in range(documents):
            text = ". ".join(next(gloss) for _ in range(glosses_each))
            file.write(json.dumps({"text": text}) + "\n")


def write_jobs(a, steps=6):
    """The student that is trained whole, where the teacher is ahead, and one small enough to be ahead of its teacher."""
    jobs = {"local": ("local", "student", "full", a.threads), "local-2": ("local", "student", "full", max(a.threads // 2, 1)),
            "stream": ("stream", "student", "full", max(a.threads // 2, 1)),
            "fast-student": ("stream", "small", "lora", max(a.threads // 2, 1))}
    out = a.out.resolve()
    (out / "jobs").mkdir(parents=True, exist_ok=True)
    shutil.rmtree(out / "runs", ignore_errors=True)
    for name, (source, student, method, threads) in jobs.items():
        (out / "jobs" / f"{name}.yaml").write_text(JOB.format(
            name=name, out=out, threads=threads, model=a.model.resolve(), precision=a.precision, student=out / student,
            method=method, source=source, steps=steps))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", type=Path)
    p.add_argument("out", type=Path)
    p.add_argument("--threads", type=int, required=True)
    p.add_argument("--precision", choices=["f32", "bf16"], required=True)
    p.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    a = p.parse_args()
    write_shapes(a.out / "shapes")
    write_formats(a.model, a.out / "gguf")
    write_text(a.wordnet, a.out / "text.jsonl")
    write_jobs(a)


if __name__ == "__main__":
    main()
