/* train.jsonl and dumps have the losses that a step has, and no others. */
#include <limits.h>
#include <stdio.h>

#include "data/formats/file.h"
#include "data/formats/safetensors.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"
#include "train/log/dump.h"
#include "train/log/runlog.h"

static const StepLosses WITH = {.total = 0.5, .values = {[LOSS_TEXT] = 0.25}, .present = {[LOSS_TEXT] = true}}, WITHOUT = {.total = 0.5};

TEST(the_log_leaves_out_losses_that_a_step_has_not)
{
    RunConfig cfg = {.log = {.every = 100}};
    char path[PATH_MAX], *text;
    size_t n;
    RunLog *log;
    REQUIRE_OK(runlog_open(&log, test_dir(), &cfg, 0, 1000));
    CHECK_OK(runlog_step(log, &(StepRecord){.step = 1, .losses = WITH, .lr = 1}));
    const StepRecord second = {.step = 2,
                               .losses = WITHOUT,
                               .lr = 1,
                               .peak_share = 0.375,
                               .rates = {{"lora", "lora", 1}, {"gen_head", "gen_head", 0.5}},
                               .n_rates = 2};
    CHECK_OK(runlog_step(log, &second));
    runlog_close(&log);
    snprintf(path, sizeof path, "%s/train.jsonl", test_dir());
    REQUIRE_OK(file_read(&text, &n, path, 4096));
    const char *rest = ",\"grad_norm\":0.0,\"samples\":0,\"tokens\":0,\"images\":0,\"seconds\":0.0",
               *end = ",\"skipped_steps\":0,\"skipped_samples\":0}\n";
    char wanted[1024];
    snprintf(wanted, sizeof wanted,
             "{\"step\":1,\"loss\":0.5,\"loss_text\":0.25,\"lr\":1.0%s%s"
             "{\"step\":2,\"loss\":0.5,\"lr\":1.0,\"lr_lora\":1.0,\"lr_gen_head\":0.5%s,\"peak_share\":0.375%s",
             rest, end, rest, end);
    CHECK_STR(text, wanted);
    mem_free(text);
}

static int scalars_of_dump(const StepLosses *losses, int64_t step)
{
    char name[64], path[PATH_MAX];
    Backend b;
    Params p;
    Dist dist;
    Dump *dump;
    SafeTensors *st;
    REQUIRE_OK(ref_open(&b));
    REQUIRE_OK(dist_open(&dist));
    params_init(&p, &b, F32);
    REQUIRE_OK(params_create(&p));
    REQUIRE_OK(dump_open(&dump, test_dir(), step, &dist, &(ModelSizes){.vocab_size = 1}));
    REQUIRE_OK(dump_write(dump, step, &p, &(DumpScalars){.losses = *losses, .lr = 2, .grad_norm = 3}));
    dump_close(&dump);
    snprintf(name, sizeof name, "step-%06d.safetensors", (int)step);
    snprintf(path, sizeof path, "%s/%s", test_dir(), name);
    REQUIRE_OK(safetensors_open(&st, path));
    int n = safetensors_count(st) - 3; /* but for the logits, their rows and labels */
    static const struct {
        const char *name;
        float value;
    } WANTED[] = {{"loss", 0.5f}, {"lr", 2}, {"grad_norm", 3}, {"loss.text", 0.25f}};
    for (int i = 0; i < n; i++) {
        const StTensor *t = safetensors_find(st, WANTED[i].name);
        REQUIRE(t != NULL);
        float value;
        memcpy(&value, t->data, sizeof value);
        CHECK(t->type == F32 && value == WANTED[i].value);
    }
    safetensors_close(&st);
    params_destroy(&p);
    CHECK_OK(dist_close(&dist, OK));
    b.close(&b);
    return n;
}

TEST(a_dump_leaves_out_losses_that_a_step_has_not)
{
    CHECK_INT(scalars_of_dump(&WITH, 0), 4);
    CHECK_INT(scalars_of_dump(&WITHOUT, 1), 3);
}

