/* run_features.c: evaluate features: what a network makes of a folder of pictures, of texts, or of the pictures and texts of records
 * (commands.h). Called by evaluate. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "data/curate/record_line.h"
#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/formats/rows.h"
#include "eval/features/commands.h"
#include "eval/features/feature_file.h"
#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"

static const char *model, *images, *texts, *records, *out, *prefix;
static int device = DEVICE_AUTO;
static bool openai_crop;
static const CliOption OPTIONS[] = {
    {"--model", CLI_STRING, &model, "DIR", "the network: a folder of transformers' CLIPModel or ViTModel (DINO), or a file "
                                            "of FID's Inception-v3", 0, 0, NULL, false},
    {"--out", CLI_STRING, &out, "FILE.h5", "/feat [n, d] in f32 and /name; of records /uid, /image0, /image1, /text0, /text1", 0, 0, NULL,
     false},
    {"--images", CLI_STRING, &images, "DIR", "its JPEG, PNG and WebP pictures, sorted by name and named without their ending (a BMP, "
                                             "PNM or TIFF is refused by name); with --records the folder that their paths begin in (else "
                                             "that of the file)",
     0, 0, NULL, false},
    {"--texts", CLI_STRING, &texts, "FILE.jsonl", "{\"id\", \"text\"} a line; an id is the name of the picture that it is of",
     0, 0, NULL, false},
    {"--prefix", CLI_STRING, &prefix, "TEXT", "stands before each text; CLIPScore has \"A photo depicts \"", 0, 0, NULL, false},
    {"--records", CLI_STRING, &records, "FILE.jsonl", "unified records, for curate filter --features", 0, 0, NULL, false},
    {"--openai-crop", CLI_FLAG, &openai_crop, NULL, "begin CLIP's crop where OpenAI's code rounds to, as MagicBrush's scores do, not where "
                                                    "transformers does", 0, 0, NULL, false},
    {"--device", CLI_CHOICE, &device, "auto|cpu|cuda", "where to compute", 0, 0, PICTURE_NET_DEVICES, false},
    {0}};

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
    return list_add_text(&j->columns[0].sources, file_join(path, images, name));
}

static Status list_folder(Job *j)
{
    add_column(j, "/feat", false);
    j->names_as = "/name";
    TRY(file_list(images, visit_file, j));
    return j->names.n ? OK : fail(ERR_MISSING, "%s: holds no picture (bmp, jpg, jpeg, pgm, png, ppm, tif, tiff, webp)", images);
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
    TRY(each_row(j, texts, visit_text));
    return j->names.n ? OK : fail(ERR_DATA, "%s: holds no text", file_name(texts));
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
    const char *arrays[COLUMNS_MOST + 1] = {NULL};
    const PictureNetOptions options = {.device = (DeviceChoice)device, .crops_as_openai = openai_crop};
    TRY(picture_net_open(&j->net, model, &options));
    const size_t bytes = (size_t)(BLOCK * picture_net_info(j->net)->width) * sizeof(float);
    j->features = mem_alloc(bytes);
    j->found = mem_alloc(bytes);
    if (!j->features || !j->found)
        return fail(ERR_NOMEM, "no memory for %d features", BLOCK);
    for (int c = 0; c < j->n_columns; c++) {
        arrays[c] = j->columns[c].array;
        if (j->columns[c].of_texts && !picture_net_info(j->net)->reads_texts)
            return fail(ERR_USAGE, "%s: this network (%s) reads no texts; --texts and --records need CLIP", model,
                        picture_net_info(j->net)->kind);
    }
    FeatureMaker maker;
    const FeatureRows rows = {.names_as = j->names_as, .names = (const char *const *)j->names.items, .n = j->names.n};
    TRY(feature_maker(&maker, j->net));
    TRY(feature_file_create(&j->file, out, &maker, &rows, arrays));
    return feature_file_close(&j->file, compute(j));
}

static Status tell(const Job *j)
{
    const PictureNetInfo *info = picture_net_info(j->net);
    if (!log_is_json()) {
        fprintf(stdout, "%s: %" PRId64 " rows of %" PRId64 " features of %s\n", out, j->names.n, info->width, info->kind);
        return OK;
    }
    cJSON *o = cJSON_CreateObject();
    json_add_text(o, "features", out);
    json_add_text(o, "model", info->kind);
    json_add_int(o, "n", j->names.n);
    json_add_int(o, "dim", info->width);
    json_add_int(o, "truncated", j->truncated);
    json_add_int(o, "passed_over", j->passed_over);
    return json_print(stdout, &o, JSON_LINE, "evaluate");
}

static Status check_flags(void)
{
    if (!model || !out)
        return fail(ERR_USAGE, "evaluate features: %s", model ? "--out FILE.h5 is needed: where the features go"
                                                              : "--model DIR is needed: the folder of the network");
    if (!images && !texts && !records)
        return fail(ERR_USAGE, "evaluate features: --images DIR, --texts FILE.jsonl or --records FILE.jsonl is needed: what has features");
    if (texts && (images || records))
        return fail(ERR_USAGE, "evaluate features: --texts makes a file of its own, without --%s", images ? "images" : "records");
    if (prefix && !texts)
        return fail(ERR_USAGE, "evaluate features: --prefix stands before texts, expected --texts FILE.jsonl");
    return file_check_delivery(out);
}

Status features_command(int argc, char **argv)
{
    const CliProgram program = {.name = "evaluate",
                                .summary = "Writes what a network makes of pictures or texts into a file that evaluate fid, evaluate "
                                           "clip-score and curate filter read.",
                                .usage = "evaluate features --model DIR --images DIR --out FILE.h5\n"
                                         "       evaluate features --model DIR --texts FILE.jsonl --out FILE.h5\n"
                                         "       evaluate features --model DIR --records FILE.jsonl --out FILE.h5",
                                .options = OPTIONS};
    Job j = {.root = NULL};
    bool done;
    TRY(cli_parse(&program, argc, argv, &done));
    if (done)
        return OK;
    TRY(check_flags());
    Status s = records ? list_records(&j) : texts ? list_texts(&j) : list_folder(&j);
    if (!s)
        s = write_all(&j);
    if (!s)
        s = tell(&j);
    list_free(&j.names);
    for (int c = 0; c < j.n_columns; c++)
        list_free(&j.columns[c].sources);
    mem_free(j.features);
    mem_free(j.found);
    picture_net_close(&j.net);
    return s;
}
