#!/bin/sh
# What the runs of tests/same read: sh tests/same/inputs.sh TREE FOLDER copies TREE/tests/fixtures/parity there and adds what it has not.
set -u
in=$2
cp -r "$1/tests/fixtures/parity" "$in" && rm -rf "$in"/*/expected || exit 73
mkdir "$in/dropout" "$in/wide" "$in/broken" "$in/bases/wide" "$in/bases/wide-vision" || exit 73

# Dropout, a weighted mixture, several passes a step, checkpoints on the way.
cat > "$in/dropout/config.json" << 'END'
{"model": {"llm": {"path": "../bases/llm-gqa"}, "vision": {"path": "../bases/vision-only"},
           "lora": {"r": 4, "alpha": 8, "dropout": 0.1}, "tokens": {"image": 2, "renorm": true}},
 "data": {"mixture": [
    {"name": "a", "files": ["../visual_tokens/rows.jsonl"], "image_root": "../visual_tokens/images", "weight": 1.5},
    {"name": "b", "files": ["../defaults_like/rows.json"], "image_root": "../defaults_like/images", "weight": 0.5, "max": 4}]},
 "train": {"steps": 8, "batch": 3, "micro_tokens": 110},
 "optim": {"lr": 1e-2, "lr_projector": 1e-2, "lr_tokens": 1e-2, "warmup": 2},
 "save": {"every": 3, "keep": 9}}
END
cat > "$in/dropout/ask.jsonl" << 'END'
{"ask": "What is it?", "image": "../visual_tokens/images/a.jpg"}
{"ask": "Say something."}
END

# Larger than the blocks of the kernels, with random weights.
sed -e 's/"hidden_size": 48/"hidden_size": 328/' -e 's/"intermediate_size": 80/"intermediate_size": 712/' \
    -e 's/"num_attention_heads": 4/"num_attention_heads": 8/' -e 's/"head_dim": 16/"head_dim": 40/' \
    -e 's/"sliding_window": 9/"sliding_window": 150/' "$in/bases/llm-gqa/config.json" > "$in/bases/wide/config.json"
cp "$in/bases/llm-gqa/tokenizer.model" "$in/bases/wide/"
sed -e 's/"hidden_size": 48/"hidden_size": 144/' -e 's/"intermediate_size": 64/"intermediate_size": 264/' \
    -e 's/"image_size": 32/"image_size": 196/' "$in/bases/vision-only/config.json" > "$in/bases/wide-vision/config.json"
sed 's/32/196/' "$in/bases/vision-only/preprocessor_config.json" > "$in/bases/wide-vision/preprocessor_config.json"
awk 'BEGIN {
    for (i = 0; i < 12; i++) {
        image = i % 3 ? "" : "\"image\": \"a.jpg\", "
        marker = i % 3 ? "" : "<image>\\n"
        printf "{\"id\": \"w%d\", %s\"conversations\": [{\"from\": \"human\", \"value\": \"%s", i, image, marker
        for (j = 0; j < 12 + 9 * i; j++) printf "the %d cat ", (i * 7 + j * 5) % 23
        printf "?\"}, {\"from\": \"gpt\", \"value\": \"a"
        for (j = 0; j < 9 + 4 * i; j++) printf " tree %d", (i * 3 + j * 11) % 19
        print ".\"}]}"
    } }' > "$in/wide/rows.jsonl"
cat > "$in/wide/config.json" << 'END'
{"model": {"llm": {"path": "../bases/wide", "init": "random"}, "vision": {"path": "../bases/wide-vision", "init": "random"},
           "lora": {"r": 20, "alpha": 40, "dropout": 0.05}},
 "data": {"mixture": [{"name": "w", "files": ["rows.jsonl"], "image_root": "../visual_tokens/images"}]},
 "train": {"steps": 3, "batch": 6, "micro_tokens": 1500}, "optim": {"lr": 1e-3, "warmup": 1}}
END

# Rows that cannot be used, several shards.
{
    cat << 'END'
{"id": "gone", "image": "gone.jpg", "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A cat."}]}
{"id": "none", "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A cat."}]}
{"id": "empty", "conversations": []}
{"id": 5, "conversations": "text"}
not JSON
{"uid": "q/1", "task": "understand",
END
    printf '%s' '{"uid": "q/2", "task": "understand", "images": [{"path": "b.png", "role": "input"}], "weight": 0.25, '
    echo '"turns": [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "A cat."}]}'
    sed -n 1,4p "$in/wide/rows.jsonl" | sed 's/a.jpg/tall.png/'
} > "$in/broken/rows.jsonl"
cp "$in/defaults_like/images/tall.png" "$in/visual_tokens/images/b.png" "$in/broken/"
cat > "$in/broken/config.json" << 'END'
{"model": {"llm": {"path": "../bases/llm-gqa"}, "vision": {"path": "../bases/vision-only"}},
 "data": {"mixture": [{"name": "broken", "files": ["rows.jsonl"], "image_root": "."},
                      {"name": "d", "files": ["../defaults_like/rows.json"], "image_root": "../defaults_like/images"}],
          "shard_samples": 3},
 "train": {"batch": 2}}
END
find "$in" -exec touch -d '2024-02-03 04:05:06' {} + # shards hold the times of files
