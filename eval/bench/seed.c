/* seed.c: SEED-Bench (the first version): the letter of one of four choices, to the letter. Called through benches.c.
 * Official: SEED-Bench.json, LLaVA's convert_seed_for_submission.py. */
#include <inttypes.h>
#include <limits.h>

#include "data/formats/file.h"
#include "eval/bench/bench.h"
#include "eval/bench/prompts.h"

typedef struct Item {
    Span id, type, answer, data_type;
    int64_t number; /* of an id of digits, which answer files have as an integer */
    bool is_number;
    int64_t type_id;
    const Json *json;
} Item;
typedef Status (*ItemVisit)(void *arg, const Item *item, const char *where);

static Status type_name(Span *out, const Json *types, int64_t id, const Json *question, const char *where)
{
    for (const Json *t = types->child; t; t = t->next)
        if (t->kind == JSON_INT && t->integer == id) {
            *out = span_of(t->key);
            return OK;
        }
    return fail(ERR_DATA, "%s:%d:%d: question_type_id is %" PRId64 ", which \"question_type\" does not name", where, question->line,
                question->column, id);
}

static Status read_item(Item *item, const Json *types, const Json *q, const char *where)
{
    if (q->kind != JSON_OBJECT)
        return fail(ERR_DATA, "%s:%d:%d: is %s, expected a question, an object", where, q->line, q->column, json_kind_name(q->kind));
    item->json = q;
    TRY(official_text(&item->id, q, "question_id", where));
    TRY(official_text(&item->data_type, q, "data_type", where));
    TRY(official_int(&item->type_id, q, "question_type_id", where));
    item->is_number = py_int(item->id, &item->number);
    return type_name(&item->type, types, item->type_id, q, where);
}

static Status each_item(const BenchData *d, ItemVisit visit, void *arg)
{
    char path[PATH_MAX];
    JsonDoc *doc;
    const Json *types, *list;
    TRY(official_json(&doc, official_path(path, d, "SEED-Bench.json")));
    Status s = official_get(&types, json_root(doc), "question_type", JSON_OBJECT, path);
    if (!s)
        s = official_get(&list, json_root(doc), "questions", JSON_ARRAY, path);
    for (const Json *q = s ? NULL : list->child; q && !s; q = q->next) {
        Item item;
        s = read_item(&item, types, q, path);
        if (!s)
            s = visit(arg, &item, path);
    }
    json_free(&doc);
    return s;
}

static Span id_in_answers(Pool *pool, const Item *item) { return item->is_number ? span_print(pool, "%" PRId64, item->number) : item->id; }

/* ---------------------------------------------------------------- questions */

typedef struct Asked {
    BenchVisit visit;
    void *arg;
    Pool pool;
} Asked;

/* A choice, which a count may write as a number. */
static Status read_choice(Pool *pool, Span *out, const Json *q, const char *key, const char *where)
{
    bool number;
    return official_id(pool, out, &number, q, key, where);
}

static Status prompt_of(Pool *pool, Span *out, const Item *item, const char *where)
{
    static const char *const KEYS[4] = {"choice_a", "choice_b", "choice_c", "choice_d"};
    Span parts[10];
    TRY(official_text(&parts[0], item->json, "question", where));
    for (int i = 0; i < 4; i++) {
        parts[1 + 2 * i] = span_print(pool, "\n%c. ", 'A' + i);
        TRY(read_choice(pool, &parts[2 + 2 * i], item->json, KEYS[i], where));
    }
    parts[9] = SPAN(OPTION_LETTER);
    *out = span_join(pool, parts, 10, "");
    return pool_status(pool);
}

