/* instructpix2pix.c: rows of a folder in the layout of InstructPix2Pix: ROOT/NAME/SEED_0.jpg and _1.jpg, prompt.json and metadata.jsonl
 * beside them, seeds.json above. A row a pair. Called by records.c, through the table in formats.c. */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "data/records/format.h"
#include "data/records/listing.h"
#include "data/records/root_file.h"
#include "data/records/row_fields.h"
#include "kernels/base/arena.h"

static const char PROMPT[] = "prompt.json", METADATA[] = "metadata.jsonl", BEST[] = "clip_sim_dir";

typedef struct Pair {
    const char *seed;
    JsonDoc *scores; /* its last line of metadata.jsonl; NULL: it has none */
    double best;
    bool wanted; /* it passes the source's filter */
    bool kept;   /* it is among the best; a pair that is not wanted is given out too, to be counted */
} Pair;

typedef struct Pairs {
    const MixtureSource *source;
    const char *root;
    Listing *listing;
    ListedFolder folder; /* the present one */
    JsonDoc *prompt;     /* its prompt.json */
    Reject reject;       /* of all of its pairs */
    char message[256], path[PATH_MAX], note[512];
    Pair *pairs;
    size_t n, capacity, next;
    RecordScore *scores;
    size_t scores_capacity;
    char *names; /* of a row: id, first and second picture */
    size_t names_capacity;
} Pairs;

/* ---------------------------------------------------------------- files of a folder */

static void refuse_value(Pairs *p, const Json *v, const char *key, const char *expected)
{
    char found[80];
    p->reject = REJECT_BAD_JSON;
    snprintf(p->message, sizeof p->message, "%d:%d: \"%s\" is %s, expected %s", v->line, v->column, key, json_show(v, found, sizeof found),
             expected);
}

/* All texts that rows take from it must be texts, where they are there. */
static void check_prompt(Pairs *p, const Json *prompt)
{
    static const char *const KEYS[] = {"edit", "output", "input", "caption"};
    if (prompt->kind != JSON_OBJECT) {
        p->reject = REJECT_BAD_JSON;
        snprintf(p->message, sizeof p->message, "%d:%d: expected an object with \"edit\", found %s", prompt->line, prompt->column,
                 json_kind_name(prompt->kind));
    }
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS && !p->reject; i++) {
        const Json *text = json_get(prompt, KEYS[i]);
        if (text && text->kind != JSON_NULL && text->kind != JSON_STRING)
            refuse_value(p, text, KEYS[i], "a text");
    }
}

static Status read_prompt(Pairs *p)
{
    char *bytes;
    size_t n;
    json_free(&p->prompt);
    file_join(p->path, p->folder.name, PROMPT);
    TRY(root_file_read(p->root, p->path, &bytes, &n, &p->reject, p->message));
    if (p->reject)
        return OK;
    Status s = json_parse(&p->prompt, bytes, n, PROMPT);
    mem_free(bytes);
    if (s == ERR_DATA) {
        p->reject = REJECT_BAD_JSON;
        snprintf(p->message, sizeof p->message, "%s", status_message() + sizeof PROMPT); /* from the line number on */
        return OK;
    }
    if (!s)
        check_prompt(p, json_root(p->prompt));
    return s;
}

/* Whether a line's "seed" is that of the pair, whose name has it in decimal. */
static bool is_seed(const Json *seed, const char *name)
{
    char text[32];
    if (!seed || (seed->kind != JSON_INT && seed->kind != JSON_REAL))
        return seed && seed->kind == JSON_STRING && !strcmp(seed->string, name);
    if (seed->kind == JSON_INT)
        snprintf(text, sizeof text, "%" PRId64, seed->integer);
    else
        snprintf(text, sizeof text, "%.17g", seed->real); /* a whole number below 2^32 has no more digits */
    return !strcmp(text, name);
}

/* A line that cannot be read says nothing of any pair, and is told once for its folder. */
static Status read_line(Pairs *p, const char *line, size_t n, int number)
{
    JsonDoc *doc;
    Status s = json_parse_at(&doc, line, n, METADATA, number, 1);
    if (s == ERR_DATA) {
        if (!*p->note)
            snprintf(p->note, sizeof p->note, "%.200s/%s; this line of scores is passed over", p->folder.name, status_message());
        return OK;
    }
    TRY(s);
    for (size_t i = 0; i < p->n; i++) {
        if (!is_seed(json_get(json_root(doc), "seed"), p->pairs[i].seed))
            continue;
        json_free(&p->pairs[i].scores);
        p->pairs[i].scores = doc;
        return OK;
    }
    json_free(&doc);
    return OK;
}

