/* stats_write.c: what a mixture holds, for people and as JSON (stats.h). Called by stats.c. */
#include <inttypes.h>
#include <string.h>

#include "data/formats/json_write.h"
#include "data/prepare/stats.h"
#include "kernels/base/utf8.h"

static const char *source_name(const Stats *s, int i) { return s->o->mixture->sources[i].name; }

/* ---------------------------------------------------------------- shares of an epoch */

/* How often an epoch has rows of a source: its weight, rescaled where the mixture says how long an epoch is. */
static double copies_of(const Stats *s, int i)
{
    const Mixture *m = s->o->mixture;
    double all = 0;
    for (int k = 0; k < m->n_sources; k++)
        all += m->sources[k].weight * (double)s->sources[k].n;
    return m->sources[i].weight * (m->epoch > 0 && all > 0 ? m->epoch / all : 1);
}

typedef struct Epoch {
    double rows, tokens; /* on average */
} Epoch;

static Epoch epoch_of(const Stats *s, int i)
{
    const double copies = copies_of(s, i);
    return (Epoch){copies * (double)s->sources[i].n, copies * (double)s->sources[i].tokens};
}

static Epoch whole_epoch(const Stats *s)
{
    Epoch all = {0};
    for (int i = 0; i < s->o->mixture->n_sources; i++) {
        all.rows += epoch_of(s, i).rows;
        all.tokens += epoch_of(s, i).tokens;
    }
    return all;
}

static double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

/* ---------------------------------------------------------------- rows that are left out */

/* Of one source, or of all (-1). */
static int64_t left_out(const Stats *s, int source, Reject why)
{
    const Outcome *o = &s->scan->outcome;
    if (why == REJECT_NEAR && s->o->mixture->drop_near)
        return source < 0 ? s->near_rows : s->sources[source].near_rows;
    return source < 0 ? outcome_count(o, why) : o->rows[source][why];
}

static int64_t bad_rows(const Stats *s, int source, bool choices)
{
    int64_t n = 0;
    for (int r = REJECT_NONE + 1; r < N_REASONS; r++)
        n += reject_is_choice((Reject)r) == choices ? left_out(s, source, (Reject)r) : 0;
    return n;
}

/* ---------------------------------------------------------------- as JSON */

static void add_left_out(cJSON *to, const Stats *s, int source)
{
    cJSON *bad = cJSON_AddObjectToObject(to, "bad"), *choice = cJSON_AddObjectToObject(to, "left_out");
    for (int r = REJECT_NONE + 1; r < N_REASONS; r++) {
        const int64_t n = left_out(s, source, (Reject)r);
        if (reject_is_choice((Reject)r))
            json_add_int(choice, outcome_choice_name((Reject)r), n);
        else if (n)
            json_add_int(bad, reject_name((Reject)r), n);
    }
}

static void add_lengths(cJSON *to, const Lengths *l)
{
    cJSON *o = cJSON_AddObjectToObject(to, "lengths");
    json_add_int(o, "least", l->least);
    for (int p = 0; p < N_PERCENTILES; p++) {
        char key[8];
        snprintf(key, sizeof key, "p%d", PERCENTILES[p]);
        json_add_int(o, key, l->percentile[p]);
    }
    json_add_int(o, "most", l->most);
    json_add_real(o, "mean", l->mean);
}

static void add_source(cJSON *list, const Stats *s, int i)
{
    const SourceStats *source = &s->sources[i];
    const Epoch mine = epoch_of(s, i), all = whole_epoch(s);
    cJSON *o = json_add(list, NULL, cJSON_CreateObject()), *tasks;
    json_add_text(o, "name", source_name(s, i));
    json_add_int(o, "rows", source->n);
    tasks = cJSON_AddObjectToObject(o, "tasks");
    for (int t = 0; t < N_TASKS; t++)
        json_add_int(tasks, TASK_NAMES[t], source->rows[t]);
    add_left_out(o, s, i);
    json_add_int(o, "pictures", source->pictures);
    json_add_int(o, "tokens", source->tokens);
    json_add_int(o, "trained_tokens", source->trained);
    json_add_int(o, "cut_rows", source->cut_rows);
    add_lengths(o, &source->lengths);
    json_add_int(o, "near_rows", source->near_rows);
    json_add_real(o, "weight", s->o->mixture->sources[i].weight);
    json_add_real(o, "epoch_rows", mine.rows);
    json_add_real(o, "share_of_rows", share(mine.rows, all.rows));
    json_add_real(o, "share_of_tokens", share(mine.tokens, all.tokens));
}

