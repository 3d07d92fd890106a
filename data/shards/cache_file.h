/* cache_file.h: what a frozen network makes of pictures or prompts, in a file beside the shards (layout: data/SCHEMA.md). Results are told
 * apart by a hash of what they were made of. Read by the loader, written by data/loader/cache_make.c. */
#ifndef GENLLAVA_DATA_SHARDS_CACHE_FILE_H
#define GENLLAVA_DATA_SHARDS_CACHE_FILE_H

#include <limits.h>

#include "data/kinds.h"
#include "kernels/base/dtype.h"
#include "kernels/base/status.h"

enum { CACHE_KEY = 33 };

/* What the results of one kind are to a run. */
typedef struct CacheSpec {
    char key[CACHE_KEY]; /* 32 hexadecimal digits: who computes them, and how; "": nobody has said so yet */
    int64_t n_elems;     /* of a result */
    DType type;          /* in the file: that which they were computed in */
} CacheSpec;

/* "FOLDER/cache-latents-KEY-00000.safetensors" */
void cache_file_path(char path[PATH_MAX], const char *folder, CacheKind kind, const CacheSpec *spec, int64_t shard);

typedef struct CacheFile {
    char *path;
    int64_t n;        /* results */
    int64_t at;       /* byte of the file where the first begins */
    uint32_t *crc32c; /* [n] */
} CacheFile;
/* That it holds a result of each of these n things, in this order; digest: SHA-256 of a picture's bytes or of a prompt. The results
 * themselves are checked when they are read. ERR_MISSING: there is no such file. ERR_DATA: it is damaged or of other things. */
MUST_USE Status cache_file_open(CacheFile *f, const char *path, const CacheSpec *spec, const uint8_t (*digest)[32], int64_t n);
void cache_file_close(CacheFile *f);
/* Result i, as f32. */
MUST_USE Status cache_file_read(const CacheFile *f, const CacheSpec *spec, int64_t i, float *to);

typedef struct CacheWriter CacheWriter;
/* Results of n things are added in order; then the file appears whole. */
MUST_USE Status cache_writer_open(CacheWriter **out, const char *path, const CacheSpec *spec, const uint8_t (*digest)[32], int64_t n);
MUST_USE Status cache_writer_add(CacheWriter *w, const float *result);
/* s: how writing went. OK: the file gets its name, synced; else it is removed. Returns s, or what went wrong now. */
MUST_USE Status cache_writer_close(CacheWriter **w, Status s);
#endif
