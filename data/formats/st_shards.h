/* st_shards.h: writes a model's weights into a folder as safetensors files of limited size with an index, as transformers lays them out:
 * STEM.safetensors where one file holds all, else STEM-00001-of-00003.safetensors… and STEM.safetensors.index.json. For `convert`. */
#ifndef GENLLAVA_DATA_FORMATS_ST_SHARDS_H
#define GENLLAVA_DATA_FORMATS_ST_SHARDS_H

#include "data/formats/safetensors.h"

/* As StWriter: all tensors are declared first, their data comes in that order, in pieces of any size. A file ends before the tensor that
 * would take its tensors beyond `most` bytes, so that only a tensor larger than that lies in a larger file. The specs stay the caller's
 * until the end. Any error leaves the files to the caller to unlink. */
typedef struct StShards StShards;
MUST_USE Status st_shards_open(StShards **out, const char *folder, const char *stem, const StSpec *specs, int n, uint64_t most);
MUST_USE Status st_shards_write(StShards *w, const void *bytes, size_t n);
/* Checks that exactly the announced bytes came; fsyncs and closes, and writes the index. On any failure the writer is freed too. */
MUST_USE Status st_shards_close(StShards **w);
void st_shards_abandon(StShards **w);
#endif
