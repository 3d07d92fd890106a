"""Log-probabilities of llama.cpp (xllamacpp, where it is installed) over our GGUF beside those of transformers over our hf."""

import gguf
import torch

try:
    import xllamacpp
except ImportError:
    xllamacpp = None
BOUND = 2e-5
PROMPTS = 12


def check(model, folder, name):
    """model: of transformers, f32. folder: with model.gguf in f32. Returns what is wrong."""
    tensors = gguf.GGUFReader(f"{folder}/model.gguf").tensors
    elements, wanted = sum(int(t.n_elements) for t in tensors), sum(p.numel() for p in model.parameters())
    bad = [] if elements == wanted else [f"{name}: {elements} numbers in model.gguf, {wanted} in hf"]
    if not xllamacpp:
        print("    xllamacpp is not installed: nothing is asked of llama.cpp")
        return bad
    p = xllamacpp.CommonParams()
    p.model.path, p.n_ctx, p.warmup, p.sampling.temp = f"{folder}/model.gguf", 128, False, 0
    p.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED  # it rounds keys and values to f16
    p.cache_type_k = p.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    rows = model.get_input_embeddings().weight.shape[0]
    server, worst, asked = xllamacpp.Server(p), 0, 0
    for k in range(PROMPTS):  # within the smallest sliding window, which llama.cpp lacks
        ids = [1] + [3 + (37 * i + 11 * k) % (rows - 3) for i in range(4)] + [rows - 1 - k]
        answer = server.handle_completions({"prompt": ids, "n_predict": 1, "temperature": 0, "n_probs": 20})
        chosen = (answer["choices"][0]["logprobs"] or {}).get("content")
        if not chosen:  # a piece of a character has no text yet
            continue
        asked += 1
        with torch.no_grad():
            ours = torch.log_softmax(model(torch.tensor([ids])).logits[0, -1].double(), -1)
        worst = max([worst] + [abs(ours[t["id"]].item() - t["logprob"]) for t in chosen[0]["top_logprobs"]])
        if chosen[0]["id"] != ours.argmax().item():
            bad.append(f"{name}: llama.cpp chooses {chosen[0]['id']}, transformers {ours.argmax().item()}")
    if not asked:
        bad.append(f"{name}: llama.cpp answered no prompt with a whole character")
    print(f"    {name}: llama.cpp's log-probabilities differ by {worst:.1e} of {BOUND:.0e}, {asked} prompts")
    return bad + ([f"{name}: llama.cpp's log-probabilities differ by {worst:.2e}"] if worst > BOUND else [])
