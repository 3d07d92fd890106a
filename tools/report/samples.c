/* samples.c: reads what a run answered and drew while it trained (report.h). Called by run.c; its pictures by page.c. */
#include <stdlib.h>
#include <string.h>

#include "data/formats/base64.h"
#include "data/formats/file.h"
#include "data/formats/rows.h"
#include "data/pictures/png_write.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"
#include "tools/report/inside.h"
#include "tools/report/report.h"

enum { TEXT_MOST = 2000, STEPS_MOST = 4096, PICTURE_BYTES = 64 << 20, PICTURE_PIXELS = 32 << 20, PICTURE_SIDE = 128 };

/* ---------------------------------------------------------------- steps */

typedef struct Steps {
    int64_t list[STEPS_MOST];
    int n, all, every; /* every: one of so many is kept */
} Steps;

static Status note_step(void *arg, const char *name)
{
    Steps *s = arg;
    char *end;
    if (strncmp(name, "step-", 5) || strspn(name + 5, "0123456789") != strlen(name + 5) || strlen(name) > 20)
        return OK;
    const int64_t step = strtoll(name + 5, &end, 10);
    if (s->all++ % s->every)
        return OK;
    if (s->n == STEPS_MOST) {
        for (int i = 0; i < STEPS_MOST / 2; i++)
            s->list[i] = s->list[2 * i];
        s->n /= 2;
        s->every *= 2;
    }
    s->list[s->n++] = step;
    return OK;
}

static int compare_steps(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The first, the last, and others evenly between. */
static void choose_steps(ReportSamples *to, Steps *s)
{
    qsort(s->list, (size_t)s->n, sizeof *s->list, compare_steps);
    to->n_all = s->all;
    to->n_steps = s->n < SAMPLE_STEPS ? s->n : SAMPLE_STEPS;
    for (int i = 0; i < to->n_steps; i++)
        to->steps[i] = s->list[to->n_steps > 1 ? (int64_t)i * (s->n - 1) / (to->n_steps - 1) : 0];
}

/* ---------------------------------------------------------------- answers */

static Status copy_text(char **out, size_t *n, const Json *v)
{
    if (!v || v->kind != JSON_STRING)
        return OK;
    *n = v->length <= TEXT_MOST ? v->length : utf8_whole(v->string, TEXT_MOST);
    *out = mem_alloc(*n + 1);
    if (!*out)
        return fail(ERR_NOMEM, "samples: no memory");
    memcpy(*out, v->string, *n);
    return OK;
}

static void copy_name(char out[256], const Json *v)
{
    if (v && v->kind == JSON_ARRAY)
        v = v->child;
    if (v && v->kind == JSON_STRING && v->length < 256)
        snprintf(out, 256, "%s", v->string);
}

/* The key and the text of a prompt; NULL: it is none. */
static const Json *prompt_of(const Json *line, const char **key)
{
    static const char *const KEYS[] = {"ask", "draw", "edit"};
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
        const Json *v = json_get(line, KEYS[i]);
        *key = KEYS[i];
        if (v && v->kind == JSON_STRING)
            return v;
    }
    return NULL;
}

static bool is_prompt(const SamplePromptRow *r, const char *key, const Json *text)
{
    const size_t n = text->length <= TEXT_MOST ? text->length : utf8_whole(text->string, TEXT_MOST);
    return !strcmp(r->key, key) && r->n_text == n && !memcmp(r->text, text->string, n);
}

/* Where a prompt stands in the grid; the last step, which is read first, says which there are. -1: nowhere. */
static Status find_row(ReportSamples *s, const Json *line, bool add, int *at)
{
    const char *key;
    const Json *text = prompt_of(line, &key);
    *at = -1;
    if (!text)
        return OK;
    for (int i = 0; i < s->n_rows && !add; i++)
        if (is_prompt(&s->rows[i], key, text)) {
            *at = i;
            return OK;
        }
    s->n_prompts += add;
    if (!add || s->n_rows == SAMPLE_PROMPTS)
        return OK;
    SamplePromptRow *r = &s->rows[s->n_rows];
    r->key = key;
    TRY(copy_text(&r->text, &r->n_text, text));
    *at = s->n_rows++;
    copy_name(r->image, json_get(line, "image"));
    return copy_text(&r->expected, &r->n_expected, json_get(line, "expected"));
}

static bool same_words(const char *a, size_t n, const char *b, size_t m)
{
    utf8_strip(&a, &n);
    utf8_strip(&b, &m);
    return n == m && !memcmp(a, b, n);
}

static Status read_line(ReportSamples *s, const Json *line, int column)
{
    int at;
    TRY(find_row(s, line, column == s->n_steps - 1, &at));
    if (at < 0 || s->rows[at].cells[column].text)
        return OK;
    SamplePromptRow *r = &s->rows[at];
    SampleCell *cell = &r->cells[column];
    copy_name(cell->picture, json_get(line, "picture"));
    TRY(copy_text(&cell->text, &cell->n, json_get(line, "answer")));
    cell->expected = r->expected && cell->text && same_words(cell->text, cell->n, r->expected, r->n_expected);
    return OK;
}

