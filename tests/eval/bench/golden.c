/* golden.c: see golden.h. Called by the tests of benchmarks. */
#include "tests/eval/bench/golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"

enum { MOST_BYTES = 1 << 24 };

const char *golden_path(const char *name)
{
    static char path[4][PATH_MAX];
    static int next;
    return file_join(path[next++ % 4], test_dir(), name);
}

void golden_write(const char *name, const char *text) { REQUIRE_OK(file_write(golden_path(name), text, strlen(text))); }

/* ---------------------------------------------------------------- the copy */

typedef struct Copy {
    char from[PATH_MAX], to[PATH_MAX];
} Copy;

static Status copy_tree(void *arg, const char *name)
{
    const Copy *c = arg;
    Copy below;
    file_join(below.from, c->from, name);
    file_join(below.to, c->to, name);
    if (strchr(name, '.'))
        return file_copy(below.from, below.to);
    TRY(file_make_folders(below.to));
    return file_list(below.from, copy_tree, &below);
}

void golden_copy(const char *name)
{
    Copy c;
    snprintf(c.from, sizeof c.from, "%s", test_fixture(name));
    snprintf(c.to, sizeof c.to, "%s", test_dir());
    REQUIRE_OK(file_list(c.from, copy_tree, &c));
}

const char *golden_world(const char *bench)
{
    char name[64];
    snprintf(name, sizeof name, "bench/%s", bench);
    golden_copy(name);
    return test_dir();
}

/* ---------------------------------------------------------------- scores */

static BenchData data_of(const Bench *b, const char *split) { return (BenchData){.dir = test_dir(), .split = split ? split : b->split}; }

static Status read_answers(Answers **a, const Bench *b)
{
    const char *file = golden_path("answers.jsonl");
    return answers_read(a, &file, 1, b->key);
}

Status golden_score(Scores *s, const char *bench, const char *split)
{
    const Bench *b = bench_named(bench);
    REQUIRE(b && b->score);
    const BenchData d = data_of(b, split);
    const char *replies = golden_path("replies.jsonl");
    Answers *a;
    *s = (Scores){0};
    TRY(b->judge && !b->score_replies ? answers_read_replies(&a, &replies, 1) : read_answers(&a, b));
    Status status = b->score(&d, a, s);
    if (!status)
        status = scores_status(s);
    if (!status)
        status = answers_all_known(a);
    answers_free(&a);
    return status;
}

double golden_value(const Scores *s, const char *key)
{
    for (int i = 0; i < s->n_scores; i++)
        if (!strcmp(s->score[i].key, key))
            return s->score[i].value;
    for (int i = 0; i < s->n_parse && !strncmp(key, "parse/", 6); i++)
        if (!strcmp(s->parse[i].key, key + 6))
            return (double)s->parse[i].n;
    return NAN;
}

void golden_check(const Scores *s)
{
    FILE *f = fopen(golden_path("scores.txt"), "r");
    char line[512];
    int n = 0, n_parse = 0;
    REQUIRE(f);
    while (fgets(line, sizeof line, f)) {
        char *tab = strchr(line, '\t');
        REQUIRE(tab);
        *tab = 0;
        double wanted = strtod(tab + 1, NULL), found = golden_value(s, line);
        CHECK_MSG(fabs(found - wanted) <= 1e-12 * fmax(1, fabs(wanted)), "%s is %.17g, wanted %.17g", line, found, wanted);
        if (n == 0)
            CHECK_STR(s->score[0].key, line);
        n++;
        n_parse += !strncmp(line, "parse/", 6);
    }
    fclose(f);
    CHECK_INT(s->n_scores, n - n_parse);
    CHECK_INT(s->n_parse, n_parse);
}

void golden(const char *bench)
{
    Scores s;
    golden_world(bench);
    CHECK_OK(golden_score(&s, bench, NULL));
    golden_check(&s);
    CHECK_INT(s.n_missing, 0);
    scores_free(&s);
}

/* ---------------------------------------------------------------- damage */

static void check_half(const char *bench, const char *file)
{
    char *bytes;
    size_t n;
    Scores s;
    REQUIRE_OK(file_read(&bytes, &n, golden_path(file), MOST_BYTES));
    REQUIRE_OK(file_write(golden_path(file), bytes, n / 2));
    Status status = golden_score(&s, bench, NULL);
    CHECK_MSG(status == ERR_DATA && strstr(status_message(), file), "half of %s: status %d: %s", file, (int)status, status_message());
    scores_free(&s);
    REQUIRE_OK(file_write(golden_path(file), bytes, n));
    mem_free(bytes);
}

void golden_halves(const char *bench, const char *const *files)
{
    golden_world(bench);
    for (; *files; files++)
        check_half(bench, *files);
}

/* ---------------------------------------------------------------- submissions and questions */

void golden_submission(const char *bench, const char *split, const char *wanted)
{
    const Bench *b = bench_named(bench);
    golden_world(bench);
    const BenchData d = data_of(b, split);
    Answers *a;
    JsonDoc *ours, *theirs;
    cJSON *tree;
    char *text, *other;
    REQUIRE_OK(read_answers(&a, b));
    REQUIRE_OK(b->submit(&d, a, golden_path("written.json")));
    REQUIRE_OK(json_read_file(&ours, golden_path("written.json")));
    REQUIRE_OK(json_read_file(&theirs, golden_path(wanted)));
    tree = json_copy(json_root(ours));
    REQUIRE_OK(json_to_text(&text, &tree, JSON_INLINE, "ours"));
    tree = json_copy(json_root(theirs));
    REQUIRE_OK(json_to_text(&other, &tree, JSON_INLINE, "theirs"));
    CHECK_STR(text, other);
    mem_free(text);
    mem_free(other);
    json_free(&ours);
    json_free(&theirs);
    answers_free(&a);
}

typedef struct Listing {
    char *out;
    size_t room;
} Listing;

static Status list_question(void *arg, const BenchQuestion *q)
{
    const Listing *l = arg;
    const size_t n = strlen(l->out);
    snprintf(l->out + n, l->room - n, "%.*s%s|%.*s|%.*s|%s\n", (int)q->id.n, q->id.s, q->number ? "#" : "", (int)q->prompt.n, q->prompt.s,
             (int)q->suffix.n, q->suffix.s ? q->suffix.s : "", q->image ? q->image : "-");
    return OK;
}

Status golden_questions(char *out, size_t room, const char *bench, const char *split)
{
    const Bench *b = bench_named(bench);
    const BenchData d = data_of(b, split);
    *out = 0;
    return b->questions(&d, list_question, &(Listing){out, room});
}
