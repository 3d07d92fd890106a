/* gen_head.h: the mapper against torch's nn.Transformer with every gradient, in double; its names, sizes, and first values. */
#include <math.h>
#include <stdio.h>

#include "data/formats/safetensors.h"
#include "tests/harness.h"
#include "tests/train/nn/rig.h"
#include "train/models/model.h"

/* ---------------------------------------------------------------- beside torch */

typedef struct Fixture {
    const char *file, *expected;
    int64_t items;
    GenHeadConfig config;
} Fixture;
static const Fixture SMALL = {"gen_head/small.safetensors", "gen_head/small.expected.safetensors", 2,
                              {.in = 10, .visual = 3, .width = 12, .heads = 3, .ff = 14, .encoder_layers = 1, .decoder_layers = 2,
                               .queries = 5, .context = 7}},
                     ONE_TOKEN = {"gen_head/one_token.safetensors", "gen_head/one_token.expected.safetensors", 3,
                                  {.in = 9, .visual = 1, .width = 10, .heads = 1, .ff = 7, .encoder_layers = 2, .decoder_layers = 1,
                                   .queries = 4, .context = 8}};
static GenLlava G;

/* What vanishes (queries that see one key alone) is compared with 1e-8. */
static double relative_error(const StTensor *want, const double *found)
{
    double off = 0, size = 0;
    for (int64_t i = 0; i < want->n_elems; i++) {
        float w;
        memcpy(&w, (const char *)want->data + (size_t)i * sizeof w, sizeof w);
        off += ((double)w - found[i]) * ((double)w - found[i]);
        size += (double)w * (double)w;
    }
    return sqrt(off) / fmax(sqrt(size), 1e-8);
}

static void check_values(const SafeTensors *st, const char *name, const double *found)
{
    const StTensor *want = safetensors_find(st, name);
    REQUIRE(want != NULL);
    double error = relative_error(want, found);
    CHECK_MSG(error <= 1e-6, "%s is off by %.3g", name, error);
}

static Param *input(const char *name, const Fixture *f)
{
    G.params.group = (ParamGroup){.part = "inputs", .trainable = true};
    return params_declare(&G.params,
                          &(ParamSpec){.name = name, .n_dims = 2, .shape = {f->items * f->config.visual, f->config.in}});
}

static void open_head(Rig *r, const Fixture *f)
{
    G = (GenLlava){.gen_head.config = f->config};
    params_init(&G.params, &r->backend, F64);
    G.params.group = (ParamGroup){.part = "gen_head", .trainable = true};
    REQUIRE_OK(gen_head_declare(&G, NULL));
}

static void close_head(void)
{
    gen_head_free(&G);
    params_destroy(&G.params);
}

static void compare(const Fixture *f, Recompute recompute)
{
    Rig r;
    SafeTensors *st;
    rig_open(&r, F64, recompute);
    REQUIRE_OK(safetensors_open(&st, test_fixture(f->expected)));
    open_head(&r, f);
    Param *in[] = {input("states", f), input("rows", f)};
    REQUIRE_OK(params_create(&G.params));
    REQUIRE_OK(gen_head_load(&G, NULL, test_fixture(f->file)));
    for (int i = 0; i < 2; i++)
        REQUIRE_OK(params_set(&G.params, in[i], safetensors_find(st, in[i]->name)->data, F32));
    REQUIRE_OK(params_step_begin(&G.params));
    Tensor *context = gen_head_forward(r.tape, &G.gen_head, rig_rows(r.tape, in[0]), rig_rows(r.tape, in[1]), f->items);
    Tensor *loss = nn_act(r.tape, context, ACT_GELU_ERF);
    REQUIRE_OK(tape_backward(r.tape, loss, 1));
    check_values(st, "context", context->data);
    for (int i = 0; i < G.params.n; i++) {
        char name[300];
        snprintf(name, sizeof name, "grad/%s", G.params.list[i]->name);
        check_values(st, name, (const double *)G.params.flat_grad + G.params.list[i]->flat);
    }
    Tensor *null = gen_head_forward(r.tape, &G.gen_head, NULL, rig_rows(r.tape, in[1]), f->items);
    REQUIRE_OK(tape_status(r.tape));
    check_values(st, "null", null->data);
    safetensors_close(&st);
    close_head();
    rig_close(&r);
}

TEST(gen_head_is_torch_transformer) { compare(&SMALL, RECOMPUTE_NONE); }
TEST(gen_head_is_torch_transformer_selectively_recomputed) { compare(&SMALL, RECOMPUTE_SELECTIVE); }
TEST(gen_head_is_torch_transformer_recomputed_by_blocks) { compare(&SMALL, RECOMPUTE_BLOCK); }
TEST(gen_head_of_one_token_with_mgie_names) { compare(&ONE_TOKEN, RECOMPUTE_SELECTIVE); }

/* ---------------------------------------------------------------- files */

static void check_refused(const Fixture *f, const char *wanted)
{
    Rig r;
    rig_open(&r, F64, RECOMPUTE_NONE);
    open_head(&r, f);
    REQUIRE_OK(params_create(&G.params));
    CHECK(gen_head_load(&G, NULL, test_fixture(f->file)) == ERR_DATA);
    CHECK_MSG(strstr(status_message(), wanted), "said: %s", status_message());
    close_head();
    rig_close(&r);
}

