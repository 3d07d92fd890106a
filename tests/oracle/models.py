"""The model of a run in PyTorch: transformers' Mistral or Llama (through peft), its SigLIP or CLIP, projector, token rows."""

import json
import os

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import safe_open
from torch import nn
from transformers import (AutoModelForCausalLM, CLIPTextModel, CLIPTokenizer, CLIPVisionConfig, CLIPVisionModel, SiglipVisionConfig,
                          SiglipVisionModel)
from transformers.models.clip import modeling_clip
from transformers.models.llama import modeling_llama
from transformers.models.mistral import modeling_mistral
from transformers.models.siglip import modeling_siglip

import fp8
import gen_head
import painter
from conversation import IMAGE

torch.set_num_threads(1)  # tiny matrices: more threads only wait for each other


def use_double_precision():
    """transformers computes norms, softmax, sines and cosines in f32 whatever the model's type; for the truth they must not.
    The angles stay those of f32: rounding them is part of the model that people trained."""
    def rms_norm(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))

    def rotary(self, x, position_ids):
        angle = position_ids[..., None].float() * self.inv_freq.float()
        angle = torch.cat((angle, angle), -1).to(x.dtype)
        return angle.cos(), angle.sin()

    def attention(module, query, key, value, attention_mask, scaling, dropout=0.0, **_):
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        scores = query @ key.transpose(2, 3) * scaling
        if attention_mask is not None:
            scores = scores + attention_mask
        weights = scores.softmax(-1)
        return (weights @ value).transpose(1, 2).contiguous(), weights

    modeling_mistral.MistralRMSNorm.forward = modeling_llama.LlamaRMSNorm.forward = rms_norm
    modeling_mistral.MistralRotaryEmbedding.forward = modeling_llama.LlamaRotaryEmbedding.forward = rotary
    for modeling in (modeling_mistral, modeling_llama, modeling_siglip, modeling_clip):
        modeling.eager_attention_forward = attention


def read_tensors(path):
    with safe_open(path, "pt") as f:
        return {k: f.get_tensor(k) for k in f.keys()}


def read_folder(folder):
    """All tensors of a Hugging Face folder, sharded or not."""
    index = os.path.join(folder, "model.safetensors.index.json")
    if not os.path.exists(index):
        return read_tensors(os.path.join(folder, "model.safetensors"))
    with open(index, encoding="utf-8") as f:
        names = set(json.load(f)["weight_map"].values())
    return {k: v for n in sorted(names) for k, v in read_tensors(os.path.join(folder, n)).items()}


# ------------------------------------------------------------------ vision

