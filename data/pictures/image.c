/* image.c: what all kinds of pictures share: which kind it is, its size and orientation, decoding, encoding (image.h). */
#include "data/pictures/image.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "data/pictures/image_codecs.h"
#include "kernels/base/arena.h"

enum { MAX_SIDE = 65500, MAX_RATIO = 100 }; /* the first is JPEG's */

typedef struct Codec {
    const char *name, *magic;
    size_t n_magic;
    Status (*header)(ImageHeader *h, ImageBytes file, Reject *reject);
    Status (*decode)(uint8_t *rgb, const ImageHeader *h, ImageBytes file, Reject *reject);
} Codec;

static const Codec CODECS[] = {
    [IMAGE_UNKNOWN] = {"unknown", "", 0, NULL, NULL},
    [IMAGE_JPEG] = {"JPEG", "\xff\xd8\xff", 3, image_jpeg_header, image_jpeg_decode},
    [IMAGE_PNG] = {"PNG", "\x89PNG\r\n\x1a\n", 8, image_png_header, image_png_decode},
    [IMAGE_GIF] = {"GIF", "GIF8", 4, image_gif_header, image_gif_decode},
    [IMAGE_WEBP] = {"WebP", "RIFF", 4, image_webp_header, image_webp_decode},
};
enum { N_CODECS = sizeof CODECS / sizeof CODECS[0] };

void image_free(Image *im)
{
    mem_free(im->rgb);
    *im = (Image){0};
}

ImageFormat image_identify(const uint8_t *bytes, size_t n)
{
    for (int f = IMAGE_JPEG; f < N_CODECS; f++) {
        const Codec *c = &CODECS[f];
        if (n < c->n_magic || memcmp(bytes, c->magic, c->n_magic))
            continue;
        if (f != IMAGE_WEBP || (n >= 12 && !memcmp(bytes + 8, "WEBP", 4)))
            return (ImageFormat)f;
    }
    return IMAGE_UNKNOWN;
}

const char *image_format_name(ImageFormat f) { return CODECS[f].name; }

int32_t image_exif_orientation(ImageBytes tiff)
{
    enum { TAG_ORIENTATION = 0x0112, ENTRY = 12 };
    if (tiff.n < 8 || (memcmp(tiff.at, "II*\0", 4) && memcmp(tiff.at, "MM\0*", 4)))
        return 1;
    bool little = tiff.at[0] == 'I';
    size_t ifd = little ? image_u32le(tiff.at + 4) : image_u32be(tiff.at + 4);
    if (ifd > tiff.n - 2)
        return 1;
    size_t n_entries = little ? image_u16le(tiff.at + ifd) : image_u16be(tiff.at + ifd);
    for (size_t i = 0; i < n_entries && ifd + 2 + (i + 1) * ENTRY <= tiff.n; i++) {
        const uint8_t *e = tiff.at + ifd + 2 + i * ENTRY;
        if ((little ? image_u16le(e) : image_u16be(e)) != TAG_ORIENTATION)
            continue;
        uint32_t value = little ? image_u16le(e + 8) : image_u16be(e + 8);
        return value >= 1 && value <= 8 ? (int32_t)value : 1;
    }
    return 1;
}

/* Kinds that people have and that are not read. */
typedef struct OtherKind {
    size_t at, n;
    const char *bytes, *name, *command;
} OtherKind;

static const OtherKind *other_kind(const uint8_t *bytes, size_t n)
{
    static const OtherKind OTHERS[] = {
        {0, 2, "BM", "BMP", "mogrify -format png FILE"},          {0, 4, "II*\0", "TIFF", "mogrify -format png FILE"},
        {0, 4, "MM\0*", "TIFF", "mogrify -format png FILE"},      {4, 8, "ftypheic", "HEIC", "heif-convert FILE FILE.png"},
        {4, 8, "ftypheix", "HEIC", "heif-convert FILE FILE.png"}, {4, 8, "ftypmif1", "HEIF", "heif-convert FILE FILE.png"},
        {4, 8, "ftypavif", "AVIF", "heif-convert FILE FILE.png"},
    };
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        if (n >= OTHERS[i].at + OTHERS[i].n && !memcmp(bytes + OTHERS[i].at, OTHERS[i].bytes, OTHERS[i].n))
            return &OTHERS[i];
    return NULL;
}

bool image_is_other(const uint8_t *bytes, size_t n) { return other_kind(bytes, n) != NULL; }

