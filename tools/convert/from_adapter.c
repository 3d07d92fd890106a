/* from_adapter.c: adapters of PEFT over a base model: LoRA with all that its configuration may ask for, or what it asks for is refused by
 * name. A folder with adapter_config.json. Called by model.c and, to verify what was written, by convert.c. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "tools/convert/adapter.h"
#include "tools/convert/foreign.h"
#include "tools/convert/from.h"
#include "train/models/lora.h"

static bool has(const char *folder, const char *name)
{
    char path[PATH_MAX];
    return file_exists(file_join(path, folder, name));
}

bool from_adapter_fits(const char *folder) { return has(folder, "adapter_config.json"); }

/* ---------------------------------------------------------------- names */

/* What may follow the path of a module in the key of a tensor, and what we call it. Older files have the adapter's name in it. */
typedef struct Kind {
    const char *mark, *endings[2];
    const char *before, *behind; /* of the module's name in ours; before NULL: left out */
} Kind;
static const Kind KINDS[] = {
    {".lora_A", {".weight"}, "base_model.model.", ".lora_A.weight"},
    {".lora_B", {".weight"}, "base_model.model.", ".lora_B.weight"},
    {".lora_magnitude_vector", {"", ".weight"}, "base_model.model.", ".lora_magnitude_vector"},
    {".token_adapter.trainable_tokens_delta", {""}, ADAPTER_ROWS, ".weight"},
    {".token_adapter.base_layer", {".weight"}, NULL, NULL}, /* the whole matrix, as it is without them */
    {".original_module", {".weight", ".bias"}, NULL, NULL}, /* what modules_to_save stands for */
    {".modules_to_save", {".weight"}, ADAPTER_SAVED, ".weight"},
    {".modules_to_save", {".bias"}, ADAPTER_SAVED, ".bias"},
};

static const char *behind_default(const char *rest) { return strncmp(rest, ".default", 8) ? rest : rest + 8; }

static bool ends_so(const Kind *k, const char *rest)
{
    return !strcmp(rest, k->endings[0]) || (k->endings[1] && !strcmp(rest, k->endings[1]));
}

/* BEFORE + our name of the tensor NAME, whose last `cut` characters give way to BEHIND. */
static bool name_so(char ours[WEIGHT_NAME_MAX], const char *before, const char *name, size_t cut, const char *behind)
{
    char known[WEIGHT_NAME_MAX];
    if (foreign_name(known, name) != FOREIGN_NAMED)
        return false;
    const int n = snprintf(ours, WEIGHT_NAME_MAX, "%s%.*s%s", before, (int)(strlen(known) - cut), known, behind);
    return n < WEIGHT_NAME_MAX;
}

typedef struct Naming {
    const SafeTensors *st; /* the file, of one kind or the other */
    const TorchBin *bin;
    char unknown[WEIGHT_NAME_MAX]; /* the first key that is not understood */
} Naming;

static const StTensor *find_key(const Naming *n, const char *key)
{
    return n->st ? safetensors_find(n->st, key) : torch_bin_find(n->bin, key);
}

/* A saved module may be there under its own name too, with the same values. */
static bool is_repeated(const Naming *n, const char *theirs)
{
    char wrapped[WEIGHT_NAME_MAX + 32];
    const char *dot = strrchr(theirs, '.');
    snprintf(wrapped, sizeof wrapped, "%.*s.modules_to_save%s", (int)(dot ? dot - theirs : 0), theirs, dot ? dot : "");
    const StTensor *a = find_key(n, theirs), *b = find_key(n, wrapped);
    return a && b && a->data && b->data && a->n_bytes == b->n_bytes && !memcmp(a->data, b->data, a->n_bytes);
}

static bool name_module(Naming *naming, char ours[WEIGHT_NAME_MAX], const char *theirs, const char *path)
{
    char module[WEIGHT_NAME_MAX];
    for (const Kind *k = KINDS; k < KINDS + sizeof KINDS / sizeof *KINDS; k++) {
        const char *at = strstr(path, k->mark);
        if (!at || !ends_so(k, behind_default(at + strlen(k->mark))))
            continue;
        if (!k->before)
            return false;
        if (snprintf(module, sizeof module, "%.*s.weight", (int)(at - path), path) < WEIGHT_NAME_MAX &&
            name_so(ours, k->before, module, strlen(".weight"), k->behind))
            return true;
        break;
    }
    if (is_repeated(naming, theirs))
        return false;
    if (strstr(path, "lora_") || strstr(path, "token_adapter") || strstr(path, "modules_to_save") ||
        !name_so(ours, ADAPTER_SAVED, path, 0, "")) {
        if (!*naming->unknown)
            snprintf(naming->unknown, sizeof naming->unknown, "%.200s", theirs);
        return false;
    }
    return true;
}

static bool name_one(void *arg, char ours[WEIGHT_NAME_MAX], const char *theirs)
{
    static const char BEFORE[] = "base_model.model.";
    const bool of_peft = !strncmp(theirs, BEFORE, strlen(BEFORE));
    return name_module(arg, ours, theirs, of_peft ? theirs + strlen(BEFORE) : "lora_");
}

