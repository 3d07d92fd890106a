/* Adapters that peft wrote (tests/oracle/adapters.py), over a base: merged as peft merges them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/arena.h"
#include "tests/harness.h"
#include "tools/convert/model.h"

/* Rows of a merged tensor are those that peft has: `wanted` is called NAME:FIRST. */
static void check_rows(const Model *m, const StTensor *wanted)
{
    char name[WEIGHT_NAME_MAX];
    const char *colon = strrchr(wanted->name, ':');
    REQUIRE(colon);
    snprintf(name, sizeof name, "%.*s", (int)(colon - wanted->name), wanted->name);
    const int64_t first = atoi(colon + 1), rows = wanted->shape[0];
    const Stored *t = stored_find(&m->whole, name);
    REQUIRE(t && first + rows <= t->shape[0] && stored_row(t) * rows == wanted->n_elems);
    float *found = mem_alloc((size_t)wanted->n_elems * sizeof *found), *theirs = mem_alloc((size_t)wanted->n_elems * sizeof *theirs);
    REQUIRE(found && theirs);
    CHECK_OK(stored_rows(t, first, rows, found));
    memcpy(theirs, wanted->data, wanted->n_bytes);
    double worst = 0, largest = 0;
    for (int64_t i = 0; i < wanted->n_elems; i++) {
        worst = fmax(worst, fabs((double)found[i] - (double)theirs[i]));
        largest = fmax(largest, fabs((double)theirs[i]));
    }
    CHECK_MSG(worst <= 1e-6 * largest, "%s: differs by %.3g of its largest", wanted->name, worst / largest);
    mem_free(found);
    mem_free(theirs);
}

static void check_merged(const char *folder, int n_added)
{
    char adapter[512], base[512], expected[600];
    Model m;
    SafeTensors *st;
    snprintf(adapter, sizeof adapter, "%s", test_fixture(folder));
    snprintf(base, sizeof base, "%s", test_fixture("parity/bases/llm-gqa"));
    snprintf(expected, sizeof expected, "%s/expected.safetensors", adapter);
    REQUIRE_OK(model_open(&m, adapter, &(ModelOptions){.base = base}));
    REQUIRE_OK(safetensors_open(&st, expected));
    CHECK_INT(m.n_added, n_added);
    for (int i = 0; i < n_added; i++) {
        char name[32];
        snprintf(name, sizeof name, "<added_%d>", 336 + i); /* no file names it */
        CHECK_STR(m.added[i], name);
    }
    CHECK(m.cfg.model.llm.train == TRAIN_FROZEN); /* no run trains on with it */
    CHECK(safetensors_count(st) > 0);
    for (int i = 0; i < safetensors_count(st); i++)
        check_rows(&m, safetensors_at(st, i));
    safetensors_close(&st);
    model_close(&m);
}

TEST(dora_with_ranks_and_scales_of_single_linears_is_merged_as_peft_does) { check_merged("adapters/dora", 0); }

TEST(rows_of_the_base_and_added_ones_and_saved_modules_stand_where_peft_puts_them) { check_merged("adapters/rows", 2); }
