/* sets.h: the two sets that a command compares: files of features as they are; of a folder of pictures, or of texts, a network makes such a
 * file for a time. Called by run_fid.c, run_kid.c and run_clip_score.c. */
#ifndef GENLLAVA_EVAL_METRICS_SETS_H
#define GENLLAVA_EVAL_METRICS_SETS_H

#include <limits.h>

#include "eval/features/picture_net.h"
#include "kernels/base/cli.h"

enum { SETS = 2 };

typedef struct SetNetwork {
    const char *command; /* "evaluate fid" */
    const char *weights; /* NULL: not given */
    const char *flag;    /* the option that gives them */
    bool reads_texts;    /* FILE.jsonl is a list of texts … */
    const char *prefix;  /* … before each of which this stands; NULL: nothing */
    int device;          /* a DeviceChoice */
} SetNetwork;
/* Rows of a command's options, for a SetNetwork `n`. */
#define SET_DEVICE(n) {"--device", CLI_CHOICE, &(n).device, "auto|cpu|cuda", "where the network computes", 0, 0, PICTURE_NET_DEVICES, false}
#define SET_INCEPTION(n)                                                                                                \
    {"--inception", CLI_STRING, &(n).weights, "FILE", "the weights of FID's Inception-v3, where pictures are given", 0, 0,\
     NULL, false}

/* The files of two words, each a file of features, a folder of pictures or a list of texts. Messages should name the words. sets_remove
 * also after an error. */
MUST_USE Status sets_open(char paths[SETS][PATH_MAX], const CliList *words, const SetNetwork *n);
/* Removes what sets_open has made; may be called from a signal handler. */
void sets_remove(void);
#endif
