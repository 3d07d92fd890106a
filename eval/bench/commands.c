/* commands.c: score, submit and judge of every benchmark (commands.h). Called by evaluate. */
#include "eval/bench/commands.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "eval/bench/bench.h"
#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"

enum { MOST_PRINTED = 1 << 30 };

static struct {
    const char *data, *split, *out, *model;
    CliList answers, replies;
    bool allow_missing;
    int format;
} args;

static const char *const FORMATS[] = {"text", "json", NULL};

#define DATA {"--data", CLI_STRING, &args.data, "DIR", "the benchmark's official files (evaluate --list names them)", 0, 0, NULL, false}
#define SPLIT {"--split", CLI_STRING, &args.split, "NAME", "which part of the benchmark (default: the usual one)", 0, 0, NULL, false}
#define ANSWERS                                                                                                                    \
    {"--answers", CLI_STRINGS, &args.answers, "FILE…", "answers, as `ask` and LLaVA write them (-: standard input)", 0, 0, NULL, true}
#define MISSING                                                                                                                    \
    {"--allow-missing", CLI_FLAG, &args.allow_missing, NULL, "more than 1 % of answers may be missing (they are wrong)", 0, 0, \
     NULL, false}
#define FORMAT {"--format", CLI_CHOICE, &args.format, "text|json", "a table, or one JSON object", 0, 0, FORMATS, false}

/* ---------------------------------------------------------------- sharing */

static Status need(const char *value, const char *flag, const char *step)
{
    return value ? OK : fail(ERR_USAGE, "evaluate … %s needs %s; evaluate BENCH %s --help shows all options", step, flag, step);
}

Status bench_check_out(const char *out, bool folder)
{
    struct stat st;
    if (!strcmp(out, "-"))
        return folder ? fail(ERR_USAGE, "--out - is standard output, and what is written is a folder") : OK;
    if (!stat(out, &st) && !(folder ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode)))
        return fail(ERR_CREATE, "--out %s: is %s, which is not replaced by a %s", out, file_kind(st.st_mode), folder ? "folder" : "file");
    return OK;
}

Status bench_data(BenchData *out, const Bench *b, const char *dir, const char *split)
{
    const bool has_splits = strstr(b->files, "SPLIT") || strstr(b->pictures, "SPLIT");
    if (split && !has_splits && strcmp(split, b->split))
        return fail(ERR_USAGE, "%s has one split, \"%s\"; found \"%s\"", b->name, b->split, split);
    *out = (BenchData){.dir = dir, .split = split ? split : b->split};
    return OK;
}

Status bench_chunk(int *chunk, int *n_chunks, const char *text)
{
    char *end = NULL;
    *chunk = *n_chunks = 0;
    if (!text)
        return OK;
    const long k = strtol(text, &end, 10), n = *end == '/' ? strtol(end + 1, &end, 10) : 0;
    if (*end || k < 1 || k > n || n > INT32_MAX)
        return fail(ERR_USAGE, "evaluate: --chunk %s: expected K/N with K from 1 to N, as in 2/8", text);
    *chunk = (int)k;
    *n_chunks = (int)n;
    return OK;
}

static const char AS_WRONG[] = "counts them as wrong";

/* effect: of --allow-missing. */
static Status check_missing(const Scores *s, const Bench *b, const BenchData *d, bool allow_missing, const char *effect)
{
    if (!s->n)
        return bench_empty(b, d);
    if (!allow_missing && s->n_missing * 100 > s->n)
        return fail(ERR_DATA, "%" PRId64 " of %" PRId64 " questions have no answer, which is more than 1 %%; --allow-missing %s",
                    s->n_missing, s->n, effect);
    return OK;
}

static Status count_question(void *n, const BenchQuestion *q)
{
    (void)q;
    ++*(int64_t *)n;
    return OK;
}

/* What an answer to it is known by. */
static Status key_of(const Bench *b, Pool *pool, const BenchQuestion *q, Span *key)
{
    char *text;
    JsonDoc *row;
    *key = q->id;
    if (!b->key)
        return OK;
    cJSON *o = cJSON_CreateObject();
    json_add_bytes(o, "prompt", q->prompt.s, q->prompt.n);
    TRY(json_to_text(&text, &o, JSON_INLINE, "a question"));
    Status s = json_parse(&row, text, strlen(text), "a question");
    mem_free(text);
    TRY(s);
    s = b->key(pool, json_root(row), key);
    *key = span_copy(pool, *key);
    json_free(&row);
    return s ? s : pool_status(pool);
}

