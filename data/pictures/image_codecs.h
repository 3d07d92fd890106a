/* image_codecs.h: what image.c asks of the reader of one format. Headers are read without a library, so that sizes are known before
 * any decoder is started; pixels come from libjpeg, libpng, libwebp and giflib. All of it works on bytes in memory. */
#ifndef GENLLAVA_DATA_PICTURES_IMAGE_CODECS_H
#define GENLLAVA_DATA_PICTURES_IMAGE_CODECS_H

#include "data/pictures/image.h"

/* Fails with ERR_DATA and says which reason a report gives. */
#define REJECT(reject, why, ...) (*(reject) = (why), fail(ERR_DATA, __VA_ARGS__))

/* The bytes of one file. */
typedef struct ImageBytes {
    const uint8_t *at;
    size_t n;
} ImageBytes;

/* Fill width, height and orientation (left at 1 when absent). Sizes are not judged here. */
MUST_USE Status image_jpeg_header(ImageHeader *h, ImageBytes file, Reject *reject);
MUST_USE Status image_png_header(ImageHeader *h, ImageBytes file, Reject *reject);
MUST_USE Status image_gif_header(ImageHeader *h, ImageBytes file, Reject *reject);
MUST_USE Status image_webp_header(ImageHeader *h, ImageBytes file, Reject *reject);

/* Fill rgb [h->height, h->width, 3], which arrives as it may be, for a header that was accepted. */
MUST_USE Status image_jpeg_decode(uint8_t *rgb, const ImageHeader *h, ImageBytes file, Reject *reject);
MUST_USE Status image_png_decode(uint8_t *rgb, const ImageHeader *h, ImageBytes file, Reject *reject);
MUST_USE Status image_gif_decode(uint8_t *rgb, const ImageHeader *h, ImageBytes file, Reject *reject);
MUST_USE Status image_webp_decode(uint8_t *rgb, const ImageHeader *h, ImageBytes file, Reject *reject);
MUST_USE Status image_png_decode_over(uint8_t *rgb, const ImageHeader *h, ImageBytes file, const uint8_t background[3], Reject *reject);

/* The orientation in a TIFF block as EXIF embeds it; 1 when there is none or the block is damaged. */
int32_t image_exif_orientation(ImageBytes tiff);

static inline uint32_t image_u16be(const uint8_t *p) { return (uint32_t)p[0] << 8 | p[1]; }
static inline uint32_t image_u32be(const uint8_t *p) { return image_u16be(p) << 16 | image_u16be(p + 2); }
static inline uint32_t image_u16le(const uint8_t *p) { return (uint32_t)p[1] << 8 | p[0]; }
static inline uint32_t image_u24le(const uint8_t *p) { return (uint32_t)p[2] << 16 | image_u16le(p); }
static inline uint32_t image_u32le(const uint8_t *p) { return image_u16le(p + 2) << 16 | image_u16le(p); }
#endif
