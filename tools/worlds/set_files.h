/* set_files.h: what the sets of the little worlds have in common as files: a summary beside them that says what they were made with, and
 * turns of a conversation. Called by scenes_write.c, sketches_write.c and stamps_main.c. */
#ifndef GENLLAVA_TOOLS_WORLDS_SET_FILES_H
#define GENLLAVA_TOOLS_WORLDS_SET_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "data/formats/json_write.h"
#include "kernels/base/status.h"

/* The beginning of a summary: what every set is made with. */
cJSON *set_summary(const char *schema, int64_t count, int64_t heldout, int64_t size, int64_t seed);
/* Writes a set by make(set, rgb), with room for a picture of size·size pixels, and then FOLDER/NAME, the summary: that it is there means
 * that all the rest is. *summary is used up. A set that is there already with the same summary stays (*done); another one is ERR_CREATE,
 * and nothing of it is touched. */
MUST_USE Status set_write(const char *folder, const char *name, cJSON **summary, int64_t size,
                          Status (*make)(const void *set, uint8_t *rgb), const void *set, bool *done);
void set_add_turn(cJSON *turns, const char *from, const char *value);
#endif