/* The first questions, and which of them have no answer. */
typedef struct Expecting {
    const Bench *bench;
    Answers *answers;
    Pool pool;
    int64_t limit, n, n_missing;
    char first[96]; /* that has none */
} Expecting;

static Status expect_answer(void *arg, const BenchQuestion *q)
{
    Expecting *e = arg;
    Span key;
    bool missing;
    if (e->n == e->limit)
        return OK;
    e->n++;
    pool_reset(&e->pool);
    TRY(key_of(e->bench, &e->pool, q, &key));
    TRY(answers_expect(e->answers, key, &missing));
    if (missing && !e->n_missing++)
        snprintf(e->first, sizeof e->first, "%.*s", (int)(q->id.n < 80 ? q->id.n : 80), q->id.s);
    return OK;
}

/* Of the first questions those without an answer were asked too; of the others they were not. */
static Status limit_answers(Answers *a, const Bench *b, const BenchData *d)
{
    Expecting e = {.bench = b, .answers = a, .limit = d->limit};
    answers_limit(a);
    Status s = b->questions(d, expect_answer, &e);
    pool_free(&e.pool);
    if (!s && e.n_missing)
        log_warn("%s: %" PRId64 " of the first %" PRId64 " questions have no answer, the first of them \"%s\"", b->name, e.n_missing, e.n,
                 e.first);
    return s;
}

/* Beyond the first questions nothing was asked. Of a judge's replies a missing one cannot be told from one that was not asked for. */
static Status check_limited(const Scores *s, const Bench *b, const BenchData *d, const char *what)
{
    int64_t n = 0;
    TRY(b->questions(d, count_question, &n));
    n = n < d->limit ? n : d->limit;
    if (s->n != n)
        return fail(ERR_DATA, "there are %s to %" PRId64 " questions, expected those to the first %" PRId64 ", %sand no others", what, s->n,
                    n, s->n < n ? "all " : "");
    return OK;
}

/* replies NULL: without a judge, or `a` are those. */
static Status score_from(Scores *s, const Bench *b, const BenchData *d, Answers *a, Answers *replies, bool allow_missing)
{
    const bool are_replies = b->judge && !b->score_replies;
    if (d->limit && are_replies)
        answers_limit(a);
    else if (d->limit)
        TRY(limit_answers(a, b, d));
    TRY(replies ? b->score_replies(d, a, replies, s) : b->score(d, a, s));
    TRY(scores_status(s));
    if (d->limit)
        TRY(check_limited(s, b, d, are_replies ? "replies" : "answers"));
    TRY(answers_all_known(a));
    if (replies)
        TRY(answers_all_known(replies));
    return check_missing(s, b, d, allow_missing, AS_WRONG);
}

Status bench_score_drawings(Scores *s, const Bench *b, const BenchData *d, const char *made, Networks *n, bool allow_missing)
{
    *s = (Scores){.decimals = 4};
    TRY(b->score_pictures(d, made, n, s));
    TRY(scores_status(s));
    if (s->n_missing == s->n || (!allow_missing && s->n_missing * 100 > s->n))
        return fail(ERR_DATA, "%s: %" PRId64 " of %" PRId64 " pictures are missing%s", made, s->n_missing, s->n,
                    s->n_missing == s->n ? "" : ", which is more than 1 %; --allow-missing scores the others");
    return OK;
}

Status bench_score(Scores *scores, int64_t *n_duplicate, const Bench *b, const BenchData *d, BenchFiles answers, BenchFiles replies,
                   bool allow_missing)
{
    const bool only_replies = b->judge && !b->score_replies, both = b->score_replies && replies.n;
    Answers *a = NULL, *r = NULL;
    *scores = (Scores){0};
    Status s = only_replies ? answers_read_replies(&a, replies.name, replies.n) : answers_read(&a, answers.name, answers.n, b->key);
    if (!s && both)
        s = answers_read_replies(&r, replies.name, replies.n);
    if (!s)
        s = score_from(scores, b, d, a, r, allow_missing);
    scores->n_no_picture = a ? answers_without_picture(a) : 0;
    if (!s && answers_lack_pictures(scores->n_no_picture, scores->n))
        log_warn("%s: %" PRId64 " of %" PRId64 " answers were given without the picture, which could not be read: this score says nothing "
                 "about the model", b->name, scores->n_no_picture, scores->n);
    *n_duplicate = (a ? answers_duplicate(a) : 0) + (r ? answers_duplicate(r) : 0);
    answers_free(&a);
    answers_free(&r);
    return s;
}

