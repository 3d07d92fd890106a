"""The generation head as torch builds it, and what files call its weights."""

import torch
from safetensors.torch import load_file
from torch import nn

MGIE = {"fc": "llm2hid", "query_embs": "query", "tfm": "mapper", "model": "hid2feat"}
SPELLINGS = {"plain": lambda name: name, "gill": lambda name: "model.gen_text_hidden_fcs.0." + name,
             "mgie": lambda name: "edit_head." + MGIE[name.split(".")[0]] + name[len(name.split(".")[0]):]}


class GenHead(nn.Module):
    """GILL's GILLMapper (gill/layers.py), which is MGIE's EditMapper: x [G,N,D] -> [G,queries,C]."""

    def __init__(self, width_in, context, width, heads, ff, encoder_layers, decoder_layers, queries):
        super().__init__()
        self.fc = nn.Linear(width_in, width)
        self.tfm = nn.Transformer(batch_first=True, norm_first=True, d_model=width, nhead=heads, num_encoder_layers=encoder_layers,
                                  num_decoder_layers=decoder_layers, dim_feedforward=ff, dropout=0.0)
        self.model = nn.Linear(width, context)
        self.query_embs = nn.Parameter(torch.randn(1, queries, width))

    def forward(self, x):
        return self.model(self.tfm(self.fc(x), self.query_embs.repeat(len(x), 1, 1)))


def read(path):
    """A start file with the names of GenHead's parameters."""
    back = {}
    for name, value in load_file(path).items():
        name = name.removeprefix("model.gen_text_hidden_fcs.0.").removeprefix("edit_head.")
        first = name.split(".")[0]
        back[{v: k for k, v in MGIE.items()}.get(first, first) + name[len(first):]] = value
    return back
