/* dump.h: what --dump writes: one safetensors file a step with loss, norm, logits of every label, context of every target image, gradients
 * and new weights, for comparisons with other frameworks. With several ranks the rows of all are gathered and rank 0 writes. */
#ifndef GENLLAVA_TRAIN_LOG_DUMP_H
#define GENLLAVA_TRAIN_LOG_DUMP_H

#include "data/loader/batch.h"
#include "train/dist/dist.h"
#include "train/models/genllava.h"
#include "train/nn/params.h"

typedef struct Dump Dump;
typedef struct DumpScalars {
    StepLosses losses;
    double lr, grad_norm;
} DumpScalars;

/* step: the first that will be written. ERR_CREATE when the folder has files of such steps: they would stand beside new ones. */
MUST_USE Status dump_open(Dump **out, const char *folder, int64_t step, Dist *dist, const ModelSizes *sizes);
void dump_close(Dump **d); /* NULL is fine */
/* Forgets the last step's rows. */
void dump_begin(Dump *d);
/* Notes the labels and target images of a pass and asks for their logits and context, to be filled in before the next call. */
MUST_USE Status dump_pass(Dump *d, const Batch *b, LossRequest *request);
/* Writes FOLDER/step-NNNNNN.safetensors: gradients as they are in the flat buffer, weights as they are now. */
MUST_USE Status dump_write(Dump *d, int64_t step, Params *p, const DumpScalars *scalars);
#endif
