/* image.h: picture files to 8-bit RGB exactly as Pillow's convert("RGB"), and Pillow's resampling, bit for bit. */
#ifndef GENLLAVA_DATA_PICTURES_IMAGE_H
#define GENLLAVA_DATA_PICTURES_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/kinds.h"
#include "kernels/base/status.h"

typedef enum ImageFormat { IMAGE_UNKNOWN, IMAGE_JPEG, IMAGE_PNG, IMAGE_GIF, IMAGE_WEBP } ImageFormat;
/* Pillow's codes */
typedef enum ImageFilter { FILTER_NEAREST = 0, FILTER_LANCZOS = 1, FILTER_BILINEAR = 2, FILTER_BICUBIC = 3 } ImageFilter;

typedef struct Image {
    int32_t width, height;
    uint8_t *rgb; /* [height, width, 3] */
} Image;
void image_free(Image *im);

ImageFormat image_identify(const uint8_t *bytes, size_t n); /* by magic */
bool image_is_other(const uint8_t *bytes, size_t n);        /* of a kind that is not read: BMP, TIFF, HEIC; image_header says which */
/* Its name says that it is a picture, of a format that is read or of another. */
bool image_is_named(const char *path);
const char *image_format_name(ImageFormat f);

/* What can be known from the header alone, before any pixel is decoded. orientation: EXIF 1 … 8, 1 when absent. */
typedef struct ImageHeader {
    ImageFormat format;
    int32_t width, height, orientation;
} ImageHeader;
enum { IMAGE_MAX_PIXELS = 1024 * 1024 * 1024 / 4 / 3 }; /* the most that Pillow reads without a warning */
/* On failure *reject is corrupt, truncated or too_large (a side over 65500, more than max_pixels, sides in a ratio above 100) and the
 * status message says what was found. */
MUST_USE Status image_header(ImageHeader *h, const uint8_t *bytes, size_t n, int64_t max_pixels, Reject *reject);
/* Decodes, 3 bytes a pixel; damaged or short data is an error (reject truncated or corrupt), as in Pillow. */
MUST_USE Status image_decode(Image *out, const uint8_t *bytes, size_t n, int64_t max_pixels, Reject *reject);

/* As image_decode, but a PNG's transparent parts show `background` instead of the colours stored under them. */
MUST_USE Status image_decode_over(Image *out, const uint8_t *bytes, size_t n, const uint8_t background[3], Reject *reject);

/* Pillow's resize: horizontal pass first, 8-bit intermediate, 22-bit fixed point. dst has the size asked for. */
MUST_USE Status image_resize(Image *out, const Image *in, int32_t width, int32_t height, ImageFilter filter);
/* Makes *a a picture of the size of b: itself where it has that, else *resized (bicubic), which the caller frees in any case. */
MUST_USE Status image_match(Image *resized, const Image **a, const Image *b);
/* Where `pad`: to a square in `fill`, the picture in its middle. Then either both sides to width×height, or, with `shorter`, the shorter
 * side to that many pixels, the long one to int(shorter·long/short), and of this the middle. dst: [height,width,3], caller's. */
typedef struct ImagePrep {
    int32_t width, height;
    bool pad;
    uint8_t fill[3];
    int32_t shorter; /* 0: both sides are resized; else width, height or more */
    bool rounds;     /* where the middle begins: rounded half to even, as torchvision does; else down, as transformers does */
    ImageFilter filter;
    int64_t max_pixels; /* of the picture as it lies in its file */
} ImagePrep;
MUST_USE Status image_prepare(uint8_t *dst, const Image *in, const ImagePrep *prep);
/* That of target pictures and of those that they are edited from. */
ImagePrep image_prep_target(int32_t side, int64_t max_pixels);

/* Writers for previews and the picture world. quality 1 … 100, 4:2:0. */
MUST_USE Status image_write_ppm(const char *path, const uint8_t *rgb, int32_t width, int32_t height); /* P6; "-": stdout */
MUST_USE Status image_encode_jpeg(const uint8_t *rgb, int32_t width, int32_t height, int quality, uint8_t **bytes, size_t *n);
#endif
