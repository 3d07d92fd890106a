/* model.h: a model that is converted, whatever format it came in: its settings, its tensors under our names, its tokens. Opened by
 * convert.c and, to verify what was written, by verify.c; a reader for each format (from_*.c) fills it. */
#ifndef GENLLAVA_TOOLS_CONVERT_MODEL_H
#define GENLLAVA_TOOLS_CONVERT_MODEL_H

#include <limits.h>

#include "data/formats/json.h"
#include "tools/convert/stored.h"
#include "train/config/config.h"
#include "train/models/stream.h"

/* What a linear of the language model is changed by: W + scale·B·A, and with a magnitude (DoRA) each row of that scaled to it. */
typedef struct Adapted {
    char linear[WEIGHT_NAME_MAX]; /* "model.layers.0.self_attn.q_proj.weight" */
    const Stored *a, *b;          /* [r,in], [out,r] */
    const Stored *magnitude;      /* [out]; NULL: plain LoRA */
    double scale;
} Adapted;

/* What goes with a path. */
typedef struct ModelOptions {
    const char *base;        /* the folder of the base model, of an adapter; NULL: none was given */
    const char *const *sets; /* [n_sets] KEY=DIR: where the base models of a run lie now */
    int n_sets;
    bool base_changed; /* go on although they are not those that it was trained on */
} ModelOptions;

typedef struct Model {
    const ModelOptions *options; /* while it is opened; NULL: none */
    char path[PATH_MAX];         /* as it was named; of a run folder the checkpoint that is meant */
    const char *what;            /* "a checkpoint", "a Hugging Face LLaVA model", …: for sentences */
    RunConfig cfg;               /* of the run, or of one that starts from this model, with the choices that its files tell */
    char checkpoint[PATH_MAX];   /* with trained parts; "": none */
    bool foreign;                /* no run's: cfg is made up */
    Backend backend;             /* the CPU, for products */
    Stream *stream;              /* what the folders of cfg say of the networks */
    const MistralConfig *llm;    /* … of the language model; its vocab is V, less than in its file where added rows were told from it */
    int64_t vocab;               /* V */
    const SiglipConfig *vision;  /* … of the vision tower; NULL: there is none */
    JsonDoc *llm_doc, *vision_doc;
    const Json *llm_config, *vision_config; /* their settings: of LLaVA's config.json the text_config and the vision_config */

    StoredSet tensors; /* of all parts, as they are stored; sorted */
    Adapted *adapted;  /* sorted by linear */
    int n_adapted;
    char **added;    /* [n_added] texts */
    int n_added;     /* R */
    StoredSet whole; /* the language model as one: adapters merged, V+R rows (merge.h) */
} Model;

/* Recognises what lies at path by its contents, and opens it. options: may be NULL; borrowed. A path that is none of what convert reads is
 * ERR_MISSING; a damaged or an unknown model ERR_DATA. */
MUST_USE Status model_open(Model *m, const char *path, const ModelOptions *options);
void model_close(Model *m);

/* Of embed_tokens and head as a whole: V+R. */
static inline int64_t model_rows(const Model *m) { return m->vocab + m->n_added; }
/* The adapter of a linear; NULL: it has none. */
const Adapted *model_adapted(const Model *m, const char *linear);

/* Whether its tokenizer's files tell of the added tokens: it was a whole model, from which their rows have been told. */
bool model_has_own_tokens(const Model *m);

/* For readers. */
/* m->cfg: settings as of a run that is told nothing but these KEY=VALUE. */
MUST_USE Status model_settings(Model *m, const char *const *sets, int n_sets);
/* Once m->cfg is there: opens m->stream, and the documents of settings. */
MUST_USE Status model_read_settings(Model *m);
/* The next id, from V on. */
MUST_USE Status model_add_token(Model *m, const char *text);
MUST_USE Status model_add_adapted(Model *m, const Adapted *a);
#endif
