"""Files of weights that other libraries write, for tests/data/formats (torch_bin.c, gguf.c):
    python tests/oracle/containers.py            writes tests/fixtures/containers and the seed of tests/fuzz/torch_bin.c anew
`make parity` calls check()."""

import collections
import io
import os
import pickle
import zipfile

import gguf
import numpy as np
import torch
from safetensors.torch import load_file, save_file

FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "containers")
SEEDS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fuzz", "corpus", "torch_bin")
TYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8,
         torch.bool]


def tensors():
    """Views of every kind that torch stores by stride, and every type."""
    g = torch.Generator().manual_seed(5)
    shared = torch.randn(6, 8, generator=g)
    t = collections.OrderedDict()
    t["whole"] = shared
    t["transposed"] = shared.t()
    t["slice"] = shared[1:5:2, 3:]
    t["column"] = shared[:, 2]
    t["tied"] = shared
    t["permuted"] = torch.randn(2, 3, 4, 5, generator=g).to(torch.bfloat16).permute(2, 0, 3, 1)
    t["expanded"] = torch.tensor([[1.5], [-2.0]], dtype=torch.float16).expand(2, 3)
    t["scalar"] = torch.tensor(-3.25, dtype=torch.float64)
    t["none"] = torch.empty(0, 7)
    t["rows.last"] = torch.arange(12, dtype=torch.int16).reshape(4, 3)[3:]
    t["parameter"] = torch.nn.Parameter(torch.randn(3, generator=g).to(torch.bfloat16))
    t["frozen"] = torch.nn.Parameter(torch.arange(4, dtype=torch.float16), requires_grad=False)
    for dtype in TYPES:
        t[f"type.{str(dtype).removeprefix('torch.')}"] = (torch.randn(5, generator=g) * 20).to(dtype)
    t["über"] = torch.ones(1, 1, 2)
    return t


def write_fuzz_seed():
    """A pickle as the fuzz target wants it: of tensors over one storage of six numbers."""
    six = torch.arange(6, dtype=torch.float32)
    t = collections.OrderedDict(a=six, b=six.view(2, 3).t(), c=torch.nn.Parameter(six[1:4]))
    t._metadata = collections.OrderedDict([("", {"version": 1})])
    buffer = io.BytesIO()
    torch.save(t, buffer)
    os.makedirs(SEEDS, exist_ok=True)
    with zipfile.ZipFile(buffer) as z, open(f"{SEEDS}/state_dict.pkl", "wb") as f:
        f.write(z.read("archive/data.pkl"))


class Calls:
    def __reduce__(self):
        return os.system, ("true",)


def write_torch():
    t = tensors()
    t._metadata = collections.OrderedDict([("", {"version": 1}), ("layer", {"version": 2})])
    torch.save(t, f"{FIXTURES}/tensors.bin")
    save_file({n: v.detach().contiguous().clone() for n, v in t.items()}, f"{FIXTURES}/tensors.safetensors")
    torch.save({"step": 7, "weight": torch.ones(2), "note": "text", "list": [1, None, True, 2**40, -5], "pair": (1, 2, 3, 4)},
               f"{FIXTURES}/mixed.bin")
    torch.save({"model": {"weight": torch.ones(2)}, "epoch": 3}, f"{FIXTURES}/nested.bin")
    torch.save({"epoch": 3}, f"{FIXTURES}/empty.bin")
    torch.save([torch.ones(2)], f"{FIXTURES}/list.bin")
    torch.save({"weight": torch.ones(2), "more": Calls()}, f"{FIXTURES}/calls.bin")
    torch.save({"weight": torch.ones(2)}, f"{FIXTURES}/protocol4.bin", pickle_protocol=4)
    torch.save({"weight": torch.ones(2)}, f"{FIXTURES}/old.bin", _use_new_zipfile_serialization=False)
    torch.save({"weight": torch.complex(torch.ones(2), torch.ones(2)).conj().imag}, f"{FIXTURES}/negated.bin")
    torch.save(torch.nn.Linear(1, 1), f"{FIXTURES}/module.bin")
    with open(f"{FIXTURES}/pickle.bin", "wb") as f:
        pickle.dump({"weight": [1.0]}, f)
    with zipfile.ZipFile(f"{FIXTURES}/mixed.bin") as whole, \
            zipfile.ZipFile(f"{FIXTURES}/deflated.bin", "w", zipfile.ZIP_DEFLATED) as packed, \
            zipfile.ZipFile(f"{FIXTURES}/zip64.bin", "w") as large:
        for m in whole.infolist():
            packed.writestr(zipfile.ZipInfo(m.filename), whole.read(m), zipfile.ZIP_DEFLATED)
            with large.open(zipfile.ZipInfo(m.filename), "w", force_zip64=True) as out:
                out.write(whole.read(m))


