/* The plan of a run beside the peak that the kernel measured, with a model large enough that its parts can be told apart: weights drawn or
 * read, frozen with adapters, frozen without, trained, in both types, from the start and resumed. */
#include <stdio.h>

#include "data/formats/file.h"
#include "tests/train/measure/base.h"

/* file: type of the base's weights, N_DTYPES where they are drawn. */
static void check_case(DType file, const char *train, const char *compute)
{
    const BaseModel model = {.layers = 4, .vocab = 4096, .type = file};
    const int64_t tables = (int64_t)model.vocab * BASE_D,
                  weights = 2 * tables + model.layers * (int64_t)BASE_D * (2 * BASE_D + 2 * BASE_KV + 3 * BASE_F),
                  small = 1 << 20; /* norms, and the 64 KiB around each */
    char name[128], runs[512];
    bool drawn = file == N_DTYPES, in_place = !drawn && strcmp(train, "full") && (file == BF16 || !strcmp(compute, "f32"));
    int64_t bytes = drawn ? 0 : (int64_t)dtype_size(file), all = in_place ? weights * bytes : 0;
    base_write(&model);
    base_write_run(train, compute, drawn);
    snprintf(name, sizeof name, "%s, %s, %s", drawn ? "drawn" : dtype_name(file), train, compute);
    base_check_run(name, (const char *const[]){"--steps", "1", NULL}, all, all + small);
    snprintf(name, sizeof name, "%s, %s, %s, resumed", drawn ? "drawn" : dtype_name(file), train, compute);
    /* The token rows are there, so of the table of embeddings only the run's tokens are read. */
    base_check_run(name, (const char *const[]){"--resume", NULL}, all ? all - tables * bytes : 0, all + small);
    base_path(runs, "runs");
    REQUIRE_OK(file_remove(runs));
}

static void check_all(DType file, const char *train)
{
    check_case(file, train, "f32");
    check_case(file, train, "bf16");
}

TEST(plan_of_adapters_on_a_drawn_model) { check_all(N_DTYPES, "lora"); }
TEST(plan_of_adapters_on_a_model_in_bf16) { check_all(BF16, "lora"); }
TEST(plan_of_adapters_on_a_model_in_f32) { check_all(F32, "lora"); }
TEST(plan_of_a_frozen_drawn_model) { check_all(N_DTYPES, "frozen"); }
TEST(plan_of_a_frozen_model_in_bf16) { check_all(BF16, "frozen"); }
TEST(plan_of_a_frozen_model_in_f32) { check_all(F32, "frozen"); }
TEST(plan_of_a_drawn_model_trained_in_full) { check_all(N_DTYPES, "full"); }
TEST(plan_of_a_model_in_bf16_trained_in_full) { check_all(BF16, "full"); }
TEST(plan_of_a_model_in_f32_trained_in_full) { check_case(F32, "full", "f32"); }
