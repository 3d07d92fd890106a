/* Attention and a step of real sizes, as far as the emulation gets in seconds: that their checks are right; a device is asked for the whole
 * (tests/cuda_device/large.cc). */
extern "C" {
#include "tests/harness.h"
#include "tests/kernels/attention_large.h"
#include "tests/train/large_step.h"

static void run(const LargeAttention *shape)
{
    Backend b;
    REQUIRE_OK(cuda_open(&b, 0));
    attention_large(shape, &b);
    b.close(&b);
}

TEST(attention_over_many_tiles)
{
    LargeAttention shape = {.heads = 2, .kv_heads = 1, .head_dim = 128, .window = 0, .lengths = {300, 0, 197, 1}};
    run(&shape);
}
TEST(attention_over_many_tiles_in_a_window)
{
    LargeAttention shape = {.heads = 2, .kv_heads = 1, .head_dim = 128, .window = 150, .lengths = {300, 0, 197, 1}};
    run(&shape);
}

static Status open_emulation(Backend *b) { return cuda_open(b, 0); }

TEST(step_beside_the_cpu)
{
    LargeStep step = {"tests/fixtures/parity/visual_tokens/config.json", {"model.llm.init=random", nullptr}, 96, 32, 9};
    large_step(&step, open_emulation);
}
}
