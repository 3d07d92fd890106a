/* probe.h: prompts of --probe, which what was written is asked beside the built-in ones. Read by convert.c before anything is written;
 * asked by verify.c. */
#ifndef GENLLAVA_TOOLS_CONVERT_PROBE_H
#define GENLLAVA_TOOLS_CONVERT_PROBE_H

#include "tools/convert/model.h"

typedef struct ProbePrompt {
    int32_t *ids; /* [n], ID_IMAGE for each picture */
    int64_t n;
    char **images; /* [n_images] paths */
    int n_images;
} ProbePrompt;

typedef struct Probe {
    ProbePrompt *list;
    int n, capacity;
} Probe;

/* Reads rows as of generate --batch; of a conversation the whole is one prompt, up to its last question. ERR_DATA: a row that this model
 * cannot be asked, a picture that cannot be read, or no row at all. */
MUST_USE Status probe_read(Probe *p, const Model *m, const char *file);
void probe_free(Probe *p);
/* Its pictures as the model is to see them, one behind the other; mem_free. NULL: it has none. */
MUST_USE Status probe_pixels(const Model *m, const ProbePrompt *p, uint8_t **pixels);
#endif
