/* algorithms.h: what a backend has chosen for its device, kept in a checkpoint's state.json, so that a resumed run computes with the same
 * algorithms. */
#ifndef GENLLAVA_TRAIN_STORE_ALGORITHMS_H
#define GENLLAVA_TRAIN_STORE_ALGORITHMS_H

#include "data/formats/json_write.h"
#include "kernels/ops/table.h"

/* Adds the member "algorithms" to the object: an array of lines; nothing where the backend chooses nothing. */
MUST_USE Status algorithms_write(cJSON *state, Backend *b);
/* state: the object it was written into. What cannot be used is chosen anew, which is said; it is no error. */
MUST_USE Status algorithms_read(const Json *state, Backend *b);
#endif
