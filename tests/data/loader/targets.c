/* loader: target images of a pass: where their runs are, what describes them, their pictures and those of their sources, and what their
 * losses are divided by, the same for any number of ranks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/loader/loader.h"
#include "data/pictures/image.h"
#include "kernels/base/arena.h"
#include "tests/data/shards/made_shard.h"
#include "tests/harness.h"

enum { SIDE = 8, PICTURE_BYTES = SIDE * SIDE * 3 };

#define RUN 1000, 1001, 1002, 1003
static const int32_t DRAW_TWO[] = {1, 7, RUN, 4, RUN, 2}, EDIT[] = {1, 9, ID_IMAGE, 5, RUN, 2}, TALK[] = {1, 6, 2}, DRAW[] = {1, 5, RUN, 2};
static const uint32_t OF_TWO[] = {1, 2}, OF_EDIT[] = {3}, SOURCE[] = {2}, OF_LAST[] = {MADE_IN(0, 3)};

#define HUMAN(text) "{\"from\": \"human\", \"value\": \"" text "\"}"
#define GPT(text) "{\"from\": \"gpt\", \"value\": \"" text "\"}"
static const char JSON_TWO[] = "{\"turns\": [" HUMAN("A cat, \\u2764") "," GPT("<gen> and") "," HUMAN("<image>\\n a dog<image>\\n") ","
                               GPT("<gen>") "]}",
                  JSON_EDIT[] = "{\"task\": \"edit\", \"sd\": {\"instruction\": \"make it red\"}, \"turns\": [" HUMAN("<image> no") ","
                                GPT("<gen>") "]}",
                  JSON_DRAW[] = "{\"task\": \"generate\", \"sd\": {\"prompt\": \"a house\", \"instruction\": \"no\"}, \"turns\": ["
                                HUMAN("no") "," GPT("<gen>") "]}";
static const MadeSample FIRST[] = {{DRAW_TWO, "--xxxxxxxxx" "x", 0, 0.5f, NULL, JSON_TWO, OF_TWO, TASK_GENERATE},
                                   {TALK, "--x", 0, 1, NULL, "no JSON", NULL, TASK_UNDERSTAND},
                                   {EDIT, "----xxxxx", 0, 3, SOURCE, JSON_EDIT, OF_EDIT, TASK_EDIT}},
                        SECOND[] = {{DRAW, "--xxxxx", 0, 2, NULL, JSON_DRAW, OF_LAST, TASK_GENERATE}};

static const Preprocessor TOWER = {.prep = {.width = 8, .height = 8, .pad = true, .fill = {127, 127, 127}, .filter = FILTER_BICUBIC,
                                           .max_pixels = IMAGE_MAX_PIXELS},
                                   .patch = 4, .patches = MADE_PATCHES};

static LoaderOptions options(void)
{
    char path[256];
    snprintf(path, sizeof path, "%s/shard-00000-of-00002.h5", test_dir());
    made_shard(path, FIRST, 3, 4, 0, 2, 10);
    snprintf(path, sizeof path, "%s/shard-00001-of-00002.h5", test_dir());
    made_shard(path, SECOND, 1, 1, 1, 2, 20);
    return (LoaderOptions){.shards = test_dir(), .batch = 4, .micro_tokens = 64, .epochs = 1, .seed = 1, .preprocessor = &TOWER,
                           .first_visual_id = 1000, .target_size = SIDE, .max_pixels = IMAGE_MAX_PIXELS,
                           .target_pixels = {[TASK_GENERATE] = true, [TASK_EDIT] = true}, .source_pixels = true,
                           .target_prompts = {[TASK_GENERATE] = true, [TASK_EDIT] = true}};
}

static const Batch *only_pass(Loader **ld, const LoaderOptions *o, StepPlan *plan)
{
    const Batch *b;
    REQUIRE_OK(loader_open(ld, o, 0, 1));
    REQUIRE_OK(loader_step(*ld, 0, plan));
    REQUIRE(plan->n_passes == 1);
    REQUIRE_OK(loader_pass(*ld, 0, &b));
    return b;
}

TEST(targets_stand_in_order_of_their_runs)
{
    LoaderOptions o = options();
    Loader *ld;
    StepPlan plan;
    const Batch *b = only_pass(&ld, &o, &plan);
    /* segments: 12 rows, 3, 12 (its picture is 4 rows), 7 */
    static const int32_t ROW[] = {2, 7, 15 + 7, 27 + 2}, SEGMENT[] = {0, 0, 2, 3};
    static const float WEIGHT[] = {0.5f, 0.5f, 3, 2};
    static const char *const PROMPT[] = {"A cat, \xe2\x9d\xa4", "a dog", "make it red", "a house"};
    REQUIRE(b->n_targets == 4 && b->n_segments == 4);
    CHECK(!memcmp(b->target_row, ROW, sizeof ROW) && !memcmp(b->target_segment, SEGMENT, sizeof SEGMENT) &&
          !memcmp(b->target_weight, WEIGHT, sizeof WEIGHT));
    for (int i = 0; i < 4; i++) {
        CHECK_STR(b->target_prompt[i], PROMPT[i]);
        for (int k = 0; k < 4; k++)
            CHECK_INT(b->id[b->target_row[i] + k], 1000 + k);
    }
    const LossTerms *terms[] = {&plan.of_step, &plan.of_rank, &b->terms};
    for (int i = 0; i < 3; i++)
        CHECK(terms[i]->generate.n == 3 && terms[i]->generate.weight == 3 && terms[i]->edit.n == 1 && terms[i]->edit.weight == 3);
    Shard *s;
    char path[256];
    snprintf(path, sizeof path, "%s/shard-00000-of-00002.h5", test_dir());
    REQUIRE_OK(shard_open(&s, path));
    CHECK(!memcmp(b->uid[2], s->uid[2], 16) && memcmp(b->uid[3], s->uid[2], 16));
    shard_close(&s);
    loader_close(&ld);
}

