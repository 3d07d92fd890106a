/* PNG: libpng, asked for what Pillow's convert("RGB") gives: alpha and transparency dropped without compositing, 16-bit grey
 * saturated, other 16-bit samples cut to their high byte, no colour management. */
#include <setjmp.h>
#include <string.h>

#include <png.h>

#include "data/pictures/image_codecs.h"
#include "kernels/base/arena.h"

enum { SIGNATURE = 8, CHUNK_HEAD = 8, CHUNK_CRC = 4, IHDR_BYTES = 13, MAX_MESSAGE = 160 };

Status image_png_header(ImageHeader *h, ImageBytes file, Reject *reject)
{
    if (file.n < SIGNATURE + CHUNK_HEAD + IHDR_BYTES)
        return REJECT(reject, REJECT_TRUNCATED, "PNG: it ends after %zu bytes, inside its header", file.n);
    const uint8_t *ihdr = file.at + SIGNATURE;
    if (image_u32be(ihdr) != IHDR_BYTES || memcmp(ihdr + 4, "IHDR", 4))
        return REJECT(reject, REJECT_CORRUPT, "PNG: it does not begin with an IHDR chunk");
    uint32_t width = image_u32be(ihdr + CHUNK_HEAD), height = image_u32be(ihdr + CHUNK_HEAD + 4);
    if (width > INT32_MAX || height > INT32_MAX)
        return REJECT(reject, REJECT_CORRUPT, "PNG: the header says %ux%u pixels", width, height);
    h->width = (int32_t)width;
    h->height = (int32_t)height;
    for (size_t at = SIGNATURE; file.n - at >= CHUNK_HEAD;) {
        size_t length = image_u32be(file.at + at);
        const uint8_t *type = file.at + at + 4;
        if (length > file.n - at - CHUNK_HEAD || !memcmp(type, "IDAT", 4))
            break;
        if (!memcmp(type, "eXIf", 4))
            h->orientation = image_exif_orientation((ImageBytes){type + 4, length});
        at += CHUNK_HEAD + length;
        if (file.n - at < CHUNK_CRC)
            break;
        at += CHUNK_CRC;
    }
    return OK;
}

typedef struct Reader {
    ImageBytes file;
    size_t at;
    uint8_t palette[256][3];
    Reject reason;
    jmp_buf failed;
    char message[MAX_MESSAGE];
} Reader;

static _Noreturn void give_up(Reader *r, Reject reason, const char *message)
{
    r->reason = reason;
    size_t n = strnlen(message, MAX_MESSAGE - 1);
    memcpy(r->message, message, n);
    r->message[n] = 0;
    longjmp(r->failed, 1);
}

static void on_error(png_structp png, png_const_charp message) { give_up(png_get_error_ptr(png), REJECT_CORRUPT, message); }
static void on_warning(png_structp png, png_const_charp message) { (void)png, (void)message; }

static void on_read(png_structp png, png_bytep to, size_t n)
{
    Reader *r = png_get_io_ptr(png);
    if (n > r->file.n - r->at)
        give_up(r, REJECT_TRUNCATED, "the file ends before the picture does");
    memcpy(to, r->file.at + r->at, n);
    r->at += n;
}

/* Rows grow from 1 or 2 bytes a pixel to 3, so from the last pixel to the first. */
static void palette_row(png_structp png, png_row_infop info, png_bytep row)
{
    Reader *r = png_get_user_transform_ptr(png);
    for (size_t x = info->width; x-- > 0;)
        memcpy(row + 3 * x, r->palette[row[x]], 3);
}

static void grey16_row(png_structp png, png_row_infop info, png_bytep row)
{
    (void)png;
    for (size_t x = info->width; x-- > 0;) {
        uint8_t v = row[2 * x] ? 255 : row[2 * x + 1];
        row[3 * x] = row[3 * x + 1] = row[3 * x + 2] = v;
    }
}

static void load_palette(png_structp png, png_infop info, Reader *r)
{
    png_colorp entries;
    int n = 0;
    if (!png_get_PLTE(png, info, &entries, &n))
        return;
    for (int i = 0; i < n && i < 256; i++) { /* an index without an entry stays black, as in Pillow */
        r->palette[i][0] = entries[i].red;
        r->palette[i][1] = entries[i].green;
        r->palette[i][2] = entries[i].blue;
    }
}

static void ask_for_rgb(png_structp png, png_infop info, Reader *r)
{
    int type = png_get_color_type(png, info), depth = png_get_bit_depth(png, info);
    bool by_hand = type == PNG_COLOR_TYPE_PALETTE || (type == PNG_COLOR_TYPE_GRAY && depth == 16);
    if (by_hand) {
        load_palette(png, info, r);
        png_set_packing(png);
        png_set_read_user_transform_fn(png, type == PNG_COLOR_TYPE_PALETTE ? palette_row : grey16_row);
        png_set_user_transform_info(png, r, 8, 3);
        return;
    }
    if (depth == 16)
        png_set_strip_16(png);
    if (type == PNG_COLOR_TYPE_GRAY && depth < 8)
        png_set_expand_gray_1_2_4_to_8(png);
    if (type & PNG_COLOR_MASK_ALPHA)
        png_set_strip_alpha(png);
    if (!(type & PNG_COLOR_MASK_COLOR))
        png_set_gray_to_rgb(png);
}

static void decode_all(png_structp png, png_infop info, Reader *r, uint8_t *rgb, const ImageHeader *h)
{
    png_set_read_fn(png, r, on_read);
    png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    /* Of the chunks that may be left out none matters here; a negative count means all of them but tRNS. */
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, (png_const_bytep) "tRNS", 1);
    png_read_info(png, info);
    ask_for_rgb(png, info, r);
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    if (png_get_rowbytes(png, info) != (size_t)h->width * 3)
        png_error(png, "its rows are not RGB");
    for (int pass = 0; pass < passes; pass++)
        for (int32_t y = 0; y < h->height; y++)
            png_read_row(png, rgb + (size_t)y * (size_t)h->width * 3, NULL);
    png_read_end(png, NULL);
}

Status image_png_decode(uint8_t *rgb, const ImageHeader *h, ImageBytes file, Reject *reject)
{
    Reader r = {.file = file, .reason = REJECT_NONE};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) {
        png_destroy_read_struct(&png, NULL, NULL);
        return fail(ERR_NOMEM, "PNG: no memory for its reader");
    }
    if (!setjmp(r.failed))
        decode_all(png, info, &r, rgb, h);
    png_destroy_read_struct(&png, &info, NULL);
    return r.reason ? REJECT(reject, r.reason, "PNG: %s", r.message) : OK;
}

Status image_png_decode_over(uint8_t *rgb, const ImageHeader *h, ImageBytes file, const uint8_t background[3], Reject *reject)
{
    png_image png = {.version = PNG_IMAGE_VERSION};
    png_color colour = {background[0], background[1], background[2]};
    bool good = png_image_begin_read_from_memory(&png, file.at, file.n);
    png.format = PNG_FORMAT_RGB;
    good = good && png.width == (png_uint_32)h->width && png.height == (png_uint_32)h->height &&
           png_image_finish_read(&png, &colour, rgb, 0, NULL);
    png_image_free(&png);
    return good ? OK : REJECT(reject, REJECT_CORRUPT, "PNG: %s", png.message);
}
