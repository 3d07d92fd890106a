"""What LLaVA's trainer writes beside an adapter, for tests/cli/convert_from.sh:
    python tests/oracle/llava_lora.py
Writes tests/fixtures/llava_lora/non_lora_trainables.bin: the projector that the parity case "llava" starts from, as get_peft_state_non_lora_
maybe_zero_3 of LLaVA's train.py names it in a model that PEFT has wrapped."""

import os

import torch
from safetensors.torch import load_file

FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures")


def main():
    projector = load_file(os.path.join(FIXTURES, "parity", "llava", "start", "projector.safetensors"))
    state = {"base_model.model." + name: value for name, value in projector.items()}
    folder = os.path.join(FIXTURES, "llava_lora")
    os.makedirs(folder, exist_ok=True)
    torch.save(state, os.path.join(folder, "non_lora_trainables.bin"))


if __name__ == "__main__":
    main()
