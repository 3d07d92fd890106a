/* The plan beside the peak where weights become codes while they are read: operands of 8 bits, and weights held in int8 and nf4. No more
 * than a layer's are there as numbers at a time. */
#include <stdio.h>
#include <sys/resource.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "tests/train/measure/base.h"

static void check_train(DType file, bool nf4, const char *compute, const char *setting)
{
    char name[128], runs[512];
    base_write(&(BaseModel){.layers = 10, .vocab = 1000, .type = file, .nf4 = nf4});
    base_write_run("lora", compute, false);
    snprintf(name, sizeof name, "%s%s, %s, %s", dtype_name(file), nf4 ? " and codes" : "", compute, setting);
    base_check_run(name, (const char *const[]){"--steps", "1", "--set", setting, NULL}, 0, INT64_MAX);
    base_path(runs, "runs");
    REQUIRE_OK(file_remove(runs));
}

TEST(plan_of_operands_of_8_bits)
{
    check_train(F16, false, "f32", "model.llm.multiply=fp8");
    check_train(BF16, false, "bf16", "model.llm.multiply=fp8");
}

TEST(plan_of_weights_in_codes) { check_train(F16, false, "bf16", "model.llm.store=nf4"); }
TEST(plan_of_a_folder_in_codes) { check_train(BF16, true, "bf16", "model.llm.store=default"); }

/* "needs 46.5 MiB of memory besides what it has now, and 128.0 KiB in files" */
static int64_t read_need(const char *said)
{
    double need = 0, mapped = 0;
    char unit[8] = "", mapped_unit[8] = "";
    const char *at = strstr(said, "needs ");
    CHECK_MSG(
        at && sscanf(at, "needs %lf %3s of memory besides what it has now, and %lf %5s in files", &need, unit, &mapped, mapped_unit) == 4 &&
            !strcmp(unit, "MiB"),
        "no plan in: %s", said);
    mapped *= !strcmp(mapped_unit, "MiB") ? 1048576 : !strcmp(mapped_unit, "KiB") ? 1024 : 1;
    return (int64_t)(need * 1048576 + mapped);
}

/* What answers is refused before it reads weights where its data may take too little: it has taken then what it has besides its plan. */
static void check_answers(DType file, const char *compute, const char *setting)
{
    static const char *const NAME = "generate";
    const char *const words[] = {"--set", setting, "--ask", "What?", "--max-new-tokens", "2", NULL};
    char path[512], *said, name[128];
    size_t n;
    struct rlimit all, some;
    base_write(&(BaseModel){.layers = 10, .vocab = 1000, .type = file});
    base_write_run("lora", compute, false);
    REQUIRE(!getrlimit(RLIMIT_DATA, &all));
    some = (struct rlimit){.rlim_cur = 60 << 20, .rlim_max = all.rlim_max};
    REQUIRE(!setrlimit(RLIMIT_DATA, &some));
    const int64_t before = base_run(NAME, words, 71);
    REQUIRE(!setrlimit(RLIMIT_DATA, &all));
    base_path(path, "stderr");
    REQUIRE_OK(file_read(&said, &n, path, 1 << 20));
    const int64_t planned = before + read_need(said);
    mem_free(said);
    snprintf(name, sizeof name, "%s answers, %s, %s", dtype_name(file), compute, setting);
    base_check_plan(name, planned, base_run(NAME, words, 0));
}

TEST(plan_of_answers_by_operands_of_8_bits) { check_answers(F16, "f32", "model.llm.multiply=fp8"); }
