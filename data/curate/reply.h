/* reply.h: what a model has replied, from a line of a batch's output or error file: its text, or why there is none (the stages transport
 * and refusal). Called by replies.c. */
#ifndef GENLLAVA_DATA_CURATE_REPLY_H
#define GENLLAVA_DATA_CURATE_REPLY_H

#include "data/curate/verdict.h"
#include "data/formats/batch_body.h"

/* line: the object of a line. v stays without a reason when there is a text to read. batch_body_free. */
MUST_USE Status batch_reply_read(BatchBody *b, Verdict *v, const Json *line);
/* Whether a text that holds no object is a refusal in words. */
bool batch_reply_refuses(const char *text, size_t n);
#endif
