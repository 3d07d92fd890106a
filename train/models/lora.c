/* lora.c: adapters: declaring, drawing, loading, saving (lora.h). */
#include "train/models/lora.h"

#include <inttypes.h>
#include <math.h>
#include <regex.h>
#include <stdio.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "kernels/base/log.h"
#include "kernels/base/utf8.h"
#include "data/formats/json_fields.h"
#include "train/models/model.h"

static void path_of(char *out, int64_t layer, int lin)
{
    snprintf(out, WEIGHT_NAME_MAX, "model.layers.%" PRId64 ".%s", layer, MISTRAL_LINEAR_NAME[lin]);
}

static bool names(const char *target, const char *path)
{
    size_t extra = strlen(path) - strlen(target);
    return *target && utf8_ends(path, target) && (!extra || path[extra - 1] == '.');
}

static bool targeted(const RunConfig *cfg, const char *path)
{
    for (int i = 0; i < cfg->model.lora.targets.n; i++)
        if (names(cfg->model.lora.targets.items[i], path))
            return true;
    return false;
}

static Status check_targets(const Mistral *m, const RunConfig *cfg)
{
    for (int i = 0; i < cfg->model.lora.targets.n; i++) {
        const char *target = cfg->model.lora.targets.items[i];
        bool found = false;
        for (int64_t layer = 0; layer < m->config.layers && !found; layer++)
            for (int lin = 0; lin < N_LINEARS && !found; lin++) {
                char path[WEIGHT_NAME_MAX];
                path_of(path, layer, lin);
                found = names(target, path);
            }
        if (!found)
            return fail(ERR_USAGE, "model.lora.targets: \"%.100s\" names no linear of the language model; they are q_proj, k_proj, v_proj, "
                                   "o_proj, gate_proj, up_proj, down_proj", target);
    }
    return cfg->model.lora.targets.n
               ? OK
               : fail(ERR_USAGE, "model.lora.targets is empty; give at least one linear, or model.llm.train \"frozen\"");
}

static Param *declare(Params *p, const char *path, const char *which, int64_t rows, int64_t cols, ParamInit init, double scale)
{
    char name[WEIGHT_NAME_MAX + 32];
    snprintf(name, sizeof name, "base_model.model.%s.%s.weight", path, which);
    return params_declare(p,
                          &(ParamSpec){.name = name, .decay = true, .init = init, .init_scale = scale, .n_dims = 2, .shape = {rows, cols}});
}

/* Adapters of linears with the same input are declared one after the other, all A first: they are multiplied as one matrix. */
static Status declare_group(Params *p, const RunConfig *cfg, int64_t layer, Linear *lin, MistralLinear first, int n)
{
    const int64_t r = cfg->model.lora.r;
    char path[WEIGHT_NAME_MAX];
    for (int j = first; j < (int)first + n; j++) {
        path_of(path, layer, j);
        if (!targeted(cfg, path))
            continue;
        int64_t in = lin[j].w ? lin[j].w->t.shape[1] : 1;
        lin[j].scale = cfg->model.lora.alpha / (cfg->model.lora.rslora ? sqrt((double)r) : (double)r);
        lin[j].dropout = cfg->model.lora.dropout;
        lin[j].lora_a = declare(p, path, "lora_A", r, in, INIT_UNIFORM, 1 / sqrt((double)in)); /* Kaiming with a = sqrt(5) */
    }
    for (int j = first; j < (int)first + n; j++) {
        path_of(path, layer, j);
        if (targeted(cfg, path))
            lin[j].lora_b = declare(p, path, "lora_B", lin[j].w ? lin[j].w->t.shape[0] : 1, r, INIT_ZERO, 0);
    }
    return joint_declare(p, &lin[first], n);
}

Status lora_declare(GenLlava *g, const RunConfig *cfg)
{
    const Mistral *m = &g->llm;
    TRY(check_targets(m, cfg));
    for (int64_t layer = 0; layer < m->config.layers; layer++)
        for (int i = 0; i < MISTRAL_GROUPS; i++)
            TRY(declare_group(&g->params, cfg, layer, m->layers[layer].lin, MISTRAL_GROUP[i].first, MISTRAL_GROUP[i].n));
    return OK;
}

