/* from_llava.c: LLaVA's command line as settings of a run (from_llava.h). Names, defaults and meanings are those of llava/train/train.py
 * and of the TrainingArguments of transformers. For train/main.c. */
#include "train/config/from_llava.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/json_write.h"
#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"
#include "train/config/shell_words.h"

#define NOWHERE NULL

/* X(name, LLaVA's own default or NULL, the key or keys it becomes or NOWHERE, what more there is to say or "") */
#define FLAG_LIST(X)                                                                                                                      \
    X(model_name_or_path, NULL, "model.llm.path", "a folder: a name of the hub is to be downloaded first")                                \
    X(vision_tower, NULL, "model.vision.path", "the same")                                                                                \
    X(data_path, NULL, "data.mixture", "its files")                                                                                       \
    X(image_folder, NULL, "data.mixture", "its image_root")                                                                               \
    X(version, "v0", "data.template", "plain, v1, llava_llama_2, mistral_instruct")                                                       \
    X(model_max_length, "512", "data.max_tokens", "")                                                                                     \
    X(image_aspect_ratio, "square", "model.vision.aspect", "pad stays pad, square is stretch")                                            \
    X(mm_vision_select_layer, "-1", "model.vision.layer", "")                                                                             \
    X(mm_vision_select_feature, "patch", NOWHERE, "patch is what is computed")                                                            \
    X(mm_patch_merge_type, "flat", NOWHERE, "flat is what is computed")                                                                   \
    X(mm_use_im_start_end, "False", NOWHERE, "False is what is computed")                                                                 \
    X(mm_use_im_patch_token, "True", NOWHERE, "no text holds that token")                                                                 \
    X(mm_projector_type, "linear", "model.projector.type", "")                                                                            \
    X(pretrain_mm_mlp_adapter, NULL, "model.projector.init", "a safetensors file")                                                        \
    X(freeze_mm_mlp_adapter, "False", "model.projector.train", "True is frozen")                                                          \
    X(tune_mm_mlp_adapter, "False", "model.llm.train", "True is frozen")                                                                  \
    X(freeze_backbone, "False", "model.llm.train", "True is frozen")                                                                      \
    X(lora_enable, "False", "model.llm.train", "lora or full")                                                                            \
    X(lora_r, "64", "model.lora.r", "")                                                                                                   \
    X(lora_alpha, "16", "model.lora.alpha", "")                                                                                           \
    X(lora_dropout, "0.05", "model.lora.dropout", "")                                                                                     \
    X(lora_weight_path, "", "model.lora.init", "")                                                                                        \
    X(lora_bias, "none", NOWHERE, "none is what is computed")                                                                             \
    X(bits, "16", "model.llm.store", "4 is nf4, 8 is int8")                                                                               \
    X(quant_type, "nf4", "model.llm.store", "nf4 alone")                                                                                  \
    X(double_quant, "True", NOWHERE, "scales are stored in full")                                                                         \
    X(learning_rate, "5e-5", "optim.lr", "and optim.lr_projector, unless mm_projector_lr is given")                                       \
    X(mm_projector_lr, NULL, "optim.lr_projector", "")                                                                                    \
    X(weight_decay, "0", "optim.weight_decay", "")                                                                                        \
    X(adam_beta1, "0.9", "optim.beta1", "")                                                                                               \
    X(adam_beta2, "0.999", "optim.beta2", "")                                                                                             \
    X(adam_epsilon, "1e-8", "optim.eps", "")                                                                                              \
    X(max_grad_norm, "1", "optim.max_grad_norm", "")                                                                                      \
    X(lr_scheduler_type, "linear", "optim.schedule", "cosine, linear, constant_with_warmup; constant has no warm-up")                     \
    X(warmup_ratio, "0", "optim.warmup", "below 1")                                                                                       \
    X(warmup_steps, "0", "optim.warmup", "from 1")                                                                                        \
    X(optim, "adamw_torch", NOWHERE, "AdamW is what is computed")                                                                         \
    X(num_train_epochs, "3", "train.epochs", "")                                                                                          \
    X(max_steps, "-1", "train.steps", "")                                                                                                 \
    X(per_device_train_batch_size, "8", "train.batch", "times gradient_accumulation_steps times the GPUs: the samples of a whole step")   \
    X(gradient_accumulation_steps, "1", "train.batch", "how a step is cut into passes follows from train.micro_tokens")                   \
    X(bf16, "False", "train.compute", "True is bf16")                                                                                     \
    X(fp16, "False", "train.compute", "there is no fp16: auto")                                                                           \
    X(gradient_checkpointing, "False", NOWHERE, "train.recompute: selective needs little memory, block least")                            \
    X(seed, "42", "seed", "")                                                                                                             \
    X(output_dir, NULL, "save.dir", "its last part is name")                                                                              \
    X(save_strategy, "steps", "save.every", "no is 0: the last step alone")                                                               \
    X(save_steps, "500", "save.every", "")                                                                                                \
    X(save_total_limit, NULL, "save.keep", "")                                                                                            \
    X(logging_steps, "500", "log.every", "")                                                                                              \
    X(report_to, "all", NOWHERE, "log.tensorboard is on")                                                                                 \
    X(run_name, NULL, NOWHERE, "name is that of output_dir")                                                                              \
    X(evaluation_strategy, "no", NOWHERE, "data.validation with eval.every")                                                              \
    X(eval_strategy, "no", NOWHERE, "the same")                                                                                           \
    X(per_device_eval_batch_size, NULL, NOWHERE, "the same")                                                                              \
    X(group_by_modality_length, "False", NOWHERE, "samples of any length are packed into passes")                                         \
    X(lazy_preprocess, "False", NOWHERE, "the data are prepared once, into shards")                                                       \
    X(dataloader_num_workers, "0", NOWHERE, "data.workers finds its own number")                                                          \
    X(is_multimodal, "False", NOWHERE, "model.vision.path says so")                                                                       \
    X(remove_unused_columns, "False", NOWHERE, "")                                                                                        \
    X(cache_dir, NULL, NOWHERE, "")                                                                                                       \
    X(deepspeed, NULL, NOWHERE, "the frozen base and gradients stay on each GPU")                                                         \
    X(local_rank, NULL, NOWHERE, "launchers tell it")                                                                                     \
    X(tf32, NULL, NOWHERE, "")                                                                                                            \
    X(ddp_timeout, NULL, NOWHERE, "GENLLAVA_RANKS_PATIENCE")                                                                              \
    X(logging_dir, NULL, NOWHERE, "")

