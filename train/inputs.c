/* inputs.c: looks for everything that a run reads, before anything is begun (inputs.h). Called by train and prepare. */
#include "train/inputs.h"

#include <limits.h>
#include <stdio.h>

#include "data/formats/file.h"
#include "train/models/parts.h"

typedef struct Missing {
    char text[8192];
    size_t n;
} Missing;

/* Takes a failure that says what is missing into the list; others are passed on. */
static Status gather(void *list, Status s)
{
    Missing *m = list;
    if (s != ERR_MISSING)
        return s;
    if (m->n < sizeof m->text)
        m->n += (size_t)snprintf(m->text + m->n, sizeof m->text - m->n, "%s%s", m->n ? "\n" : "", status_message());
    return OK;
}

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

Status inputs_check(Mixture *mixture, const RunConfig *cfg, bool data_only)
{
    const char *data_keys[PARTS_MAX + 2];
    Missing m = {0};
    *mixture = (Mixture){0};
    list_data_keys(data_keys);
    TRY(gather(&m, config_check_paths(cfg, data_only ? data_keys : NULL)));
    TRY(parts_check_files(cfg, gather, &m));
    if (!cfg->data.mixture || file_exists(cfg->data.mixture)) {
        TRY(mixture_load(mixture, cfg->data.mixture, cfg->data.mixture_json, cfg->data.base_dir));
        TRY(gather(&m, mixture_check_files(mixture, m.n > 0)));
    }
    return m.n ? fail(ERR_MISSING, "%s", m.text) : OK;
}
