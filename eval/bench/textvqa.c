/* textvqa.c: TextVQA: reading text in pictures, beside the answers of ten annotators. A question is known by its picture and its text in
 * lower case, which is found in the prompt of the answer. Official: the data files, LLaVA's eval_textvqa.py and m4c_evaluator.py. */
#include <limits.h>
#include <stdlib.h>

#include "data/formats/file.h"
#include "eval/bench/bench.h"
#include "eval/bench/normalise.h"
#include "eval/bench/prompts.h"
#include "eval/bench/soft.h"
#include "kernels/base/log.h"

#define OCR_LINE "Reference OCR token:"

static const Json *data_of(const JsonDoc *doc)
{
    const Json *data = json_get(json_root(doc), "data");
    return data && data->kind == JSON_ARRAY ? data : NULL;
}

static Status open_data(JsonDoc **doc, const char *path)
{
    TRY(official_json(doc, path));
    if (data_of(*doc) && data_of(*doc)->child)
        return OK;
    json_free(doc);
    return fail(ERR_DATA, "%s: holds no \"data\", an array of objects", path);
}

/* ---------------------------------------------------------------- keys */

static Span key_of(Pool *p, Span image, Span question)
{
    Span lower = py_lower(p, question);
    return span_join(p, (Span[]){image, lower}, 2, "\n");
}

/* The question in a prompt, in the forms that LLaVA's question files have had; false: it is in none. */
static bool question_in(Pool *p, Span prompt, Span *out)
{
    if (py_starts(prompt, "OCR tokens: ")) {
        const Span before = SPAN("Question: "), behind = SPAN(" Short answer:");
        const ptrdiff_t at = py_find(prompt, before);
        Span rest = at < 0 ? prompt : (Span){prompt.s + at + before.n, prompt.n - (size_t)at - before.n};
        const ptrdiff_t end = at < 0 ? -1 : py_find(rest, behind);
        *out = (Span){rest.s, end < 0 ? 0 : (size_t)end};
        return end >= 0;
    }
    Spans lines = py_split_at(p, prompt, "\n");
    const bool ocr = lines.n == 3 && py_contains(prompt, SPAN(OCR_LINE " "));
    if (!ocr && lines.n != 2)
        return false;
    *out = lines.item[ocr && py_starts(prompt, OCR_LINE)];
    return true;
}

static Status key(Pool *p, const Json *answer, Span *out)
{
    const Json *prompt = json_get(answer, "prompt");
    Span question;
    if (!prompt || prompt->kind != JSON_STRING)
        return fail(ERR_DATA, "has no \"prompt\", which tells the questions of a picture apart");
    const bool there = question_in(p, (Span){prompt->string, prompt->length}, &question);
    TRY(pool_status(p));
    if (!there)
        return fail(ERR_DATA, "\"prompt\" is no question of TextVQA: expected two lines, or three of which one begins \"" OCR_LINE "\"");
    *out = key_of(p, *out, question);
    return pool_status(p);
}

/* ---------------------------------------------------------------- questions */

/* A picture and the texts that were read in it. */
typedef struct Read {
    Span image;
    const Json *tokens;
} Read;

static int by_image(const void *a, const void *b) { return span_compare(((const Read *)a)->image, ((const Read *)b)->image); }

static Status sort_reads(Pool *p, Read **out, const Json *data, const char *path)
{
    Read *read = *out = pool_push(p, data->length * sizeof *read);
    for (const Json *row = data->child; row && read; row = row->next, read++) {
        bool number;
        TRY(official_id(p, &read->image, &number, row, "image_id", path));
        TRY(official_get(&read->tokens, row, "ocr_tokens", JSON_ARRAY, path));
        for (const Json *token = read->tokens->child; token; token = token->next)
            if (token->kind != JSON_STRING)
                return fail(ERR_DATA, "%s:%d:%d: is %s, expected a text", path, token->line, token->column, json_kind_name(token->kind));
    }
    TRY(pool_status(p));
    qsort(*out, data->length, sizeof **out, by_image);
    return OK;
}

/* "\nReference OCR token: a, b" */
static Span ocr_line(Pool *p, const Read *reads, size_t n, Span image)
{
    const Read *read = bsearch(&(Read){.image = image}, reads, n, sizeof *reads, by_image);
    Span *part = pool_push(p, (read ? read->tokens->length : 0) * sizeof *part + 1);
    int k = 0;
    for (const Json *token = read ? read->tokens->child : NULL; token && part; token = token->next)
        part[k++] = (Span){token->string, token->length};
    Span tokens = span_join(p, part, k, ", ");
    return span_join(p, (Span[]){SPAN("\n" OCR_LINE " "), tokens}, 2, "");
}

static Status ask_row(Pool *p, const Json *row, const char *path, const Read *reads, size_t n, BenchVisit visit, void *arg)
{
    Span image, text;
    bool number;
    TRY(official_id(p, &image, &number, row, "image_id", path));
    TRY(official_text(&text, row, "question", path));
    Span ocr = reads ? ocr_line(p, reads, n, image) : SPAN("");
    Span parts[3] = {text, ocr, SPAN(SHORT_ANSWER)};
    BenchQuestion q = {.id = image,
                       .number = number,
                       .prompt = span_join(p, parts, 3, ""),
                       .image = span_print(p, "train_images/%.*s.jpg", (int)image.n, image.s).s};
    TRY(pool_status(p));
    return visit(arg, &q);
}