class Vision(nn.Module):
    """The tower up to the feature layer: element `layer` of [embeddings, block 0, …], without the closing norm and, of CLIP, without the
    feature of the class token."""

    def __init__(self, folder, layer):
        super().__init__()
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
            c = json.load(f)
        self.clip = c.get("model_type", "").startswith("clip")
        c = c.get("vision_config", c)
        c = {k: v for k, v in c.items() if k not in ("model_type", "torch_dtype", "dtype", "transformers_version")}
        config = CLIPVisionConfig(**c) if self.clip else SiglipVisionConfig(**{"vision_use_head": False, **c})
        config._attn_implementation = "eager"
        tower = CLIPVisionModel(config) if self.clip else SiglipVisionModel(config)
        self.n_blocks = layer if layer >= 0 else config.num_hidden_layers + 1 + layer
        self.embeddings, self.before = tower.embeddings, tower.pre_layrnorm if self.clip else None
        self.blocks = tower.encoder.layers[:self.n_blocks]
        self.patches = (config.image_size // config.patch_size) ** 2
        state = {}
        for name, value in read_folder(folder).items():
            if not name.startswith(("text_", "logit_", "visual_projection.")):
                state[name.removeprefix("vision_model.")] = value.float()
        for name, p in self.named_tensors():
            p.data.copy_(state[name.removeprefix("vision_model.")])

    def named_tensors(self):
        """(name in dumps, tensor) of what is executed."""
        for name, p in self.embeddings.named_parameters():
            yield f"vision_model.embeddings.{name}", p
        for name, p in self.before.named_parameters() if self.before else ():
            yield f"vision_model.pre_layrnorm.{name}", p
        for i, block in enumerate(self.blocks):
            for name, p in block.named_parameters():
                yield f"vision_model.encoder.layers.{i}.{name}", p

    def forward(self, pixels):
        x = self.embeddings(pixels)
        x = self.before(x) if self.before else x
        for block in self.blocks:
            x = block(x, attention_mask=None)
            x = x[0] if isinstance(x, tuple) else x
        return x[:, 1:] if self.clip else x


# ------------------------------------------------------------------ projector

PROJECTOR_PREFIXES = ("model.multi_modal_projector.", "multi_modal_projector.", "base_model.model.model.mm_projector.",
                      "model.mm_projector.", "mm_projector.", "projector.")


def projector_depth(kind):
    return 1 if kind == "linear" else int(kind.removeprefix("mlp").removesuffix("x_gelu"))


class Projector(nn.Module):
    def __init__(self, kind, width_in, width_out, file):
        super().__init__()
        depth = projector_depth(kind)
        self.layers = nn.ModuleList(nn.Linear(width_in if k == 0 else width_out, width_out) for k in range(depth))
        state = {}
        for name, value in read_tensors(file).items():
            for prefix in PROJECTOR_PREFIXES:
                if name.startswith(prefix):
                    name = name.removeprefix(prefix)
                    break
            layer, what = name.split(".")
            k = int(layer.removeprefix("linear_")) - 1 if layer.startswith("linear_") else int(layer) // 2
            state[f"{k}.{what}"] = value
        for name, p in self.layers.named_parameters():
            p.data.copy_(state[name].float())

    def named_tensors(self):
        for k, layer in enumerate(self.layers):
            for name, p in layer.named_parameters():
                yield f"multi_modal_projector.linear_{k + 1}.{name}", p

    def forward(self, x):
        for k, layer in enumerate(self.layers):
            x = layer(nn.functional.gelu(x) if k else x)
        return x


# ------------------------------------------------------------------ drawing

class TextEncoder(nn.Module):
    """Stable Diffusion's: a prompt to the states of its padded tokens, [length,C]."""

    def __init__(self, folder):
        super().__init__()
        self.clip = CLIPTextModel.from_pretrained(os.path.join(folder, "text_encoder"), dtype=torch.float32, attn_implementation="eager")
        self.tokenizer = CLIPTokenizer.from_pretrained(os.path.join(folder, "tokenizer"))
        self.requires_grad_(False)

    def forward(self, prompt):
        ids = self.tokenizer(prompt, padding="max_length", truncation=True, return_tensors="pt",
                             max_length=self.clip.config.max_position_embeddings).input_ids
        return self.clip(ids).last_hidden_state[0]


def read_gen_head(settings, width_in, context):
    sizes = {k: settings[k] for k in ("width", "heads", "ff", "encoder_layers", "decoder_layers", "queries")}
    head = gen_head.GenHead(width_in, context, **sizes)
    head.load_state_dict({k: v.float() for k, v in gen_head.read(settings["init"]).items()})
    return head.requires_grad_(settings["train"] == "full")


# ------------------------------------------------------------------ the composition

def hold(base, store):
    """Rounds the language model's weights as `store` holds them: all to bf16, or the layers' linears to bitsandbytes' int8 or nf4."""
    import codes  # wants bitsandbytes
    layers = {p for name, p in base.named_parameters() if name.endswith("_proj.weight")}
    for p in base.parameters():
        if store == "bf16":
            p.data = p.data.bfloat16().float()
        elif p in layers:
            p.data = (codes.nf4(p.data) if store == "nf4" else codes.int8(p.data))[-1]


class Model(nn.Module):
    def __init__(self, cfg, vocabulary_rows):
        super().__init__()
        m = cfg["model"]
        base = AutoModelForCausalLM.from_pretrained(m["llm"]["path"], dtype=torch.float32, attn_implementation="eager")
        if m["llm"]["store"] != "default":
            hold(base, m["llm"]["store"])
        self.tied = base.config.tie_word_embeddings
        self.vocab_size, self.width = base.config.vocab_size, base.config.hidden_size
        self.llm_mode = m["llm"]["train"]
        if self.llm_mode == "lora":
            self.llm = self._with_lora(base, m["lora"])
        else:
            self.llm = base
            base.requires_grad_(self.llm_mode == "full")
        if m["llm"]["multiply"] == "fp8":
            fp8.replace(base.model.layers)
        self.base = base
        self.vision = Vision(m["vision"]["path"], m["vision"]["layer"]) if m["vision"]["path"] else None
        self.projector = None
        if self.vision:
            self.vision.requires_grad_(m["vision"]["train"] == "full")
            self.projector = Projector(m["projector"]["type"], self.vision.embeddings.embed_dim, self.width,
                                       m["projector"]["init"])
            self.projector.requires_grad_(m["projector"]["train"] == "full")
        self.rows_embed = self.rows_head = None
        if vocabulary_rows:
            rows = read_tensors(m["tokens"]["init"])
            on = m["tokens"]["train"] == "rows"
            self.rows_embed = nn.Parameter(rows["token_rows.embed_tokens"].float(), requires_grad=on)
            self.rows_head = nn.Parameter(rows["token_rows.lm_head"].float(), requires_grad=on)
            assert len(self.rows_embed) == vocabulary_rows
        self.n_visual, self.align = m["tokens"]["image"], cfg["loss"]["image_align"]
        self.text_encoder = self.gen_head = self.painter = None
        if m["diffusion"]["path"]:
            self.text_encoder = TextEncoder(m["diffusion"]["path"])
            if "noise" in (cfg["loss"]["generate"], cfg["loss"]["edit"]):
                self.painter = painter.Painter(cfg)
            self.gen_head = read_gen_head(m["gen_head"], self.width, self.text_encoder.clip.config.hidden_size)
        self.eval()

    @staticmethod
    def _with_lora(base, lora):
        if lora["init"] != "default":
            return PeftModel.from_pretrained(base, lora["init"], is_trainable=True)
        return get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", r=lora["r"], lora_alpha=lora["alpha"],
                                               use_rslora=lora["rslora"], target_modules=lora["targets"]))

    @property
    def patches(self):
        return self.vision.patches if self.vision else 0

    def trainable(self):
        """name in dumps -> (parameter, group)."""
        out = {}
        for name, p in self.llm.named_parameters():
            if p.requires_grad:
                out[name.replace(".default.weight", ".weight")] = (p, "llm")
        for part, group in ((self.vision, "vision"), (self.projector, "projector")):
            for name, p in part.named_tensors() if part else ():
                if p.requires_grad:
                    out[name] = (p, group)
        for name, p in (("token_rows.embed_tokens", self.rows_embed), ("token_rows.lm_head", self.rows_head)):
            if p is not None and p.requires_grad:
                out[name] = (p, "tokens")
        for name, p in self.gen_head.named_parameters() if self.gen_head else ():
            if p.requires_grad:
                out["gen_head." + name] = (p, "gen_head")
        for name, p in self.painter.named_tensors() if self.painter else ():
            if p.requires_grad:
                out[name] = (p, "unet")
        return out

    def forward(self, ids, pictures, rows):
        """Unexpanded ids, picture tensors -> logits of the given rows of the expanded sample, [len(rows), V+R]."""
        return self.logits(self.states(ids, pictures)[rows])

    def logits(self, h):
        logits = self.base.lm_head(h)
        return logits if self.rows_head is None else torch.cat([logits, h @ self.rows_head.T], -1)

    def context(self, h, runs):
        """States of a sample; where its runs of visual tokens begin -> the context of each, [runs, queries, C]."""
        shift = 1 if self.align == "before" else 0
        rows = self.rows_embed[len(self.rows_embed) - self.n_visual:]
        return self.gen_head(torch.stack([h[at - shift:at - shift + self.n_visual] + rows for at in runs]))

    def null_context(self):
        """What the head makes of no states at all."""
        return self.gen_head(self.rows_embed[len(self.rows_embed) - self.n_visual:][None])[0]

    def states(self, ids, pictures):
        """The states of the expanded sample after the final norm, [T, D]."""
        dtype = self.base.lm_head.weight.dtype
        if pictures:
            features = self.projector(self.vision(torch.stack(pictures).to(dtype)))
        parts, image = [], 0
        for i in ids:
            if i == IMAGE:
                parts.append(features[image])
                image += 1
            elif i < self.vocab_size:
                parts.append(self.base.model.embed_tokens.weight[i:i + 1])
            else:
                parts.append(self.rows_embed[i - self.vocab_size:i - self.vocab_size + 1])
        x = torch.cat(parts)[None]
        return self.base.model(inputs_embeds=x, use_cache=False).last_hidden_state[0]
