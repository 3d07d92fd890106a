/* Sizes that are trained with, on the device of this machine: attention of 1024 and 2048 tokens, a step of two layers of width
 * 4096. Segments are packed, 4 queries share a key, heads are 128 wide. */
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

TEST(attention_of_1024_tokens)
{
    LargeAttention shape = {.heads = 32, .kv_heads = 8, .head_dim = 128, .window = 0, .lengths = {1024, 1024, 1023, 1}};
    run(&shape);
}
TEST(attention_of_1024_tokens_in_a_window)
{
    LargeAttention shape = {.heads = 32, .kv_heads = 8, .head_dim = 128, .window = 300, .lengths = {1024, 1024, 1023, 1}};
    run(&shape);
}
TEST(attention_of_2048_tokens)
{
    LargeAttention shape = {.heads = 32, .kv_heads = 8, .head_dim = 128, .window = 0, .lengths = {2048, 2047, 0, 33}};
    run(&shape);
}
TEST(attention_of_2048_tokens_in_a_window)
{
    LargeAttention shape = {.heads = 32, .kv_heads = 8, .head_dim = 128, .window = 1000, .lengths = {2048, 2047, 0, 33}};
    run(&shape);
}

static Status open_device(Backend *b)
{
    REQUIRE_OK(cuda_open(b, 0));
    return OK;
}

TEST(step_of_width_4096_beside_the_cpu)
{
    LargeStep step = {"tests/fixtures/large/config.json", {nullptr}, 512, 256, 64};
    large_step(&step, open_device);
}
}
