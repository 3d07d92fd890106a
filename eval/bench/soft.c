/* soft.c: see soft.h. Called by VQAv2, VizWiz and TextVQA. */
#include "eval/bench/soft.h"

#include <math.h>

#include "kernels/base/arena.h"

double soft_accuracy(Spans truths, Span answer)
{
    int equal = 0;
    double sum = 0;
    for (int i = 0; i < truths.n; i++)
        equal += span_equal(truths.item[i], answer);
    for (int i = 0; i < truths.n; i++)
        sum += fmin(1, (equal - span_equal(truths.item[i], answer)) / 3.0);
    return truths.n ? sum / truths.n : 0;
}

Status soft_truths(Pool *p, Spans *out, const Json *question, const char *where)
{
    const Json *answers = json_get(question, "answers");
    *out = (Spans){0};
    if (!answers || answers->kind != JSON_ARRAY || !answers->child)
        return fail(ERR_DATA, "%s:%d:%d: has no \"answers\", so this split cannot be scored here", where, question->line, question->column);
    out->item = pool_push(p, answers->length * sizeof *out->item);
    for (const Json *v = answers->child; v && out->item; v = v->next) {
        const Json *text = v->kind == JSON_OBJECT ? json_get(v, "answer") : v;
        if (!text || text->kind != JSON_STRING)
            return fail(ERR_DATA, "%s:%d:%d: expected an answer of an annotator: a text, or an object with a text \"answer\"", where,
                        v->line, v->column);
        out->item[out->n++] = (Span){text->string, text->length};
    }
    return pool_status(p);
}

static void count_group(Groups *groups, Scores *s, const Json *question, const char *key, double value)
{
    const Json *name = json_get(question, key);
    Group *g = name && name->kind == JSON_STRING ? groups_at(s, groups, (Span){name->string, name->length}) : NULL;
    if (!g)
        return;
    g->n++;
    g->sum += value;
}

Status soft_count(SoftSums *sums, Scores *s, const Json *question, bool found, double value)
{
    if (sums->n == sums->room) {
        const int64_t room = 2 * sums->room + 4096;
        double *more = mem_grow(sums->value, (size_t)room * sizeof *more);
        if (!more)
            return fail(ERR_NOMEM, "no memory for the scores of %lld questions", (long long)room);
        sums->value = more;
        sums->room = room;
    }
    sums->value[sums->n++] = value;
    s->n++;
    s->n_missing += !found;
    count_group(&sums->answer_type, s, question, "answer_type", value);
    count_group(&sums->question_type, s, question, "question_type", value);
    return scores_status(s);
}

void soft_end(SoftSums *sums, Scores *s)
{
    scores_mean(s, sums->value, sums->n, "overall");
    groups_mean(s, &sums->answer_type, "answer_type");
    groups_mean(s, &sums->question_type, "question_type");
    groups_free(&sums->answer_type);
    groups_free(&sums->question_type);
    mem_free(sums->value);
    *sums = (SoftSums){0};
}