/* Picture i has one colour all over: 24x16 to a square of 8, cut from 12x8. */
static void check_picture(const uint8_t *rgb, int i)
{
    for (int k = 0; k < SIDE * SIDE; k++)
        CHECK(abs(rgb[3 * k] - 40 * i) < 8 && abs(rgb[3 * k + 1] - (255 - 30 * i)) < 8 && abs(rgb[3 * k + 2] - 128) < 8);
}

TEST(targets_show_their_pictures_and_sources)
{
    for (int workers = 0; workers < 3; workers += 2) {
        LoaderOptions o = options();
        Loader *ld;
        StepPlan plan;
        o.workers = workers;
        const Batch *b = only_pass(&ld, &o, &plan);
        static const int32_t TARGET[] = {0, 1, 2, 3}, FROM[] = {-1, -1, 0, -1}, SHOWN[] = {1, 2, 3, 3};
        CHECK(b->target_size == SIDE && b->n_target_pictures == 4 && b->n_source_pictures == 1 && b->n_images == 1);
        CHECK(!memcmp(b->target_picture, TARGET, sizeof TARGET) && !memcmp(b->source_picture, FROM, sizeof FROM));
        for (int i = 0; i < 4; i++)
            check_picture(b->target_pixels + (size_t)i * PICTURE_BYTES, SHOWN[i]);
        check_picture(b->source_pixels, 2);
        CHECK(abs(b->pixels[1] - 195) > 40); /* the tower's own view of the source is padded */
        loader_close(&ld);
    }
}

TEST(targets_load_no_picture_that_no_loss_wants)
{
    LoaderOptions o = options();
    Loader *ld;
    StepPlan plan;
    o.target_pixels[TASK_GENERATE] = o.target_prompts[TASK_GENERATE] = o.target_prompts[TASK_EDIT] = false;
    const Batch *b = only_pass(&ld, &o, &plan);
    static const int32_t TARGET[] = {-1, -1, 0, -1}, FROM[] = {-1, -1, 0, -1};
    CHECK(b->n_targets == 4 && b->n_target_pictures == 1 && b->n_source_pictures == 1 && !b->target_prompt);
    CHECK(!memcmp(b->target_picture, TARGET, sizeof TARGET) && !memcmp(b->source_picture, FROM, sizeof FROM));
    check_picture(b->target_pixels, 3);
    check_picture(b->source_pixels, 2);
    loader_close(&ld);
    o.source_pixels = false;
    b = only_pass(&ld, &o, &plan);
    CHECK(b->n_target_pictures == 1 && b->n_source_pictures == 0 && b->source_picture[2] == -1);
    loader_close(&ld);
    o.target_pixels[TASK_EDIT] = false;
    b = only_pass(&ld, &o, &plan);
    CHECK(b->n_targets == 4 && b->n_target_pictures == 0 && b->n_images == 1);
    loader_close(&ld);
}

TEST(targets_need_no_vision_tower)
{
    static const MadeSample ALONE[] = {{DRAW, "--xxxxx", 0, 2, NULL, JSON_DRAW, OF_TWO, TASK_GENERATE}};
    LoaderOptions o = options();
    char path[256];
    snprintf(path, sizeof path, "%s/shard-00000-of-00002.h5", test_dir());
    REQUIRE(!remove(path));
    snprintf(path, sizeof path, "%s/shard-00001-of-00002.h5", test_dir());
    REQUIRE(!remove(path));
    snprintf(path, sizeof path, "%s/shard-00000-of-00001.h5", test_dir());
    made_shard(path, ALONE, 1, 2, 0, 1, 0);
    o.preprocessor = NULL;
    o.batch = 1;
    Loader *ld;
    StepPlan plan;
    const Batch *b = only_pass(&ld, &o, &plan);
    REQUIRE(b->n_targets == 1 && b->n_target_pictures == 1 && b->n_images == 0);
    check_picture(b->target_pixels, 1);
    loader_close(&ld);
}

