"""What `convert` writes of a trained run, loaded by the libraries that it is for, answers greedily as `generate` does: text through hf, a
square picture through hf-llava and its processor; llama.cpp gives the log-probabilities of hf."""

import sentencepiece
import torch
from PIL import Image
from transformers import AutoModelForCausalLM, AutoProcessor, AutoTokenizer, LlavaForConditionalGeneration

import llama_cpp

CASES = ("visual_tokens", "tied_full", "full_decay", "llava")
QUESTIONS = ("What is it?", "Describe the two red cars.", "Why\nnot?")
NEW = 8


def _chat(what, content):
    return what.apply_chat_template([{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True)


def _decode(ids, folder):
    """As SentencePiece does: tokenizer.json's decoder gives up a whole run of byte pieces where one of them is no UTF-8."""
    vocabulary = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/tokenizer.model")
    return vocabulary.decode([i for i in ids.tolist() if i < vocabulary.get_piece_size() and i != vocabulary.unk_id()]).strip()


def _text(model, tokenizer, question):
    inputs = tokenizer(_chat(tokenizer, question), add_special_tokens=False, return_tensors="pt")
    with torch.no_grad():
        out = model.generate(**inputs, max_new_tokens=NEW, do_sample=False)
    return _decode(out[0, inputs["input_ids"].shape[1]:], tokenizer.name_or_path)


def _picture(model, processor, question, path):
    prompt = _chat(processor, [{"type": "image"}, {"type": "text", "text": question}])
    inputs = processor(images=Image.open(path), text=prompt, add_special_tokens=False, return_tensors="pt")
    with torch.no_grad():
        out = model.generate(**inputs, max_new_tokens=NEW, do_sample=False)
    return _decode(out[0, inputs["input_ids"].shape[1]:], processor.tokenizer.name_or_path)


def check(run, build, folder):
    bad = []
    picture = f"{folder}/square.png"
    Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 50).convert("RGB").save(picture)
    for case in CASES:
        run([f"{build}/train", "--config", f"tests/fixtures/parity/{case}/config.json", "--quiet", "--set", f"save.dir={folder}",
             "--set", f"name={case}", "--set", f"data.shards={folder}/{case}.shards"])

        def ours(question, *image):
            out = run([f"{build}/generate", "--checkpoint", f"{folder}/{case}", "--ask", question, "--max-new-tokens", str(NEW), "--quiet", *image])
            return out.strip()

        def compare(what, question, theirs, wanted):
            if theirs != wanted:
                bad.append(f"{case} through {what}, {question!r}: {theirs!r}, generate says {wanted!r}")
        for to in ("hf", "gguf") if case == "full_decay" else ("hf", "gguf", "hf-llava"):
            run([f"{build}/convert", "--from", f"{folder}/{case}", "--to", to, "--type", "f32", "--out", f"{folder}/{case}-{to}", "--quiet"])
        model = AutoModelForCausalLM.from_pretrained(f"{folder}/{case}-hf", dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(f"{folder}/{case}-hf")
        for q in QUESTIONS:
            compare("hf", q, _text(model, tokenizer, q), ours(q))
        bad += llama_cpp.check(model, f"{folder}/{case}-gguf", case)
        if case == "full_decay":  # its projector has three layers
            continue
        model = LlavaForConditionalGeneration.from_pretrained(f"{folder}/{case}-hf-llava", dtype=torch.float32)
        processor = AutoProcessor.from_pretrained(f"{folder}/{case}-hf-llava")
        for q in QUESTIONS:
            compare("hf-llava", q, _picture(model, processor, q, picture), ours(q, "--image", picture))
    return bad
