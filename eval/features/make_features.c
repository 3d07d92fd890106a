/* make_features.c: runs a network over a folder of pictures, over texts, or over the pictures and texts of records (make_features.h). */
#include "eval/features/make_features.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "data/curate/record_line.h"
#include "data/formats/file.h"
#include "data/formats/rows.h"
#include "eval/features/feature_file.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

enum { BLOCK = 8 * PICTURE_NET_BATCH, COLUMNS_MOST = FEATURE_ARRAYS_MOST }; /* BLOCK: rows that are computed before they are written */

/* ---------------------------------------------------------------- what has features */

typedef struct List {
    char **items; /* NULL: there is none */
    int64_t n, capacity;
} List;

/* An array of the file, and what its rows are made of. */
typedef struct Column {
    const char *array;
    bool of_texts;
    List sources; /* paths or texts */
} Column;

typedef struct Job {
    const FeatureRequest *request;
    PictureNet *net;
    const char *root, *names_as; /* root: as picture_load takes it */
    List names;
    Column columns[COLUMNS_MOST];
    int n_columns;
    FeatureFile file;
    float *features, *found; /* [BLOCK, width] */
    int64_t truncated, passed_over;
} Job;

static Status list_add(List *l, const char *text, size_t n)
{
    if (l->n == l->capacity) {
        const int64_t capacity = l->capacity ? 2 * l->capacity : 1024;
        char **items = mem_grow(l->items, (size_t)capacity * sizeof *items);
        if (!items)
            return fail(ERR_NOMEM, "no memory for %" PRId64 " names", capacity);
        l->items = items;
        l->capacity = capacity;
    }
    char *copy = text ? mem_alloc(n + 1) : NULL;
    if (text && !copy)
        return fail(ERR_NOMEM, "no memory for %" PRId64 " names", l->n);
    if (text)
        memcpy(copy, text, n);
    l->items[l->n++] = copy;
    return OK;
}

static Status list_add_text(List *l, const char *text) { return list_add(l, text, text ? strlen(text) : 0); }

static void list_free(List *l)
{
    for (int64_t i = 0; i < l->n; i++)
        mem_free(l->items[i]);
    mem_free(l->items);
}

static void add_column(Job *j, const char *array, bool of_texts)
{
    j->columns[j->n_columns++] = (Column){.array = array, .of_texts = of_texts};
}

/* ---------------------------------------------------------------- a folder of pictures */

/* pytorch-fid's endings. */
static bool is_picture(const char *name)
{
    static const char *const ENDINGS[] = {"bmp", "jpg", "jpeg", "pgm", "png", "ppm", "tif", "tiff", "webp"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && dot != name && i < sizeof ENDINGS / sizeof *ENDINGS; i++)
        if (!strcasecmp(dot + 1, ENDINGS[i]))
            return true;
    return false;
}

static Status visit_file(void *arg, const char *name)
{
    Job *j = arg;
    char path[PATH_MAX];
    if (!is_picture(name))
        return OK;
    TRY(list_add(&j->names, name, (size_t)(strrchr(name, '.') - name)));
    return list_add_text(&j->columns[0].sources, file_join(path, j->request->images, name));
}

static Status list_folder(Job *j)
{
    add_column(j, "/feat", false);
    j->names_as = "/name";
    TRY(file_list(j->request->images, visit_file, j));
    return j->names.n ? OK : fail(ERR_MISSING, "%s: holds no picture (bmp, jpg, jpeg, pgm, png, ppm, tif, tiff, webp)", j->request->images);
}

/* ---------------------------------------------------------------- texts */

/* An id may be a number. */
static Status read_id(Job *j, const Json *id, const char *file, int line)
{
    char number[32];
    if (id && id->kind == JSON_STRING)
        return list_add_text(&j->names, id->string);
    if (!id || id->kind != JSON_INT)
        return fail(ERR_DATA, "%s:%d: id is %s, expected a string or an integer", file, line, id ? json_kind_name(id->kind) : "missing");
    snprintf(number, sizeof number, "%" PRId64, id->integer);
    return list_add_text(&j->names, number);
}

