/* Whole runs of several ranks: the same steps as one rank, whatever their shares are. */
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "data/formats/safetensors.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"
#include "tests/train/parity_case.h"

static const Trainer ONE = {.program = "train", .ranks = 1}, TWO = {.program = "train", .ranks = 2},
                     THREE = {.program = "train", .ranks = 3}, FOUR = {.program = "train", .ranks = 4},
                     EIGHT = {.program = "train", .ranks = 8},
                     TWO_DEVICES = {.program = "train-cuda-host", .set = {"device=cuda"}, .ranks = 2};

/* Against PyTorch; micro_mean depends on how many passes a rank has. */
TEST(ranks_parity_defaults_like) { parity_case(&TWO, "defaults_like", NULL); }
TEST(ranks_parity_full_decay) { parity_case(&TWO, "full_decay", NULL); }
TEST(ranks_parity_vision_full) { parity_case(&TWO, "vision_full", NULL); }
TEST(ranks_parity_tied_full) { parity_case(&TWO, "tied_full", NULL); }
TEST(ranks_parity_mixture) { parity_case(&THREE, "mixture", NULL); }
TEST(ranks_parity_noise_frozen) { parity_case(&THREE, "noise_frozen", NULL); }
/* All three tasks, and more ranks than rows. */
TEST(ranks_parity_noise_frozen_with_idle_ranks) { parity_case(&EIGHT, "noise_frozen", NULL); }
/* A rank may have nothing to draw; the context of all stands in one dump. */
TEST(ranks_parity_draw_l2norm) { parity_case(&THREE, "draw_l2norm", NULL); }
TEST(ranks_parity_visual_tokens_on_emulated_devices) { parity_case(&TWO_DEVICES, "visual_tokens", NULL); }
/* Tensors that the rows of one rank alone reach are updated on all; one of the ranks has no rows. */
TEST(ranks_parity_skipped) { parity_case(&TWO, "skipped", NULL); }
TEST(ranks_parity_skipped_with_an_idle_rank) { parity_case(&THREE, "skipped", NULL); }
TEST(ranks_parity_visual_tokens_with_four) { parity_case(&FOUR, "visual_tokens", NULL); }

/* At weights that stay equal: AdamW makes whole steps out of gradients that are rounding alone. */
static void check_equal(int ranks)
{
    Trainer one = {.program = "train", .set = {"optim.lr=1e-30", "optim.lr_projector=1e-30", "optim.lr_tokens=1e-30"}, .ranks = 1};
    Trainer several = one;
    several.ranks = ranks;
    parity_close(&one, &several, "visual_tokens", "train.batch=3", 1e-6);
}
TEST(ranks_two_equal_one) { check_equal(2); }
TEST(ranks_three_equal_one) { check_equal(3); }
TEST(ranks_four_equal_one) { check_equal(4); }

/* ---------------------------------------------------------------- loss.normalise */

enum { N_ROWS = 3, PATH_BYTES = 512 };
/* The longest goes to rank 0 and, of two ranks, both others to rank 1. */
static const int WORDS[N_ROWS] = {30, 22, 16};
static const double WEIGHT[N_ROWS] = {1, 1, 2};

/* A run of these rows in the order of the file. */
static void write_config(char path[PATH_BYTES], const char *name, int batch, int micro_tokens, const char *normalise)
{
    char rows[PATH_BYTES], here[256];
    REQUIRE(getcwd(here, sizeof here));
    snprintf(rows, sizeof rows, "%s/rows.jsonl", test_dir());
    FILE *f = fopen(rows, "w");
    REQUIRE(f);
    for (int i = 0; i < N_ROWS; i++) {
        fprintf(f, "{\"uid\": \"%d\", \"task\": \"understand\", \"images\": [], \"weight\": %g, ", i, WEIGHT[i]);
        fprintf(f, "\"turns\": [{\"from\": \"human\", \"value\": \"Say it\"}, {\"from\": \"gpt\", \"value\": \"");
        for (int k = 0; k < WORDS[i]; k++)
            fprintf(f, "%s%c", k ? " " : "", 'a' + (7 * k + 3 * i) % 26);
        fprintf(f, "\"}]}\n");
    }
    fclose(f);
    snprintf(path, PATH_BYTES, "%s/%s.json", test_dir(), name);
    f = fopen(path, "w");
    REQUIRE(f);
    fprintf(f, "{\"device\": \"cpu\", \"model\": {\"llm\": {\"path\": \"%s/tests/fixtures/parity/bases/llm-gqa\"},\n", here);
    fprintf(f, "  \"lora\": {\"r\": 2, \"alpha\": 4, \"dropout\": 0}}, \"loss\": {\"normalise\": \"%s\"},\n", normalise);
    fprintf(f, " \"data\": {\"mixture\": [{\"files\": [\"%s\"]}], \"shuffle\": false},\n", rows);
    fprintf(f, " \"train\": {\"steps\": %d, \"batch\": %d, \"micro_tokens\": %d, \"compute\": \"f32\"},\n", N_ROWS / batch, batch,
            micro_tokens);
    fprintf(f, " \"optim\": {\"lr\": 1e-30, \"lr_tokens\": 1e-30}}\n");
    fclose(f);
}

