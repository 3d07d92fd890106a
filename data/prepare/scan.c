/* The first pass (scan.h): what one process does, and the start of all of them. Called by prepare.c. */
#include "data/prepare/scan.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

#include "data/formats/sha256.h"
#include "data/prepare/parts.h"
#include "data/records/exclude.h"
#include "data/records/unified.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

/* What a process saw of the mixture: the same in all of them, unless its files changed meanwhile. */
typedef struct Seen {
    int64_t rows;
    uint32_t pictures;
    XXH64_hash_t text;
} Seen;

typedef struct ScanWork {
    const PrepareOptions *o;
    const Tokenizer *tok;
    const ScanFiles *files;
    ScanKeep keep;
    Seen *seen; /* [jobs], shared by the processes */
} ScanWork;

typedef struct Worker {
    const ScanWork *work;
    int number;
    uint64_t end; /* of its file more.J */
    uint8_t *out; /* what is written there next */
    size_t out_n, out_capacity;
    Table pictures;
    ScanRef *refs; /* [rec->n_images] of the present row */
    int refs_capacity;
    EncodedSample sample;
    PictureBuffer buffer;
    FILE *line; /* a memory stream: the present row as a unified line */
    char *line_text;
    size_t line_n;
    int slips, notes; /* told so far */
} Worker;

static bool is_mine(const Worker *w, int64_t number) { return number % w->work->files->totals.jobs == w->number; }

/* ---------------------------------------------------------------- the file more.J */

static Status put(Worker *w, const void *bytes, size_t n)
{
    if (w->out_n + n > w->out_capacity) {
        uint8_t *more = mem_grow(w->out, 2 * (w->out_n + n));
        if (!more)
            return fail(ERR_NOMEM, "no memory for a row of %zu bytes", w->out_n + n);
        w->out = more;
        w->out_capacity = 2 * (w->out_n + n);
    }
    if (n)
        memcpy(w->out + w->out_n, bytes, n);
    w->out_n += n;
    return OK;
}

static Status put_string(Worker *w, const char *text) { return put(w, text, strlen(text) + 1); }

/* Where what is put next will stand. */
static uint64_t place(const Worker *w) { return w->end + w->out_n; }

static Status write_out(Worker *w)
{
    TRY(file_write_at(w->work->files->more[w->number], "the scan", w->out, w->out_n, (int64_t)w->end));
    w->end += w->out_n;
    w->out_n = 0;
    return OK;
}

static Status write_when_full(Worker *w)
{
    enum { FULL = 1 << 18 };
    return w->out_n < FULL ? OK : write_out(w);
}

/* ---------------------------------------------------------------- pictures */

static Status check_picture(Worker *w, uint32_t number, const char *root, const char *path)
{
    ScanPicture p;
    memset(&p, 0, sizeof p);
    p.root_bytes = (uint32_t)strlen(root) + 1;
    p.path_bytes = (uint32_t)strlen(path) + 1;
    TRY(picture_check(&p.info, &w->buffer, root, path, w->work->o->max_pixels));
    p.at = place(w);
    TRY(put_string(w, root));
    TRY(put_string(w, path));
    TRY(write_when_full(w));
    return file_write_at(w->work->files->pictures, "the scan", &p, sizeof p, (int64_t)number * (int64_t)sizeof p);
}

/* Where the row's picture paths start: an absolute folder. */
static const char *root_of(const Worker *w, const Record *rec, char folder[PATH_MAX])
{
    const char *root = w->work->o->mixture->sources[rec->source].image_root;
    return root ? root : file_folder(folder, rec->file);
}

static Status number_pictures(Worker *w, const Record *rec)
{
    char folder[PATH_MAX];
    const char *root = root_of(w, rec, folder);
    if (rec->n_images > w->refs_capacity) {
        ScanRef *more = mem_grow(w->refs, (size_t)rec->n_images * sizeof *more);
        if (!more)
            return fail(ERR_NOMEM, "no memory for the %d pictures of a row", rec->n_images);
        w->refs = more;
        w->refs_capacity = rec->n_images;
    }
    for (int i = 0; i < rec->n_images; i++) {
        const char *path = rec->images[i].path;
        bool is_new;
        XXH128_hash_t key = XXH3_128bits_withSeed(path, strlen(path), XXH3_64bits(root, strlen(root)));
        w->refs[i] = (ScanRef){.role = (uint16_t)rec->images[i].role};
        TRY(numbers_of(&w->pictures, &key, &w->refs[i].picture, &is_new));
        if (is_new && is_mine(w, w->refs[i].picture))
            TRY(check_picture(w, w->refs[i].picture, root, path));
    }
    return OK;
}