static void add_pictures(cJSON *to, const PictureStats *p)
{
    cJSON *o = cJSON_AddObjectToObject(to, "pictures"), *bad;
    json_add_int(o, "names", p->names);
    json_add_int(o, "files", p->files);
    json_add_int(o, "bytes", p->bytes);
    json_add_int(o, "renamed", p->renamed);
    bad = cJSON_AddObjectToObject(o, "bad");
    for (int r = REJECT_NONE + 1; r < N_REASONS; r++)
        if (p->rejected[r])
            json_add_int(bad, reject_name((Reject)r), p->rejected[r]);
}

static void add_pairs(cJSON *to, const Stats *s, const PairList *p)
{
    cJSON *list = cJSON_AddArrayToObject(to, "sources");
    for (int i = 0; i < p->n_most; i++) {
        cJSON *pair = json_add(list, NULL, cJSON_CreateObject());
        json_add_text(pair, "source", source_name(s, p->most[i].source));
        json_add_text(pair, "earlier", source_name(s, p->most[i].earlier));
        json_add_int(pair, "rows", p->most[i].rows);
    }
}

static void add_equal(cJSON *to, const Stats *s)
{
    const TextStats *t = &s->texts;
    cJSON *o = cJSON_AddObjectToObject(to, "equal_rows"), *list;
    json_add_int(o, "rows", t->equal);
    json_add_int(o, "across_sources", t->equal_across);
    add_pairs(o, s, &t->pairs);
    list = cJSON_AddArrayToObject(o, "examples");
    for (int i = 0; i < t->n_examples; i++) {
        cJSON *example = json_add(list, NULL, cJSON_CreateObject());
        json_add_text(example, "uid", t->examples[i].uid);
        json_add_text(example, "earlier", t->examples[i].earlier_uid);
    }
}

static void add_near(cJSON *to, const Stats *s)
{
    cJSON *o = cJSON_AddObjectToObject(to, "near_pictures"), *list;
    json_add_text(o, "near_duplicates", s->o->mixture->drop_near ? "drop" : "keep");
    json_add_int(o, "rows", s->near_rows);
    json_add_int(o, "same_file", s->near_same);
    add_pairs(o, s, &s->near_pairs);
    list = cJSON_AddArrayToObject(o, "examples");
    for (int i = 0; i < s->n_near; i++) {
        const NearExample *e = &s->near[i];
        cJSON *example = json_add(list, NULL, cJSON_CreateObject());
        json_add_text(example, "picture", e->picture);
        json_add_text(example, "source", source_name(s, e->source));
        json_add_text(example, "earlier", e->earlier);
        json_add_text(example, "earlier_source", source_name(s, e->earlier_source));
        json_add_int(example, "bits", e->bits);
    }
}

static Status write_json(const Stats *s, FILE *out)
{
    int64_t cut = 0;
    cJSON *o = cJSON_CreateObject(), *list;
    cJSON_AddStringToObject(o, "schema", "genllava.stats/1");
    json_add_int(o, "rows", s->rows);
    add_left_out(o, s, -1);
    list = cJSON_AddArrayToObject(o, "sources");
    for (int i = 0; i < s->o->mixture->n_sources; i++) {
        add_source(list, s, i);
        cut += s->sources[i].cut_rows;
    }
    json_add_real(o, "epoch_rows", whole_epoch(s).rows);
    add_lengths(o, &s->lengths);
    json_add_int(o, "max_tokens", s->o->encoder.max_tokens);
    json_add_int(o, "cut_rows", cut);
    json_add_int(o, "cut_trained_tokens", s->cut_tokens);
    add_pictures(o, &s->pictures);
    list = cJSON_AddArrayToObject(o, "answers");
    for (int i = 0; i < s->texts.n_top; i++) {
        cJSON *answer = json_add(list, NULL, cJSON_CreateObject());
        json_add_bytes(answer, "text", s->texts.top[i].text, s->texts.top[i].length);
        json_add_int(answer, "n", s->texts.top[i].n);
    }
    add_equal(o, s);
    add_near(o, s);
    return json_print(out, &o, JSON_LINE, "the statistics");
}