def numbers():
    """Blocks of every magnitude, ties among them."""
    rng = np.random.default_rng(3)
    x = (rng.standard_normal((6, 96)) * 10.0 ** rng.integers(-6, 4, (6, 1))).astype(np.float32)
    x[0, :32] = np.arange(32) * 0.5 - 8
    x[0, 0] = 127
    x[1, 32:64] = 0
    return x


def write_gguf(folder):
    x = numbers()
    x.tofile(f"{folder}/numbers.f32")
    w = gguf.GGUFWriter(f"{folder}/model.gguf", "llama")
    w.add_uint32("llama.block_count", 2)
    w.add_float32("llama.rope.freq_base", 1e6)
    w.add_bool("tokenizer.ggml.add_bos_token", True)
    w.add_array("tokenizer.ggml.tokens", ["<unk>", "", "\u2581a"])
    w.add_array("tokenizer.ggml.scores", [0.0, -1.0, -2.5])
    w.add_array("tokenizer.ggml.token_type", [2, 3, -1])
    w.add_string("tokenizer.chat_template", "{{ 'é' }}")
    w.add_tensor("f32", x)
    w.add_tensor("f16", x[:2, :7].astype(np.float16))
    for name, kind in (("q8_0", gguf.GGMLQuantizationType.Q8_0), ("bf16", gguf.GGMLQuantizationType.BF16)):
        w.add_tensor(name, gguf.quants.quantize(x, kind), raw_dtype=kind)
    finish(w)
    w = gguf.GGUFWriter(f"{folder}/kinds.gguf", "llama")
    w.add_custom_alignment(64)
    for kind, value in (("uint8", 200), ("int8", -100), ("uint16", 60000), ("int16", -30000), ("int32", -5), ("uint64", 2 ** 63),
                        ("int64", -2 ** 62), ("float64", 0.1)):
        getattr(w, f"add_{kind}")(f"test.{kind}", value)
    w.add_tensor("a", np.arange(3, dtype=np.float32))
    w.add_tensor("b", np.arange(24, dtype=np.float16).reshape(2, 3, 4))
    finish(w)


def finish(w):
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def check(folder):
    """The fixtures, which the tests in C hold the readers and writers against, are what the installed libraries write and read."""
    bad = []
    write_gguf(folder)
    for name in ("model.gguf", "kinds.gguf", "numbers.f32"):
        with open(f"{folder}/{name}", "rb") as new, open(f"{FIXTURES}/{name}", "rb") as old:
            if new.read() != old.read():
                bad.append(f"containers: gguf writes {name} otherwise than when tests/fixtures/containers was made")
    ours, wanted = torch.load(f"{FIXTURES}/tensors.bin"), load_file(f"{FIXTURES}/tensors.safetensors")
    bad += [f"containers: torch reads tensor {n} of tensors.bin otherwise" for n in wanted if not torch.equal(ours[n], wanted[n])]
    return bad


def main():
    os.makedirs(FIXTURES, exist_ok=True)
    write_torch()
    write_gguf(FIXTURES)
    write_fuzz_seed()


if __name__ == "__main__":
    main()