static Status give_question(void *arg, const Item *item, const char *where)
{
    Asked *k = arg;
    Span prompt, data;
    pool_reset(&k->pool);
    TRY(prompt_of(&k->pool, &prompt, item, where));
    TRY(official_text(&data, item->json, "data_id", where));
    const Span image = span_is(item->data_type, "video")
                           ? span_print(&k->pool, "SEED-Bench-video-image/%" PRId64 "_%s.png", item->type_id, item->id.s)
                           : span_print(&k->pool, "SEED-Bench-image/%s", data.s);
    const Span id = id_in_answers(&k->pool, item);
    TRY(pool_status(&k->pool));
    return k->visit(k->arg, &(BenchQuestion){.id = id, .number = item->is_number, .prompt = prompt, .image = image.s});
}

static Status questions(const BenchData *d, BenchVisit visit, void *arg)
{
    Asked k = {.visit = visit, .arg = arg};
    Status s = each_item(d, give_question, &k);
    pool_free(&k.pool);
    return s;
}

/* ---------------------------------------------------------------- score and submission */

typedef struct Sums {
    Answers *a;
    Scores *s;
    int64_t right, n_image, right_image, n_video, right_video;
    Groups types;
    FILE *out; /* of a submission */
    Pool pool;
} Sums;

static Status score_item(void *arg, const Item *item, const char *where)
{
    Sums *k = arg;
    Span text = SPAN(""), answer;
    TRY(official_text(&answer, item->json, "answer", where));
    pool_reset(&k->pool);
    const bool found = answers_find(k->a, id_in_answers(&k->pool, item), &text), right = found && span_equal(text, answer);
    if (answers_not_asked(k->a, found))
        return pool_status(&k->pool);
    Group *type = groups_at(k->s, &k->types, item->type);
    if (!type)
        return scores_status(k->s);
    type->n++;
    type->right += right;
    k->s->n++;
    k->s->n_missing += !found;
    k->right += right;
    k->n_image += span_is(item->data_type, "image");
    k->right_image += span_is(item->data_type, "image") && right;
    k->n_video += span_is(item->data_type, "video");
    k->right_video += span_is(item->data_type, "video") && right;
    return pool_status(&k->pool);
}

static Status score(const BenchData *d, Answers *a, Scores *s)
{
    Sums k = {.a = a, .s = s};
    Status status = each_item(d, score_item, &k);
    scores_share(s, k.right, s->n, "total");
    scores_share(s, k.right_image, k.n_image, "image");
    scores_share(s, k.right_video, k.n_video, "video");
    groups_share(s, &k.types, "type");
    groups_free(&k.types);
    pool_free(&k.pool);
    return status;
}

static Status put_prediction(void *arg, const Item *item, const char *where)
{
    Sums *k = arg;
    Span text;
    pool_reset(&k->pool);
    const Span id = id_in_answers(&k->pool, item);
    TRY(pool_status(&k->pool));
    if (!answers_find(k->a, id, &text))
        return fail(ERR_DATA, "question \"%s\" of %s has no answer, and a submission holds them all", item->id.s, where);
    fputs("{\"question_id\": ", k->out);
    json_put_text(k->out, item->id.s, item->id.n);
    fputs(", \"prediction\": ", k->out);
    json_put_text(k->out, text.s, text.n);
    fputs("}\n", k->out);
    return OK;
}

static Status submit(const BenchData *d, Answers *a, const char *path)
{
    FileDraft draft;
    TRY(file_draft(&draft, path));
    Sums k = {.a = a, .out = draft.out};
    Status s = each_item(d, put_prediction, &k);
    pool_free(&k.pool);
    return file_publish(&draft, s ? s : answers_all_known(a));
}

const Bench BENCH_SEED = {.name = "seed",
                          .split = "v1",
                          .files = "SEED-Bench.json",
                          .pictures = "SEED-Bench-image/DATA_ID, of videos SEED-Bench-video-image/TYPE_QUESTION.png (the middle frame)",
                          .suffix = OPTION_LETTER,
                          .metric = "accuracy",
                          .max_new_tokens = 128,
                          .questions = questions,
                          .score = score,
                          .submits_all = true,
                          .submit = submit};
