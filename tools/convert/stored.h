/* stored.h: tensors where they lie, in open files of any format, under our names for them ("model.layers.0.…",
 * "vision_model.…", "multi_modal_projector.…", "token_rows.…", "base_model.model.….lora_A.weight"), or made
 * of others (merge.c). Filled by the readers of formats (from_*.c), read by their writers (to_*.c) and by verify.c. */
#ifndef GENLLAVA_TOOLS_CONVERT_STORED_H
#define GENLLAVA_TOOLS_CONVERT_STORED_H

#include <stdbool.h>

#include "data/formats/torch_bin.h"
#include "train/models/names.h"

typedef struct Stored {
    const char *name;   /* ours */
    const char *theirs; /* in its file, for sentences */
    const char *file;
    DType type; /* of the values as they are stored; F32 where only `rows` has them */
    int n_dims;
    int64_t shape[ST_MAX_DIMS];
    const void *data; /* all values in order, maybe misaligned; NULL: only `rows` has them */
    /* Values of rows first … first+n-1 as f32, where data is NULL. */
    Status (*rows)(const struct Stored *t, int64_t first, int64_t n, float *out);
    const void *source; /* for `rows` … */
    int64_t at;         /* … and what of it */
    char *texts;        /* of a set's own: room for its names */
} Stored;

typedef struct StoredSet {
    Stored *list; /* sorted by name after stored_sort */
    int n, capacity;
    struct StoredFile *files; /* open as long as the set */
} StoredSet;

/* Copies t with its name, theirs and file. */
MUST_USE Status stored_add(StoredSet *set, const Stored *t);
/* The set closes an open file when it is freed; it is closed at once after an error. */
MUST_USE Status stored_keep(StoredSet *set, void *file, void (*close)(void *file));
/* Once all are added. Two of one name are ERR_DATA, naming both. */
MUST_USE Status stored_sort(StoredSet *set);
const Stored *stored_find(const StoredSet *set, const char *name); /* NULL: there is none */
void stored_free(StoredSet *set);

/* Adds the tensors of an open file or folder, which the set closes from here on, also after an error. ours: writes our name of one of
 * theirs, or returns false for what is left out. */
typedef bool (*StoredName)(void *arg, char ours[WEIGHT_NAME_MAX], const char *theirs);
MUST_USE Status stored_add_safetensors(StoredSet *set, SafeTensors *st, StoredName ours, void *arg);

/* The same of torch's .bin files. */
MUST_USE Status stored_add_torch(StoredSet *set, TorchBin *bin, StoredName ours, void *arg);

int64_t stored_row(const Stored *t); /* elements of a row (along the first dimension) */
int64_t stored_elems(const Stored *t);
/* Rows first … first+n-1 as f32, of either kind of tensor. */
MUST_USE Status stored_rows(const Stored *t, int64_t first, int64_t n, float *out);
/* ERR_DATA with both shapes when it is another one. */
MUST_USE Status stored_check_shape(const Stored *t, int n_dims, const int64_t *shape);
#endif
