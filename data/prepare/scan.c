#include "data/prepare/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "data/formats/json.h"
#include "data/prepare/parts.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

/* A worker may owe this many answers; they must fit its pipe (64 KiB), so that it never waits for us while we wait for it. */
enum { MOST_WAITING = 32, SLOTS = MOST_WAITING * SCAN_MAX_JOBS, NAME_UNIT = 16, SAY_EVERY = 256 };
_Static_assert(MOST_WAITING * sizeof(ScanAnswer) < 65536 && sizeof(ScanAnswer) <= PIPE_BUF, "answers must fit a pipe");

/* ---------------------------------------------------------------- pictures, numbered as they are first met */

typedef struct NameHead {
    uint32_t index, root_bytes, path_bytes, reserved; /* the bytes follow, each with its NUL, padded to NAME_UNIT */
} NameHead;

/* Open addressing: 12 bytes a place, at most three quarters full. The names themselves are in the file and compared on every hit. */
typedef struct Memo {
    uint64_t *key; /* 0: empty */
    uint32_t *at;  /* in units of NAME_UNIT */
    size_t places;
    uint32_t n;
    int64_t names_end;
    int names, where; /* files: names, places */
    char *text;       /* scratch */
    size_t text_capacity;
} Memo;

static size_t place_of(const Memo *m, uint64_t key, size_t step) { return (key + step) & (m->places - 1); }

static Status memo_grow(Memo *m)
{
    size_t places = m->places ? 2 * m->places : 1024;
    Memo bigger = *m;
    bigger.places = places;
    bigger.key = mem_alloc(places * sizeof *bigger.key);
    bigger.at = mem_alloc(places * sizeof *bigger.at);
    if (!bigger.key || !bigger.at) {
        mem_free(bigger.key);
        mem_free(bigger.at);
        return fail(ERR_NOMEM, "no memory to remember %zu pictures", places);
    }
    for (size_t i = 0; i < m->places; i++) {
        if (!m->key[i])
            continue;
        size_t p = place_of(&bigger, m->key[i], 0);
        for (size_t step = 1; bigger.key[p]; step++)
            p = place_of(&bigger, m->key[i], step);
        bigger.key[p] = m->key[i];
        bigger.at[p] = m->at[i];
    }
    mem_free(m->key);
    mem_free(m->at);
    *m = bigger;
    return OK;
}

/* The name as it lies in the file, in m->text. */
static Status render_name(Memo *m, const char *root, const char *path, size_t *bytes)
{
    NameHead head = {.index = m->n, .root_bytes = (uint32_t)strlen(root), .path_bytes = (uint32_t)strlen(path)};
    size_t n = sizeof head + head.root_bytes + head.path_bytes + 2;
    *bytes = (n + NAME_UNIT - 1) / NAME_UNIT * NAME_UNIT;
    if (2 * *bytes > m->text_capacity) { /* the second half: what is compared with */
        char *more = mem_grow(m->text, 2 * *bytes);
        if (!more)
            return fail(ERR_NOMEM, "no memory for a name of %zu bytes", n);
        m->text = more;
        m->text_capacity = 2 * *bytes;
    }
    memset(m->text, 0, *bytes);
    memcpy(m->text, &head, sizeof head);
    memcpy(m->text + sizeof head, root, head.root_bytes);
    memcpy(m->text + sizeof head + head.root_bytes + 1, path, head.path_bytes);
    return OK;
}

static Status memo_picture(Memo *m, const char *root, const char *path, WirePicture *out)
{
    size_t bytes;
    TRY(render_name(m, root, path, &bytes));
    uint64_t key = XXH3_64bits(m->text + sizeof(NameHead) - sizeof(uint32_t), bytes - sizeof(NameHead) + sizeof(uint32_t));
    key += !key;
    if (4 * (size_t)(m->n + 1) > 3 * m->places)
        TRY(memo_grow(m));
    size_t p = place_of(m, key, 0);
    for (size_t step = 1; m->key[p]; p = place_of(m, key, step++)) {
        if (m->key[p] != key)
            continue;
        char *there = m->text + bytes;
        int64_t at = (int64_t)m->at[p] * NAME_UNIT;
        size_t n = m->names_end - at < (int64_t)bytes ? (size_t)(m->names_end - at) : bytes;
        TRY(file_read_at(m->names, "names", there, n, at));
        if (n == bytes && !memcmp(there + sizeof(uint32_t), m->text + sizeof(uint32_t), bytes - sizeof(uint32_t))) {
            memcpy(&out->index, there, sizeof out->index);
            *out = (WirePicture){.index = out->index, .root = root};
            return OK;
        }
    }
    if (m->n == UINT32_MAX || m->names_end / NAME_UNIT > UINT32_MAX)
        return fail(ERR_DATA, "more than %u distinct pictures in one mixture", m->n);
    m->key[p] = key;
    m->at[p] = (uint32_t)(m->names_end / NAME_UNIT);
    TRY(file_write_at(m->names, "names", m->text, bytes, m->names_end));
    TRY(file_write_at(m->where, "places", &m->names_end, sizeof m->names_end, (int64_t)m->n * (int64_t)sizeof m->names_end));
    *out = (WirePicture){.index = m->n++, .is_new = true, .root = root};
    m->names_end += (int64_t)bytes;
    return OK;
}

