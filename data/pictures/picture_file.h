/* picture_file.h: from the path in a row to a verified picture file.
 *
 * A path stays below its root (data/formats/beneath.h). When there is no such file, the same name with another picture ending is taken
 * (.jpg .jpeg .png .gif .webp in any case): data sets rename what they downloaded. An ending of its own is replaced only when it is one of
 * these. */
#ifndef GENLLAVA_DATA_PICTURES_PICTURE_FILE_H
#define GENLLAVA_DATA_PICTURES_PICTURE_FILE_H

#include <limits.h>

#include "data/pictures/image.h"

enum { PICTURE_MESSAGE = 252 };

/* What is known of a picture: a fixed-size record of a file, so that it is the same bytes for every process. */
typedef struct PictureInfo {
    int64_t bytes, mtime_ns; /* of the file; bytes -1: there is none */
    uint8_t sha256[32];
    uint64_t dhash;
    uint32_t crc32c;
    uint16_t width, height;
    uint8_t format, orientation, reject, renamed; /* renamed: found under another ending */
    char message[PICTURE_MESSAGE];                /* why it cannot be used */
} PictureInfo;

/* Memory reused from picture to picture. Zero it to begin with. */
typedef struct PictureBuffer {
    uint8_t *bytes;
    size_t n, capacity;
} PictureBuffer;
void picture_buffer_free(PictureBuffer *b);

/* The bytes of a picture. root: it was named by a row, and lies below; NULL: by a person, who may mean any file and by "-" standard input.
 * Whatever is no file (a device, a pipe, a folder) is refused without being opened. ERR_MISSING, or ERR_DATA when it lies outside or is too
 * large. */
MUST_USE Status picture_load(PictureBuffer *buf, const char *root, const char *path);
/* Loads and decodes one that a person named. */
MUST_USE Status picture_decode(Image *out, PictureBuffer *buf, const char *path);
/* Loads, identifies and fully decodes it. Bad pictures are OK with info->reject and info->message set; only a lack of memory fails. */
MUST_USE Status picture_check(PictureInfo *info, PictureBuffer *buf, const char *root, const char *path, int64_t max_pixels);
/* Whether a picture below root is found under another ending alone; `other`: the path with that. */
bool picture_renamed(const char *root, const char *path, char other[PATH_MAX]);
/* Only whether the file is still the one that `info` was made from (size and time). */
bool picture_unchanged(const PictureInfo *info, const char *root, const char *path);
/* Reads exactly info->bytes bytes into out; ERR_DATA when the file changed or is gone. */
MUST_USE Status picture_read(const PictureInfo *info, const char *root, const char *path, uint8_t *out);

/* 64-bit difference hash: grey (Pillow's "L"), 9x8 bilinear, bit set where the right neighbour is brighter, first pixel highest. The
 * picture itself becomes grey, as a copy would double the memory. */
MUST_USE Status picture_dhash(uint64_t *out, Image *im);
#endif
