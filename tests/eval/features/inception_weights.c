/* inception_weights.c: see inception_weights.h. Called by the tests of eval/features and eval. */
#include "tests/eval/features/inception_weights.h"

#include <inttypes.h>
#include <stdio.h>

#include "data/formats/file.h"
#include "data/formats/safetensors.h"
#include "tests/harness.h"
#include "tests/train/models/hashed.h"

const char *inception_weights(char path[PATH_MAX], const char *without)
{
    enum { MOST = 512 };
    static StSpec specs[MOST];
    static char names[MOST][128];
    static double rules[MOST][2];
    int n = 0;
    char line[256];
    FILE *f = fopen(test_fixture("features/inception/weights.txt"), "r");
    REQUIRE(f);
    for (; fgets(line, sizeof line, f); n++) {
        int64_t *d = specs[n].shape;
        REQUIRE(n < MOST);
        const int found = sscanf(line, "%127s %lf %lf %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64, names[n], &rules[n][0], &rules[n][1],
                                 &d[0], &d[1], &d[2], &d[3]);
        REQUIRE(found == 4 || found == 7);
        specs[n].name = names[n];
        specs[n].type = F32;
        specs[n].n_dims = found - 3;
        n -= without && !strcmp(names[n], without);
    }
    fclose(f);
    StWriter *w;
    REQUIRE_OK(stwriter_open(&w, file_join(path, test_dir(), "inception.safetensors"), specs, n));
    for (int i = 0; i < n; i++) {
        int64_t elems = 1;
        for (int k = 0; k < specs[i].n_dims; k++)
            elems *= specs[i].shape[k];
        for (int64_t k = 0; k < elems; k++) {
            const float value = (float)(rules[i][0] + rules[i][1] * (double)hashed_uniform(names[i], (uint64_t)k));
            REQUIRE_OK(stwriter_write(w, &value, sizeof value));
        }
    }
    REQUIRE_OK(stwriter_close(&w));
    return path;
}
