/* mme.c: MME: fourteen tasks, two questions a picture, yes or no. A picture counts once more where both are right. Official: eval_tool of
 * MME, LLaVA's convert_answer_to_mme.py. */
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "data/formats/file.h"
#include "eval/bench/bench.h"
#include "eval/bench/prompts.h"
#include "kernels/base/arena.h"

#define YES_OR_NO "Please answer yes or no."

typedef struct Task {
    const char *name;
    bool cognition;
} Task;
static const Task TASKS[] = {{"existence", false}, {"count", false}, {"position", false}, {"color", false}, {"posters", false},
                             {"celebrity", false}, {"scene", false}, {"landmark", false}, {"artwork", false}, {"OCR", false},
                             {"commonsense_reasoning", true}, {"numerical_calculation", true}, {"text_translation", true},
                             {"code_reasoning", true}};
enum { N_TASKS = sizeof TASKS / sizeof *TASKS, PER_PICTURE = 2, MOST_BYTES = 1 << 20 };

/* A picture and its questions. */
typedef struct Picture {
    Span stem;                  /* its name without the suffix */
    Span question[PER_PICTURE]; /* as the file has it */
    bool yes[PER_PICTURE];
} Picture;

typedef Status (*PictureVisit)(void *arg, const Task *task, const Picture *p);

/* ---------------------------------------------------------------- files */

typedef struct Reading {
    char folder[PATH_MAX], path[PATH_MAX];
    const Task *task;
    PictureVisit visit;
    void *arg;
    Pool pool; /* of one picture */
    int64_t n;
} Reading;

static Status read_line(Reading *r, Span line, int number, Span *question, bool *yes)
{
    Spans part = py_split_at(&r->pool, line, "\t");
    TRY(pool_status(&r->pool));
    if (part.n != 2)
        return fail(ERR_DATA, "%s:%d: has %d tabs, expected QUESTION, a tab and Yes or No", r->path, number, part.n - 1);
    Span answer = py_lower(&r->pool, part.item[1]);
    *question = part.item[0];
    *yes = span_is(answer, "yes");
    if (!*yes && !span_is(answer, "no"))
        return fail(ERR_DATA, "%s:%d: answers \"%.*s\", expected Yes or No", r->path, number, (int)part.item[1].n, part.item[1].s);
    return pool_status(&r->pool);
}

static Status read_picture(Reading *r, Span text, Span stem)
{
    Picture p = {.stem = stem};
    int n = 0;
    if (py_starts(text, "\xEF\xBB\xBF"))
        text = (Span){text.s + 3, text.n - 3};
    Spans lines = py_split_at(&r->pool, text, "\n");
    TRY(pool_status(&r->pool));
    for (int i = 0; i < lines.n; i++) {
        Span line = py_strip(lines.item[i]);
        if (line.n && n == PER_PICTURE)
            return fail(ERR_DATA, "%s:%d: is a third question, expected two a picture", r->path, i + 1);
        if (line.n) {
            TRY(read_line(r, line, i + 1, &p.question[n], &p.yes[n]));
            n++;
        }
    }
    if (n != PER_PICTURE)
        return fail(ERR_DATA, "%s: has %d questions, expected two a picture", r->path, n);
    r->n++;
    return r->visit(r->arg, r->task, &p);
}

static Status visit_name(void *arg, const char *name)
{
    Reading *r = arg;
    char *bytes;
    size_t n;
    if (!py_ends(span_of(name), ".txt"))
        return OK;
    TRY(file_read(&bytes, &n, file_join(r->path, r->folder, name), MOST_BYTES));
    pool_reset(&r->pool);
    Status s = read_picture(r, (Span){bytes, n}, (Span){name, strlen(name) - 4});
    mem_free(bytes);
    return s;
}

static Status over_pictures(const BenchData *d, PictureVisit visit, void *arg)
{
    Reading r = {.visit = visit, .arg = arg};
    Status s = OK;
    for (int t = 0; t < N_TASKS && !s; t++) {
        r.task = &TASKS[t];
        r.n = 0;
        official_path(r.folder, d, "%s/questions_answers_YN", TASKS[t].name);
        if (!file_exists(r.folder))
            official_path(r.folder, d, "%s", TASKS[t].name);
        s = file_list(r.folder, visit_name, &r);
        if (!s && !r.n)
            s = fail(ERR_MISSING, "%s: holds no .txt file, expected one a picture", r.folder);
    }
    pool_free(&r.pool);
    return s;
}

