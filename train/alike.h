/* alike.h: whether all ranks run the same program with the same settings, on machines that compute alike, on the same files: weights are
 * held by every rank and never compared again. Called by setup.c, on every rank. What differs is one sentence, a line for each difference:
 * "optim.lr: rank 2 sees 0.1, rank 0 sees 0.2". */
#ifndef GENLLAVA_TRAIN_ALIKE_H
#define GENLLAVA_TRAIN_ALIKE_H

#include "train/config/config.h"
#include "train/dist/dist.h"
#include "train/run_data.h"

/* The bytes of the program, and every key. ERR_USAGE. */
MUST_USE Status alike_settings(Dist *d, const RunConfig *cfg);
/* The device's kind, and libraries that read numbers or pictures. refuse: ERR_USAGE; else a warning. */
MUST_USE Status alike_machines(Dist *d, const Backend *b, bool refuse);
/* Names and sizes of the bases' files, and a hash of the beginning and the end of each: whole models are not read for this; where the
 * shards are. ERR_DATA, or ERR_MISSING where a rank sees none. */
MUST_USE Status alike_files(Dist *d, const RunConfig *cfg);
/* How many samples, tokens and steps these data give; contents: also what they are made from, by size and hash. The same errors. */
MUST_USE Status alike_data(Dist *d, const RunData *rows, const RunData *held, bool contents);
#endif
