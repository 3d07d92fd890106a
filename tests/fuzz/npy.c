/* npy.c: the readers of arrays that NumPy saved: .npy, and the members mu and sigma of .npz. */
#include "eval/metrics/npy.h"

#include <stdlib.h>

#include "kernels/base/arena.h"
#include "tests/fuzz/fuzz.h"

static volatile double read_number;

static void read_array(const uint8_t *bytes, size_t n)
{
    Npy a;
    Status s = npy_parse(&a, bytes, n, "a.npy");
    fuzz_check(s);
    if (s || !a.shape[0] || !a.shape[1])
        return;
    if ((uint64_t)a.shape[0] > n || (uint64_t)a.shape[1] > n)
        abort();
    read_number = npy_at(&a, 0, 0);
    read_number = npy_at(&a, a.shape[0] - 1, a.shape[1] - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const MEMBERS[] = {"mu.npy", "sigma.npy"};
    Mapped file;
    read_array(data, n);
    fuzz_require(mapped_open(&file, fuzz_put("a.npz", data, n), "an .npz file"));
    for (int i = 0; i < 2; i++) {
        uint8_t *bytes;
        size_t n_bytes;
        Status s = npz_read(&bytes, &n_bytes, &file, MEMBERS[i]);
        fuzz_check(s);
        if (s)
            continue;
        read_array(bytes, n_bytes);
        mem_free(bytes);
    }
    mapped_close(&file);
    return 0;
}