/* Where the picture lies below the folder of the benchmark; no such file: as if it were a JPEG beside the questions. */
static char *picture_path(char *out, const BenchData *d, const Task *task, Span stem)
{
    static const char *const SUFFIXES[] = {"jpg", "png", "jpeg", "JPG", "PNG", "webp"};
    static const char *const FOLDERS[] = {"", "images/", "questions_answers_YN/"};
    char path[PATH_MAX];
    for (int f = 0; f < 3; f++)
        for (size_t i = 0; i < sizeof SUFFIXES / sizeof *SUFFIXES; i++) {
            snprintf(out, PATH_MAX, "%s/%s%.*s.%s", task->name, FOLDERS[f], (int)stem.n, stem.s, SUFFIXES[i]);
            if (file_exists(official_path(path, d, "%s", out)))
                return out;
        }
    snprintf(out, PATH_MAX, "%s/%.*s.jpg", task->name, (int)stem.n, stem.s);
    return out;
}

static const char *file_part(const char *path) { return strrchr(path, '/') + 1; }

/* ---------------------------------------------------------------- keys */

/* A question without the sentences that say how to answer. */
static Span bare(Pool *p, Span question) { return py_strip(py_replace(p, py_replace(p, question, SHORT_ANSWER + 1, ""), YES_OR_NO, "")); }

static Span key_of(Pool *p, const char *task, Span stem, Span question)
{
    Span text = bare(p, question);
    return span_print(p, "%s/%.*s\n%.*s", task, (int)stem.n, stem.s, (int)text.n, text.s);
}

/* TASK/PICTURE and the question, which two lines share. */
static Status key(Pool *p, const Json *answer, Span *out)
{
    const Json *prompt = json_get(answer, "prompt");
    if (!prompt || prompt->kind != JSON_STRING)
        return fail(ERR_DATA, "has no \"prompt\", which tells the questions of a picture apart");
    const ptrdiff_t slash = py_rfind(*out, SPAN("/")), stop = py_rfind(*out, SPAN("."));
    Span stem = {out->s, stop > slash ? (size_t)stop : out->n}, text = bare(p, (Span){prompt->string, prompt->length});
    *out = span_join(p, (Span[]){stem, text}, 2, "\n");
    return pool_status(p);
}

/* ---------------------------------------------------------------- questions */

typedef struct Asking {
    const BenchData *d;
    BenchVisit visit;
    void *arg;
    Pool pool;
} Asking;

static Status ask_picture(void *arg, const Task *task, const Picture *p)
{
    Asking *k = arg;
    char image[PATH_MAX];
    pool_reset(&k->pool);
    picture_path(image, k->d, task, p->stem);
    for (int i = 0; i < PER_PICTURE; i++) {
        Span text = bare(&k->pool, p->question[i]);
        BenchQuestion q = {.id = span_print(&k->pool, "%s/%s", task->name, file_part(image)),
                           .prompt = span_print(&k->pool, "%.*s%s", (int)text.n, text.s, SHORT_ANSWER),
                           .image = image};
        TRY(pool_status(&k->pool));
        TRY(k->visit(k->arg, &q));
    }
    return OK;
}

static Status questions(const BenchData *d, BenchVisit visit, void *arg)
{
    Asking k = {.d = d, .visit = visit, .arg = arg};
    Status s = over_pictures(d, ask_picture, &k);
    pool_free(&k.pool);
    return s;
}

/* ---------------------------------------------------------------- score */

typedef struct Points {
    int64_t right, n, both, pictures;
} Points;

typedef struct Scoring {
    Answers *a;
    Scores *s;
    Points points[N_TASKS];
    int64_t other;
    Pool pool;
} Scoring;

typedef enum Said { SAID_NO, SAID_YES, SAID_OTHER } Said;

/* Looked for among the first four characters. */
static Said said(Pool *p, Span text)
{
    Span lower = py_lower(p, text);
    size_t bytes = 0;
    for (int i = 0; i < 4 && bytes < lower.n; i++)
        for (bytes++; bytes < lower.n && ((unsigned char)lower.s[bytes] & 0xC0) == 0x80;)
            bytes++;
    lower.n = bytes;
    return py_contains(lower, SPAN("yes")) ? SAID_YES : py_contains(lower, SPAN("no")) ? SAID_NO : SAID_OTHER;
}

static Status score_picture(void *arg, const Task *task, const Picture *p)
{
    Scoring *k = arg;
    Points *points = &k->points[task - TASKS];
    bool both = true, asked = false;
    pool_reset(&k->pool);
    for (int i = 0; i < PER_PICTURE; i++) {
        Span text;
        bool found = answers_find(k->a, key_of(&k->pool, task->name, p->stem, p->question[i]), &text);
        if (answers_not_asked(k->a, found))
            continue;
        asked = true;
        Said what = found ? said(&k->pool, text) : SAID_OTHER;
        bool right = what == (p->yes[i] ? SAID_YES : SAID_NO);
        k->s->n++;
        k->s->n_missing += !found;
        k->other += found && what == SAID_OTHER;
        points->n++;
        points->right += right;
        both &= right;
    }
    points->pictures += asked;
    points->both += asked && both;
    return pool_status(&k->pool);
}

