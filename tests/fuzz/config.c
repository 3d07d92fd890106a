/* config.c: a run's settings, and after a NUL what --set says. Settings that are taken are written and read again to the same. */
#include "train/config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/arena.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const uint8_t *nul = n ? memchr(data, 0, n) : NULL;
    const char *sets[8];
    char words[514] = "", *json, *difference;
    int n_sets = 0;
    RunConfig cfg, again;
    if (nul) {
        const size_t rest = n - (size_t)(nul - data) - 1;
        memcpy(words, nul + 1, rest < sizeof words - 2 ? rest : sizeof words - 2);
        for (char *w = words; *w && n_sets < 8; w += strlen(w) + 1)
            sets[n_sets++] = w;
    }
    Status s = config_load(&cfg, fuzz_put("run.json", data, nul ? (size_t)(nul - data) : n), sets, n_sets);
    fuzz_check(s);
    if (s)
        return 0;
    fuzz_require(config_to_json(&cfg, &json));
    s = config_load(&again, fuzz_put("again.json", json, strlen(json)), NULL, 0);
    if (s || config_difference(&cfg, &again, &difference) || difference) {
        puts(s ? status_message() : difference);
        abort();
    }
    mem_free(json);
    config_free(&cfg);
    config_free(&again);
    return 0;
}
