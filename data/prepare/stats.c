/* stats.c: counts what a mixture holds (stats.h). Called by `prepare --stats`. */
#include "data/prepare/stats.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/arena.h"
#include "kernels/base/log.h"

const int PERCENTILES[N_PERCENTILES] = {50, 75, 90, 95, 99};

/* What is kept while rows are counted. */
typedef struct Counting {
    Stats *stats;
    ScanRow row;
    ScanRef *refs;
    char *line;
    size_t refs_capacity, line_capacity; /* bytes */
    Earlier earlier;
    uint32_t *whole;      /* [good rows] lengths */
    uint16_t *shown_by;   /* [pictures] the source that counted it last, from 1 */
    uint16_t *first_by;   /* [pictures] the first source that shows it, from 1; of rows that stay */
    int64_t source_first; /* of `whole` */
} Counting;

/* ---------------------------------------------------------------- lengths */

static int by_length(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Sorts them. */
static Lengths lengths_of(uint32_t *whole, int64_t n)
{
    Lengths l = {0};
    if (!n)
        return l;
    qsort(whole, (size_t)n, sizeof *whole, by_length);
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += whole[i];
    l.mean = (double)sum / (double)n;
    for (int p = 0; p < N_PERCENTILES; p++)
        l.percentile[p] = whole[(n * PERCENTILES[p] + 99) / 100 - 1];
    l.least = whole[0];
    l.most = whole[n - 1];
    return l;
}

/* ---------------------------------------------------------------- a row */

static Status make_room(void *array, size_t *capacity, size_t bytes)
{
    void **at = array;
    if (bytes <= *capacity)
        return OK;
    mem_free(*at);
    *at = mem_alloc(2 * bytes);
    *capacity = *at ? 2 * bytes : 0;
    return *at ? OK : fail(ERR_NOMEM, "no memory for %zu bytes of the scan", bytes);
}

static Status read_row(Counting *c, int64_t k)
{
    TRY(scan_rows(c->stats->scan, k, 1, &c->row));
    TRY(make_room(&c->refs, &c->refs_capacity, c->row.n_pictures * sizeof *c->refs));
    TRY(make_room(&c->line, &c->line_capacity, c->row.n_text));
    return scan_row_contents(c->stats->scan, &c->row, c->refs, NULL, NULL, c->line);
}

/* Of a row's pictures' bytes and roles, with its task. */
static Status hash_pictures(const Counting *c, uint64_t *hash)
{
    *hash = c->row.index.task;
    for (uint32_t i = 0; i < c->row.n_pictures; i++) {
        ScanPicture p;
        TRY(scan_picture(c->stats->scan, c->refs[i].picture, &p));
        *hash = XXH3_64bits_withSeed(p.info.sha256, sizeof p.info.sha256, *hash + c->refs[i].role);
    }
    return OK;
}

static Status copy_path(char **out, const ScanFiles *scan, uint32_t picture, const ScanPicture *p)
{
    char root[PATH_MAX], path[PATH_MAX];
    TRY(scan_name(scan, picture, p, root, path));
    *out = mem_strdup(path);
    return *out ? OK : fail(ERR_NOMEM, "no memory for a name");
}

static Status add_near(Counting *c, const NearPicture *near)
{
    Stats *s = c->stats;
    ScanPicture p, q;
    const int source = c->row.index.source, earlier = c->first_by[near->earlier] - 1;
    TRY(scan_picture(s->scan, near->picture, &p));
    TRY(scan_picture(s->scan, near->earlier, &q));
    s->near_rows++;
    s->near_same += !memcmp(p.info.sha256, q.info.sha256, sizeof p.info.sha256);
    s->sources[source].near_rows++;
    TRY(pairs_add(&s->near_pairs, source, earlier));
    for (int i = 0; i < s->n_near; i++)
        if (s->near[i].number == near->picture)
            return OK;
    if (s->n_near == STATS_EXAMPLES)
        return OK;
    NearExample *e = &s->near[s->n_near++];
    *e = (NearExample){.number = near->picture, .source = source, .earlier_source = earlier, .bits = near->bits};
    TRY(copy_path(&e->picture, s->scan, near->picture, &p));
    return copy_path(&e->earlier, s->scan, near->earlier, &q);
}

/* *stays: the row is among those that the shards would hold. */
static Status look_for_near(Counting *c, bool *stays)
{
    Stats *s = c->stats;
    NearPicture near;
    bool found;
    TRY(earlier_find(&c->earlier, s->scan, &c->row, c->refs, &near, &found));
    *stays = !found || !s->o->mixture->drop_near;
    if (found)
        return add_near(c, &near);
    for (uint32_t i = 0; i < c->row.n_pictures; i++)
        if (!c->first_by[c->refs[i].picture])
            c->first_by[c->refs[i].picture] = (uint16_t)(c->row.index.source + 1);
    return earlier_add(&c->earlier, s->scan, &c->row, c->refs);
}

static void end_source(Counting *c, int source)
{
    Stats *s = c->stats;
    s->sources[source].lengths = lengths_of(c->whole + c->source_first, s->rows - c->source_first);
    c->source_first = s->rows;
}

static Status count_row(Counting *c, int64_t k)
{
    Stats *s = c->stats;
    SourceStats *source = &s->sources[c->row.index.source];
    uint64_t pictures;
    c->whole[s->rows++] = c->row.n_whole;
    source->n++;
    source->rows[c->row.index.task]++;
    source->tokens += c->row.index.expanded;
    source->trained += c->row.n_trained;
    source->cut_rows += c->row.n_cut > 0;
    s->cut_tokens += c->row.n_cut;
    for (uint32_t i = 0; i < c->row.n_pictures; i++) {
        uint16_t *by = &c->shown_by[c->refs[i].picture];
        source->pictures += *by != c->row.index.source + 1;
        *by = (uint16_t)(c->row.index.source + 1);
    }
    TRY(hash_pictures(c, &pictures));
    return texts_add(&s->texts, k, c->row.index.source, c->line, c->row.n_text, pictures);
}

static Status count_rows(Counting *c)
{
    Stats *s = c->stats;
    int source = 0;
    for (int64_t k = 0; k < s->scan->totals.good; k++) {
        bool stays;
        TRY(read_row(c, k));
        for (; source < c->row.index.source; source++)
            end_source(c, source);
        TRY(look_for_near(c, &stays));
        if (stays)
            TRY(count_row(c, k));
        log_progress("counting rows: %lld of %lld", (long long)k + 1, (long long)s->scan->totals.good);
    }
    log_progress_end();
    for (; source < s->o->mixture->n_sources; source++)
        end_source(c, source);
    s->lengths = lengths_of(c->whole, s->rows);
    pairs_sum_up(&s->near_pairs);
    return texts_sum_up(&s->texts, s->scan);
}

/* ---------------------------------------------------------------- pictures */

static Status count_pictures(Stats *s)
{
    Table files = {.n = 0};
    Status status = OK;
    s->pictures.names = s->scan->totals.pictures;
    for (int64_t i = 0; i < s->pictures.names && !status; i++) {
        ScanPicture p;
        uint32_t number;
        bool is_new = false;
        status = scan_picture(s->scan, (uint32_t)i, &p);
        if (!status && !p.info.reject) {
            status = numbers_of(&files, p.info.sha256, &number, &is_new);
            s->pictures.renamed += p.info.renamed;
        } else if (!status) {
            s->pictures.rejected[p.info.reject]++;
        }
        s->pictures.bytes += is_new ? p.info.bytes : 0;
    }
    s->pictures.files = (int64_t)files.n;
    table_free(&files);
    return status;
}

/* ---------------------------------------------------------------- all */

static Status count_all(Stats *s)
{
    const ScanFiles *scan = s->scan;
    Counting c = {.stats = s,
                  .whole = mem_alloc((size_t)scan->totals.good * sizeof *c.whole),
                  .shown_by = mem_alloc((size_t)scan->totals.pictures * sizeof *c.shown_by),
                  .first_by = mem_alloc((size_t)scan->totals.pictures * sizeof *c.first_by)};
    s->sources = mem_alloc((size_t)s->o->mixture->n_sources * sizeof *s->sources);
    Status status = c.whole && c.shown_by && c.first_by && s->sources ? OK : fail(ERR_NOMEM, "no memory to count rows");
    if (!status)
        status = count_pictures(s);
    if (!status)
        status = count_rows(&c);
    earlier_free(&c.earlier);
    mem_free(c.refs);
    mem_free(c.line);
    mem_free(c.whole);
    mem_free(c.shown_by);
    mem_free(c.first_by);
    return status;
}

static void free_stats(Stats *s)
{
    for (int i = 0; i < s->n_near; i++) {
        mem_free(s->near[i].picture);
        mem_free(s->near[i].earlier);
    }
    mem_free(s->near_pairs.pair);
    mem_free(s->sources);
    texts_free(&s->texts);
}

typedef struct Asked {
    const PrepareOptions *o;
    FILE *out;
    bool json;
} Asked;

static Status tell(void *asked, const ScanFiles *scan)
{
    const Asked *a = asked;
    Stats s = {.o = a->o, .scan = scan};
    Status status = count_all(&s);
    if (!status)
        status = stats_write(&s, a->out, a->json);
    free_stats(&s);
    return status ? status : outcome_judge(&scan->outcome, a->o);
}

Status prepare_stats(const PrepareOptions *o, FILE *out, bool json)
{
    Mixture all = *o->mixture;
    PrepareOptions lenient = *o;
    PrepareResult result;
    all.drop_near = false; /* which rows that leaves out is counted here */
    lenient.mixture = &all;
    lenient.strict = false; /* a mixture that is refused is told of, too */
    lenient.max_bad = 1;
    return survey_run(&lenient, SCAN_LINES, tell, &(Asked){o, out, json}, &result);
}