static double points_of(const Points *p)
{
    return p->n ? 100.0 * (double)p->right / (double)p->n + 100.0 * (double)p->both / (double)p->pictures : 0;
}

static Status score(const BenchData *d, Answers *a, Scores *s)
{
    Scoring k = {.a = a, .s = s};
    double sum[2] = {0};
    Status status = over_pictures(d, score_picture, &k);
    for (int t = 0; t < N_TASKS; t++)
        sum[TASKS[t].cognition] += points_of(&k.points[t]);
    scores_add(s, sum[false], "perception");
    scores_add(s, sum[true], "cognition");
    for (int t = 0; t < N_TASKS; t++)
        if (k.points[t].n)
            scores_add(s, points_of(&k.points[t]), "%s", TASKS[t].name);
    scores_count(s, k.other, "other");
    pool_free(&k.pool);
    return status;
}

/* ---------------------------------------------------------------- submission */

typedef struct Submitting {
    const BenchData *d;
    Answers *a;
    char folder[PATH_MAX + sizeof ".partial"], path[PATH_MAX];
    const Task *task; /* of the open file */
    FILE *out;
    Pool pool;
} Submitting;

static Status close_task(Submitting *k)
{
    if (!k->out)
        return OK;
    bool bad = ferror(k->out);
    bad |= fclose(k->out) != 0;
    k->out = NULL;
    return bad ? fail(ERR_IO, "%s: cannot be written", k->path) : OK;
}

static Status open_task(Submitting *k, const Task *task)
{
    char name[64];
    TRY(close_task(k));
    snprintf(name, sizeof name, "%s.txt", task->name);
    k->task = task;
    return file_create_new(&k->out, file_join(k->path, k->folder, name));
}

/* Columns and lines are the format's, so an answer has neither tabs nor line breaks. */
static void put_answer(FILE *out, Span text)
{
    for (size_t i = 0; i < text.n; i++)
        fputc(strchr("\t\r\n", text.s[i]) && text.s[i] ? ' ' : text.s[i], out);
}

static Status submit_picture(void *arg, const Task *task, const Picture *p)
{
    Submitting *k = arg;
    char image[PATH_MAX];
    if (task != k->task)
        TRY(open_task(k, task));
    pool_reset(&k->pool);
    picture_path(image, k->d, task, p->stem);
    for (int i = 0; i < PER_PICTURE; i++) {
        Span text = SPAN(""), question = p->question[i];
        answers_find(k->a, key_of(&k->pool, task->name, p->stem, question), &text);
        fprintf(k->out, "%s\t%.*s\t%s\t", file_part(image), (int)question.n, question.s, p->yes[i] ? "Yes" : "No");
        put_answer(k->out, text);
        fputc('\n', k->out);
    }
    return pool_status(&k->pool);
}

/* A folder that is replaced holds files of tasks only. */
static Status check_name(void *arg, const char *name)
{
    for (int t = 0; t < N_TASKS; t++)
        if (!strncmp(name, TASKS[t].name, strlen(TASKS[t].name)) && !strcmp(name + strlen(TASKS[t].name), ".txt"))
            return OK;
    return fail(ERR_CREATE, "%s: holds \"%s\", which is no file of a task, so it is not replaced; give another --out", (const char *)arg,
                name);
}

static Status submit(const BenchData *d, Answers *a, const char *path)
{
    Submitting k = {.d = d, .a = a};
    char around[PATH_MAX];
    if (file_exists(path))
        TRY(file_list(path, check_name, (void *)(uintptr_t)path));
    snprintf(k.folder, sizeof k.folder, "%s.partial", path);
    TRY(file_make_folders(file_folder(around, path)));
    TRY(file_stage_folder(k.folder));
    Status s = over_pictures(d, submit_picture, &k);
    Status closed = close_task(&k);
    s = s ? s : closed;
    if (!s)
        s = answers_all_known(a);
    if (!s)
        s = file_publish_folder(k.folder, path);
    pool_free(&k.pool);
    return s ? file_discard_folder(k.folder, s) : OK;
}

const Bench BENCH_MME = {.name = "mme",
                         .split = "test",
                         .files = "TASK/*.txt or TASK/questions_answers_YN/*.txt",
                         .pictures = "TASK/ or TASK/images/, named as the .txt",
                         .suffix = SHORT_ANSWER,
                         .metric = "points of perception (2000) and cognition (800)",
                         .max_new_tokens = 128,
                         .key = key,
                         .questions = questions,
                         .score = score,
                         .submit = submit,
                         .submits_folder = true};
