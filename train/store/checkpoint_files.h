/* checkpoint_files.h: the files inside a checkpoint, written one by one into a folder; checkpoint.c makes a checkpoint of them. */
#ifndef GENLLAVA_TRAIN_STORE_CHECKPOINT_FILES_H
#define GENLLAVA_TRAIN_STORE_CHECKPOINT_FILES_H

#include "data/formats/file.h"
#include "train/store/checkpoint.h"

/* Every part of the model that is not just a frozen base, and what lies beside its weights. */
MUST_USE Status checkpoint_write_weights(const char *folder, GenLlava *model, const RunConfig *cfg);
/* The moments of whole tensors, one after the other as they lie in memory, about an n_ranks-th of all bytes: a file for each rank; of a
 * single one "optimizer.safetensors". name: the file's. */
enum { MOMENTS_NAME = 64 };
MUST_USE Status checkpoint_write_moments(const char *folder, Params *p, int rank, int n_ranks, char name[MOMENTS_NAME]);
/* optimizer.safetensors.index.json, which says where each tensor of several files is, as Hugging Face's do. */
MUST_USE Status checkpoint_write_index(const char *folder, const Params *p, int n_ranks);
/* Calls visit with the name of each file of weights and moments, and of what lies beside them, that a checkpoint of these settings has;
 * in how many files the moments are the folder says itself. */
MUST_USE Status checkpoint_each_file(const char *folder, const RunConfig *cfg, FileVisit visit, void *arg);
/* change: tensors that are not there are left as they are, and moments of another type (optim.moments) are converted. */
MUST_USE Status checkpoint_read_moments(const char *folder, Params *p, bool change);
#endif
