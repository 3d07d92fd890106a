/* plan.c: what a config means to encoder, preparation and loader (plan.h). */
#include "train/config/plan.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"

EncoderOptions plan_encoder(const RunConfig *cfg, const ModelSizes *sizes)
{
    static const ChatTemplate CHATS[] = {[TEMPLATE_MISTRAL_INSTRUCT] = CHAT_MISTRAL_INSTRUCT,
                                         [TEMPLATE_V1] = CHAT_V1,
                                         [TEMPLATE_LLAVA_LLAMA_2] = CHAT_LLAVA_LLAMA_2,
                                         [TEMPLATE_PLAIN] = CHAT_PLAIN};
    return (EncoderOptions){
        .chat = CHATS[cfg->data.template_],
        .vocab_size = sizes->vocab_size,
        .task_text = {[TASK_UNDERSTAND] = cfg->model.tokens.task_understand,
                      [TASK_GENERATE] = cfg->model.tokens.task_generate,
                      [TASK_EDIT] = cfg->model.tokens.task_edit},
        .n_visual = (int32_t)cfg->model.tokens.image,
        .max_tokens = cfg->data.max_tokens,
        .patches = sizes->patches,
    };
}

static bool compares_prompts(const RunConfig *cfg, ImageLoss loss) { return cfg->model.diffusion.path && loss != IMAGE_LOSS_NOISE; }
bool plan_compares_prompts(const RunConfig *cfg)
{
    return compares_prompts(cfg, cfg->loss.generate) || compares_prompts(cfg, cfg->loss.edit);
}

static bool predicts_noise(const RunConfig *cfg, ImageLoss loss) { return cfg->model.diffusion.path && loss == IMAGE_LOSS_NOISE; }
bool plan_predicts_noise(const RunConfig *cfg) { return predicts_noise(cfg, cfg->loss.generate) || predicts_noise(cfg, cfg->loss.edit); }

bool plan_diffuses(const RunConfig *cfg) { return plan_predicts_noise(cfg) || (cfg->model.diffusion.path && cfg->draws); }

VisualLabels plan_visual_labels(const RunConfig *cfg)
{
    static const VisualLabels OF[] = {
        [IMAGE_TOKENS_FIRST] = VISUAL_FIRST, [IMAGE_TOKENS_ALL] = VISUAL_ALL, [IMAGE_TOKENS_NONE] = VISUAL_NONE};
    return OF[cfg->loss.image_tokens];
}

bool plan_caches(const RunConfig *cfg, CacheKind kind)
{
    bool named = false;
    for (int i = 0; i < cfg->data.cache.n; i++)
        named |= !strcmp(cfg->data.cache.items[i], CACHE_NAMES[kind]);
    return named && (kind == CACHE_LATENTS ? plan_predicts_noise(cfg) : plan_compares_prompts(cfg));
}

PrepareOptions plan_prepare(const RunConfig *cfg, const ModelSizes *sizes, const Mixture *mixture, char *tokenizer_path)
{
    file_join(tokenizer_path, cfg->model.llm.path, "tokenizer.model");
    return (PrepareOptions){
        .mixture = mixture,
        .encoder = plan_encoder(cfg, sizes),
        .tokenizer_path = tokenizer_path,
        .vision_folder = cfg->model.vision.path,
        .pad = cfg->model.vision.aspect == ASPECT_PAD,
        .shard_samples = cfg->data.shard_samples,
        .max_bad = cfg->data.max_bad,
        .prompts = {[TASK_GENERATE] = compares_prompts(cfg, cfg->loss.generate), [TASK_EDIT] = compares_prompts(cfg, cfg->loss.edit)},
        .max_pixels = cfg->data.max_pixels,
        .out = cfg->data.shards,
    };
}

LoaderOptions plan_loader(const RunConfig *cfg, const ModelSizes *sizes, const Mixture *mixture, const Preprocessor *preprocessor,
                          double *weights)
{
    EncoderOptions encoder = plan_encoder(cfg, sizes);
    for (int i = 0; i < mixture->n_sources; i++)
        weights[i] = mixture->sources[i].weight;
    return (LoaderOptions){
        .shards = cfg->data.shards,
        .batch = cfg->train.batch,
        .micro_tokens = cfg->train.micro_tokens,
        .steps = cfg->train.steps,
        .epochs = cfg->train.epochs,
        .seed = cfg->seed,
        .shuffle = cfg->data.shuffle,
        .workers = cfg->data.workers,
        .preprocessor = preprocessor,
        .visual_labels = plan_visual_labels(cfg),
        .target_size = (int32_t)cfg->model.diffusion.size,
        .target_pixels = {[TASK_GENERATE] = predicts_noise(cfg, cfg->loss.generate), [TASK_EDIT] = predicts_noise(cfg, cfg->loss.edit)},
        .source_pixels = cfg->model.diffusion.edit == EDIT_IP2P || cfg->model.diffusion.edit == EDIT_TRAIN_CONV_IN,
        .max_pixels = cfg->data.max_pixels,
        .target_prompts =
            {[TASK_GENERATE] = compares_prompts(cfg, cfg->loss.generate), [TASK_EDIT] = compares_prompts(cfg, cfg->loss.edit)},
        .cached = {[CACHE_LATENTS] = plan_caches(cfg, CACHE_LATENTS), [CACHE_CLIP_TEXT] = plan_caches(cfg, CACHE_CLIP_TEXT)},
        .first_visual_id = encoder_visual_id(&encoder, 0),
        .n_ids = (int64_t)encoder.vocab_size + encoder_added_count(&encoder),
        .source_weight = weights,
        .n_sources = mixture->n_sources,
        .mixture_seed = mixture->seed,
        .mixture_epoch = mixture->epoch,
    };
}
