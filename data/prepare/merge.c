/* The end of the first pass: the rows judged one after the other, now that all of their pictures are known, and each picture given its
 * place in the shards. Called by scan.c. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/json_write.h"
#include "data/prepare/parts.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

typedef struct Place {
    uint32_t shard, image;
} Place;

enum { AT_ONCE = 512 };

typedef struct Merge {
    const PrepareOptions *o;
    ScanFiles *files;
    FILE *bad;
    ScanRow *read, *kept; /* [AT_ONCE] rows that are judged next, and good ones that are written next */
    int64_t n_kept;
    ScanRow row;
    char *more; /* of the row: refs, ids, mask, words */
    size_t more_capacity;
    ScanRef *refs; /* in it, here and below */
    char *words;
    Table stored;          /* pictures, by their bytes: the same ones under two names are stored once */
    Place *place;          /* [stored.n] */
    size_t place_capacity; /* bytes */
    Place next;            /* of a picture that is not stored yet */
    Earlier earlier;
} Merge;

static Status make_room(void *array, size_t *capacity, size_t bytes)
{
    void **at = array, *more = bytes > *capacity ? mem_grow(*at, 2 * bytes) : *at;
    if (!more && bytes)
        return fail(ERR_NOMEM, "no memory for %zu bytes of the scan", bytes);
    *capacity = bytes > *capacity ? 2 * bytes : *capacity;
    *at = more;
    return OK;
}

/* Row k of n, in order. */
static Status read_row(Merge *m, int64_t k, int64_t n)
{
    if (k % AT_ONCE == 0)
        TRY(scan_rows(m->files, k, n - k < AT_ONCE ? n - k : AT_ONCE, m->read));
    m->row = m->read[k % AT_ONCE];
    const ScanRow *row = &m->row;
    const size_t words_at = row->n_pictures * sizeof *m->refs + row->n_tokens * (sizeof(int32_t) + 1);
    TRY(make_room(&m->more, &m->more_capacity, words_at + row->n_words));
    m->refs = (ScanRef *)(void *)m->more;
    m->words = m->more + words_at;
    return file_read_at(m->files->more[k % m->files->totals.jobs], "the scan", m->more, words_at + row->n_words, (int64_t)row->at);
}

/* Good rows move up to where bad ones were: those have been read. */
static Status write_kept(Merge *m)
{
    const int64_t first = m->files->totals.good - m->n_kept;
    const size_t n = (size_t)m->n_kept;
    m->n_kept = 0;
    return file_write_at(m->files->rows, "the scan", m->kept, n * sizeof *m->kept, first * (int64_t)sizeof *m->kept);
}

/* ---------------------------------------------------------------- rows that are left out */

static Status write_bad(Merge *m, Reject why, const char *path, const char *message)
{
    const MixtureSource *source = &m->o->mixture->sources[m->row.index.source];
    cJSON *line = cJSON_CreateObject(), *row = cJSON_AddObjectToObject(line, "bad_row");
    cJSON_AddStringToObject(row, "file", source->files[m->row.file]);
    json_add_int(row, "row", m->row.row);
    cJSON_AddStringToObject(row, "id", m->words);
    cJSON_AddStringToObject(row, "path", path);
    cJSON_AddStringToObject(row, "reason", reject_name(why));
    cJSON_AddStringToObject(row, "message", message);
    if (m->row.ends_file)
        cJSON_AddTrueToObject(row, "ends_file");
    m->files->outcome.cut_files += m->row.ends_file;
    m->files->outcome.bad_of[m->row.index.task]++;
    m->files->totals.bad++;
    m->files->outcome.rows[m->row.index.source][why]++;
    return json_print(m->bad, &line, JSON_LINE, "bad.jsonl");
}

/* A row with a bad picture is bad, whatever else it is; the first one is named. One that nobody wants is neither good nor bad. */
static Status judge(Merge *m, bool *good)
{
    *good = false;
    if (reject_is_choice((Reject)m->row.reject)) {
        m->files->outcome.rows[m->row.index.source][m->row.reject]++;
        return OK;
    }
    for (uint32_t i = 0; i < m->row.n_pictures; i++) {
        ScanPicture p;
        char root[PATH_MAX], path[PATH_MAX];
        TRY(scan_picture(m->files, m->refs[i].picture, &p));
        if (!p.info.reject)
            continue;
        TRY(scan_name(m->files, m->refs[i].picture, &p, root, path));
        return write_bad(m, (Reject)p.info.reject, path, p.info.message);
    }
    *good = !m->row.reject;
    const char *path = m->words + strlen(m->words) + 1;
    return *good ? OK : write_bad(m, (Reject)m->row.reject, path, path + strlen(path) + 1);
}

