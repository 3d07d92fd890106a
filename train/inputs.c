/* inputs.c: looks for everything that a run reads, before anything is begun (inputs.h). Called by train and prepare. */
#include "train/inputs.h"

#include "data/formats/file.h"
#include "data/formats/mistakes.h"
#include "kernels/base/arena.h"
#include "train/models/parts.h"

static Status gather(void *missing, Status s) { return mistakes_gather(missing, ERR_MISSING, s); }

/* What preparing the data reads: the sizes and settings of every part's folder, and the mixture. Ends with NULL. */
static void list_data_keys(const char *keys[PARTS_MAX + 2])
{
    int n = 0;
    for (const Part *part = PARTS; part < PARTS + N_PARTS; part++)
        if (part->path.name)
            keys[n++] = part->path.name;
    keys[n++] = "data.mixture";
    keys[n] = NULL;
}

static Status look_for_all(Mixture *mixture, const RunConfig *cfg, bool data_only, Mistakes *m)
{
    const char *data_keys[PARTS_MAX + 2];
    list_data_keys(data_keys);
    TRY(gather(m, config_check_paths(cfg, data_only ? data_keys : NULL)));
    TRY(parts_check_files(cfg, gather, m));
    if (cfg->data.mixture && !file_exists(cfg->data.mixture))
        return OK;
    TRY(mixture_load(mixture, cfg->data.mixture, cfg->data.mixture_json, cfg->data.base_dir));
    return gather(m, mixture_check_files(mixture, m->n > 0));
}

Status inputs_check(Mixture *mixture, const RunConfig *cfg, bool data_only)
{
    Mistakes m = {.lines = NULL};
    *mixture = (Mixture){0};
    Status s = look_for_all(mixture, cfg, data_only, &m), missing = s ? s : mistakes_end(&m, ERR_MISSING, cfg->file);
    mem_free(m.lines);
    return missing;
}
