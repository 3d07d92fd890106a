/* The needed arithmetic of a step that the tape counts, against a count by hand. */
#include "tests/train/models/tiny.h"

/* Pairs of a query and a key that a causal window lets through. */
static double window_pairs(const Batch *b, int window)
{
    double n = 0;
    for (int32_t s = 0; s < b->n_segments; s++)
        for (int32_t i = 0; i < b->cu[s + 1] - b->cu[s]; i++)
            n += i + 1 < window ? i + 1 : window;
    return n;
}

/* Sizes of tiny.h. Language model: a linear's frozen weight takes 2·out·in a row forwards and as many backwards for its input; each of
 * its adapter's two matrices the same, and once more for its own gradient. Attention: two products forwards, four backwards. Head: frozen
 * but for the added rows, supervised rows alone. Projector: trained, but nobody wants the gradient of what the frozen tower gives. */
static double by_hand(const Batch *b)
{
    enum {
        D = 64,
        KV = 32,
        F = 128,
        LAYERS = 2,
        WINDOW = 5,
        RANK = 4,
        V = 320,
        ADDED = 5,
        TOWER = 48,
        TOWER_F = 56,
        BLOCKS = 2,
        PATCHES = 4
    };
    const double weights = 2.0 * D * D + 2 * KV * D + 3 * F * D, sides = 2 * (D + D) + 2 * (D + KV) + 3 * (D + F);
    const double patches = PATCHES * b->n_images;
    const double layer = b->n_tokens * (2 * 2 * weights + 3 * 2 * RANK * sides) + (2 + 4) * 2 * D * window_pairs(b, WINDOW);
    const double head = 2.0 * b->n_labels * D * (2 * (V + ADDED) + ADDED);
    const double block = patches * 2 * (4 * TOWER * TOWER + 2 * TOWER * TOWER_F) + 2 * 2 * TOWER * PATCHES * patches;
    const double tower = patches * 2 * (3 * 14 * 14) * TOWER + BLOCKS * block;
    const double projector = patches * 2 * (2 * TOWER * D + 3 * D * D);
    return LAYERS * layer + head + tower + projector;
}

TEST(the_tape_counts_the_arithmetic_that_a_step_needs_and_not_what_is_computed_again)
{
    RunConfig cfg;
    TinyModel m;
    tiny_folders();
    for (int mode = RECOMPUTE_NONE; mode <= RECOMPUTE_BLOCK; mode++) {
        tiny_config(&cfg);
        REQUIRE_OK(tiny_open(&m, &cfg, F32, (Recompute)mode));
        const Batch *b = tiny_batch(genllava_model_sizes(m.g));
        tape_take_flops(m.tape);
        tiny_step(&m, b, NULL, true);
        double counted = tape_take_flops(m.tape);
        CHECK_MSG(counted == by_hand(b), "recompute %d: %.0f are counted, %.0f by hand", mode, counted, by_hand(b));
        CHECK(tape_take_flops(m.tape) == 0);
        tiny_close(&m);
    }
}
