/* options.c: the table of a run's keys (options.h), and the walks over it that others build on. */
#include "train/config/options.h"

#include <stdio.h>
#include <string.h>

#define AT(member) offsetof(RunConfig, member)
#define SELECT(...) (const char *const[]){__VA_ARGS__, NULL}

/* Names of choices, in the order of the enums of config.h; "" is a value that the key does not take. */
#define FROZEN_LORA_FULL SELECT("frozen", "lora", "full")
#define FROZEN_FULL SELECT("frozen", "", "full")
#define FROZEN_ROWS SELECT("frozen", "", "", "rows")
#define WEIGHTS SELECT("weights", "random")

enum { COUNT_MAX = 1 << 20 };

#define STRING(key, flags, at, fallback, help) {key, OPTION_STRING, flags, AT(at), fallback, NULL, 0, 0, NULL, help}
#define PATH(key, flags, at, fallback, help) {key, OPTION_PATH, flags, AT(at), fallback, NULL, 0, 0, NULL, help}
#define INIT(key, flags, at, help) {key, OPTION_INIT, flags, AT(at), "\"default\"", NULL, 0, 0, NULL, help}
#define INT(key, flags, at, fallback, low, high, help) {key, OPTION_INT, flags, AT(at), fallback, NULL, low, high, NULL, help}
#define REAL(key, flags, at, fallback, low, high, help) {key, OPTION_REAL, flags, AT(at), fallback, NULL, low, high, NULL, help}
#define BOOL(key, flags, at, fallback, help) {key, OPTION_BOOL, flags, AT(at), fallback, NULL, 0, 0, NULL, help}
#define CHOICE(key, flags, at, fallback, names, help) {key, OPTION_CHOICE, flags, AT(at), fallback, NULL, 0, 0, names, help}
#define LIST(key, flags, at, fallback, names, help) {key, OPTION_LIST, flags, AT(at), fallback, NULL, 0, 0, names, help}

