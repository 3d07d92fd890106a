/* ask.h: asks a model the questions of a benchmark. */
#ifndef GENLLAVA_EVAL_ASK_H
#define GENLLAVA_EVAL_ASK_H

#include "eval/bench/bench.h"
#include "train/dist/dist.h"
#include "train/infer/answer.h"

enum { ASK_AT_ONCE = DECODER_SEQUENCES };

typedef struct AskOptions {
    const char *out;     /* the answers, in LLaVA's format and the official order */
    const char *model;   /* what they call the model: "model_id" */
    int chunk, n_chunks; /* of d's questions the chunk-th piece of ⌈n/n_chunks⌉, from 1; n_chunks 0: all */
    int at_once;         /* questions answered together; 0: ASK_AT_ONCE. The answers are the same. */
    Dist *dist;          /* the ranks that share the questions, each with a model; all make this call. NULL: this process alone */
} AskOptions;

typedef struct AskCounts {
    int64_t n;            /* questions */
    int64_t asked;        /* of them now … */
    int64_t resumed;      /* … and by an earlier call */
    int64_t n_no_picture; /* of both, whose picture is missing or broken: the text is empty */
    int64_t n_refused; /* of those asked now, the same for what else is wrong with a question: it is too long, or has an <image> too many */
} AskCounts;

/* Before a model is opened: that the benchmark asks questions and its files are whole, and that answers can be written there. */
MUST_USE Status ask_check(const Bench *b, const BenchData *d, const char *out);
/* What asking b's questions of d takes besides the model: bytes of the backend's memory, and of the host's besides. a: of a model opened on
 * a backend that computes nothing. */
MUST_USE Status bench_ask_bytes(const Bench *b, const BenchData *d, Answerer *a, int64_t *n_bytes, int64_t *host);
/* Asks b's questions of d. A whole o->out is left alone. Until it is whole the answers are in o->out.partial, a line each as they come; a
 * call that finds this goes on behind it, without a last line that is torn. ERR_PREEMPTED after a signal (train/dist/signals.h). A file
 * that another process is writing: ERR_CREATE, which names it. An answer file of another model, or of questions that are not asked here:
 * ERR_USAGE. */
MUST_USE Status bench_ask(const Bench *b, const BenchData *d, Answerer *a, const AskOptions *o, AskCounts *counts);
#endif
