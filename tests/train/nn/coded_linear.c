/* Linears whose weights are held in codes: the numbers of the same linears over the values that the codes stand for, by tiles and whole,
 * and gradients against central differences. */
#include "tests/train/nn/rig.h"
#include "train/nn/coded.h"

enum { ROWS = 5, IN = 40, OUT = 150, RANK = 3 };

typedef struct Layer {
    Param *x, *residual;
    Linear lin;
} Layer;

static Tensor *build(Rig *r, Tape *t)
{
    const Layer *l = r->arg;
    return nn_linear_add(t, rig_rows(t, l->x), &l->lin, NULL, rig_rows(t, l->residual));
}

/* values: NULL, or what the weight holds instead of codes. */
static void open_layer(Rig *r, Layer *l, DType compute, CodeFormat format, const float *values)
{
    rig_open(r, compute, RECOMPUTE_NONE);
    l->x = rig_param(r, "x", ROWS, IN, true);
    l->residual = rig_param(r, "residual", ROWS, OUT, true);
    r->params.group.format = values ? CODES_NONE : format;
    l->lin = (Linear){.scale = 0.7};
    l->lin.w = params_declare(&r->params, &(ParamSpec){.name = "w", .init = INIT_NORMAL, .init_scale = 0.3, .n_dims = 2,
                                                       .shape = {OUT, IN}, .storable = true});
    l->lin.b = rig_param(r, "b", OUT, 0, true);
    l->lin.lora_a = rig_param(r, "a", RANK, IN, true);
    l->lin.lora_b = rig_param(r, "up", OUT, RANK, true);
    rig_create(r);
    REQUIRE(l->lin.w);
    if (values)
        REQUIRE_OK(params_set(&r->params, l->lin.w, values, F32));
    r->arg = l;
}

static void same_by_tiles(CodeFormat format, size_t tile_bytes)
{
    static float values[OUT * IN], grad[2][4096];
    double loss[2];
    for (int i = 0; i < 2; i++) { /* codes, then their values */
        Rig r;
        Layer l;
        open_layer(&r, &l, F32, format, i ? values : NULL);
        CHECK_INT(l.lin.w->coded.format != CODES_NONE, !i);
        r.backend.tile_bytes = tile_bytes;
        loss[i] = rig_loss(&r, build, true);
        if (!i)
            REQUIRE_OK(params_get(&r.params, l.lin.w, values));
        REQUIRE(r.params.n_flat <= 4096);
        memcpy(grad[i], r.params.flat_grad, (size_t)r.params.n_flat * sizeof(float));
        rig_close(&r);
    }
    CHECK(loss[0] == loss[1]);
    CHECK(!memcmp(grad[0], grad[1], sizeof grad[0]));
}

TEST(a_linear_in_codes_computes_what_its_values_do)
{
    for (CodeFormat f = CODES_INT8; f <= CODES_NF4; f++) {
        same_by_tiles(f, 0);
        same_by_tiles(f, 1); /* as few rows at a time as there may be */
    }
}

TEST(gradients_of_a_linear_in_codes)
{
    for (CodeFormat f = CODES_INT8; f <= CODES_NF4; f++) {
        Rig r;
        Layer l;
        open_layer(&r, &l, F64, f, NULL);
        r.backend.tile_bytes = 1;
        rig_check(&r, build, 12);
        rig_close(&r);
    }
}
