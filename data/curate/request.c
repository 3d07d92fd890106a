/* request.c: `curate request`: records or pictures and a recipe to request files (commands.h). The subjects are gone through twice: first
 * all of them are checked, then the requests are written. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/curate/commands.h"
#include "data/curate/ids.h"
#include "data/curate/recipe.h"
#include "data/curate/request_files.h"
#include "data/curate/request_form.h"
#include "data/curate/sent_picture.h"
#include "data/curate/subjects.h"
#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/formats/line_file.h"
#include "data/formats/mistakes.h"
#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"
#include "kernels/base/utf8.h"

static const char *const APIS[N_APIS + 1] = {[API_CHAT] = "chat", [API_RESPONSES] = "responses"};
static const char *const DETAILS[] = {"low", "high", "auto", NULL};

typedef struct Flags {
    const char *recipe, *records, *images, *image_root, *model, *out;
    int api, detail;
    int64_t max_side, max_lines, max_bytes, limit; /* limit 0: none */
    bool strict, quiet;
} Flags;

/* ---------------------------------------------------------------- the command line */

static Status parse(Flags *f, int argc, char **argv, bool *done)
{
    const CliOption options[] = {
        {"--recipe", CLI_STRING, &f->recipe, "NAME|FILE", "What is asked: conversation, detail, reasoning, draw or edit, or a file of your "
                                                          "own (with a '/', or ending in .json).",
         0, 0, NULL, false},
        {"--records", CLI_STRING, &f->records, "FILE", "Records, a JSON object a line: unified ones, or {\"uid\", \"image\", …} (\"-\": "
                                                       "standard input).",
         0, 0, NULL, false},
        {"--images", CLI_STRING, &f->images, "DIR", "Instead of --records: a record for each picture below the folder.", 0, 0, NULL, false},
        {"--image-root", CLI_STRING, &f->image_root, "DIR", "Where the records' picture paths start, and what they may not leave. Default: "
                                                            "the folder of the records.",
         0, 0, NULL, false},
        {"--out", CLI_STRING, &f->out, "DIR", "Folder of the requests; one that holds earlier requests is replaced.", 0, 0, NULL, false},
        {"--model", CLI_STRING, &f->model, "NAME", "Who is asked, in place of the recipe's model.", 0, 0, NULL, false},
        {"--api", CLI_CHOICE, &f->api, "chat|responses", "The form of the requests: chat completions (the default), or responses.", 0, 0,
         APIS, false},
        {"--max-side", CLI_INT, &f->max_side, "N", "Pictures with a longer side are made smaller, to JPEG (768 pixels).", 1, 65500, NULL,
         false},
        {"--detail", CLI_CHOICE, &f->detail, "low|high|auto", "How closely the author looks at the pictures (low).", 0, 0, DETAILS, false},
        REQUEST_FILES_CLI_OPTIONS(*f),
        {"--limit", CLI_INT, &f->limit, "N", "Only the first N records.", 1, 1e15, NULL, false},
        {"--strict", CLI_FLAG, &f->strict, NULL, "A picture that cannot be used is an error.", 0, 0, NULL, false},
        {"--quiet", CLI_FLAG, &f->quiet, NULL, "Only errors on standard error.", 0, 0, NULL, false},
        {0},
    };
    const CliProgram program = {
        .name = "curate request",
        .summary = "Writes the files that a batch service takes: a request for each record or picture.",
        .usage = "curate request --recipe NAME|FILE.json --records FILE --out DIR\n"
                 "       curate request --recipe NAME|FILE.json --images DIR --out DIR",
        .options = options,
        .notes = "Records whose pictures are missing, damaged or outside of the root are named and left out. Upload requests-*.jsonl as "
                 "batches; give what comes back to curate ingest, with the same DIR.",
    };
    return cli_parse(&program, argc, argv, done);
}

/* Earlier requests go when new ones take their place, and so would records among them. */
static bool lies_in(const char *file, const char *folder)
{
    char around[PATH_MAX], real_file[PATH_MAX], real_folder[PATH_MAX];
    return realpath(file, real_file) && realpath(folder, real_folder) && !strcmp(file_folder(around, real_file), real_folder);
}

