/* batch_body.h: what a model has replied, from a line of a batch's output or error file. Bodies of /v1/chat/completions and of
 * /v1/responses are told by their keys. Called by curate and by evaluate, of judges. */
#ifndef GENLLAVA_DATA_FORMATS_BATCH_BODY_H
#define GENLLAVA_DATA_FORMATS_BATCH_BODY_H

#include "data/formats/json.h"

/* Of the two kinds of body the same things; what is borrowed is the document's. */
typedef struct BatchBody {
    const char *model; /* NULL: it does not say */
    char *text;        /* UTF-8, may hold NUL; all parts of it. NULL: there is none */
    size_t n;
    bool has_choice;
    bool cut;             /* the token limit was reached */
    bool filtered, whole; /* how it ended; neither of the three: otherwise */
    const Json *end;      /* what says how it ended; may be NULL */
    const Json *refusal;
    const Json *error; /* of a response that failed; may be NULL */
} BatchBody;

/* The status code of a line's response, 0 where there is none, and its body. */
double batch_status(const Json *line, const Json **body);
/* batch_body_free, also after an error. */
MUST_USE Status batch_body_read(BatchBody *b, const Json *body);
void batch_body_free(BatchBody *b);
#endif