/* ---------------------------------------------------------------- a PEFT folder */

/* target_modules as a regular expression has to match the whole path, in whichever class the adapter was trained. */
static bool matches(const regex_t *regex, const char *path)
{
    for (int i = 0; i < MISTRAL_NAMES.n; i++) {
        char full[WEIGHT_NAME_MAX];
        regmatch_t at;
        if (name_to_theirs(full, &MISTRAL_NAMES.spellings[i], path) && !regexec(regex, full, 1, &at, 0) && at.rm_so == 0 &&
            (size_t)at.rm_eo == strlen(full))
            return true;
    }
    return false;
}

static bool has_whole_name(const Json *list, const char *path)
{
    for (const Json *v = list->child; v; v = v->next)
        if (v->kind == JSON_STRING && !strcmp(v->string, path))
            return true;
    return false;
}

static bool in_list(const Json *list, const char *path)
{
    for (const Json *v = list->child; v; v = v->next)
        if (v->kind == JSON_STRING && names(v->string, path))
            return true;
    return false;
}

static void list_text(char *out, size_t n, const Json *targets)
{
    if (targets->kind == JSON_STRING) {
        snprintf(out, n, "\"%s\"", targets->string);
        return;
    }
    size_t at = 0;
    for (const Json *v = targets->child; v && at < n; v = v->next)
        at += (size_t)snprintf(out + at, n - at, "%s%s", at ? ", " : "", v->kind == JSON_STRING ? v->string : "?");
}

static Status targets_differ(const RunConfig *cfg, const Json *theirs, bool some_layers, const char *file)
{
    char ours[512] = "", list[512] = "";
    size_t at = 0;
    for (int i = 0; i < cfg->model.lora.targets.n && at < sizeof ours; i++)
        at += (size_t)snprintf(ours + at, sizeof ours - at, "%s%s", at ? ", " : "", cfg->model.lora.targets.items[i]);
    list_text(list, sizeof list, theirs);
    return fail(ERR_USAGE, "model.lora.targets is %s here, target_modules is %s%s in %s", ours, list,
                some_layers ? " of layers_to_transform" : "", file);
}

/* layers_to_transform, a number or a list, keeps only those layers of target_modules, but for a linear with its whole name there; null and
 * [] keep all. */
static bool in_layers(const Json *layers, int64_t layer)
{
    bool list = layers && layers->kind == JSON_ARRAY, found = !layers || (list && !layers->child);
    for (const Json *v = list ? layers->child : layers; v && !found; v = list ? v->next : NULL)
        found = v->integer == layer;
    return found;
}

static void check_layers(JsonFields *f, const Json *layers, bool as_list)
{
    bool list = layers && layers->kind == JSON_ARRAY;
    for (const Json *v = list ? layers->child : layers; v; v = list ? v->next : NULL)
        if (v->kind != JSON_INT)
            fields_refuse(f, v, "layers_to_transform", "holds %s, expected numbers of layers", json_kind_name(v->kind));
    if (layers && !as_list)
        fields_refuse(f, layers, "layers_to_transform", "cannot stand beside a target_modules that is no list");
}

static Status compare_targets(const Mistral *m, const RunConfig *cfg, JsonFields *f)
{
    const Json *theirs = fields_get(f->top, "target_modules");
    if (!theirs || (theirs->kind != JSON_ARRAY && theirs->kind != JSON_STRING))
        return fail(ERR_DATA, "%s: target_modules is %s, expected a list of names or a regular expression", f->file,
                    theirs ? json_kind_name(theirs->kind) : "missing");
    bool all = theirs->kind == JSON_STRING && !strcmp(theirs->string, "all-linear"), is_regex = theirs->kind == JSON_STRING && !all;
    const Json *layers = fields_get(f->top, "layers_to_transform");
    check_layers(f, layers, theirs->kind == JSON_ARRAY);
    TRY(f->status);
    regex_t regex;
    if (is_regex && regcomp(&regex, theirs->string, REG_EXTENDED))
        return fail(ERR_DATA, "%s: target_modules \"%.200s\" is not a regular expression", f->file, theirs->string);
    bool same = true;
    for (int64_t layer = 0; layer < m->config.layers && same; layer++)
        for (int lin = 0; lin < N_LINEARS && same; lin++) {
            char path[WEIGHT_NAME_MAX];
            path_of(path, layer, lin);
            same = targeted(cfg, path) ==
                   (all || (is_regex ? matches(&regex, path)
                                     : in_list(theirs, path) && (in_layers(layers, layer) || has_whole_name(theirs, path))));
        }
    if (is_regex)
        regfree(&regex);
    return same ? OK : targets_differ(cfg, theirs, layers != NULL, f->file);
}

