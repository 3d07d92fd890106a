/* loader: what a step holds, in which order, how it is dealt and packed, and the labels of a pass, by hand. */
#include "data/loader/loader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/loader/plan.h"
#include "data/loader/order.h"
#include "kernels/base/arena.h"
#include "kernels/base/philox.h"
#include "tests/data/shards/made_shard.h"
#include "tests/harness.h"

/* ---------------------------------------------------------------- order */

TEST(order_permutes_every_length)
{
    static const uint64_t LENGTHS[] = {1, 2, 3, 4, 5, 7, 16, 17, 63, 64, 65, 1000, 4097};
    for (size_t k = 0; k < sizeof LENGTHS / sizeof *LENGTHS; k++) {
        uint64_t n = LENGTHS[k], moved = 0;
        char *seen = calloc(n, 1);
        for (uint64_t i = 0; i < n; i++) {
            uint64_t to = order_permute(99, n, i);
            REQUIRE(to < n && !seen[to]);
            seen[to] = 1;
            moved += to != i;
        }
        CHECK_MSG(n < 64 || moved > n / 2, "%llu of %llu moved", (unsigned long long)moved, (unsigned long long)n);
        free(seen);
    }
    CHECK(order_permute(1, 1000, 5) != order_permute(2, 1000, 5) || order_permute(1, 1000, 6) != order_permute(2, 1000, 6));
}

static RecordIndex index_of(int n, int sources)
{
    RecordIndex x = {.rows = calloc((size_t)n, sizeof(IndexRow)), .n = n, .patches = 4};
    for (int i = 0; i < n; i++)
        x.rows[i] = (IndexRow){.uid = (uint64_t)i * 7919 + 3, .record = (uint32_t)i, .expanded = (uint32_t)(5 + i % 11), .labels_text = 2,
                               .source = (uint16_t)(i % sources), .weight = 1};
    return x;
}

TEST(order_without_shuffle_is_file_order_with_copies_adjacent)
{
    RecordIndex x = index_of(4, 2);
    const double weights[] = {1, 2};
    Order *o;
    const OrderOptions opt = {.source_weight = weights, .n_sources = 2};
    REQUIRE_OK(order_create(&o, &x, &opt));
    static const uint32_t WANTED[] = {0, 1, 1, 2, 3, 3, 0, 1, 1, 2};
    uint32_t rows[10];
    REQUIRE_OK(order_items(o, 0, 10, rows));
    CHECK(!memcmp(rows, WANTED, sizeof rows));
    REQUIRE_OK(order_items(o, 4, 3, rows));
    CHECK(!memcmp(rows, WANTED + 4, 3 * sizeof *rows));
    order_free(&o);
    free(x.rows);
}

TEST(order_shuffles_each_epoch_anew_and_loses_nothing)
{
    RecordIndex x = index_of(50, 1);
    Order *o;
    const OrderOptions opt = {.n_sources = 0, .seed = 42, .shuffle = true};
    REQUIRE_OK(order_create(&o, &x, &opt));
    uint32_t rows[150];
    REQUIRE_OK(order_items(o, 0, 150, rows));
    for (int e = 0; e < 3; e++) {
        int count[50] = {0};
        for (int i = 0; i < 50; i++)
            count[rows[50 * e + i]]++;
        for (int i = 0; i < 50; i++)
            CHECK_INT(count[i], 1);
    }
    CHECK(memcmp(rows, rows + 50, 200) && memcmp(rows + 50, rows + 100, 200));
    order_free(&o);
    free(x.rows);
}

