#include "data/prepare/wire.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/arena.h"

void wire_free(Wire *w)
{
    mem_free(w->bytes);
    *w = (Wire){0};
}

static bool reserve(Wire *w, size_t n)
{
    if (w->failed || n <= w->capacity)
        return !w->failed;
    size_t capacity = w->capacity ? w->capacity : 4096;
    while (capacity < n)
        capacity *= 2;
    uint8_t *more = mem_grow(w->bytes, capacity);
    if (!more) {
        w->failed = true;
        return false;
    }
    w->bytes = more;
    w->capacity = capacity;
    return true;
}

static void put(Wire *w, const void *bytes, size_t n)
{
    if (!reserve(w, w->n + n))
        return;
    memcpy(w->bytes + w->n, bytes, n);
    w->n += n;
}

/* A text of n bytes (it may hold NUL) with a NUL after it. NULL is told apart from "". */
static void put_text(Wire *w, const char *text, size_t n)
{
    uint64_t head = text ? n : UINT64_MAX;
    put(w, &head, sizeof head);
    if (text) {
        put(w, text, n);
        put(w, "", 1);
    }
}

static void put_string(Wire *w, const char *text) { put_text(w, text, text ? strlen(text) : 0); }

static void get(Wire *w, void *out, size_t n)
{
    if (w->failed || n > w->n - w->at) {
        w->failed = true;
        memset(out, 0, n);
        return;
    }
    memcpy(out, w->bytes + w->at, n);
    w->at += n;
}

static const char *get_text(Wire *w, size_t *length)
{
    uint64_t n;
    get(w, &n, sizeof n);
    *length = 0;
    if (w->failed || n == UINT64_MAX)
        return NULL;
    if (n >= w->n - w->at) {
        w->failed = true;
        return NULL;
    }
    const char *text = (const char *)w->bytes + w->at;
    w->at += n + 1;
    *length = n;
    return text;
}

static const char *get_string(Wire *w)
{
    size_t n;
    return get_text(w, &n);
}

/* Numbers that travel as they are. */
typedef struct RowHead {
    int64_t sequence, number, row;
    int32_t source, n_images, n_turns, task;
    float weight;
} RowHead;

void wire_put_row(Wire *w, int64_t sequence, const Record *rec, const WirePicture *pictures)
{
    w->n = w->at = 0;
    RowHead head;
    memset(&head, 0, sizeof head); /* no stray bytes between the fields */
    head.sequence = sequence;
    head.number = rec->number;
    head.row = rec->row;
    head.source = rec->source;
    head.n_images = rec->n_images;
    head.n_turns = rec->n_turns;
    head.task = (int32_t)rec->task;
    head.weight = rec->weight;
    put(w, &head, sizeof head);
    put_string(w, rec->uid);
    for (int i = 0; i < rec->n_images; i++) {
        const uint32_t numbers[3] = {pictures[i].index, pictures[i].is_new, (uint32_t)rec->images[i].role};
        put(w, numbers, sizeof numbers);
        put_string(w, pictures[i].root);
        put_string(w, rec->images[i].path);
    }
    for (int i = 0; i < rec->n_turns; i++) {
        const uint32_t human = rec->turns[i].human;
        put(w, &human, sizeof human);
        put_text(w, rec->turns[i].text, rec->turns[i].length);
    }
    put_string(w, rec->sd_prompt);
    put_string(w, rec->sd_instruction);
    put_text(w, rec->json, rec->json_length);
}

void wire_row_free(WireRow *r)
{
    mem_free(r->pictures);
    mem_free(r->rec.images);
    mem_free(r->rec.turns);
    *r = (WireRow){0};
}

