/* nccl.h: sums over ranks between GPUs, by NCCL where it is found. Used by dist.c; no header of NCCL is needed. */
#ifndef GENLLAVA_TRAIN_DIST_NCCL_H
#define GENLLAVA_TRAIN_DIST_NCCL_H

#include "train/dist/transport.h"

enum { NCCL_ID_BYTES = 128 };
typedef struct NcclId {
    char bytes[NCCL_ID_BYTES];
} NcclId;

/* Whether the library is there (GENLLAVA_NCCL names its file; "none": it is not used). */
bool nccl_load(void);
/* The version of a library that is there: "2.28.3". */
void nccl_name(char *out, size_t n);
/* A new id, of rank 0, which all others need. id: NcclId. */
MUST_USE Status nccl_draw_id(void *id);
/* *t sums memory of the present device from here on, and shares as before. To be called by all ranks. */
MUST_USE Status nccl_add(Transport *t, const NcclId *id, int rank, int n_ranks);
#endif
