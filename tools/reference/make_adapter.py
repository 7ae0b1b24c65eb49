"""A PEFT LoRA adapter for a model directory, with random values in both factors (peft's own start has B = 0, whose gradient of A
is 0 and would test nothing).

usage: make_adapter.py MODEL OUT [--rank 8] [--alpha 16] [--targets q_proj v_proj] [--rslora] [--seed 1]"""

import argparse

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("out")
    p.add_argument("--rank", type=int, default=8)
    p.add_argument("--alpha", type=float, default=16)
    p.add_argument("--targets", nargs="+", default=["q_proj", "v_proj"])
    p.add_argument("--rslora", action="store_true")
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()

    torch.manual_seed(a.seed)
    base = AutoModelForCausalLM.from_pretrained(a.model, dtype=torch.float32)
    config = LoraConfig(
        r=a.rank, lora_alpha=a.alpha, target_modules=a.targets, use_rslora=a.rslora, task_type="CAUSAL_LM"
    )
    model = get_peft_model(base, config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    model.save_pretrained(a.out)


if __name__ == "__main__":
    main()
