/* runlog.c: the log of a run that is resumed, from the step that the first byte says: train.jsonl is cut back to it. */
#include "train/log/runlog.h"

#include "tests/fuzz/fuzz.h"

static RunConfig cfg;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *const sets[] = {"log.tensorboard=false"};
    (void)argc, (void)argv;
    fuzz_model();
    fuzz_require(config_load(&cfg, fuzz_path("visual_tokens/config.json"), sets, 1));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    RunLog *log;
    if (n < 1)
        return 0;
    fuzz_put("train.jsonl", data + 1, n - 1);
    Status s = runlog_open(&log, fuzz_path(""), &cfg, data[0] % 8, 8);
    fuzz_check(s);
    if (!s)
        runlog_close(&log);
    return 0;
}
