/* JPEG: libjpeg with the settings of Pillow (accurate integer transform, smooth chroma upsampling). libjpeg only warns about damaged
 * data and invents the rest; here the first such warning ends the decoding. */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "data/pictures/image_codecs.h"
#include "kernels/base/arena.h"

enum {
    MARKER_SOF0 = 0xc0,
    MARKER_DHT = 0xc4,
    MARKER_JPG = 0xc8,
    MARKER_DAC = 0xcc,
    MARKER_SOF15 = 0xcf,
    MARKER_RST0 = 0xd0,
    MARKER_SOI = 0xd8,
    MARKER_EOI = 0xd9,
    MARKER_SOS = 0xda,
    MARKER_APP1 = 0xe1,
    MARKER_TEM = 0x01,
    MAX_SCANS = 500 /* no real file has more; a small damaged one could ask for hours of work */
};

static bool is_frame(int marker)
{
    return marker >= MARKER_SOF0 && marker <= MARKER_SOF15 && marker != MARKER_DHT && marker != MARKER_JPG && marker != MARKER_DAC;
}

static Status read_frame(ImageHeader *h, const uint8_t *body, size_t n, Reject *reject)
{
    if (n < 6)
        return REJECT(reject, REJECT_CORRUPT, "JPEG: its frame header is too short");
    h->height = (int32_t)image_u16be(body + 1);
    h->width = (int32_t)image_u16be(body + 3);
    if (body[0] != 8)
        return REJECT(reject, REJECT_CORRUPT, "JPEG: samples of %d bits; 8 are read", body[0]);
    if (body[5] != 1 && body[5] != 3 && body[5] != 4)
        return REJECT(reject, REJECT_CORRUPT, "JPEG: %d components; 1, 3 and 4 are read", body[5]);
    return OK;
}

Status image_jpeg_header(ImageHeader *h, ImageBytes file, Reject *reject)
{
    for (size_t at = 2;;) {
        while (at < file.n && file.at[at] != 0xff)
            at++;
        while (at < file.n && file.at[at] == 0xff)
            at++;
        if (at >= file.n)
            return REJECT(reject, REJECT_TRUNCATED, "JPEG: it ends after %zu bytes, before its frame header", file.n);
        int marker = file.at[at++];
        if (marker == 0 || marker == MARKER_TEM || (marker >= MARKER_RST0 && marker <= MARKER_SOI))
            continue;
        if (marker == MARKER_EOI || marker == MARKER_SOS)
            return REJECT(reject, REJECT_CORRUPT, "JPEG: it has no frame header");
        if (file.n - at < 2)
            return REJECT(reject, REJECT_TRUNCATED, "JPEG: it ends after %zu bytes, before its frame header", file.n);
        size_t length = image_u16be(file.at + at);
        if (length < 2)
            return REJECT(reject, REJECT_CORRUPT, "JPEG: a segment of %zu bytes", length);
        if (file.n - at < length)
            return REJECT(reject, REJECT_TRUNCATED, "JPEG: it ends after %zu bytes, inside a header", file.n);
        const uint8_t *body = file.at + at + 2;
        if (is_frame(marker))
            return read_frame(h, body, length - 2, reject);
        if (marker == MARKER_APP1 && length >= 8 && !memcmp(body, "Exif\0", 6))
            h->orientation = image_exif_orientation((ImageBytes){body + 6, length - 8});
        at += length;
    }
}

typedef struct Decoder {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    Reject reason;
    bool too_little_memory;
    char message[JMSG_LENGTH_MAX];
} Decoder;

static _Noreturn void give_up(j_common_ptr jpeg, Reject reason)
{
    Decoder *d = jpeg->client_data;
    d->reason = reason;
    jpeg->err->format_message(jpeg, d->message);
    longjmp(d->failed, 1);
}

static _Noreturn void on_error(j_common_ptr jpeg)
{
    Decoder *d = jpeg->client_data;
    d->too_little_memory = jpeg->err->msg_code == JERR_OUT_OF_MEMORY;
    give_up(jpeg, jpeg->err->msg_code == JERR_INPUT_EOF ? REJECT_TRUNCATED : REJECT_CORRUPT);
}

