/* png_write.c: pictures to PNG by libpng (png_write.h). */
#include "data/pictures/png_write.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <png.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"

enum { TEXTS_MAX = 16, MAX_MESSAGE = 160 };

typedef struct Writer {
    uint8_t *bytes;
    size_t n, capacity;
    bool no_memory, whole;
    jmp_buf failed;
    char message[MAX_MESSAGE];
} Writer;

static void on_error(png_structp png, png_const_charp message)
{
    Writer *w = png_get_error_ptr(png);
    snprintf(w->message, sizeof w->message, "%s", message);
    longjmp(w->failed, 1);
}

static void on_warning(png_structp png, png_const_charp message) { (void)png, (void)message; }

static void on_write(png_structp png, png_bytep from, size_t n)
{
    Writer *w = png_get_io_ptr(png);
    if (n > w->capacity - w->n) {
        size_t capacity = 2 * w->capacity + n;
        uint8_t *grown = mem_grow(w->bytes, capacity);
        if (!grown) {
            w->no_memory = true;
            png_error(png, "no memory");
        }
        w->bytes = grown;
        w->capacity = capacity;
    }
    memcpy(w->bytes + w->n, from, n);
    w->n += n;
}

static void on_flush(png_structp png) { (void)png; }

static bool is_ascii(const char *text)
{
    while (*text && !(*text & 0x80)) /* a char may be unsigned */
        text++;
    return !*text;
}

static void put_texts(png_structp png, png_infop info, const PngText *texts, int n)
{
    png_text chunk[TEXTS_MAX] = {{0}};
    for (int i = 0; i < n; i++) {
        chunk[i].compression = is_ascii(texts[i].value) ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
        memcpy(&chunk[i].key, &texts[i].key, sizeof chunk[i].key); /* pointers: libpng does not say that it only reads */
        memcpy(&chunk[i].text, &texts[i].value, sizeof chunk[i].text);
        chunk[i].text_length = strlen(texts[i].value);
    }
    png_set_text(png, info, chunk, n);
}

static void encode_all(png_structp png, png_infop info, Writer *w, const Image *picture, const PngText *texts, int n)
{
    png_set_write_fn(png, w, on_write, on_flush);
    png_set_compression_level(png, 6); /* by name, so that no default decides about the bytes */
    png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_ALL_FILTERS);
    png_set_IHDR(png, info, (png_uint_32)picture->width, (png_uint_32)picture->height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    put_texts(png, info, texts, n);
    png_write_info(png, info);
    for (int32_t y = 0; y < picture->height; y++)
        png_write_row(png, picture->rgb + (size_t)y * (size_t)picture->width * 3);
    png_write_end(png, NULL);
}

Status png_encode(uint8_t **bytes, size_t *n, const Image *picture, const PngText *texts, int n_texts)
{
    Writer w = {.no_memory = false};
    *bytes = NULL;
    if (n_texts > TEXTS_MAX)
        return fail(ERR_INTERNAL, "PNG: %d texts, %d are the most", n_texts, TEXTS_MAX);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &w, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    w.no_memory = !info;
    if (info && !setjmp(w.failed)) {
        encode_all(png, info, &w, picture, texts, n_texts);
        w.whole = true;
    }
    png_destroy_write_struct(&png, &info);
    if (w.whole) {
        *bytes = w.bytes;
        *n = w.n;
        return OK;
    }
    mem_free(w.bytes);
    return w.no_memory ? fail(ERR_NOMEM, "PNG: no memory for a picture of %dx%d pixels", picture->width, picture->height)
                       : fail(ERR_INTERNAL, "PNG: %s", w.message);
}

static Status write_bytes(FILE *out, const char *name, const uint8_t *bytes, size_t n)
{
    return fwrite(bytes, 1, n, out) == n ? OK : fail(ERR_IO, "%s: cannot be written: %s", name, strerror(errno));
}

Status png_write(const char *path, const Image *picture, const PngText *texts, int n_texts)
{
    uint8_t *bytes;
    size_t n;
    FileDraft d;
    TRY(png_encode(&bytes, &n, picture, texts, n_texts));
    bool standard = !strcmp(path, "-");
    Status s = standard ? write_bytes(stdout, "standard output", bytes, n) : file_draft(&d, path);
    if (!s && !standard)
        s = file_publish(&d, write_bytes(d.out, path, bytes, n));
    mem_free(bytes);
    return s;
}