TEST(order_of_fractional_weights_resamples_each_epoch)
{
    RecordIndex x = index_of(4000, 2);
    const double weights[] = {1.25, 0.5};
    const OrderOptions opt = {.source_weight = weights, .n_sources = 2, .mixture_seed = 7, .seed = 1};
    Order *o;
    REQUIRE_OK(order_create(&o, &x, &opt));
    int64_t one, two, three;
    REQUIRE_OK(order_count(o, 1, &one));
    REQUIRE_OK(order_count(o, 2, &two));
    REQUIRE_OK(order_count(o, 2.5, &three));
    CHECK_MSG(llabs(one - 3500) < 120 && llabs(two - one - 3500) < 120 && one != two - one, "%lld, %lld", (long long)one, (long long)two);
    uint32_t *rows = malloc((size_t)two * sizeof *rows);
    REQUIRE_OK(order_items(o, 0, two, rows));
    int first[4000] = {0}, second[4000] = {0}, differ = 0;
    for (int64_t i = 0; i < two; i++)
        (i < one ? first : second)[rows[i]]++;
    for (int i = 0; i < 4000; i++) {
        int least = i % 2 ? 0 : 1;
        CHECK(first[i] >= least && first[i] <= least + 1 && second[i] >= least && second[i] <= least + 1);
        differ += first[i] != second[i];
    }
    CHECK(differ > 1000);
    uint32_t again[100];
    REQUIRE_OK(order_items(o, one - 50, 100, again)); /* across the seam, from cold */
    CHECK(!memcmp(again, rows + one - 50, sizeof again));
    order_free(&o);
    free(rows);
    free(x.rows);
}

TEST(order_rescales_to_the_epoch_asked_for)
{
    RecordIndex x = index_of(4000, 2);
    const double weights[] = {3, 1};
    const OrderOptions opt = {.source_weight = weights, .n_sources = 2, .epoch = 2000, .mixture_seed = 7};
    Order *o;
    REQUIRE_OK(order_create(&o, &x, &opt)); /* 8000 selected: weights become 0.75 and 0.25 */
    int64_t n, of_first = 0;
    REQUIRE_OK(order_count(o, 1, &n));
    CHECK(llabs(n - 2000) < 120);
    uint32_t *rows = malloc((size_t)n * sizeof *rows);
    REQUIRE_OK(order_items(o, 0, n, rows));
    for (int64_t i = 0; i < n; i++)
        of_first += rows[i] % 2 == 0;
    CHECK(llabs(of_first - 1500) < 100);
    order_free(&o);
    free(rows);
    free(x.rows);
}

TEST(order_says_when_nothing_is_selected)
{
    RecordIndex x = index_of(3, 1);
    const double zero = 0;
    const OrderOptions opt = {.source_weight = &zero, .n_sources = 1};
    Order *o;
    CHECK_FAILS(order_create(&o, &x, &opt), ERR_DATA, "the mixture selects nothing: no record has a weight above 0 (sources[].weight)");
    free(x.rows);
}

TEST(order_counts_fractions_of_an_epoch)
{
    RecordIndex x = index_of(10, 1);
    const OrderOptions opt = {.seed = 1, .shuffle = true};
    Order *o;
    REQUIRE_OK(order_create(&o, &x, &opt));
    static const struct {
        double epochs;
        int64_t items;
    } CASES[] = {{1, 10}, {2, 20}, {0.5, 5}, {2.3, 23}, {0.01, 1}, {0.3, 3}, {1.05, 11}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        int64_t n;
        REQUIRE_OK(order_count(o, CASES[i].epochs, &n));
        CHECK_INT(n, CASES[i].items);
    }
    order_free(&o);
    free(x.rows);
}

/* ---------------------------------------------------------------- dealing and packing */

