/* config.h: a run's settings as the file says them, checked, with every default filled in. The table in options.c is the only
 * place that knows keys, types, ranges and descriptions; these structs are where it puts the values. */
#ifndef GENLLAVA_TRAIN_CONFIG_CONFIG_H
#define GENLLAVA_TRAIN_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/status.h"

typedef enum TrainMode { TRAIN_FROZEN, TRAIN_LORA, TRAIN_FULL, TRAIN_ROWS, TRAIN_CONV_IN } TrainMode;
typedef enum DeviceChoice { DEVICE_AUTO, DEVICE_CPU, DEVICE_CUDA } DeviceChoice;
typedef enum InitChoice { INIT_FROM_WEIGHTS, INIT_AT_RANDOM } InitChoice;
typedef enum StoreChoice { STORE_AS_IS, STORE_BF16, STORE_INT8, STORE_NF4 } StoreChoice;
typedef enum MultiplyChoice { MULTIPLY_COMPUTE, MULTIPLY_FP8 } MultiplyChoice;
typedef enum AspectChoice { ASPECT_PAD, ASPECT_STRETCH } AspectChoice;
typedef enum ImageTokens { IMAGE_TOKENS_FIRST, IMAGE_TOKENS_ALL, IMAGE_TOKENS_NONE } ImageTokens;
typedef enum ImageAlign { ALIGN_AT, ALIGN_BEFORE } ImageAlign;
typedef enum ImageLoss { IMAGE_LOSS_L2NORM, IMAGE_LOSS_MSE, IMAGE_LOSS_NOISE } ImageLoss;
typedef enum EditMode { EDIT_LLM_ONLY, EDIT_SDEDIT, EDIT_IP2P, EDIT_TRAIN_CONV_IN } EditMode;
typedef enum Normalise { NORMALISE_STEP, NORMALISE_MICRO, NORMALISE_RANK } Normalise;
typedef enum TemplateChoice { TEMPLATE_MISTRAL_INSTRUCT, TEMPLATE_V1, TEMPLATE_LLAVA_LLAMA_2, TEMPLATE_PLAIN } TemplateChoice;
typedef enum ComputeChoice { COMPUTE_AUTO, COMPUTE_F32, COMPUTE_BF16 } ComputeChoice;
typedef enum MemoryChoice { MEMORY_CHECK, MEMORY_IGNORE } MemoryChoice;
typedef enum RecomputeChoice { CONFIG_RECOMPUTE_NONE, CONFIG_RECOMPUTE_SELECTIVE, CONFIG_RECOMPUTE_BLOCK } RecomputeChoice;
typedef enum ScheduleChoice { SCHEDULE_COSINE, SCHEDULE_LINEAR, SCHEDULE_CONSTANT } ScheduleChoice;
typedef enum MomentsChoice { MOMENTS_F32, MOMENTS_BF16 } MomentsChoice;

typedef struct StringList {
    char **items;
    int n;
} StringList;

/* Where a value was given. */
typedef struct ConfigPlace {
    bool given;
    int line, column; /* of its key; 0: by --set */
} ConfigPlace;

/* A list of sources: in a file of its own, or in the settings. */
typedef struct MixtureSetting {
    char *file;     /* absolute path, or NULL when json holds an inline list, or nothing is set */
    char *json;     /* the inline list's JSON text, or NULL */
    char *base_dir; /* folder that relative paths inside an inline list start from */
    char *exclude;  /* file that stands in place of its own list of excluded pictures, or NULL */
} MixtureSetting;
static inline bool mixture_is_set(const MixtureSetting *m) { return m->file || m->json; }

