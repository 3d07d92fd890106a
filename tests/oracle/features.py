"""Tiny networks of pictures and what they make of pictures and texts, for tests/eval/features:
    python tests/oracle/features.py   (needs torchvision, pytorch-fid and lpips)
Writes tests/fixtures/features/{clip,vit}: config.json, model.safetensors in F16, of CLIP also preprocessor_config.json (its tokenizer is
tests/fixtures/clip_tokenizer/padded_with_end), and expected.safetensors; and tests/fixtures/features/inception: expected.safetensors of
pytorch-fid's network with a sixteenth of its channels, and weights.txt, which says what its weights are: NAME, the sum OFFSET + SPREAD·u of
the hash of that name (unets.py), and its shape; tests/fixtures/features/lpips: alex.safetensors in F16, pictures and
distances.txt. The truth is computed in double. Prints the scores that tests/cli/evaluate_features.sh
expects."""

import os

import lpips
import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
import pytorch_fid.inception
import torchvision
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer, ViTConfig, ViTModel

from unets import uniform

FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures")
FOLDER = os.path.join(FIXTURES, "features")
TOKENIZER = os.path.join(FIXTURES, "clip_tokenizer", "padded_with_end")
# Sides that are larger and smaller than the networks', even and odd differences from the crop, grey, transparent.
PICTURES = [os.path.join(FIXTURES, "metrics", "pixels", f"{name}.png") for name in ("resized.a", "enlarged.a", "grey.a", "alpha.a", "far.b")]
PICTURES.append(os.path.join(FIXTURES, "images", "rgb.jpg"))
TEXTS = ["a red circle", "", "two circles on a blue ground, and one more circle that goes beyond the sixteen tokens of a prompt"]


UNEVEN = os.path.join(FOLDER, "lpips", "c.jpg")  # where OpenAI's crop begins a pixel below that of transformers


def pictures():
    return [Image.open(path).convert("RGB") for path in PICTURES]


def save(model, name):
    """Weights that keep every block lively, as F16 values, which the model then computes with."""
    torch.manual_seed(5)
    with torch.no_grad():
        for key, p in model.named_parameters():
            spread = 1.5 / p[0].numel() ** 0.5 if p.dim() > 1 else 0.25
            p.copy_((torch.randn_like(p) * spread + (1 if "norm" in key and key.endswith("weight") else 0)).half().float())
    folder = os.path.join(FOLDER, name)
    model.half().save_pretrained(folder)
    tensors = load_file(os.path.join(folder, "model.safetensors"))
    assert all(v.dtype == torch.float16 for v in tensors.values())
    return folder, model.double().eval()


def clip():
    config = CLIPConfig(projection_dim=10, text_config=dict(
        vocab_size=599, hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=16,
        bos_token_id=597, eos_token_id=598, pad_token_id=598), vision_config=dict(
        hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=7))
    folder, model = save(CLIPModel(config), "clip")
    processor = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    processor.save_pretrained(folder)
    ids = CLIPTokenizer.from_pretrained(TOKENIZER)(TEXTS, padding="max_length", truncation=True, max_length=16, return_tensors="pt").input_ids
    with torch.no_grad():
        seen = torch.cat([model.get_image_features(processor(p, return_tensors="pt").pixel_values.double()).pooler_output for p in pictures()])
        read = model.get_text_features(ids).pooler_output
        openai = model.get_image_features(openai_pixels(Image.open(UNEVEN).convert("RGB"), 28, processor)).pooler_output
    save_file({"pictures": seen.float().contiguous(), "texts": read.float().contiguous(), "openai": openai.float().contiguous()},
              os.path.join(folder, "expected.safetensors"))
    one = lambda x: x / x.norm(dim=-1, keepdim=True)
    seen, read = one(seen), one(read)
    print("CLIP score of the first three:", 100 * (seen[:3] * read).sum(1).clamp(min=0).mean().item())
    print("changing the first into the third, the last text into the first:", [x.item() for x in (
        seen[0] @ read[2], seen[2] @ read[0], one(seen[2] - seen[0]) @ one(read[0] - read[2]), seen[0] @ seen[2])])


def torchvision_pixels(picture, shorter, side, mean, std):
    """torchvision's Resize(shorter, bicubic), CenterCrop(side), ToTensor, Normalize."""
    w, h = picture.size
    size = (shorter, int(shorter * h / w)) if w <= h else (int(shorter * w / h), shorter)
    picture = picture.resize(size, Image.BICUBIC)
    left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
    x = np.asarray(picture.crop((left, top, left + side, top + side)), dtype=np.float64) / 255
    return torch.from_numpy((x - mean) / std).permute(2, 0, 1)[None]


def openai_pixels(picture, side, processor):
    return torchvision_pixels(picture, side, side, processor.image_mean, processor.image_std)


def dino_pixels(picture, side):
    return torchvision_pixels(picture, round(side * 256 / 224), side, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def vit():
    config = ViTConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=7)
    folder, model = save(ViTModel(config), "vit")
    with torch.no_grad():
        seen = torch.cat([model(dino_pixels(p, 28)).last_hidden_state[:, 0] for p in pictures()])
    save_file({"pictures": seen.float().contiguous()}, os.path.join(folder, "expected.safetensors"))


