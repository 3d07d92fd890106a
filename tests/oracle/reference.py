"""The reference trainer: reads the same config and mixture as `train`, follows the same contract in PyTorch, and writes the
same dump files.   python tests/oracle/reference.py --config RUN.json --dump DIR [--steps N] [--f32]"""

import argparse
import math
import os
from dataclasses import dataclass

import numpy as np
import torch
from safetensors.numpy import save_file

import conversation
import models
import order
import records
import run_config
from conversation import IGNORE, IMAGE
from pictures import Preprocessor

NORM_WEIGHTS = ("layernorm.weight", "norm.weight", "norm1.weight", "norm2.weight", "norm3.weight", "norm_out.weight")
IMAGE_TASKS = ("generate", "edit")


class NothingToDo(Exception):
    """No usable row, or nothing that trains."""


@dataclass
class Item:
    """A sample ready for the model."""
    record: records.Record
    rows: list      # positions (expanded) of the states that predict a label
    labels: list
    tensors: list   # pictures
    runs: list      # positions (expanded) where runs of visual tokens begin
    prompts: list   # of the target of each run


def load_samples(cfg, tokenizer, vocabulary, patches, preprocessor):
    """Every usable record of the mixture, encoded; and how many of them LLaVA's own code was held against."""
    out, compared = [], 0
    for r in records.load_mixture(cfg):
        if r.reject:
            continue
        try:
            tensors = [torch.from_numpy(preprocessor.tensor(p)) for p in r.inputs] if preprocessor else []
        except OSError:
            r.reject = "corrupt"
            continue
        r.text = conversation.encode(r, cfg["data"]["template"], vocabulary, tokenizer, cfg["data"]["max_tokens"], patches)
        if r.text is None or lacks_what_it_draws(r, cfg):
            continue
        compared += against_llava(r, cfg["data"]["template"], tokenizer, vocabulary)
        item = Item(r, [], [], tensors[:sum(i == IMAGE for i in r.text.ids)], [], [])
        position = 0
        for i, label, visual in zip(r.text.ids, conversation.labels(r.text, cfg["loss"]["image_tokens"]), r.text.visual):
            if label != IGNORE and position > 0:
                item.rows.append(position - 1)
                item.labels.append(label)
            if visual == 0 and r.task in IMAGE_TASKS:
                item.runs.append(position)
            position += patches if i == IMAGE else 1
        item.prompts = records.prompts(r)[:len(item.runs)]
        out.append(item)
    return out, compared


def lacks_what_it_draws(r, cfg):
    """Marks a row whose target images cannot be learned: nothing to edit, or no prompt to compare with."""
    draws = 0 in r.text.visual and r.task in IMAGE_TASKS
    if draws and r.task == "edit" and IMAGE not in r.text.ids:
        r.reject = "marker_mismatch"
    elif draws and r.task == "generate" and r.sd.get("prompt") is None and cfg["model"]["diffusion"]["path"] and (
            cfg["loss"]["generate"] != "noise"):
        r.reject = "bad_json"
    return r.reject


def against_llava(r, template, tokenizer, vocabulary):
    """Where LLaVA's split-and-count method is defined it must give the same ids and labels."""
    plain_text = all(not any(s in text for s in ("</s>", "<s>", "[/INST]", "ASSISTANT:")) and (human or text.strip())
                     for human, text in r.turns)
    if not plain_text or any(i >= vocabulary.size for i in r.text.ids):
        return 0
    theirs = conversation.llava_reference(r, template, tokenizer)
    if theirs is None or len(theirs[0]) != len(r.text.ids):
        return 0  # cut to max_tokens, or given up there
    ours = conversation.labels(r.text, "all")
    assert theirs == (r.text.ids, ours), f"record {r.number}: LLaVA's labels differ:\n{theirs}\n{(r.text.ids, ours)}"
    return 1


# ------------------------------------------------------------------ schedule

def lr_factor(cfg, k, total):
    o = cfg["optim"]
    w = math.ceil(o["warmup"] * total) if o["warmup"] < 1 else int(o["warmup"])
    if k < w:
        return k / max(1, w)
    if o["schedule"] == "cosine":
        return max(0.0, 0.5 * (1 + math.cos(math.pi * (k - w) / max(1, total - w))))
    if o["schedule"] == "linear":
        return max(0.0, (total - k) / max(1, total - w))
    return 1.0


def decays(name):
    return not name.endswith(("bias", *NORM_WEIGHTS))


# ------------------------------------------------------------------ a step

