/* Training on the CPU and on the emulated device against PyTorch, transformers and peft. */
#include <stdlib.h>

#include "tests/harness.h"
#include "tests/train/parity_case.h"

static const Trainer CPU = {.program = "train"}, AVX2 = {.program = "train", .isa = "avx2"},
                     EMULATED = {.program = "train-cuda-host", .set = {"device=cuda"}},
                     EMULATED_BF16 = {.program = "train-cuda-host", .set = {"device=cuda", "train.compute=bf16"}},
                     ERRING = {.program = "train-cuda-host", .set = {"device=cuda"}, .change = 2e-2};

#define PARITY(name) \
    TEST(parity_##name) { parity_case(&CPU, #name, NULL); }
PARITY_CASES(PARITY)
#define EMULATED_PARITY(name) \
    TEST(parity_##name##_on_emulated_cuda) { parity_case(&EMULATED, #name, NULL); }
PARITY_CASES(EMULATED_PARITY)
/* Arithmetic as far from the truth as a device's may be. */
TEST(parity_first_visual_on_emulated_cuda_that_errs)
{
    REQUIRE(!setenv("CUDA_HOST_ERRS", "1", 1));
    parity_case(&ERRING, "first_visual", NULL);
}
/* Convolutions by a stand-in for cuDNN, in f32 all of them. */
TEST(parity_noise_conv_in_by_cudnn_on_emulated_cuda)
{
    REQUIRE(!setenv("CUDA_HOST_CUDNN", "9", 1));
    parity_case(&EMULATED, "noise_conv_in", NULL);
}
TEST(parity_tied_full_by_blocks_on_emulated_cuda) { parity_case(&EMULATED, "tied_full", "train.recompute=block"); }

/* Operands of 8 bits, on processors and on an emulated device that has them: compute capability 9.0. */
TEST(parity_fp8) { parity_case(&CPU, "fp8", NULL); }
TEST(parity_fp8_with_avx2) { parity_case(&AVX2, "fp8", "train.recompute=block"); }
TEST(parity_fp8_on_emulated_cuda)
{
    REQUIRE(!setenv("CUDA_HOST_CAPABILITY", "9.0", 1));
    parity_case(&EMULATED, "fp8", NULL);
}
TEST(parity_recompute_is_bitwise_equal_in_fp8) { parity_same_bits(&CPU, "fp8", "train.recompute=none", "train.recompute=block"); }

TEST(parity_defaults_like_with_avx2) { parity_case(&AVX2, "defaults_like", NULL); }
TEST(parity_vision_full_with_avx2) { parity_case(&AVX2, "vision_full", "train.recompute=block"); }
/* Other passes, the same step. */
TEST(parity_visual_tokens_in_one_pass) { parity_case(&CPU, "visual_tokens", "train.micro_tokens=4096"); }
TEST(parity_skipped_without_recompute) { parity_case(&CPU, "skipped", "train.recompute=none"); }
TEST(parity_draw_l2norm_with_avx2) { parity_case(&AVX2, "draw_l2norm", "train.recompute=block"); }
TEST(parity_draw_l2norm_in_one_pass) { parity_case(&CPU, "draw_l2norm", "train.micro_tokens=4096"); }
TEST(parity_draw_mse_without_recompute) { parity_case(&CPU, "draw_mse", "train.recompute=none"); }
TEST(parity_noise_edit_with_avx2) { parity_case(&AVX2, "noise_edit", "train.recompute=none"); }
TEST(parity_noise_frozen_one_by_one) { parity_case(&CPU, "noise_frozen", "train.micro_images=1"); }
/* One rank: its own mean is the mean. */
TEST(parity_skipped_by_rank) { parity_case(&CPU, "skipped", "loss.normalise=rank"); }

TEST(parity_recompute_is_bitwise_equal_in_lora)
{
    parity_same_bits(&CPU, "defaults_like", "train.recompute=none", "train.recompute=block");
}
TEST(parity_recompute_is_bitwise_equal_in_full)
{
    parity_same_bits(&CPU, "tied_full", "train.recompute=none", "train.recompute=selective");
}
TEST(parity_recompute_is_bitwise_equal_in_drawing)
{
    parity_same_bits(&CPU, "draw_mse", "train.recompute=selective", "train.recompute=block");
}
TEST(parity_recompute_is_bitwise_equal_under_noise)
{
    parity_same_bits(&CPU, "noise_edit", "train.recompute=none", "train.recompute=block");
}
TEST(parity_recompute_is_bitwise_equal_on_emulated_cuda)
{
    parity_same_bits(&EMULATED, "defaults_like", "train.recompute=none", "train.recompute=block");
}
TEST(parity_recompute_is_bitwise_equal_in_bf16_on_emulated_cuda)
{
    parity_same_bits(&EMULATED_BF16, "defaults_like", "train.recompute=selective", "train.recompute=none");
}