TEST(plan_deals_every_item_once_and_never_exceeds_the_budget)
{
    for (uint32_t round = 0; round < 200; round++) {
        Philox4 r = philox4x32(5, round, 0, 0, 0);
        int n = (int)(r.v[0] % 40), ranks = 1 + (int)(r.v[1] % 4);
        int64_t budget = 50 + r.v[2] % 100;
        int seen[40] = {0};
        for (int rank = 0; rank < ranks; rank++) {
            StepPlanning p = {0};
            REQUIRE_OK(plan_reserve(&p, n, ranks));
            for (int i = 0; i < n; i++)
                p.items[i] = (PlanItem){.item = i, .row = (uint32_t)i,
                                        .length = 1 + (int32_t)(philox4x32(6, round, (uint32_t)i, 0, 0).v[0] % 50)};
            plan_deal(&p, n, rank, ranks, budget);
            CHECK(p.n_passes == 0 || p.pass_end[p.n_passes - 1] == p.n);
            for (int32_t pass = 0; pass < p.n_passes; pass++) {
                int64_t load = 0;
                int32_t first = pass ? p.pass_end[pass - 1] : 0;
                CHECK(first < p.pass_end[pass]);
                for (int32_t i = first; i < p.pass_end[pass]; i++) {
                    load += p.items[i].length;
                    seen[p.items[i].item]++;
                    CHECK(p.items[i].pass == pass && (i == first || p.items[i].item > p.items[i - 1].item));
                }
                CHECK(load <= budget);
            }
            plan_free(&p);
        }
        for (int i = 0; i < n; i++)
            CHECK_INT(seen[i], 1);
    }
}

TEST(plan_deals_the_longest_first)
{
    static const int32_t LENGTH[] = {3, 9, 9, 4, 2};
    for (int rank = 0; rank < 2; rank++) {
        StepPlanning p = {0};
        REQUIRE_OK(plan_reserve(&p, 5, 2));
        for (int i = 0; i < 5; i++)
            p.items[i] = (PlanItem){.item = i, .length = LENGTH[i]};
        plan_deal(&p, 5, rank, 2, 12);
        /* 9(1) to rank 0, 9(2) to 1, 4(3) to 0, 3(0) to 1, 2(4) to 1 */
        static const int32_t ITEMS[2][3] = {{1, 3, -1}, {0, 2, 4}};
        CHECK_INT(p.n, rank ? 3 : 2);
        CHECK_INT(p.n_passes, 2);
        if (rank) {
            CHECK(p.items[0].item == 0 && p.items[1].item == 2 && p.items[2].item == 4 && p.pass_end[0] == 2); /* 9+3 = 12 | 2 */
        } else {
            CHECK(p.items[0].item == ITEMS[0][0] && p.items[1].item == ITEMS[0][1] && p.pass_end[0] == 1); /* 9 | 4 */
        }
        plan_free(&p);
    }
}

/* ---------------------------------------------------------------- passes */

static const int32_t PICTURED[] = {1, 7, ID_IMAGE, 8, 9, ID_IMAGE, 5, 2}, PLAIN[] = {1, 4, 1000, 1001, 1002, 1003, 2}, SHORT[] = {1, 6, 2};
static const uint32_t TWO[] = {1, 0}, SAME[] = {2, 2};
static const MadeSample FIRST[] = {{PICTURED, "------xx", 0, 1.0f, TWO, "a", NULL, TASK_UNDERSTAND},
                                   {PLAIN, "--xxxxx", 1, 0.5f, NULL, "b", NULL, TASK_UNDERSTAND}},
                        SECOND[] = {{SHORT, "x-x", 0, 2.0f, NULL, "c", NULL, TASK_UNDERSTAND},
                                    {PICTURED, "-x----x-", 0, 1.0f, SAME, "d", NULL, TASK_UNDERSTAND},
                                    {SHORT, "--x", 1, 1, NULL, "e", NULL, TASK_UNDERSTAND}};

static const char *make_folder(void)
{
    char path[256];
    snprintf(path, sizeof path, "%s/shard-00000-of-00002.h5", test_dir());
    made_shard(path, FIRST, 2, 2, 0, 2, 10);
    snprintf(path, sizeof path, "%s/shard-00001-of-00002.h5", test_dir());
    made_shard(path, SECOND, 3, 3, 1, 2, 20);
    return test_dir();
}

static const Preprocessor TOWER = {.prep = {.width = 8, .height = 8, .pad = true, .fill = {127, 127, 127}, .filter = FILTER_BICUBIC,
                                           .max_pixels = IMAGE_MAX_PIXELS},
                                   .patch = 4, .patches = MADE_PATCHES};

