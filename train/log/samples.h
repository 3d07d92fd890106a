/* samples.h: what a run answers while it trains (sample.every, sample.prompts), so that people see it learn. Greedy, so nothing random is
 * used. */
#ifndef GENLLAVA_TRAIN_LOG_SAMPLES_H
#define GENLLAVA_TRAIN_LOG_SAMPLES_H

#include <limits.h>

#include "data/text/encode.h"
#include "train/infer/answer.h"

typedef struct SamplePrompt {
    char *ask;
    size_t n_ask;
    char **images; /* as written; relative ones start at the prompts file's folder */
    int n_images;
    uint8_t *pixels; /* of all images: what becomes of the files does not matter to the run */
    EncodedSample encoded;
} SamplePrompt;
typedef struct Samples {
    SamplePrompt *list;
    int n;                 /* 0: sampling is off */
    char folder[PATH_MAX]; /* of the prompts file */
} Samples;

/* Reads cfg's prompts when sampling is on: an object a line, {"ask": text, "image": path or list of paths}. All mistakes are told at once,
 * each with its line: ERR_DATA, or ERR_MISSING when only pictures are missing. preprocessor: of a model that sees. */
MUST_USE Status samples_load(Samples *s, const RunConfig *cfg, const ModelSizes *sizes, const Preprocessor *preprocessor);
void samples_free(Samples *s);
/* Bytes of the backend's memory that answering takes besides the model. g: opened on a backend that computes nothing. */
MUST_USE Status samples_memory(const Samples *s, GenLlava *g, int64_t *n_bytes);
/* Answers all prompts and writes run_folder/samples/step-NNNNNN/answers.jsonl: {"ask", "image", "answer"} a line. The folder appears whole
 * or not at all. ERR_PREEMPTED: a signal came first. */
MUST_USE Status samples_write(const Samples *s, Answerer *a, const char *run_folder, int64_t step);
bool samples_written(const char *run_folder, int64_t step);
#endif
