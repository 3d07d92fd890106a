/* checkpoint_files.h: the files inside a checkpoint, written one by one into a folder; checkpoint.c makes a checkpoint of them. */
#ifndef GENLLAVA_TRAIN_STORE_CHECKPOINT_FILES_H
#define GENLLAVA_TRAIN_STORE_CHECKPOINT_FILES_H

#include "data/formats/file.h"
#include "train/store/checkpoint.h"

/* Every part of the model that is not just a frozen base, and what lies beside its weights. */
MUST_USE Status checkpoint_write_weights(const char *folder, GenLlava *model, const RunConfig *cfg);
MUST_USE Status checkpoint_write_moments(const char *folder, Params *p);
/* Calls visit with the name of each file of weights and moments, and of what lies beside them, that a checkpoint of these settings has. */
MUST_USE Status checkpoint_each_file(const RunConfig *cfg, FileVisit visit, void *arg);
/* change: tensors that are not there are left as they are. */
MUST_USE Status checkpoint_read_moments(const char *folder, Params *p, bool change);
#endif