/* What PEFT's LoraConfig has (0.21). The initialisations named leave the base as it is; the others subtract from it what A and B start
 * with. */
static const FieldRule RULES[] = {
    {"alora_invocation_tokens", ""},
    {"alpha_pattern", ""},
    {"arrow_config", ""},
    {"auto_mapping", NULL},
    {"base_model_name_or_path", NULL},
    {"bias", "\"none\""},
    {"corda_config", NULL}, /* of an init_lora_weights, as loftq_config, eva_config and lora_ga_config are */
    {"ensure_weight_tying", NULL}, /* of modules_to_save and trainable_token_indices */
    {"eva_config", NULL},
    {"exclude_modules", ""},
    {"fan_in_fan_out", ""},
    {"inference_mode", NULL},
    {"init_lora_weights", "true|\"gaussian\"|\"orthogonal\"|\"eva\""},
    {"kasa_config", ""},
    {"layer_replication", ""},
    {"layers_pattern", "\"layers\""},
    {"layers_to_transform", NULL},
    {"loftq_config", NULL},
    {"lora_alpha", NULL},
    {"lora_bias", ""},
    {"lora_dropout", NULL}, /* model.lora.dropout is what counts */
    {"lora_ga_config", NULL},
    {"megatron_config", ""},
    {"megatron_core", NULL}, /* of megatron_config */
    {"modules_to_save", ""},
    {"monteclora_config", ""},
    {"peft_type", "\"LORA\""},
    {"peft_version", NULL},
    {"qalora_group_size", NULL}, /* of use_qalora */
    {"r", NULL},
    {"rank_pattern", ""},
    {"revision", NULL},
    {"runtime_config", NULL},
    {"target_modules", NULL},
    {"target_parameters", ""},
    {"task_type", NULL},
    {"trainable_token_indices", ""},
    {"use_bdlora", ""},
    {"use_dora", ""},
    {"use_qalora", ""},
    {"use_rslora", NULL},
    {"velora_config", ""},
    {0},
};
const FieldClass LORA_FIELDS = {.tables = {RULES}};

/* start: the folder is model.lora.init, no checkpoint. */
static Status check_adapter_config(const Mistral *m, const RunConfig *cfg, bool start, JsonFields *f)
{
    fields_known(f, f->top, &LORA_FIELDS);
    int64_t r = fields_int(f, f->top, "r", 8, 1, INT32_MAX);
    double alpha = fields_real(f, f->top, "lora_alpha", 8);
    bool rslora = fields_bool(f, f->top, "use_rslora", false);
    if (f->status)
        return f->status;
    if (r != cfg->model.lora.r)
        return fail(ERR_USAGE, "model.lora.r is %" PRId64 " here, r is %" PRId64 " in %s", cfg->model.lora.r, r, f->file);
    if (!start)
        return compare_targets(m, cfg, f); /* the scale may have been changed on resume, or by --set */
    if (alpha != cfg->model.lora.alpha)
        return fail(ERR_USAGE, "model.lora.alpha is %g here, lora_alpha is %g in %s", cfg->model.lora.alpha, alpha, f->file);
    if (rslora != cfg->model.lora.rslora)
        return fail(ERR_USAGE, "model.lora.rslora is %s here, use_rslora is %s in %s", cfg->model.lora.rslora ? "true" : "false",
                    rslora ? "true" : "false", f->file);
    return compare_targets(m, cfg, f);
}