def term_weights(model, items):
    """What each loss is divided by: Σ w over labels, and over the target images of each task."""
    out = {"text": sum(it.record.weight * len(it.labels) for it in items)}
    for task in IMAGE_TASKS if model.gen_head else ():
        out[task] = sum(it.record.weight * len(it.runs) for it in items if it.record.task == task)
    return out


def scaled(model, cfg, items):
    """Every item with the factors of its summed losses. "micro": the mean over a pass's terms, then over the passes."""
    def length(it):
        return conversation.expanded_length(it.record.text.ids, model.patches)

    micro = cfg["loss"]["normalise"] == "micro"
    groups = order.passes(items, length, cfg["train"]["micro_tokens"]) if micro else [items]
    for group in groups:
        total = term_weights(model, group)
        for it in group:
            yield it, {k: it.record.weight / w / len(groups) if w else 0.0 for k, w in total.items()}


def image_loss(kind, context, target):
    """Summed over target images: the mean over an image's rows of the error's norm, or over its elements of its square."""
    error = context - target
    return (error.norm(dim=-1).mean(-1) if kind == "l2norm" else error.square().mean((-1, -2))).sum()


def image_losses(model, kind, it, context):
    if kind == "noise":
        source, null = (it.record.inputs or [None])[0], model.null_context()
        return sum(model.painter.loss(it.record.uid, target, source if it.record.task == "edit" else None, c, null)
                   for target, c in zip(it.record.targets, context))
    with torch.no_grad():
        target = torch.stack([model.text_encoder(p) for p in it.prompts])
    return image_loss(kind, context, target)


def item_losses(model, cfg, it):
    """The summed losses of an item, its logits and its context."""
    states = model.states(it.record.text.ids, it.tensors)
    logits, context = model.logits(states[it.rows]), None
    losses = {"text": torch.nn.functional.cross_entropy(logits, torch.tensor(it.labels), reduction="sum")}
    if model.gen_head and it.runs:
        context = model.context(states, it.runs)
        losses[it.record.task] = image_losses(model, cfg["loss"][it.record.task], it, context)
    return losses, logits, context


def run_step(model, cfg, items, with_logits):
    """Forward and backward over the items. Gradients stay in .grad; returns the dump's loss, logits and context entries."""
    entries, contexts, total = [], [], term_weights(model, items)
    sums, present = dict.fromkeys(total, 0.0), {"text"}
    for it, scale in scaled(model, cfg, items):
        losses, logits, context = item_losses(model, cfg, it)
        for k, loss in losses.items():
            sums[k] += it.record.weight * float(loss.detach())
            present.add(k)
        loss = sum(loss * (scale[k] * cfg["loss"][f"{k}_weight"]) for k, loss in losses.items())
        if loss.requires_grad:
            loss.backward()
        rows = np.array([[it.record.number, r] for r in it.rows], np.int32)
        entries.append((it.record.number, rows, np.array(it.labels, np.int32), logits.detach()))
        if context is not None:
            contexts += [((it.record.number, at), c.detach().float().numpy()) for at, c in zip(it.runs, context)]
    values = {k: sums[k] / total[k] if total[k] else 0.0 for k in total}  # alike in every regime
    out = {"loss": np.float32(sum(cfg["loss"][f"{k}_weight"] * values[k] for k in values)),
           **{f"loss.{k}": np.float32(values[k]) for k in present}}
    entries.sort(key=lambda e: e[0])
    rows, labels = np.concatenate([e[1] for e in entries]), np.concatenate([e[2] for e in entries])
    by_row = np.lexsort((rows[:, 1], rows[:, 0]))  # copies of a record stand label by label
    out["logits.row"], out["logits.label"] = rows[by_row], labels[by_row]
    if with_logits:
        out["logits"] = torch.cat([e[3] for e in entries]).float().numpy()[by_row]
    contexts.sort(key=lambda e: e[0])
    if contexts:
        out["context.row"] = np.array([number for (number, _), _ in contexts], np.int32)
        out["context"] = np.stack([c for _, c in contexts])
    return out


def renormalise(model, vocabulary):
    """GILL: every [IMG] row gets the mean norm of the other rows, those of task tokens included."""
    first = vocabulary.first_visual - vocabulary.size
    for rows, base in ((model.rows_embed, model.base.model.embed_tokens.weight), (model.rows_head, model.base.lm_head.weight)):
        with torch.no_grad():
            others = torch.cat([base, rows[:first]])
            visual = rows[first:]
            visual *= others.norm(dim=1).mean() / visual.norm(dim=1, keepdim=True)


def array(t):
    return t.detach().float().numpy().copy()