static Status add_tensors(Model *m, const char *folder)
{
    Naming naming = {.unknown = ""};
    char path[PATH_MAX];
    SafeTensors *st;
    TorchBin *bin;
    if (file_exists(file_join(path, folder, LORA_FILE))) {
        TRY(safetensors_open(&st, path));
        naming.st = st;
        TRY(stored_add_safetensors(&m->tensors, st, name_one, &naming));
    } else if (file_exists(file_join(path, folder, "adapter_model.bin"))) {
        TRY(torch_bin_open(&bin, path));
        naming.bin = bin;
        TRY(stored_add_torch(&m->tensors, bin, name_one, &naming));
    } else {
        return fail(ERR_MISSING, "%s: there is neither " LORA_FILE " nor adapter_model.bin", folder);
    }
    if (*naming.unknown)
        return fail(ERR_DATA, "%s: holds %s, which is no part of an adapter that is known", path, naming.unknown);
    return stored_sort(&m->tensors);
}

/* ---------------------------------------------------------------- adapter_config.json */

/* Understood here, or without a meaning once the tensors are named. */
static const FieldRule UNDERSTOOD[] = {
    {"alpha_pattern", NULL}, {"exclude_modules", NULL},         {"layers_pattern", NULL}, {"modules_to_save", NULL},
    {"rank_pattern", NULL},  {"trainable_token_indices", NULL}, {"use_dora", NULL},       {0}};

static Status read_config(PeftAdapter *a)
{
    JsonFields *f = &a->fields;
    FieldClass class = {.tables = {UNDERSTOOD, LORA_FIELDS.tables[0]}};
    if (strcmp(fields_string(f, f->top, "peft_type", ""), "LORA") && !f->status)
        return fail(ERR_DATA, "%s: peft_type is \"%s\", expected \"LORA\"", f->file, fields_string(f, f->top, "peft_type", ""));
    fields_known(f, f->top, &class);
    a->r = fields_int(f, f->top, "r", 8, 1, INT32_MAX);
    a->alpha = fields_real(f, f->top, "lora_alpha", 8);
    a->dropout = fields_real(f, f->top, "lora_dropout", 0);
    a->rslora = fields_bool(f, f->top, "use_rslora", false);
    a->dora = fields_bool(f, f->top, "use_dora", false);
    a->alphas = fields_object(f, f->top, "alpha_pattern");
    a->ids = fields_get(f->top, "trainable_token_indices");
    return f->status;
}

/* The rows and layers of the base, before it is opened. */
static Status read_base(PeftAdapter *a)
{
    JsonFields f;
    TRY(fields_open(&f, a->base, "config.json"));
    const Json *text = fields_object(&f, f.top, "text_config");
    a->vocab = fields_int(&f, text ? text : f.top, "vocab_size", 32000, 1, INT32_MAX);
    a->layers = fields_int(&f, text ? text : f.top, "num_hidden_layers", 32, 1, INT32_MAX);
    Status s = f.status;
    fields_close(&f);
    return s;
}

/* ---------------------------------------------------------------- what a run can train on with */