/* Of an adapter to Mistral alone, or to LLaVA before and after transformers 4.52; with the adapter's name when saved without PEFT. */
static const Spelling SPELLINGS[] = {
    {.rules = {{"base_model.model.model.", "base_model.model.model."}}},
    {.rules = {{"base_model.model.model.", "base_model.model.language_model.model."}}},
    {.rules = {{"base_model.model.model.", "base_model.model.model.language_model."}}},
    {.rules = {{"base_model.model.model.", "base_model.model.model."}}, .ending = {".weight", ".default.weight"}},
    {.rules = {{"base_model.model.model.", "base_model.model.language_model.model."}}, .ending = {".weight", ".default.weight"}},
    {.rules = {{"base_model.model.model.", "base_model.model.model.language_model."}}, .ending = {".weight", ".default.weight"}},
};
/* A name of a hub or a folder: only its last part can be compared, anywhere in our path (a cache of the hub has it in the middle). */
static void compare_base(const RunConfig *cfg, JsonFields *f)
{
    char name[256];
    snprintf(name, sizeof name, "%s", fields_string(f, f->top, "base_model_name_or_path", ""));
    for (size_t n = strlen(name); n > 1 && name[n - 1] == '/';)
        name[--n] = 0;
    const char *slash = strrchr(name, '/'), *last = slash ? slash + 1 : name;
    if (*last && !strstr(cfg->model.llm.path, last))
        log_warn("%s: the adapter was made for the base \"%s\", model.llm.path is %s: on another base it computes something else", f->file,
                 name, cfg->model.llm.path);
}

const NameTable LORA_NAMES = {.spellings = SPELLINGS, .n = sizeof SPELLINGS / sizeof *SPELLINGS};

Status lora_load(GenLlava *g, const RunConfig *cfg, const char *folder)
{
    JsonFields f;
    Weights w;
    char path[PATH_MAX];
    TRY(fields_open(&f, folder, "adapter_config.json"));
    bool start = cfg->model.lora.init && !strcmp(folder, cfg->model.lora.init);
    Status s = check_adapter_config(&g->llm, cfg, start, &f);
    if (s == OK && start && !params_measuring(&g->params))
        compare_base(cfg, &f);
    fields_close(&f);
    TRY(s);
    TRY(weights_open(&w, file_join(path, folder, LORA_FILE)));
    s = weights_load_part(&w, &g->params, "lora", &LORA_NAMES);
    weights_close(&w);
    return s;
}

/* The keys PEFT has known since its first versions, no more: older readers refuse others. */
Status lora_describe(const GenLlava *g, const RunConfig *cfg, const char *folder)
{
    (void)g;
    double alpha = cfg->model.lora.alpha;
    char path[PATH_MAX];
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "peft_type", "LORA");
    cJSON_AddStringToObject(o, "task_type", "CAUSAL_LM");
    cJSON_AddStringToObject(o, "base_model_name_or_path", cfg->model.llm.path);
    json_add_int(o, "r", cfg->model.lora.r);
    if (alpha == floor(alpha) && alpha < 0x1p53)
        json_add_int(o, "lora_alpha", (int64_t)alpha);
    else
        json_add_real(o, "lora_alpha", alpha);
    json_add_real(o, "lora_dropout", cfg->model.lora.dropout);
    cJSON_AddStringToObject(o, "bias", "none");
    json_add_texts(o, "target_modules", cfg->model.lora.targets.items, cfg->model.lora.targets.n);
    cJSON_AddNullToObject(o, "modules_to_save");
    cJSON_AddFalseToObject(o, "fan_in_fan_out");
    cJSON_AddTrueToObject(o, "inference_mode");
    cJSON_AddTrueToObject(o, "init_lora_weights");
    cJSON_AddBoolToObject(o, "use_rslora", cfg->model.lora.rslora);
    cJSON_AddFalseToObject(o, "use_dora");
    cJSON_AddObjectToObject(o, "rank_pattern");
    cJSON_AddObjectToObject(o, "alpha_pattern");
    cJSON_AddNullToObject(o, "layers_to_transform");
    cJSON_AddNullToObject(o, "layers_pattern");
    return json_save(file_join(path, folder, "adapter_config.json"), &o);
}
