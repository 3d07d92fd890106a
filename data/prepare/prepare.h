/* prepare.h: a run's mixture to shards; used by the program `prepare` and by `train` when shards are missing or stale. */
#ifndef GENLLAVA_DATA_PREPARE_PREPARE_H
#define GENLLAVA_DATA_PREPARE_PREPARE_H

#include <stdio.h>

#include "data/text/encode.h"
#include "data/shards/index.h"
#include "data/pictures/preprocessor.h"
#include "data/records/records.h"

enum { PREPARE_MAX_JOBS = 64 };

typedef struct PrepareOptions {
    const Mixture *mixture;
    EncoderOptions encoder;
    const char *tokenizer_path;
    const char *vision_folder; /* NULL: text only */
    bool pad;
    int64_t shard_samples;
    const char *out;       /* folder */
    int jobs;              /* processes, at most PREPARE_MAX_JOBS; 0: as many as cores */
    bool prompts[N_TASKS]; /* whose loss compares with what the text encoder makes of a prompt: rows without one are bad */
    bool strict;           /* any bad row is an error (65) */
    double max_bad;        /* a source of which a larger share of rows is bad is an error; 1: never */
    int64_t max_pixels;    /* of a picture */
    const char *report;    /* JSON file, or NULL */
    FILE *report_stream;   /* the report goes there instead, or NULL */
} PrepareOptions;

typedef struct PrepareResult {
    int64_t good, bad, shards, images, tokens;
    int64_t filtered, duplicates, excluded; /* rows that are neither good nor bad: by a filter, near_duplicates, a list of pictures */
    int64_t renamed;                        /* pictures found under another ending */
    int64_t cut_rows, cut_tokens;           /* rows cut to max_tokens; the trained tokens that it cost */
} PrepareResult;

/* What a run's samples are, for a checkpoint to remember: one JSON object of the mixture's sources and weights, the files by size and hash,
 * the size of pictures, and "shards", a hash of what these hold: null while they are missing or stale. No time stands in it. mem_free */
MUST_USE Status prepare_identity(const PrepareOptions *o, char **json);
/* A hash of what the shards are made from, 64 hex digits: the same for the same settings, tokenizer and files (path, size, time). */
MUST_USE Status prepare_hash(const PrepareOptions *o, char hex[65]);
/* OK and *fresh: whether `out` holds a complete set made from exactly this; *why says what differs (static text or thread-local). *result
 * is filled when it does. ERR_DATA: it does, and a source has more bad rows than max_bad allows. */
MUST_USE Status prepare_is_fresh(const PrepareOptions *o, bool *fresh, const char **why, PrepareResult *result);
/* What a loader can plan with, without making shards: reads the whole mixture, writes nothing but a temporary folder. index_free. */
MUST_USE Status prepare_index(const PrepareOptions *o, RecordIndex *out, PrepareResult *result);
/* Writes the rows that the shards would hold to a file ("-": standard output), whole or not at all: unified lines in the shards' order,
 * with absolute picture paths. Read back with image_root "/" it makes the same shards but for the rows' own text. Weights of sources do not
 * matter. */
MUST_USE Status prepare_export(const PrepareOptions *o, const char *path, PrepareResult *result);
/* What the mixture holds, to `out`: for people, or as one JSON object. ERR_DATA after it where the mixture would be refused. */
MUST_USE Status prepare_stats(const PrepareOptions *o, FILE *out, bool json);
/* ERR_USAGE where an output ("-", NULL: none), named by an option, is a file that the mixture is read from, or any picture. */
MUST_USE Status prepare_spare(const Mixture *m, const char *option, const char *path);
/* From a signal handler that ends the process: removes what prepare_index, prepare_export or prepare_stats has in the temporary folder. */
void prepare_abandon(void);
/* Builds what is missing, after a line that says why; shards that verify are kept. Resumable after a kill at any moment. */
MUST_USE Status prepare_run(const PrepareOptions *o, PrepareResult *result);
#endif