/* A row that shows nearly the same as an earlier source is not wanted, where the mixture says so. */
static Status leave_out_near(Merge *m, bool *good)
{
    NearPicture near;
    bool found;
    if (!*good || !m->o->mixture->drop_near)
        return OK;
    TRY(earlier_find(&m->earlier, m->files, &m->row, m->refs, &near, &found));
    if (!found)
        return earlier_add(&m->earlier, m->files, &m->row, m->refs);
    *good = false;
    m->files->outcome.rows[m->row.index.source][REJECT_NEAR]++;
    return OK;
}

/* ---------------------------------------------------------------- rows that stay */

static Status find_place(Merge *m, ScanRef *ref)
{
    ScanPicture p;
    uint32_t number;
    bool is_new;
    TRY(scan_picture(m->files, ref->picture, &p));
    TRY(numbers_of(&m->stored, p.info.sha256, &number, &is_new));
    TRY(make_room(&m->place, &m->place_capacity, (number + (size_t)1) * sizeof *m->place));
    if (is_new) {
        m->place[number] = m->next;
        m->next.image++;
    }
    ref->shard = m->place[number].shard;
    ref->image = m->place[number].image;
    return OK;
}

static Status keep_row(Merge *m)
{
    const ScanRow *row = &m->row;
    Outcome *outcome = &m->files->outcome;
    outcome->rows[row->index.source][REJECT_NONE]++;
    outcome->good_of[row->index.task]++;
    outcome->cut_rows += row->n_cut > 0;
    outcome->cut_tokens += row->n_cut;
    const int64_t k = m->files->totals.good++, shard = k / m->o->shard_samples;
    if (shard > m->next.shard)
        m->next = (Place){.shard = (uint32_t)shard}; /* a mixture has fewer than 2^32 rows */
    for (uint32_t i = 0; i < row->n_pictures; i++)
        if (m->refs[i].kept)
            TRY(find_place(m, &m->refs[i]));
    const int more = m->files->more[row->index.record % (uint32_t)m->files->totals.jobs];
    TRY(file_write_at(more, "the scan", m->refs, row->n_pictures * sizeof *m->refs, (int64_t)row->at));
    m->kept[m->n_kept++] = *row;
    return m->n_kept < AT_ONCE ? OK : write_kept(m);
}

/* ---------------------------------------------------------------- all rows */

static Status merge_rows(Merge *m, int64_t rows)
{
    ScanFiles *f = m->files;
    for (int64_t k = 0; k < rows; k++) {
        bool good;
        TRY(read_row(m, k, rows));
        TRY(judge(m, &good));
        TRY(leave_out_near(m, &good));
        if (good)
            TRY(keep_row(m));
    }
    TRY(write_kept(m));
    return ftruncate(f->rows, f->totals.good * (off_t)sizeof m->row) ? fail(ERR_IO, "%s/rows: %s", f->folder, strerror(errno)) : OK;
}

static Status count_renamed(ScanFiles *f)
{
    for (int64_t i = 0; i < f->totals.pictures; i++) {
        ScanPicture p;
        TRY(scan_picture(f, (uint32_t)i, &p));
        if (!p.info.renamed || p.info.reject)
            continue;
        if (!f->outcome.renamed++) {
            char root[PATH_MAX], path[PATH_MAX];
            TRY(scan_name(f, (uint32_t)i, &p, root, path));
            log_info("%s%s%s is found under another ending", *path == '/' ? "" : root, *path == '/' ? "" : "/", path);
        }
    }
    return OK;
}

Status scan_merge(ScanFiles *f, const PrepareOptions *o, int64_t rows)
{
    char path[PATH_MAX];
    Merge m = {.o = o, .files = f, .bad = fopen(file_join(path, f->folder, "bad.jsonl"), "we")};
    if (!m.bad)
        return fail(ERR_IO, "%s: %s", path, strerror(errno));
    m.read = mem_alloc(AT_ONCE * sizeof *m.read);
    m.kept = mem_alloc(AT_ONCE * sizeof *m.kept);
    Status s = m.read && m.kept ? OK : fail(ERR_NOMEM, "no memory to judge the rows");
    if (!s)
        s = outcome_create(&f->outcome, o->mixture->n_sources);
    if (!s)
        s = merge_rows(&m, rows);
    if (!s)
        s = count_renamed(f);
    f->totals.images = (int64_t)m.stored.n;
    if (fclose(m.bad) && !s)
        s = fail(ERR_IO, "%s: writing: %s", path, strerror(errno));
    mem_free(m.read);
    mem_free(m.kept);
    mem_free(m.more);
    mem_free(m.place);
    table_free(&m.stored);
    earlier_free(&m.earlier);
    return s;
}
