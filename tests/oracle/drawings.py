"""Pictures that diffusers' pipelines draw with the tiny folders of tests/fixtures/parity, for tests/train/infer/draw.c:
    python tests/oracle/drawings.py
Writes tests/fixtures/drawings.safetensors: NAME [side,side,3], from 0 to 1, of each of CASES, which the test has, too. Contexts and sources
are hashes (unets.py), the noise is what draw.c draws. The truth is computed in double."""

import os

import numpy as np
import torch
import diffusers
from diffusers import (AutoencoderKL, DDIMScheduler, DPMSolverMultistepScheduler, PNDMScheduler, StableDiffusionImg2ImgPipeline,
                       StableDiffusionInstructPix2PixPipeline, StableDiffusionPipeline, UNet2DConditionModel)
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTokenizer

from gen_head import GenHead, read
from philox import normals, philox_key
from run_config import load_json
from unets import hashes, uniform

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(HERE, "..", "fixtures")
KINDS = {"ddim": DDIMScheduler, "pndm": PNDMScheduler, "dpm++": DPMSolverMultistepScheduler}
RANDOM_SAMPLING, NOISE, POSTERIOR = 5, 1, 2
SEED, INDEX, SIDE = 7, 3, 16


class Folder:
    """A case of tests/fixtures/parity and the diffusers folder that it names."""

    def __init__(self, case):
        self.case = os.path.join(FIXTURES, "parity", case)
        self.config = load_json(os.path.join(self.case, "config.json"))
        self.path = os.path.normpath(os.path.join(self.case, self.config["model"]["diffusion"]["path"]))
        self.unet = UNet2DConditionModel.from_pretrained(self.path, subfolder="unet").double()
        self.unet.register_to_config(sample_size=64)  # pipelines want to know
        self.vae = AutoencoderKL.from_pretrained(self.path, subfolder="vae").double()
        self.queries = self.config["model"]["gen_head"]["queries"]

    def context(self):
        return uniform("context", 1, self.queries, self.unet.config.cross_attention_dim).double() * 2

    def wordless(self):
        tokenizer = CLIPTokenizer.from_pretrained(self.path, subfolder="tokenizer")
        ids = tokenizer("", padding="max_length", max_length=self.queries, truncation=True, return_tensors="pt").input_ids
        return CLIPTextModel.from_pretrained(self.path, subfolder="text_encoder").double()(ids).last_hidden_state

    def learned_null(self):
        sizes = self.config["model"]["gen_head"]
        rows = load_file(os.path.join(self.case, "start", "token_rows.safetensors"))["token_rows.embed_tokens"]
        rows = rows[-self.config["model"]["tokens"]["image"]:].double()
        head = GenHead(rows.shape[1], self.unet.config.cross_attention_dim, sizes["width"], sizes["heads"], sizes["ff"],
                       sizes["encoder_layers"], sizes["decoder_layers"], self.queries)
        head.load_state_dict(read(os.path.join(self.case, "start", "gen_head.safetensors")))
        return head.double().eval()(rows[None])

    def scheduler(self, kind):
        return KINDS[kind].from_pretrained(self.path, subfolder="scheduler")


def drawn(stream, channels, height, width):
    """As rows of channels, like all latents there."""
    x = normals(philox_key(SEED, RANDOM_SAMPLING, INDEX, stream), height * width * channels)
    return torch.from_numpy(x).reshape(1, height, width, channels).permute(0, 3, 1, 2).contiguous()


def source():
    pixels = (hashes("source", SIDE * SIDE * 3) % np.uint64(256)).astype(np.float64) / 255
    return torch.from_numpy(pixels).reshape(1, SIDE, SIDE, 3).permute(0, 3, 1, 2)


def pipeline(kind, folder, sampler):
    parts = {"vae": folder.vae, "text_encoder": None, "tokenizer": None, "unet": folder.unet, "scheduler": folder.scheduler(sampler),
             "safety_checker": None, "feature_extractor": None}
    p = kind(**parts, requires_safety_checker=False)
    p.set_progress_bar_config(disable=True)
    return p


