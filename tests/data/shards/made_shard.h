/* made_shard.h: small shards written by hand, for tests of readers and of the loader. */
#ifndef GENLLAVA_TESTS_DATA_SHARDS_MADE_SHARD_H
#define GENLLAVA_TESTS_DATA_SHARDS_MADE_SHARD_H

#include "data/kinds.h"
#include "data/shards/shard_writer.h"

/* One sample: ids (ID_IMAGE where an image stands; ids from 1000 are visual tokens, the first of a run 1000) and which are trained
 * ('x'). */
typedef struct MadeSample {
    const int32_t *id;
    const char *trained; /* one character a token */
    int source;
    float weight;
    const uint32_t *images; /* one an ID_IMAGE: of this shard, or MADE_IN(shard, image) */
    const char *text;
    const uint32_t *targets; /* one a run of visual tokens, as images; NULL: image 0 of this shard for all */
    Task task;
} MadeSample;
/* Image i of the shard is a JPEG of 24x16 pixels in one colour, the same for the same number. record of sample k: first_record + k. */
void made_shard(const char *path, const MadeSample *samples, int n, int n_images, int64_t index, int64_t count, int64_t first_record);
#define MADE_IN(shard, image) (((shard) + 1u) << 16 | (image))
#define MADE_ADDED "{\"[IMG0]\":1000,\"[IMG1]\":1001,\"[IMG2]\":1002,\"[IMG3]\":1003}"
enum { MADE_VOCABULARY = 1000, MADE_VISUAL = 4, MADE_PATCHES = 4 };
#endif