static Status check_flags(const Flags *f)
{
    if (!f->recipe)
        return fail(ERR_USAGE, "curate request: --recipe NAME|FILE is needed; curate request --help lists the options");
    if (!f->records == !f->images)
        return fail(ERR_USAGE, "curate request: one of --records FILE and --images DIR is needed%s", f->records ? ", not both" : "");
    if (f->images && f->image_root)
        return fail(ERR_USAGE, "curate request: --image-root belongs to --records; the paths of --images start from its folder");
    if (!f->out)
        return fail(ERR_USAGE, "curate request: --out DIR is needed: the folder of the requests");
    if (f->records && lies_in(f->records, f->out))
        return fail(ERR_USAGE, "%s: is read, and --out %s would replace the folder that it lies in; give another --out", f->records,
                    f->out);
    if (f->records && !strcmp(f->records, "-") && !strcmp(f->recipe, "-"))
        return fail(ERR_USAGE, "curate request: standard input cannot be both the recipe and the records");
    return OK;
}

/* ---------------------------------------------------------------- a subject */

typedef struct Request {
    const Flags *flags;
    Recipe recipe;
    Subjects *subjects;
    char root[PATH_MAX]; /* of the pictures */
    RequestForm form;
    Line prompt, line, record; /* of the subject at hand */
    SentPicture picture;
    RequestFiles files;
    int64_t left_out;
} Request;

static int count_role(const Subject *s, ImageRole role)
{
    int n = 0;
    for (int i = 0; i < s->n_images; i++)
        n += s->images[i].role == role;
    return n;
}

static bool is_sent(const Recipe *r, ImageRole role)
{
    return role != ROLE_MASK && (r->images == RECIPE_ALL || (r->images == RECIPE_INPUT && role == ROLE_INPUT) ||
                                 (r->images == RECIPE_TARGET && role == ROLE_TARGET));
}

static Status check_pictures(const Subject *s, const Recipe *r)
{
    Task task = RECIPE_KINDS[r->kind].task;
    const char *kind = RECIPE_KINDS[r->kind].name;
    int inputs = count_role(s, ROLE_INPUT), targets = count_role(s, ROLE_TARGET);
    if (task != TASK_GENERATE && !inputs)
        return fail(ERR_DATA, "%s: record \"%s\" has no input picture, which a recipe of the kind \"%s\" needs", s->place, s->uid, kind);
    if (task != TASK_UNDERSTAND && targets != 1)
        return fail(ERR_DATA, "%s: record \"%s\" has %d target pictures, a recipe of the kind \"%s\" needs one", s->place, s->uid, targets,
                    kind);
    if ((r->images == RECIPE_INPUT && !inputs) || (r->images == RECIPE_TARGET && !targets))
        return fail(ERR_DATA, "%s: record \"%s\" has no %s picture, and the recipe's images says that these are sent", s->place, s->uid,
                    inputs ? "target" : "input");
    return OK;
}

/* The user's text goes into q->prompt. */
static Status check_subject(Request *q, const Subject *s)
{
    q->prompt.n = 0;
    TRY(check_pictures(s, &q->recipe));
    TRY(subject_prompt(s, &q->recipe, &q->prompt));
    return line_check(&q->prompt);
}

/* ---------------------------------------------------------------- first: check */

static Status check_uid(Request *q, Table *seen, const Subject *s)
{
    char id[ID_DIGITS + 1];
    bool added;
    id_make(id, q->recipe.template_sha256, s->uid);
    TRY(ids_add(seen, id, &added));
    if (!added)
        return fail(ERR_DATA, "%s: uid \"%s\" is that of record %lld already; each must have its own", s->place, s->uid,
                    (long long)ids_find(seen, id) + 1);
    return OK;
}

