/* inspect_file.c: files that are no weights and no shards: pictures, JSON, vocabularies (inspect.h). Called by inspect. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "data/formats/file.h"
#include "data/formats/rows.h"
#include "data/formats/sha256.h"
#include "data/pictures/image.h"
#include "data/text/tokenizer.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"
#include "tools/inspect/inspect.h"

enum { PICTURE_BYTES = 1 << 30, DOCUMENT_BYTES = 16 << 20 };

static void put_path(const InspectOptions *o)
{
    utf8_cell(o->out, o->path, 0);
    fputs(": ", o->out);
}

/* ---------------------------------------------------------------- pictures */

Status inspect_picture(const InspectOptions *o)
{
    char *bytes;
    size_t n;
    ImageHeader h;
    Image image = {0};
    Reject reject;
    TRY(file_read(&bytes, &n, o->path, PICTURE_BYTES));
    Status s = image_header(&h, (const uint8_t *)bytes, n, IMAGE_MAX_PIXELS, &reject);
    if (!s)
        s = image_decode(&image, (const uint8_t *)bytes, n, IMAGE_MAX_PIXELS, &reject);
    mem_free(bytes);
    TRY_IN(s, "%s", o->path);
    if (o->json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "kind", "picture");
        cJSON_AddStringToObject(j, "format", image_format_name(h.format));
        json_add_int(j, "width", image.width);
        json_add_int(j, "height", image.height);
        json_add_int(j, "orientation", h.orientation);
        s = json_print(o->out, &j, JSON_PRETTY, o->path);
    } else {
        put_path(o);
        fprintf(o->out, "a %s picture of %d x %d pixels", image_format_name(h.format), image.width, image.height);
        fprintf(o->out, h.orientation > 1 ? ", EXIF orientation %d\n" : "\n", h.orientation);
        if (o->show)
            s = inspect_show(o->out, &image);
    }
    image_free(&image);
    return s;
}

/* ---------------------------------------------------------------- vocabularies */

Status inspect_vocabulary(const InspectOptions *o)
{
    Tokenizer *t;
    char sha[65];
    TRY(tokenizer_open(&t, o->path));
    const TokenizerInfo *info = tokenizer_info(t);
    sha256_hex(info->sha256, sha);
    Status s = OK;
    if (o->json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "kind", "vocabulary");
        json_add_int(j, "pieces", info->n_pieces);
        json_add_int(j, "bos", info->bos);
        json_add_int(j, "eos", info->eos);
        json_add_int(j, "unk", info->unk);
        cJSON_AddStringToObject(j, "sha256", sha);
        s = json_print(o->out, &j, JSON_PRETTY, o->path);
    } else {
        put_path(o);
        fprintf(o->out, "a SentencePiece vocabulary (BPE with byte fallback) of %d pieces: begin %d, end %d, unknown %d; SHA-256 %s\n",
                info->n_pieces, info->bos, info->eos, info->unk, sha);
    }
    tokenizer_close(&t);
    return s;
}

/* ---------------------------------------------------------------- JSON */

/* By a key that it has, or two with a blank between them, the first that fits; and what reads such a file. */
typedef struct FileKind {
    const char *key, *what;
} FileKind;

