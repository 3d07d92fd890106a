/* requests.h: how people ask for pictures and for captions: request templates, from configs/requests.json or a source's own file. */
#ifndef GENLLAVA_DATA_RECORDS_REQUESTS_H
#define GENLLAVA_DATA_RECORDS_REQUESTS_H

#include "data/record.h"

typedef struct Requests {
    char **text[N_TASKS]; /* of generate (each holds {caption} once) and understand; of edit none */
    int n[N_TASKS];
} Requests;

/* {"schema":"genllava.requests/1","generate":[…],"understand":[…]}; file NULL: the built-in ones. ERR_MISSING; all mistakes at once,
 * ERR_USAGE. */
MUST_USE Status requests_load(Requests *r, const char *file);
void requests_free(Requests *r);
/* The template for a row: number XXH3_64(uid) modulo how many there are. */
const char *requests_for(const Requests *r, Task as, const char *uid);
#endif
