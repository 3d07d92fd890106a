#!/usr/bin/env python3
"""Times transformers' generate for tools/bench/bench.sh: bench_decode.py WIDTH LAYERS FF HEADS KV VOCAB SEQUENCES PROMPT TOKENS

Greedy, in f32, random weights, as many new tokens as asked. Prints the median seconds."""
import statistics
import sys
import time
import warnings

warnings.filterwarnings("ignore")

import torch
from transformers import MistralConfig, MistralForCausalLM


def main():
    width, layers, ff, heads, kv, vocab, sequences, prompt, tokens = map(int, sys.argv[1:10])
    torch.manual_seed(0)
    config = MistralConfig(vocab_size=vocab, hidden_size=width, intermediate_size=ff, num_hidden_layers=layers, num_attention_heads=heads,
                           num_key_value_heads=kv, sliding_window=None, attn_implementation="sdpa")
    model = MistralForCausalLM(config).eval()
    ids = torch.randint(3, vocab, (sequences, prompt))
    seconds = []
    for run in range(4):
        start = time.perf_counter()
        with torch.inference_mode():
            model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False,
                           pad_token_id=0)
        if run >= 1:
            seconds.append(time.perf_counter() - start)
    print(statistics.median(seconds))


if __name__ == "__main__":
    main()