/* ---------------------------------------------------------------- for people */

enum { NAME_COLUMNS = 20, ANSWER_BYTES = 80 };

static void put_source(const Stats *s, FILE *out, int i)
{
    const SourceStats *source = &s->sources[i];
    const Epoch mine = epoch_of(s, i), all = whole_epoch(s);
    utf8_cell(out, source_name(s, i), NAME_COLUMNS);
    fprintf(out, " %10" PRId64 " %10" PRId64 " %10" PRId64 " %8" PRId64 " %8" PRId64 " %9" PRId64 " %7g %11.0f %6.1f %% %6.1f %%\n",
            source->rows[TASK_UNDERSTAND], source->rows[TASK_GENERATE], source->rows[TASK_EDIT], bad_rows(s, i, false),
            bad_rows(s, i, true), source->pictures, s->o->mixture->sources[i].weight, mine.rows, 100 * share(mine.rows, all.rows),
            100 * share(mine.tokens, all.tokens));
}

/* "; bad: 3 missing, 1 corrupt" */
static void put_reasons(const Stats *s, FILE *out, const char *what, bool choices)
{
    const char *before = "; ", *colon = ": ";
    for (int r = REJECT_NONE + 1; r < N_REASONS; r++) {
        const int64_t n = left_out(s, -1, (Reject)r);
        if (!n || reject_is_choice((Reject)r) != choices)
            continue;
        fprintf(out, "%s%s%s%" PRId64 " %s", before, what, colon, n, choices ? outcome_choice_name((Reject)r) : reject_name((Reject)r));
        before = ", ";
        what = colon = "";
    }
}

static void put_sources(const Stats *s, FILE *out)
{
    fprintf(out, "%-*s %10s %10s %10s %8s %8s %9s %7s %11s %8s %8s\n", NAME_COLUMNS, "source", "understand", "generate", "edit", "bad",
            "left out", "pictures", "weight", "in an epoch", "of rows", "of tokens");
    for (int i = 0; i < s->o->mixture->n_sources; i++)
        put_source(s, out, i);
    fprintf(out, "\n%" PRId64 " row%s", s->rows, status_plural(s->rows));
    put_reasons(s, out, "bad", false);
    put_reasons(s, out, "left out", true);
    fprintf(out, "\n");
}

static void put_length(FILE *out, const char *name, const Lengths *l)
{
    utf8_cell(out, name, NAME_COLUMNS);
    fprintf(out, " %8u", l->least);
    for (int p = 0; p < N_PERCENTILES; p++)
        fprintf(out, " %8u", l->percentile[p]);
    fprintf(out, " %8u %10.1f\n", l->most, l->mean);
}

static void put_lengths(const Stats *s, FILE *out)
{
    int64_t cut = 0;
    fprintf(out, "\n%-*s %8s", NAME_COLUMNS, "tokens of a row", "least");
    for (int p = 0; p < N_PERCENTILES; p++)
        fprintf(out, " %6d %%", PERCENTILES[p]);
    fprintf(out, " %8s %10s\n", "most", "mean");
    for (int i = 0; i < s->o->mixture->n_sources; i++) {
        put_length(out, source_name(s, i), &s->sources[i].lengths);
        cut += s->sources[i].cut_rows;
    }
    put_length(out, "all", &s->lengths);
    fprintf(out, "%" PRId64 " row%s cut to data.max_tokens = %" PRId64 ", which costs %" PRId64 " trained token%s\n", cut,
            cut == 1 ? " is" : "s are", s->o->encoder.max_tokens, s->cut_tokens, status_plural(s->cut_tokens));
}