/* Pictures of rounds that the encoder cut are not kept. A mask belongs to the target of the same number. */
static void choose_refs(Worker *w, const Record *rec, ScanRow *row)
{
    int targets = 0, met[N_ROLES] = {0};
    for (int i = 0; i < rec->n_images; i++)
        targets += rec->images[i].role == ROLE_TARGET;
    const int kept[N_ROLES] = {[ROLE_INPUT] = w->sample.n_images, [ROLE_TARGET] = w->sample.n_runs,
                               [ROLE_MASK] = w->sample.n_runs < targets ? w->sample.n_runs : rec->n_images};
    for (int i = 0; i < rec->n_images; i++) {
        ImageRole role = rec->images[i].role;
        if (met[role]++ >= kept[role])
            continue;
        w->refs[i].kept = 1;
        row->n_refs++;
        row->flags |= (uint8_t)(role == ROLE_INPUT ? FLAG_HAS_INPUT : role == ROLE_TARGET ? FLAG_HAS_TARGET : 0);
    }
}

/* ---------------------------------------------------------------- rows */

static bool lacks_tower(const PrepareOptions *o, const Record *rec)
{
    for (int i = 0; i < rec->n_images && !o->vision_folder; i++)
        if (rec->images[i].role == ROLE_INPUT)
            return true;
    return false;
}

/* Whether a row with target images has what their losses need. */
static Reject check_targets(const Worker *w, const Record *rec, char message[256])
{
    const bool *prompts = w->work->o->prompts;
    int targets = 0;
    for (int i = 0; i < rec->n_images; i++)
        targets += rec->images[i].role == ROLE_TARGET;
    if (rec->task != TASK_UNDERSTAND && !targets) {
        snprintf(message, 256, "task %s, and no picture to draw (an image of role target, <gen> in an answer)%s", TASK_NAMES[rec->task],
                 rec->task == TASK_GENERATE && rec->n_images == 1
                     ? "; a source whose answers describe their pictures has \"format\": \"llava-reversed\" and no task"
                     : "");
        return REJECT_MARKERS;
    }
    if (!w->sample.n_runs)
        return REJECT_NONE;
    if (rec->task == TASK_EDIT && !w->sample.n_images) {
        snprintf(message, 256, "task edit, and no input image: there is nothing to edit (an image of role input, <image> in a human turn)");
        return REJECT_MARKERS;
    }
    if (rec->task == TASK_GENERATE && prompts[TASK_GENERATE] && !(rec->sd_prompt && record_has_prompts(rec, w->sample.n_runs))) {
        snprintf(message, 256, "task generate without \"sd\": {\"prompt\": text}: loss.generate compares with what the text encoder makes "
                               "of it (\"noise\" needs none)");
        return REJECT_NO_PROMPT;
    }
    if (rec->task == TASK_EDIT && prompts[TASK_EDIT] && !record_has_prompts(rec, w->sample.n_runs)) {
        snprintf(message, 256, "task edit, and no words in \"sd\": {\"prompt\": text}, \"instruction\" there or the question: loss.edit "
                               "compares with what the text encoder makes of the first of them (\"noise\" needs none)");
        return REJECT_NO_PROMPT;
    }
    return REJECT_NONE;
}

static void describe(Worker *w, const Record *rec, ScanRow *row)
{
    uint8_t digest[32];
    sha256_of(rec->uid, strlen(rec->uid), digest);
    memcpy(row->uid, digest, sizeof row->uid);
    memcpy(&row->index.uid, digest, sizeof row->index.uid);
    row->n_tokens = (uint32_t)w->sample.n;
    row->n_trained = (uint32_t)w->sample.n_trained;
    row->n_cut = w->sample.n_cut < UINT32_MAX ? (uint32_t)w->sample.n_cut : UINT32_MAX;
    row->n_whole = w->sample.whole < UINT32_MAX ? (uint32_t)w->sample.whole : UINT32_MAX;
    row->index.expanded = (uint32_t)w->sample.expanded;
    row->index.source = (uint16_t)rec->source;
    row->index.images = (uint16_t)w->sample.n_images;
    row->index.targets = (uint16_t)w->sample.n_runs;
    row->index.weight = rec->weight;
    row->index.task = (uint8_t)rec->task;
    index_count_labels(&row->index, w->sample.id, w->sample.mask, w->sample.n, encoder_visual_id(&w->work->o->encoder, 0));
    choose_refs(w, rec, row);
}