/* ---------------------------------------------------------------- rows on their way */

typedef struct Slot {
    bool answered;
    int source, n_pictures, cap_pictures;
    int64_t row_number;
    char *file, *id, *path;
    uint32_t *pictures;
    ScanRow row;
    Reject reject;
    char message[256];
} Slot;

typedef struct Scan {
    const PrepareOptions *o;
    ScanWork work;
    ScanTotals totals;
    Memo memo;
    Job jobs[SCAN_MAX_JOBS];
    Slot *slots;
    int64_t first, next; /* sequence of the oldest row on its way, of the next to come */
    Wire out;
    WirePicture *pictures; /* scratch of the row being sent */
    int cap_pictures;
    FILE *rows, *bad;
    char *folder_of_file, *last_file;
} Scan;

static Slot *slot_of(Scan *s, int64_t sequence) { return &s->slots[sequence % SLOTS]; }

static Status set_text(char **text, const char *value)
{
    mem_free(*text);
    *text = mem_strdup(value ? value : "");
    return *text ? OK : fail(ERR_NOMEM, "no memory for the name of a row");
}

static Status write_bad(Scan *s, const Slot *slot)
{
    JsonOut j = {0};
    jsonout_begin_object(&j, NULL);
    jsonout_begin_object(&j, "bad_row");
    jsonout_string(&j, "file", slot->file);
    jsonout_int(&j, "row", slot->row_number);
    jsonout_string(&j, "id", slot->id);
    jsonout_string(&j, "path", slot->path);
    jsonout_string(&j, "reason", reject_name(slot->reject));
    jsonout_string(&j, "message", slot->message);
    jsonout_end_object(&j);
    jsonout_end_object(&j);
    Status r = OK;
    if (j.failed)
        r = fail(ERR_NOMEM, "no memory for the line of a bad row");
    else if (fprintf(s->bad, "%s\n", j.text) < 0)
        r = fail(ERR_IO, "%s/bad.jsonl: writing: %s", s->work.folder, strerror(errno));
    jsonout_free(&j);
    s->totals.bad++;
    return r;
}

/* A row with a bad picture is bad, whatever else it is; the first one is named. */
static Status judge_pictures(Scan *s, Slot *slot)
{
    for (int i = 0; i < slot->n_pictures; i++) {
        PictureInfo info;
        TRY(file_read_at(s->work.pictures, "pictures", &info, sizeof info, (int64_t)slot->pictures[i] * (int64_t)sizeof info));
        if (!info.reject)
            continue;
        char root[PATH_MAX], path[PATH_MAX];
        const ScanFiles f = {.names = s->memo.names, .places = s->memo.where};
        TRY(scan_name(&f, slot->pictures[i], root, path));
        slot->reject = (Reject)info.reject;
        snprintf(slot->message, sizeof slot->message, "%s", info.message);
        return set_text(&slot->path, path);
    }
    return OK;
}

/* Rows leave in the order they came. */
static Status finish_rows(Scan *s)
{
    for (; s->first < s->next && slot_of(s, s->first)->answered; s->first++) {
        Slot *slot = slot_of(s, s->first);
        TRY(judge_pictures(s, slot));
        slot->answered = false;
        if (slot->reject) {
            TRY(write_bad(s, slot));
        } else {
            if (fwrite(&slot->row, sizeof slot->row, 1, s->rows) != 1)
                return fail(ERR_IO, "%s/rows: writing: %s", s->work.folder, strerror(errno));
            s->totals.good++;
        }
        if (s->first % SAY_EVERY == 0)
            log_progress("reading the mixture: %lld rows, %lld left out", (long long)s->first, (long long)s->totals.bad);
    }
    return OK;
}

