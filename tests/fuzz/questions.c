/* questions.c: what `generate --batch` is asked: lines or an array, questions or LLaVA's records. A model stands in that says the same to
 * everything. */
#include "eval/batch.h"

#include "kernels/base/arena.h"
#include "tests/fuzz/fuzz.h"

Status answerer_ask(Answerer *a, const Question *q, const Sampling *s, const AnswerSink *sink, char **answer, size_t *n)
{
    (void)a, (void)s, (void)sink;
    *n = 3;
    *answer = mem_strdup("yes");
    for (int i = 0; i < q->n_images; i++)
        if (!*q->images[i])
            __builtin_trap();
    return q->n_turns > 0 ? OK : fail(ERR_INTERNAL, "a question of no turns");
}

Status painter_asked(const char *file, RowsForm form, bool *asked)
{
    (void)file, (void)form;
    *asked = true;
    return OK;
}

Status painter_draw(Painter *p, const Picture *what, Image *picture)
{
    (void)p, (void)picture;
    if (what->source && !*what->source)
        __builtin_trap();
    return what->question->n_turns > 0 ? OK : fail(ERR_INTERNAL, "a question of no turns");
}

Status painter_save(const Painter *p, const Picture *what, const Image *picture, const char *path)
{
    (void)p, (void)what, (void)picture, (void)path;
    return OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static int painter; /* never looked into */
    const Session session = {.painter = (Painter *)(void *)&painter, .sampling = {.max_new_tokens = 4}};
    const char *file = fuzz_put("questions.jsonl", data, n);
    bool draws;
    fuzz_check(batch_draws(file, &draws));
    fuzz_check(batch_answer(&session, file, NULL, fuzz_path("out")));
    return 0;
}
