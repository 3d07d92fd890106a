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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const Sampling sampling = {.max_new_tokens = 4};
    fuzz_check(batch_answer(NULL, fuzz_put("questions.jsonl", data, n), NULL, fuzz_path("out"), (RecordText){0}, &sampling));
    return 0;
}
