/* shard.h: one HDF5 file of prepared samples (layout: data/SCHEMA.md); readers see plain arrays. A picture of a sample lies in this shard
 * or in an earlier one of the same set.
 * Image bytes lie contiguous and are read with pread at image_data_offset, from any thread, without the HDF5 lock. */
#ifndef GENLLAVA_DATA_SHARDS_SHARD_H
#define GENLLAVA_DATA_SHARDS_SHARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

typedef struct ShardAttributes {
    int64_t shard_index, shard_count, n_samples, n_images, n_tokens, n_refs;
    char config_sha256[65], tok_sha256[65], template_name[24], aspect[16];
    int64_t n_visual_tokens, model_max_length, vocab_size, patches;
    char *inputs, *tok_added, *licenses; /* JSON */
    int64_t created_unix;                /* modification time of the newest input, so that the same inputs give the same bytes */
} ShardAttributes;

/* All arrays are loaded when the shard is opened, except image bytes and the original lines. */
typedef struct Shard {
    ShardAttributes attr;
    uint8_t (*uid)[16];
    uint8_t *task, *flags;
    uint16_t *source;
    float *weight;
    uint64_t *tok_off, *img_off;          /* [n_samples+1] */
    uint32_t *n_train, *exp_len, *record; /* record: number over the mixture */
    int32_t *id;                          /* [n_tokens] ID_IMAGE kept */
    uint8_t *mask;                        /* [n_tokens] encode.h */
    uint32_t *ref_shard, *ref_image;      /* [n_refs] the shard that holds the picture, which of its images */
    uint32_t *ref_crc32c;                 /* of the picture's bytes */
    uint8_t *ref_role;
    uint64_t *image_off; /* [n_images+1] */
    uint16_t (*image_wh)[2];
    uint8_t *image_fmt, *image_orient;
    uint32_t *image_crc32c;
    uint8_t (*image_sha256)[32];
    uint64_t *image_dhash;
    uint64_t *text_off;         /* [n_samples+1] */
    uint64_t image_data_offset; /* in the file */
    int64_t n_ids;              /* vocabulary and added tokens: every id is below */
    int fd;                     /* -1: let go */
    char *path;
} Shard;

enum { FLAG_HAS_INPUT = 1, FLAG_HAS_TARGET = 2 }; /* bits of Shard.flags */

/* Refuses files without our seal (any bit changed outside the image bytes), schema or `finished`, with any object or structure that the
 * writer does not make, and inconsistent attributes, offsets, ids and references; names the array. Time and memory are bounded whatever the
 * file holds. */
MUST_USE Status shard_open(Shard **out, const char *path);
void shard_close(Shard **s);
/* Closes the file, which is opened for every image from here on: of very many shards, when fewer files may be open at once. */
void shard_let_go(Shard *s);
/* Frees all but what shard_check_ref asks of a holder, and lets the file go. */
void shard_keep_pictures(Shard *s);
/* Whether `holder`, the shard that reference r of s names, has that picture. */
MUST_USE Status shard_check_ref(const Shard *s, uint64_t r, const Shard *holder);
/* The compressed bytes of image i into buf (size image_off[i+1]-image_off[i]); crc32c verified. Thread-safe. */
MUST_USE Status shard_image(const Shard *s, int64_t i, uint8_t *buf);
/* The original lines of samples first … first+n-1, one after the other: sample i's begins at text_off[i] - text_off[first]. Reads and
 * checks the whole index. mem_free. */
MUST_USE Status shard_lines(const Shard *s, int64_t first, int64_t n, char **out);
/* That of sample i alone. */
MUST_USE Status shard_text(const Shard *s, int64_t i, char **out, size_t *n);
#endif