TEST(gen_head_file_with_more_layers_is_refused)
{
    Fixture f = SMALL;
    f.config.decoder_layers = 1;
    check_refused(&f, "holds model.gen_text_hidden_fcs.0.tfm.decoder.layers.1.norm1.weight, but the generation head has 1 decoder layer "
                      "(model.gen_head.decoder_layers)");
    f = ONE_TOKEN;
    f.config.encoder_layers = 1;
    check_refused(&f, "holds edit_head.mapper.encoder.layers.1.norm1.weight, but the generation head has 1 encoder layer");
}

TEST(gen_head_file_of_another_shape_is_refused)
{
    Fixture f = SMALL;
    f.config.queries = 6;
    check_refused(&f, "model.gen_text_hidden_fcs.0.query_embs: shape is [1, 5, 12] in the file, [1, 6, 12] in the model");
    f.config = SMALL.config;
    f.config.encoder_layers = 2;
    check_refused(&f, "no tensor model.gen_text_hidden_fcs.0.tfm.encoder.layers.1.self_attn.in_proj_weight in it");
}

/* ---------------------------------------------------------------- sizes and first values */

static const Fixture PUBLISHED = {.items = 1,
                                  .config = {.in = 4096, .visual = 8, .width = 512, .heads = 4, .ff = 2048, .encoder_layers = 4,
                                             .decoder_layers = 4, .queries = 77, .context = 768}};

TEST(gen_head_of_gill_has_129_tensors)
{
    Rig r;
    int64_t n = 0;
    rig_open(&r, F64, RECOMPUTE_NONE);
    open_head(&r, &PUBLISHED);
    for (int i = 0; i < G.params.n; i++) {
        const Param *q = G.params.list[i];
        bool norm = strstr(q->name, "norm") != NULL, bias = strstr(q->name, "bias") != NULL;
        n += q->t.n_elems;
        CHECK_MSG(q->decay == (!norm && !bias), "%s", q->name);
        CHECK_STR(q->file_name, q->name + strlen("gen_head."));
    }
    CHECK_INT(G.params.n, 129);
    CHECK_INT(n, 31958784);
    close_head();
    rig_close(&r);
}

/* The largest value of a drawn weight, and its root mean square. */
static void measure(const char *name, double *largest, double *rms)
{
    const Param *q = params_find(&G.params, name);
    REQUIRE(q != NULL);
    const double *x = (const double *)G.params.flat_master + q->flat;
    *largest = *rms = 0;
    for (int64_t i = 0; i < q->t.n_elems; i++) {
        *largest = fmax(*largest, fabs(x[i]));
        *rms += x[i] * x[i] / (double)q->t.n_elems;
    }
    *rms = sqrt(*rms);
}

TEST(gen_head_is_drawn_as_torch_does)
{
    static const struct {
        const char *name;
        double bound; /* of a uniform draw; 0: zero */
    } UNIFORM[] = {{"gen_head.fc.weight", 0.125},
                   {"gen_head.fc.bias", 0.125},
                   {"gen_head.tfm.encoder.layers.0.self_attn.in_proj_weight", 0.216506350946},       /* √(6 / (3·32 + 32)) */
                   {"gen_head.tfm.decoder.layers.0.multihead_attn.in_proj_weight", 0.216506350946},
                   {"gen_head.tfm.decoder.layers.0.multihead_attn.out_proj.weight", 0.306186217848}, /* √(6 / 64) */
                   {"gen_head.tfm.decoder.layers.0.self_attn.in_proj_bias", 0},
                   {"gen_head.tfm.encoder.layers.0.self_attn.out_proj.bias", 0},
                   {"gen_head.tfm.encoder.layers.0.linear1.weight", 0.25}, /* √(6 / 96) */
                   {"gen_head.tfm.encoder.layers.0.linear2.weight", 0.25},
                   {"gen_head.tfm.encoder.layers.0.linear1.bias", 0.176776695297}, /* 1 / √32 */
                   {"gen_head.tfm.decoder.layers.0.linear2.bias", 0.125},
                   {"gen_head.tfm.decoder.norm.bias", 0},
                   {"gen_head.model.weight", 0.176776695297}};
    const Fixture f = {.config = {.in = 64, .visual = 2, .width = 32, .heads = 2, .ff = 64, .encoder_layers = 1, .decoder_layers = 1,
                                  .queries = 40, .context = 24}};
    double largest, rms;
    Rig r;
    rig_open(&r, F64, RECOMPUTE_NONE);
    open_head(&r, &f);
    REQUIRE_OK(params_create(&G.params));
    REQUIRE_OK(params_draw_part(&G.params, "gen_head", 5));
    for (size_t i = 0; i < sizeof UNIFORM / sizeof *UNIFORM; i++) {
        measure(UNIFORM[i].name, &largest, &rms);
        CHECK_MSG(largest <= UNIFORM[i].bound + 1e-9 && largest >= 0.85 * UNIFORM[i].bound, "%s reaches %g of %g", UNIFORM[i].name, largest,
                  UNIFORM[i].bound);
    }
    measure("gen_head.query_embs", &largest, &rms);
    CHECK_MSG(fabs(rms - 1) < 0.1 && largest > 2.5, "queries have a deviation of %g and reach %g", rms, largest);
    measure("gen_head.tfm.encoder.norm.weight", &largest, &rms);
    CHECK(largest == 1 && rms == 1);
    close_head();
    rig_close(&r);
}
