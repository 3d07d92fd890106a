/* reply.h: what a model has replied, from a line of a batch's output or error file: its text, or why there is none (the stages transport
 * and refusal). Bodies of /v1/chat/completions and of /v1/responses are told by their keys. Called by replies.c. */
#ifndef GENLLAVA_DATA_CURATE_REPLY_H
#define GENLLAVA_DATA_CURATE_REPLY_H

#include "data/curate/verdict.h"
#include "data/formats/json.h"

typedef struct BatchReply {
    const char *model; /* of the document; NULL: it does not say */
    char *text;        /* UTF-8, may hold NUL; batch_reply_free */
    size_t n;
} BatchReply;

/* line: the object of a line. v stays without a reason when there is a text to read. */
MUST_USE Status batch_reply_read(BatchReply *r, Verdict *v, const Json *line);
void batch_reply_free(BatchReply *r);
/* Whether a text that holds no object is a refusal in words. */
bool batch_reply_refuses(const char *text, size_t n);
#endif
