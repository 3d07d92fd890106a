/* safetensors.c: files of weights, and the index of a folder that holds several: input that begins with a brace. Every tensor's bytes are
 * there. */
#include "data/formats/safetensors.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char name[64], from[128];
    (void)argc, (void)argv;
    for (int i = 1; i <= 5; i++) {
        snprintf(name, sizeof name, "model-%05d-of-00005.safetensors", i);
        snprintf(from, sizeof from, "tests/fixtures/parity/bases/llm-old/%s", name);
        fuzz_copy(name, from);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    SafeTensors *st;
    const bool index = n && data[0] == '{';
    const char *path = fuzz_put(index ? "model.safetensors.index.json" : "a.safetensors", data, n);
    Status s = index ? safetensors_open_folder(&st, fuzz_path(""), "model") : safetensors_open(&st, path);
    fuzz_check(s);
    if (s)
        return 0;
    unsigned sum = 0;
    for (int i = 0; i < safetensors_count(st); i++) {
        const StTensor *t = safetensors_at(st, i);
        const uint8_t *bytes = t->data;
        for (size_t k = 0; k < t->n_bytes; k++)
            sum += bytes[k];
        if (!safetensors_find(st, t->name) || (!index && t->n_bytes > n))
            abort();
    }
    volatile unsigned kept = sum;
    (void)kept;
    safetensors_close(&st);
    return 0;
}