static bool make_room(WireRow *r, int n_images, int n_turns)
{
    if (n_images > r->cap_images) {
        RecordImage *images = mem_grow(r->rec.images, (size_t)n_images * sizeof *images);
        r->rec.images = images ? images : r->rec.images;
        WirePicture *pictures = mem_grow(r->pictures, (size_t)n_images * sizeof *pictures);
        r->pictures = pictures ? pictures : r->pictures;
        if (!images || !pictures)
            return false;
        r->cap_images = n_images;
    }
    if (n_turns > r->cap_turns) {
        RecordTurn *turns = mem_grow(r->rec.turns, (size_t)n_turns * sizeof *turns);
        if (!turns)
            return false;
        r->rec.turns = turns;
        r->cap_turns = n_turns;
    }
    return true;
}

Status wire_get_row(Wire *w, WireRow *out)
{
    RowHead head;
    w->at = 0;
    get(w, &head, sizeof head);
    if (!w->failed && !make_room(out, head.n_images, head.n_turns))
        return fail(ERR_NOMEM, "no memory for a row of %d turns", head.n_turns);
    Record *rec = &out->rec;
    out->sequence = head.sequence;
    *rec = (Record){.number = head.number, .row = head.row, .source = head.source, .task = (Task)head.task, .weight = head.weight,
                    .images = rec->images, .turns = rec->turns, .n_images = head.n_images, .n_turns = head.n_turns};
    rec->uid = get_string(w);
    for (int i = 0; i < head.n_images && !w->failed; i++) {
        uint32_t numbers[3];
        get(w, numbers, sizeof numbers);
        out->pictures[i] = (WirePicture){.index = numbers[0], .is_new = numbers[1], .root = get_string(w)};
        rec->images[i] = (RecordImage){.role = (ImageRole)numbers[2], .path = get_string(w)};
    }
    for (int i = 0; i < head.n_turns && !w->failed; i++) {
        uint32_t human;
        get(w, &human, sizeof human);
        rec->turns[i].human = human;
        rec->turns[i].text = get_text(w, &rec->turns[i].length);
    }
    rec->sd_prompt = get_string(w);
    rec->sd_instruction = get_string(w);
    rec->json = get_text(w, &rec->json_length);
    if (w->failed)
        return fail(ERR_INTERNAL, "a row came incomplete over the pipe");
    return OK;
}

/* ---------------------------------------------------------------- pipes */

Status wire_send(int fd, const Wire *w)
{
    if (w->failed)
        return fail(ERR_NOMEM, "no memory to hand on a row");
    const uint64_t n = w->n;
    for (size_t done = 0; done < sizeof n + w->n;) {
        const uint8_t *from = done < sizeof n ? (const uint8_t *)&n + done : w->bytes + (done - sizeof n);
        size_t left = done < sizeof n ? sizeof n - done : sizeof n + w->n - done;
        ssize_t put_now = write(fd, from, left);
        if (put_now < 0 && errno == EINTR)
            continue;
        if (put_now < 0)
            return errno == EPIPE ? fail(ERR_INTERNAL, "a worker process ended too early") : fail(ERR_IO, "writing to a pipe: %s", strerror(errno));
        done += (size_t)put_now;
    }
    return OK;
}

/* OK with *got < n only at the end of the pipe. */
static Status receive(int fd, void *out, size_t n, size_t *got)
{
    for (*got = 0; *got < n;) {
        ssize_t r = read(fd, (uint8_t *)out + *got, n - *got);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return fail(ERR_INTERNAL, "reading from a pipe: %s", strerror(errno));
        if (r == 0)
            break;
        *got += (size_t)r;
    }
    return OK;
}

Status wire_receive(int fd, Wire *w, bool *end)
{
    uint64_t n;
    size_t got;
    TRY(receive(fd, &n, sizeof n, &got));
    *end = got == 0;
    if (*end)
        return OK;
    if (got < sizeof n || !reserve(w, n))
        return got < sizeof n ? fail(ERR_INTERNAL, "a row came incomplete over the pipe") : fail(ERR_NOMEM, "no memory for a row");
    w->n = n;
    TRY(receive(fd, w->bytes, n, &got));
    return got == n ? OK : fail(ERR_INTERNAL, "a row came incomplete over the pipe");
}
