/* samples.h: what a run answers and draws while it trains (sample.every, sample.prompts), so that people see it learn. Answers are greedy,
 * and pictures are drawn as `generate` does where nothing else is asked for. */
#ifndef GENLLAVA_TRAIN_LOG_SAMPLES_H
#define GENLLAVA_TRAIN_LOG_SAMPLES_H

#include <limits.h>

#include "data/text/encode.h"
#include "train/infer/answer.h"
#include "train/log/runlog.h"

typedef struct SamplePrompt {
    Task task;       /* of the key: "ask", "draw" or "edit" */
    const char *key; /* as the prompt spells it */
    char *text;
    size_t n_text;
    char *expected; /* written beside the answer; NULL: not told */
    size_t n_expected;
    char **images; /* as written; relative ones start at the prompts file's folder */
    int n_images;
    uint8_t *pixels; /* of all images: what becomes of the files does not matter to the run */
    uint8_t *source; /* of an edit: the first one, as the diffusion model sees it */
    EncodedSample encoded;
} SamplePrompt;
typedef struct Samples {
    SamplePrompt *list;
    int n;                 /* 0: sampling is off */
    char folder[PATH_MAX]; /* of the prompts file */
} Samples;

/* cfg->draws: whether sampling is on and a prompt asks for a picture, so that what draws is opened. A file that cannot be read is left to
 * samples_load. */
void samples_ask(RunConfig *cfg);
/* Reads cfg's prompts when sampling is on: an object a line, {"ask", "draw" or "edit": text, "image": path or list of paths, "expected":
 * text}. All mistakes are told at once, each with its line: ERR_DATA, or ERR_MISSING when only pictures are missing. preprocessor: of a
 * model that sees. */
MUST_USE Status samples_load(Samples *s, const RunConfig *cfg, const ModelSizes *sizes, const Preprocessor *preprocessor);
void samples_free(Samples *s);
/* Bytes that answering and drawing take besides the model: of the backend's memory, and of the host's besides. g: opened on null, a backend
 * that computes nothing. */
MUST_USE Status samples_memory(const Samples *s, GenLlava *g, const RunConfig *cfg, Backend *null, int64_t *n_bytes, int64_t *host);
/* Answers all prompts: run_folder/samples/step-NNNNNN/ gets answers.jsonl and the pictures, as `generate --batch` would make them of the
 * checkpoint of that step, and sheet.png, all pictures on one sheet. The folder appears whole or not at all. Before it does,
 * samples/sheet.png becomes a sheet with a row for each step so far, the newest SHEET_STEPS, pictures reduced to SHEET_SIDE. ERR_PREEMPTED:
 * a signal came first. */
enum { SHEET_STEPS = 200, SHEET_SIDE = 128 };
MUST_USE Status samples_write(const Samples *s, Answerer *a, const RunConfig *cfg, const char *run_folder, int64_t step);
bool samples_written(const char *run_folder, int64_t step);
/* Puts the pictures of a step that was written into TensorBoard. */
MUST_USE Status samples_log(const Samples *s, RunLog *log, const char *run_folder, int64_t step);
#endif
