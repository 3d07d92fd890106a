"""The keys of the configurations that folders of models and adapters hold, as the installed libraries have them:
    python tests/oracle/config_keys.py > tests/fixtures/config_keys.txt
Every release may add some; tests/train/models/config_keys.c wants each in a table of the program (understood, or refused by name), and
`make parity` says when the file is no longer what the libraries say."""

import dataclasses
import difflib
import inspect
import os
import sys
import warnings

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "config_keys.txt")


def schedulers(diffusers):
    """Arguments of all that have a table of betas."""
    found = set()
    for name in dir(diffusers):
        if name.endswith("Scheduler"):
            arguments = inspect.signature(getattr(diffusers, name).__init__).parameters.keys()
            found |= arguments - {"self", "kwargs"} if "beta_schedule" in arguments else set()
    return found


def keys():
    import diffusers
    import peft
    import transformers
    transformers.logging.set_verbosity_error()
    return {
        "adapter": [f.name for f in dataclasses.fields(peft.LoraConfig)],
        "llm": {**transformers.MistralConfig().to_dict(), **transformers.LlamaConfig().to_dict()},
        "vision": transformers.SiglipVisionConfig().to_dict(),
        "clip_vision": transformers.CLIPVisionConfig().to_dict(),
        "unet": inspect.signature(diffusers.UNet2DConditionModel.__init__).parameters.keys() - {"self"},
        "scheduler": schedulers(diffusers),
        "generation": transformers.GenerationConfig().to_dict(),
        "text_encoder": transformers.CLIPTextConfig().to_dict(),
        "vae": [key for key in diffusers.AutoencoderKL().config if not key.startswith("_")],
        "preprocessor": {**transformers.SiglipImageProcessor().to_dict(), **transformers.CLIPImageProcessor().to_dict()},
    }


def text():
    return "".join(f"{kind} {key}\n" for kind, names in keys().items() for key in sorted(names))


def check():
    """Complaints where the committed file is not what the libraries have."""
    with open(FILE, encoding="utf-8") as f:
        diff = list(difflib.unified_diff(f.read().splitlines(), text().splitlines(), "committed", "installed", lineterm="", n=0))
    return ["tests/fixtures/config_keys.txt (made by tests/oracle/config_keys.py):\n  " + "\n  ".join(diff)] if diff else []


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.stdout.write(text())
