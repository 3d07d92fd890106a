/* out.h: tensors on their way into files: which, under what name and of which type. Written a piece at a time, so that the memory is that
 * of a piece whatever the model's size. Used by the writers (to_*.c). */
#ifndef GENLLAVA_TOOLS_CONVERT_OUT_H
#define GENLLAVA_TOOLS_CONVERT_OUT_H

#include "tools/convert/stored.h"

typedef struct OutTensor {
    char name[WEIGHT_NAME_MAX]; /* there */
    DType type;                 /* there: F32, BF16, F16 */
    Stored value;
} OutTensor;

typedef struct OutList {
    OutTensor *list;
    int n, capacity;
} OutList;

/* Adds a value as it is, or rounded to `type`. */
MUST_USE Status out_add(OutList *l, const char *name, DType type, const Stored *value);
void out_free(OutList *l);
int64_t out_bytes(const OutTensor *t);

/* Calls put with the bytes of a tensor, in pieces of whole rows. A number that is not finite, or that `type` cannot hold, is ERR_DATA with
 * the tensor's name. SIGINT, SIGTERM end it with ERR_PREEMPTED (out_stop). */
typedef Status (*OutPut)(void *arg, const void *bytes, size_t n);
MUST_USE Status out_write(const OutTensor *t, OutPut put, void *arg);
/* The same as f32 rows, for writers that have a type of their own. */
typedef Status (*OutRows)(void *arg, const float *rows, int64_t n_rows);
MUST_USE Status out_rows(const OutTensor *t, OutRows put, void *arg);

/* Writes FOLDER/STEM.safetensors, or, where the tensors take more than max_shard bytes, STEM-00001-of-0000K.safetensors … and
 * STEM.safetensors.index.json. */
MUST_USE Status out_safetensors(const OutList *l, const char *folder, const char *stem, int64_t max_shard);

/* From a signal handler: writing ends at the next piece, verifying at the next weight. */
void out_stop(void);
MUST_USE Status out_go_on(void); /* ERR_PREEMPTED after out_stop */
/* The line of progress counts these too, before they are written: for writers that call out_write and out_rows themselves. */
void out_expect(const OutList *l);
#endif