/* Every target of a run once, with the same description and weight, however many ranks share a step and whatever fits into a pass. */
TEST(targets_are_the_same_for_any_number_of_ranks)
{
    static const int RANKS[] = {1, 2, 3};
    char seen[3][12][4][64];
    double weight[12][2];
    memset(seen, 0, sizeof seen);
    for (int c = 0; c < 3; c++)
        for (int rank = 0; rank < RANKS[c]; rank++) {
            LoaderOptions o = options();
            o.batch = 3;
            o.steps = 12;
            o.shuffle = true;
            o.micro_tokens = 12;
            Loader *ld;
            REQUIRE_OK(loader_open(&ld, &o, rank, RANKS[c]));
            for (int k = 0; k < 12; k++) {
                StepPlan plan;
                double of_passes[2] = {0, 0};
                REQUIRE_OK(loader_step(ld, k, &plan));
                for (int32_t p = 0; p < plan.n_passes; p++) {
                    const Batch *b;
                    REQUIRE_OK(loader_pass(ld, p, &b));
                    of_passes[0] += b->terms.generate.weight;
                    of_passes[1] += b->terms.edit.weight;
                    for (int i = 0; i < b->n_targets; i++) {
                        char *at = seen[c][k][b->item[b->target_row[i]]];
                        const uint8_t *rgb = b->target_pixels + (size_t)b->target_picture[i] * PICTURE_BYTES;
                        snprintf(at + strlen(at), 64 - strlen(at), "%s %g %d;", b->target_prompt[i], (double)b->target_weight[i], rgb[0]);
                    }
                }
                CHECK(of_passes[0] == plan.of_rank.generate.weight && of_passes[1] == plan.of_rank.edit.weight);
                if (c == 0) {
                    weight[k][0] = plan.of_step.generate.weight;
                    weight[k][1] = plan.of_step.edit.weight;
                }
                CHECK(plan.of_step.generate.weight == weight[k][0] && plan.of_step.edit.weight == weight[k][1]);
            }
            loader_close(&ld);
        }
    CHECK(!memcmp(seen[0], seen[1], sizeof seen[0]) && !memcmp(seen[0], seen[2], sizeof seen[0]));
    int drawn = 0;
    for (int k = 0; k < 12; k++)
        for (int i = 0; i < 3; i++)
            drawn += seen[0][k][i][0] != 0;
    CHECK_INT(drawn, 27); /* 36 items of 9 epochs, three of four rows have targets */
}

/* Passes are as large as foretold in targets and their pictures. */
TEST(targets_count_in_the_worst_passes)
{
    LoaderOptions o = options();
    o.batch = 3;
    o.steps = 12;
    o.shuffle = true;
    o.micro_tokens = 24;
    Loader *ld;
    REQUIRE_OK(loader_open(&ld, &o, 0, 1));
    const PassShape *worst;
    const int n = loader_worst_passes(ld, &worst);
    bool came[WORST_MOST] = {false}, edits = false;
    for (int k = 0; k < 12; k++) {
        StepPlan plan;
        REQUIRE_OK(loader_step(ld, k, &plan));
        for (int32_t p = 0; p < plan.n_passes; p++) {
            const Batch *b;
            bool covered = false;
            REQUIRE_OK(loader_pass(ld, p, &b));
            for (int i = 0; i < n; i++) {
                const PassShape *w = &worst[i];
                CHECK_INT(w->target_size, SIDE);
                covered = covered ||
                          (w->generate >= b->terms.generate.n && w->edit >= b->terms.edit.n && w->target_pictures >= b->n_target_pictures &&
                           w->source_pictures >= b->n_source_pictures && w->tokens >= b->n_tokens);
                came[i] = came[i] || (w->generate == b->terms.generate.n && w->edit == b->terms.edit.n &&
                                      w->target_pictures == b->n_target_pictures && w->source_pictures == b->n_source_pictures);
            }
            CHECK(covered);
            edits = edits || b->n_source_pictures;
        }
    }
    for (int i = 0; i < n; i++)
        CHECK(came[i]);
    CHECK(edits);
    loader_close(&ld);
}

TEST(targets_name_the_row_whose_text_is_none)
{
    static const MadeSample BAD[] = {{DRAW, "--xxxxx", 0, 2, NULL, "{\"turns\": 3}", OF_LAST, TASK_GENERATE}};
    LoaderOptions o = options();
    char path[256], wanted[512];
    snprintf(path, sizeof path, "%s/shard-00001-of-00002.h5", test_dir());
    made_shard(path, BAD, 1, 1, 1, 2, 20);
    Loader *ld;
    snprintf(wanted, sizeof wanted,
             "%s: sample 0, row 20 of the mixture: 1:11: \"turns\" is 3, expected \"conversations\" or \"messages\" (\"turns\" in "
             "unified JSONL), a list of {\"from\": \"human\" or \"gpt\", \"value\": text} or {\"role\": \"user\" or \"assistant\", "
             "\"content\": text}", path);
    CHECK_FAILS(loader_open(&ld, &o, 0, 1), ERR_DATA, wanted);
    o.target_prompts[TASK_GENERATE] = o.target_prompts[TASK_EDIT] = false;
    REQUIRE_OK(loader_open(&ld, &o, 0, 1));
    loader_close(&ld);
}