static SafeTensors *dump_of(const Trainer *trainer, const char *name, int batch, int micro_tokens, const char *normalise, int step)
{
    char config[PATH_BYTES], dump[PATH_BYTES], file[PATH_BYTES + 32];
    SafeTensors *st;
    snprintf(dump, sizeof dump, "%s/%s", test_dir(), name);
    snprintf(file, sizeof file, "%s/step-%06d.safetensors", dump, step);
    if (access(file, R_OK)) {
        write_config(config, name, batch, micro_tokens, normalise);
        parity_train(trainer, config, dump, NULL);
    }
    REQUIRE_OK(safetensors_open(&st, file));
    return st;
}

/* What a row alone gives: the gradient of its mean, its labels' weight, its length. */
typedef struct Row {
    SafeTensors *st;
    double weight;
    int length;
} Row;

static Row row_alone(int i)
{
    Row r = {dump_of(&ONE, "alone", 1, 4096, "step", i), 0, 0};
    const StTensor *at = safetensors_find(r.st, "logits.row");
    REQUIRE(at && at->shape[0] > WORDS[i]);
    const int32_t *last = (const int32_t *)at->data + 2 * (at->shape[0] - 1);
    CHECK_INT(last[0], i);
    r.weight = WEIGHT[i] * (double)at->shape[0];
    r.length = last[1] + 2;
    return r;
}

static float value(const StTensor *t, int64_t i)
{
    float x;
    memcpy(&x, (const char *)t->data + i * (int64_t)sizeof x, sizeof x);
    return x;
}

/* The gradient of the step is Σ share · gradient of a row. */
static void check_shares(const Trainer *trainer, const char *name, int micro_tokens, const char *normalise, const Row rows[N_ROWS],
                         const double share[N_ROWS])
{
    SafeTensors *st = dump_of(trainer, name, N_ROWS, micro_tokens, normalise, 0);
    double off = 0, largest = 0;
    for (int i = 0; i < safetensors_count(st); i++) {
        const StTensor *found = safetensors_at(st, i);
        for (int64_t k = 0; k < found->n_elems && !strncmp(found->name, "grad/", 5); k++) {
            double wanted = 0;
            for (int r = 0; r < N_ROWS; r++)
                wanted += share[r] * (double)value(safetensors_find(rows[r].st, found->name), k);
            off = fmax(off, fabs((double)value(found, k) - wanted));
            largest = fmax(largest, fabs(wanted));
        }
    }
    CHECK_MSG(largest > 0 && off <= 1e-6 * largest, "%s: off by %.2g of the largest, %g", name, off / largest, largest);
    safetensors_close(&st);
}

/* The formulas of the three regimes, with the gradient of each row's mean from a run of its own. */
TEST(ranks_normalise_as_the_regimes_say)
{
    Row r[N_ROWS];
    for (int i = 0; i < N_ROWS; i++)
        r[i] = row_alone(i);
    const double w[N_ROWS] = {r[0].weight, r[1].weight, r[2].weight}, all = w[0] + w[1] + w[2], of_rank_1 = w[1] + w[2];
    const int each_alone = r[0].length; /* and no two together */
    REQUIRE(r[1].length + r[2].length > each_alone && r[2].length < r[1].length && r[1].length < r[0].length);
    check_shares(&TWO, "step", each_alone, "step", r, (double[]){w[0] / all, w[1] / all, w[2] / all});
    check_shares(&TWO, "rank", each_alone, "rank", r, (double[]){1 / 2.0, w[1] / of_rank_1 / 2, w[2] / of_rank_1 / 2});
    check_shares(&TWO, "micro", each_alone, "micro", r, (double[]){1 / 2.0, 1 / 4.0, 1 / 4.0});
    check_shares(&TWO, "micro_together", 4096, "micro", r, (double[]){1 / 2.0, w[1] / of_rank_1 / 2, w[2] / of_rank_1 / 2});
    check_shares(&FOUR, "rank_idle", each_alone, "rank", r, (double[]){1 / 4.0, 1 / 4.0, 1 / 4.0});
    check_shares(&FOUR, "micro_idle", each_alone, "micro", r, (double[]){1 / 4.0, 1 / 4.0, 1 / 4.0});
    for (int i = 0; i < N_ROWS; i++)
        safetensors_close(&r[i].st);
}
