/* scores.c: see scores.h. Called by evaluate and its benchmarks. */
#include "eval/bench/scores.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "kernels/base/utf8.h"

enum { RESAMPLES = 1000, SEED = 42, KEY_COLUMNS = 36 };

void scores_free(Scores *s)
{
    pool_free(&s->pool);
    mem_free(s->score);
    mem_free(s->parse);
    *s = (Scores){0};
}

Status scores_status(const Scores *s)
{
    return s->failed || s->pool.failed ? fail(ERR_NOMEM, "no memory for the scores of a benchmark") : OK;
}

/* ---------------------------------------------------------------- adding */

/* One more element of an array; NULL: no memory. */
static void *one_more(Scores *s, void **array, int *n, int *room, size_t size)
{
    if (*n == *room) {
        void *more = mem_grow(*array, (size_t)(2 * *room + 16) * size);
        s->failed |= !more;
        if (!more)
            return NULL;
        *array = more;
        *room = 2 * *room + 16;
    }
    return (char *)*array + (size_t)(*n)++ * size;
}

static void add_score(Scores *s, Score score, const char *format, va_list args)
{
    char key[512];
    void *array = s->score;
    vsnprintf(key, sizeof key, format, args);
    score.key = span_copy(&s->pool, span_of(key)).s;
    Score *at = one_more(s, &array, &s->n_scores, &s->room, sizeof score);
    s->score = array;
    if (at)
        *at = score;
}

void scores_add(Scores *s, double value, const char *key, ...)
{
    va_list args;
    va_start(args, key);
    add_score(s, (Score){.value = value, .low = NAN, .high = NAN}, key, args);
    va_end(args);
}

/* Wilson's score interval. */
static void wilson(Score *out, int64_t right, int64_t n)
{
    const double z = 1.959963984540054, share = (double)right / (double)n, zz = z * z / (double)n;
    const double middle = (share + zz / 2) / (1 + zz);
    const double half = z * sqrt(share * (1 - share) / (double)n + zz / (4 * (double)n)) / (1 + zz);
    out->low = 100 * fmax(0, middle - half);
    out->high = 100 * fmin(1, middle + half);
}

void scores_share(Scores *s, int64_t right, int64_t n, const char *key, ...)
{
    Score score = {.value = n ? 100.0 * (double)right / (double)n : 0, .low = NAN, .high = NAN};
    va_list args;
    if (n)
        wilson(&score, right, n);
    va_start(args, key);
    add_score(s, score, key, args);
    va_end(args);
}