static Status ask_all(const Json *data, const char *path, const Json *ocr, const char *ocr_path, BenchVisit visit, void *arg)
{
    Pool kept = {0}, pool = {0};
    Read *reads = NULL;
    Status s = ocr ? sort_reads(&kept, &reads, ocr, ocr_path) : OK;
    for (const Json *row = data->child; row && !s; row = row->next) {
        pool_reset(&pool);
        s = ask_row(&pool, row, path, reads, ocr ? ocr->length : 0, visit, arg);
    }
    pool_free(&kept);
    pool_free(&pool);
    return s;
}

static Status questions(const BenchData *d, BenchVisit visit, void *arg)
{
    char path[PATH_MAX], ocr_path[PATH_MAX];
    JsonDoc *doc, *ocr = NULL;
    TRY(open_data(&doc, official_path(path, d, "TextVQA_0.5.1_%s.json", d->split)));
    official_path(ocr_path, d, "TextVQA_Rosetta_OCR_v0.2_%s.json", d->split);
    Status s = file_exists(ocr_path) ? open_data(&ocr, ocr_path) : OK;
    if (!s) {
        log_info("textvqa: questions come with%s the texts that Rosetta read (%s)", ocr ? "" : "out", ocr_path);
        s = ask_all(data_of(doc), path, ocr ? data_of(ocr) : NULL, ocr_path, visit, arg);
    }
    json_free(&ocr);
    json_free(&doc);
    return s;
}

/* ---------------------------------------------------------------- score */

/* A question and its place in the file. */
typedef struct Known {
    Span key;
    const Json *row, *counts; /* counts: the last question of this key */
} Known;

static int by_key(const void *a, const void *b)
{
    const Known *x = *(const Known *const *)a, *y = *(const Known *const *)b;
    int order = span_compare(x->key, y->key);
    return order ? order : (x > y) - (x < y);
}

static Status find_known(Pool *p, Known **out, const Json *data, const char *path)
{
    const size_t n = data->length;
    Known *known = *out = pool_push(p, n * sizeof *known);
    Known **sorted = pool_push(p, n * sizeof *sorted);
    size_t i = 0;
    for (const Json *row = data->child; row && known && sorted; row = row->next, i++) {
        Span image, text;
        bool number;
        TRY(official_id(p, &image, &number, row, "image_id", path));
        TRY(official_text(&text, row, "question", path));
        known[i] = (Known){.key = key_of(p, image, text), .row = row};
        sorted[i] = &known[i];
    }
    TRY(pool_status(p));
    qsort(sorted, n, sizeof *sorted, by_key);
    for (i = n; i-- > 0;) {
        bool last = i + 1 == n || !span_equal(sorted[i]->key, sorted[i + 1]->key);
        sorted[i]->counts = last ? sorted[i]->row : sorted[i + 1]->counts;
    }
    return OK;
}

static Status score_known(const Known *known, const char *path, Answers *a, Scores *s, SoftSums *sums)
{
    Pool pool = {0};
    Span text = SPAN("");
    Spans truths;
    bool found = answers_find(a, known->key, &text);
    if (answers_not_asked(a, found))
        return OK;
    Status status = soft_truths(&pool, &truths, known->counts, path);
    for (int i = 0; i < truths.n && !status; i++)
        truths.item[i] = answer_m4c(&pool, truths.item[i]);
    double value = found && !status ? soft_accuracy(truths, answer_m4c(&pool, text)) : 0;
    if (!status)
        status = pool_status(&pool);
    pool_free(&pool);
    return status ? status : soft_count(sums, s, known->row, found, value);
}

static Status score(const BenchData *d, Answers *a, Scores *s)
{
    char path[PATH_MAX];
    JsonDoc *doc;
    Pool pool = {0};
    Known *known;
    SoftSums sums = {0};
    TRY(open_data(&doc, official_path(path, d, "TextVQA_0.5.1_%s.json", d->split)));
    Status status = find_known(&pool, &known, data_of(doc), path);
    for (size_t i = 0; i < data_of(doc)->length && !status; i++)
        status = score_known(&known[i], path, a, s, &sums);
    soft_end(&sums, s);
    pool_free(&pool);
    json_free(&doc);
    return status;
}

const Bench BENCH_TEXTVQA = {.name = "textvqa",
                             .split = "val",
                             .files = "TextVQA_0.5.1_SPLIT.json, with OCR TextVQA_Rosetta_OCR_v0.2_SPLIT.json",
                             .pictures = "train_images/IMAGEID.jpg",
                             .suffix = SHORT_ANSWER,
                             .note = "with OCR tokens where their file lies beside the questions, as LLaVA; "
                                     "without them scores are lower by a fifth",
                             .metric = "soft accuracy",
                             .max_new_tokens = 128,
                             .key = key,
                             .questions = questions,
                             .score = score};
