/* from.h: the readers of formats, a file each. A reader fills a Model that is zero but for path; model.c calls the one whose format lies at
 * the path, and finishes what is common to all. */
#ifndef GENLLAVA_TOOLS_CONVERT_FROM_H
#define GENLLAVA_TOOLS_CONVERT_FROM_H

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
#endif
