"""What `convert --to hf-llava` writes of a Llama with a CLIP tower, through transformers' own model and processor: logits at every label of
the parity case "llava" are those that its reference has. Called by parity.py."""

import os
import shutil

import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoProcessor, LlavaForConditionalGeneration

PARITY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "parity")
WORST = 1e-5
# of rows.json, which has one picture in its first row and none in its second
ROWS = [[("<image>", "What is it?"), (None, "A small house."), (None, "Is it red?"), (None, "No.")],
        [(None, "Who are you?"), (None, "An assistant.")]]


def parts(folder):
    """The case as parts: what a run starts from."""
    shutil.copytree(f"{PARITY}/llava", f"{folder}/case")
    os.remove(f"{folder}/case/config.json")
    with open(f"{PARITY}/llava/config.json", encoding="utf-8") as f, open(f"{folder}/case/run.json", "w", encoding="utf-8") as out:
        out.write(f.read().replace("../bases", f"{PARITY}/bases"))
    return f"{folder}/case"


def padded(path, mean):
    """As README.md of the exported folder says."""
    i = Image.open(path).convert("RGB")
    side = max(i.size)
    square = Image.new("RGB", (side, side), tuple(int(255 * x) for x in mean))
    square.paste(i, ((side - i.width) // 2, (side - i.height) // 2))
    return square


def messages(row, picture):
    return [{"role": "assistant" if k % 2 else "user",
             "content": ([{"type": "image", "image": picture}] if image else []) + [{"type": "text", "text": text}]}
            for k, (image, text) in enumerate(row)]


def check(run, build, folder):
    run([f"{build}/convert", "--from", parts(folder), "--to", "hf-llava", "--type", "f32", "--out", f"{folder}/out", "--quiet"])
    model = LlavaForConditionalGeneration.from_pretrained(f"{folder}/out", dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(f"{folder}/out")
    picture = padded(f"{PARITY}/llava/images/a.jpg", processor.image_processor.image_mean)
    wanted = load_file(f"{PARITY}/llava/expected/step-000000.safetensors")
    worst, n = 0.0, 0
    for k, row in enumerate(ROWS):
        inputs = processor.apply_chat_template(messages(row, picture), tokenize=True, return_dict=True, return_tensors="pt")
        with torch.no_grad():
            logits = model(**inputs).logits[0]
        for (r, place), expected in zip(wanted["logits.row"].tolist(), wanted["logits"]):
            if r == k:
                worst = max(worst, ((logits[place, :len(expected)] - expected).abs().max() / expected.abs().max()).item())
                n += 1
    print(f"LLaVA of a Llama and a CLIP in transformers: {n} labels, worst {worst:.1e} of {WORST:.0e}")
    return [] if worst <= WORST and n == len(wanted["logits"]) else [f"llava_export: logits differ by {worst:.1e} at {n} labels"]
