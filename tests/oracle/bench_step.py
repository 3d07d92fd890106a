#!/usr/bin/env python3
"""Times PyTorch's LoRA step for tools/bench/bench.sh: bench_step.py WIDTH LAYERS FF HEADS KV VOCAB RANK BATCH TOKENS PERCENT STEPS

Prints the median seconds of a step after three, and the peak resident memory in kB."""
import resource
import statistics
import sys
import time
import warnings

warnings.filterwarnings("ignore")

import torch
from peft import LoraConfig, get_peft_model
from transformers import MistralConfig, MistralForCausalLM


def main():
    width, layers, ff, heads, kv, vocab, rank, batch, tokens, percent, steps = map(int, sys.argv[1:12])
    torch.manual_seed(0)
    config = MistralConfig(vocab_size=vocab, hidden_size=width, intermediate_size=ff, num_hidden_layers=layers, num_attention_heads=heads,
                           num_key_value_heads=kv, sliding_window=None, attn_implementation="sdpa")
    linears = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = get_peft_model(MistralForCausalLM(config), LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=linears))
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    ids = torch.randint(0, vocab, (batch, tokens))
    labels = ids.clone()
    labels[:, : tokens - tokens * percent // 100] = -100
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        optimizer.zero_grad()
        model(input_ids=ids, labels=labels, use_cache=False).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    print(statistics.median(seconds[3:] or seconds), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    main()