bool image_is_named(const char *path)
{
    static const char *const ENDINGS[] = {".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif"};
    const char *ending = strrchr(path, '.');
    for (size_t i = 0; ending && i < sizeof ENDINGS / sizeof *ENDINGS; i++)
        if (!strcasecmp(ending, ENDINGS[i]))
            return true;
    return false;
}

static Status refuse_unknown(ImageBytes file, Reject *reject)
{
    const OtherKind *other = other_kind(file.at, file.n);
    if (other)
        return REJECT(reject, REJECT_CORRUPT, "it is a %s picture; JPEG, PNG, WebP and GIF are read: \"%s\" converts it", other->name,
                      other->command);
    if (!file.n)
        return REJECT(reject, REJECT_CORRUPT, "the file is empty");
    return REJECT(reject, REJECT_CORRUPT, "its first bytes are not those of a JPEG, PNG, WebP or GIF picture");
}

static Status judge_size(const ImageHeader *h, int64_t max_pixels, Reject *reject)
{
    int64_t w = h->width, t = h->height, longer = w > t ? w : t, shorter = w > t ? t : w;
    if (shorter <= 0)
        return REJECT(reject, REJECT_CORRUPT, "the header says %dx%d pixels", h->width, h->height);
    if (longer > MAX_SIDE)
        return REJECT(reject, REJECT_TOO_LARGE, "%dx%d pixels: a side may have %d at most", h->width, h->height, MAX_SIDE);
    if (w * t > max_pixels)
        return REJECT(reject, REJECT_TOO_LARGE, "%dx%d pixels: %" PRId64 " in all are the most that is read (data.max_pixels)", h->width,
                      h->height, max_pixels);
    if (longer > MAX_RATIO * shorter)
        return REJECT(reject, REJECT_TOO_LARGE, "%dx%d pixels: one side is more than %d times the other", h->width, h->height, MAX_RATIO);
    return OK;
}

Status image_header(ImageHeader *h, const uint8_t *bytes, size_t n, int64_t max_pixels, Reject *reject)
{
    ImageBytes file = {bytes, n};
    *reject = REJECT_NONE;
    *h = (ImageHeader){.format = image_identify(bytes, n), .orientation = 1};
    if (h->format == IMAGE_UNKNOWN)
        return refuse_unknown(file, reject);
    TRY(CODECS[h->format].header(h, file, reject));
    return judge_size(h, max_pixels, reject);
}

/* background NULL: alpha is dropped. */
static Status decode(Image *out, ImageBytes file, const uint8_t *background, int64_t max_pixels, Reject *reject)
{
    *out = (Image){0};
    ImageHeader h;
    TRY(image_header(&h, file.at, file.n, max_pixels, reject));
    size_t size = (size_t)h.width * (size_t)h.height * 3;
    uint8_t *rgb = mem_grow(NULL, size); /* not zeroed: that would cost a pass over it */
    if (!rgb)
        return fail(ERR_NOMEM, "a picture of %dx%d pixels: no memory for %zu bytes", h.width, h.height, size);
    bool over = background && h.format == IMAGE_PNG;
    Status s = over ? image_png_decode_over(rgb, &h, file, background, reject) : CODECS[h.format].decode(rgb, &h, file, reject);
    if (s) {
        mem_free(rgb);
        return s;
    }
    *out = (Image){h.width, h.height, rgb};
    return OK;
}

Status image_decode(Image *out, const uint8_t *bytes, size_t n, int64_t max_pixels, Reject *reject)
{
    return decode(out, (ImageBytes){bytes, n}, NULL, max_pixels, reject);
}

Status image_decode_over(Image *out, const uint8_t *bytes, size_t n, const uint8_t background[3], Reject *reject)
{
    return decode(out, (ImageBytes){bytes, n}, background, IMAGE_MAX_PIXELS, reject);
}

Status image_write_ppm(const char *path, const uint8_t *rgb, int32_t width, int32_t height)
{
    bool to_stdout = !strcmp(path, "-");
    FILE *f = to_stdout ? stdout : fopen(path, "wb");
    if (!f)
        return fail(ERR_CREATE, "%s: cannot create: %s", path, strerror(errno));
    size_t size = (size_t)width * (size_t)height * 3;
    bool good = fprintf(f, "P6\n%d %d\n255\n", width, height) > 0 && fwrite(rgb, 1, size, f) == size;
    good = (to_stdout ? fflush(f) : fclose(f)) == 0 && good;
    return good ? OK : fail(ERR_IO, "%s: cannot be written: %s", strcmp(path, "-") ? path : "standard output", strerror(errno));
}