Status bench_tell(const Bench *b, const BenchData *d, const Scores *s, int64_t n_duplicate, bool json)
{
    cJSON *o;
    if (!json && !log_is_json()) {
        scores_print(stdout, s, b->name, d->split, n_duplicate);
        return OK;
    }
    TRY(scores_json(&o, s, b->name, d->split, n_duplicate));
    return json_print(stdout, &o, JSON_LINE, "evaluate");
}

static BenchFiles files_of(const CliList *l) { return (BenchFiles){l->items, l->n}; }

static Status score_and_tell(const Bench *b)
{
    BenchData d;
    Scores scores;
    int64_t n_duplicate;
    TRY(bench_data(&d, b, args.data, args.split));
    Status s = bench_score(&scores, &n_duplicate, b, &d, files_of(&args.answers), files_of(&args.replies), args.allow_missing);
    if (!s)
        s = bench_tell(b, &d, &scores, n_duplicate, args.format != 0);
    scores_free(&scores);
    return s;
}

/* ---------------------------------------------------------------- steps */

static Status score(const Bench *b)
{
    if (b->judge && !b->score_replies)
        return fail(ERR_USAGE, "evaluate %s: is scored by a judge model: evaluate %s judge writes its requests and reads its replies",
                    b->name, b->name);
    TRY(need(args.data, "--data DIR", "score"));
    TRY(need(args.answers.n ? "" : NULL, "--answers FILE", "score"));
    return score_and_tell(b);
}

typedef Status (*WriteOut)(const Bench *b, const BenchData *d, const char *path);

/* Through a temporary folder, so that a failure prints nothing. */
static Status print_out(FILE *out, WriteOut write, const Bench *b, const BenchData *d)
{
    char folder[PATH_MAX], path[PATH_MAX], *bytes = NULL;
    size_t n;
    TRY(file_make_temporary(folder, "out"));
    Status s = write(b, d, file_join(path, folder, "out"));
    if (!s)
        s = file_read(&bytes, &n, path, MOST_PRINTED);
    if (!s)
        fwrite(bytes, 1, n, out);
    mem_free(bytes);
    if (file_remove(folder))
        log_warn("%s", status_message());
    return s ? fail(s, "%s", status_message()) : OK;
}

static Status write_out(WriteOut write, const Bench *b, const BenchData *d)
{
    return strcmp(args.out, "-") ? write(b, d, args.out) : print_out(stdout, write, b, d);
}

/* Of questions, those without an answer. */
typedef struct Counting {
    const Bench *bench;
    Answers *answers;
    Pool pool;
    Scores counts;
} Counting;

static Status count_answer(void *arg, const BenchQuestion *q)
{
    Counting *c = arg;
    Span key, text;
    pool_reset(&c->pool);
    TRY(key_of(c->bench, &c->pool, q, &key));
    c->counts.n++;
    c->counts.n_missing += !answers_find(c->answers, key, &text);
    return OK;
}

/* Those that a submission must hold all need no count: it says which is missing. */
static Status check_whole(const Bench *b, const BenchData *d, Answers *a)
{
    Counting c = {.bench = b, .answers = a};
    if (b->submits_all)
        return OK;
    Status s = b->questions(d, count_answer, &c);
    pool_free(&c.pool);
    TRY(s);
    TRY(check_missing(&c.counts, b, d, args.allow_missing, "submits the others"));
    if (c.counts.n_missing)
        log_warn("%" PRId64 " of %" PRId64 " questions have no answer, and have none, or an empty one, in the submission",
                 c.counts.n_missing, c.counts.n);
    return OK;
}

static Status write_submission(const Bench *b, const BenchData *d, const char *path)
{
    Answers *a;
    TRY(answers_read(&a, args.answers.items, args.answers.n, b->key));
    Status s = check_whole(b, d, a);
    if (!s)
        s = b->submit(d, a, path);
    answers_free(&a);
    return s;
}

static Status submit(const Bench *b)
{
    BenchData d;
    if (!b->submit)
        return fail(ERR_USAGE, "evaluate %s: has no server to submit to; evaluate %s score scores here", b->name, b->name);
    TRY(need(args.data, "--data DIR", "submit"));
    TRY(need(args.answers.n ? "" : NULL, "--answers FILE", "submit"));
    TRY(need(args.out, "--out FILE", "submit"));
    TRY(bench_check_out(args.out, b->submits_folder));
    TRY(bench_data(&d, b, args.data, args.split));
    return write_out(write_submission, b, &d);
}

typedef struct Requests {
    FILE *out;
    const char *model;
} Requests;