/* Paths are absolute after loading. Strings are never NULL unless marked. */
typedef struct RunConfig {
    char *name;
    int64_t seed;
    DeviceChoice device;
    struct {
        struct { char *path; TrainMode train; InitChoice init; StoreChoice store; MultiplyChoice multiply; } llm;
        struct { char *path; /* may be NULL: text only */ TrainMode train; InitChoice init; int64_t layer; AspectChoice aspect; } vision;
        struct {
            char *type;
            int depth; /* linear layers: linear 1, mlpKx_gelu K */
            TrainMode train;
            char *init; /* NULL: default */
        } projector;
        struct { int64_t r; double alpha, dropout; bool rslora; StringList targets; char *init; /* NULL: default */ } lora;
        struct {
            int64_t image; /* N visual output tokens */
            char *task_understand, *task_generate, *task_edit; /* each NULL when not set */
            TrainMode train;
            char *init; /* NULL: default */
            bool renorm;
        } tokens;
        struct {
            int64_t width, heads, ff, encoder_layers, decoder_layers, queries;
            TrainMode train;
            char *init; /* NULL: default */
        } gen_head;
        struct {
            char *path; /* may be NULL: nothing is drawn */
            TrainMode unet;
            EditMode edit;
            int64_t size;
        } diffusion;
    } model;
    struct {
        ImageLoss generate, edit;
        double text_weight, generate_weight, edit_weight;
        ImageTokens image_tokens;
        ImageAlign image_align;
        double condition_dropout;
        Normalise normalise;
    } loss;
    struct {
        MixtureSetting mixture, validation; /* validation may be unset */
        char *shards; /* NULL until it is known what they are made from (plan_shards) */
        int64_t shard_samples;
        TemplateChoice template_;
        int64_t max_tokens;
        double max_bad;
        int64_t max_pixels;
        StringList cache; /* CACHE_NAMES */
        bool shuffle;
        int64_t workers; /* -1: auto */
    } data;
    struct {
        int64_t steps; /* 0: by epochs */
        double epochs;
        int64_t batch, micro_tokens, micro_images;
        ComputeChoice compute;
        RecomputeChoice recompute;
        bool winograd;
        MemoryChoice memory;
    } train;
    struct {
        double lr, lr_projector, lr_gen_head, lr_tokens, lr_vision, lr_unet;
        double beta1, beta2, eps, weight_decay, max_grad_norm;
        ScheduleChoice schedule;
        double warmup;
        MomentsChoice moments;
    } optim;
    struct { char *dir; int64_t every, keep; bool split, best; } save;
    struct { int64_t every, samples, patience; char *suite; /* may be NULL */ } eval;
    struct { int64_t every; char *prompts; /* may be NULL */ } sample;
    struct { int64_t every; bool tensorboard; } log;
    bool plan_only;      /* no run: what is not there yet is planned for all the same (--dry-run) */
    bool draws;          /* pictures will be drawn: what draws them is opened, whatever the losses need */
    bool captions;       /* … of what the diffusion folder's own text encoder makes of captions */
    struct { char *replay; /* may be NULL */ } debug;
    char *file;          /* as it was named */
    ConfigPlace *places; /* of each option */
} RunConfig;

/* Reads FILE (or "-" for standard input), applies the --set overrides ("section.key=value") and checks everything. All errors of the
 * file are gathered into one message, a line each: file:line:column: what was found, what is allowed, did you mean. */
#define CONFIG_NO_FILE "settings of no file" /* as FILE: the overrides alone */
MUST_USE Status config_load(RunConfig *cfg, const char *file, const char *const *sets, int n_sets);
void config_free(RunConfig *cfg);
/* base + "/" + path for relative ones; NULL without memory. Leading "./" and "../" are taken off exactly where base has no symbolic links.
 * Caller frees with mem_free. */
char *config_absolute(const char *base, const char *path);
/* That every file and folder the config names as an input is there. All that are not are in one message, a line each: file:line:column,
 * key, path. keys: only these, ends with NULL; NULL: all. but: not these; may be NULL. */
MUST_USE Status config_check_paths(const RunConfig *cfg, const char *const *keys, const char *const *but);
/* The whole config as JSON with every default written out (config.resolved.json); itself loadable. Caller frees with mem_free. */
MUST_USE Status config_to_json(const RunConfig *cfg, char **out);
MUST_USE Status config_save(const RunConfig *cfg, const char *path);
/* The JSON Schema (draft 2020-12) of the file. Caller frees. */
MUST_USE Status config_schema(char **out);
/* The keys whose values differ, as text for people ("optim.lr: 0.0002 there, 0.0003 here"); keys that resume may change are
 * left out. *out is NULL when nothing differs. Caller frees. */
MUST_USE Status config_difference(const RunConfig *there, const RunConfig *here, char **out);
#endif