/* Names of the row's pictures that were found under another ending, [rec->n_images], else NULL; and the row with them. */
static Status take_found_names(Record *found, char **names, RecordImage *images, const Record *rec, const char *root)
{
    char other[PATH_MAX];
    *found = *rec;
    found->images = images;
    for (int i = 0; i < rec->n_images; i++) {
        images[i] = rec->images[i];
        if (!picture_renamed(root, rec->images[i].path, other))
            continue;
        names[i] = mem_strdup(other);
        images[i].path = names[i];
        if (!names[i])
            return fail(ERR_NOMEM, "no memory for the name of a picture");
    }
    return OK;
}

static Status write_unified(Worker *w, const Record *rec, const char *root)
{
    Record found;
    const char *source = rec->origin ? rec->origin : w->work->o->mixture->sources[rec->source].name;
    char **names = mem_alloc((size_t)rec->n_images * sizeof *names);
    RecordImage *images = mem_alloc((size_t)rec->n_images * sizeof *images);
    Status s = rec->n_images && (!names || !images) ? fail(ERR_NOMEM, "no memory for the %d pictures of a row", rec->n_images)
                                                    : take_found_names(&found, names, images, rec, root);
    if (!s)
        unified_write(w->line, &found, source, root);
    for (int i = 0; names && i < rec->n_images; i++)
        mem_free(names[i]);
    mem_free(names);
    mem_free(images);
    return s;
}

static Status write_line(Worker *w, const Record *rec)
{
    char folder[PATH_MAX];
    if (w->line)
        rewind(w->line);
    else
        w->line = open_memstream(&w->line_text, &w->line_n);
    if (w->line)
        TRY(write_unified(w, rec, root_of(w, rec, folder)));
    return w->line && !fflush(w->line) && !ferror(w->line) ? OK : fail(ERR_NOMEM, "no memory for the text of a row");
}

/* The text that is kept of a row. */
static Status choose_text(Worker *w, const Record *rec, const ScanRow *row, const char **text, size_t *n)
{
    *text = rec->json;
    *n = row->reject || w->work->keep == SCAN_ROWS ? 0 : rec->json_length;
    if (row->reject || w->work->keep != SCAN_LINES)
        return OK;
    TRY(write_line(w, rec));
    *text = w->line_text;
    *n = w->line_n;
    return OK;
}

static Status write_row(Worker *w, const Record *rec, ScanRow *row, const char *message)
{
    const size_t words = strlen(rec->id) + strlen(rec->reject_path) + strlen(message) + 3;
    const char *text;
    size_t n_text;
    TRY(choose_text(w, rec, row, &text, &n_text));
    row->n_words = (uint32_t)words;
    row->n_tokens = !row->reject && w->work->keep == SCAN_SHARDS ? row->n_tokens : 0;
    row->n_text = (uint32_t)n_text;
    row->at = place(w);
    TRY(put(w, w->refs, row->n_pictures * sizeof *w->refs));
    TRY(put(w, w->sample.id, row->n_tokens * sizeof *w->sample.id));
    TRY(put(w, w->sample.mask, row->n_tokens));
    TRY(put_string(w, rec->id));
    TRY(put_string(w, rec->reject_path));
    TRY(put_string(w, message));
    TRY(put(w, text, n_text));
    TRY(write_when_full(w));
    return file_write_at(w->work->files->rows, "the scan", row, sizeof *row, rec->number * (int64_t)sizeof *row);
}

/* By one worker: each reads all rows. */
static void tell_notes(Worker *w, const Record *rec)
{
    enum { TOLD = 3 };
    if (rec->note && w->number == 0 && w->notes++ < TOLD)
        log_warn("%s: row %" PRId64 ": %s", rec->file, rec->row, rec->note);
    if (rec->slip && w->number == 0 && w->slips++ < TOLD)
        log_warn("%s: row %" PRId64 " has the key \"%.60s\", which nothing reads; did you mean \"%s\"?", rec->file, rec->row, rec->slip,
                 rec->meant);
}

/* A row that is left out may be so for the key that it spells otherwise. */
static void add_slip(char message[256], const Record *rec, Reject why)
{
    const size_t n = strlen(message);
    if (why && !reject_is_choice(why) && rec->slip)
        status_text(message + n, 256 - n, "; it has the key \"%.60s\", did you mean \"%s\"?", rec->slip, rec->meant);
}