static SafeTensors *open_dump(int64_t step)
{
    char name[64], path[PATH_MAX];
    SafeTensors *st;
    snprintf(name, sizeof name, "step-%06d.safetensors", (int)step);
    REQUIRE_OK(safetensors_open(&st, file_join(path, test_dir(), name)));
    return st;
}

/* Two passes; the second holds the earlier record, with two target images. */
TEST(a_dump_has_the_context_of_every_target_image_in_order_of_records)
{
    static const int32_t ROW[] = {4, 9}, SEGMENT[] = {0, 0}, FIRST[] = {1}, RECORD[] = {7, 3}, POS[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    static const float WANTED[] = {2, 3, 4, 5, 0, 1};
    const ModelSizes sizes = {.vocab_size = 1, .queries = 1, .context = 2};
    Backend b;
    Params p;
    Dist dist;
    Dump *dump;
    REQUIRE_OK(ref_open(&b));
    REQUIRE_OK(dist_open(&dist));
    params_init(&p, &b, F32);
    REQUIRE_OK(params_create(&p));
    REQUIRE_OK(dump_open(&dump, test_dir(), 0, &dist, &sizes));
    for (int i = 0, value = 0; i < 2; i++) {
        Batch batch = {.n_targets = i + 1, .pos = POS, .record = RECORD + i, .target_segment = SEGMENT, .target_row = i ? ROW : FIRST};
        LossRequest request = {0};
        REQUIRE_OK(dump_pass(dump, &batch, &request));
        REQUIRE(request.context);
        for (int k = 0; k < 2 * (i + 1); k++)
            request.context[k] = (float)value++;
    }
    REQUIRE_OK(dump_write(dump, 0, &p, &(DumpScalars){.losses = WITHOUT}));
    dump_begin(dump);
    REQUIRE_OK(dump_write(dump, 1, &p, &(DumpScalars){.losses = WITHOUT}));
    dump_close(&dump);
    SafeTensors *st = open_dump(0);
    const StTensor *context = safetensors_find(st, "context"), *row = safetensors_find(st, "context.row");
    REQUIRE(context && row);
    CHECK(context->n_dims == 3 && context->shape[0] == 3 && context->shape[1] == 1 && context->shape[2] == 2);
    CHECK(!memcmp(context->data, WANTED, sizeof WANTED));
    CHECK(row->type == I32 && row->n_dims == 1 && !memcmp(row->data, (int32_t[]){3, 3, 7}, 3 * sizeof(int32_t)));
    safetensors_close(&st);
    st = open_dump(1);
    CHECK(!safetensors_find(st, "context") && !safetensors_find(st, "context.row"));
    safetensors_close(&st);
    params_destroy(&p);
    CHECK_OK(dist_close(&dist, OK));
    b.close(&b);
}

/* Files of an earlier run would stand beside new ones; those of the steps before are a resumed run's own. */
TEST(a_dump_does_not_mix_with_another)
{
    Dist dist;
    Dump *dump;
    char path[PATH_MAX], wanted[2 * PATH_MAX];
    const ModelSizes sizes = {.vocab_size = 1};
    REQUIRE_OK(dist_open(&dist));
    REQUIRE_OK(file_write(file_join(path, test_dir(), "step-000004.safetensors"), "", 0));
    REQUIRE_OK(file_write(file_join(path, test_dir(), "step-000004.safetensors.old"), "", 0));
    snprintf(wanted, sizeof wanted, "--dump: %s holds step-000004.safetensors, of another run: its files would stand beside those of this "
                                    "one, which begins with step 4; name another folder, or empty it", test_dir());
    CHECK_FAILS(dump_open(&dump, test_dir(), 4, &dist, &sizes), ERR_CREATE, wanted);
    REQUIRE_OK(dump_open(&dump, test_dir(), 5, &dist, &sizes));
    dump_close(&dump);
    CHECK_OK(dist_close(&dist, OK));
}
