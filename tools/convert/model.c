/* model.c: opens a model of any format (model.h). */
#include "tools/convert/model.h"

#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"
#include "tools/convert/from.h"
#include "tools/convert/merge.h"

/* In the order in which a folder is asked. */
const Reader READERS[] = {
    {"a run", from_run_fits, from_run},
    {"an adapter", from_adapter_fits, from_adapter},
    {"a Hugging Face model", from_hf_fits, from_hf},
};
const int N_READERS = sizeof READERS / sizeof *READERS;

static int by_linear(const void *a, const void *b) { return strcmp(((const Adapted *)a)->linear, ((const Adapted *)b)->linear); }

static Status open_with(Model *m, const Reader *r)
{
    const ModelOptions *o = m->options;
    m->what = r->what;
    m->foreign = r->open != from_run;
    if (o && (o->n_sets || o->base_changed) && m->foreign)
        return fail(ERR_USAGE, "%s: %s is for runs, which know their base models", m->path, o->n_sets ? "--set" : "--base-changed");
    TRY(cpu_open(&m->backend));
    TRY(r->open(m, m->path, m->options ? m->options->base : NULL));
    TRY(stored_sort(&m->tensors));
    if (m->n_adapted)
        qsort(m->adapted, (size_t)m->n_adapted, sizeof *m->adapted, by_linear);
    return merge_model(m);
}

Status model_open(Model *m, const char *path, const ModelOptions *options)
{
    *m = (Model){.options = options};
    if (!file_exists(path))
        return fail(ERR_MISSING, "%s: there is no such file or folder", path);
    snprintf(m->path, sizeof m->path, "%s", path);
    for (const Reader *r = READERS; r < READERS + N_READERS; r++)
        if (r->fits(path)) {
            Status s = open_with(m, r);
            m->options = NULL; /* borrowed until now */
            if (s)
                model_close(m);
            return s;
        }
    if (utf8_ends(path, ".gguf"))
        return fail(ERR_MISSING, "%s: GGUF is written, not read; give the model that it was made of", path);
    return fail(ERR_MISSING,
                "%s: is neither a run folder (save.dir/name), a checkpoint nor parts (run.json), nor a folder of Hugging Face or LLaVA "
                "(config.json) or of PEFT (adapter_config.json)",
                path);
}

void model_close(Model *m)
{
    stored_free(&m->whole);
    stored_free(&m->tensors);
    mem_free(m->adapted);
    for (int i = 0; i < m->n_added; i++)
        mem_free(m->added[i]);
    mem_free(m->added);
    json_free(&m->llm_doc);
    json_free(&m->vision_doc);
    stream_close(&m->stream);
    if (m->backend.close)
        m->backend.close(&m->backend);
    config_free(&m->cfg);
    *m = (Model){0};
}

const Adapted *model_adapted(const Model *m, const char *linear)
{
    Adapted key;
    snprintf(key.linear, sizeof key.linear, "%s", linear);
    return m->n_adapted ? bsearch(&key, m->adapted, (size_t)m->n_adapted, sizeof *m->adapted, by_linear) : NULL;
}

bool model_has_own_tokens(const Model *m) { return m->vocab < m->llm->vocab; }

/* ---------------------------------------------------------------- for readers */

Status model_settings(Model *m, const char *const *sets, int n_sets) { return config_load(&m->cfg, CONFIG_NO_FILE, sets, n_sets); }

static Status read_document(JsonDoc **doc, const char *folder)
{
    char path[PATH_MAX];
    return json_read_file(doc, file_join(path, folder, "config.json"));
}

static Status read_llm_settings(Model *m)
{
    TRY(read_document(&m->llm_doc, m->cfg.model.llm.path));
    const Json *text = json_get(json_root(m->llm_doc), "text_config");
    m->llm_config = text && text->kind == JSON_OBJECT ? text : json_root(m->llm_doc);
    return OK;
}

static Status read_vision_settings(Model *m)
{
    TRY(read_document(&m->vision_doc, m->cfg.model.vision.path));
    JsonFields f = {.top = json_root(m->vision_doc)};
    m->vision_config = preprocessor_tower(&f).object;
    return OK; /* the stream has read them without a mistake */
}

Status model_read_settings(Model *m)
{
    TRY(stream_open(&m->stream, &m->cfg, &m->backend));
    m->llm = stream_llm(m->stream);
    if (m->llm->codes)
        return fail(ERR_DATA,
                    "%s: its weights are quantised (quantization_config of its config.json), which convert does not read; of a run name "
                    "the folder that was quantised: --set model.llm.path=DIR --base-changed (its checkpoints are folders of PEFT as "
                    "they are)",
                    m->cfg.model.llm.path);
    m->vocab = m->llm->vocab;
    m->vision = stream_vision(m->stream);
    TRY(read_llm_settings(m));
    return m->vision ? read_vision_settings(m) : OK;
}

Status model_add_token(Model *m, const char *text)
{
    char **list = mem_grow(m->added, (size_t)(m->n_added + 1) * sizeof *list);
    char *own = mem_strdup(text);
    if (list)
        m->added = list;
    if (!list || !own) {
        mem_free(own);
        return fail(ERR_NOMEM, "out of memory for added tokens");
    }
    m->added[m->n_added++] = own;
    return OK;
}

Status model_add_adapted(Model *m, const Adapted *a)
{
    Adapted *list = mem_grow(m->adapted, (size_t)(m->n_adapted + 1) * sizeof *list);
    if (!list)
        return fail(ERR_NOMEM, "out of memory for adapters");
    m->adapted = list;
    m->adapted[m->n_adapted++] = *a;
    return OK;
}
