/* losses.c: the table of losses (losses.h) and their arithmetic. Called by the loop. */
#include "train/models/losses.h"

#include "train/models/parts.h"

const LossRow LOSSES[N_LOSSES] = {
#define LOSS_ROW(id, name, part, weight, terms, function) [id] = {part, name, "loss_" name, "loss." name, "loss/" name},
    LOSS_LIST(LOSS_ROW)
#undef LOSS_ROW
};

#define LOSS_WEIGHT(id, name, part, weight, terms, function) weight,
static double weight_of(const RunConfig *cfg, Loss l) { return (const double[]){LOSS_LIST(LOSS_WEIGHT)}[l]; }

#define LOSS_TERMS(id, name, part, weight, terms, function) terms,
Terms loss_terms(const LossTerms *terms, Loss l) { return (const Terms[]){LOSS_LIST(LOSS_TERMS)}[l]; }

StepLosses losses_of_step(const RunConfig *cfg, const double sums[N_LOSSES], const LossTerms *step)
{
    StepLosses s = {0};
    for (int i = 0; i < N_LOSSES; i++) {
        Terms terms = loss_terms(step, (Loss)i);
        s.present[i] = terms.n > 0 && part_wanted(part_find(LOSSES[i].part), cfg);
        s.values[i] = terms.weight > 0 ? sums[i] / terms.weight : 0;
        s.total += weight_of(cfg, (Loss)i) * s.values[i];
    }
    return s;
}

double loss_scale(const RunConfig *cfg, Loss l, const LossTerms *divisor, double share)
{
    double weight = loss_terms(divisor, l).weight;
    return weight > 0 ? 1 / (weight * share) * weight_of(cfg, l) : 0;
}
