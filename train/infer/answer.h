/* answer.h: a model that answers questions about pictures: prompt, decoding, text. */
#ifndef GENLLAVA_TRAIN_INFER_ANSWER_H
#define GENLLAVA_TRAIN_INFER_ANSWER_H

#include "data/record.h"
#include "data/pictures/preprocessor.h"
#include "train/config/config.h"
#include "train/models/genllava.h"

enum { ANSWER_TOKENS = 256 }; /* the longest answer, where nothing else is asked for */

typedef struct Sampling {
    double temperature; /* 0: greedy, the largest logit, ties to the lowest id */
    double top_p;       /* keep the fewest likeliest tokens that reach this probability; 1: all */
    uint64_t seed;
    int64_t max_new_tokens;
    const char *(*stopped)(void); /* may be NULL; asked before every token and question: why to give up (ERR_PREEMPTED), or NULL */
} Sampling;

typedef struct Answerer Answerer;

/* Opens everything a config names: tokenizer, picture processor, device, weights. checkpoint_dir: trained parts, or NULL for the starting
 * point. */
MUST_USE Status answerer_open(Answerer **out, const RunConfig *cfg, const char *checkpoint_dir);
/* The same of one of several processes on this machine, which takes the local_rank-th of its devices. */
MUST_USE Status answerer_open_rank(Answerer **out, const RunConfig *cfg, const char *checkpoint_dir, int local_rank, int processes);
/* The same with a model that is training on an open backend; all are borrowed, and nothing of them changes. preprocessor: of a model that
 * sees. */
MUST_USE Status answerer_borrow(Answerer **out, const RunConfig *cfg, GenLlava *model, Backend *backend, const Preprocessor *preprocessor);
void answerer_close(Answerer **a);

/* Who follows an answer; each function may be NULL. */
typedef struct AnswerSink {
    void (*text)(void *user, const char *text, size_t n); /* what has come to it, in whole characters; no GEN_MARKER */
    Status (*picture)(void *user, const float *context); /* where the answer has a GEN_MARKER: the generation head's context, [queries,C] */
    void *user;
} AnswerSink;

/* The last of `turns` (human and gpt in turn, the last one human). Pictures are files; the k-th stands where the k-th <image> of the human
 * turns is, or all stand in the first of these when there is none. index separates the random numbers of the questions of a batch. system:
 * replaces the template's own system text; none where that stands. */
typedef struct Question {
    RecordText system;
    const RecordTurn *turns;
    int n_turns;
    const char *image_root;    /* rows named the pictures, which lie below it; NULL: they are what a person named */
    const char *const *images; /* paths */
    int n_images;
    const uint8_t *pixels; /* in place of the paths: what answer_picture gave for each, one behind the other */
    uint64_t index;
} Question;
/* Answers it. *answer: trimmed text of *n bytes and a NUL behind them (a model may also answer NUL), the caller's to mem_free. Where a
 * model with a generation head begins a picture, [IMG0], the other visual output tokens follow by themselves, and the text has a
 * GEN_MARKER; before that they cannot be chosen (spec: model.md 4.6, 4.8). sink may be NULL; one with `picture` needs a model opened with
 * cfg->draws. */
MUST_USE Status answerer_ask(Answerer *a, const Question *q, const Sampling *s, const AnswerSink *sink, char **answer, size_t *n);
/* Questions to be asked together. What a question points to stays valid until the next call. */
typedef struct QuestionList {
    int64_t n;
    void *user;
    Status (*question)(void *user, int64_t i, Question *q); /* its pictures need not be read yet */
    /* q->pixels of question i, read when it is asked; *which: a number, 0 or more, that questions with the same pictures share. NULL: they
     * are read from their paths. */
    Status (*pictures)(void *user, int64_t i, Question *q, int64_t *which);
    /* Question i has been answered (why OK), in no fixed order; or it cannot be: ERR_DATA, ERR_MISSING, status_message() says why. */
    Status (*answer)(void *user, int64_t i, Status why, const char *text, size_t n);
} QuestionList;
/* Answers all of them, up to at_once (at most DECODER_SEQUENCES, fewer where memory is short) at a time. Each answer has the same bytes as
 * that of answerer_ask. Questions with the same pictures that follow each other are looked at once. */
MUST_USE Status answerer_ask_all(Answerer *a, const QuestionList *list, const Sampling *s, int at_once);
/* Bytes of the backend's memory that this takes besides the model, where there is room for at_once. */
MUST_USE Status answerer_all_bytes(Answerer *a, const QuestionList *list, const Sampling *s, int at_once, size_t *n_bytes);
/* The context of the picture that a question calls for: the visual output tokens stand where the answer would begin. task: TASK_GENERATE or
 * TASK_EDIT. context [queries,C]. Of a model opened with cfg->draws. */
MUST_USE Status answerer_context(Answerer *a, const Question *q, Task task, float *context);
GenLlava *answerer_model(Answerer *a);
Backend *answerer_backend(Answerer *a);
/* How a picture is to be seen, and its bytes then. */
const ImagePrep *answerer_prep(const Answerer *a);
size_t answerer_picture_bytes(const Answerer *a);

/* Reads one picture as it is to be seen; pixels [height, width, 3]. root: as picture_load takes it. */
MUST_USE Status answer_picture(const ImagePrep *prep, const char *root, const char *path, uint8_t *pixels);
/* The same of a picture's file in memory, with a name for messages. */
MUST_USE Status answer_picture_bytes(const ImagePrep *prep, const uint8_t *bytes, size_t n, const char *name, uint8_t *pixels);

/* One token id out of n logits; exposed for tests. draw: uniform in [0,1). scratch: n ids. */
int32_t sample_token(const float *logits, int32_t n, double temperature, double top_p, double draw, int32_t *scratch);
#endif