static void add_message(cJSON *messages, const char *role, Span text)
{
    if (!text.n)
        return;
    cJSON *message = json_add(messages, NULL, cJSON_CreateObject());
    json_add_text(message, "role", role);
    json_add_bytes(message, "content", text.s, text.n);
}

static Status put_request(void *arg, const JudgeRequest *r)
{
    const Requests *requests = arg;
    cJSON *o = cJSON_CreateObject();
    json_add_bytes(o, "custom_id", r->id.s, r->id.n);
    json_add_text(o, "method", "POST");
    json_add_text(o, "url", "/v1/chat/completions");
    cJSON *body = cJSON_AddObjectToObject(o, "body");
    json_add_text(body, "model", requests->model);
    json_add_int(body, "max_completion_tokens", r->max_tokens);
    json_add_real(body, "temperature", r->temperature);
    cJSON *messages = cJSON_AddArrayToObject(body, "messages");
    add_message(messages, "system", r->system);
    add_message(messages, "user", r->user);
    return json_print(requests->out, &o, JSON_LINE, "the requests");
}

static Status write_requests(const Bench *b, const BenchData *d, Answers *a, const char *out, const char *model, bool allow_missing)
{
    FileDraft draft;
    Scores counts = {0};
    TRY(file_draft(&draft, out));
    Requests requests = {draft.out, model ? model : b->judge_model};
    Status s = d->limit ? limit_answers(a, b, d) : OK;
    if (!s)
        s = b->judge(d, a, &counts, put_request, &requests);
    if (!s && d->limit)
        s = check_limited(&counts, b, d, "answers");
    if (!s)
        s = answers_all_known(a);
    if (!s)
        s = check_missing(&counts, b, d, allow_missing, AS_WRONG);
    scores_free(&counts);
    return file_publish(&draft, s);
}

Status bench_requests(const Bench *b, const BenchData *d, BenchFiles answers, const char *out, const char *model, bool allow_missing)
{
    Answers *a;
    TRY(answers_read(&a, answers.name, answers.n, b->key));
    Status s = write_requests(b, d, a, out, model, allow_missing);
    answers_free(&a);
    return s;
}

static Status write_judged(const Bench *b, const BenchData *d, const char *path)
{
    return bench_requests(b, d, files_of(&args.answers), path, args.model, args.allow_missing);
}

static Status judge(const Bench *b)
{
    BenchData d;
    if (!b->judge)
        return fail(ERR_USAGE, "evaluate %s: needs no judge; evaluate %s score scores it", b->name, b->name);
    TRY(need(args.data, "--data DIR", "judge"));
    if (args.replies.n && b->score_replies)
        TRY(need(args.answers.n ? "" : NULL, "--answers FILE beside --replies FILE", "judge"));
    if (args.replies.n)
        return score_and_tell(b);
    TRY(need(args.answers.n ? "" : NULL, "--answers FILE (or --replies FILE)", "judge"));
    TRY(need(args.out, "--out REQUESTS.jsonl", "judge"));
    TRY(bench_check_out(args.out, false));
    TRY(bench_data(&d, b, args.data, args.split));
    return write_out(write_judged, b, &d);
}

/* ---------------------------------------------------------------- the command line */

static const CliOption SCORE_OPTIONS[] = {DATA, ANSWERS, SPLIT, MISSING, FORMAT, {0}},
                       SUBMIT_OPTIONS[] = {
                           DATA, ANSWERS, SPLIT, MISSING,
                           {"--out", CLI_STRING, &args.out, "FILE", "what the benchmark's server takes (-: standard output)", 0, 0, NULL,
                            false},
                           {0}},
                       JUDGE_OPTIONS[] = {
                           DATA, ANSWERS, SPLIT,
                           {"--out", CLI_STRING, &args.out, "FILE", "the requests, a batch file (-: standard output)", 0, 0, NULL, false},
                           {"--model", CLI_STRING, &args.model, "NAME", "the judge (default: the one that the authors asked)", 0, 0, NULL,
                            false},
                           {"--replies", CLI_STRINGS, &args.replies, "FILE…", "result files of the batch, to score from", 0, 0, NULL,
                            true},
                           MISSING, FORMAT, {0}};

static const BenchStep STEPS[] = {
    {"score", "evaluate BENCH score --data DIR --answers FILE… [--format json]", "Scores answers as the benchmark's authors do.",
     SCORE_OPTIONS, score},
    {"submit", "evaluate BENCH submit --data DIR --answers FILE… --out FILE", "Writes the file that the benchmark's server takes.",
     SUBMIT_OPTIONS, submit},
    {"judge", "evaluate BENCH judge --data DIR --answers FILE… --out REQUESTS.jsonl\n"
     "       evaluate BENCH judge --data DIR --replies FILE… (mathvista: and --answers FILE…)",
     "Writes requests to a judge, and scores from its replies.", JUDGE_OPTIONS, judge},
};
enum { N_STEPS = sizeof STEPS / sizeof *STEPS, STEPS_MOST = N_STEPS + 4 };