static Status read_text(Job *j, const Json *root, const char *file, int line)
{
    const Json *text = json_get(root, "text");
    if (root->kind != JSON_OBJECT)
        return fail(ERR_DATA, "%s:%d: is %s, expected an object {\"id\", \"text\"}", file, line, json_kind_name(root->kind));
    if (!text || text->kind != JSON_STRING)
        return fail(ERR_DATA, "%s:%d: text is %s, expected a string", file, line, text ? json_kind_name(text->kind) : "missing");
    TRY(read_id(j, json_get(root, "id"), file, line));
    const char *prefix = j->request->prefix;
    const size_t room = (prefix ? strlen(prefix) : 0) + strlen(text->string) + 1;
    char *whole = mem_alloc(room);
    if (!whole)
        return fail(ERR_NOMEM, "%s:%d: no memory for its text", file, line);
    snprintf(whole, room, "%s%s", prefix ? prefix : "", text->string);
    Status s = list_add_text(&j->columns[0].sources, whole);
    mem_free(whole);
    return s;
}

static Status visit_text(Job *j, const Row *row, const char *file)
{
    JsonDoc *doc;
    TRY(json_parse_at(&doc, row->text, row->n, file, row->line, row->column));
    Status s = read_text(j, json_root(doc), file, row->line);
    json_free(&doc);
    return s;
}

typedef Status (*VisitRow)(Job *j, const Row *row, const char *file);
static Status each_row(Job *j, const char *path, VisitRow visit)
{
    Rows *rows;
    Row row;
    bool end = false;
    TRY(rows_open(&rows, path, ROWS_LINES));
    Status s = OK;
    while (!s && !(s = rows_next(rows, &row, &end)) && !end)
        s = row.error ? fail(ERR_DATA, "%s:%s", file_name(path), row.error) : visit(j, &row, file_name(path));
    rows_close(&rows);
    return s;
}

static Status list_texts(Job *j)
{
    add_column(j, "/feat", true);
    j->names_as = "/name";
    TRY(each_row(j, j->request->texts, visit_text));
    return j->names.n ? OK : fail(ERR_DATA, "%s: holds no text", file_name(j->request->texts));
}

/* ---------------------------------------------------------------- records */

static RecordLine record_line;

static const char *first_image(const Record *rec, ImageRole role)
{
    for (int i = 0; i < rec->n_images; i++)
        if (rec->images[i].role == role)
            return rec->images[i].path;
    return NULL;
}

/* The pictures and texts that `curate filter` compares (data/curate/features.h); a record that lacks one has no row. */
static Status visit_record(Job *j, const Row *row, const char *file)
{
    const Record *rec = &record_line.record;
    char *prompt = NULL;
    TRY(record_line_read(&record_line, row, file));
    const bool edits = rec->task == TASK_EDIT;
    const char *source = edits ? first_image(rec, ROLE_INPUT) : NULL, *target = first_image(rec, ROLE_TARGET);
    const char *before = edits ? rec->sd_src_prompt : NULL;
    if (rec->task == TASK_GENERATE && !rec->sd_prompt && target)
        TRY_IN(record_prompt(rec, 0, &prompt), "%s:%d", file, row->line);
    const char *after = prompt ? prompt : rec->sd_prompt;
    if ((rec->task != TASK_GENERATE && !edits) || !target || !after || (edits && (!source || !before))) {
        j->passed_over++;
        mem_free(prompt);
        return OK;
    }
    const char *sources[] = {source, target, before, after};
    Status s = list_add_text(&j->names, rec->uid);
    for (int i = 0; i < 4 && !s; i++)
        s = list_add_text(&j->columns[i].sources, sources[i]);
    mem_free(prompt);
    return s;
}

