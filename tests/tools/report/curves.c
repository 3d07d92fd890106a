/* curves.c: the log of a run as curves of bounded size (tools/report/report.h). */
#include <math.h>
#include <string.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"
#include "tests/tools/report/check.h"

static Curves *read_text(const char *text)
{
    char path[PATH_MAX];
    Curves *c = mem_alloc(sizeof *c);
    REQUIRE(c != NULL);
    put_file(test_dir(), "train.jsonl", text);
    CHECK_OK(curves_read(c, file_join(path, test_dir(), "train.jsonl")));
    return c;
}

TEST(curves_know_ends_and_extremes)
{
    Curves *c = read_text("{\"step\":1,\"loss\":4,\"tokens\":100,\"seconds\":0.5,\"samples\":3,\"images\":1,\"skipped_steps\":0}\n"
                          "{\"step\":2,\"loss\":null,\"tokens\":200,\"seconds\":2,\"samples\":3,\"skipped_steps\":1}\n"
                          "{\"step\":3,\"loss\":-2.5,\"tokens\":300,\"seconds\":1.5,\"samples\":4,"
                          "\"skipped_steps\":1,\"skipped_samples\":7}\n");
    const Curve *loss = curves_find(c, "loss"), *speed = curves_find(c, "tokens/s");
    REQUIRE(loss && speed);
    CHECK_INT(c->steps, 3);
    CHECK_INT(loss->n, 2);
    CHECK(loss->first == 4 && loss->last == -2.5 && loss->low == -2.5 && loss->high == 4 && loss->sum == 1.5);
    CHECK(loss->low_step == 3 && loss->high_step == 1);
    CHECK(speed->first == 200 && speed->low == 100);
    CHECK(c->tokens == 600 && c->samples == 10 && c->images == 1 && c->seconds == 4);
    CHECK_INT(c->skipped_steps, 1);
    CHECK_INT(c->skipped_samples, 7);
    CHECK_INT(c->n_skips, 1);
    CHECK_INT(c->skips[0], 2);
    CHECK(!curves_find(c, "tokens") && !curves_find(c, "step"));
    curves_free(c);
}

TEST(curves_take_scores_of_any_name)
{
    Curves *c = read_text("{\"step\":1,\"loss\":1}\n{\"step\":2,\"loss\":1,\"suite\":{\"pope\":{\"f1\":81.5},\"mme\":1500}}\n");
    const Curve *pope = curves_find(c, "suite.pope.f1"), *mme = curves_find(c, "suite.mme");
    REQUIRE(pope && mme);
    CHECK(pope->last == 81.5 && pope->n == 1 && mme->last == 1500 && mme->first_step == 2);
    curves_free(c);
}

TEST(curves_leave_out_damaged_lines)
{
    Curves *c = read_text("{\"step\":1,\"loss\":1}\nnonsense\n{\"step\":2,\"loss\":2\n{\"loss\":3}\n{\"step\":1,\"loss\":9}\n"
                          "{\"step\":-4,\"loss\":9}\n[1]\n{\"step\":3,\"loss\":5}\n{\"step\":4,\"loss\":7");
    CHECK_INT(c->steps, 2); /* the last line is still being written */
    CHECK_INT(c->damaged, 6);
    CHECK_STR(c->damage, "line 2: it is no JSON");
    CHECK(curves_find(c, "loss")->sum == 6);
    curves_free(c);
}

TEST(curves_do_not_add_up_what_no_step_has)
{
    char text[4096] = "";
    for (int k = 1; k <= 20; k++)
        snprintf(text + strlen(text), 128, "{\"step\":%d,\"loss\":1,\"tokens\":900000000000000000,\"seconds\":%s}\n", k,
                 k < 20 ? "9e17" : "2");
    Curves *c = read_text(text);
    CHECK(c->tokens == 0 && c->seconds == 2);
    CHECK_INT(c->steps, 20);
    curves_free(c);
}

TEST(curves_are_bounded_and_keep_every_spike)
{
    enum { STEPS = 100000, SPIKE = 54321 };
    char path[PATH_MAX];
    FILE *f;
    Curves *c = mem_alloc(sizeof *c);
    Column *columns = mem_alloc(CURVE_COLUMNS * sizeof *columns);
    REQUIRE(c && columns);
    REQUIRE_OK(file_append(&f, file_join(path, test_dir(), "train.jsonl")));
    for (int k = 1; k <= STEPS; k++)
        fprintf(f, "{\"step\":%d,\"loss\":%d}\n", k, k == SPIKE ? 1000000 : k);
    REQUIRE(!fclose(f));
    CHECK_OK(curves_read(c, path));
    const Curve *loss = curves_find(c, "loss");
    CHECK_INT(c->per_column, 128);
    CHECK_INT(loss->high_step, SPIKE);
    const Column *spike = &loss->columns[SPIKE / 128];
    CHECK(spike->n == 128 && spike->high == 1000000 && spike->low == SPIKE / 128 * 128);
    CHECK_INT(curve_fold(columns, c, loss, 8192), STEPS / 8192 + 1);
    int64_t n = 0;
    double sum = 0;
    for (int i = 0; i <= STEPS / 8192; i++) {
        n += columns[i].n;
        sum += columns[i].sum;
        CHECK(columns[i].high == (i == SPIKE / 8192 ? 1000000 : i == STEPS / 8192 ? STEPS : (i + 1) * 8192 - 1));
    }
    CHECK_INT(n, STEPS);
    CHECK(sum == (double)STEPS * (STEPS + 1) / 2 - SPIKE + 1000000);
    CHECK(fabs(curve_end(c, loss) - (STEPS - 1250)) < 128);
    mem_free(columns);
    curves_free(c);
}

TEST(curves_take_steps_however_far)
{
    Curves *c = read_text("{\"step\":0,\"loss\":1}\n{\"step\":1000000000000000,\"loss\":2}\n{\"step\":1000000000000001,\"loss\":2}\n");
    CHECK_INT(c->steps, 2);
    CHECK_INT(c->damaged, 1);
    const Curve *loss = curves_find(c, "loss");
    CHECK(loss->columns[0].n == 1 && loss->columns[0].sum == 1 && loss->columns[1000000000000000 / c->per_column].sum == 2);
    curves_free(c);
}

TEST(curves_follow_so_many_keys)
{
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    fputs("{\"step\":1", f);
    for (int i = 0; i < CURVES_MAX + 5; i++)
        fprintf(f, ",\"k%d\":%d", i, i);
    fputs("}\n", f);
    REQUIRE(!fclose(f));
    Curves *c = read_text(text);
    CHECK_INT(c->n, CURVES_MAX);
    CHECK_INT(c->left_out, 5);
    curves_free(c);
    mem_free(text);
}