static Status read_metadata(Pairs *p)
{
    char *bytes, sentence[256];
    size_t n, length;
    Reject why;
    Status s = OK;
    file_join(p->path, p->folder.name, METADATA);
    TRY(root_file_read(p->root, p->path, &bytes, &n, &why, sentence));
    if (why && why != REJECT_MISSING)
        snprintf(p->note, sizeof p->note, "%.200s: %s; its pairs have no scores", p->path, sentence);
    for (size_t at = 0, number = 1; bytes && at < n && !s; at += length + 1, number++) {
        const char *end = memchr(bytes + at, '\n', n - at);
        length = end ? (size_t)(end - bytes) - at : n - at;
        if (strspn(bytes + at, " \t\r") < length)
            s = read_line(p, bytes + at, length, (int)number);
    }
    mem_free(bytes);
    return s;
}

/* ---------------------------------------------------------------- pairs of a folder */

static bool is_score(const Json *m) { return (m->kind == JSON_INT || m->kind == JSON_REAL) && strcmp(m->key, "seed") != 0; }

/* Into p->scores; *n of them. Of a pair that is listed twice the first has them. */
static Status list_scores(Pairs *p, const Pair *pair, int *n)
{
    const Pair *first = p->pairs;
    while (strcmp(first->seed, pair->seed) != 0)
        first++;
    const Json *line = first->scores ? json_root(first->scores) : NULL;
    *n = 0;
    if (line && line->length > p->scores_capacity) {
        RecordScore *grown = mem_grow(p->scores, line->length * sizeof *grown);
        if (!grown)
            return fail(ERR_NOMEM, "%s: no memory for %zu scores", p->root, line->length);
        p->scores = grown;
        p->scores_capacity = line->length;
    }
    for (const Json *m = line ? line->child : NULL; m; m = m->next)
        if (is_score(m))
            p->scores[(*n)++] = (RecordScore){m->key, m->real};
    return OK;
}

/* The better first; of equal ones the first of the listing. */
static int by_score(const void *a, const void *b)
{
    const Pair *x = *(Pair *const *)a, *y = *(Pair *const *)b;
    return x->best != y->best ? (x->best < y->best) - (x->best > y->best) : (x > y) - (x < y);
}

/* Keeps of the wanted pairs the `each` best ones. */
static Status choose_best(Pairs *p)
{
    size_t n = 0;
    Pair **order = mem_alloc(p->n * sizeof *order);
    if (!order)
        return fail(ERR_NOMEM, "%s: no memory for a folder of %zu pairs", p->root, p->n);
    for (size_t i = 0; i < p->n; i++)
        if (p->pairs[i].wanted)
            order[n++] = &p->pairs[i];
    qsort(order, n, sizeof *order, by_score);
    for (size_t i = (size_t)p->source->each; i < n; i++)
        order[i]->kept = false;
    mem_free(order);
    return OK;
}

static Status judge_pairs(Pairs *p)
{
    for (size_t i = 0; i < p->n; i++) {
        Pair *pair = &p->pairs[i];
        Record scored = {.reject = REJECT_NONE};
        int n;
        TRY(list_scores(p, pair, &n));
        row_check_filters(&scored, p->source, p->scores, n);
        pair->wanted = !scored.reject;
        pair->best = -INFINITY;
        for (int k = 0; k < n; k++)
            if (!strcmp(p->scores[k].name, BEST))
                pair->best = p->scores[k].value;
    }
    return choose_best(p);
}

static void drop_pairs(Pairs *p)
{
    for (size_t i = 0; i < p->n; i++)
        json_free(&p->pairs[i].scores);
    p->n = p->next = 0;
}

static Status list_pairs(Pairs *p)
{
    drop_pairs(p);
    if (p->folder.n > p->capacity) {
        Pair *grown = mem_grow(p->pairs, p->folder.n * sizeof *grown);
        if (!grown)
            return fail(ERR_NOMEM, "%s: no memory for a folder of %zu pairs", p->root, p->folder.n);
        p->pairs = grown;
        p->capacity = p->folder.n;
    }
    for (; p->n < p->folder.n; p->n++)
        p->pairs[p->n] = (Pair){.seed = p->folder.seeds[p->n], .kept = true};
    return OK;
}

/* All pairs of a folder without a usable prompt.json are bad rows, whatever their scores. */
static Status open_folder(Pairs *p)
{
    p->reject = REJECT_NONE;
    *p->message = *p->note = 0;
    TRY(list_pairs(p));
    TRY(read_prompt(p));
    if (p->reject)
        return OK;
    TRY(read_metadata(p));
    return p->source->each ? judge_pairs(p) : OK;
}

/* ---------------------------------------------------------------- rows */

