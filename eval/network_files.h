/* network_files.h: what networks make of the drawings of a benchmark: from a folder of files of features, or computed into one by networks
 * whose weights are given. Called by evaluate. */
#ifndef GENLLAVA_EVAL_NETWORK_FILES_H
#define GENLLAVA_EVAL_NETWORK_FILES_H

#include "eval/bench/bench.h"
#include "eval/features/picture_net.h"
#include "kernels/base/cli.h"

typedef struct NetworkFolders {
    const char *features;                /* a folder of files of features (networks.h), kept from score to score (kept_features.h) */
    const char *clip, *dino, *inception; /* weights: folders */
    const char *lpips;                   /* … and a file */
    const char *reference;               /* of FID: a file of the goals' features, or of their statistics */
    int device;                          /* where they compute, a DeviceChoice */
} NetworkFolders;

/* Rows of a program's options, for NetworkFolders `n`. */
#define NETWORK_OPTIONS(n)                                                                                                               \
    {"--model", CLI_STRING, &(n).clip, "DIR", "the weights of CLIP, as transformers' CLIPModel", 0, 0, NULL, false},                     \
        {"--dino", CLI_STRING, &(n).dino, "DIR", "the weights of DINO, as transformers' ViTModel", 0, 0, NULL, false},                   \
        {"--inception", CLI_STRING, &(n).inception, "DIR", "the weights of FID's Inception-v3", 0, 0, NULL, false},                      \
        {"--lpips", CLI_STRING, &(n).lpips, "FILE", "the state of the lpips package's LPIPS(net=\"alex\"), safetensors", 0, 0, NULL,       \
         false},                                                                                                                         \
        {"--reference", CLI_STRING, &(n).reference, "FILE", "the goals' side of FID, features or statistics (.npz)", 0, 0, NULL, false}, \
        {"--device", CLI_CHOICE, &(n).device, "auto|cpu|cuda", "where these networks compute", 0, 0, PICTURE_NET_DEVICES, false},        \
        {"--features", CLI_STRING, &(n).features, "DIR",                                                                                 \
         "what these networks make of drawings, goals and captions, kept as clip-made.h5, clip-goal.h5, clip-text.h5, dino-made.h5, "    \
         "dino-goal.h5, inception-made.h5, inception-goal.h5, lpips.h5; rows of pictures that have not changed are kept, files of other "\
         "programs are taken as they are (also .npy, with names)", 0, 0, NULL, false}

/* Opens what is known about the drawings of a benchmark in the folder `made`, and computes what is not but could be. networks_close. */
MUST_USE Status network_files_open(Networks **out, const NetworkFolders *n, const Bench *b, const BenchData *d, const char *made);
/* Removes what the last call has made for a time, and a file of features that is not whole, as the process ends; called from a signal
 * handler. */
void network_files_abandon(void);
#endif
