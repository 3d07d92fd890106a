/* Convolutions on the device of this machine, by cuDNN where it is installed and without it. */
#include <cstdlib>

extern "C" {
#include "tests/kernels/compare.h"
#include "tests/train/parity_case.h"

static const Trainer DEVICE = {"train", {"device=cuda"}, nullptr, 2e-2, 0},
                     DEVICE_BF16 = {"train", {"device=cuda", "train.compute=bf16"}, nullptr, 0, 0},
                     CPU_BF16 = {"train", {"device=cpu", "train.compute=bf16"}, nullptr, 0, 0};

static Status open_device(Backend *b)
{
    REQUIRE_OK(cuda_open(b, 0));
    return OK;
}

/* The other tests are run with it: those that pass say something about it only then. */
TEST(cudnn_is_installed)
{
    Backend b;
    REQUIRE_OK(open_device(&b));
    bool found = strstr(b.description, "cuDNN");
    b.close(&b);
    if (!found)
        test_skip("libcudnn.so.9 or .8 is not found, and convolutions by it are not tested");
}

TEST(convolutions_without_cudnn_keep_to_the_specification)
{
    REQUIRE(!setenv("GENLLAVA_CUDNN", "0", 1));
    for (const KernelCases *k = compare_registered(); k; k = k->next)
        if (k->op == OP_conv2d_fwd || k->op == OP_conv2d_dx || k->op == OP_conv2d_dw)
            compare_run_on(k, open_device);
}

TEST(parity_noise_conv_in_without_cudnn)
{
    REQUIRE(!setenv("GENLLAVA_CUDNN", "0", 1));
    parity_case(&DEVICE, "noise_conv_in", nullptr);
}
TEST(parity_bf16_under_noise_is_near_the_cpu) { parity_near(&DEVICE_BF16, &CPU_BF16, "noise_conv_in", nullptr, 4e-3); }
TEST(parity_recompute_is_bitwise_equal_in_bf16_under_noise)
{
    parity_same_bits(&DEVICE_BF16, "noise_conv_in", "train.recompute=none", "train.recompute=selective");
}
}
