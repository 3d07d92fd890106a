/* mixture.c: files of sources of data. */
#include "data/records/records.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Mixture m;
    Status s = mixture_load(&m, "data.mixture", fuzz_put("mixture.json", data, n), NULL, NULL);
    fuzz_check(s);
    if (!s) {
        fuzz_check(mixture_check_files(&m, true));
        mixture_free(&m);
    }
    return 0;
}
