#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "data/prepare/parts.h"
#include "data/formats/sha256.h"
#include "kernels/base/arena.h"

typedef struct Worker {
    const ScanWork *work;
    char name[PATH_MAX]; /* of the file of tokens */
    int tokens;
    int64_t at;          /* its end */
    Wire in, out;
    WireRow row;
    EncodedSample sample;
    PictureBuffer buffer;
} Worker;

static Status check_new_pictures(Worker *w)
{
    for (int i = 0; i < w->row.rec.n_images; i++) {
        const WirePicture *p = &w->row.pictures[i];
        PictureInfo info;
        if (!p->is_new)
            continue;
        TRY(picture_check(&info, &w->buffer, p->root, w->row.rec.images[i].path));
        TRY(file_write_at(w->work->pictures, "pictures", &info, sizeof info, (int64_t)p->index * (int64_t)sizeof info));
    }
    return OK;
}

/* Pictures of rounds that the encoder cut are not referred to. A mask belongs to the target of the same number. */
static uint32_t put_refs(ScanRef *refs, const Worker *w, uint8_t *flags)
{
    const Record *rec = &w->row.rec;
    int targets = 0, met[N_ROLES] = {0};
    uint32_t n = 0;
    for (int i = 0; i < rec->n_images; i++)
        targets += rec->images[i].role == ROLE_TARGET;
    const int kept[N_ROLES] = {[ROLE_INPUT] = w->sample.n_images, [ROLE_TARGET] = w->sample.n_runs,
                               [ROLE_MASK] = w->sample.n_runs < targets ? w->sample.n_runs : rec->n_images};
    *flags = 0;
    for (int i = 0; i < rec->n_images; i++) {
        ImageRole role = rec->images[i].role;
        if (met[role]++ >= kept[role])
            continue;
        if (refs)
            refs[n] = (ScanRef){.picture = w->row.pictures[i].index, .role = (uint32_t)role};
        n++;
        *flags |= (uint8_t)(role == ROLE_INPUT ? FLAG_HAS_INPUT : role == ROLE_TARGET ? FLAG_HAS_TARGET : 0);
    }
    return n;
}

static Status keep(Worker *w, ScanRow *row)
{
    const Record *rec = &w->row.rec;
    size_t ids = (size_t)row->n_tokens * sizeof(int32_t), refs = (size_t)row->n_refs * sizeof(ScanRef);
    size_t n = ids + row->n_tokens + refs + row->n_text;
    if (n > w->out.capacity) {
        uint8_t *more = mem_grow(w->out.bytes, 2 * n);
        if (!more)
            return fail(ERR_NOMEM, "no memory for a row of %zu bytes", n);
        w->out.bytes = more;
        w->out.capacity = 2 * n;
    }
    uint8_t *p = w->out.bytes;
    memcpy(p, w->sample.id, ids);
    put_refs((ScanRef *)(void *)(p + ids), w, &row->flags);
    memcpy(p + ids + refs, w->sample.mask, row->n_tokens);
    memcpy(p + ids + refs + row->n_tokens, rec->json, row->n_text);
    row->at = (uint64_t)w->at;
    TRY(file_write_at(w->tokens, w->name, p, n, w->at));
    w->at += (int64_t)n;
    return OK;
}

static Status encode(Worker *w, ScanAnswer *a)
{
    const PrepareOptions *o = w->work->o;
    const Record *rec = &w->row.rec;
    Reject reject = REJECT_NONE;
    TRY(encode_record(&w->sample, &o->encoder, w->work->tok, rec, &reject, a->message));
    a->reject = (int32_t)reject;
    if (reject)
        return OK;
    uint8_t digest[32];
    sha256_of(rec->uid, strlen(rec->uid), digest);
    ScanRow *row = &a->row;
    memcpy(row->uid, digest, sizeof row->uid);
    memcpy(&row->index.uid, digest, sizeof row->index.uid);
    row->n_tokens = (uint32_t)w->sample.n;
    row->n_trained = (uint32_t)w->sample.n_trained;
    row->n_text = w->work->keep_tokens ? (uint32_t)rec->json_length : 0;
    row->n_refs = put_refs(NULL, w, &row->flags);
    row->index.record = (uint32_t)rec->number;
    row->index.expanded = (uint32_t)w->sample.expanded;
    row->index.source = (uint16_t)rec->source;
    row->index.images = (uint16_t)w->sample.n_images;
    row->index.weight = rec->weight;
    row->index.task = (uint8_t)rec->task;
    index_count_labels(&row->index, w->sample.id, w->sample.mask, w->sample.n, encoder_visual_id(&o->encoder, 0));
    return w->work->keep_tokens ? keep(w, row) : OK;
}

static Status answer_one(Worker *w, ScanAnswer *a)
{
    TRY(wire_get_row(&w->in, &w->row));
    a->sequence = w->row.sequence;
    TRY(check_new_pictures(w));
    return encode(w, a);
}

static Status serve(Worker *w, int number, int from, int to)
{
    for (;;) {
        bool end;
        TRY(wire_receive(from, &w->in, &end));
        if (end)
            return OK;
        ScanAnswer a;
        memset(&a, 0, sizeof a);
        Status s = answer_one(w, &a);
        a.row.worker = (uint16_t)number;
        a.status = (int32_t)s;
        if (s) {
            size_t n = strnlen(status_message(), sizeof a.message - 1);
            memcpy(a.message, status_message(), n);
            a.message[n] = 0;
        }
        /* An answer is smaller than PIPE_BUF: it goes whole. */
        if (write(to, &a, sizeof a) != (ssize_t)sizeof a || s)
            return s;
    }
}

int scan_worker(void *scan_work, int number, int from, int to)
{
    Worker w = {.work = scan_work, .tokens = -1};
    snprintf(w.name, sizeof w.name, "%s/tokens.%d", w.work->folder, number);
    if (w.work->keep_tokens)
        w.tokens = open(w.name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    Status s = OK;
    if (w.work->keep_tokens && w.tokens < 0) {
        ScanAnswer a = {.sequence = -1, .status = ERR_IO};
        snprintf(a.message, sizeof a.message, "%.180s: %s", w.name, strerror(errno));
        s = write(to, &a, sizeof a) == (ssize_t)sizeof a ? ERR_IO : ERR_INTERNAL;
    } else {
        s = serve(&w, number, from, to);
    }
    wire_free(&w.in);
    wire_free(&w.out);
    wire_row_free(&w.row);
    encoded_free(&w.sample);
    picture_buffer_free(&w.buffer);
    return status_exit_code(s);
}