static Status take_answer(Scan *s, int i)
{
    ScanAnswer a;
    ssize_t n = read(s->jobs[i].from, &a, sizeof a);
    if (n < 0 && errno == EINTR)
        return OK;
    if (n != (ssize_t)sizeof a)
        return jobs_lost(s->jobs, i);
    if (a.status)
        return fail((Status)a.status, "%s", a.message);
    Slot *slot = slot_of(s, a.sequence);
    slot->row = a.row;
    slot->reject = (Reject)a.reject;
    memcpy(slot->message, a.message, sizeof slot->message);
    slot->answered = true;
    s->jobs[i].waiting--;
    return OK;
}

/* Waits for at least one answer and takes all that are there. */
static Status take_answers(Scan *s)
{
    struct pollfd p[SCAN_MAX_JOBS];
    for (int i = 0; i < s->totals.jobs; i++)
        p[i] = (struct pollfd){.fd = s->jobs[i].from, .events = POLLIN};
    if (poll(p, (nfds_t)s->totals.jobs, -1) < 0 && errno != EINTR)
        return fail(ERR_INTERNAL, "waiting for worker processes: %s", strerror(errno));
    for (int i = 0; i < s->totals.jobs; i++)
        if (p[i].revents)
            TRY(take_answer(s, i));
    return finish_rows(s);
}

/* ---------------------------------------------------------------- sending rows out */

static const char *root_of(Scan *s, const Record *rec)
{
    const char *root = s->o->mixture->sources[rec->source].image_root;
    if (root)
        return root;
    if (s->last_file && !strcmp(s->last_file, rec->file))
        return s->folder_of_file;
    mem_free(s->last_file);
    mem_free(s->folder_of_file);
    s->last_file = mem_strdup(rec->file);
    s->folder_of_file = mem_strdup(rec->file);
    char *slash = s->folder_of_file ? strrchr(s->folder_of_file, '/') : NULL;
    if (slash)
        slash[slash == s->folder_of_file] = 0;
    else if (s->folder_of_file && *s->folder_of_file)
        memcpy(s->folder_of_file, ".", 2);
    return s->folder_of_file ? s->folder_of_file : ".";
}

static Status number_pictures(Scan *s, Slot *slot, const Record *rec)
{
    if (rec->n_images > s->cap_pictures) {
        WirePicture *more = mem_grow(s->pictures, (size_t)rec->n_images * sizeof *more);
        if (!more)
            return fail(ERR_NOMEM, "no memory for the %d pictures of a row", rec->n_images);
        s->pictures = more;
        s->cap_pictures = rec->n_images;
    }
    if (rec->n_images > slot->cap_pictures) {
        uint32_t *more = mem_grow(slot->pictures, (size_t)rec->n_images * sizeof *more);
        if (!more)
            return fail(ERR_NOMEM, "no memory for the %d pictures of a row", rec->n_images);
        slot->pictures = more;
        slot->cap_pictures = rec->n_images;
    }
    const char *root = root_of(s, rec);
    for (int i = 0; i < rec->n_images; i++) {
        TRY(memo_picture(&s->memo, root, rec->images[i].path, &s->pictures[i]));
        slot->pictures[i] = s->pictures[i].index;
    }
    slot->n_pictures = rec->n_images;
    return OK;
}

static Status send_out(Scan *s, const Record *rec)
{
    for (;;) {
        int best = 0;
        for (int i = 1; i < s->totals.jobs; i++)
            if (s->jobs[i].waiting < s->jobs[best].waiting)
                best = i;
        if (s->jobs[best].waiting < MOST_WAITING) {
            wire_put_row(&s->out, s->next - 1, rec, s->pictures);
            Status r = wire_send(s->jobs[best].to, &s->out);
            while (r == ERR_INTERNAL) /* it is gone; what it said last explains more than the broken pipe */
                TRY(take_answer(s, best));
            if (r)
                return r;
            s->jobs[best].waiting++;
            return OK;
        }
        TRY(take_answers(s));
    }
}

static bool needs_tower(const PrepareOptions *o, const Record *rec)
{
    for (int i = 0; i < rec->n_images && !o->vision_folder; i++)
        if (rec->images[i].role == ROLE_INPUT)
            return true;
    return false;
}

