/* from_hf.c: language models of transformers: a folder with config.json and weights. Called by model.c. */
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "tools/convert/from.h"

bool from_hf_fits(const char *folder)
{
    char path[PATH_MAX];
    return file_exists(file_join(path, folder, "config.json"));
}

static bool to_ours(void *names, char ours[WEIGHT_NAME_MAX], const char *theirs) { return names_ours(ours, names, theirs); }

Status from_hf(Model *m, const char *folder, const char *base)
{
    char set[PATH_MAX + 32];
    SafeTensors *st;
    if (base)
        return fail(ERR_USAGE, "--base is for adapters; %s is a whole model", folder);
    snprintf(set, sizeof set, "model.llm.path=%s", folder);
    const char *const sets[] = {set, "data.mixture=mixture.json", "model.llm.train=frozen", "model.tokens.image=0",
                                "model.tokens.task=null"};
    TRY(model_settings(m, sets, sizeof sets / sizeof *sets));
    TRY(model_read_settings(m));
    TRY(safetensors_open_folder(&st, folder, "model"));
    FileNames names = names_find(&MISTRAL_NAMES, st, "model.embed_tokens.weight");
    return stored_add_safetensors(&m->tensors, st, to_ours, &names);
}