static Status take_row(Worker *w, const Record *rec)
{
    const PrepareOptions *o = w->work->o;
    ScanRow row;
    char message[256];
    Reject why = rec->reject;
    memset(&row, 0, sizeof row);
    tell_notes(w, rec);
    snprintf(message, sizeof message, "%s", rec->message);
    if (rec->number >= UINT32_MAX)
        return fail(ERR_DATA, "more than %u rows in one mixture", UINT32_MAX);
    if (!why && lacks_tower(o, rec)) {
        why = REJECT_EXCLUDED;
        snprintf(message, sizeof message, "shows an image, but the run has no vision tower (model.vision.path)");
    }
    if (!why) {
        TRY(number_pictures(w, rec));
        row.n_pictures = (uint32_t)rec->n_images;
    }
    if (!is_mine(w, rec->number))
        return OK;
    if (!why)
        TRY(encode_record(&w->sample, &o->encoder, w->work->tok, rec, &why, message));
    if (!why && rec->n_images > UINT16_MAX) {
        why = REJECT_TOO_LONG;
        snprintf(message, sizeof message, "%d images, and a row may have %d", rec->n_images, UINT16_MAX);
    }
    if (!why)
        why = check_targets(w, rec, message);
    if (!why)
        describe(w, rec, &row);
    add_slip(message, rec, why);
    row.index.record = (uint32_t)rec->number;
    row.row = rec->row;
    row.file = (uint32_t)rec->file_index;
    row.ends_file = rec->ends_file;
    row.index.source = (uint16_t)rec->source;
    row.index.task = (uint8_t)rec->task;
    row.reject = (uint8_t)why;
    return write_row(w, rec, &row, message);
}

static Status read_mixture(Worker *w, RecordReader *reader)
{
    Seen *seen = &w->work->seen[w->number];
    for (const Record *rec;;) {
        TRY(records_next(reader, &rec));
        if (!rec)
            return write_out(w);
        TRY(take_row(w, rec));
        seen->rows++;
        seen->pictures = (uint32_t)w->pictures.n;
        seen->text = XXH3_64bits_withSeed(rec->json, rec->json_length, seen->text);
    }
}

static Status work_on_scan(void *scan_work, int number)
{
    Worker w = {.work = scan_work, .number = number};
    RecordReader *reader;
    TRY(records_open(&reader, w.work->o->mixture));
    Status s = read_mixture(&w, reader);
    records_close(&reader);
    table_free(&w.pictures);
    mem_free(w.out);
    mem_free(w.refs);
    encoded_free(&w.sample);
    picture_buffer_free(&w.buffer);
    if (w.line)
        fclose(w.line);
    mem_free(w.line_text);
    return s;
}

/* ---------------------------------------------------------------- the whole */

static void say_rows(const void *scan_work)
{
    const ScanWork *work = scan_work;
    log_progress("reading the mixture: %lld rows", (long long)work->seen[0].rows);
}

static Status run_workers(ScanWork *work, ScanFiles *files, int64_t *rows)
{
    const int jobs = files->totals.jobs;
    work->seen = mmap(NULL, (size_t)jobs * sizeof *work->seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (work->seen == MAP_FAILED)
        return fail(ERR_NOMEM, "no memory to start reading the mixture");
    Status s = jobs_run(jobs, work_on_scan, say_rows, work);
    for (int i = 1; i < jobs && !s; i++)
        if (memcmp(&work->seen[i], &work->seen[0], sizeof *work->seen))
            s = fail(ERR_DATA, "the files of the mixture changed while they were read; run prepare again");
    *rows = work->seen[0].rows;
    files->totals.pictures = work->seen[0].pictures;
    munmap(work->seen, (size_t)jobs * sizeof *work->seen);
    return s;
}

/* Once, before the processes read it too. */
static Status tell_exclusion(const Mixture *m)
{
    Exclude list;
    if (!m->exclude_file)
        return OK;
    TRY(exclude_load(&list, m->exclude_file));
    exclude_tell(&list, m->exclude_file);
    exclude_free(&list);
    return OK;
}

Status scan_run(ScanFiles *out, const PrepareOptions *o, const char *folder, ScanKeep keep)
{
    Tokenizer *tok;
    int64_t rows = 0;
    TRY(tell_exclusion(o->mixture));
    TRY(scan_create(out, folder, jobs_wanted(o), keep != SCAN_SHARDS));
    Status s = tokenizer_open(&tok, o->tokenizer_path);
    if (!s)
        s = encoder_check(&o->encoder, tok, o->tokenizer_path);
    ScanWork work = {.o = o, .tok = tok, .files = out, .keep = keep};
    if (!s)
        s = run_workers(&work, out, &rows);
    tokenizer_close(&tok);
    if (!s)
        s = scan_merge(out, o, rows);
    if (s)
        scan_close(out);
    return s;
}
