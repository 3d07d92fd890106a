/* Choosing the next token. */
#include "train/infer/answer.h"
#include "tests/harness.h"

TEST(greedy_takes_the_largest_logit_and_the_lowest_id_of_equals)
{
    const float logits[] = {0.5f, 2.0f, -1.0f, 2.0f};
    int32_t scratch[4];
    CHECK_INT(sample_token(logits, 4, 0, 1, 0.99, scratch), 1);
}

TEST(sampling_follows_the_softmax_in_falling_order)
{
    const float logits[] = {0.0f, 1.0986123f, 0.0f}; /* 1/5, 3/5, 1/5: ids in the order 1, 0, 2 */
    int32_t scratch[3];
    CHECK_INT(sample_token(logits, 3, 1, 1, 0.0, scratch), 1);
    CHECK_INT(sample_token(logits, 3, 1, 1, 0.59, scratch), 1);
    CHECK_INT(sample_token(logits, 3, 1, 1, 0.61, scratch), 0);
    CHECK_INT(sample_token(logits, 3, 1, 1, 0.81, scratch), 2);
    CHECK_INT(sample_token(logits, 3, 1, 1, 0.999, scratch), 2);
}

TEST(top_p_keeps_the_fewest_tokens_that_reach_it)
{
    const float logits[] = {0.0f, 1.0986123f, 0.0f};
    int32_t scratch[3];
    for (int i = 0; i < 10; i++) {
        CHECK_INT(sample_token(logits, 3, 1, 0.5, i / 10.0, scratch), 1);
        CHECK(sample_token(logits, 3, 1, 0.7, i / 10.0, scratch) != 2);
    }
}
