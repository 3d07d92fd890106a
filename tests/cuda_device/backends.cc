/* The backend that test-gpu compares with ref: kernels/cuda on the device of this machine. */
extern "C" {
#include "tests/cuda_host/gaps.h"
#include "tests/kernels/compare.h"

/* Without a device there is nothing to test, and that must not look like success. */
Status test_machine(void)
{
    Backend b;
    TRY(cuda_open(&b, 0));
    b.close(&b);
    return OK;
}

/* It could be opened a moment ago: tests that pass over it would prove nothing. */
static Status open_device(Backend *b)
{
    REQUIRE_OK(cuda_open(b, 0));
    return OK;
}

const TestedBackend TESTED_BACKENDS[] = {
    {"cuda", open_device, nullptr, cuda_lacks, true, nullptr},
    {nullptr, nullptr, nullptr, nullptr, false, nullptr},
};
}