static Status admit(Scan *s, const Record *rec)
{
    while (s->next - s->first == SLOTS)
        TRY(take_answers(s));
    Slot *slot = slot_of(s, s->next++);
    slot->answered = false;
    slot->n_pictures = 0;
    slot->row_number = rec->row;
    slot->reject = rec->reject;
    TRY(set_text(&slot->file, rec->file));
    TRY(set_text(&slot->id, rec->id));
    TRY(set_text(&slot->path, rec->reject_path));
    snprintf(slot->message, sizeof slot->message, "%s", rec->message);
    if (!rec->reject && needs_tower(s->o, rec)) {
        slot->reject = REJECT_EXCLUDED;
        snprintf(slot->message, sizeof slot->message, "shows an image, but the run has no vision tower (model.vision.path)");
    }
    if (slot->reject) {
        slot->answered = true;
        return finish_rows(s);
    }
    TRY(number_pictures(s, slot, rec));
    return send_out(s, rec);
}

static Status read_mixture(Scan *s)
{
    RecordReader *reader;
    TRY(records_open(&reader, s->o->mixture));
    Status r = OK;
    for (const Record *rec = NULL; !r;) {
        r = records_next(reader, &rec);
        if (r || !rec)
            break;
        r = admit(s, rec);
    }
    while (!r && s->first < s->next)
        r = take_answers(s);
    records_close(&reader);
    return r;
}

/* ---------------------------------------------------------------- the whole */

static int open_new(const char *folder, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
}

static FILE *stream_new(const char *folder, const char *name)
{
    int fd = open_new(folder, name);
    return fd < 0 ? NULL : fdopen(fd, "w");
}

static Status open_files(Scan *s, const char *folder)
{
    s->memo.names = open_new(folder, "names");
    s->memo.where = open_new(folder, "places");
    s->work.pictures = open_new(folder, "pictures");
    s->rows = stream_new(folder, "rows");
    s->bad = stream_new(folder, "bad.jsonl");
    if (s->memo.names < 0 || s->memo.where < 0 || s->work.pictures < 0 || !s->rows || !s->bad)
        return fail(ERR_IO, "%s: cannot create files: %s", folder, strerror(errno));
    return OK;
}

static Status close_stream(FILE **f, const char *folder, const char *name)
{
    Status r = *f && fclose(*f) ? fail(ERR_IO, "%s/%s: writing: %s", folder, name, strerror(errno)) : OK;
    *f = NULL;
    return r;
}

static void release(Scan *s)
{
    if (s->rows)
        fclose(s->rows);
    if (s->bad)
        fclose(s->bad);
    int files[] = {s->memo.names, s->memo.where, s->work.pictures};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (files[i] >= 0)
            close(files[i]);
    for (int i = 0; s->slots && i < SLOTS; i++) {
        mem_free(s->slots[i].file);
        mem_free(s->slots[i].id);
        mem_free(s->slots[i].path);
        mem_free(s->slots[i].pictures);
    }
    mem_free(s->slots);
    mem_free(s->memo.key);
    mem_free(s->memo.at);
    mem_free(s->memo.text);
    mem_free(s->pictures);
    mem_free(s->folder_of_file);
    mem_free(s->last_file);
    wire_free(&s->out);
}

Status scan_run(const PrepareOptions *o, const char *folder, bool keep_tokens, ScanTotals *totals)
{
    Tokenizer *tok;
    TRY(tokenizer_open(&tok, o->tokenizer_path));
    Scan s = {.o = o, .work = {.o = o, .tok = tok, .folder = folder, .keep_tokens = keep_tokens, .pictures = -1}};
    s.memo.names = s.memo.where = -1;
    s.totals.jobs = jobs_wanted(o);
    s.slots = mem_alloc(SLOTS * sizeof *s.slots);
    Status r = s.slots ? encoder_check(&o->encoder, tok, o->tokenizer_path) : fail(ERR_NOMEM, "no memory for rows on their way");
    if (!r)
        r = open_files(&s, folder);
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before; /* a worker that is gone is seen as an error of write */
    sigaction(SIGPIPE, &ignore, &before);
    if (!r)
        r = jobs_start(s.jobs, s.totals.jobs, scan_worker, &s.work);
    if (!r) {
        r = read_mixture(&s);
        Status ended = jobs_end(s.jobs, s.totals.jobs, r != OK);
        r = r ? r : ended;
    }
    sigaction(SIGPIPE, &before, NULL);
    if (!r)
        r = close_stream(&s.rows, folder, "rows");
    if (!r)
        r = close_stream(&s.bad, folder, "bad.jsonl");
    s.totals.pictures = s.memo.n;
    *totals = s.totals;
    release(&s);
    tokenizer_close(&tok);
    return r;
}