static int by_value(const void *a, const void *b)
{
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

/* Percentiles of resampled means. Random numbers are hashes of their place, so the same on every machine. */
static void bootstrap(Scores *s, Score *out, const double *values, int64_t n)
{
    double *means = mem_alloc(RESAMPLES * sizeof *means);
    s->failed |= !means;
    for (int r = 0; r < RESAMPLES && means; r++) {
        for (int64_t i = 0; i < n; i++) {
            const uint64_t at[2] = {(uint64_t)r, (uint64_t)i};
            means[r] += values[XXH3_64bits_withSeed(at, sizeof at, SEED) % (uint64_t)n];
        }
        means[r] /= (double)n;
    }
    if (!means)
        return;
    qsort(means, RESAMPLES, sizeof *means, by_value);
    out->low = 100 * means[RESAMPLES * 25 / 1000];
    out->high = 100 * means[RESAMPLES * 975 / 1000 - 1];
    mem_free(means);
}

void scores_mean(Scores *s, const double *values, int64_t n, const char *key, ...)
{
    Score score = {.low = NAN, .high = NAN};
    va_list args;
    for (int64_t i = 0; i < n; i++)
        score.value += values[i];
    score.value = n ? 100 * score.value / (double)n : 0;
    if (n)
        bootstrap(s, &score, values, n);
    va_start(args, key);
    add_score(s, score, key, args);
    va_end(args);
}

void scores_count(Scores *s, int64_t n, const char *key)
{
    void *array = s->parse;
    Count *at = one_more(s, &array, &s->n_parse, &s->parse_room, sizeof *at);
    s->parse = array;
    if (at)
        *at = (Count){key, n};
}

/* ---------------------------------------------------------------- groups */

Group *groups_at(Scores *s, Groups *g, Span name)
{
    for (int i = 0; i < g->n; i++)
        if (span_equal(g->item[i].name, name))
            return &g->item[i];
    void *array = g->item;
    Group *at = one_more(s, &array, &g->n, &g->room, sizeof *at);
    g->item = array;
    if (at)
        *at = (Group){.name = span_copy(&s->pool, name)};
    return at;
}

void groups_free(Groups *g)
{
    mem_free(g->item);
    *g = (Groups){0};
}

void groups_share(Scores *s, const Groups *g, const char *prefix)
{
    for (int i = 0; i < g->n; i++)
        scores_share(s, g->item[i].right, g->item[i].n, "%s/%s", prefix, g->item[i].name.s);
}

void groups_mean(Scores *s, const Groups *g, const char *prefix)
{
    for (int i = 0; i < g->n; i++)
        scores_add(s, 100 * g->item[i].sum / (double)g->item[i].n, "%s/%s", prefix, g->item[i].name.s);
}

/* ---------------------------------------------------------------- telling */

Status scores_json(cJSON **out, const Scores *s, const char *bench, const char *split, int64_t n_duplicate)
{
    TRY(scores_status(s));
    cJSON *o = *out = cJSON_CreateObject();
    json_add_text(o, "bench", bench);
    json_add_text(o, "split", split);
    json_add_int(o, "n", s->n);
    json_add_int(o, "n_missing", s->n_missing);
    json_add_int(o, "n_duplicate", n_duplicate);
    if (s->n_no_picture)
        json_add_int(o, "n_no_picture", s->n_no_picture);
    json_add_real(o, "score", s->n_scores ? s->score[0].value : NAN);
    cJSON *scores = cJSON_AddObjectToObject(o, "scores"), *intervals = cJSON_CreateObject();
    for (int i = 0; i < s->n_scores; i++) {
        json_add_real(scores, s->score[i].key, s->score[i].value);
        if (isnan(s->score[i].low))
            continue;
        cJSON *interval = cJSON_AddArrayToObject(intervals, s->score[i].key);
        json_add_real(interval, NULL, s->score[i].low);
        json_add_real(interval, NULL, s->score[i].high);
    }
    cJSON *parse = cJSON_AddObjectToObject(o, "parse");
    for (int i = 0; i < s->n_parse; i++)
        json_add_int(parse, s->parse[i].key, s->parse[i].n);
    json_add_text(cJSON_AddObjectToObject(o, "config"), "version", GENLLAVA_VERSION);
    json_add(o, "intervals", intervals);
    return OK;
}

void scores_print(FILE *out, const Scores *s, const char *bench, const char *split, int64_t n_duplicate)
{
    fprintf(out, "%s %s: %" PRId64 " questions, %" PRId64 " without an answer", bench, split, s->n, s->n_missing);
    if (n_duplicate)
        fprintf(out, ", %" PRId64 " answered again later", n_duplicate);
    if (s->n_no_picture)
        fprintf(out, ", %" PRId64 " with an empty one, as their PICTURE IS MISSING", s->n_no_picture);
    fputc('\n', out);
    for (int i = 0; i < s->n_scores; i++) {
        utf8_cell(out, s->score[i].key, KEY_COLUMNS);
        if (isfinite(s->score[i].value))
            fprintf(out, " %9.*f", s->decimals ? s->decimals : 2, s->score[i].value);
        else
            fprintf(out, " %9s", "-");
        if (!isnan(s->score[i].low))
            fprintf(out, "   %.2f to %.2f", s->score[i].low, s->score[i].high);
        fputc('\n', out);
    }
    for (int i = 0; i < s->n_parse; i++)
        if (s->parse[i].n)
            fprintf(out, "%-*s %9" PRId64 "\n", KEY_COLUMNS, s->parse[i].key, s->parse[i].n);
}