/* Members of a section stand together, in the order in which they are written out. */
const Option OPTIONS[] = {
    {"name", OPTION_STRING, OPTION_FREE, AT(name), NULL, "the file's stem", 0, 0, NULL, "The run's name: its folder is save.dir/name."},
    INT("seed", 0, seed, "42", -OPTION_UNBOUNDED, OPTION_UNBOUNDED, "The only source of randomness."),
    CHOICE("device", OPTION_FREE | OPTION_GPU, device, "\"auto\"", SELECT("auto", "cpu", "cuda"),
           "Where the run computes; auto takes cuda where a usable device is, else cpu."),

    PATH("model.llm.path", OPTION_REQUIRED | OPTION_FOLDER, model.llm.path, NULL,
         "Hugging Face folder of a language model of the Mistral or Llama 2 family; also holds tokenizer.model."),
    CHOICE("model.llm.train", 0, model.llm.train, "\"lora\"", FROZEN_LORA_FULL,
           "What of the language model is trained; full covers embed_tokens and lm_head too."),
    CHOICE("model.llm.init", 0, model.llm.init, "\"weights\"", WEIGHTS,
           "Where its weights come from; random reads config.json and the tokenizer alone and draws weights as initializer_range says."),
    CHOICE("model.llm.store", 0, model.llm.store, "\"default\"", SELECT("default", "bf16", "int8", "nf4"),
           "How its frozen weights are held: as the folder has them; all of them rounded to bf16; or the matrices of its layers in 8 or 4 "
           "bits, in the formats of bitsandbytes, dequantised for each product."),
    CHOICE("model.llm.multiply", 0, model.llm.multiply, "\"compute\"", SELECT("compute", "fp8"),
           "What the frozen weights of its layers are multiplied in: the run's own type (train.compute), or 8-bit floats (E4M3) with a "
           "scale for every row, as GPUs of compute capability 8.9 or newer do natively; adapters keep the run's type."),

    PATH("model.vision.path", OPTION_NULLABLE | OPTION_FOLDER, model.vision.path, "null",
         "SigLIP or CLIP folder, or null for text only; its preprocessor_config.json gives size, mean, std and filter."),
    CHOICE("model.vision.train", 0, model.vision.train, "\"frozen\"", FROZEN_FULL, "Whether the vision tower is trained."),
    CHOICE("model.vision.init", 0, model.vision.init, "\"weights\"", WEIGHTS,
           "Where the tower's weights come from, as for model.llm.init."),
    INT("model.vision.layer", 0, model.vision.layer, "-2", -1000, 1000,
        "Which element of [embeddings, block 0, block 1, ...] gives the features; negative counts from the end."),
    CHOICE("model.vision.aspect", 0, model.vision.aspect, "\"pad\"", SELECT("pad", "stretch"),
           "How a picture that is not square becomes square: padded in the mean colour, or as its processor does, stretched or cut."),

    {"model.projector.type", OPTION_PROJECTOR, 0, AT(model.projector.type), "\"mlp2x_gelu\"", NULL, 0, 0, NULL,
     "Shape of the projector: one linear layer, or K of them with GELU between."},
    CHOICE("model.projector.train", 0, model.projector.train, "\"full\"", FROZEN_FULL, "Whether the projector is trained."),
    INIT("model.projector.init", OPTION_FILE, model.projector.init, "Starting point: a safetensors file, or default for freshly drawn "
                                                                    "weights."),

    INT("model.lora.r", 0, model.lora.r, "128", 1, 65536, "Rank of the LoRA adapters."),
    REAL("model.lora.alpha", OPTION_ABOVE, model.lora.alpha, "256", 0, OPTION_UNBOUNDED,
         "Scale of the adapters: alpha/r, or alpha/sqrt(r) with rslora."),
    REAL("model.lora.dropout", OPTION_BELOW, model.lora.dropout, "0.05", 0, 1, "Dropout of the adapters' input while training."),
    BOOL("model.lora.rslora", 0, model.lora.rslora, "false", "Rank-stabilised scale alpha/sqrt(r)."),
    LIST("model.lora.targets", OPTION_NOT_EMPTY | OPTION_ALL_LINEAR, model.lora.targets,
         "[\"q_proj\",\"k_proj\",\"v_proj\",\"o_proj\",\"gate_proj\",\"up_proj\",\"down_proj\"]",
         SELECT("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
         "Linear layers of the language model that get an adapter; \"all-linear\" is all of them, and \"q_proj,v_proj\" is a list too."),
    INIT("model.lora.init", OPTION_FOLDER, model.lora.init,
         "Starting point: a PEFT folder whose r, alpha, rslora and targets must agree with these, or default for fresh adapters."),

    INT("model.tokens.image", 0, model.tokens.image, "8", 0, 4096, "Number of visual output tokens [IMG0], [IMG1], ...; 0 for none."),
    STRING("model.tokens.task.understand", OPTION_NULLABLE, model.tokens.task_understand, "\"[I2T]\"",
           "Task token of questions about pictures; null for none."),
    STRING("model.tokens.task.generate", OPTION_NULLABLE, model.tokens.task_generate, "\"[T2I]\"", "Task token of drawing; null for none."),
    STRING("model.tokens.task.edit", OPTION_NULLABLE, model.tokens.task_edit, "\"[I2I]\"", "Task token of editing; null for none."),
    CHOICE("model.tokens.train", 0, model.tokens.train, "\"rows\"", FROZEN_ROWS,
           "Whether the added rows of embed_tokens and lm_head are trained."),
    INIT("model.tokens.init", OPTION_FILE, model.tokens.init,
         "Starting point: safetensors with token_rows.embed_tokens and token_rows.lm_head (rows of the task tokens, then of the image "
         "tokens), or default."),
    BOOL("model.tokens.renorm", 0, model.tokens.renorm, "false", "After each step scale the added rows to the mean norm of the old ones, "
                                                                 "as GILL does."),

    INT("model.gen_head.width", 0, model.gen_head.width, "512", 1, 65536, "Width of the generation head's transformer."),
    INT("model.gen_head.heads", 0, model.gen_head.heads, "4", 1, 65536, "Its attention heads; they divide its width."),
    INT("model.gen_head.ff", 0, model.gen_head.ff, "2048", 1, 1 << 20, "Width of its feed-forward layers."),
    INT("model.gen_head.encoder_layers", 0, model.gen_head.encoder_layers, "4", 1, 1024, "Layers that read the visual output tokens."),
    INT("model.gen_head.decoder_layers", 0, model.gen_head.decoder_layers, "4", 1, 1024, "Layers that write the context."),
    INT("model.gen_head.queries", 0, model.gen_head.queries, "77", 1, 65536,
        "Rows of the context, each from a learned query: as many as the text encoder of model.diffusion.path has positions, which is "
        "checked where its folder text_encoder or tokenizer is there."),
    CHOICE("model.gen_head.train", 0, model.gen_head.train, "\"full\"", FROZEN_FULL, "Whether the generation head is trained."),
    INIT("model.gen_head.init", OPTION_FILE, model.gen_head.init,
         "Starting point: a safetensors file with GILL's or MGIE's names, or default for a freshly drawn head."),

    PATH("model.diffusion.path", OPTION_NULLABLE | OPTION_FOLDER, model.diffusion.path, "null",
         "Stable Diffusion in the form of diffusers, whose text encoder, UNet and VAE are read as the losses need them; or null for a "
         "model that does not draw."),
    CHOICE("model.diffusion.unet", 0, model.diffusion.unet, "\"frozen\"", SELECT("frozen", "", "full", "", "conv_in"),
           "What of the UNet is trained; conv_in is its first convolution alone."),
    CHOICE("model.diffusion.edit", 0, model.diffusion.edit, "\"llm_only\"", SELECT("llm_only", "sdedit", "ip2p", "train_conv_in"),
           "How the picture to edit reaches the UNet: not at all, as a start when drawing, or as 4 more channels of its input, which the "
           "UNet has or gets."),
    INT("model.diffusion.size", 0, model.diffusion.size, "512", 8, 4096,
        "Side in pixels of target pictures and of those that they are edited from: the shorter side is made so long, the middle is taken."),

    CHOICE("loss.generate", 0, loss.generate, "\"l2norm\"", SELECT("l2norm", "mse", "noise"),
           "What the context of a picture to draw is compared by: with the text encoder's states of its prompt, or by predicting noise."),
    CHOICE("loss.edit", 0, loss.edit, "\"noise\"", SELECT("l2norm", "mse", "noise"), "The same for a picture to edit."),
    REAL("loss.text_weight", 0, loss.text_weight, "1", 0, OPTION_UNBOUNDED, "Weight of the text loss."),
    REAL("loss.generate_weight", 0, loss.generate_weight, "1", 0, OPTION_UNBOUNDED, "Weight of the loss of pictures to draw."),
    REAL("loss.edit_weight", 0, loss.edit_weight, "0.5", 0, OPTION_UNBOUNDED, "Weight of the loss of pictures to edit."),
    CHOICE("loss.image_tokens", 0, loss.image_tokens, "\"first\"", SELECT("first", "all", "none"),
           "Which visual output tokens are labels of the text loss."),
    CHOICE("loss.image_align", 0, loss.image_align, "\"at\"", SELECT("at", "before"),
           "Which states the generation head reads: at the visual output tokens, or one position before each."),
    REAL("loss.condition_dropout", 0, loss.condition_dropout, "0.05", 0, 1.0 / 3,
         "Under a noise loss: share of pictures that are drawn from nothing, without what the language model says alone, and without the "
         "picture to edit alone."),
    CHOICE("loss.normalise", 0, loss.normalise, "\"step\"", SELECT("step", "micro", "rank"),
           "What one label's loss is divided by: the labels of the whole optimiser step, of its forward pass, or of its rank."),

    {"data.mixture", OPTION_MIXTURE, OPTION_REQUIRED | OPTION_FILE, AT(data.mixture), NULL, NULL, 0, 0, NULL,
     "Mixture file or list of sources; prepared into data.shards when those are missing or stale."},
    {"data.validation", OPTION_MIXTURE, OPTION_NULLABLE | OPTION_FREE | OPTION_FILE, AT(data.validation), "null", NULL, 0, 0, NULL,
     "Held-out rows, as data.mixture, or null: their loss is logged (eval.every), and nothing is learned from them."},
    {"data.shards", OPTION_PATH, OPTION_NULLABLE, AT(data.shards), NULL, "save.dir/shards/H", 0, 0, NULL,
     "Folder of the prepared shards, rebuilt when what they were made from has changed. H is a hash of that: runs with the same data share "
     "one folder, and other data get another."},
    INT("data.shard_samples", 0, data.shard_samples, "4096", 1, COUNT_MAX, "Samples of one shard."),
    CHOICE("data.template", 0, data.template_, "\"mistral_instruct\"", SELECT("mistral_instruct", "v1", "llava_llama_2", "plain"),
           "How a conversation becomes text."),
    INT("data.max_tokens", 0, data.max_tokens, "2048", 2, COUNT_MAX, "Longest sample in tokens, pictures expanded; longer ones are cut."),
    REAL("data.max_bad", 0, data.max_bad, "0.5", 0, 1,
         "Largest share of a source's rows that may be bad; with more the data is refused. Rows that a filter leaves out do not count."),
    INT("data.max_pixels", 0, data.max_pixels, "89478485", 1, 65500.0 * 65500,
        "Most pixels of a picture file; larger ones are bad rows. Reading one takes 3 bytes a pixel, a progressive JPEG 6, in every "
        "worker."),
    LIST("data.cache", 0, data.cache, "[]", SELECT("latents", "clip_text"),
         "What frozen networks make of pictures and prompts is computed once and kept beside the shards: the autoencoder's latents of "
         "pictures under a noise loss, the text encoder's states of prompts. The run then does without these networks."),
    BOOL("data.shuffle", 0, data.shuffle, "true", "Whether an epoch's order is drawn from the seed; false keeps file order."),
    {"data.workers", OPTION_AUTO_INT, OPTION_FREE, AT(data.workers), "\"auto\"", NULL, 0, 256, NULL,
     "Threads that decode pictures; auto is 0 on up to 2 cores (decode between steps), else a quarter of the cores, at most 4."},

    {"train.steps", OPTION_INT, OPTION_NULLABLE, AT(train.steps), "null", "from train.epochs", 1, OPTION_UNBOUNDED, NULL,
     "Optimiser steps of the run; excludes train.epochs."},
    {"train.epochs", OPTION_REAL, OPTION_NULLABLE | OPTION_ABOVE, AT(train.epochs), "null", "1", 0, 1e9, NULL,
     "Passes over the mixture, also fractional; excludes train.steps."},
    INT("train.batch", 0, train.batch, "128", 1, COUNT_MAX, "Samples of one optimiser step over all ranks."),
    INT("train.micro_tokens", 0, train.micro_tokens, "16384", 1, INT32_MAX / 2,
        "Token budget of one packed forward pass; no sample may be longer."),
    INT("train.micro_images", 0, train.micro_images, "4", 1, COUNT_MAX, "Pictures that a noise loss takes through VAE and UNet at a time."),
    CHOICE("train.compute", 0, train.compute, "\"auto\"", SELECT("auto", "f32", "bf16"),
           "Type of activations and weights in use; auto is bf16 where the device multiplies it natively, else f32. Masters, "
           "gradients and sums are f32, moments by optim.moments."),
    CHOICE("train.recompute", 0, train.recompute, "\"selective\"", SELECT("none", "selective", "block"),
           "What the backward pass computes again instead of keeping it."),
    CHOICE("train.memory", OPTION_FREE, train.memory, "\"check\"", SELECT("check", "ignore"),
           "Whether a run that needs more memory than is available is refused before it starts."),
    BOOL("train.winograd", 0, train.winograd, "true",
         "3x3 convolutions in f32 on the CPU are computed with a quarter of the products, up to three times the rounding error."),

    REAL("optim.lr", 0, optim.lr, "2e-4", 0, OPTION_UNBOUNDED, "Learning rate of the adapters, or of the language model when it is "
                                                               "trained in full."),
    REAL("optim.lr_projector", 0, optim.lr_projector, "2e-5", 0, OPTION_UNBOUNDED, "Learning rate of the projector."),
    REAL("optim.lr_gen_head", 0, optim.lr_gen_head, "1e-4", 0, OPTION_UNBOUNDED, "Learning rate of the generation head."),
    REAL("optim.lr_tokens", 0, optim.lr_tokens, "1e-4", 0, OPTION_UNBOUNDED, "Learning rate of the added token rows."),
    REAL("optim.lr_vision", 0, optim.lr_vision, "2e-6", 0, OPTION_UNBOUNDED, "Learning rate of the vision tower."),
    REAL("optim.lr_unet", 0, optim.lr_unet, "1e-5", 0, OPTION_UNBOUNDED, "Learning rate of the UNet, or of its first convolution."),
    REAL("optim.beta1", OPTION_BELOW, optim.beta1, "0.9", 0, 1, "AdamW: decay of the first moment."),
    REAL("optim.beta2", OPTION_BELOW, optim.beta2, "0.999", 0, 1, "AdamW: decay of the second moment."),
    REAL("optim.eps", 0, optim.eps, "1e-8", 0, OPTION_UNBOUNDED, "AdamW: added to the root of the second moment."),
    REAL("optim.weight_decay", 0, optim.weight_decay, "0", 0, OPTION_UNBOUNDED,
         "AdamW: decoupled decay; never on biases and norm weights."),
    CHOICE("optim.moments", 0, optim.moments, "\"f32\"", SELECT("f32", "bf16"),
           "Type that AdamW's two moments are kept in. bf16 halves their memory and files; it is rounded at random, so that small steps "
           "are not lost. With --resume --change f32 ones are rounded to nearest once."),
    REAL("optim.max_grad_norm", 0, optim.max_grad_norm, "1.0", 0, OPTION_UNBOUNDED,
         "Largest global norm of the gradient; 0 does not clip."),
    CHOICE("optim.schedule", 0, optim.schedule, "\"cosine\"", SELECT("cosine", "linear", "constant"),
           "How the learning rates fall after the warm-up."),
    REAL("optim.warmup", 0, optim.warmup, "0.03", 0, OPTION_UNBOUNDED,
         "Warm-up: below 1 a fraction of the steps, rounded up; from 1 a number of steps."),

    PATH("save.dir", OPTION_FREE, save.dir, "\"runs\"", "Where run folders lie."),
    INT("save.every", OPTION_FREE, save.every, "500", 0, OPTION_UNBOUNDED,
        "Steps between checkpoints; the last step is always saved, with 0 it alone."),
    INT("save.keep", OPTION_FREE, save.keep, "3", 1, COUNT_MAX, "Checkpoints kept; older ones are removed."),
    BOOL("save.split", OPTION_FREE, save.split, "false",
         "Every rank writes its share of the optimizer's state, at the same time, into a save.dir that all of them see; any number of "
         "ranks reads it back."),
    BOOL("save.best", OPTION_FREE, save.best, "false",
         "Whether the checkpoint of the lowest validation loss is kept beside them; \"best\" links to it."),

    INT("eval.every", OPTION_FREE, eval.every, "0", 0, OPTION_UNBOUNDED,
        "Steps between validations, on data.validation and by eval.suite, which are also done after the last step; 0: only then."),
    INT("eval.samples", OPTION_FREE, eval.samples, "0", 0, OPTION_UNBOUNDED, "Only the first N held-out rows; 0: all."),
    INT("eval.patience", OPTION_FREE, eval.patience, "0", 0, COUNT_MAX,
        "The run ends early, saved, after so many validations in a row without a new lowest loss; 0 is off."),
    PATH("eval.suite", OPTION_FREE | OPTION_NULLABLE | OPTION_FILE, eval.suite, "null",
         "Benchmarks that are asked at every validation, a suite of `evaluate --suite`, or null; suite_NAME in train.jsonl is a score."),

    INT("sample.every", OPTION_FREE, sample.every, "0", 0, OPTION_UNBOUNDED,
        "Steps between sets of samples, which are also taken after the last step; 0 is off."),
    PATH("sample.prompts", OPTION_FREE | OPTION_NULLABLE | OPTION_FILE, sample.prompts, "null",
         "JSONL file of what to sample, {\"ask\", \"draw\" or \"edit\": text, \"image\": path or list of paths} a line; paths are relative "
         "to it."),

    INT("log.every", OPTION_FREE, log.every, "1", 1, OPTION_UNBOUNDED,
        "Steps between lines for people and points in TensorBoard; train.jsonl has every step."),
    BOOL("log.tensorboard", OPTION_FREE, log.tensorboard, "true", "Whether TensorBoard event files are written to tb/."),

    PATH("debug.replay", OPTION_NULLABLE | OPTION_FILE, debug.replay, "null",
         "Safetensors file with the random numbers of every row under a noise loss: noise/UID, posterior/UID, timestep/UID, drop/UID."),
};
const int N_OPTIONS = sizeof OPTIONS / sizeof *OPTIONS;

const OptionSection OPTION_SECTIONS[] = {
    {"", false, "Settings of a GenLLaVA training run."},
    {"model", false, "The networks: where they are and what of them is trained."},
    {"model.llm", false, "The language model."},
    {"model.vision", false, "The vision tower."},
    {"model.projector", false, "The projector from picture features to token embeddings."},
    {"model.lora", false, "The adapters of the language model under model.llm.train = lora."},
    {"model.tokens", false, "Tokens added to the vocabulary."},
    {"model.tokens.task", true, "Text put first in the human turn of rows with a picture; a task left out has none, null is none at all."},
    {"model.gen_head", false, "The generation head, which exists when model.diffusion.path is set."},
    {"model.diffusion", false, "The drawing networks."},
    {"loss", false, "What is minimised."},
    {"data", false, "What is learned from."},
    {"train", false, "Length, size and arithmetic of the run."},
    {"optim", false, "The optimiser."},
    {"save", false, "Checkpoints."},
    {"eval", false, "Validation while training, on held-out rows and by benchmarks."},
    {"sample", false, "Answers given while training, to see what it learns."},
    {"log", false, "Records of the run."},
    {"debug", false, "Comparisons with other frameworks."},
};
const int N_OPTION_SECTIONS = sizeof OPTION_SECTIONS / sizeof *OPTION_SECTIONS;

const Option *option_find(const char *key)
{
    for (int i = 0; i < N_OPTIONS; i++)
        if (!strcmp(OPTIONS[i].key, key))
            return &OPTIONS[i];
    return NULL;
}

const OptionSection *option_section(const char *key)
{
    for (int i = 0; i < N_OPTION_SECTIONS; i++)
        if (!strcmp(OPTION_SECTIONS[i].key, key))
            return &OPTION_SECTIONS[i];
    return NULL;
}

const char *option_leaf(const char *key)
{
    const char *dot = strrchr(key, '.');
    return dot ? dot + 1 : key;
}

bool option_in_section(const char *key, const char *section)
{
    size_t n = strlen(section);
    if (n && (strncmp(key, section, n) || key[n] != '.'))
        return false;
    const char *rest = n ? key + n + 1 : key;
    return *rest && !strchr(rest, '.');
}

/* Inner sections come where their first key stands in the table. */
void option_members(const char *section, OptionVisit visit, void *arg)
{
    const OptionSection *last = NULL;
    size_t n = strlen(section);
    for (int i = 0; i < N_OPTIONS; i++) {
        const char *key = OPTIONS[i].key;
        if (option_in_section(key, section)) {
            visit(arg, key, &OPTIONS[i], NULL);
            continue;
        }
        if (n && (strncmp(key, section, n) || key[n] != '.'))
            continue;
        for (int k = 0; k < N_OPTION_SECTIONS; k++) {
            const OptionSection *s = &OPTION_SECTIONS[k];
            size_t m = strlen(s->key);
            if (s != last && option_in_section(s->key, section) && !strncmp(key, s->key, m) && key[m] == '.') {
                visit(arg, s->key, NULL, s);
                last = s;
            }
        }
    }
}
