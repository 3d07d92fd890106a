/* The format, from TensorFlow: record_writer.h (u64 length, masked CRC-32C of it, data, masked CRC-32C of that) around event.proto and
 * summary.proto, whose few fields are encoded by hand here. */
#include "train/log/tensorboard.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "data/formats/crc32c.h"
#include "data/formats/file.h"
#include "kernels/base/arena.h"

enum { EVENT_MAX = 512 };

struct TensorBoard {
    FILE *file;
    char path[PATH_MAX];
};

/* A protocol buffer under construction. */
typedef struct Message {
    unsigned char bytes[EVENT_MAX];
    size_t n;
} Message;

static void put_bytes(Message *m, const void *bytes, size_t n)
{
    if (n > EVENT_MAX - m->n)
        n = EVENT_MAX - m->n;
    memcpy(m->bytes + m->n, bytes, n);
    m->n += n;
}

static void put_varint(Message *m, uint64_t x)
{
    for (; x >= 0x80; x >>= 7)
        put_bytes(m, &(unsigned char){(unsigned char)(x | 0x80)}, 1);
    put_bytes(m, &(unsigned char){(unsigned char)x}, 1);
}

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_LENGTH = 2, WIRE_FIXED32 = 5 };
static void put_tag(Message *m, unsigned field, unsigned wire) { put_varint(m, field << 3 | wire); }

static void put_text(Message *m, unsigned field, const void *bytes, size_t n)
{
    put_tag(m, field, WIRE_LENGTH);
    put_varint(m, n);
    put_bytes(m, bytes, n);
}

enum { EVENT_WALL_TIME = 1, EVENT_STEP = 2, EVENT_FILE_VERSION = 3, EVENT_SUMMARY = 5, EVENT_SESSION_LOG = 7 };
enum { SUMMARY_VALUE = 1, VALUE_TAG = 1, VALUE_SIMPLE = 2, VALUE_IMAGE = 4, SESSION_STATUS = 1, SESSION_START = 1 };

enum { IMAGE_HEIGHT = 1, IMAGE_WIDTH = 2, IMAGE_COLOURS = 3, IMAGE_ENCODED = 4 };

static void begin_event(Message *m, int64_t step)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double wall = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    m->n = 0;
    put_tag(m, EVENT_WALL_TIME, WIRE_FIXED64);
    put_bytes(m, &wall, sizeof wall);
    put_tag(m, EVENT_STEP, WIRE_VARINT);
    put_varint(m, (uint64_t)step);
}

static uint32_t masked_crc(const void *bytes, size_t n)
{
    uint32_t crc = crc32c(bytes, n);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

static Status write_event(TensorBoard *t, const void *bytes, size_t n)
{
    uint64_t length = n;
    uint32_t head = masked_crc(&length, sizeof length), tail = masked_crc(bytes, n);
    if (fwrite(&length, sizeof length, 1, t->file) != 1 || fwrite(&head, sizeof head, 1, t->file) != 1 ||
        fwrite(bytes, n, 1, t->file) != 1 || fwrite(&tail, sizeof tail, 1, t->file) != 1)
        return fail(ERR_IO, "%s: cannot be written: %s", t->path, strerror(errno));
    return OK;
}

static Status write_start(TensorBoard *t, int64_t step)
{
    static const char VERSION[] = "brain.Event:2";
    Message m, status = {.n = 0};
    begin_event(&m, 0);
    put_text(&m, EVENT_FILE_VERSION, VERSION, sizeof VERSION - 1);
    TRY(write_event(t, m.bytes, m.n));
    put_tag(&status, SESSION_STATUS, WIRE_VARINT);
    put_varint(&status, SESSION_START);
    begin_event(&m, step);
    put_text(&m, EVENT_SESSION_LOG, status.bytes, status.n);
    TRY(write_event(t, m.bytes, m.n));
    return tensorboard_flush(t);
}

/* TensorBoard reads the files of a folder in order of their names: the time comes first, the process tells twins apart. */
Status tensorboard_open(TensorBoard **out, const char *dir, int64_t step)
{
    struct timespec now;
    *out = NULL;
    TensorBoard *t = mem_alloc(sizeof *t);
    if (!t)
        return fail(ERR_NOMEM, "%s: out of memory", dir);
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(t->path, sizeof t->path, "%s/events.out.tfevents.%010lld.%09ld.%d", dir, (long long)now.tv_sec, now.tv_nsec, (int)getpid());
    Status s = file_make_own_folder(dir);
    if (!s)
        s = file_create_new(&t->file, t->path);
    if (!s)
        s = write_start(t, step);
    if (s != OK)
        tensorboard_close(&t);
    *out = t;
    return s;
}

Status tensorboard_scalar(TensorBoard *t, const char *tag, int64_t step, double value)
{
    Message m, v = {.n = 0}, summary = {.n = 0};
    float simple = (float)value;
    put_text(&v, VALUE_TAG, tag, strlen(tag));
    put_tag(&v, VALUE_SIMPLE, WIRE_FIXED32);
    put_bytes(&v, &simple, sizeof simple);
    put_text(&summary, SUMMARY_VALUE, v.bytes, v.n);
    begin_event(&m, step);
    put_text(&m, EVENT_SUMMARY, summary.bytes, summary.n);
    return write_event(t, m.bytes, m.n);
}

/* The first bytes of a field whose content of n bytes follows. */
static void put_head(Message *m, unsigned field, size_t n)
{
    put_tag(m, field, WIRE_LENGTH);
    put_varint(m, n);
}

static void put_number(Message *m, unsigned field, int64_t value)
{
    put_tag(m, field, WIRE_VARINT);
    put_varint(m, (uint64_t)value);
}

/* Messages in messages, of which the innermost ends with the picture: their heads are made from the inside out. */
Status tensorboard_image(TensorBoard *t, const char *tag, int64_t step, int32_t width, int32_t height, const void *png, size_t n)
{
    Message image = {.n = 0}, value = {.n = 0}, summary = {.n = 0}, m;
    put_number(&image, IMAGE_HEIGHT, height);
    put_number(&image, IMAGE_WIDTH, width);
    put_number(&image, IMAGE_COLOURS, 3);
    put_head(&image, IMAGE_ENCODED, n);
    put_text(&value, VALUE_TAG, tag, strlen(tag));
    put_head(&value, VALUE_IMAGE, image.n + n);
    put_bytes(&value, image.bytes, image.n);
    put_head(&summary, SUMMARY_VALUE, value.n + n);
    put_bytes(&summary, value.bytes, value.n);
    begin_event(&m, step);
    put_head(&m, EVENT_SUMMARY, summary.n + n);
    put_bytes(&m, summary.bytes, summary.n);
    unsigned char *event = mem_grow(NULL, m.n + n);
    if (!event)
        return fail(ERR_NOMEM, "%s: no memory for a picture of %zu bytes", t->path, n);
    memcpy(event, m.bytes, m.n);
    memcpy(event + m.n, png, n);
    Status s = write_event(t, event, m.n + n);
    mem_free(event);
    return s;
}

Status tensorboard_flush(TensorBoard *t)
{
    return fflush(t->file) ? fail(ERR_IO, "%s: cannot be written: %s", t->path, strerror(errno)) : OK;
}

void tensorboard_close(TensorBoard **t)
{
    if (*t) {
        if ((*t)->file)
            fclose((*t)->file);
        mem_free(*t);
    }
    *t = NULL;
}
