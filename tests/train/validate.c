/* validate.h: the loss of held-out rows is PyTorch's over the same rows with the same weights: where a batch holds every row of a case, the
 * loss that PyTorch begins step k + 1 with is that of the rows after step k. */
#include "train/validate.h"

#include <math.h>
#include <stdio.h>

#include "data/formats/json.h"
#include "data/formats/rows.h"
#include "data/formats/safetensors.h"
#include "tests/harness.h"
#include "tests/train/parity_case.h"

enum { STEPS = 8 };

/* Of train.jsonl: [step - 1], with "loss_validation_NAME" in the order of LOSSES behind; NAN where a line has none. */
static int read_log(const char *path, double found[STEPS][1 + N_LOSSES])
{
    Rows *rows;
    Row row;
    bool end = false;
    int n = 0;
    REQUIRE_OK(rows_open(&rows, path, ROWS_LINES));
    for (; n < STEPS; n++) {
        JsonDoc *doc;
        REQUIRE_OK(rows_next(rows, &row, &end));
        if (end)
            break;
        REQUIRE_OK(json_parse(&doc, row.text, row.n, path));
        for (int i = 0; i < 1 + N_LOSSES; i++) {
            char key[64];
            snprintf(key, sizeof key, "loss_validation%s%s", i ? "_" : "", i ? LOSSES[i - 1].name : "");
            const Json *v = json_get(json_root(doc), key);
            found[n][i] = v ? v->real : (double)NAN;
        }
        json_free(&doc);
    }
    rows_close(&rows);
    return n;
}

static void check_step(const char *name, int step, const double found[1 + N_LOSSES])
{
    char path[256];
    SafeTensors *file;
    snprintf(path, sizeof path, "tests/fixtures/parity/%s/expected/step-%06d.safetensors", name, step);
    REQUIRE_OK(safetensors_open(&file, path));
    for (int i = 0; i < 1 + N_LOSSES; i++) {
        const StTensor *want = safetensors_find(file, i ? LOSSES[i - 1].dump : "loss");
        if (!want)
            continue;
        const double x = (double)*(const float *)want->data;
        CHECK_MSG(fabs(found[i] - x) <= 1e-5 * fabs(x), "%s, after step %d: %s is %.9g, PyTorch's %.9g", name, step,
                  i ? LOSSES[i - 1].key : "loss_validation", found[i], x);
    }
    safetensors_close(&file);
}

static void check_case(const char *program, const char *name, int steps, const char *set)
{
    char config[256], mixture[256], dump[256], log[256];
    double found[STEPS][1 + N_LOSSES];
    snprintf(config, sizeof config, "tests/fixtures/parity/%s/config.json", name);
    snprintf(mixture, sizeof mixture, "data.validation=tests/fixtures/parity/%s/mixture.json", name);
    snprintf(dump, sizeof dump, "%s/%s", test_dir(), name);
    const Trainer trainer = {.program = program, .set = {mixture, "eval.every=1", *program && program[5] ? "device=cuda" : NULL}};
    parity_train(&trainer, config, dump, set);
    snprintf(log, sizeof log, "%s/out-%s/config/train.jsonl", test_dir(), name);
    CHECK_INT(read_log(log, found), steps);
    for (int k = 1; k < steps; k++)
        check_step(name, k, found[k - 1]);
}

TEST(validation_is_pytorchs_for_text) { check_case("train", "visual_tokens", 5, NULL); }
TEST(validation_is_pytorchs_for_prompts) { check_case("train", "draw_mse", 5, NULL); }
TEST(validation_is_pytorchs_under_noise) { check_case("train", "noise_conv_in", 4, NULL); }
TEST(validation_is_pytorchs_from_a_cache) { check_case("train", "noise_conv_in", 4, "data.cache=[\"latents\",\"clip_text\"]"); }
TEST(validation_is_pytorchs_on_emulated_cuda) { check_case("train-cuda-host", "draw_mse", 5, NULL); }