static Status check_all(Request *q, Table *seen)
{
    const Subject *s;
    Mistakes m = {.n = 0};
    bool last = false, limited = q->flags->limit > 0;
    Status status = OK;
    for (int64_t n = 0; !status && !last && (!limited || n < q->flags->limit); n++) {
        status = subjects_next(q->subjects, &s, &last);
        if (!status && !s)
            break;
        if (!status)
            status = check_uid(q, seen, s);
        if (!status)
            status = check_subject(q, s);
        status = mistakes_gather(&m, ERR_DATA, status);
    }
    Status found = mistakes_end(&m, ERR_DATA, q->flags->records ? file_name(q->flags->records) : q->flags->images);
    return status ? status : found;
}

/* ---------------------------------------------------------------- then: write */

/* Its line of records.jsonl, as far as request_files_put takes it. */
static void describe(Request *q, const Subject *s, const char *id)
{
    Line *l = &q->record;
    bool first = true;
    l->n = 0;
    line_print(l, "{\"custom_id\":\"%s\",\"uid\":", id);
    line_quote(l, s->uid);
    line_print(l, ",\"source\":");
    line_quote(l, s->source);
    line_print(l, ",\"split\":");
    line_quote(l, s->split);
    line_print(l, ",\"license\":");
    line_quote(l, s->license);
    line_print(l, ",\"images\":[");
    for (int i = 0; i < s->n_images; i++) {
        if (!recipe_has_role(q->recipe.kind, s->images[i].role))
            continue;
        line_print(l, "%s{\"path\":", first ? "" : ",");
        line_quote(l, s->images[i].path);
        line_print(l, ",\"role\":\"%s\"}", ROLE_NAMES[s->images[i].role]);
        first = false;
    }
    line_print(l, "],\"src_prompt\":");
    line_quote(l, RECIPE_KINDS[q->recipe.kind].task == TASK_EDIT ? subject_caption(s) : NULL);
}

/* Looked at is each that is sent or will be the made record's. */
static Status write_pictures_of(Request *q, const Subject *s, ImageRole role)
{
    bool sent = is_sent(&q->recipe, role);
    for (int i = 0; i < s->n_images && (sent || recipe_has_role(q->recipe.kind, role)); i++) {
        if (s->images[i].role != role)
            continue;
        TRY(sent_picture_load(&q->picture, q->root, s->images[i].path, (int32_t)q->flags->max_side));
        if (sent)
            request_add_picture(&q->form, &q->line, &q->picture);
    }
    return OK;
}

/* Inputs come before targets, wherever the record has them. */
static Status write_pictures(Request *q, const Subject *s)
{
    if (s->unfit)
        return fail(ERR_DATA, "%s", s->unfit);
    TRY(write_pictures_of(q, s, ROLE_INPUT));
    TRY(write_pictures_of(q, s, ROLE_TARGET));
    return write_pictures_of(q, s, ROLE_MASK);
}

static Status write_subject(Request *q, const Subject *s)
{
    char id[ID_DIGITS + 1];
    TRY(check_subject(q, s));
    id_make(id, q->recipe.template_sha256, s->uid);
    request_begin(&q->form, &q->line, id, &q->prompt);
    Status found = write_pictures(q, s);
    if (found == ERR_MISSING || found == ERR_DATA) {
        q->left_out++;
        if (q->flags->strict)
            return fail(ERR_DATA, "%s: record \"%s\": %s (--strict)", s->place, s->uid, status_message());
        log_warn("%s: record \"%s\" is left out: %s", s->place, s->uid, status_message());
        return OK;
    }
    TRY(found);
    request_end(&q->line);
    TRY(line_check(&q->line));
    describe(q, s, id);
    TRY_IN(request_files_put(&q->files, &q->line, &q->record), "%s: record \"%s\"", s->place, s->uid);
    return OK;
}

static Status write_all(Request *q)
{
    const Subject *s;
    bool last, limited = q->flags->limit > 0;
    TRY(subjects_rewind(q->subjects));
    for (int64_t n = 0; !limited || n < q->flags->limit; n++) {
        TRY(subjects_next(q->subjects, &s, &last));
        if (!s)
            break;
        TRY(write_subject(q, s));
        log_progress("%" PRId64 " requests, %" PRId64 " records left out", q->files.n_requests, q->left_out);
    }
    return q->files.n_requests ? OK : fail(ERR_DATA, "%s: no record can be used", q->flags->records ? q->flags->records : q->flags->images);
}

