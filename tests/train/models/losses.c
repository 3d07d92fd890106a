/* losses.h: how sums become reported losses, and what scales a pass. */
#include "tests/harness.h"
#include "train/models/losses.h"

TEST(a_loss_is_divided_by_its_own_terms_and_weighed_in_the_total)
{
    RunConfig cfg = {.loss = {.text_weight = 3}};
    const double sums[N_LOSSES] = {[LOSS_TEXT] = 10};
    StepLosses s = losses_of_step(&cfg, sums, &(LossTerms){.labels = {5, 4}});
    CHECK(s.values[LOSS_TEXT] == 2.5 && s.total == 7.5 && s.present[LOSS_TEXT]);
    CHECK(loss_scale(&cfg, LOSS_TEXT, &(LossTerms){.labels = {5, 4}}, 2) == 3.0 / 8);
    s = losses_of_step(&cfg, sums, &(LossTerms){.labels = {5, 0}}); /* rows of weight 0: the loss is there, and 0/0 is 0 */
    CHECK(s.values[LOSS_TEXT] == 0 && s.total == 0 && s.present[LOSS_TEXT]);
    CHECK(loss_scale(&cfg, LOSS_TEXT, &(LossTerms){.labels = {5, 0}}, 1) == 0);
    CHECK(!losses_of_step(&cfg, sums, &(LossTerms){0}).present[LOSS_TEXT]);
    CHECK_STR(LOSSES[LOSS_TEXT].key, "loss_text");
    CHECK_STR(LOSSES[LOSS_TEXT].dump, "loss.text");
    CHECK_STR(LOSSES[LOSS_TEXT].tag, "loss/text");
}