def open_vocabulary(cfg):
    """The tokenizer of a run and where its added ids stand."""
    folder, tokens = cfg["model"]["llm"]["path"], cfg["model"]["tokens"]
    vocab_size = run_config.load_json(os.path.join(folder, "config.json"))["vocab_size"]
    return (conversation.load_tokenizer(os.path.join(folder, "tokenizer.model")),
            conversation.Vocabulary(vocab_size, tokens["task"], tokens["image"]))


def nudged(model, seed):
    """Every parameter a few ulp of f32 beside itself, differently for every seed; 0 leaves it."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters() if seed else ():
            p.mul_(1 + (2 * torch.rand(p.shape, generator=g) - 1) * 2.0 ** -20)
    return model


def train(cfg, dump, steps=None, double=True, want=None, nudge=0, order_of=None):
    """Runs and writes dump/step-NNNNNN.safetensors and dump/initial.safetensors (param/… before the first step).
    order_of(): called where there is something to train in an order of the toolkit's own; the dump that shows it.
    want(step, n_steps) names what a step's file holds: a set out of logits, grad, param; None: everything."""
    torch.manual_seed(0)
    if double:
        models.use_double_precision()
    m = cfg["model"]
    tokenizer, vocabulary = open_vocabulary(cfg)
    model = nudged(models.Model(cfg, vocabulary.rows), nudge)
    model = model.double() if double else model
    preprocessor = Preprocessor(m["vision"]["path"], m["vision"]["aspect"]) if model.vision else None
    items, compared = load_samples(cfg, tokenizer, vocabulary, model.patches, preprocessor)
    named = model.trainable()
    if not items or not named:
        raise NothingToDo
    plans = order.read(cfg, items, order_of()) if order.is_own(cfg, items) else order.plan(cfg, items)
    o = cfg["optim"]
    lr = {"llm": o["lr"], "projector": o["lr_projector"], "tokens": o["lr_tokens"], "vision": o["lr_vision"], "gen_head": o["lr_gen_head"],
          "unet": o["lr_unet"]}
    groups = [{"params": [p], "lr": 0.0, "peak": lr[g], "weight_decay": o["weight_decay"] if decays(n) else 0.0}
              for n, (p, g) in named.items()]
    optimizer = torch.optim.AdamW(groups, betas=(o["beta1"], o["beta2"]), eps=o["eps"], foreach=False)
    os.makedirs(dump, exist_ok=True)
    save_file({f"param/{n}": array(p) for n, (p, _) in named.items()}, f"{dump}/initial.safetensors")
    for k in range(min(len(plans), steps or len(plans))):
        wanted = want(k, len(plans)) if want else {"logits", "grad", "param"}
        optimizer.zero_grad(set_to_none=True)
        out = run_step(model, cfg, plans[k], "logits" in wanted)
        factor = lr_factor(cfg, k, len(plans))
        grads = {n: array(p.grad) for n, (p, _) in named.items() if p.grad is not None}
        norm = torch.nn.utils.clip_grad_norm_([p for p, _ in named.values()], o["max_grad_norm"] or math.inf)
        out["lr"], out["grad_norm"] = np.float32(factor * o["lr"]), np.float32(norm)
        for g in optimizer.param_groups:
            g["lr"] = factor * g["peak"]
        optimizer.step()
        if m["tokens"]["renorm"] and m["tokens"]["train"] == "rows" and vocabulary.n_visual:
            renormalise(model, vocabulary)
        if "grad" in wanted:
            out.update({f"grad/{n}": g for n, g in grads.items()})
        if "param" in wanted:
            out.update({f"param/{n}": array(p) for n, (p, _) in named.items()})
        untouched = "\n".join(sorted(set(named) - set(grads)))  # read by tests/train/parity.c
        save_file({n: np.asarray(v) for n, v in out.items()}, f"{dump}/step-{k:06d}.safetensors", {"untouched": untouched})
    return {"steps": len(plans), "samples": len(items), "held_against_llava": compared}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--config", required=True)
    p.add_argument("--dump", required=True)
    p.add_argument("--steps", type=int)
    p.add_argument("--f32", action="store_true", help="as transformers computes it, instead of the truth in double")
    p.add_argument("--nudge", type=int, default=0, help="start beside the weights; the number says where")
    p.add_argument("--order", help="a dump of train that shows which rows stand in which step, where the config alone does not say")
    a = p.parse_args()
    print(train(run_config.load(a.config), a.dump, a.steps, not a.f32, nudge=a.nudge, order_of=lambda: a.order))


if __name__ == "__main__":
    main()