enum {
#define FLAG_ENUM(name, fallback, key, remark) FLAG_##name,
    FLAG_LIST(FLAG_ENUM)
#undef FLAG_ENUM
        N_FLAGS
};

typedef struct Flag {
    const char *name, *fallback, *key, *remark;
} Flag;

static const Flag FLAGS[N_FLAGS] = {
#define FLAG_ROW(name, fallback, key, remark) {"--" #name, fallback, key, remark},
    FLAG_LIST(FLAG_ROW)
#undef FLAG_ROW
};

typedef struct Line {
    const char *value[N_FLAGS]; /* LLaVA's own where it is not given */
    bool given[N_FLAGS];
    int64_t gpus; /* 0: nobody says */
    cJSON *settings;
} Line;

const char *from_llava_key(const char *name)
{
    for (const Flag *f = FLAGS; f < FLAGS + N_FLAGS; f++)
        if (!strcmp(f->name + strlen("--"), name))
            return f->key;
    return NULL;
}

void from_llava_table(FILE *out)
{
    fputs("| flag of LLaVA | default there | key here | |\n|---|---|---|---|\n", out);
    for (const Flag *f = FLAGS; f < FLAGS + N_FLAGS; f++)
        fprintf(out, "| `%s` | %s | %s%s%s | %s |\n", f->name, f->fallback && *f->fallback ? f->fallback : "", f->key ? "`" : "none",
                f->key ? f->key : "", f->key ? "`" : "", f->remark);
}

/* ---------------------------------------------------------------- words */

static bool ends_in(const char *word, const char *end)
{
    size_t n = strlen(word), e = strlen(end);
    return n >= e && !strcmp(word + n - e, end);
}

