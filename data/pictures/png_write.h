/* png_write.h: pictures as PNG, with short texts inside that say how they were made. The same picture and texts give the same bytes (of the
 * same libpng and zlib). Called by generate and by samples of a run. */
#ifndef GENLLAVA_DATA_PICTURES_PNG_WRITE_H
#define GENLLAVA_DATA_PICTURES_PNG_WRITE_H

#include "data/pictures/image.h"

/* key: 1 to 79 letters of ASCII; value: UTF-8, a tEXt chunk where it is ASCII, else iTXt. */
typedef struct PngText {
    const char *key, *value;
} PngText;

/* rgb [height,width,3]; *bytes: *n of them, mem_free. */
MUST_USE Status png_encode(uint8_t **bytes, size_t *n, const Image *picture, const PngText *texts, int n_texts);
/* To a file that appears whole or not at all; "-": standard output. */
MUST_USE Status png_write(const char *path, const Image *picture, const PngText *texts, int n_texts);
#endif