static Status list_records(Job *j)
{
    static char folder[PATH_MAX];
    add_column(j, "/image0", false);
    add_column(j, "/image1", false);
    add_column(j, "/text0", true);
    add_column(j, "/text1", true);
    j->names_as = "/uid";
    const char *records = j->request->records, *images = j->request->images;
    j->root = images ? images : file_folder(folder, records);
    Status s = each_row(j, records, visit_record);
    record_line_free(&record_line);
    if (!s && j->passed_over)
        log_warn("%s: %" PRId64 " records have no features: they are no drawings or edits, or lack a picture, sd.prompt or, of edits, "
                 "sd.src_prompt", file_name(records), j->passed_over);
    if (!s && !j->names.n)
        s = fail(ERR_DATA, "%s: holds no record that could have features", file_name(records));
    return s;
}

/* ---------------------------------------------------------------- computing */

/* Features of rows at … at+n-1 of a column, zeros where there is nothing. */
static Status compute_block(Job *j, const Column *c, int64_t at, int64_t n)
{
    const int64_t width = picture_net_info(j->net)->width;
    const char *wanted[BLOCK];
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        if (c->sources.items[at + i])
            wanted[count++] = c->sources.items[at + i];
    TRY(c->of_texts ? picture_net_texts(j->net, wanted, count, j->found, &j->truncated)
                    : picture_net_pictures(j->net, j->root, wanted, count, j->found));
    memset(j->features, 0, (size_t)(n * width) * sizeof *j->features);
    for (int64_t i = 0, k = 0; i < n; i++)
        if (c->sources.items[at + i])
            memcpy(j->features + i * width, j->found + k++ * width, (size_t)width * sizeof *j->features);
    return OK;
}

static Status compute(Job *j)
{
    for (int c = 0; c < j->n_columns; c++)
        for (int64_t at = 0, n; at < j->names.n; at += n) {
            n = j->names.n - at < BLOCK ? j->names.n - at : BLOCK;
            TRY(compute_block(j, &j->columns[c], at, n));
            TRY(feature_file_write(&j->file, c, at, n, j->features));
            log_progress("%s: %" PRId64 " of %" PRId64, j->columns[c].array + 1, at + n, j->names.n);
        }
    log_progress_end();
    if (j->truncated)
        log_warn("%" PRId64 " texts have more tokens than the network takes and were cut", j->truncated);
    return OK;
}

static Status write_all(Job *j)
{
    const FeatureRequest *r = j->request;
    const char *arrays[COLUMNS_MOST + 1] = {NULL};
    const PictureNetOptions options = {.device = r->device, .crops_as_openai = r->openai_crop};
    TRY(picture_net_open(&j->net, r->model, &options));
    const size_t bytes = (size_t)(BLOCK * picture_net_info(j->net)->width) * sizeof(float);
    j->features = mem_alloc(bytes);
    j->found = mem_alloc(bytes);
    if (!j->features || !j->found)
        return fail(ERR_NOMEM, "no memory for %d features", BLOCK);
    for (int c = 0; c < j->n_columns; c++) {
        arrays[c] = j->columns[c].array;
        if (j->columns[c].of_texts && !picture_net_info(j->net)->reads_texts)
            return fail(ERR_USAGE, "%s: this network (%s) reads no texts; --texts and --records need CLIP", r->model,
                        picture_net_info(j->net)->kind);
    }
    FeatureMaker maker;
    const FeatureRows rows = {.names_as = j->names_as, .names = (const char *const *)j->names.items, .n = j->names.n};
    TRY(feature_maker(&maker, j->net));
    TRY(feature_file_create(&j->file, r->out, &maker, &rows, arrays));
    return feature_file_close(&j->file, compute(j));
}

Status features_make(const FeatureRequest *r, FeaturesMade *made)
{
    Job j = {.request = r};
    Status s = r->records ? list_records(&j) : r->texts ? list_texts(&j) : list_folder(&j);
    if (!s)
        s = write_all(&j);
    if (!s)
        *made = (FeaturesMade){.model = picture_net_info(j.net)->kind, .n = j.names.n, .width = picture_net_info(j.net)->width,
                               .truncated = j.truncated, .passed_over = j.passed_over};
    list_free(&j.names);
    for (int c = 0; c < j.n_columns; c++)
        list_free(&j.columns[c].sources);
    mem_free(j.features);
    mem_free(j.found);
    picture_net_close(&j.net);
    return s;
}