/* Level -1 is a warning. Two of them are about markers alone and leave the pixels as they should be. */
static void on_message(j_common_ptr jpeg, int level)
{
    int code = jpeg->err->msg_code;
    if (level < 0 && code != JWRN_NOT_SEQUENTIAL && code != JWRN_ADOBE_XFORM)
        give_up(jpeg, REJECT_TRUNCATED);
}

static void on_progress(j_common_ptr jpeg)
{
    if (((j_decompress_ptr)jpeg)->input_scan_number <= MAX_SCANS)
        return;
    jpeg->err->msg_code = JERR_BAD_PROGRESSION;
    give_up(jpeg, REJECT_CORRUPT);
}

static void source_start(j_decompress_ptr jpeg) { (void)jpeg; }

static boolean source_fill(j_decompress_ptr jpeg)
{
    jpeg->err->msg_code = JERR_INPUT_EOF;
    on_error((j_common_ptr)jpeg);
}

static void source_skip(j_decompress_ptr jpeg, long n)
{
    if (n <= 0)
        return;
    if ((size_t)n > jpeg->src->bytes_in_buffer)
        (void)source_fill(jpeg);
    jpeg->src->next_input_byte += n;
    jpeg->src->bytes_in_buffer -= (size_t)n;
}

static uint8_t clamp8(int v) { return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v); }

/* Pillow's CMYK to RGB, after complementing each byte as Adobe's files want it. */
static void cmyk_row_to_rgb(uint8_t *rgb, const uint8_t *inverted, size_t width)
{
    for (size_t x = 0; x < width; x++) {
        int white = inverted[4 * x + 3]; /* 255 - K */
        for (int c = 0; c < 3; c++) {
            int t = (255 - inverted[4 * x + (size_t)c]) * white + 128;
            rgb[3 * x + (size_t)c] = clamp8(white - (((t >> 8) + t) >> 8));
        }
    }
}

static void grey_row_to_rgb(uint8_t *rgb, const uint8_t *grey, size_t width)
{
    for (size_t x = 0; x < width; x++)
        rgb[3 * x] = rgb[3 * x + 1] = rgb[3 * x + 2] = grey[x];
}

static void read_rows(Decoder *d, uint8_t *rgb, size_t width, size_t height)
{
    enum { ROWS = 16 }; /* handed over at once: what libjpeg makes of one row of blocks */
    j_decompress_ptr jpeg = &d->jpeg;
    uint8_t *line = NULL;
    if (jpeg->output_components != 3)
        line = jpeg->mem->alloc_small((j_common_ptr)jpeg, JPOOL_IMAGE, width * (size_t)jpeg->output_components);
    while (jpeg->output_scanline < height) {
        size_t y = jpeg->output_scanline;
        uint8_t *rows[ROWS];
        size_t n = line ? 1 : height - y < ROWS ? height - y : ROWS;
        for (size_t i = 0; i < n; i++)
            rows[i] = line ? line : rgb + (y + i) * width * 3;
        jpeg_read_scanlines(jpeg, rows, (JDIMENSION)n);
        if (line && jpeg->output_components == 1)
            grey_row_to_rgb(rgb + y * width * 3, line, width);
        else if (line)
            cmyk_row_to_rgb(rgb + y * width * 3, line, width);
    }
}

