"""Language models that transformers and bitsandbytes have quantised and saved: tests/fixtures/bnb, for tests/train/models/bnb.c. One in 4
bits, whose scales are quantised too, and one in 8; beside each, NAME.safetensors, what bitsandbytes makes of its linears.

    python tests/oracle/bnb.py        (bitsandbytes of requirements.txt, and accelerate, on the CPU)"""

import os
import shutil
import tempfile

import torch
from bitsandbytes import functional
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

import tiny

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "bnb")
SETTINGS = {
    "nf4": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True),
    "int8": BitsAndBytesConfig(load_in_8bit=True),
}


def values(weight):
    if weight.dtype == torch.int8:
        return functional.int8_vectorwise_dequant(weight.data, weight.SCB)
    state = weight.quant_state
    scales = functional.dequantize_blockwise(state.absmax, state.state2) + state.offset
    return _dequantize_4bit_compute(weight.data.reshape(-1), scales.float(), state.code, 64, list(state.shape), torch.float32)


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    with tempfile.TemporaryDirectory() as base:
        tiny.llm(base, 61, 330, vocab_size=330, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
                 num_key_value_heads=1, tie_word_embeddings=True)
        for name, settings in SETTINGS.items():
            model = AutoModelForCausalLM.from_pretrained(base, quantization_config=settings, device_map="cpu")
            out = os.path.join(ROOT, name)
            model.save_pretrained(out)
            os.remove(os.path.join(out, "generation_config.json"))
            shutil.copy(os.path.join(base, "tokenizer.model"), out)
            save_file({n: values(p).contiguous() for n, p in model.named_parameters() if n.endswith("_proj.weight")}, f"{out}.safetensors")
    print(f"{ROOT}: {sum(os.path.getsize(os.path.join(at, f)) for at, _, files in os.walk(ROOT) for f in files)} bytes")


if __name__ == "__main__":
    main()
