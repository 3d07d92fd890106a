/* replies.c: the first line judged by a recipe, and made into a record; then, where there are more, all as a file of replies to a folder of
 * requests. The first byte chooses the kind of recipe. */
#include "data/curate/replies.h"

#include <stdlib.h>
#include <string.h>

#include "data/curate/gate.h"
#include "data/curate/made.h"
#include "kernels/base/arena.h"
#include "tests/fuzz/fuzz.h"

/* The record of a reply. */
static void make(const Recipe *recipe, Judged *j)
{
    char path[] = "a.png", uid[] = "u", id[] = "i";
    RecordImage images[] = {{path, ROLE_INPUT}, {path, ROLE_TARGET}};
    const Request request = {.custom_id = id, .uid = uid, .src_prompt = "A quiet street.", .images = images, .n_images = 2};
    const GateOptions options = GATE_DEFAULTS;
    GateScores scores;
    Gate gate;
    Made made = {.text = NULL};
    fuzz_require(gate_open(&gate, &options));
    fuzz_require(made_fill(&made, recipe, &request, &j->answer, j->reply.model));
    fuzz_require(gate_judge(&gate, &j->verdict, &made.record, &scores));
    if (made.text_n > made.text_room || made.record.n_turns > made.turns_room)
        abort();
    made_free(&made);
    gate_close(&gate);
}

/* Files of replies, against requests of tests/fixtures. */
static void ingest(const uint8_t *data, size_t n)
{
    RequestSet requests;
    Replies replies;
    Request request = {.doc = NULL};
    const char *path = fuzz_put("replies.jsonl", data, n);
    fuzz_require(request_set_open(&requests, "tests/fixtures/curate/replies/edit/dir"));
    fuzz_check(replies_read(&replies, &requests, &path, 1));
    for (size_t i = 0; i < requests.ids.n; i++) {
        Judged j = {.doc = NULL};
        fuzz_require(request_read(&requests, &request, i));
        fuzz_check(replies_judge(&replies, &j, &request, i));
        judged_free(&j);
    }
    request_free(&request);
    replies_close(&replies);
    request_set_close(&requests);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char name[] = "fuzz", question[] = "What is it?", template[] = "t";
    const RecipeKind kind = n ? data[0] % N_RECIPE_KINDS : 0;
    Recipe recipe = {.kind = kind, .name = name, .question = question};
    memcpy(recipe.template_sha256, template, sizeof template);
    if (!n)
        return 0;
    for (int i = 0; i < REPLY_MOST_KEYS; i++)
        recipe.words[i] = (WordBounds){1, 20};
    const uint8_t *end = memchr(data + 1, '\n', n - 1);
    Judged j = {.doc = NULL};
    Status s = judge_line(&j, &recipe, "A quiet street.", (const char *)data + 1, end ? (size_t)(end - data) - 1 : n - 1);
    fuzz_check(s);
    if (!s && !j.verdict.reason)
        make(&recipe, &j);
    judged_free(&j);
    if (end) /* several lines */
        ingest(data + 1, n - 1);
    return 0;
}
