/* safetensors.c: files of weights. Every tensor's bytes are there. */
#include "data/formats/safetensors.h"

#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    SafeTensors *st;
    Status s = safetensors_open(&st, fuzz_put("a.safetensors", data, n));
    fuzz_check(s);
    if (s)
        return 0;
    unsigned sum = 0;
    for (int i = 0; i < safetensors_count(st); i++) {
        const StTensor *t = safetensors_at(st, i);
        const uint8_t *bytes = t->data;
        for (size_t k = 0; k < t->n_bytes; k++)
            sum += bytes[k];
        if (!safetensors_find(st, t->name) || t->n_bytes > n)
            abort();
    }
    volatile unsigned kept = sum;
    (void)kept;
    safetensors_close(&st);
    return 0;
}