#define COCO "COCO annotations (a source with \"format\": \"captions\" takes those that have captions)"
static const FileKind DOCUMENTS[] = {
    {"manifest_xxh3", "the manifest of a checkpoint (inspect its folder)"},
    {"bases", "the state of a checkpoint (inspect its folder)"},
    {"compiler", "what a run was made with"},
    {"peft_type", "settings of a PEFT adapter (model.lora.init takes its folder)"},
    {"model_type", "settings of a model (model.llm.path and model.vision.path take its folder)"},
    {"weight_map", "the list of the files that a model's weights lie in"},
    {"image_mean", "settings of a vision tower's pictures"},
    {"_class_name", "settings of a part of a diffusers model"},
    {"chat_template", "settings of a tokenizer"},
    {"tokenizer_class", "settings of a tokenizer"},
    {"added_tokens", "a tokenizer of the library tokenizers (runs read tokenizer.model)"},
    {"eos_token_id", "settings of generating"},
    {"bad_rows", "a report of prepare"},
    {"sources", "a mixture (data.mixture takes it)"},
    {"annotations", COCO},
    {"understand", "templates of requests (\"requests\" of a source takes them)"},
    {"edit output", "texts of InstructPix2Pix (a source with \"format\": \"instructpix2pix\" takes the folder above as its root)"},
    {"template_sha256", "the recipe of a folder of requests (curate ingest takes the folder)"},
    {"user", "a recipe (curate request --recipe takes it)"},
    {"encoder_layers", "the sizes of a generation head (it belongs to the gen_head.safetensors beside it)"},
    {"models", "scores that others have published (evaluate --suite knows them)"},
    {"properties", "a JSON Schema, by which editors check other files"},
    {"model", "settings of a run (train --config takes them)"},
    {"data", "settings of a run (train --config takes them)"},
};

static const FileKind ROWS[] = {
    {"conversations", "LLaVA records (a source of data.mixture, or generate --batch, takes them)"},
    {"turns", "unified records (a source of data.mixture, or generate --batch, takes them)"},
    {"messages", "conversations in \"messages\" (a source of data.mixture, or generate --batch, takes them)"},
    {"answer", "answers (evaluate takes them)"},
    {"question_id", "LLaVA's questions (generate --batch takes them)"},
    {"ask", "questions (generate --batch, or sample.prompts, takes them)"},
    {"draw", "questions (generate --batch, or sample.prompts, takes them)"},
    {"edit", "questions (generate --batch, or sample.prompts, takes them)"},
    {"method", "requests for a batch service (curate request made them)"},
    {"response", "replies of a batch service (curate ingest takes them)"},
    {"src_prompt", "what the requests beside it are of (curate ingest takes the folder)"},
    {"loss", "the log of a run"},
    {"bad_row", "the manifest of a folder of shards"},
    {"shard", "the manifest of a folder of shards"},
    {"difference", "what --resume --change has changed in a run"},
    {"files", "a mixture (data.mixture takes it)"},
    {"clip_sim_dir", "scores of InstructPix2Pix (a source with \"format\": \"instructpix2pix\" takes the folder above as its root)"},
    {"uid image", "records without conversations (curate request --records takes them)"},
    {"message_id caption", "captions of LAION (a source with \"format\": \"laion-gpt4v\" takes them)"},
    {"caption", "captions (a source with \"format\": \"captions\" takes them with \"file\" beside each)"},
};
#define KIND_OF(object, kinds) kind_of(object, kinds, sizeof(kinds) / sizeof *(kinds))

enum { KEY_BYTES = 64 };

/* The first of a row's keys, into a buffer; the second is returned, or NULL. */
static const char *split_key(char first[KEY_BYTES], const char *key)
{
    const size_t n = strcspn(key, " ");
    snprintf(first, KEY_BYTES, "%.*s", (int)n, key);
    return key[n] ? key + n + 1 : NULL;
}

static const char *kind_of(const Json *object, const FileKind *kinds, size_t n)
{
    char first[KEY_BYTES];
    for (const FileKind *k = kinds; k < kinds + n; k++) {
        const char *second = split_key(first, k->key);
        if (json_get(object, first) && (!second || json_get(object, second)))
            return k->what;
    }
    return NULL;
}

/* An object of pictures and the edits of each, MagicBrush's list of a split. */
static bool is_sessions(const Json *object)
{
    const Json *edits = object->child, *first = edits && edits->kind == JSON_ARRAY ? edits->child : NULL;
    return json_get(first, "output") && json_get(first, "instruction");
}

