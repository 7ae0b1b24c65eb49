"""What retort writes is what others load: adapters by peft, merged and trained models by transformers, with the same log-probabilities
in both programs, and tokenizers with the same ids.

Models are the small random ones of make_model, trained for some large steps, so that nothing is near its start."""

from interop import compare_files, compare_score, expect, load_model, oracle, retort, retort_json, run

import make_model
import torch
import transformers
from comparison import write_data
from safetensors.torch import load_file

JOB = """\
name: interop
mode: finetune
output: {output}
ranks: {{student: {{tensor_parallel: {shards}}}, threads: 1}}
student: {{model: {model}, precision: {precision}, {method}}}
data:
  train: [{{path: pairs.jsonl, format: completion}}, {{path: lines.jsonl, format: text}}]
  sequence_length: 80
train:
  steps: 5
  batch_tokens: 160
  optimizer: {{name: adamw, learning_rate: 2.0e-2}}
  schedule: {{name: constant}}
  evaluate_every: 0
  checkpoint_every: 0
"""
LORA = "method: lora, lora: {rank: 5, alpha: 9, rslora: %s, targets: [%s]}"
TEXT = "the student reads what its teacher says of every word and 12 or 345 numbers, naïve 漢字 too\n" * 2


def train(work, name, model, method, precision="f32", shards=1):
    job = work / f"{name}.yaml"
    job.write_text(JOB.format(output=work / name, shards=shards, model=model, precision=precision, method=method))
    retort("run", job, ranks=shards)
    return work / name


def check_adapter(work, model, name, rslora, targets, shards):
    """peft loads the adapter; transformers loads the model that export has merged it into."""
    adapter = train(work, name, model, LORA % (str(rslora).lower(), ", ".join(targets)), shards=shards) / "adapter"
    words = ["--model", model, "--adapter", adapter, "--data", work / "text.txt"]
    with_adapter = load_model(model, adapter)
    compare_score(with_adapter, words, f"{name}: adapter in peft")
    compare_score(with_adapter, words, f"{name}: adapter in peft, on 2 shards", ranks=2)
    ours, bare = retort_json("score", *words), retort_json("score", "--model", model, "--data", work / "text.txt")
    expect(abs(ours["nll"] - bare["nll"]) > 0.1, f"{name}: the adapter changes the model")

    merged = work / f"{name}-merged"
    retort("export", "--model", model, "--adapter", adapter, "--format", "hf", "--out", merged)
    loaded = load_model(merged)
    compare_score(loaded, words, f"{name}: merged model in transformers")
    compare_score(loaded, ["--model", merged, "--data", work / "text.txt"], f"{name}: merged model in both")
    compare_files(loaded.state_dict(), with_adapter.merge_and_unload().state_dict(), 1e-5, f"{name}: merged as peft merges")
    check_narrow(work, model, adapter, name, loaded)


def check_narrow(work, model, adapter, name, loaded):
    """Merged in f32, then rounded once to nearest even."""
    for dtype, kind in [("bf16", torch.bfloat16), ("f16", torch.float16)]:
        out = work / f"{name}-{dtype}"
        retort("export", "--model", model, "--adapter", adapter, "--format", "hf", "--dtype", dtype, "--out", out)
        narrow = transformers.AutoModelForCausalLM.from_pretrained(out)
        expect(narrow.dtype == kind, f"{name}: exported as {kind}")
        wide = loaded.state_dict()
        expect(all(torch.equal(t, wide[n].to(kind)) for n, t in narrow.state_dict().items()), f"{name}: rounded to {kind}")


def check_model(work, model, name, precision, shards):
    """transformers loads model/ of a full training, in the dtype of the job's precision."""
    trained = train(work, name, model, "method: full", precision, shards) / "model"
    kind = {"f32": torch.float32, "bf16": torch.bfloat16}[precision]
    stored = transformers.AutoModelForCausalLM.from_pretrained(trained)
    expect(stored.dtype == kind, f"{name}: stored as {kind}")
    before = load_file(model / "model.safetensors")
    expect(all(not torch.equal(t.float(), before[n].float()) for n, t in stored.named_parameters()), f"{name}: all weights moved")
    words = ["--model", trained, "--data", work / "text.txt"]
    loaded = load_model(trained)
    compare_score(loaded, words, f"{name}: trained model in transformers")
    compare_score(loaded, words, f"{name}: trained model on 2 shards", ranks=2)


def check_tokenizer(work, model):
    """The tokenizer that stands beside the trained model is the one that it was trained with."""
    ours = retort_json("tokenize", "--model", model, "--file", work / "text.txt")["ids"]
    theirs = transformers.AutoTokenizer.from_pretrained(model)(TEXT, add_special_tokens=False)["input_ids"]
    expect(ours == theirs, f"{model.parent.name}: {len(theirs)} ids of its tokenizer")


def main(work):
    oracle(make_model, work, "llama3", "llama_tied", "qwen2", "qwen3", "mistral")
    write_data(work)
    (work / "text.txt").write_text(TEXT)
    check_adapter(work, work / "llama3", "lora-llama3", False, ["q_proj", "v_proj"], 1)
    check_adapter(work, work / "qwen2", "lora-qwen2", True, ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"], 2)
    check_model(work, work / "mistral", "full-mistral", "f32", 2)
    check_model(work, work / "qwen3", "full-qwen3", "bf16", 1)
    check_model(work, work / "qwen2", "full-qwen2", "bf16", 2)
    check_model(work, work / "llama_tied", "full-llama_tied", "f32", 1)
    check_tokenizer(work, work / "full-qwen2" / "model")


if __name__ == "__main__":
    run(main)