static const char *last_part(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

static const Stored *find_a(const PeftAdapter *a, int64_t layer, int lin)
{
    char name[WEIGHT_NAME_MAX];
    snprintf(name, sizeof name, "base_model.model.model.layers.%" PRId64 ".%s.lora_A.weight", layer, MISTRAL_LINEAR_NAME[lin]);
    return stored_find(&a->m->tensors, name);
}

/* Whether it is LoRA of one rank and scale on the same linears of every layer, as a run trains it. */
static bool is_plain(const PeftAdapter *a)
{
    int64_t n = 0, n_a = 0;
    if (a->dora || (a->alphas && a->alphas->child))
        return false;
    for (int lin = 0; lin < N_LINEARS; lin++)
        for (int64_t layer = 0; layer < a->layers; layer++) {
            const Stored *t = find_a(a, layer, lin);
            if (!t != !find_a(a, 0, lin) || (t && t->shape[0] != a->r))
                return false;
            n += t != NULL;
        }
    for (int i = 0; i < a->m->tensors.n; i++)
        n_a += strstr(a->m->tensors.list[i].name, ".lora_A.weight") != NULL;
    return n && n == n_a && !adapter_changes_base(a);
}

enum { LORA_SETS = 6, SET_BYTES = 256 };

/* The settings of a run with such adapters. */
static int describe_lora(const PeftAdapter *a, char text[LORA_SETS][SET_BYTES], const char *list[LORA_SETS])
{
    snprintf(text[0], SET_BYTES, "model.llm.train=lora");
    snprintf(text[1], SET_BYTES, "model.lora.r=%" PRId64, a->r);
    snprintf(text[2], SET_BYTES, "model.lora.alpha=%.17g", a->alpha);
    snprintf(text[3], SET_BYTES, "model.lora.rslora=%s", a->rslora ? "true" : "false");
    size_t at = (size_t)snprintf(text[4], SET_BYTES, "model.lora.targets=[");
    for (int lin = 0, n = 0; lin < N_LINEARS; lin++)
        if (find_a(a, 0, lin))
            at += (size_t)snprintf(text[4] + at, SET_BYTES - at, "%s\"%s\"", n++ ? "," : "", last_part(MISTRAL_LINEAR_NAME[lin]));
    snprintf(text[4] + at, SET_BYTES - at, "]");
    snprintf(text[5], SET_BYTES, "model.lora.dropout=%.17g", a->dropout);
    for (int i = 0; i < LORA_SETS; i++)
        list[i] = text[i];
    return LORA_SETS;
}

/* ---------------------------------------------------------------- adapters */

static Status add_adapted(PeftAdapter *a, const Stored *t, const char *end)
{
    static const char BEFORE[] = "base_model.model.";
    const StoredSet *set = &a->m->tensors;
    const int module = (int)(end - t->name);
    char name[WEIGHT_NAME_MAX + 32];
    double alpha;
    Adapted adapted = {.a = t};
    snprintf(adapted.linear, sizeof adapted.linear, "%.*s.weight", module - (int)strlen(BEFORE), t->name + strlen(BEFORE));
    snprintf(name, sizeof name, "%.*s.lora_B.weight", module, t->name);
    adapted.b = stored_find(set, name);
    if (!adapted.b)
        return fail(ERR_DATA, "%s: there is %s, but no lora_B beside it", t->file, t->theirs);
    snprintf(name, sizeof name, "%.*s.lora_magnitude_vector", module, t->name);
    adapted.magnitude = stored_find(set, name);
    if (!adapted.magnitude != !a->dora)
        return fail(ERR_DATA, "%s: use_dora is %s, but %s has %s magnitude beside it", a->fields.file, a->dora ? "true" : "false",
                    t->theirs, a->dora ? "no" : "a");
    TRY(adapter_alpha(a, t->theirs, &alpha));
    const double r = t->n_dims ? (double)t->shape[0] : 0;
    if (!(r > 0))
        return fail(ERR_DATA, "%s: %s has no rank", t->file, t->theirs);
    adapted.scale = alpha / (a->rslora ? sqrt(r) : r);
    return model_add_adapted(a->m, &adapted);
}

/* Once no tensors are added any more. */
static Status add_all_adapted(PeftAdapter *a)
{
    const StoredSet *set = &a->m->tensors;
    int n = 0;
    for (int i = 0; i < set->n; i++) {
        const char *end = strstr(set->list[i].name, ".lora_A.weight");
        if (end)
            TRY(add_adapted(a, &set->list[i], end));
    }
    for (int i = 0; i < set->n; i++)
        n += strstr(set->list[i].name, ".lora_B.weight") != NULL;
    return n == a->m->n_adapted ? OK : fail(ERR_DATA, "%s: there are %d lora_A, but %d lora_B", a->m->path, a->m->n_adapted, n);
}

/* ---------------------------------------------------------------- opening */

static Status check_base(const PeftAdapter *a)
{
    const Model *m = a->m;
    if (m->llm->layers != a->layers || m->llm->vocab != a->vocab)
        return fail(ERR_DATA, "%s: config.json does not say how many layers and tokens the model has: %" PRId64 " and %" PRId64, a->base,
                    m->llm->layers, m->llm->vocab);
    return OK;
}

static Status open_adapter(PeftAdapter *a)
{
    char text[LORA_SETS][SET_BYTES];
    const char *sets[LORA_SETS];
    AddedTokens added = {0};
    TRY(read_config(a));
    TRY(add_tensors(a->m, a->folder));
    TRY(read_base(a));
    const bool rows = adapter_changes_tokens(a);
    if (rows)
        TRY(adapter_tokens(a, &added));
    const int n_sets = is_plain(a) ? describe_lora(a, text, sets) : 0;
    const HfMore more = {.added = rows ? &added : NULL,
                         .sets = sets,
                         .n_sets = n_sets,
                         .llava = has(a->folder, "non_lora_trainables.bin") ? a->folder : NULL};
    Status s = from_hf_base(a->m, a->base, &more);
    added_tokens_free(&added);
    TRY(s);
    TRY(check_base(a));
    TRY(stored_sort(&a->m->tensors));
    TRY(adapter_change_base(a));
    return add_all_adapted(a);
}

Status from_adapter(Model *m, const char *folder, const char *base)
{
    PeftAdapter a = {.m = m, .folder = folder, .base = base};
    if (!base)
        return fail(ERR_USAGE, "%s: is an adapter; name the folder of its base model with --base DIR", folder);
    if (has(base, "adapter_config.json") || !has(base, "config.json"))
        return fail(ERR_MISSING, "--base %s: is no folder of a whole Hugging Face model (config.json)", base);
    TRY(fields_open(&a.fields, folder, "adapter_config.json"));
    Status s = open_adapter(&a);
    fields_close(&a.fields);
    return s;
}

Status from_adapter_reopen(Model *out, const Model *m, const char *folder)
{
    char base[PATH_MAX];
    snprintf(base, sizeof base, "%s", m->cfg.model.llm.path);
    return model_open(out, folder, &(ModelOptions){.base = base});
}