/* The value behind a flag of a launcher, "--num_gpus 4" or "--num_gpus=4" ("-" and "_" are one); NULL: it is another word. */
static const char *launcher_value(const char *const *words, int i, int n, const char *name)
{
    const char *w = words[i];
    size_t k = 0;
    for (; name[k]; k++)
        if (w[k] != name[k] && !(w[k] == '-' && name[k] == '_'))
            return NULL;
    return w[k] == '=' ? w + k + 1 : !w[k] && i + 1 < n ? words[i + 1] : NULL;
}

/* How many GPUs the words before the program ask for; 0: they do not say. */
static int64_t count_gpus(const char *const *words, int n)
{
    int64_t each = 0, nodes = 1;
    for (int i = 0; i < n; i++) {
        const char *v;
        if ((v = launcher_value(words, i, n, "--num_gpus")) || (v = launcher_value(words, i, n, "--nproc_per_node")) ||
            (v = launcher_value(words, i, n, "--num_processes")))
            each = strtoll(v, NULL, 10);
        else if ((v = launcher_value(words, i, n, "--num_nodes")) || (v = launcher_value(words, i, n, "--nnodes")))
            nodes = strtoll(v, NULL, 10);
        else if ((v = launcher_value(words, i, n, "--include")))
            for (each = 1; *v; v++)
                each += *v == ',' || *v == '@';
    }
    return each > 0 && each < 1 << 20 && nodes > 0 && nodes < 1 << 20 ? each * nodes : 0;
}

static Status unknown(const char *word, size_t n)
{
    char flag[128];
    const char *names[N_FLAGS];
    snprintf(flag, sizeof flag, "%.*s", (int)n, word);
    for (int i = 0; i < N_FLAGS; i++)
        names[i] = FLAGS[i].name;
    const char *near = cli_nearest(flag, names, N_FLAGS);
    return fail(ERR_USAGE, "--from-llava: %s is no flag of LLaVA that is known here%s%s%s; train --from-llava alone lists them", flag,
                near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static bool is_flag(const char *word) { return word[0] == '-' && word[1] == '-'; }

static Status read_words(Line *l, const char *const *words, int n)
{
    int i = 0;
    for (int k = 0; k < n; k++)
        if (ends_in(words[k], ".py")) {
            l->gpus = count_gpus(words, k);
            i = k + 1;
            break;
        }
    for (int k = 0; k < N_FLAGS; k++)
        l->value[k] = FLAGS[k].fallback;
    while (i < n) {
        const char *word = words[i++];
        size_t size = strcspn(word, "=");
        int k = 0;
        if (!is_flag(word))
            return fail(ERR_USAGE, "--from-llava: \"%s\" belongs to no flag", word);
        while (k < N_FLAGS && !(strlen(FLAGS[k].name) == size && !strncmp(FLAGS[k].name, word, size)))
            k++;
        if (k == N_FLAGS)
            return unknown(word, size);
        l->given[k] = true;
        l->value[k] = word[size] ? word + size + 1 : i < n && !is_flag(words[i]) ? words[i++] : "True";
    }
    return OK;
}

/* ---------------------------------------------------------------- values */

static Status refuse(const Line *l, int flag, const char *wanted)
{
    return fail(ERR_USAGE, "--from-llava: %s is \"%s\"%s; %s", FLAGS[flag].name, l->value[flag],
                l->given[flag] ? "" : " by LLaVA's default", wanted);
}

static Status truth(const Line *l, int flag, bool *out)
{
    static const char *const YES[] = {"True", "true", "1", "yes", "t", "y", "TRUE"}, *const NO[] = {"False", "false", "0",    "no",
                                                                                                    "f",     "n",     "FALSE"};
    for (size_t i = 0; i < sizeof YES / sizeof *YES; i++) {
        *out = !strcmp(l->value[flag], YES[i]);
        if (*out || !strcmp(l->value[flag], NO[i]))
            return OK;
    }
    return refuse(l, flag, "it takes True or False");
}

static Status number(const Line *l, int flag, double *out)
{
    char *end;
    *out = strtod(l->value[flag], &end);
    return end == l->value[flag] || *end || !isfinite(*out) ? refuse(l, flag, "it takes a number") : OK;
}

/* The object that a key stands in, made where it is not there yet. */
static cJSON *section_of(Line *l, const char *key)
{
    cJSON *at = l->settings;
    for (size_t n; key[n = strcspn(key, ".")]; key += n + 1) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)n, key);
        cJSON *next = cJSON_GetObjectItemCaseSensitive(at, name);
        at = next ? next : json_add(at, name, cJSON_CreateObject());
    }
    return at;
}

