/* facts.h: what doctor finds out about a machine: rows for people and for JSON, and the numbers that its judgement (pairs.h) needs. Called
 * by doctor. */
#ifndef GENLLAVA_TOOLS_DOCTOR_FACTS_H
#define GENLLAVA_TOOLS_DOCTOR_FACTS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/status.h"

enum { FACT_ROWS_MOST = 64, FACT_TEXT_BYTES = 512 };
typedef struct FactRow {
    const char *section; /* "memory": rows of a section follow each other */
    char key[64];        /* "available" */
    char text[FACT_TEXT_BYTES];
    int64_t value; /* of a number, in bytes or pieces; -1: there is only the text */
} FactRow;

/* Numbers: -1 is unknown, INT64_MAX no limit. */
typedef struct Facts {
    FactRow row[FACT_ROWS_MOST];
    int n_rows;
    bool built_with_cuda;
    int gpus;                               /* NVIDIA's, on the PCI bus */
    char module[64], driver_file[PATH_MAX]; /* version of the driver's kernel module; the driver's library; "": not there */
    char no_gpu[1024];                      /* why device "auto" takes no GPU although this build could, else "" */
    const char *visible;                    /* CUDA_VISIBLE_DEVICES where it is set, else NULL */
    int threads;                            /* that the CPU computes with */
    double processors;                      /* that the control groups grant; infinite where they do not say */
    int64_t shared_memory, locked_memory;   /* bytes of /dev/shm; ulimit -l */
    bool infiniband;
    const char *unloaded; /* the variable that names a library which cannot be loaded, or NULL */
} Facts;

/* root: "" (tests: a folder that holds proc, sys and dev). Opens the device that "auto" takes, and closes it again. */
MUST_USE Status facts_find(Facts *f, const char *root);
#endif
