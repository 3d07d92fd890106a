/* inspect.h: what lies in a file or folder, for people or as JSON. Private to tools/inspect*.c. */
#ifndef GENLLAVA_TOOLS_INSPECT_INSPECT_H
#define GENLLAVA_TOOLS_INSPECT_INSPECT_H

#include <stdbool.h>
#include <stdio.h>

#include "data/formats/gguf.h"
#include "data/formats/json_write.h"
#include "data/formats/safetensors.h"
#include "data/shards/index.h"
#include "data/shards/shard.h"

typedef struct InspectOptions {
    const char *path;
    bool json, verify;     /* verify: read the bytes of pictures however many they are */
    bool show;             /* draw pictures in the terminal */
    int64_t sample, image; /* -1: not asked for */
    const char *pixels;    /* PPM file, "-" for standard output, or NULL */
    const char *config;    /* run config, or NULL */
    FILE *out;
} InspectOptions;

/* What a path is, by its content. */
typedef enum PathKind {
    PATH_SHARD,
    PATH_WEIGHTS,
    PATH_TORCH,
    PATH_GGUF,
    PATH_SHARD_FOLDER,
    PATH_WEIGHTS_FOLDER,
    PATH_DIFFUSERS,
    PATH_CHECKPOINT,
    PATH_RUN,
    PATH_PICTURE,
    PATH_JSON,
    PATH_VOCABULARY,
    PATH_DATA_FOLDER,
    PATH_FOLDER,
    PATH_FEATURES,
    PATH_TEXT
} PathKind;
MUST_USE Status inspect_identify(const char *path, PathKind *kind);

/* inspect_weights.c. stem: of a folder ("model" or "diffusion_pytorch_model"), NULL for a file */
MUST_USE Status inspect_weights(const InspectOptions *o, const char *stem);
MUST_USE Status inspect_torch(const InspectOptions *o);
MUST_USE Status inspect_gguf(const InspectOptions *o);
/* The stem of what a folder of weights holds. */
const char *inspect_stem(const char *folder);
/* Folders of a diffusers model, side by side. */
MUST_USE Status inspect_diffusers(const InspectOptions *o);
/* inspect_metadata.c: into an object, or as lines */
MUST_USE Status inspect_add_metadata(cJSON *to, const Gguf *g);
MUST_USE Status inspect_print_metadata(FILE *out, const Gguf *g, const char *path);
/* inspect_shard.c */
MUST_USE Status inspect_shard(const InspectOptions *o);
MUST_USE Status inspect_shard_folder(const InspectOptions *o);
/* inspect_sample.c: o->sample of an open shard */
MUST_USE Status inspect_sample(const InspectOptions *o, const Shard *s);
MUST_USE Status inspect_pixels(const InspectOptions *o, const Shard *s);
/* inspect_run.c */
MUST_USE Status inspect_checkpoint(const InspectOptions *o);
MUST_USE Status inspect_run(const InspectOptions *o);

/* terminal.c: a picture in the cells of a terminal, in letters where `out` is none. */
typedef struct Image Image;
MUST_USE Status inspect_show(FILE *out, const Image *im);

/* inspect_file.c */
MUST_USE Status inspect_picture(const InspectOptions *o);
MUST_USE Status inspect_json(const InspectOptions *o);
MUST_USE Status inspect_vocabulary(const InspectOptions *o);
MUST_USE Status inspect_lines(const InspectOptions *o);
/* Arrays of numbers: .npy, .npz, and HDF5 files that prepare has not made. */
MUST_USE Status inspect_features(const InspectOptions *o);
/* Data sets as they are published, requests. */
bool inspect_is_data_folder(const char *path);
MUST_USE Status inspect_data_folder(const InspectOptions *o);

/* inspect_folder.c: folders of several things */
bool inspect_is_folder_of_things(const char *path);
MUST_USE Status inspect_folder(const InspectOptions *o);
/* What a folder of weights is to a run, into what[n]; unchanged where its config.json does not tell. */
void inspect_role(const char *folder, char *what, size_t n);

/* Which [IMG] tokens are labels: what loss.image_tokens of the config says, without one its default. */
typedef struct InspectLabels {
    VisualLabels which;
    const char *name; /* "first" */
} InspectLabels;
MUST_USE Status inspect_labels(const InspectOptions *o, InspectLabels *labels);
bool inspect_is_label(const Shard *s, uint64_t token, const InspectLabels *labels);
/* What `trained` means where a shard has [IMG] tokens, else "". */
const char *inspect_labels_note(char note[128], const InspectOptions *o, const Shard *s, const InspectLabels *labels);

/* 1234567 as "1,234,567" into buf. */
const char *inspect_count(char buf[32], int64_t n);
#endif
