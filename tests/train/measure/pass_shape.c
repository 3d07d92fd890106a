/* A pass made for measuring has target images as a loader's has them. */
#include "train/measure/pass_shape.h"

#include <string.h>

#include "tests/harness.h"

TEST(made_passes_have_targets_in_rows_of_their_task)
{
    static const PassShape SHAPES[] = {
        {.tokens = 200, .segments = 5, .max_segment = 60, .labels = 9, .generate = 4, .edit = 3, .target_pictures = 3, .source_pictures = 2,
         .target_size = 4},
        {.tokens = 40, .segments = 1, .max_segment = 40, .labels = 2, .edit = 2},
        {.tokens = 60, .segments = 2, .max_segment = 40, .labels = 2, .generate = 1, .edit = 1},
        {.tokens = 60, .segments = 3, .max_segment = 30, .labels = 2, .generate = 5},
    };
    const ModelSizes sizes = {.vocab_size = 100, .added_rows = 11};
    for (size_t c = 0; c < sizeof SHAPES / sizeof *SHAPES; c++) {
        MadePass m;
        REQUIRE_OK(pass_make(&m, &SHAPES[c], &sizes));
        const Batch *b = &m.batch;
        CHECK(b->n_targets == SHAPES[c].generate + SHAPES[c].edit && b->terms.generate.n == SHAPES[c].generate &&
              b->terms.edit.n == SHAPES[c].edit);
        int64_t of_task[N_TASKS] = {0};
        for (int i = 0; i < b->n_targets; i++) {
            const int32_t s = b->target_segment[i], row = b->target_row[i];
            CHECK(row > b->cu[s] && row < b->cu[s + 1] && row + sizes.added_rows <= b->n_tokens);
            CHECK(!strcmp(b->target_prompt[i], "") && b->target_weight[i] == 1);
            CHECK(b->target_picture[i] == (i < SHAPES[c].target_pictures ? i : -1));
            of_task[b->task[s]]++;
        }
        CHECK(of_task[TASK_GENERATE] == SHAPES[c].generate && of_task[TASK_EDIT] == SHAPES[c].edit);
        pass_free(&m);
    }
    MadePass m; /* the largest of every measure of several passes, and no pass itself */
    REQUIRE_OK(pass_make(&m, &(PassShape){.tokens = 40, .segments = 1, .max_segment = 40, .generate = 1, .edit = 1}, &sizes));
    CHECK(m.batch.n_targets == 2 && !m.batch.target_row && !m.batch.target_segment);
    pass_free(&m);
}