static const char *kind_of_document(const Json *object)
{
    const Json *data = json_get(object, "data");
    if (data && data->kind == JSON_ARRAY)
        return "an object with a list inside, which is no file of rows (jq .data FILE makes one of it)";
    const char *what = KIND_OF(object, DOCUMENTS);
    if (!what && is_sessions(object))
        what = "edits of MagicBrush (a source with \"format\": \"magicbrush\" takes the folder as its root)";
    return what;
}

static const char *kind_of_row(const Json *row)
{
    const char *what = row->kind == JSON_OBJECT ? KIND_OF(row, ROWS) : "values that are no objects";
    return what ? what : "objects that nothing here reads";
}

static Status say_json(const InspectOptions *o, const char *what, int64_t rows, int64_t damaged)
{
    if (o->json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "kind", "JSON");
        cJSON_AddStringToObject(j, "what", what);
        if (rows >= 0) {
            json_add_int(j, "rows", rows);
            json_add_int(j, "damaged", damaged);
        }
        return json_print(o->out, &j, JSON_PRETTY, o->path);
    }
    put_path(o);
    if (rows < 0)
        fprintf(o->out, "JSON: %s\n", what);
    else
        fprintf(o->out, "%lld row%s of JSON%s: %s\n", (long long)rows, status_plural(rows), damaged ? ", some of them damaged" : "", what);
    return OK;
}

/* Whether a file that is no rows is one object with COCO's lists, of any size. */
static bool is_large_coco(const char *path)
{
    Rows *in;
    Row row = {.key = NULL};
    bool end = false, found = false;
    if (rows_open(&in, path, ROWS_MEMBERS))
        return false;
    while (!found && !rows_next(in, &row, &end) && !end && !row.error)
        found = row.key && !strcmp(row.key, "annotations");
    rows_close(&in);
    return found;
}

/* Elements of an array, or lines; what the first whole one is tells of all. */
static Status inspect_rows(const InspectOptions *o)
{
    Rows *in;
    Row row;
    bool end = false;
    int64_t rows = 0, damaged = 0;
    const char *what = NULL;
    char first[512] = ""; /* what is wrong with the first damaged one */
    TRY(rows_open(&in, o->path, ROWS_LINES_OR_ARRAY));
    Status s = OK;
    for (; !(s = rows_next(in, &row, &end)) && !end; rows++) {
        JsonDoc *doc = NULL;
        Status read = row.error ? fail(ERR_DATA, "%s:%s", o->path, row.error)
                      : what    ? OK
                                : json_parse_at(&doc, row.text, row.n, o->path, row.line, row.column);
        if (read && !damaged++)
            snprintf(first, sizeof first, "%s", status_message());
        if (!read && !what)
            what = kind_of_row(json_root(doc));
        json_free(&doc);
    }
    rows_close(&in);
    TRY(s);
    if (damaged && !what && is_large_coco(o->path))
        return say_json(o, COCO, -1, 0);
    if (damaged && !what)
        return fail(ERR_DATA, "%s", first);
    return say_json(o, what ? what : "nothing in them", rows, damaged);
}

Status inspect_json(const InspectOptions *o)
{
    JsonDoc *doc;
    char *text;
    size_t n;
    if (file_read(&text, &n, o->path, DOCUMENT_BYTES))
        return inspect_rows(o);
    Status s = json_parse(&doc, text, n, o->path);
    const bool object = !s && json_root(doc)->kind == JSON_OBJECT;
    const char *what = object ? kind_of_document(json_root(doc)) : NULL, *row = object ? KIND_OF(json_root(doc), ROWS) : NULL;
    if (!object)
        s = inspect_rows(o);
    else if (!what && row)
        s = say_json(o, row, 1, 0);
    else
        s = say_json(o, what ? what : "an object that nothing here reads", -1, 0);
    json_free(&doc);
    mem_free(text);
    return s;
}

/* ---------------------------------------------------------------- other texts, folders of data */

