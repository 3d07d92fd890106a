"""Teaches a tiny Stable Diffusion the world of drawing, on one CPU core: autoencoder, text encoder, UNet. tools/base_diffusion.sh calls it.

    base_diffusion.py --world FOLDER --out FOLDER vae       the autoencoder, of pictures of half the size
    base_diffusion.py --world FOLDER --out FOLDER grow      a level more around it, for the whole size; the latents stay what they are
    base_diffusion.py --world FOLDER --out FOLDER unet      text encoder and UNet together, on drawings and changes
    base_diffusion.py --world FOLDER --out FOLDER export    a folder of diffusers, f16, of the moving averages
    base_diffusion.py --world FOLDER --out FOLDER judge     draws what the held-out rows want, as the exported folder has it

The world is what the program sketches wrote; it judges the pictures, too. A phase that was stopped goes on where it last saved.
Python packages: tests/oracle/requirements.txt. Time and accuracy: configs/README.md."""
import argparse
import collections
import glob
import json
import math
import os
import re
import shutil
import subprocess
import time

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

TEXT_LENGTH, TEXT_WIDTH = 16, 64
VAE_ROWS, VAE_STEPS, GROW_STEPS, VAE_BATCH, VAE_LR = 12000, 1900, 1500, 32, 2e-3
UNET_WIDTHS, UNET_STEPS, BATCH, LR, EMA = (64, 96), 12500, 48, 2e-3, 0.999
SAVE_SECONDS = 120


# ---------------------------------------------------------------- the world's files
def read_rows(world, split):
    with open(os.path.join(world, split + ".jsonl"), encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def read_pictures(world, rows):
    """uint8 [rows, 2, 3, side, side]: the source picture (of a drawing: the target again) and the target."""
    def load(image):
        return np.asarray(Image.open(os.path.join(world, image["path"]))).transpose(2, 0, 1)
    return torch.from_numpy(np.stack([np.stack([load(r["images"][0]), load(r["images"][-1])]) for r in rows]))


def prompt(row):
    return row["sd"].get("prompt") or row["sd"]["instruction"]


def signed(pictures):
    return pictures.float() / 127.5 - 1


# ---------------------------------------------------------------- steps, rates, saving
def pace(step, steps, warm=300):
    """Warm-up, the full rate for a third of the steps, then a cosine down to 1 %."""
    now = max(0.0, (step / steps - 0.33) / 0.67)
    return min(1.0, (step + 1) / warm) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * now)))


def save_state(path, state):
    torch.save(state, path + ".new")
    os.replace(path + ".new", path)


class Training:
    """A model, the moving average of its weights, and where it stands."""

    def __init__(self, path, model, slow, lr, decay):
        self.path, self.model, self.slow, self.lr, self.decay = path, model, slow, lr, decay
        self.opt = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr, betas=(0.9, 0.99), weight_decay=1e-3)
        self.step, self.seconds, self.recent = 0, 0.0, []
        self.slow.load_state_dict(model.state_dict())
        if os.path.exists(path):
            s = torch.load(path, weights_only=True)
            model.load_state_dict(s["model"])
            slow.load_state_dict(s["slow"])
            self.opt.load_state_dict(s["opt"])
            self.step, self.seconds = s["step"], s["seconds"]

    def save(self):
        save_state(self.path, {"model": self.model.state_dict(), "slow": self.slow.state_dict(), "opt": self.opt.state_dict(),
                               "step": self.step, "seconds": self.seconds})

    def run(self, steps, loss_of, report, test=None, test_every=0):
        """loss_of(generator) -> loss and what to print. The numbers of a step depend on its number alone."""
        begun, saved = time.time() - self.seconds, time.time()
        while self.step < steps:
            gen = torch.Generator().manual_seed(1_000_003 * self.step + 17)
            for g in self.opt.param_groups:
                g["lr"] = self.lr * pace(self.step, steps)
            loss, told = loss_of(gen)
            self.opt.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.opt.step()
            with torch.no_grad():
                rate = 1 - min(self.decay, (1 + self.step) / (10 + self.step))
                torch._foreach_lerp_(list(self.slow.parameters()), list(self.model.parameters()), rate)
            self.step += 1
            self.recent = self.recent[-399:] + [told]
            self.seconds = time.time() - begun
            if self.step % 400 == 0 or self.step == steps:
                print(f"{self.seconds:6.0f} s  step {self.step}  " + report(np.mean(self.recent, 0)), flush=True)
            if time.time() - saved > SAVE_SECONDS or self.step == steps:
                self.save()
                saved = time.time()
            if test and self.step % test_every == 0:
                test(self.slow)
                begun = time.time() - self.seconds


