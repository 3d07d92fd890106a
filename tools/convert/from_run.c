/* from_run.c: what train has made or starts from: a run folder (its newest checkpoint), a checkpoint, or parts (run.json). Called by
 * model.c. */
#include "tools/convert/from.h"

#include <math.h>
#include <string.h>

#include "data/formats/file.h"
#include "kernels/base/log.h"
#include "train/config/plan.h"
#include "train/models/lora.h"
#include "train/models/parts.h"
#include "train/store/checkpoint.h"

static bool has(const char *folder, const char *name)
{
    char path[PATH_MAX];
    return file_exists(file_join(path, folder, name));
}

bool from_run_fits(const char *folder)
{
    return has(folder, "MANIFEST.json") || has(folder, "run.json") || has(folder, "config.resolved.json");
}

/* ---------------------------------------------------------------- settings */

/* The adapters of such a run know other numbers than the folder's. */
static void tell_store(const RunConfig *cfg)
{
    const char *held = cfg->model.llm.store == STORE_NF4          ? "held in nf4"
                       : cfg->model.llm.store == STORE_INT8       ? "held in int8"
                       : cfg->model.llm.multiply == MULTIPLY_FP8 ? "multiplied in fp8"
                                                                  : NULL;
    if (held)
        log_warn("the run was trained over a language model %s; what is written has the folder's own weights, and its answers may differ "
                 "from the run's", held);
}

static Status open_checkpoint(Model *m, const char *folder)
{
    snprintf(m->checkpoint, sizeof m->checkpoint, "%s", folder);
    if (has(folder, "MANIFEST.json")) {
        TRY(checkpoint_verify(folder));
    } else {
        TRY(checkpoint_newest(folder, m->checkpoint));
        log_info("using %s", m->checkpoint);
    }
    snprintf(m->path, sizeof m->path, "%s", m->checkpoint);
    const ModelOptions *o = m->options;
    TRY(checkpoint_config(m->checkpoint, o ? o->sets : NULL, o ? o->n_sets : 0, &m->cfg));
    tell_store(&m->cfg);
    Status s = checkpoint_check_bases(m->checkpoint, &m->cfg);
    if (s != ERR_DATA || !o || !o->base_changed)
        return s;
    log_warn("%s", status_message());
    return OK;
}

static Status add_tokens(Model *m)
{
    EncoderOptions o = plan_encoder(&m->cfg, stream_sizes(m->stream));
    char text[64];
    for (int k = 0; k < encoder_added_count(&o); k++)
        TRY(model_add_token(m, encoder_added_text(&o, k, text, sizeof text)));
    return OK;
}

/* ---------------------------------------------------------------- weights */

/* The parts that are converted as tensors, and a weight by which a file's spelling is found. The others are copied as files. */
static const char *const CONVERTED[][2] = {
    {"llm", "model.embed_tokens.weight"},
    {"vision", "vision_model.embeddings.patch_embedding.weight"},
    {"projector", "multi_modal_projector.linear_1.weight"},
    {"lora", NULL},
    {"tokens", "token_rows.embed_tokens"},
};

static bool to_ours(void *names, char ours[WEIGHT_NAME_MAX], const char *theirs) { return names_ours(ours, names, theirs); }

/* An adapter may be of any linear. */
static FileNames find_lora(const Model *m, const SafeTensors *st)
{
    FileNames names = {0};
    for (int lin = 0; lin < N_LINEARS; lin++)
        for (int64_t layer = 0; layer < m->llm->layers; layer++) {
            char ours[WEIGHT_NAME_MAX], theirs[WEIGHT_NAME_MAX];
            snprintf(ours, sizeof ours, "base_model.model.model.layers.%d.%s.lora_A.weight", (int)layer, MISTRAL_LINEAR_NAME[lin]);
            names = names_find(&LORA_NAMES, st, ours);
            if (safetensors_find(st, names_in_file(theirs, &names, ours)))
                return names;
        }
    return names;
}

static Status add_part(Model *m, const Part *part, const char *probe)
{
    char path[PATH_MAX], file[PATH_MAX];
    const char *from = part_source(path, part, &m->cfg, *m->checkpoint ? m->checkpoint : NULL);
    SafeTensors *st;
    if (!from && part->form == PART_ADAPTER)
        return OK; /* drawn adapters change nothing */
    if (!from)
        return fail(ERR_MISSING,
                    "%s: there is no file with the weights of %s: a run would draw them at random; convert takes what has been "
                    "trained",
                    m->path, part->title);
    if (part->form == PART_FOLDER)
        TRY_IN(safetensors_open_folder(&st, from, part_stem(part)), "reading %s", part->title);
    else
        TRY_IN(safetensors_open(&st, part->form == PART_ADAPTER ? file_join(file, from, part->saved) : from), "reading %s", part->title);
    FileNames names = probe ? names_find(part->names, st, probe) : find_lora(m, st);
    return stored_add_safetensors(&m->tensors, st, to_ours, &names);
}

/* Adapters by their tensors: NAME.lora_A.weight and NAME.lora_B.weight. */
static Status add_adapters(Model *m)
{
    static const char BEFORE[] = "base_model.model.", A[] = ".lora_A.weight";
    const double r = (double)m->cfg.model.lora.r;
    TRY(stored_sort(&m->tensors));
    for (int i = 0; i < m->tensors.n; i++) {
        const Stored *a = &m->tensors.list[i];
        const char *end = strstr(a->name, A);
        Adapted adapted = {.a = a, .scale = m->cfg.model.lora.alpha / (m->cfg.model.lora.rslora ? sqrt(r) : r)};
        if (strncmp(a->name, BEFORE, strlen(BEFORE)) || !end)
            continue;
        char b[WEIGHT_NAME_MAX];
        snprintf(b, sizeof b, "%.*s.lora_B.weight", (int)(end - a->name), a->name);
        snprintf(adapted.linear, sizeof adapted.linear, "%.*s.weight", (int)(end - a->name - (long)strlen(BEFORE)),
                 a->name + strlen(BEFORE));
        adapted.b = stored_find(&m->tensors, b);
        if (!adapted.b)
            return fail(ERR_DATA, "%s: there is %s, but no %s", a->file, a->theirs, b);
        TRY(model_add_adapted(m, &adapted));
    }
    return OK;
}

Status from_run(Model *m, const char *folder, const char *base)
{
    char run[PATH_MAX];
    if (base)
        return fail(ERR_USAGE,
                    "--base is for adapters from elsewhere; %s knows its base models (--set model.llm.path=DIR says where one lies now)",
                    folder);
    if (has(folder, "run.json")) {
        m->what = "parts";
        TRY(config_load(&m->cfg, file_join(run, folder, "run.json"), m->options ? m->options->sets : NULL,
                        m->options ? m->options->n_sets : 0));
    } else {
        m->what = "a checkpoint";
        TRY(open_checkpoint(m, folder));
    }
    TRY(model_read_settings(m));
    TRY(add_tokens(m));
    for (size_t i = 0; i < sizeof CONVERTED / sizeof *CONVERTED; i++) {
        const Part *part = part_find(CONVERTED[i][0]);
        if (part_wanted(part, &m->cfg))
            TRY(add_part(m, part, CONVERTED[i][1]));
    }
    return add_adapters(m);
}
