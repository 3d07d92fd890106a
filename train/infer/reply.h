/* reply.h: an answer in the making: the next token out of logits, visual output tokens, text. Private to answer.c and answer_many.c. */
#ifndef GENLLAVA_TRAIN_INFER_REPLY_H
#define GENLLAVA_TRAIN_INFER_REPLY_H

#include "data/text/encode.h"
#include "train/infer/answer.h"
#include "train/models/generation.h"

/* What all replies of a model have in common. */
typedef struct ReplyRules {
    const Tokenizer *tokenizer;
    EncoderOptions encoder;
    EndTokens ends;
    int32_t n_choices; /* logits that a token is chosen by */
    int32_t *scratch;  /* [n_choices] */
    int32_t n_visual;  /* tokens of a picture; 0: a model that does not draw */
} ReplyRules;

typedef struct Reply {
    const ReplyRules *rules;
    const Sampling *sampling;
    const AnswerSink *sink; /* may be NULL */
    uint64_t index;         /* of the question */
    int32_t *ids;           /* of the prompt, then of the answer */
    int64_t n_prompt, n;    /* ids of each */
    int64_t left, most;     /* positions that the language model has for the answer; ids that it may have */
    int32_t n_drawn;        /* visual tokens of the picture that the answer is at; 0: it is at none */
    bool picture_told;
    char *text; /* decoded so far */
    size_t text_bytes, shown;
    int64_t text_capacity;
    int64_t n_final; /* ids up to the last picture … */
    size_t final;    /* … and bytes of their text */
} Reply;

typedef enum ReplyState {
    REPLY_GOES_ON, /* *id is the next token */
    REPLY_PICTURE, /* the visual tokens of a picture are the last ones; asked once more it goes on */
    REPLY_DONE
} ReplyState;

/* Behind a prompt of n ids, with `left` positions behind it. */
MUST_USE Status reply_begin(Reply *r, const ReplyRules *rules, const Sampling *s, const int32_t *prompt, int64_t n, int64_t left,
                            uint64_t index);
/* logits: behind the last token. */
MUST_USE Status reply_next(Reply *r, const float *logits, ReplyState *state, int32_t *id);
/* The trimmed text; mem_free. */
MUST_USE Status reply_text(const Reply *r, char **text, size_t *n);
void reply_free(Reply *r);
#endif