static const char *leaf(const char *key) { return strrchr(key, '.') ? strrchr(key, '.') + 1 : key; }
static void put_text(Line *l, const char *key, const char *text) { json_add_text(section_of(l, key), leaf(key), text); }
static void put_number(Line *l, const char *key, double v)
{
    if (v > -1e15 && v < 1e15 && v == (double)(int64_t)v)
        json_add_int(section_of(l, key), leaf(key), (int64_t)v);
    else
        json_add_real(section_of(l, key), leaf(key), v);
}

/* A flag's number, to the key that stands for it. */
static Status put_flag(Line *l, int flag)
{
    double v;
    TRY(number(l, flag, &v));
    put_number(l, FLAGS[flag].key, v);
    return OK;
}

/* A flag of which one value alone is what is computed. */
static Status only(const Line *l, int flag, const char *value, const char *why)
{
    return strcmp(l->value[flag], value) ? refuse(l, flag, why) : OK;
}

/* ---------------------------------------------------------------- settings */

static Status base_settings(Line *l)
{
    bool frozen, backbone, adapters;
    double bits;
    TRY(truth(l, FLAG_tune_mm_mlp_adapter, &frozen));
    TRY(truth(l, FLAG_freeze_backbone, &backbone));
    TRY(truth(l, FLAG_lora_enable, &adapters));
    TRY(number(l, FLAG_bits, &bits));
    frozen |= backbone;
    if (bits != 16 && bits != 8 && bits != 4)
        return refuse(l, FLAG_bits, "it takes 4, 8 or 16");
    if (bits == 4)
        TRY(only(l, FLAG_quant_type, "nf4", "of 4 bits nf4 is what is computed"));
    if (!l->value[FLAG_model_name_or_path])
        return fail(ERR_USAGE, "--from-llava: --model_name_or_path is not given; it names the language model");
    put_text(l, "model.llm.path", l->value[FLAG_model_name_or_path]);
    put_text(l, "model.llm.train", frozen ? "frozen" : adapters ? "lora" : "full");
    if (bits < 16 && !frozen && !adapters)
        return refuse(l, FLAG_bits,
                      "a language model that is trained whole is not stored so; --lora_enable True trains adapters beside it");
    if (bits < 16)
        put_text(l, "model.llm.store", bits == 4 ? "nf4" : "int8");
    if (!frozen && adapters) {
        TRY(only(l, FLAG_lora_bias, "none", "none is what is computed"));
        TRY(put_flag(l, FLAG_lora_r));
        TRY(put_flag(l, FLAG_lora_alpha));
        TRY(put_flag(l, FLAG_lora_dropout));
        if (*l->value[FLAG_lora_weight_path])
            put_text(l, "model.lora.init", l->value[FLAG_lora_weight_path]);
    }
    return OK;
}

static Status vision_settings(Line *l)
{
    bool frozen;
    if (!l->value[FLAG_vision_tower]) /* text alone */
        return OK;
    put_text(l, "model.vision.path", l->value[FLAG_vision_tower]);
    TRY(put_flag(l, FLAG_mm_vision_select_layer));
    TRY(only(l, FLAG_mm_vision_select_feature, "patch", "patch is what is computed"));
    TRY(only(l, FLAG_mm_patch_merge_type, "flat", "flat is what is computed: a picture is seen as one square"));
    TRY(only(l, FLAG_mm_use_im_start_end, "False", "no tokens stand around a picture here"));
    if (strcmp(l->value[FLAG_image_aspect_ratio], "pad") && strcmp(l->value[FLAG_image_aspect_ratio], "square"))
        return refuse(l, FLAG_image_aspect_ratio, "pad and square are what is computed");
    put_text(l, "model.vision.aspect", strcmp(l->value[FLAG_image_aspect_ratio], "pad") ? "stretch" : "pad");
    put_text(l, "model.projector.type", l->value[FLAG_mm_projector_type]);
    TRY(truth(l, FLAG_freeze_mm_mlp_adapter, &frozen));
    put_text(l, "model.projector.train", frozen ? "frozen" : "full");
    if (l->value[FLAG_pretrain_mm_mlp_adapter])
        put_text(l, "model.projector.init", l->value[FLAG_pretrain_mm_mlp_adapter]);
    if (l->value[FLAG_pretrain_mm_mlp_adapter] && ends_in(l->value[FLAG_pretrain_mm_mlp_adapter], ".bin"))
        log_info("model.projector.init takes safetensors: write %s as one first (configs/elsewhere.md)",
                 l->value[FLAG_pretrain_mm_mlp_adapter]);
    return OK;
}

