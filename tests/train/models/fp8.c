/* model.llm.multiply = fp8: which weights of a model become operands of 8 bits. */
#include <math.h>

#include "tests/train/models/tiny.h"
#include "train/nn/ops.h"

static RunConfig CFG;

static void eight_bits(void)
{
    tiny_folders();
    tiny_config(&CFG);
    CFG.model.llm.multiply = MULTIPLY_FP8;
}

/* The seven of every layer and no other; also where adapters would be joined with them. */
TEST(fp8_is_for_the_linears_of_the_layers)
{
    eight_bits();
    for (int joins = 0; joins < 2; joins++) {
        TinyModel m;
        int n = 0;
        tiny_joins = joins;
        REQUIRE_OK(tiny_open(&m, &CFG, BF16, RECOMPUTE_SELECTIVE));
        const Params *p = genllava_params(m.g);
        for (int i = 0; i < p->n; i++) {
            const Param *q = p->list[i];
            n += q->row_scale != NULL;
            CHECK_MSG((q->row_scale != NULL) == (q->t.type == U8), "%s", q->name);
            CHECK_MSG(!q->row_scale || (strstr(q->name, "model.layers.") == q->name && strstr(q->name, "_proj.weight")), "%s", q->name);
        }
        CHECK_INT(n, 2 * 7);
        CHECK(isfinite(tiny_step(&m, tiny_batch(genllava_model_sizes(m.g)), NULL, true)));
        tiny_close(&m);
    }
}

/* A part that is opened alone needs no language model. */
TEST(fp8_asks_nothing_of_a_part_alone)
{
    GenLlava *g;
    Backend ref;
    eight_bits();
    REQUIRE_OK(ref_open(&ref));
    CHECK_OK(genllava_open_part(&g, &ref, F32, &CFG, "vision"));
    CHECK(g && !params_find(genllava_params(g), "model.layers.0.mlp.up_proj.weight"));
    genllava_close(&g);
    ref.close(&ref);
}