static void put_pictures(const PictureStats *p, FILE *out)
{
    char size[32];
    fprintf(out, "\npictures: %" PRId64 " name%s, %" PRId64 " different file%s (%s)", p->names, status_plural(p->names), p->files,
            status_plural(p->files), file_size_text(size, sizeof size, (size_t)p->bytes));
    for (int r = REJECT_NONE + 1; r < N_REASONS; r++)
        if (p->rejected[r])
            fprintf(out, ", %" PRId64 " %s", p->rejected[r], reject_name((Reject)r));
    if (p->renamed)
        fprintf(out, ", %" PRId64 " found under another ending", p->renamed);
    fprintf(out, "\n");
}

static void put_answers(const TextStats *t, FILE *out)
{
    if (!t->n_top)
        return;
    fprintf(out, "\nmost frequent answers\n");
    for (int i = 0; i < t->n_top; i++) {
        const AnswerStats *a = &t->top[i];
        const size_t n = a->length > ANSWER_BYTES ? utf8_whole(a->text, ANSWER_BYTES) : a->length;
        fprintf(out, "%10" PRId64 "  ", a->n);
        utf8_put(out, a->text, n, UTF8_LINE);
        fputs(n < a->length ? " …\n" : "\n", out);
    }
}

static void put_pairs(const Stats *s, FILE *out, const PairList *p, const char *what)
{
    for (int i = 0; i < p->n_most; i++) {
        fprintf(out, "%10" PRId64 "  rows of ", p->most[i].rows);
        utf8_cell(out, source_name(s, p->most[i].source), 0);
        fprintf(out, " %s ", what);
        utf8_cell(out, source_name(s, p->most[i].earlier), 0);
        fprintf(out, "\n");
    }
}

static void put_equal(const Stats *s, FILE *out)
{
    const TextStats *t = &s->texts;
    fprintf(out, "\nrows that say and show what an earlier row does: %" PRId64 ", of them one of another source: %" PRId64 "\n", t->equal,
            t->equal_across);
    put_pairs(s, out, &t->pairs, "equal rows of");
    for (int i = 0; i < t->n_examples; i++) {
        fprintf(out, "            ");
        utf8_cell(out, t->examples[i].uid, 0);
        fprintf(out, " = ");
        utf8_cell(out, t->examples[i].earlier_uid, 0);
        fprintf(out, "\n");
    }
}

static void put_near(const Stats *s, FILE *out)
{
    fprintf(out, "\nrows that show nearly what an earlier source shows: %" PRId64 ", of them the same file: %" PRId64 "\n", s->near_rows,
            s->near_same);
    if (s->near_rows)
        fprintf(out,
                s->o->mixture->drop_near ? "they are left out (near_duplicates)\n" : "\"near_duplicates\": \"drop\" leaves them out\n");
    put_pairs(s, out, &s->near_pairs, "show what is in");
    for (int i = 0; i < s->n_near; i++) {
        const NearExample *e = &s->near[i];
        fprintf(out, "            ");
        utf8_cell(out, e->picture, 0);
        fprintf(out, " (");
        utf8_cell(out, source_name(s, e->source), 0);
        fprintf(out, ") ~ ");
        utf8_cell(out, e->earlier, 0);
        fprintf(out, " (");
        utf8_cell(out, source_name(s, e->earlier_source), 0);
        fprintf(out, "), %d bit%s apart\n", e->bits, status_plural(e->bits));
    }
}

Status stats_write(const Stats *s, FILE *out, bool json)
{
    if (json)
        return write_json(s, out);
    put_sources(s, out);
    put_lengths(s, out);
    put_pictures(&s->pictures, out);
    put_answers(&s->texts, out);
    put_equal(s, out);
    put_near(s, out);
    return OK;
}