static LoaderOptions options(void)
{
    return (LoaderOptions){.shards = make_folder(), .batch = 5, .micro_tokens = 64, .epochs = 1, .seed = 1, .workers = 0,
                           .preprocessor = &TOWER, .first_visual_id = 1000};
}

TEST(loader_makes_the_labels_of_a_pass)
{
    LoaderOptions o = options();
    Loader *ld;
    REQUIRE_OK(loader_open(&ld, &o, 0, 1));
    const LoaderTotals *t = loader_totals(ld);
    CHECK(t->samples == 5 && t->steps == 1 && t->tokens == 14 + 7 + 3 + 14 + 3 && t->longest == 14);
    StepPlan plan;
    REQUIRE_OK(loader_step(ld, 0, &plan));
    CHECK(plan.items == 5 && plan.n_passes == 1 && plan.tokens == 41 && plan.images == 4);
    const Batch *b;
    REQUIRE_OK(loader_pass(ld, 0, &b));
    const LossTerms *terms[] = {&plan.of_step, &plan.of_rank, &b->terms};
    for (int i = 0; i < 3; i++)
        CHECK(terms[i]->labels.n == 8 && terms[i]->labels.weight == 2 * 1.0 + 2 * 0.5 + 1 * 2.0 + 2 * 1.0 + 1 * 1.0);
    CHECK(b->n_segments == 5 && b->n_tokens == 41 && b->n_images == 4 && b->max_segment == 14 && b->image_width == 8);
    static const int32_t CU[] = {0, 14, 21, 24, 38, 41}, RECORD[] = {10, 11, 20, 21, 22};
    CHECK(!memcmp(b->cu, CU, sizeof CU) && !memcmp(b->record, RECORD, sizeof RECORD));
    static const int32_t IDS[14] = {1, 7, ID_IMAGE, ID_IMAGE, ID_IMAGE, ID_IMAGE, 8, 9, ID_IMAGE, ID_IMAGE, ID_IMAGE, ID_IMAGE, 5, 2};
    CHECK(!memcmp(b->id, IDS, sizeof IDS));
    for (int i = 0; i < 14; i++)
        CHECK(b->pos[i] == i && b->item[i] == 0);
    CHECK(b->pos[14] == 0 && b->item[14] == 1 && b->item[40] == 4);
    /* [IMG0] counts, the others do not; the trained token at position 0 of record 20 has nobody to predict it. */
    static const int32_t ROW[] = {11, 12, 15, 19, 22, 24, 35, 39}, LABEL[] = {5, 2, 1000, 2, 2, 7, 5, 2},
            POS[] = {11, 12, 1, 5, 1, 0, 11, 1},
                         REC[] = {10, 10, 11, 11, 20, 21, 21, 22};
    static const float WEIGHT[] = {1, 1, 0.5f, 0.5f, 2, 1, 1, 1};
    CHECK_INT(b->n_labels, 8);
    CHECK(!memcmp(b->label_row, ROW, sizeof ROW) && !memcmp(b->label, LABEL, sizeof LABEL) && !memcmp(b->label_position, POS, sizeof POS) &&
          !memcmp(b->label_record, REC, sizeof REC) && !memcmp(b->label_weight, WEIGHT, sizeof WEIGHT));
    /* images 1, 0 of the first shard, 2, 2 of the second; 24x16 padded to a square, so the middle row shows the picture's red */
    size_t bytes = 8 * 8 * 3, middle = (4 * 8 + 4) * 3;
    CHECK(abs(b->pixels[middle] - 40) < 8 && b->pixels[bytes + middle] < 8 && abs(b->pixels[2 * bytes + middle] - 80) < 8);
    CHECK(!memcmp(b->pixels + 2 * bytes, b->pixels + 3 * bytes, bytes));
    loader_close(&ld);
}