/* The id, NAME/SEED, and the two pictures. */
static Status name_row(Pairs *p, Draft *d, const char *seed)
{
    const size_t n = strlen(p->folder.name) + 1 + strlen(seed) + sizeof "_0.jpg";
    if (3 * n > p->names_capacity) {
        char *grown = mem_grow(p->names, 3 * n);
        if (!grown)
            return fail(ERR_NOMEM, "%s: no memory for a name of %zu bytes", p->root, n);
        p->names = grown;
        p->names_capacity = 3 * n;
    }
    snprintf(p->names, n, "%s/%s", p->folder.name, seed);
    snprintf(p->names + n, n, "%s/%s_0.jpg", p->folder.name, seed);
    snprintf(p->names + 2 * n, n, "%s/%s_1.jpg", p->folder.name, seed);
    d->id = p->names;
    d->images[0] = (RecordImage){p->names + n, ROLE_INPUT};
    d->images[1] = (RecordImage){p->names + 2 * n, ROLE_TARGET};
    d->n_images = 2;
    return OK;
}

static RecordText text_of(const Json *prompt, const char *key)
{
    const Json *text = json_get(prompt, key);
    return text && text->kind == JSON_STRING ? (RecordText){text->string, text->length} : (RecordText){0};
}

/* The number that a folder's name is; -1: it is none. */
static int64_t number_of(const char *name)
{
    const size_t n = strspn(name, "0123456789");
    return n && n < 19 && !name[n] ? strtoll(name, NULL, 10) : -1;
}

static Status fill_row(Pairs *p, Draft *d, const Pair *pair)
{
    TRY(name_row(p, d, pair->seed));
    d->split = p->source->split;
    d->prov = (RecordProvenance){.file = PROMPT, .index = number_of(p->folder.name)};
    if (p->reject) {
        d->reject = p->reject;
        d->unscored = true;
        snprintf(d->message, sizeof d->message, "%s", p->message);
        snprintf(d->reject_path, sizeof d->reject_path, "%.255s", p->path);
        return OK;
    }
    const Json *prompt = json_root(p->prompt);
    d->instruction = text_of(prompt, "edit");
    d->sd_prompt = text_of(prompt, "output");
    d->sd_src_prompt = text_of(prompt, json_get(prompt, "input") ? "input" : "caption");
    TRY(list_scores(p, pair, &d->n_scores));
    d->scores = p->scores;
    d->note = pair == p->pairs && *p->note ? p->note : NULL;
    return OK;
}

static Status next_row(void *feed, Draft *d, bool *end)
{
    Pairs *p = feed;
    *end = false;
    for (;;) {
        while (p->next < p->n && !p->pairs[p->next].kept)
            p->next++;
        if (p->next < p->n)
            return fill_row(p, d, &p->pairs[p->next++]);
        TRY(listing_next(p->listing, &p->folder, end));
        if (*end)
            return OK;
        TRY(open_folder(p));
    }
}

static void close_feed(void **feed)
{
    Pairs *p = *feed;
    if (!p)
        return;
    drop_pairs(p);
    listing_close(&p->listing);
    json_free(&p->prompt);
    mem_free(p->pairs);
    mem_free(p->scores);
    mem_free(p->names);
    mem_free(p);
    *feed = NULL;
}

static Status open_feed(void **feed, const MixtureSource *s, const char *root)
{
    Pairs *p = *feed = mem_alloc(sizeof *p);
    if (!p)
        return fail(ERR_NOMEM, "%s: no memory to read it", root);
    p->source = s;
    p->root = root;
    Status failed = listing_open(&p->listing, root, s->split);
    if (failed)
        close_feed(feed);
    return failed;
}

/* ---------------------------------------------------------------- what the rows depend on */

/* Of a listing that is made of names, each folder: of a folder its names count. */
static Status visit_inputs(const MixtureSource *s, const char *root, FeedVisit visit, void *arg)
{
    Listing *listing;
    ListedFolder f;
    char path[PATH_MAX], below[PATH_MAX];
    bool end = false;
    TRY(listing_open(&listing, root, s->split));
    const char *file = listing_file(listing);
    Status failed = file ? visit(arg, file) : OK;
    while (!failed && !(failed = listing_next(listing, &f, &end)) && !end) {
        failed = file ? OK : visit(arg, file_join(path, root, f.name));
        if (!failed)
            failed = root_file_visit(root, file_join(below, f.name, PROMPT), visit, arg);
        if (!failed)
            failed = root_file_visit(root, file_join(below, f.name, METADATA), visit, arg);
    }
    listing_close(&listing);
    return failed;
}

const Feed INSTRUCTPIX2PIX_FEED = {.open = open_feed, .next = next_row, .close = close_feed, .inputs = visit_inputs};