static void decode_all(Decoder *d, uint8_t *rgb, const ImageHeader *h, ImageBytes file)
{
    j_decompress_ptr jpeg = &d->jpeg;
    jpeg_create_decompress(jpeg);
    d->source = (struct jpeg_source_mgr){.next_input_byte = file.at, .bytes_in_buffer = file.n, .init_source = source_start,
        .fill_input_buffer = source_fill, .skip_input_data = source_skip, .resync_to_restart = jpeg_resync_to_restart,
        .term_source = source_start};
    jpeg->src = &d->source;
    d->progress.progress_monitor = on_progress;
    jpeg->progress = &d->progress;
    jpeg_read_header(jpeg, TRUE);
    jpeg->out_color_space = jpeg->num_components == 1 ? JCS_GRAYSCALE : jpeg->num_components == 3 ? JCS_RGB : JCS_CMYK;
    jpeg->dct_method = JDCT_ISLOW;
    jpeg->do_fancy_upsampling = TRUE;
    jpeg_start_decompress(jpeg);
    if (jpeg->output_width != (JDIMENSION)h->width || jpeg->output_height != (JDIMENSION)h->height)
        ERREXIT(jpeg, JERR_SOF_DUPLICATE);
    read_rows(d, rgb, (size_t)h->width, (size_t)h->height);
    jpeg_finish_decompress(jpeg);
}

Status image_jpeg_decode(uint8_t *rgb, const ImageHeader *h, ImageBytes file, Reject *reject)
{
    Decoder d = {.reason = REJECT_NONE};
    d.jpeg.err = jpeg_std_error(&d.errors);
    d.errors.error_exit = on_error;
    d.errors.emit_message = on_message;
    d.jpeg.client_data = &d;
    if (!setjmp(d.failed))
        decode_all(&d, rgb, h, file);
    jpeg_destroy_decompress(&d.jpeg);
    if (d.too_little_memory)
        return fail(ERR_NOMEM, "JPEG of %dx%d pixels: %s", h->width, h->height, d.message);
    if (d.reason)
        return REJECT(reject, d.reason, "JPEG: %s", d.message);
    return OK;
}

typedef struct Encoder {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    jmp_buf failed;
    unsigned char *bytes; /* libjpeg's, from malloc */
    unsigned long n;
    char message[JMSG_LENGTH_MAX];
} Encoder;

static _Noreturn void on_encode_error(j_common_ptr jpeg)
{
    Encoder *e = jpeg->client_data;
    jpeg->err->format_message(jpeg, e->message);
    longjmp(e->failed, 1);
}

static void encode_all(Encoder *e, const uint8_t *rgb, int32_t width, int32_t height, int quality)
{
    j_compress_ptr jpeg = &e->jpeg;
    jpeg_create_compress(jpeg);
    jpeg_mem_dest(jpeg, &e->bytes, &e->n);
    jpeg->image_width = (JDIMENSION)width;
    jpeg->image_height = (JDIMENSION)height;
    jpeg->input_components = 3;
    jpeg->in_color_space = JCS_RGB;
    jpeg_set_defaults(jpeg);
    jpeg_set_quality(jpeg, quality, TRUE);
    jpeg->dct_method = JDCT_ISLOW;
    jpeg_start_compress(jpeg, TRUE);
    while (jpeg->next_scanline < jpeg->image_height) {
        /* libjpeg's rows are not const, but it only reads them. */
        union {
            const uint8_t *in;
            JSAMPROW out;
        } row = {rgb + (size_t)jpeg->next_scanline * (size_t)width * 3};
        jpeg_write_scanlines(jpeg, &row.out, 1);
    }
    jpeg_finish_compress(jpeg);
}

Status image_encode_jpeg(const uint8_t *rgb, int32_t width, int32_t height, int quality, uint8_t **bytes, size_t *n)
{
    Encoder e = {.n = 0};
    e.jpeg.err = jpeg_std_error(&e.errors);
    e.errors.error_exit = on_encode_error;
    e.jpeg.client_data = &e;
    if (!setjmp(e.failed))
        encode_all(&e, rgb, width, height, quality);
    jpeg_destroy_compress(&e.jpeg);
    *bytes = NULL;
    Status s = OK;
    if (e.message[0])
        s = fail(ERR_INTERNAL, "writing a JPEG of %dx%d pixels: %s", width, height, e.message);
    else if (!(*bytes = mem_alloc(e.n)))
        s = fail(ERR_NOMEM, "no memory for a JPEG of %lu bytes", e.n);
    else
        memcpy(*bytes, e.bytes, *n = e.n);
    mem_free(e.bytes);
    return s;
}
