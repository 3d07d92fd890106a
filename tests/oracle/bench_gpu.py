#!/usr/bin/env python3
"""Steps of the same size by transformers and PEFT on the GPU, for tools/bench/gpu_check.sh: bench_gpu.py RUN.json VARIANT [--tokens N] [--segment T] [--labels N]

VARIANT: eager (SDPA, nothing recomputed), checkpoint (gradient checkpointing), compile (torch.compile). Sizes come from the folders that RUN.json names.
The largest batch that fits is taken, from --tokens downwards by halves. Prints: VARIANT TOKENS_PER_SECOND TOKENS_A_PASS PEAK_BYTES. Exit 77 without PyTorch
for this device. --device cpu with small folders is for testing this script."""
import argparse
import gc
import json
import os
import statistics
import sys
import time

try:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import MistralConfig, MistralForCausalLM, SiglipVisionConfig, SiglipVisionModel
except ImportError as e:
    print(f"no PyTorch here: {e}", file=sys.stderr)
    sys.exit(77)

LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def folder_config(run, base, part):
    with open(os.path.join(base, run["model"][part]["path"], "config.json")) as f:
        config = json.load(f)
    return config.get("vision_config", config) if part == "vision" else config


class Step:
    """LLaVA's step: tower without its last block, two-layer projector, spliced embeddings, LoRA on all linears."""

    def __init__(self, args, run, base):
        llm, vision = folder_config(run, base, "llm"), folder_config(run, base, "vision")
        lora = run["model"]["lora"]
        self.args, self.device = args, torch.device(args.device)
        torch.manual_seed(0)
        torch.set_default_dtype(torch.bfloat16)
        with self.device:
            model = MistralForCausalLM(MistralConfig(**{**llm, "attn_implementation": "sdpa"}))
            self.tower = SiglipVisionModel(SiglipVisionConfig(**{**vision, "num_hidden_layers": vision["num_hidden_layers"] - 1})).eval()
            d = llm["hidden_size"]
            self.projector = torch.nn.Sequential(torch.nn.Linear(vision["hidden_size"], d), torch.nn.GELU(), torch.nn.Linear(d, d))
        torch.set_default_dtype(torch.float32)
        self.tower.requires_grad_(False)
        self.side, self.vocab = vision["image_size"], llm["vocab_size"]
        self.patches = (self.side // vision["patch_size"]) ** 2
        if args.variant == "checkpoint":
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            model.enable_input_require_grads()
        adapters = LoraConfig(r=lora["r"], lora_alpha=lora["alpha"], lora_dropout=lora.get("dropout", 0), target_modules=LINEARS)
        # Adapters in bf16: the fastest that PEFT does. In f32, its default, every adapter would cast the activations and multiply in f32.
        self.model = get_peft_model(model, adapters, autocast_adapter_dtype=False).train()
        self.embed = self.model.get_input_embeddings()
        self.trained = [p for p in [*self.model.parameters(), *self.projector.parameters()] if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=1e-4, fused=self.device.type == "cuda")
        self.run_model = torch.compile(self.model) if args.variant == "compile" else self.model

    def batch(self, n):
        length = self.args.segment
        images = self.patches if self.patches < length else 0
        self.ids = torch.randint(0, self.vocab, (n, length - images), device=self.device)
        self.pixels = torch.rand(n, 3, self.side, self.side, device=self.device, dtype=torch.bfloat16) if images else None
        self.labels = torch.full((n, length), -100, device=self.device)
        self.labels[:, length - self.args.labels:] = self.ids[:, -self.args.labels:]

    def __call__(self):
        self.optimizer.zero_grad()
        x = self.embed(self.ids)
        if self.pixels is not None:
            with torch.no_grad():
                features = self.tower(self.pixels).last_hidden_state
            x = torch.cat([self.projector(features), x], dim=1)
        self.run_model(inputs_embeds=x, labels=self.labels, use_cache=False).loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()


def wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def measure(step, n):
    step.batch(n)
    seconds = []
    for _ in range(2 + step.args.steps):
        wait(step.device)
        start = time.perf_counter()
        step()
        wait(step.device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[2:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("variant", choices=["eager", "checkpoint", "compile"])
    parser.add_argument("--tokens", type=int, default=16384)
    parser.add_argument("--segment", type=int, default=1024)
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        print("PyTorch sees no GPU", file=sys.stderr)
        sys.exit(77)
    with open(args.run) as f:
        run = json.load(f)
    step = Step(args, run, os.path.dirname(os.path.abspath(args.run)))
    n = max(1, args.tokens // args.segment)
    while True:
        try:
            seconds = measure(step, n)
            break
        except torch.OutOfMemoryError:
            if n == 1:
                raise
        step.optimizer.zero_grad()
        gc.collect()
        torch.cuda.empty_cache()
        n //= 2
    peak = torch.cuda.max_memory_allocated() if args.device == "cuda" else 0
    print(args.variant, f"{n * args.segment / seconds:.0f}", n * args.segment, peak)


if __name__ == "__main__":
    main()
