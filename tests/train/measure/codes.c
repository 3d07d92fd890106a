/* The plan beside the peak where weights become codes while they are read: weights held in nf4, and those of a folder that is quantised. */
#include <stdio.h>

#include "data/formats/file.h"
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

TEST(plan_of_weights_in_codes) { check_train(F16, false, "bf16", "model.llm.store=nf4"); }
TEST(plan_of_a_folder_in_codes) { check_train(BF16, true, "bf16", "model.llm.store=default"); }
