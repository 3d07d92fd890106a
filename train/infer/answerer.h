/* answerer.h: what an Answerer holds. Private to answer.c and answer_many.c. */
#ifndef GENLLAVA_TRAIN_INFER_ANSWERER_H
#define GENLLAVA_TRAIN_INFER_ANSWERER_H

#include "train/infer/reply.h"

struct Answerer {
    Backend own; /* where nothing is borrowed */
    bool device_open;
    int processes; /* on this machine, each with such a model */
    GenLlava *own_model;
    Backend *backend;
    const RunConfig *cfg;
    GenLlava *model;
    Decoder *decoder; /* of one sequence */
    int64_t capacity; /* positions of the decoder */
    Tokenizer *tokenizer;
    ReplyRules rules;
    Preprocessor preprocessor;
    bool sees;
    EncodedSample prompt; /* of the present question */
    float *context;       /* [queries,C], of the last picture; NULL: none so far */
};

/* a->prompt, and whether the language model has positions for it. */
MUST_USE Status answerer_encode(Answerer *a, const Question *q, Task task);
/* Positions that an answer to a->prompt may take. */
int64_t answerer_positions_left(const Answerer *a);
/* Whether the caches of so many positions each and the workspace of the prompt, of n ids, fit. */
MUST_USE Status answerer_room(const Answerer *a, int sequences, int64_t positions, const int32_t *ids, int64_t n, int32_t n_images,
                              bool to_context);
/* Shows the decoder the question's pictures, if it has any. */
MUST_USE Status answerer_look(Answerer *a, Decoder *d, const Question *q);
#endif