static Status say_text(const InspectOptions *o, const char *kind, const char *what)
{
    if (o->json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "kind", kind);
        cJSON_AddStringToObject(j, "what", what);
        return json_print(o->out, &j, JSON_PRETTY, o->path);
    }
    put_path(o);
    fprintf(o->out, "%s: %s\n", kind, what);
    return OK;
}

Status inspect_lines(const InspectOptions *o)
{
    Rows *in;
    Row row;
    bool end;
    TRY(rows_open(&in, o->path, ROWS_RAW_LINES));
    Status s = rows_next(in, &row, &end);
    const bool report = !s && !end && row.n >= 9 && !strncasecmp(row.text, "<!doctype", 9) && utf8_ends(o->path, ".html");
    const bool tabs = !s && !end && memchr(row.text, '\t', row.n), page = !s && !end && row.n && *row.text == '<';
    rows_close(&in);
    TRY(s);
    return say_text(o, "text",
                    report ? "a page for a browser, as report writes it"
                    : utf8_ends(o->path, ".md") ? "Markdown, for people: a model card, say"
                    : page ? "HTML or XML, as a download that failed leaves it"
                    : tabs ? "fields between tabs (a source with \"format\": \"captions\" takes captions and files so, in a .tsv)"
                           : "lines that are no JSON (--exclude-image-ids takes lists of pictures)");
}

/* HDF5 of others is not opened here: the library may be led astray by it. */
Status inspect_features(const InspectOptions *o)
{
    static const char TAKEN[] = "numbers of pictures or texts, a row each (evaluate fid, kid and clip-score take them)";
    char what[512], start[256] = "";
    FILE *f = fopen(o->path, "re");
    if (!f)
        return fail(ERR_MISSING, "%s: %s", o->path, strerror(errno));
    const size_t n = fread(start, 1, sizeof start - 1, f);
    fclose(f);
    enum { NPY_HEAD = 10 };
    const char *shape = n > NPY_HEAD && *start == '\x93' ? strstr(start + NPY_HEAD, "'shape': (") : NULL;
    if (*start == 'P')
        snprintf(what, sizeof what, "arrays of numpy (evaluate fid takes \"mu\" and \"sigma\" of such a file)");
    else if (shape)
        snprintf(what, sizeof what, "an array of numpy, [%.*s]: %s", (int)strcspn(shape + 10, ")"), shape + 10, TAKEN);
    else if (*start == '\x93')
        snprintf(what, sizeof what, "an array of numpy: %s", TAKEN);
    else
        snprintf(what, sizeof what, "an HDF5 file that is no shard, without the seal of prepare; evaluate features writes such ones: %s",
                 TAKEN);
    return say_text(o, "features", what);
}

/* By a file in it. */
static const FileKind FOLDERS[] = {
#define MAGICBRUSH "MagicBrush (a source with \"format\": \"magicbrush\" takes it as its root)"
    {"edit_sessions.json", "a split of " MAGICBRUSH},
    {"train/edit_sessions.json", MAGICBRUSH},
    {"dev/edit_sessions.json", MAGICBRUSH},
    {"seeds.json", "InstructPix2Pix (a source with \"format\": \"instructpix2pix\" takes it as its root)"},
    {"records.jsonl recipe.json", "requests for a batch service (curate ingest --requests takes it)"},
};

static const FileKind *find_folder(const char *folder)
{
    char path[PATH_MAX], first[KEY_BYTES];
    for (const FileKind *k = FOLDERS; k < FOLDERS + sizeof FOLDERS / sizeof *FOLDERS; k++) {
        const char *second = split_key(first, k->key);
        if (file_exists(file_join(path, folder, first)) && (!second || file_exists(file_join(path, folder, second))))
            return k;
    }
    return NULL;
}

bool inspect_is_data_folder(const char *path) { return find_folder(path) != NULL; }

Status inspect_data_folder(const InspectOptions *o)
{
    const FileKind *kind = find_folder(o->path);
    return kind ? say_text(o, "folder of data", kind->what) : fail(ERR_MISSING, "%s: what it held is gone", o->path);
}