def fid_inception(thinner):
    """pytorch-fid's network with its channels divided, without its download."""

    class Thin(torchvision.models.inception.BasicConv2d):
        def __init__(self, channels, out, **kwargs):
            super().__init__(channels if channels == 3 else channels // thinner, out // thinner, **kwargs)

    whole, load = torchvision.models.inception.BasicConv2d, torch.nn.Module.load_state_dict
    torchvision.models.inception.BasicConv2d = Thin
    torch.nn.Module.load_state_dict = lambda *args, **kwargs: None
    pytorch_fid.inception.load_state_dict_from_url = lambda *args, **kwargs: {}
    made = []
    build = pytorch_fid.inception.fid_inception_v3
    pytorch_fid.inception.fid_inception_v3 = lambda: made.append(build()) or made[0]
    model = pytorch_fid.inception.InceptionV3()
    pytorch_fid.inception.fid_inception_v3 = build
    torchvision.models.inception.BasicConv2d, torch.nn.Module.load_state_dict = whole, load
    return model.eval(), {k: v for k, v in made[0].state_dict().items() if not k.startswith("fc.") and "num_batches" not in k}


def weight_rule(name, shape):
    if name.startswith("lin"):
        return 1, 0.75
    if len(shape) == 4:
        return 0, (6 / np.prod(shape[1:])) ** 0.5
    if name.endswith(".bias") and "bn" not in name:
        return 0, 0.25
    return {"bn.weight": (1, 0.25), "bn.bias": (0, 0.25), "running_mean": (0, 0.25), "running_var": (1, 0.5)}[
        next(end for end in ("bn.weight", "bn.bias", "running_mean", "running_var") if name.endswith(end))]


def thin_lpips(thinner):
    """The lpips package's network with its channels divided, without its download."""

    class Thin(torch.nn.Conv2d):
        def __init__(self, channels, out, *args, **kwargs):
            super().__init__(channels if channels == 3 else channels // thinner, out if out == 1 else out // thinner, *args, **kwargs)

    whole = torch.nn.Conv2d
    torch.nn.Conv2d = Thin
    model = lpips.LPIPS(net="alex", pretrained=False, pnet_rand=True, verbose=False).eval()
    torch.nn.Conv2d = whole
    return model, {k: v for k, v in model.state_dict().items() if not k.startswith(("lins.", "scaling_layer."))}


def perceptual():
    folder = os.path.join(FOLDER, "lpips")
    os.makedirs(folder, exist_ok=True)
    model, weights = thin_lpips(16)
    with torch.no_grad():
        for name, tensor in weights.items():
            offset, spread = weight_rule(name, tensor.shape)
            tensor.copy_((offset + spread * uniform(name, *tensor.shape)).half())
    save_file({name: tensor.half().contiguous() for name, tensor in weights.items()}, os.path.join(folder, "alex.safetensors"))
    model.double()
    random, made = np.random.default_rng(3), {}
    for name, size in (("a", (67, 45)), ("b", (67, 45)), ("c", (52, 80)), ("d", (31, 31))):
        picture = Image.fromarray(random.integers(0, 256, (4, 5, 3), dtype=np.uint8)).resize(size, Image.BICUBIC)
        picture.save(os.path.join(folder, name + ".jpg"), quality=85)
        made[name] = Image.open(os.path.join(folder, name + ".jpg")).convert("RGB")
    pixels = lambda p: torch.from_numpy(np.asarray(p) / 127.5 - 1).permute(2, 0, 1)[None]
    with open(os.path.join(folder, "distances.txt"), "w", encoding="utf-8") as f, torch.no_grad():
        for a, b in ("ab", "cb", "bc", "bb", "ad"):
            first = made[a] if made[a].size == made[b].size else made[a].resize(made[b].size, Image.BICUBIC)
            print(a, b, repr(model(pixels(first), pixels(made[b])).item()), file=f)


def inception():
    folder = os.path.join(FOLDER, "inception")
    os.makedirs(folder, exist_ok=True)
    model, weights = fid_inception(16)
    with open(os.path.join(folder, "weights.txt"), "w", encoding="utf-8") as f:
        for name, tensor in weights.items():
            offset, spread = weight_rule(name, tensor.shape)
            spread = float(np.float32(spread))
            tensor.copy_(offset + spread * uniform(name, *tensor.shape).double())
            print(name, offset, repr(spread), *tensor.shape, file=f)
    model.double()
    with torch.no_grad():
        seen = torch.cat([model(torch.from_numpy(np.asarray(p) / 255.0).permute(2, 0, 1)[None])[0].flatten(1) for p in pictures()])
    save_file({"pictures": seen.float().contiguous()}, os.path.join(folder, "expected.safetensors"))
    print("inception", seen.shape, seen.abs().max(1).values)


if __name__ == "__main__":
    perceptual()
    clip()
    vit()
    inception()
