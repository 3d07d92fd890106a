/* sent_picture.h: a picture as it goes to the author. Called by request. */
#ifndef GENLLAVA_DATA_CURATE_SENT_PICTURE_H
#define GENLLAVA_DATA_CURATE_SENT_PICTURE_H

#include "data/pictures/picture_file.h"

/* Zero it to begin with. */
typedef struct SentPicture {
    const char *mime; /* of the bytes, whatever the file is called */
    const uint8_t *bytes;
    size_t n;
    PictureBuffer file; /* its own */
    uint8_t *smaller;
} SentPicture;

/* A picture below `root`, decoded to see that it is whole. Its own bytes where neither side is above max_side; else a JPEG whose longer
 * side is that, the other rounded. ERR_MISSING or ERR_DATA: it cannot be used, and why. The bytes stay until the next call. */
MUST_USE Status sent_picture_load(SentPicture *p, const char *root, const char *path, int32_t max_side);
void sent_picture_free(SentPicture *p);
#endif