static Status data_settings(Line *l)
{
    static const char *const TEMPLATES[] = {"plain", "v1", "llava_llama_2", "mistral_instruct", NULL};
    int k = 0;
    if (!l->value[FLAG_data_path])
        return fail(ERR_USAGE, "--from-llava: --data_path is not given; it names the file of conversations");
    cJSON *mixture = json_add(section_of(l, "data.mixture"), "mixture", cJSON_CreateArray()), *source = cJSON_CreateObject();
    json_add(mixture, NULL, source);
    json_add_text(json_add(source, "files", cJSON_CreateArray()), NULL, l->value[FLAG_data_path]);
    if (l->value[FLAG_image_folder])
        json_add_text(source, "image_root", l->value[FLAG_image_folder]);
    json_add_text(source, "task", "understand");
    while (TEMPLATES[k] && strcmp(TEMPLATES[k], l->value[FLAG_version]))
        k++;
    if (!TEMPLATES[k])
        return refuse(l, FLAG_version, "templates are plain, v1, llava_llama_2 and mistral_instruct");
    put_text(l, "data.template", TEMPLATES[k]);
    return put_flag(l, FLAG_model_max_length);
}

enum { GPUS_OF_THE_SCRIPTS = 8 };

static Status train_settings(Line *l)
{
    bool bf16, fp16;
    double steps, each, passes;
    TRY(number(l, FLAG_max_steps, &steps));
    TRY(number(l, FLAG_per_device_train_batch_size, &each));
    TRY(number(l, FLAG_gradient_accumulation_steps, &passes));
    TRY(truth(l, FLAG_bf16, &bf16));
    TRY(truth(l, FLAG_fp16, &fp16));
    TRY(put_flag(l, steps > 0 ? FLAG_max_steps : FLAG_num_train_epochs));
    if (!l->gpus)
        log_info("train.batch: the command does not say how many GPUs there are; %d, as LLaVA's scripts were run", GPUS_OF_THE_SCRIPTS);
    put_number(l, "train.batch", each * passes * (double)(l->gpus ? l->gpus : GPUS_OF_THE_SCRIPTS));
    put_text(l, "train.compute", bf16 ? "bf16" : fp16 ? "auto" : "f32");
    return OK;
}

static Status optim_settings(Line *l)
{
    const char *schedule = l->value[FLAG_lr_scheduler_type];
    bool constant = !strncmp(schedule, "constant", strlen("constant")), bare = !strcmp(schedule, "constant");
    double lr, projector, steps, ratio;
    TRY(number(l, FLAG_learning_rate, &lr));
    projector = lr;
    if (l->value[FLAG_mm_projector_lr])
        TRY(number(l, FLAG_mm_projector_lr, &projector));
    TRY(number(l, FLAG_warmup_steps, &steps));
    TRY(number(l, FLAG_warmup_ratio, &ratio));
    if (strncmp(l->value[FLAG_optim], "adamw", strlen("adamw")) || strstr(l->value[FLAG_optim], "bit"))
        return refuse(l, FLAG_optim, "AdamW is what is computed (optim.moments \"bf16\" halves its state)");
    if (strcmp(schedule, "cosine") && strcmp(schedule, "linear") && !bare && strcmp(schedule, "constant_with_warmup"))
        return refuse(l, FLAG_lr_scheduler_type, "schedules are cosine, linear, constant and constant_with_warmup");
    put_number(l, "optim.lr", lr);
    put_number(l, "optim.lr_projector", projector);
    put_text(l, "optim.schedule", constant ? "constant" : schedule);
    put_number(l, "optim.warmup", bare ? 0 : steps > 0 ? steps : ratio);
    const int plain[] = {FLAG_weight_decay, FLAG_adam_beta1, FLAG_adam_beta2, FLAG_adam_epsilon, FLAG_max_grad_norm};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (l->given[plain[i]])
            TRY(put_flag(l, plain[i]));
    return OK;
}