bool bench_is(const char *word) { return bench_named(word) != NULL; }

bool bench_draws(const char *word)
{
    const Bench *b = bench_named(word);
    return b && b->drawings;
}

int bench_names(const char **names, int room)
{
    int n = 0;
    for (; BENCHES[n] && n < room; n++)
        names[n] = BENCHES[n]->name;
    return n;
}

/* A text in one line: its line breaks as \n. */
static void put_line(FILE *out, const char *text)
{
    for (; *text; text++)
        fputs(*text == '\n' ? "\\n" : (char[2]){*text}, out);
}

Status bench_list(FILE *out)
{
    for (const Bench *const *b = BENCHES; *b; b++) {
        fprintf(out, "%-12s split %s; files %s; pictures %s; prompt \"", (*b)->name, (*b)->split, (*b)->files, (*b)->pictures);
        put_line(out, (*b)->suffix);
        fprintf(out, "\"; metric %s\n", (*b)->metric);
    }
    return OK;
}

/* All steps: those of the caller, and those of this file of which it has none. Returns how many. */
static int list_steps(const BenchStep *list[STEPS_MOST], const BenchStep *const *callers)
{
    int n = 0;
    for (; callers[n]; n++)
        list[n] = callers[n];
    const int n_callers = n;
    for (int i = 0; i < N_STEPS; i++) {
        bool is_callers = false;
        for (int k = 0; k < n_callers; k++)
            is_callers |= !strcmp(STEPS[i].name, callers[k]->name);
        if (!is_callers)
            list[n++] = &STEPS[i];
    }
    return n;
}

static const BenchStep *step_named(const char *name, const BenchStep *const *steps, int n)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(steps[i]->name, name))
            return steps[i];
    return NULL;
}

static Status no_such_step(const char *bench, const char *word, const BenchStep *const *steps, int n)
{
    const char *names[STEPS_MOST];
    for (int i = 0; i < n; i++)
        names[i] = steps[i]->name;
    const char *near = word ? cli_nearest(word, names, n) : NULL;
    char list[128] = "";
    for (int i = 0; i < n; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", names[i]);
    return fail(ERR_USAGE, "evaluate %s %s%s%s%s%s%s", bench, word ? "knows no step \"" : "needs a step", word ? word : "",
                word ? "\"" : "", near ? "; did you mean \"" : ": ", near ? near : list, near ? "\"?" : "");
}

/* evaluate BENCH --help: how each step is called. */
static Status help(const Bench *b, int argc, char **argv, const BenchStep *const *steps, int n, bool *done)
{
    CliOption options[STEPS_MOST + 2] = {{.kind = CLI_HEADING, .help = "steps:"}};
    char usage[2048] = "", summary[512];
    for (int i = 0; i < n; i++) {
        options[i + 1] = (CliOption){.name = steps[i]->name, .kind = CLI_COMMAND, .help = steps[i]->summary};
        snprintf(usage + strlen(usage), sizeof usage - strlen(usage), "%s%s", i ? "\n       " : "", steps[i]->usage);
    }
    snprintf(summary, sizeof summary, "The benchmark %s (%s), scored by its %s. evaluate %s STEP --help shows what a step takes.", b->name,
             b->files, b->metric, b->name);
    const CliProgram program = {.name = "evaluate", .summary = summary, .usage = usage, .options = options};
    return cli_parse(&program, argc, argv, done);
}

Status bench_run(int argc, char **argv, const BenchStep *const *callers)
{
    const Bench *b = bench_named(argv[0]);
    const BenchStep *steps[STEPS_MOST];
    const int n = list_steps(steps, callers);
    const BenchStep *step = argc > 1 ? step_named(argv[1], steps, n) : NULL;
    bool done = false;
    if (argc > 1 && *argv[1] == '-')
        TRY(help(b, argc, argv, steps, n, &done));
    if (done)
        return OK;
    if (!step)
        return no_such_step(argv[0], argc > 1 ? argv[1] : NULL, steps, n);
    const CliProgram program = {.name = "evaluate", .summary = step->summary, .usage = step->usage, .options = step->options};
    TRY(cli_parse(&program, argc - 1, argv + 1, &done));
    return done ? OK : step->run(b);
}
