/* Training on the device of this machine: against PyTorch, transformers and peft in f32, against the CPU in bf16. */
extern "C" {
#include "tests/harness.h"
#include "tests/train/parity_case.h"

static const Trainer DEVICE = {"train", {"device=cuda"}, nullptr, 2e-2, 0},
        DEVICE_BF16 = {"train", {"device=cuda", "train.compute=bf16"}, nullptr, 0, 0},
                     CPU_BF16 = {"train", {"device=cpu", "train.compute=bf16"}, nullptr, 0, 0};

#define PARITY(name) \
    TEST(parity_##name) { parity_case(&DEVICE, #name, nullptr); }
PARITY_CASES(PARITY)

TEST(parity_recompute_is_bitwise_equal) { parity_same_bits(&DEVICE, "defaults_like", "train.recompute=none", "train.recompute=block"); }
TEST(parity_recompute_is_bitwise_equal_in_bf16)
{
    parity_same_bits(&DEVICE_BF16, "defaults_like", "train.recompute=none", "train.recompute=selective");
}
TEST(parity_bf16_is_near_the_cpu) { parity_near(&DEVICE_BF16, &CPU_BF16, "defaults_like", nullptr, 4e-3); }
}
