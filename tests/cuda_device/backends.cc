/* The backend that test-gpu compares with ref: kernels/cuda on the device of this machine. */
extern "C" {
#include "tests/kernels/compare.h"

/* Without a device there is nothing to test, and that must not look like success. */
static Status open_device(Backend *b)
{
    Status s = cuda_open(b);
    if (s != OK)
        test_skip("%s", status_message());
    return s;
}

const TestedBackend TESTED_BACKENDS[] = {
    {"cuda", open_device, nullptr},
    {nullptr, nullptr, nullptr},
};
}
