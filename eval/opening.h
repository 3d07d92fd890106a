/* opening.h: which model a program is asked to open: --config or --checkpoint. For generate and evaluate. */
#ifndef GENLLAVA_EVAL_OPENING_H
#define GENLLAVA_EVAL_OPENING_H

#include <limits.h>

#include "kernels/base/cli.h"
#include "train/config/config.h"
#include "train/infer/answer.h"

typedef struct Opening {
    const char *program; /* for messages */
    const char *config, *checkpoint;
    CliList sets;
    bool base_changed;
    int local_rank, processes; /* of several on this machine; processes 0: this one alone */
} Opening;

/* Rows of a program's options, for an Opening `o`. */
#define OPENING_OPTIONS(o)                                                                                                                 \
    {"--config", CLI_STRING, &(o).config, "RUN.json", "a run's config: its newest checkpoint if it has one, else the starting point", 0,   \
     0, NULL, false},                                                                                                                      \
        {"--checkpoint", CLI_STRING, &(o).checkpoint, "DIR",                                                                               \
         "a checkpoint folder, or a run folder for its newest; it knows its base models", 0, 0, NULL, false},                              \
        {"--set", CLI_STRINGS, &(o).sets, "KEY=VALUE", "override a key of the config (repeatable)", 0, 0, NULL, false},                    \
        {"--base-changed", CLI_FLAG, &(o).base_changed, NULL,                                                                              \
         "go on although a base model is not the one that the checkpoint was trained on", 0, 0, NULL, false}

/* One of config and checkpoint is given. */
MUST_USE Status opening_check(const Opening *o);
/* The settings, and the checkpoint's folder; "": the starting point of the run. */
MUST_USE Status opening_read(const Opening *o, RunConfig *cfg, char checkpoint[PATH_MAX]);
/* Whether the checkpoint's base models are those that it was trained on. */
MUST_USE Status opening_check_bases(const Opening *o, const RunConfig *cfg, const char *checkpoint);
/* All of that, then the model itself, to answer. cfg and checkpoint stay as they were read. */
MUST_USE Status opening_answerer(Answerer **out, const Opening *o, RunConfig *cfg, char checkpoint[PATH_MAX]);
/* The model itself, on the device of the rank. */
MUST_USE Status opening_model(Answerer **out, const Opening *o, const RunConfig *cfg, const char *checkpoint);
/* What results call the model: of a checkpoint "NAME/checkpoint-000200", without the folders above; else the run's name. */
void opening_name(char *name, size_t n, const RunConfig *cfg, const char *checkpoint);
#endif
