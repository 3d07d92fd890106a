/* base.h: a model large enough that parts of its memory can be told apart, and programs over it: their plan beside the peak that the kernel
 * measured. For plan.c and codes.c; everything lies in test_dir(). */
#ifndef GENLLAVA_TESTS_TRAIN_MEASURE_BASE_H
#define GENLLAVA_TESTS_TRAIN_MEASURE_BASE_H

#include "kernels/base/dtype.h"
#include "tests/harness.h"

enum { BASE_D = 512, BASE_F = 1408, BASE_KV = 256 };

typedef struct BaseModel {
    int layers, vocab;
    DType type; /* N_DTYPES: the folder has no weights */
    bool nf4;   /* its linears are in 4 bits, as bitsandbytes saves them */
} BaseModel;

void base_path(char path[512], const char *name);
/* The folder base/. */
void base_write(const BaseModel *m);
/* run.json, over base/. */
void base_write_run(const char *train, const char *compute, bool drawn);
/* Runs a program on run.json with these words, which end with NULL, on two threads: one that finds no work touches no workspace. Returns
 * the peak of its resident bytes. What it says is in stdout and stderr; wanted: its exit code. */
int64_t base_run(const char *program, const char *const *words, int wanted);
/* TARGETS R15: within 5 % of the measured peak, never under by more than 2 %. */
void base_check_plan(const char *name, int64_t planned, int64_t peak);
/* The same of train with these words; and what has to be said to be mapped. */
void base_check_run(const char *name, const char *const *words, int64_t least_mapped, int64_t most_mapped);
#endif
