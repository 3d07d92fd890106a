/* gguf.c: the reader of GGUF files: headers, metadata of every kind, tensors. */
#include "data/formats/gguf.h"

#include <stdlib.h>

#include "kernels/base/arena.h"
#include "tests/fuzz/fuzz.h"

static volatile uint8_t read_byte;

static void read_value(const Gguf *g, const char *key)
{
    GgufText *texts;
    int64_t *ints, number;
    float *reals;
    char *text;
    double real;
    bool yes;
    size_t n;
    Status s = gguf_get_texts(g, key, &texts, &n);
    fuzz_check(s);
    for (size_t i = 0; !s && i < n; i++)
        if (texts[i].n)
            read_byte = (uint8_t)texts[i].bytes[texts[i].n - 1];
    fuzz_check(gguf_get_ints(g, key, &ints, &n));
    fuzz_check(gguf_get_reals(g, key, &reals, &n));
    fuzz_check(gguf_get_text(g, key, &text));
    fuzz_check(gguf_get_int(g, key, &number));
    fuzz_check(gguf_get_real(g, key, &real));
    fuzz_check(gguf_get_bool(g, key, &yes));
    mem_free(texts);
    mem_free(ints);
    mem_free(reals);
    mem_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Gguf *g;
    Status s = gguf_open(&g, fuzz_put("a.gguf", data, n));
    fuzz_check(s);
    if (s)
        return 0;
    for (int i = 0; i < gguf_count(g); i++) {
        const GgufTensor *t = gguf_at(g, i);
        for (size_t k = 0; k < t->n_bytes; k++)
            read_byte = ((const uint8_t *)t->data)[k];
        if (gguf_find(g, t->name) != t || t->n_bytes > n)
            abort();
    }
    for (int i = 0; i < gguf_n_entries(g) && i < 64; i++)
        read_value(g, gguf_entry_at(g, i)->key);
    gguf_close(&g);
    return 0;
}