def draw(folder, sampler, steps, guidance, null):
    p = pipeline(StableDiffusionPipeline, folder, sampler)
    return p(prompt_embeds=folder.context(), negative_prompt_embeds=null, height=SIDE, width=SIDE, num_inference_steps=steps,
             guidance_scale=guidance, latents=drawn(NOISE, 4, SIDE // 2, SIDE // 2), output_type="np").images[0]


def draw_from(folder, sampler, steps, guidance, null, strength):
    """diffusers draws the posterior first, then the noise."""
    module = diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img
    class Sampled:
        def __init__(self, moments):
            self.moments = moments
        def sample(self, generator=None):
            return self.moments.mean + self.moments.std * drawn(POSTERIOR, 4, SIDE // 2, SIDE // 2)
    retrieve, module.retrieve_latents = module.retrieve_latents, lambda out, generator=None, **_: Sampled(out.latent_dist).sample()
    randn, module.randn_tensor = module.randn_tensor, lambda shape, **_: drawn(NOISE, 4, SIDE // 2, SIDE // 2)
    p = pipeline(StableDiffusionImg2ImgPipeline, folder, sampler)
    image = p(prompt_embeds=folder.context(), negative_prompt_embeds=null, image=source(), strength=strength, num_inference_steps=steps,
              guidance_scale=guidance, output_type="np").images[0]
    module.retrieve_latents, module.randn_tensor = retrieve, randn
    return image


def draw_edit(folder, sampler, steps, guidance, null, image_guidance):
    p = pipeline(StableDiffusionInstructPix2PixPipeline, folder, sampler)
    return p(prompt_embeds=folder.context(), negative_prompt_embeds=null, image=source(), num_inference_steps=steps,
             guidance_scale=guidance, image_guidance_scale=image_guidance, latents=drawn(NOISE, 4, SIDE // 2, SIDE // 2),
             output_type="np").images[0]


def draw_without_source(folder, sampler, steps, guidance, null):
    """No pipeline does this: a UNet that sees sources, and none to see."""
    scheduler = folder.scheduler(sampler)
    scheduler.set_timesteps(steps)
    x = drawn(NOISE, 4, SIDE // 2, SIDE // 2)
    for t in scheduler.timesteps:
        found = [folder.unet(torch.cat([x, torch.zeros_like(x)], 1), t, c).sample for c in (null, folder.context())]
        x = scheduler.step(found[0] + guidance * (found[1] - found[0]), t, x).prev_sample
    image = folder.vae.decode(x / folder.vae.config.scaling_factor).sample
    return (image / 2 + 0.5).clamp(0, 1)[0].permute(1, 2, 0).numpy()


if __name__ == "__main__":
    noise, edit = Folder("noise_frozen"), Folder("noise_edit")
    with torch.no_grad():
        CASES = {"generate": draw(noise, "pndm", 4, 3.0, noise.learned_null()),
                 "unguided": draw(noise, "ddim", 3, 1.0, None),
                 "wordless": draw(noise, "dpm++", 3, 3.0, noise.wordless()),
                 "sdedit": draw_from(noise, "dpm++", 5, 2.0, noise.learned_null(), 0.6),
                 "sdedit_pndm": draw_from(noise, "pndm", 5, 2.0, noise.learned_null(), 0.9),
                 "ip2p": draw_edit(edit, "ddim", 3, 3.0, edit.learned_null(), 1.5),
                 "ip2p_unguided": draw_edit(edit, "ddim", 2, 3.0, edit.learned_null(), 0.9),
                 "ip2p_no_source": draw_without_source(edit, "ddim", 3, 2.0, edit.wordless())}
    for name, picture in CASES.items():
        print(name, picture.shape, "mean", picture.mean(), "at the ends", (picture <= 0).mean(), (picture >= 1).mean())
    save_file({k: torch.from_numpy(np.ascontiguousarray(v)).float() for k, v in CASES.items()},
              os.path.join(FIXTURES, "drawings.safetensors"))