TEST(loader_shows_pictures_of_other_shards)
{
    static const uint32_t SHOWN[] = {MADE_IN(0, 1), 2};
    static const MadeSample OTHER[] = {{PICTURED, "------xx", 0, 1.0f, SHOWN, "d", NULL, TASK_UNDERSTAND}};
    LoaderOptions o = options();
    char path[256];
    snprintf(path, sizeof path, "%s/shard-00001-of-00002.h5", test_dir());
    made_shard(path, OTHER, 1, 3, 1, 2, 12);
    Loader *ld;
    StepPlan plan;
    const Batch *b;
    o.batch = 3;
    REQUIRE_OK(loader_open(&ld, &o, 0, 1));
    REQUIRE_OK(loader_step(ld, 0, &plan));
    REQUIRE_OK(loader_pass(ld, 0, &b));
    /* record 10: images 1, 0; record 12: image 1 of the same shard, image 2 of its own */
    size_t bytes = 8 * 8 * 3, middle = (4 * 8 + 4) * 3;
    CHECK(b->n_images == 4 && b->record[2] == 12);
    CHECK(!memcmp(b->pixels, b->pixels + 2 * bytes, bytes) && memcmp(b->pixels, b->pixels + bytes, bytes));
    CHECK(abs(b->pixels[2 * bytes + middle] - 40) < 8 && abs(b->pixels[3 * bytes + middle] - 80) < 8);
    loader_close(&ld);
}

TEST(loader_follows_the_choice_of_visual_labels)
{
    for (int choice = 0; choice < 3; choice++) { /* all, first, none */
        LoaderOptions o = options();
        o.visual_labels = (VisualLabels[]){VISUAL_ALL, VISUAL_FIRST, VISUAL_NONE}[choice];
        Loader *ld;
        StepPlan plan;
        const Batch *b;
        REQUIRE_OK(loader_open(&ld, &o, 0, 1));
        REQUIRE_OK(loader_step(ld, 0, &plan));
        REQUIRE_OK(loader_pass(ld, 0, &b));
        static const int WANTED[] = {11, 8, 7};
        CHECK_INT(b->n_labels, WANTED[choice]);
        CHECK(plan.of_step.labels.weight == 7.5 + (choice == 0 ? 2.0 : choice == 1 ? 0.5 : 0.0));
        loader_close(&ld);
    }
}

TEST(loader_refuses_a_budget_below_the_longest_sample)
{
    LoaderOptions o = options();
    o.micro_tokens = 13;
    Loader *ld;
    char wanted[512];
    snprintf(wanted, sizeof wanted, "train.micro_tokens is 13, but row 10 of the mixture (sample 0 of %s) alone has 14 tokens; raise it, "
                                    "or lower data.max_tokens",
             o.shards);
    CHECK_FAILS(loader_open(&ld, &o, 0, 1), ERR_USAGE, wanted);
    CHECK(ld == NULL);
    o.micro_tokens = 64;
    o.preprocessor = NULL;
    CHECK_FAILS(loader_open(&ld, &o, 0, 1), ERR_USAGE, "the samples show images, but the run has no vision tower (model.vision.path)");
}

TEST(loader_wants_all_shards)
{
    LoaderOptions o = options();
    char path[256], wanted[512];
    Loader *ld;
    snprintf(path, sizeof path, "%s/shard-00001-of-00002.h5", test_dir());
    REQUIRE(!remove(path));
    snprintf(wanted, sizeof wanted, "%s: No such file or directory", path);
    CHECK_FAILS(loader_open(&ld, &o, 0, 1), ERR_MISSING, wanted);
    snprintf(path, sizeof path, "%s/shard-00001-of-00003.h5", test_dir());
    made_shard(path, SECOND, 3, 3, 1, 3, 20);
    CHECK_INT(loader_open(&ld, &o, 0, 1), ERR_DATA);
    CHECK(strstr(status_message(), "holds shards of two preparations, of "));
}

