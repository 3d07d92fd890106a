/* eval/bench/scores.h: shares, means, intervals, groups, JSON. Wilson's intervals are those of SciPy
 * (binomtest(right, n).proportion_ci(method="wilson")). */
#include "eval/bench/scores.h"

#include <math.h>

#include "kernels/base/arena.h"
#include "tests/harness.h"

static bool near(double a, double b, double most) { return fabs(a - b) <= most; }

TEST(shares_have_wilsons_interval)
{
    static const struct {
        int64_t right, n;
        double low, high;
    } CASES[] = {{0, 1, 0.0, 79.34506856227625},
                 {1, 1, 20.654931437723747, 100.0},
                 {1, 10, 1.7876213095072897, 40.41500267952385},
                 {7, 10, 39.67781474611453, 89.22087325936991},
                 {50, 100, 40.38315303659956, 59.61684696340044},
                 {0, 37, 0.0, 9.40578258372025},
                 {37, 37, 90.59421741627975, 100.0},
                 {12345, 20000, 61.04917957360658, 62.39631718087777},
                 {1, 1000000, 1.765245767453709e-05, 0.0005664911804311442}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Scores s = {0};
        scores_share(&s, CASES[i].right, CASES[i].n, "%s/%d", "a", 1);
        CHECK_OK(scores_status(&s));
        CHECK_STR(s.score[0].key, "a/1");
        CHECK(near(s.score[0].value, 100.0 * (double)CASES[i].right / (double)CASES[i].n, 1e-12));
        CHECK_MSG(near(s.score[0].low, CASES[i].low, 1e-10) && near(s.score[0].high, CASES[i].high, 1e-10), "%.17g to %.17g",
                  s.score[0].low, s.score[0].high);
        scores_free(&s);
    }
}

TEST(shares_and_means_of_nothing_are_0)
{
    Scores s = {0};
    scores_share(&s, 0, 0, "share");
    scores_mean(&s, NULL, 0, "mean");
    for (int i = 0; i < 2; i++)
        CHECK(s.score[i].value == 0 && isnan(s.score[i].low) && isnan(s.score[i].high));
    scores_free(&s);
}

/* The bootstrap's interval of a mean of many nears the normal one: 1.96 standard errors each way. */
TEST(means_have_a_bootstrap_interval)
{
    enum { N = 4000 };
    static double value[N];
    double sum = 0, square = 0;
    for (int i = 0; i < N; i++) {
        value[i] = (i * 7919 % N) / (double)N;
        sum += value[i];
        square += value[i] * value[i];
    }
    const double mean = sum / N, error = sqrt((square / N - mean * mean) / N);
    Scores s = {0}, again = {0};
    scores_mean(&s, value, N, "mean");
    scores_mean(&again, value, N, "mean");
    CHECK(near(s.score[0].value, 100 * mean, 1e-12));
    CHECK_MSG(near(s.score[0].low, 100 * (mean - 1.96 * error), 20 * error) &&
                  near(s.score[0].high, 100 * (mean + 1.96 * error), 20 * error),
              "%g to %g, a standard error is %g", s.score[0].low, s.score[0].high, 100 * error);
    CHECK(s.score[0].low == again.score[0].low && s.score[0].high == again.score[0].high);
    scores_free(&s);
    scores_free(&again);
    scores_mean(&s, (double[]){0.5, 0.5, 0.5}, 3, "same");
    CHECK(s.score[0].low == 50 && s.score[0].high == 50);
    scores_free(&s);
}

TEST(groups_keep_the_order_of_their_first_mention)
{
    Scores s = {0};
    Groups g = {0};
    static const char *const NAMES[] = {"b", "a", "b"};
    for (int i = 0; i < 3; i++) {
        Group *at = groups_at(&s, &g, span_of(NAMES[i]));
        REQUIRE(at);
        at->n++;
        at->right += i == 2;
        at->sum += 0.25 * i;
    }
    groups_share(&s, &g, "share");
    groups_mean(&s, &g, "mean");
    groups_free(&g);
    REQUIRE(s.n_scores == 4);
    CHECK_STR(s.score[0].key, "share/b");
    CHECK_STR(s.score[1].key, "share/a");
    CHECK_STR(s.score[3].key, "mean/a");
    CHECK(s.score[0].value == 50 && s.score[1].value == 0 && s.score[2].value == 25 && s.score[3].value == 25);
    scores_free(&s);
}

TEST(scores_as_json)
{
    Scores s = {.n = 3, .n_missing = 1};
    cJSON *o;
    char *text;
    scores_add(&s, 1.0 / 3, "first");
    scores_add(&s, NAN, "none");
    scores_count(&s, 4, "other");
    scores_share(&s, 1, 1, "all");
    REQUIRE_OK(scores_json(&o, &s, "gqa", "val", 2));
    cJSON_DeleteItemFromObject(o, "config");
    REQUIRE_OK(json_to_text(&text, &o, JSON_INLINE, "scores"));
    CHECK_STR(text, "{\"bench\":\"gqa\",\"split\":\"val\",\"n\":3,\"n_missing\":1,\"n_duplicate\":2,\"score\":0.3333333333333333,"
                    "\"scores\":{\"first\":0.3333333333333333,\"none\":null,\"all\":100.0},"
                    "\"parse\":{\"other\":4},"
                    "\"intervals\":{\"all\":[20.654931437723747,100.0]}}");
    mem_free(text);
    scores_free(&s);
}
