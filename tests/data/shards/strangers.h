/* strangers.h: shards as somebody might make them who knows the format: a valid one is changed below its seal, and sealed again. For tests
 * of readers and programs. */
#ifndef GENLLAVA_TESTS_DATA_SHARDS_STRANGERS_H
#define GENLLAVA_TESTS_DATA_SHARDS_STRANGERS_H

#include <stddef.h>
#include <stdint.h>

#include "data/shards/shard_writer.h"

/* Changes n bytes in the way of `round`, the first `keep` excepted: flipped bits, numbers that break readers, bytes from elsewhere. */
void strangers_change(uint8_t *bytes, size_t n, size_t keep, uint32_t round);
/* Writes a file and seals it, whatever it holds. */
void strangers_write(const char *path, const uint8_t *bytes, size_t n, uint64_t image_offset, uint64_t image_bytes);
#endif
