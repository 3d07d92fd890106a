/* from.h: the readers of formats, a file each. A reader fills a Model that is zero but for path; model.c calls the one whose format lies at
 * the path, and finishes what is common to all. */
#ifndef GENLLAVA_TOOLS_CONVERT_FROM_H
#define GENLLAVA_TOOLS_CONVERT_FROM_H

#include "data/text/added_tokens.h"
#include "tools/convert/model.h"

typedef struct Reader {
    const char *what;                 /* Model.what */
    bool (*fits)(const char *folder); /* whether a folder is of this format, by the files that it holds */
    Status (*open)(Model *m, const char *folder, const char *base);
} Reader;
extern const Reader READERS[];
extern const int N_READERS;

bool from_run_fits(const char *folder); /* a run folder, a checkpoint, or parts (run.json) */
MUST_USE Status from_run(Model *m, const char *folder, const char *base);
bool from_hf_fits(const char *folder); /* config.json and weights of transformers */
MUST_USE Status from_hf(Model *m, const char *folder, const char *base);
/* What an adapter has beside its base. */
typedef struct HfMore {
    const AddedTokens *added; /* behind all rows of the base (item[0].id is V), maybe none; NULL: those that the base itself has */
    const char *const *sets;  /* KEY=VALUE of a run; none: the language model is frozen */
    int n_sets;
    const char *llava; /* a folder of LLaVA's trainer, with config.json of tower and projector, and their weights; NULL: the base's */
} HfMore;
MUST_USE Status from_hf_base(Model *m, const char *folder, const HfMore *more);
bool from_adapter_fits(const char *folder); /* adapter_config.json of PEFT */
MUST_USE Status from_adapter(Model *m, const char *folder, const char *base);
/* What --to peft wrote, over the base of m. */
MUST_USE Status from_adapter_reopen(Model *out, const Model *m, const char *folder);
#endif