static Status read_answers(ReportRun *run, const char *path, int column)
{
    Rows *rows;
    Row row;
    bool end = false;
    int64_t damaged = 0;
    TRY(rows_open(&rows, path, ROWS_LINES));
    Status s = OK;
    while (!s && !(s = rows_next(rows, &row, &end)) && !end) {
        JsonDoc *doc = NULL;
        if (row.error || (s = json_parse(&doc, row.text, row.n, "answers.jsonl")))
            damaged++;
        else
            s = read_line(&run->samples, json_root(doc), column);
        s = s == ERR_DATA ? OK : s;
        json_free(&doc);
    }
    rows_close(&rows);
    if (damaged)
        report_note(run, "the samples after step %lld: %lld of their lines are damaged and left out", (long long)run->samples.steps[column],
                    (long long)damaged);
    return s;
}

static char *step_name(char name[64], int64_t step, const char *file)
{
    snprintf(name, 64, "samples/step-%06lld/%s", (long long)step, file);
    return name;
}

static Status read_step(ReportRun *run, int column)
{
    char name[64];
    const char *why;
    Inside f;
    const InsideFound found = inside_open(&f, run->folder, step_name(name, run->samples.steps[column], "answers.jsonl"), S_IFREG, &why);
    if (found != INSIDE_FOUND) {
        report_note(run, "%s %s", name, found == INSIDE_NONE ? "is not there" : why);
        return OK;
    }
    const Status s = read_answers(run, f.path, column);
    inside_close(&f);
    return s;
}

Status report_samples_read(ReportRun *run)
{
    Inside f;
    const char *why;
    Steps *steps = mem_alloc(sizeof *steps);
    if (!steps)
        return fail(ERR_NOMEM, "samples: no memory");
    steps->every = 1;
    Status s = OK;
    const InsideFound found = inside_open(&f, run->folder, "samples", S_IFDIR, &why);
    if (found == INSIDE_REFUSED)
        report_note(run, "samples %s", why);
    if (found == INSIDE_FOUND) {
        s = file_list(f.path, note_step, steps);
        inside_close(&f);
    }
    choose_steps(&run->samples, steps);
    mem_free(steps);
    for (int i = run->samples.n_steps - 1; i >= 0 && !s; i--)
        s = read_step(run, i);
    return s;
}

void report_samples_free(ReportSamples *s)
{
    for (int i = 0; i < s->n_rows; i++) {
        mem_free(s->rows[i].text);
        mem_free(s->rows[i].expected);
        for (int k = 0; k < SAMPLE_STEPS; k++)
            mem_free(s->rows[i].cells[k].text);
    }
}

/* ---------------------------------------------------------------- pictures */

static Status scale_down(Image *picture, int32_t most)
{
    const int32_t side = picture->width > picture->height ? picture->width : picture->height;
    Image small;
    if (side <= most)
        return OK;
    const int32_t width = (int32_t)((int64_t)picture->width * most / side), height = (int32_t)((int64_t)picture->height * most / side);
    TRY(image_resize(&small, picture, width ? width : 1, height ? height : 1, FILTER_LANCZOS));
    image_free(picture);
    *picture = small;
    return OK;
}

/* Small pictures keep every pixel; others become JPEG, the coarser the less room there is. */
static Status encode(uint8_t **bytes, size_t *n, const char **kind, Image *picture, size_t most)
{
    static const int QUALITIES[] = {88, 70, 45};
    *kind = "png";
    TRY(png_encode(bytes, n, picture, NULL, 0));
    for (size_t i = 0; *n > most && i < sizeof QUALITIES / sizeof *QUALITIES; i++) {
        mem_free(*bytes);
        *kind = "jpeg";
        TRY(image_encode_jpeg(picture->rgb, picture->width, picture->height, QUALITIES[i], bytes, n));
    }
    return OK;
}

static Status make_uri(char **uri, const uint8_t *bytes, size_t n, const char *kind)
{
    *uri = mem_alloc(32 + base64_length(n));
    if (!*uri)
        return fail(ERR_NOMEM, "a picture: no memory");
    const int head = snprintf(*uri, 32, "data:image/%s;base64,", kind);
    base64_encode(*uri + head, bytes, n);
    return OK;
}

static Status encode_small(char **uri, int *width, int *height, Image *picture, size_t most)
{
    uint8_t *bytes = NULL;
    size_t n = 0;
    const char *kind = "";
    Status s = OK;
    for (int32_t side = PICTURE_SIDE; !s && (!bytes || (n > most && side >= 16)); side /= 2) {
        mem_free(bytes);
        bytes = NULL;
        s = scale_down(picture, side);
        s = s ? s : encode(&bytes, &n, &kind, picture, most);
    }
    *width = picture->width;
    *height = picture->height;
    s = s ? s : make_uri(uri, bytes, n, kind);
    mem_free(bytes);
    return s;
}

Status report_picture(char **uri, int *width, int *height, const ReportRun *run, int64_t step, const char *name, size_t most)
{
    char path[64 + sizeof(SampleCell)], folder[64], *bytes = NULL;
    const char *why;
    size_t n = 0;
    Inside f;
    Image picture = {0};
    Reject reject;
    *uri = NULL;
    snprintf(path, sizeof path, "%s%s", step_name(folder, step, ""), name);
    if (strchr(name, '/') || inside_open(&f, run->folder, path, S_IFREG, &why) != INSIDE_FOUND)
        return OK;
    Status s = file_read(&bytes, &n, f.path, PICTURE_BYTES);
    inside_close(&f);
    if (!s)
        s = image_decode(&picture, (const uint8_t *)bytes, n, PICTURE_PIXELS, &reject);
    mem_free(bytes);
    if (!s)
        s = encode_small(uri, width, height, &picture, most / 4 * 3);
    image_free(&picture);
    return s == ERR_NOMEM ? s : OK;
}