/* ---------------------------------------------------------------- the whole */

static Status print_result(const Request *q, FILE *out)
{
    const RequestFiles *f = &q->files;
    if (log_is_json()) {
        cJSON *o = cJSON_CreateObject();
        json_add_text(o, "requests_in", q->flags->out);
        json_add_int(o, "requests", f->n_requests);
        json_add_int(o, "files", f->n_files);
        json_add_int(o, "bytes", f->n_bytes);
        json_add_int(o, "left_out", q->left_out);
        return json_print(out, &o, JSON_LINE, "curate request");
    }
    char size[32];
    utf8_cell(out, q->flags->out, 0);
    fprintf(out, ": %" PRId64 " request%s in %d file%s (%s), %" PRId64 " record%s left out\n", f->n_requests, status_plural(f->n_requests),
            f->n_files, status_plural(f->n_files), file_size_text(size, sizeof size, (size_t)f->n_bytes), q->left_out,
            status_plural(q->left_out));
    return OK;
}

static Status check_subjects(Request *q)
{
    Table seen = {.kind = TABLE_64};
    Status s = check_all(q, &seen);
    table_free(&seen);
    return s;
}

static Status open_files(Request *q) { return request_files_open(&q->files, q->flags->out, q->flags->max_lines, q->flags->max_bytes); }

static Status make_requests(Request *q)
{
    const Flags *f = q->flags;
    LineFiles in = {.n = 0}; /* a pipe can be gone through once alone */
    Status s = f->images ? OK : line_files_open(&in, &f->records, 1);
    if (!s && f->images)
        s = subjects_of_folder(&q->subjects, f->images, q->recipe.kind);
    else if (!s)
        s = subjects_of_records(&q->subjects, in.files->path, in.files->name, q->recipe.kind);
    if (!s)
        s = check_subjects(q);
    if (!s)
        s = open_files(q);
    if (!s)
        s = write_all(q);
    subjects_close(&q->subjects);
    line_files_close(&in);
    return request_files_close(&q->files, &q->recipe, s);
}

static Status find_root(Request *q)
{
    const Flags *f = q->flags;
    struct stat st;
    if (f->image_root || f->images)
        snprintf(q->root, sizeof q->root, "%s", f->image_root ? f->image_root : f->images);
    else
        file_folder(q->root, f->records);
    if (stat(q->root, &st))
        return fail(ERR_MISSING, "%s: %s", q->root, strerror(errno));
    return S_ISDIR(st.st_mode) ? OK : fail(ERR_MISSING, "%s: is %s, expected a folder of pictures", q->root, file_kind(st.st_mode));
}

static Status choose_model(Recipe *r, const char *model)
{
    if (!model && !r->model)
        return fail(ERR_USAGE, "recipe \"%s\" has no \"model\": write one there, or give --model NAME", r->name);
    if (!model)
        return OK;
    mem_free(r->model);
    r->model = mem_strdup(model);
    return r->model ? OK : fail(ERR_NOMEM, "--model: out of memory");
}

static Status run(Request *q)
{
    const Flags *f = q->flags;
    TRY(choose_model(&q->recipe, f->model));
    TRY(request_files_check(f->out));
    TRY(find_root(q));
    TRY(request_form_make(&q->form, &q->recipe, (Api)f->api, DETAILS[f->detail]));
    return make_requests(q);
}

Status curate_request(int argc, char **argv, FILE *out)
{
    enum { SIDE = 768 };
    Flags f = {.max_side = SIDE, REQUEST_FILES_DEFAULTS};
    Request q = {.flags = &f};
    bool done;
    TRY(parse(&f, argc, argv, &done));
    if (done)
        return OK;
    TRY(check_flags(&f));
    if (f.quiet)
        log_level(LOG_ERROR);
    TRY(recipe_load(&q.recipe, f.recipe));
    Status s = run(&q);
    if (!s)
        s = print_result(&q, out);
    request_form_free(&q.form);
    line_free(&q.prompt);
    line_free(&q.line);
    line_free(&q.record);
    sent_picture_free(&q.picture);
    recipe_free(&q.recipe);
    return s;
}
