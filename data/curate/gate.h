/* gate.h: what a record must pass whoever wrote it: its pictures are not excluded, they fit their texts (scores), and nothing like it came
 * before (dedupe). Called by ingest and filter. */
#ifndef GENLLAVA_DATA_CURATE_GATE_H
#define GENLLAVA_DATA_CURATE_GATE_H

#include <math.h>

#include "data/curate/features.h"
#include "data/curate/outputs.h"
#include "data/curate/verdict.h"
#include "data/record.h"
#include "data/records/exclude.h"
#include "kernels/base/table.h"

#define GATE_CLOSING ".!?" /* marks at the end of a text in which equal ones may differ (record_comparable) */

typedef struct GateOptions {
    const char *features, *exclude;                /* NULL: none */
    double min_clip, min_clip_image, min_clip_dir; /* NAN: not given */
    int64_t max_same;                              /* 0: no cap */
} GateOptions;
#define GATE_DEFAULTS {.min_clip = NAN, .min_clip_image = NAN, .min_clip_dir = NAN, .max_same = 200}
/* Rows of a table of options (cli.h). o: a GateOptions. */
#define GATE_CLI_OPTIONS(o)                                                                                                               \
    {"--features", CLI_STRING, &(o).features, "FILE.h5", "CLIP's features of the records: uid, image0, image1, text0, text1.", 0, 0, NULL,\
     false},                                                                                                                              \
    {"--min-clip", CLI_REAL, &(o).min_clip, "X", "The least similarity of a picture and its text (0.2).", -1, 1, NULL, false},            \
    {"--min-clip-image", CLI_REAL, &(o).min_clip_image, "X", "Of edits: the least similarity of both pictures (0.7).", -1, 1, NULL, false},\
    {"--min-clip-dir", CLI_REAL, &(o).min_clip_dir, "X",                                                                                  \
     "Of edits: the least similarity of what changed in the pictures and in the texts (0.2).", -1, 1, NULL, false},                       \
    {"--max-same", CLI_INT, &(o).max_same, "N", "At most so many records of one instruction (200; 0: any number).", 0, 4294967295.0, NULL,\
     false}

typedef struct Gate {
    GateOptions options;
    Features *features; /* NULL: none are given */
    Exclude exclude;
    Table texts, instructions; /* of an instruction, how often it came */
    char *buffer;
    size_t buffer_bytes;
} Gate;

/* The scores of a record that were computed. */
typedef struct GateScores {
    bool any;
    double score[N_CLIP_SCORES];
} GateScores;

/* Thresholds that are not given get their values; ERR_USAGE when one is given and there are no features to compare. */
MUST_USE Status gate_settle(GateOptions *o);
/* ERR_USAGE when what it reads would be written over. */
MUST_USE Status gate_spare(const Outputs *outputs, const GateOptions *o);
MUST_USE Status gate_open(Gate *g, const GateOptions *o);
void gate_close(Gate *g);
/* The record's uid, task, images and turns are read. v stays without a reason when it passes. Order matters: the first of equal ones does.
 */
MUST_USE Status gate_judge(Gate *g, Verdict *v, const Record *rec, GateScores *scores);
/* The first human turn, or NULL. */
const RecordTurn *gate_instruction(const Record *rec);
#endif