/* The last part of output_dir is the run's name. */
static void name_settings(Line *l, const char **dir, size_t *n_dir)
{
    const char *path = l->value[FLAG_output_dir];
    size_t n = path ? strlen(path) : 0, at;
    char name[256];
    *dir = NULL;
    while (n > 1 && path[n - 1] == '/')
        n--;
    for (at = n; at && path[at - 1] != '/'; at--)
        ;
    if (at == n)
        return; /* not given, or nothing but "/" */
    snprintf(name, sizeof name, "%.*s", (int)(n - at), path + at);
    json_add_text(l->settings, "name", name);
    *dir = at ? path : ".";
    *n_dir = at > 1 ? at - 1 : 1;
}

static Status save_settings(Line *l, const char *dir, size_t n_dir)
{
    if (dir)
        json_add_bytes(section_of(l, "save.dir"), "dir", dir, n_dir);
    if (!strcmp(l->value[FLAG_save_strategy], "no"))
        put_number(l, "save.every", 0);
    else if (!strcmp(l->value[FLAG_save_strategy], "steps"))
        TRY(put_flag(l, FLAG_save_steps));
    else
        return refuse(l, FLAG_save_strategy, "it takes steps or no");
    if (l->value[FLAG_save_total_limit])
        TRY(put_flag(l, FLAG_save_total_limit));
    else
        log_info("save.keep: LLaVA would keep every checkpoint (--save_total_limit is not given); here the newest three stay");
    return l->given[FLAG_logging_steps] ? put_flag(l, FLAG_logging_steps) : OK;
}

/* Says which flags of the line went nowhere. */
static void tell_left_out(const Line *l)
{
    char text[1024] = "";
    for (int k = 0; k < N_FLAGS; k++)
        if (l->given[k] && !FLAGS[k].key) {
            size_t n = strlen(text);
            snprintf(text + n, sizeof text - n, "%s%s", n ? ", " : "", FLAGS[k].name);
        }
    if (*text)
        log_info("no key stands for %s (train --from-llava alone says why)", text);
}

static Status put_settings(Line *l)
{
    const char *dir;
    size_t n_dir = 0;
    name_settings(l, &dir, &n_dir);
    if (l->given[FLAG_seed])
        TRY(put_flag(l, FLAG_seed));
    TRY(base_settings(l));
    TRY(vision_settings(l));
    put_number(l, "model.tokens.image", 0); /* LLaVA adds no tokens of its own */
    put_text(l, "model.tokens.task", NULL);
    TRY(data_settings(l));
    TRY(train_settings(l));
    TRY(optim_settings(l));
    return save_settings(l, dir, n_dir);
}

static Status translate(char **settings, const char *const *words, int n)
{
    Line l = {.settings = NULL};
    TRY(read_words(&l, words, n));
    l.settings = cJSON_CreateObject();
    Status s = put_settings(&l);
    if (s) {
        cJSON_Delete(l.settings);
        return s;
    }
    tell_left_out(&l);
    return json_to_text(settings, &l.settings, JSON_PRETTY, "the settings");
}

Status from_llava(char **settings, const char *const *words, int n)
{
    if (n != 1 || !ends_in(words[0], ".sh"))
        return translate(settings, words, n);
    const char *found[SHELL_WORDS_MAX];
    char *memory;
    int n_found;
    TRY(shell_words(found, &n_found, &memory, words[0], ".py"));
    Status s = translate(settings, found, n_found);
    mem_free(memory);
    return s;
}