# ---------------------------------------------------------------- autoencoder
def make_vae(side, widths=(16, 32, 32)):
    n = len(widths)
    return AutoencoderKL(in_channels=3, out_channels=3, latent_channels=4, block_out_channels=widths, layers_per_block=1,
                         down_block_types=["DownEncoderBlock2D"] * n, up_block_types=["UpDecoderBlock2D"] * n, norm_num_groups=8,
                         sample_size=side, scaling_factor=1.0)


def halve(x):
    return F.avg_pool2d(x, 2)


def gap_loss(x, y):
    """Coloured points are few: without their weight colours are learned late."""
    heavy = 1 + 6 * ((x.amax(1, keepdim=True) - x.amin(1, keepdim=True)) > 0.3)
    return (heavy * ((y - x).abs() + (y - x) ** 2)).mean()


def some_pictures(args):
    return read_pictures(args.world, read_rows(args.world, "train")[:VAE_ROWS]).flatten(0, 1)


def pick(pictures, gen):
    return signed(pictures[torch.randint(len(pictures), (VAE_BATCH,), generator=gen)])


def train_vae(args):
    pictures = some_pictures(args)
    vae, slow = (make_vae(pictures.shape[-1] // 2) for _ in range(2))

    def loss_of(gen):
        x = halve(pick(pictures, gen))
        post = vae.encode(x).latent_dist
        y = vae.decode(post.mean + post.std * torch.randn(post.mean.shape, generator=gen)).sample
        div = 0.5 * (post.mean ** 2 + post.var - 1 - post.logvar).mean()
        return gap_loss(x, y) + 1e-3 * div, ((y - x).abs().mean().item() * 127.5, div.item())

    t = Training(os.path.join(args.out, "vae.pt"), vae, slow, VAE_LR, 0.995)
    t.run(args.steps or VAE_STEPS, loss_of, lambda m: f"L1 {m[0]:.2f} of 255  KL {m[1]:.2f}")
    normalise(slow, halve(signed(pictures[:1000])))
    slow.save_pretrained(os.path.join(args.out, "vae-half"))


def grown_vae(half):
    """A level more at the outer ends, which alone learns: what is inside has the weights of `half`."""
    vae, inner = make_vae(2 * half.config.sample_size, (8,) + tuple(half.config.block_out_channels)), half.state_dict()
    outer = ("encoder.conv_in.", "encoder.down_blocks.0.", "decoder.conv_norm_out.", "decoder.conv_out.")
    for name, p in vae.named_parameters():
        old = inner.get(re.sub(r"(?<=encoder.down_blocks.)\d", lambda m: str(int(m[0]) - 1), name))
        if old is not None and old.shape == p.shape and not name.startswith(outer):
            p.data = old.clone()
            p.requires_grad = False
    return vae


def grow_vae(args):
    pictures = some_pictures(args)
    half = AutoencoderKL.from_pretrained(os.path.join(args.out, "vae-half"))
    vae, slow = grown_vae(half), grown_vae(half)

    def loss_of(gen):
        x = pick(pictures, gen)
        with torch.no_grad():
            want = half.encode(halve(x)).latent_dist
        got, y = vae.encode(x).latent_dist, vae.decode(want.mean).sample
        off = ((got.mean - want.mean) ** 2).mean()
        return (gap_loss(x, y) + off + 0.01 * ((got.logvar - want.logvar) ** 2).mean(),
                ((y - x).abs().mean().item() * 127.5, off.item()))

    t = Training(os.path.join(args.out, "grown.pt"), vae, slow, VAE_LR, 0.995)
    t.run(args.steps or GROW_STEPS, loss_of, lambda m: f"L1 {m[0]:.2f} of 255  squared error of latents {m[1]:.4f}")
    slow.save_pretrained(os.path.join(args.out, "vae"))
    heldout = read_rows(args.world, "heldout")
    x = signed(read_pictures(args.world, heldout)[:, 1])
    with torch.no_grad():
        check(args, "reconstructions", heldout, slow.decode(slow.encode(x).latent_dist.mean).sample)


@torch.no_grad()
def normalise(vae, x):
    """Gives each latent channel mean 0 and deviation 1 inside the two 1x1 convolutions; the scaling factor stays 1."""
    z = vae.encode(x).latent_dist.mean
    m, d = z.mean((0, 2, 3)), z.std((0, 2, 3))
    q, p = vae.quant_conv, vae.post_quant_conv
    p.bias += p.weight[:, :, 0, 0] @ m
    p.weight *= d[None, :, None, None]
    q.weight[:4] /= d[:, None, None, None]
    q.bias[:4] = (q.bias[:4] - m) / d
    q.bias[4:] -= 2 * d.log()


# ---------------------------------------------------------------- judging
def check(args, name, rows, pictures):
    """Writes the pictures, named as the rows' targets are, and lets sketches judge them."""
    folder = os.path.join(args.out, name)
    os.makedirs(folder, exist_ok=True)
    pictures = ((pictures.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    for row, p in zip(rows, pictures):
        Image.fromarray(p).save(os.path.join(folder, os.path.basename(row["images"][-1]["path"])))
    print(f"-- {name}", flush=True)
    subprocess.run([args.sketches, "--check", os.path.join(args.world, "heldout.jsonl"), "--pictures", folder], check=True)


# ---------------------------------------------------------------- text
def merges_of(words):
    """Byte pairs, the commonest first, until every word is one piece."""
    words, merges = [list(w[:-1]) + [w[-1] + "</w>"] for w in words], []
    while pairs := collections.Counter(p for w in words for p in zip(w, w[1:])):
        best = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(best)
        for w in words:
            for i in reversed(range(len(w) - 1)):
                if tuple(w[i:i + 2]) == best:
                    w[i:i + 2] = ["".join(best)]
    return merges


def write_tokenizer(folder, rows):
    """CLIP's kind, in which every word of the rows is one piece; any other text falls into smaller ones."""
    texts = [prompt(r) for r in rows] + [r["turns"][0]["value"].replace("<image>", "") for r in rows]
    merges = merges_of(sorted({w for t in texts for w in re.findall("[a-z]+", t.lower())}))
    alphabet = sorted(ByteLevel.alphabet())
    pieces = alphabet + [c + "</w>" for c in alphabet] + ["".join(m) for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "vocab.json"), "w", encoding="utf-8") as f:
        json.dump({p: i for i, p in enumerate(dict.fromkeys(pieces))}, f, ensure_ascii=False)
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as f:
        f.write("#version: 0.2\n" + "".join(" ".join(m) + "\n" for m in merges))
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as f:
        json.dump({"tokenizer_class": "CLIPTokenizer", "model_max_length": TEXT_LENGTH, "bos_token": "<|startoftext|>",
                   "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}, f, indent=2)
    return CLIPTokenizer.from_pretrained(folder)


def tokens(tokenizer, texts):
    return tokenizer(texts, padding="max_length", truncation=True, max_length=TEXT_LENGTH, return_tensors="pt").input_ids


# ---------------------------------------------------------------- text encoder and UNet
def make_text_encoder(tokenizer):
    return CLIPTextModel(CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=TEXT_WIDTH, intermediate_size=4 * TEXT_WIDTH, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=TEXT_LENGTH, projection_dim=TEXT_WIDTH, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id))


def make_unet(side):
    return UNet2DConditionModel(
        sample_size=side, in_channels=8, out_channels=4, block_out_channels=UNET_WIDTHS, layers_per_block=1, norm_num_groups=8,
        down_block_types=["DownBlock2D", "CrossAttnDownBlock2D"], up_block_types=["CrossAttnUpBlock2D", "UpBlock2D"],
        cross_attention_dim=TEXT_WIDTH, attention_head_dim=4)    # the number of heads, as diffusers has it


SCHEDULER = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
                          steps_offset=1)
ALPHA = SCHEDULER.alphas_cumprod.float()


class Both(torch.nn.Module):
    def __init__(self, text, unet):
        super().__init__()
        self.text, self.unet = text, unet

    def forward(self, x, t, source, ids):
        return self.unet(torch.cat([x, source], 1), t, encoder_hidden_states=self.text(input_ids=ids).last_hidden_state).sample


@torch.no_grad()
def encode(vae, pictures):
    return torch.cat([vae.encode(p).latent_dist.mean for p in signed(pictures).split(100)])


def draw_batch(pool, gen):
    """Half drawings (no source) and half changes. Text is dropped from a tenth of the rows, of changes the source, too, as
    InstructPix2Pix does: 5 % text alone, 5 % source alone, 5 % both."""
    d, e = (torch.randint(n, (BATCH // 2,), generator=gen) for n in (len(pool["drawn"]), len(pool["after"])))
    u = torch.rand(BATCH, generator=gen)
    x = torch.cat([pool["drawn"][d], pool["after"][e]]).float()
    source = torch.cat([torch.zeros_like(x[:BATCH // 2]), pool["before"][e].float()])
    ids = torch.cat([pool["captions"][d], pool["instructions"][e]])
    ids = torch.where((u < 0.1)[:, None], pool["blank"], ids)
    return x, source * ((u < 0.05) | (u >= 0.15))[:, None, None, None], ids


@torch.no_grad()
def sample(both, ids, blank, source, steps=25, guidance=3.0, image_guidance=1.5):
    """DDIM; where there is a source, with the two guidances of InstructPix2Pix."""
    n, blank = len(ids), blank.expand(len(ids), -1)
    x = torch.randn(n, 4, *source.shape[2:], generator=torch.Generator().manual_seed(0))
    rows, words, mix = [source, source], [ids, blank], [guidance, 1 - guidance]
    if source.abs().sum() > 0:
        rows, words, mix = [source, source, 0 * source], [ids, blank, blank], [guidance, image_guidance - guidance, 1 - image_guidance]
    both.eval()
    SCHEDULER.set_timesteps(steps)
    for t in SCHEDULER.timesteps:
        out = both(torch.cat([x] * len(mix)), t.expand(n * len(mix)), torch.cat(rows), torch.cat(words))
        x = SCHEDULER.step(sum(m * o for m, o in zip(mix, out.chunk(len(mix)))), t, x).prev_sample
    both.train()
    return x


@torch.no_grad()
def draw_heldout(args, both, vae, tokenizer, name, **how):
    """What the base makes of the true captions and instructions: the ceiling of whoever has to find these."""
    rows, blank = read_rows(args.world, "heldout"), tokens(tokenizer, [""])
    drawings, changes = ([r for r in rows if r["task"] == t] for t in ("generate", "edit"))
    source = encode(vae, read_pictures(args.world, changes)[:, 0])
    nothing = torch.zeros(len(drawings), *source.shape[1:])
    z = torch.cat([sample(both, tokens(tokenizer, [prompt(r) for r in some]), blank, start, **how)
                   for some, start in ((drawings, nothing), (changes, source))])
    check(args, name, drawings + changes, vae.decode(z).sample)


def make_pool(args, rows, tokenizer):
    """Latents and ids of all rows, kept as a file."""
    path = os.path.join(args.out, "pool.pt")
    if os.path.exists(path):
        return torch.load(path, weights_only=True)
    half = AutoencoderKL.from_pretrained(os.path.join(args.out, "vae-half"))
    drawings, changes = ([r for r in rows if r["task"] == t] for t in ("generate", "edit"))

    def latents(rows):
        z = []
        for i in range(0, len(rows), 500):
            pairs = halve(read_pictures(args.world, rows[i:i + 500]).flatten(0, 1).float())
            z.append(encode(half, pairs).half().unflatten(0, (-1, 2)))
        return torch.cat(z)

    changed = latents(changes)
    pool = {"drawn": latents(drawings)[:, 1].clone(), "before": changed[:, 0].clone(), "after": changed[:, 1].clone(),
            "captions": tokens(tokenizer, [prompt(r) for r in drawings]),
            "instructions": tokens(tokenizer, [prompt(r) for r in changes]), "blank": tokens(tokenizer, [""])}
    save_state(path, pool)
    return pool


def train_unet(args):
    rows = read_rows(args.world, "train")
    vae = AutoencoderKL.from_pretrained(os.path.join(args.out, "vae"))
    tokenizer = write_tokenizer(os.path.join(args.out, "tokenizer"), rows)
    pool = make_pool(args, rows, tokenizer)
    both, slow = (Both(make_text_encoder(tokenizer), make_unet(pool["drawn"].shape[-1])) for _ in range(2))
    print(sum(p.numel() for p in both.parameters()), "weights", flush=True)
    weight = 1 / ALPHA.sqrt().clamp(min=0.1)
    weight = weight / weight.mean()

    def loss_of(gen):
        x, source, ids = draw_batch(pool, gen)
        t = torch.randint(len(ALPHA), (BATCH,), generator=gen)
        early = torch.rand(BATCH, generator=gen) < 0.4    # places are settled at the noisy end, where the error of eps is smallest
        t = torch.where(early, len(ALPHA) - 1 - t // 5, t)
        noise = torch.randn(x.shape, generator=gen)
        a = ALPHA[t][:, None, None, None]
        gap = ((both(a.sqrt() * x + (1 - a).sqrt() * noise, t, source, ids) - noise) ** 2).mean((1, 2, 3))
        half = BATCH // 2
        return (gap * weight[t]).mean(), (gap[:half].mean().item(), gap[half:].mean().item())

    t = Training(os.path.join(args.out, "unet.pt"), both, slow, LR, EMA)
    t.run(args.steps or UNET_STEPS, loss_of, lambda m: f"squared error of drawings {m[0]:.4f} changes {m[1]:.4f}",
          lambda model: draw_heldout(args, model, vae, tokenizer, "progress"), args.test_every)
    draw_heldout(args, slow, vae, tokenizer, "final")


# ---------------------------------------------------------------- the folder
def load_base(folder):
    def part(kind, name):
        return kind.from_pretrained(os.path.join(folder, name))
    both = Both(part(CLIPTextModel, "text_encoder").float(), part(UNet2DConditionModel, "unet").float())
    return part(AutoencoderKL, "vae").float(), both, part(CLIPTokenizer, "tokenizer")


def export(args):
    """f16, no file of 2 MB or more, as StableDiffusionInstructPix2PixPipeline reads it."""
    folder = os.path.join(args.out, "diffusion")
    shutil.rmtree(folder, ignore_errors=True)
    tokenizer = CLIPTokenizer.from_pretrained(os.path.join(args.out, "tokenizer"))
    vae = AutoencoderKL.from_pretrained(os.path.join(args.out, "vae"))
    both = Both(make_text_encoder(tokenizer), make_unet(vae.config.sample_size // 8))
    both.load_state_dict(torch.load(os.path.join(args.out, "unet.pt"), weights_only=True)["slow"])
    for name, model in [("vae", vae), ("text_encoder", both.text), ("unet", both.unet)]:
        model.half().save_pretrained(os.path.join(folder, name), max_shard_size="1900KB")
    SCHEDULER.save_pretrained(os.path.join(folder, "scheduler"))
    shutil.copytree(os.path.join(args.out, "tokenizer"), os.path.join(folder, "tokenizer"))
    index = {"_class_name": "StableDiffusionInstructPix2PixPipeline", "feature_extractor": [None, None], "image_encoder": [None, None],
             "requires_safety_checker": False, "safety_checker": [None, None], "scheduler": ["diffusers", "DDIMScheduler"],
             "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
             "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}
    with open(os.path.join(folder, "model_index.json"), "w", encoding="utf-8") as f:
        json.dump(index, f, indent=2)
        f.write("\n")
    for path in glob.glob(os.path.join(folder, "*", "*")):
        os.chmod(path, 0o644)
        if path.endswith("/config.json"):    # the same bytes wherever it is made
            with open(path, encoding="utf-8") as f:
                config = {k: v for k, v in json.load(f).items() if k not in ("_name_or_path", "dtype")}
            with open(path, "w", encoding="utf-8") as f:
                f.write(json.dumps(config, indent=2) + "\n")


def judge(args):
    vae, both, tokenizer = load_base(os.path.join(args.out, "diffusion"))
    draw_heldout(args, both, vae, tokenizer, "judged")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["vae", "grow", "unet", "export", "judge"])
    p.add_argument("--world", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--sketches", default="build/sketches")
    p.add_argument("--steps", type=int, default=0)
    p.add_argument("--test-every", type=int, default=2000)
    args = p.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    os.makedirs(args.out, exist_ok=True)
    {"vae": train_vae, "grow": grow_vae, "unet": train_unet, "export": export, "judge": judge}[args.what](args)


if __name__ == "__main__":
    main()