/* Everything that a run sees, as one number: equal for equal runs. */
static uint64_t fingerprint(const LoaderOptions *o, int rank, int n_ranks, int64_t from)
{
    Loader *ld;
    REQUIRE_OK(loader_open(&ld, o, rank, n_ranks));
    uint64_t h = 1;
    for (int64_t step = from; step < loader_totals(ld)->steps; step++) {
        StepPlan plan;
        REQUIRE_OK(loader_step(ld, step, &plan));
        for (int32_t p = 0; p < plan.n_passes; p++) {
            const Batch *b;
            REQUIRE_OK(loader_pass(ld, p, &b));
            for (int32_t i = 0; i < b->n_tokens; i++)
                h = (h ^ (uint64_t)(uint32_t)b->id[i]) * 0x100000001b3u + (uint64_t)b->item[i];
            for (int32_t i = 0; i < b->n_images * 8 * 8 * 3; i++)
                h = (h ^ b->pixels[i]) * 0x100000001b3u;
        }
    }
    loader_close(&ld);
    return h;
}

TEST(loader_is_the_same_for_any_number_of_threads)
{
    LoaderOptions o = options();
    o.batch = 3;
    o.steps = 12;
    o.shuffle = true;
    o.micro_tokens = 20;
    uint64_t wanted = fingerprint(&o, 0, 1, 0), later = fingerprint(&o, 0, 1, 7);
    for (int workers = 1; workers <= 4; workers++) {
        o.workers = workers;
        CHECK(fingerprint(&o, 0, 1, 0) == wanted);
        CHECK(fingerprint(&o, 0, 1, 7) == later);
    }
    o.seed++;
    CHECK(fingerprint(&o, 0, 1, 0) != wanted);
}

TEST(loader_steps_can_be_asked_for_in_any_order)
{
    LoaderOptions o = options();
    o.batch = 2;
    o.steps = 6;
    o.shuffle = true;
    o.workers = 2;
    Loader *ld;
    REQUIRE_OK(loader_open(&ld, &o, 0, 1));
    int32_t first[6] = {0};
    static const int64_t STEPS[] = {0, 1, 2, 3, 4, 5, 5, 2, 0, 4, 5, 0, 1};
    for (size_t i = 0; i < sizeof STEPS / sizeof *STEPS; i++) {
        StepPlan plan;
        const Batch *b;
        REQUIRE_OK(loader_step(ld, STEPS[i], &plan));
        if (i % 3 == 2)
            continue; /* left before its pictures were taken */
        REQUIRE_OK(loader_pass(ld, 0, &b));
        if (first[STEPS[i]])
            CHECK_INT(b->record[0], first[STEPS[i]]);
        first[STEPS[i]] = b->record[0];
    }
    StepPlan plan;
    CHECK_INT(loader_step(ld, 6, &plan), ERR_INTERNAL);
    loader_close(&ld);
}

TEST(loader_takes_all_that_settings_allow)
{
    LoaderOptions o = options();
    o.batch = 1 << 20;
    o.micro_tokens = INT32_MAX / 2; /* the most that train.micro_tokens takes */
    Loader *ld;
    REQUIRE_OK(loader_open(&ld, &o, 0, 1));
    CHECK_INT(loader_totals(ld)->steps, 1);
    loader_close(&ld);
}

TEST(loader_gives_the_same_items_to_any_number_of_ranks)
{
    LoaderOptions o = options();
    o.batch = 4;
    o.epochs = 2.5; /* 13 items: 4, 4, 4, 1 */
    o.shuffle = true;
    o.micro_tokens = 20;
    int32_t record[4][4]; /* of item i of step k, with one rank */
    double weight[4];
    static const int RANKS[] = {1, 2, 4};
    for (size_t c = 0; c < 3; c++) {
        int seen[4][4] = {{0}};
        for (int rank = 0; rank < RANKS[c]; rank++) {
            Loader *ld;
            REQUIRE_OK(loader_open(&ld, &o, rank, RANKS[c]));
            CHECK_INT(loader_totals(ld)->steps, 4);
            for (int64_t k = 0; k < 4; k++) {
                StepPlan plan;
                REQUIRE_OK(loader_step(ld, k, &plan));
                CHECK_INT(plan.items, k < 3 ? 4 : 1);
                for (int32_t p = 0; p < plan.n_passes; p++) {
                    const Batch *b;
                    REQUIRE_OK(loader_pass(ld, p, &b));
                    CHECK(b->n_tokens <= 20);
                    for (int32_t s = 0; s < b->n_segments; s++) {
                        int32_t item = b->item[b->cu[s]];
                        seen[k][item]++;
                        if (c == 0)
                            record[k][item] = b->record[s];
                        CHECK_INT(b->record[s], record[k][item]);
                    }
                }
                if (c == 0)
                    weight[k] = plan.of_step.labels.weight;
                CHECK(plan.of_step.labels.weight == weight[k]);
            }
            loader_close(&ld);
        }
        for (int k = 0; k < 4; k++)
            for (int i = 0; i < (k < 3 ? 4 : 1); i++)
                CHECK_INT(seen[k][i], 1);
    }
}

