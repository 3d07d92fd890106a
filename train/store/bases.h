/* bases.h: which files a checkpoint's base folders held. state.json has, for each part with a folder, its path and name, size, modification
 * time and XXH3 (128 bits) of every file that counts: weights unless they are drawn, *.json, *.model. */
#ifndef GENLLAVA_TRAIN_STORE_BASES_H
#define GENLLAVA_TRAIN_STORE_BASES_H

#include "data/formats/json_write.h"
#include "train/config/config.h"
#include "train/models/parts.h"

/* Adds "bases". A file is hashed once a process, and one that bases_check has found the same is written as it was recorded. Of a part whose
 * results are cached (part_cached) weights that are no longer there are left out here, and not missed below. */
MUST_USE Status bases_write(cJSON *state, const RunConfig *cfg);
/* Adds the files of one part's folder to an array, as bases_write does. */
MUST_USE Status bases_list(cJSON *files, const Part *part, const RunConfig *cfg);
/* Adds an object for each part with a folder: its path and, by name, the size of each file that counts and a hash of the file's beginning
 * and end. No more is read. For comparing what ranks see. */
MUST_USE Status bases_outline(cJSON *out, const RunConfig *cfg);
/* Whether the folders of cfg hold what was recorded: equal sizes and, where modification times differ, equal bytes. answers: only
 * those that answering reads, in text or, with cfg->draws, in pictures. Another base is ERR_DATA with a sentence that names both and ends
 * with `advice`. The hash over parts of files that earlier versions wrote is accepted. */
MUST_USE Status bases_check(const Json *state, const RunConfig *cfg, bool answers, const char *checkpoint, const char *advice);
#endif
