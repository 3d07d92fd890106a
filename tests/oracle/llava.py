"""LLaVA 1.5 in small as transformers composes it, LlavaForConditionalGeneration of a Llama and a CLIP, for tests/train/models/llava.c:
    python tests/oracle/llava.py
Writes tests/fixtures/llava: config.json and model.safetensors as save_pretrained writes them, and expected.safetensors: one conversation of
two pictures, its logits, its loss, every gradient. The truth is computed in double."""

import os
import shutil

import torch
from safetensors.torch import save_file
from transformers import LlavaConfig, LlavaForConditionalGeneration
from transformers.models.llama import modeling_llama

import models
import tiny
from unets import hashes

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "llava")
VOCABULARY, SIDE, PATCH, PICTURES, IMAGE_ID = 50, 26, 8, 2, 49
PATCHES = (SIDE // PATCH) ** 2
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def exact_rotary(self, x, position_ids):
    """The angles in double, too: the test's backend forms them so."""
    width, base = 2 * len(self.inv_freq), self.config.rope_parameters["rope_theta"]
    angle = position_ids[..., None].double() * base ** (-torch.arange(0, width, 2).double() / width)
    angle = torch.cat((angle, angle), -1)
    return angle.cos(), angle.sin()


def build():
    config = LlavaConfig(
        vision_config={"model_type": "clip_vision_model", "hidden_size": 20, "intermediate_size": 28, "num_hidden_layers": 3,
                       "num_attention_heads": 2, "image_size": SIDE, "patch_size": PATCH},
        text_config={"model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": 24, "intermediate_size": 36, "num_hidden_layers": 2,
                     "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5},
        image_token_index=IMAGE_ID, image_seq_length=PATCHES)
    config._attn_implementation = "eager"
    model = tiny.Draw(61).fill(LlavaForConditionalGeneration(config)).to(torch.bfloat16)
    shutil.rmtree(FOLDER, ignore_errors=True)
    model.save_pretrained(FOLDER)
    os.remove(os.path.join(FOLDER, "generation_config.json"))
    return model.double().eval()


def conversation():
    """Ids with placeholders expanded, and labels; what is not labelled is -100."""
    text = [int(i) for i in hashes("text", 14) % 48]
    ids = text[:3] + [IMAGE_ID] * PATCHES + text[3:6] + [IMAGE_ID] * PATCHES + text[6:]
    labels = [-100] * (len(ids) - 6) + ids[-6:]
    return torch.tensor([ids]), torch.tensor([labels])


def ours(name):
    """What the dumps and the test call a weight of transformers' model."""
    return name.removeprefix("model.").replace("vision_tower.", "vision_model.").replace("language_model.", "model.")


def main():
    models.use_double_precision()
    modeling_llama.LlamaRotaryEmbedding.forward = exact_rotary
    model = build()
    pixels = torch.from_numpy((hashes("pixels", PICTURES * SIDE * SIDE * 3) % 256).astype("uint8")).reshape(PICTURES, SIDE, SIDE, 3)
    values = ((pixels.double() / 255).float() - torch.tensor(MEAN)) / torch.tensor(STD)
    ids, labels = conversation()
    out = model(input_ids=ids, pixel_values=values.double().permute(0, 3, 1, 2), attention_mask=torch.ones_like(ids), labels=labels)
    out.loss.backward()
    row = [i for i in range(ids.shape[1] - 1) if labels[0, i + 1] >= 0]
    tensors = {"ids": ids[0].int(), "pixels": pixels, "label.row": torch.tensor(row).int(), "label": labels[0, [i + 1 for i in row]].int(),
               "logits": out.logits[0, row].float(), "loss": out.loss.float()}
    grads = {f"grad/{ours(name)}": p.grad.float() for name, p in model.named_parameters() if p.grad is not None}
    save_file({k: v.detach().contiguous() for k, v in {**tensors, **grads}.items()}, os.path.join(FOLDER, "expected.safetensors"))
    print(f"{ids.shape[1]} tokens, loss {out.loss.item():.6f}, {len(grads)} gradients")


if __name__ == "__main__":
    main()
