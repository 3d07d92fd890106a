/* stored: rows of tensors of every kind, from any row on. */
#include "tools/convert/stored.h"

#include <stdio.h>
#include <string.h>

#include "kernels/base/arena.h"
#include "tests/harness.h"

static bool its_own(void *arg, char ours[WEIGHT_NAME_MAX], const char *theirs)
{
    (void)arg;
    return snprintf(ours, WEIGHT_NAME_MAX, "%s", theirs) < WEIGHT_NAME_MAX;
}

TEST(stored_views_whose_elements_lie_apart_begin_at_any_row)
{
    TorchBin *bin;
    StoredSet set = {0};
    int n_views = 0;
    REQUIRE_OK(torch_bin_open(&bin, test_fixture("containers/tensors.bin")));
    REQUIRE_OK(stored_add_torch(&set, bin, its_own, NULL));
    for (int i = 0; i < set.n; i++) {
        Stored t = set.list[i];
        if (t.data || t.shape[0] < 2)
            continue;
        n_views++;
        const int64_t row = stored_row(&t), n = t.shape[0] - 1;
        float *all = mem_alloc((size_t)((n + 1) * row) * sizeof *all), *rest = mem_alloc((size_t)(n * row) * sizeof *rest);
        REQUIRE(all && rest);
        CHECK_OK(stored_rows(&t, 0, n + 1, all));
        t.at = 1;
        CHECK_OK(stored_rows(&t, 0, n, rest));
        CHECK_MSG(!memcmp(rest, all + row, (size_t)(n * row) * sizeof *rest), "%s: other rows from its second on", t.name);
        mem_free(all);
        mem_free(rest);
    }
    CHECK(n_views > 0);
    stored_free(&set);
}
