"""Trajectories of diffusers' schedulers, for tests/train/models/sampler.c:
    python tests/oracle/samplers.py
Writes tests/fixtures/sampler/NAME/scheduler_config.json, as diffusers saves it, and expected.safetensors: for KIND.STEPS (and with
.STRENGTH behind it for one that starts from a picture) the timesteps and the latents after each step; KIND.timesteps: of every number of
steps from 1, Σ (i + 1)·timestep, 0 where diffusers leaves the schedule, or DPM divides by a step of zero. The noise predictor is a cheap
function of latents and timestep (`predict`), which the test computes too. The truth is computed in double, but for DPM, whose scheduler
casts latents to f32."""

import json
import os
import shutil

import numpy as np
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, PNDMScheduler
from safetensors.torch import save_file

from unets import uniform

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "sampler")
KINDS = {"ddim": DDIMScheduler, "pndm": PNDMScheduler, "dpm++": DPMSolverMultistepScheduler}
N = 12
NOISE, PICTURE, DRIFT = (uniform(name, N).double() * 2 for name in ("noise", "picture", "drift"))


def predict(x, t):
    return 0.9 * torch.roll(x, 1) - 0.3 * x + 0.4 * DRIFT * t / 1000


def exact(scheduler, config):
    """The schedule in double, as betas of the file give it."""
    root = 0.5 if config["beta_schedule"] == "scaled_linear" else 1
    betas = torch.linspace(config["beta_start"] ** root, config["beta_end"] ** root, config["num_train_timesteps"], dtype=torch.float64)
    scheduler.alphas_cumprod = torch.cumprod(1 - betas ** (1 / root), 0)
    if not isinstance(scheduler, DPMSolverMultistepScheduler):
        scheduler.final_alpha_cumprod = torch.tensor(1.0) if scheduler.config.set_alpha_to_one else scheduler.alphas_cumprod[0]
    else:
        scheduler.alpha_t, scheduler.sigma_t = scheduler.alphas_cumprod ** 0.5, (1 - scheduler.alphas_cumprod) ** 0.5


def exact_sigmas(scheduler):
    a = scheduler.alphas_cumprod
    sigmas = ((1 - a) / a) ** 0.5
    last = sigmas[:1] if scheduler.config.final_sigmas_type == "sigma_min" else torch.zeros(1, dtype=torch.float64)
    scheduler.sigmas = torch.cat([sigmas[scheduler.timesteps], last])


def run(scheduler, steps, strength):
    scheduler.set_timesteps(steps)
    if isinstance(scheduler, DPMSolverMultistepScheduler):
        exact_sigmas(scheduler)
    times, x = scheduler.timesteps, NOISE.clone()
    if strength is not None:  # StableDiffusionImg2ImgPipeline.get_timesteps and prepare_latents
        start = max(steps - min(int(steps * strength), steps), 0)
        times = times[start:]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(start)
        a = scheduler.alphas_cumprod[times[0]]
        x = a ** 0.5 * PICTURE + (1 - a) ** 0.5 * NOISE
    path = [x]
    for t in times:
        x = scheduler.step(predict(x, t.item()), t, x).prev_sample.double()
        path.append(x)
    return times, torch.stack(path)


def checksum(scheduler, steps):
    scheduler.set_timesteps(steps)
    t = scheduler.timesteps.numpy()
    count = steps + (isinstance(scheduler, PNDMScheduler) and steps > 1)
    t = t[:count]  # numpy's arange is one too long at times
    inside = t.min() >= 0 and t.max() < scheduler.config.num_train_timesteps
    if isinstance(scheduler, DPMSolverMultistepScheduler):
        inside &= bool((np.diff(t) < 0).all())
    return int(np.sum((np.arange(count) + 1) * t)) if inside else 0


def case(name, base, config, cases, checksums=()):
    folder = os.path.join(FOLDER, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    if base:
        base.from_config(config).save_pretrained(folder)
    else:
        with open(os.path.join(folder, "scheduler_config.json"), "w", encoding="utf-8") as f:
            json.dump(config, f, indent=1)
            f.write("\n")
    out = {}
    for kind, steps, strength in cases:
        scheduler = KINDS[kind].from_pretrained(folder)
        exact(scheduler, scheduler.config)
        times, path = run(scheduler, steps, strength)
        key = f"{kind}.{steps}" + (f".{strength}" if strength is not None else "")
        out[key + "/timesteps"], out[key + "/latents"] = times.int(), path.float()
    for kind in checksums:
        scheduler = KINDS[kind].from_pretrained(folder)
        every = range(1, scheduler.config.num_train_timesteps + 1)
        out[f"{kind}.timesteps"] = torch.tensor([checksum(scheduler, n) for n in every], dtype=torch.int32)
    save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(folder, "expected.safetensors"))
    print(name, len(cases), "trajectories, largest", max(v.abs().max().item() for k, v in out.items() if k.endswith("latents")))


def each(kinds, steps, strengths=(None,)):
    return [(kind, n, s) for kind in kinds for n in steps for s in strengths]


if __name__ == "__main__":
    # The file of Stable Diffusion 1.4.
    published = {"_class_name": "PNDMScheduler", "_diffusers_version": "0.7.0.dev0", "beta_end": 0.012, "beta_schedule": "scaled_linear",
                 "beta_start": 0.00085, "num_train_timesteps": 1000, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1,
                 "trained_betas": None, "clip_sample": False}
    case("published", None, published, each(KINDS, [1, 2, 3, 4, 5, 20, 50]) + each(KINDS, [20], [0.3, 0.96, 1.0]) + each(KINDS, [1], [1.0]),
         KINDS)
    small = {"num_train_timesteps": 200, "beta_start": 0.001, "beta_end": 0.06}
    # A picture that is clipped; nothing of the noise is left at the end.
    case("clipped", DDIMScheduler, {**small, "timestep_spacing": "linspace", "clip_sample": True, "clip_sample_range": 1.5},
         each(["ddim"], [1, 2, 6, 17]), ["ddim", "dpm++"])
    case("linspace", PNDMScheduler, {**small, "timestep_spacing": "linspace", "skip_prk_steps": True}, each(["pndm"], [1, 2, 3, 7]),
         ["pndm"])
    # Steps of Runge and Kutta first.
    case("runge_kutta", PNDMScheduler, {**small, "timestep_spacing": "leading", "set_alpha_to_one": True, "steps_offset": 2},
         each(["pndm"], [4, 5, 13]))
    # What DPM-Solver++ can be told.
    trailing = {**small, "timestep_spacing": "trailing"}
    case("trailing", DPMSolverMultistepScheduler, {**trailing, "final_sigmas_type": "sigma_min", "solver_type": "heun"},
         each(["dpm++", "ddim"], [1, 2, 6, 14, 15]), ["ddim", "dpm++"])
    case("euler", DPMSolverMultistepScheduler, {**small, "final_sigmas_type": "sigma_min", "euler_at_final": True, "steps_offset": 1,
                                                "timestep_spacing": "leading", "lower_order_final": False}, each(["dpm++"], [2, 6, 17]))
    case("first_order", DPMSolverMultistepScheduler, {**trailing, "solver_order": 1, "lower_order_final": False,
                                                      "final_sigmas_type": "sigma_min"}, each(["dpm++"], [3, 9]))
    case("second_order_at_end", DPMSolverMultistepScheduler, {**trailing, "lower_order_final": False, "final_sigmas_type": "sigma_min"},
         each(["dpm++"], [2, 9]))