static PassShape shape_of_batch(const Batch *b)
{
    return (PassShape){.tokens = b->n_tokens, .segments = b->n_segments, .images = b->n_images, .labels = b->n_labels,
                       .max_segment = b->max_segment, .generate = (int32_t)b->terms.generate.n, .edit = (int32_t)b->terms.edit.n,
                       .target_pictures = b->n_target_pictures, .source_pictures = b->n_source_pictures, .target_size = b->target_size};
}

/* No pass of the run needs more, by all measures together, than one of those foretold; each of those comes. */
TEST(loader_knows_the_worst_passes_beforehand)
{
    LoaderOptions o = options();
    o.batch = 3;
    o.steps = 40;
    o.shuffle = true;
    o.micro_tokens = 20;
    for (int rank = 0; rank < 2; rank++) {
        Loader *ld;
        REQUIRE_OK(loader_open(&ld, &o, rank, 2));
        const PassShape *worst;
        int n = loader_worst_passes(ld, &worst);
        REQUIRE(n >= 1 && n <= 256);
        bool came[256] = {false};
        int64_t tokens = 0;
        for (int64_t k = 0; k < 40; k++) {
            StepPlan plan;
            REQUIRE_OK(loader_step(ld, k, &plan));
            tokens += plan.tokens;
            for (int32_t p = 0; p < plan.n_passes; p++) {
                const Batch *b;
                REQUIRE_OK(loader_pass(ld, p, &b));
                PassShape s = shape_of_batch(b);
                bool covered = false;
                for (int i = 0; i < n; i++) {
                    covered = covered || (worst[i].tokens >= s.tokens && worst[i].segments >= s.segments && worst[i].images >= s.images &&
                                          worst[i].labels >= s.labels && worst[i].max_segment >= s.max_segment);
                    came[i] = came[i] || !memcmp(&worst[i], &s, sizeof s);
                }
                CHECK(covered);
            }
        }
        for (int i = 0; i < n; i++)
            CHECK(came[i]);
        CHECK_INT(loader_totals(ld)->tokens, tokens);
        loader_close(&ld);
    }
}

TEST(loader_names_the_image_that_is_damaged)
{
    LoaderOptions o = options();
    for (int workers = 0; workers < 2; workers++) {
        char path[256], wanted[512];
        snprintf(path, sizeof path, "%s/shard-00001-of-00002.h5", test_dir());
        made_shard(path, SECOND, 3, 3, 1, 2, 20);
        Shard *s;
        REQUIRE_OK(shard_open(&s, path));
        FILE *f = fopen(path, "r+");
        REQUIRE(f && !fseek(f, (long)(s->image_data_offset + s->image_off[2] + 100), SEEK_SET) && fputc(0xA5, f) != EOF && !fclose(f));
        shard_close(&s);
        o.workers = workers;
        Loader *ld;
        StepPlan plan;
        const Batch *b;
        REQUIRE_OK(loader_open(&ld, &o, 0, 1));
        REQUIRE_OK(loader_step(ld, 0, &plan));
        CHECK_INT(loader_pass(ld, 0, &b), ERR_DATA);
        snprintf(wanted, sizeof wanted, "%s: image 2 is damaged", path);
        CHECK(strstr(status_message(), wanted));
        loader_close(&ld);
    }
}
