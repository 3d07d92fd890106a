/* The whole composition at the sizes of model.md, appendix C: every gradient against central differences in double, all ways of
 * keeping memory alike, and which tensors a step reaches. */
#include <math.h>
#include <stdio.h>

#include "tests/train/models/tiny.h"

/* ---------------------------------------------------------------- gradients */

static void make_lively(Params *p) /* B starts at zero, which hides mistakes in A */
{
    for (int i = 0; i < p->n; i++)
        if (params_of(p->list[i], "lora")) {
            p->list[i]->init = INIT_NORMAL;
            p->list[i]->init_scale = 0.1;
            REQUIRE_OK(params_draw(p, p->list[i], 5));
        }
}

/* Central differences of `samples` elements of each tensor, within 1e-6 of its largest gradient. */
static void check_gradients(const RunConfig *cfg, int samples)
{
    TinyModel m;
    REQUIRE_OK(tiny_open(&m, cfg, F64, RECOMPUTE_NONE));
    Params *p = genllava_params(m.g);
    make_lively(p);
    const Batch *b = tiny_batch(genllava_model_sizes(m.g));
    tiny_step(&m, b, NULL, true);
    double *grad = mem_alloc((size_t)p->n_flat * sizeof *grad), *master = p->flat_master;
    memcpy(grad, p->flat_grad, (size_t)p->n_flat * sizeof *grad);
    const double h = 1e-5;
    int checked = 0;
    for (int i = 0; i < p->n; i++) {
        const Param *q = p->list[i];
        if (!q->trainable)
            continue;
        CHECK_MSG(q->reached, "%s was not reached", q->name);
        double largest = 0, worst = 0;
        for (int64_t j = 0; j < q->t.n_elems; j++)
            largest = fabs(grad[q->flat + j]) > largest ? fabs(grad[q->flat + j]) : largest;
        for (int k = 0; k < samples; k++) {
            double *value = &master[q->flat + (q->t.n_elems - 1) * k / samples], was = *value;
            *value = was + h;
            double up = tiny_step(&m, b, NULL, false);
            *value = was - h;
            double down = tiny_step(&m, b, NULL, false);
            *value = was;
            double error = fabs((up - down) / (2 * h) - grad[value - master]);
            worst = error > worst ? error : worst;
        }
        /* 1e-9: a loss of about 6 in double, divided by h, is known no better; k_proj.bias of the tower has no gradient at all. */
        CHECK_MSG(worst <= 1e-6 * largest + 1e-9, "%s: off by %.3g, the largest is %.3g", q->name, worst, largest);
        checked++;
    }
    CHECK(checked > 0);
    mem_free(grad);
    tiny_close(&m);
}

TEST(tiny_model_gradients_with_adapters)
{
    tiny_folders();
    RunConfig cfg;
    tiny_config(&cfg);
    cfg.model.lora.dropout = 0.2;
    cfg.model.lora.rslora = true;
    check_gradients(&cfg, 2);
}

TEST(tiny_model_gradients_when_everything_trains)
{
    tiny_folders();
    RunConfig cfg;
    tiny_config(&cfg);
    cfg.model.llm.train = TRAIN_FULL;
    cfg.model.vision.train = TRAIN_FULL;
    check_gradients(&cfg, 2);
}

/* ---------------------------------------------------------------- recompute, threads of the same arithmetic */

TEST(tiny_model_recompute_gives_the_same_bits)
{
    tiny_folders();
    RunConfig cfg;
    tiny_config(&cfg);
    cfg.model.lora.dropout = 0.2;
    static const DType COMPUTE[] = {F32, BF16};
    for (int c = 0; c < 2; c++) {
        float *first = NULL;
        double loss = 0;
        for (int mode = RECOMPUTE_NONE; mode <= RECOMPUTE_BLOCK; mode++) {
            TinyModel m;
            REQUIRE_OK(tiny_open(&m, &cfg, COMPUTE[c], (Recompute)mode));
            Params *p = genllava_params(m.g);
            make_lively(p);
            double l = tiny_step(&m, tiny_batch(genllava_model_sizes(m.g)), NULL, true);
            size_t n_bytes = (size_t)p->n_flat * sizeof(float);
            if (!first) {
                first = mem_alloc(n_bytes);
                memcpy(first, p->flat_grad, n_bytes);
                loss = l;
            }
            CHECK(l == loss && !memcmp(first, p->flat_grad, n_bytes));
            tiny_close(&m);
        }
        mem_free(first);
    }
}

/* The logits a dump gets are those of the base rows and the added rows, and the loss follows from them. */
TEST(tiny_model_logits_explain_the_loss)
{
    tiny_folders();
    RunConfig cfg;
    tiny_config(&cfg);
    TinyModel m;
    REQUIRE_OK(tiny_open(&m, &cfg, F32, RECOMPUTE_SELECTIVE));
    const Batch *b = tiny_batch(genllava_model_sizes(m.g));
    static float logits[15][325];
    double loss = tiny_step(&m, b, logits[0], false), sum = 0, weights = 0;
    for (int i = 0; i < b->n_labels; i++) {
        double z = 0;
        for (int j = 0; j < 325; j++)
            z += exp((double)logits[i][j]);
        sum += (double)b->label_weight[i] * (log(z) - (double)logits[i][b->label[i]]);
        weights += (double)b->label_weight[i];
    }
    CHECK(fabs(loss - sum / weights) < 1e-6);
    tiny_close(&m);
}

/* Dropout masks belong to the sample: alone or packed with others, it has the same loss. */
TEST(packing_does_not_change_dropout)
{
    tiny_folders();
    RunConfig cfg;
    tiny_config(&cfg);
    cfg.model.lora.dropout = 0.4;
    TinyModel m;
    REQUIRE_OK(tiny_open(&m, &cfg, F64, RECOMPUTE_NONE));
    make_lively(genllava_params(m.g));
    const Batch *b = tiny_batch(genllava_model_sizes(m.g));
    double together = tiny_step(&m, b, NULL, false), apart = 0;
    for (int32_t s = 0, image = 0; s < 3; s++) {
        int32_t cu[2] = {0, b->cu[s + 1] - b->cu[s]}, at = b->cu[s], rows[5];
        for (int i = 0; i < 5; i++)
            rows[i] = b->label_row[5 * s + i] - at;
        Batch one = *b;
        one.n_segments = 1;
        one.n_tokens = one.max_segment = cu[1];
        one.cu = cu;
        one.id += at;
        one.pos += at;
        one.item += at;
        one.n_images = s == 0 ? 1 : s == 1 ? 0 : 2;
        one.pixels += image * 32 * 32 * 3;
        image += one.n_images;
        one.n_labels = 5;
        one.terms.labels = (Terms){5, s == 1 ? 2.5 : 5};
        one.label_row = rows;
        one.label += 5 * s;
        one.label_weight += 5 * s;
        apart += tiny_step(&m, &one, NULL, false) * (s == 1 ? 2.5 : 5) / 12.5;
    }
    CHECK_MSG(fabs(together - apart) < 1e-12 * together, "%.15g together, %.15g apart", together, apart);
    tape_reset(m.tape, 8);
    LossResult r;
    REQUIRE_OK(genllava_loss(m.tape, m.g, b, &(LossRequest){.scale = {1}}, &r));
    CHECK(fabs(r.sums[LOSS_TEXT] / 12.5 - together) > 1e-6); /* another step, other masks */
    tiny_close(&m);
}

/* ---------------------------------------------------------------- what a step reaches */

static bool reached(TinyModel *m, const char *name)
{
    Param *q = params_find(genllava_params(m->g), name);
    REQUIRE(q != NULL);
    return q->reached;
}

TEST(tensors_without_a_row_are_not_reached)
{
    tiny_folders();
    RunConfig cfg;
    tiny_config(&cfg);
    TinyModel m;
    REQUIRE_OK(tiny_open(&m, &cfg, F32, RECOMPUTE_SELECTIVE));
    Batch b = *tiny_batch(genllava_model_sizes(m.g));
    int32_t id[64];
    memcpy(id, b.id, sizeof id);
    for (int i = 0; i < b.n_tokens; i++)
        id[i] = id[i] == ID_IMAGE || id[i] >= 320 ? 9 : id[i];
    b.id = id;
    b.n_images = 0;
    tiny_step(&m, &b, NULL, true);
    CHECK(!reached(&m, "multi_modal_projector.linear_1.weight") && !reached(&m, "multi_modal_projector.linear_2.bias"));
    CHECK(!reached(&m, "token_rows.embed_tokens") && reached(&m, "token_rows.lm_head"));
    CHECK(reached(&m, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"));
    b.n_labels = 0;
    b.terms = (LossTerms){0};
    tiny_step(&m, &b, NULL, true);
    CHECK(!reached(&m, "token_rows.lm_head") && !reached(&m, "base_model.model.model.layers.1.mlp.down_proj.lora_B.weight"));
    tiny_close(&m);
}

/* ---------------------------------------------------------------- counts, memory, other compositions */

TEST(tiny_model_counts)
{
    tiny_folders();
    RunConfig cfg;
    tiny_config(&cfg);
    TinyModel m;
    REQUIRE_OK(tiny_open(&m, &cfg, F32, RECOMPUTE_NONE));
    int64_t layer = 2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 128 + 2 * 64, block = 4 * (48 * 48 + 48) + 2 * 48 * 56 + 56 + 48 + 4 * 48;
    CHECK_INT(genllava_count(m.g, "llm"), 2 * 320 * 64 + 2 * layer + 64);
    CHECK_INT(genllava_count(m.g, "vision"), 48 * 588 + 48 + 4 * 48 + 2 * block);
    CHECK_INT(genllava_count(m.g, "projector"), 48 * 64 + 64 + 64 * 64 + 64);
    CHECK_INT(genllava_count(m.g, "tokens"), 2 * 5 * 64);
    CHECK_INT(genllava_count(m.g, "lora"), 2 * 4 * (2 * 128 + 2 * 96 + 3 * 192));
    CHECK_INT(genllava_model_sizes(m.g)->patches, 4);
    tiny_close(&m);
}

/* The published sizes, from their configs alone: model.md, sections 1.5, 2.4, 10.1, 10.2. */
TEST(published_models_have_the_published_counts)
{
    char llm[1024], vision[1024];
    snprintf(llm, sizeof llm, "%s/mistral", test_dir());
    snprintf(vision, sizeof vision, "%s/siglip", test_dir());
    tiny_write(llm, "config.json", "{\"model_type\":\"mistral\",\"vocab_size\":32000,\"hidden_size\":4096,\"intermediate_size\":14336,"
                                   "\"num_hidden_layers\":32,\"num_attention_heads\":32,\"num_key_value_heads\":8,\"rms_norm_eps\":1e-5,"
                                   "\"sliding_window\":4096}");
    tiny_write(vision, "config.json", "{\"model_type\":\"siglip_vision_model\",\"hidden_size\":1152,\"intermediate_size\":4304,"
                                      "\"num_hidden_layers\":27,\"num_attention_heads\":16,\"image_size\":384,\"patch_size\":14}");
    tiny_write(vision, "preprocessor_config.json", "{\"size\":{\"height\":384,\"width\":384},\"image_mean\":[0.5,0.5,0.5],"
                                                   "\"image_std\":[0.5,0.5,0.5]}");
    RunConfig cfg;
    tiny_config(&cfg);
    cfg.model.llm.path = llm;
    cfg.model.vision.path = vision;
    cfg.model.llm.init = cfg.model.vision.init = INIT_AT_RANDOM;
    cfg.model.lora.r = 128;
    cfg.model.tokens.image = 8;
    Backend null;
    GenLlava *g;
    REQUIRE_OK(null_open(&null));
    REQUIRE_OK(genllava_open(&g, &null, BF16, &cfg, NULL));
    CHECK_INT(genllava_count(g, "llm"), 7241732096);
    CHECK_INT(genllava_count(g, "vision"), 397745440);
    CHECK_INT(genllava_count(g, "projector"), 21504000);
    CHECK_INT(genllava_count(g, "lora"), 335544320);
    CHECK_INT(genllava_count(g, "tokens"), 90112);
    CHECK_INT(genllava_model_sizes(g)->patches, 729);
    genllava_close(&g);
    null.close(&null);
}

/* A pass on the null backend, over the open model and given only counts, needs exactly what the real one needs; over weights in codes and
 * in 8-bit floats too. */
TEST(tiny_model_is_measured_to_the_byte)
{
    tiny_folders();
    RunConfig cfg;
    tiny_config(&cfg);
    cfg.model.lora.dropout = 0;
    for (int i = 0; i < 6 * (RECOMPUTE_BLOCK + 1); i++) {
        int mode = i / 6;
        tiny_joins = i % 2;
        cfg.model.llm.store = i / 2 % 3 == 1 ? STORE_NF4 : STORE_AS_IS;
        cfg.model.llm.multiply = i / 2 % 3 == 2 ? MULTIPLY_FP8 : MULTIPLY_COMPUTE;
        TinyModel m;
        REQUIRE_OK(tiny_open(&m, &cfg, F32, (Recompute)mode));
        const Batch *b = tiny_batch(genllava_model_sizes(m.g));
        tiny_step(&m, b, NULL, true);
        Batch counts = {.n_segments = b->n_segments, .n_tokens = b->n_tokens, .n_images = b->n_images, .n_labels = b->n_labels,
                        .max_segment = b->max_segment, .image_height = 32, .image_width = 32, .terms = b->terms};
        Backend null;
        Arena keep, scratch;
        arena_measure(&keep);
        arena_measure(&scratch);
        REQUIRE_OK(null_open(&null));
        null.joins = tiny_joins;
        Tape *t;
        REQUIRE_OK(tape_create(&t, &(TapeOptions){.backend = &null, .keep = &keep, .scratch = &scratch, .compute = F32,
                                                  .recompute = (Recompute)mode}));
        LossResult r;
        REQUIRE_OK(genllava_loss(t, m.g, &counts, &(LossRequest){.scale = {1}}, &r));
        REQUIRE_OK(tape_backward_all(t, r.losses, N_LOSSES, 1));
        CHECK_MSG(keep.peak == m.keep.peak && scratch.peak == m.scratch.peak, "case %d: measured %zu + %zu, used %zu + %zu", i, keep.peak,
                  scratch.peak, m.keep.peak, m.scratch.peak);
        tape_free(&t);
        GenLlava *shadow;
        REQUIRE_OK(genllava_open(&shadow, &null, F32, &cfg, NULL));
        CHECK_INT(genllava_count(shadow, "llm"), genllava_count(m.g, "llm"));
        genllava_close(&shadow);
        null.close(&null);
        tiny_close(&m);
    }
    tiny_joins = false;
}

TEST(a_model_without_a_tower_trains_on_text)
{
    tiny_folders();
    RunConfig cfg;
    tiny_config(&cfg);
    cfg.model.vision.path = NULL;
    cfg.model.tokens.image = 0;
    cfg.model.tokens.task_understand = cfg.model.tokens.task_generate = cfg.model.tokens.task_edit = NULL;
    TinyModel m;
    REQUIRE_OK(tiny_open(&m, &cfg, F32, RECOMPUTE_NONE));
    CHECK(tiny_step(&m, tiny_batch(genllava_model_sizes(m.g)), NULL, true) > 0);
    CHECK_INT(genllava_model_sizes(m.g)->added_rows, 0);
    tiny_close(&m);
}

TEST(nothing_trains_gives_a_loss_without_a_gradient)
{
    tiny_folders();
    RunConfig cfg;
    tiny_config(&cfg);
    cfg.model.llm.train = cfg.model.projector.train = cfg.model.tokens.train = TRAIN_FROZEN;
    TinyModel m;
    REQUIRE_OK(tiny_open(&m, &cfg, F32, RECOMPUTE_SELECTIVE));
    LossResult r;
    REQUIRE_OK(genllava_loss(m.tape, m.g, tiny_batch(genllava_model_sizes(m.g)), &(LossRequest){.scale = {1}}, &r));
    CHECK(!r.losses[LOSS_TEXT]->needs_grad && r.sums[LOSS_TEXT] > 0);
    CHECK_INT(genllava_params(m.g)->n_flat, 0);
    tiny_close(&m);
}

TEST(batches_of_another_model_are_refused)
{
    tiny_folders();
    RunConfig cfg;
    tiny_config(&cfg);
    TinyModel m;
    REQUIRE_OK(tiny_open(&m, &cfg, F32, RECOMPUTE_NONE));
    Batch b = *tiny_batch(genllava_model_sizes(m.g));
    int32_t id[64];
    memcpy(id, b.id, sizeof id);
    b.id = id;
    id[0] = 325;
    LossResult r;
    CHECK_FAILS(genllava_loss(m.tape, m.g, &b, &(LossRequest){.scale = {1}}, &r), ERR_DATA,
                "token id 325 at row 0, the model has ids 0 … 324 (were the shards made for another tokenizer?)");
    id[0] = ID_IMAGE;
    tape_reset(m.tape, 0);
    CHECK_FAILS(genllava_loss(m.tape, m.g, &b, &(LossRequest){.scale = {1}}, &r), ERR_DATA, "13 image rows for 3 pictures of 4 patches");
    b.image_height = 28;
    tape_reset(m.tape, 0);
    CHECK_FAILS(genllava_loss(m.tape, m.g, &b, &(LossRequest){.scale = {1}}, &r), ERR_DATA,
                "pictures of 28x32 pixels, the model takes 32x32 (were the shards made for another vision tower?)");
    tiny_close(&m);
}

/* ---------------------------------------------------------------- renormalisation */

static double row_norm(const float *x, int d)
{
    double s = 0;
    for (int i = 0; i < d; i++)
        s += (double)x[i] * (double)x[i];
    return sqrt(s);
}

TEST(visual_rows_get_the_mean_norm_of_the_others)
{
    tiny_folders();
    RunConfig cfg;
    tiny_config(&cfg);
    cfg.model.tokens.renorm = true;
    TinyModel m;
    REQUIRE_OK(tiny_open(&m, &cfg, F32, RECOMPUTE_NONE));
    Params *p = genllava_params(m.g);
    static float rows[5 * 64], before[5 * 64], base[320 * 64];
    static const char *const PAIRS[][2] = {{"token_rows.embed_tokens", "model.embed_tokens.weight"},
                                           {"token_rows.lm_head", "lm_head.weight"}};
    for (int k = 0; k < 2; k++) /* twice: the second time from the remembered sums */
        REQUIRE_OK(genllava_updated(m.g));
    for (int k = 0; k < 2; k++) {
        Param *q = params_find(p, PAIRS[k][0]);
        REQUIRE_OK(params_get(p, q, before));
        for (int j = 0; j < 64; j++)
            before[4 * 64 + j] *= 3;
        REQUIRE_OK(params_set(p, q, before, F32));
        REQUIRE_OK(genllava_updated(m.g));
        REQUIRE_OK(params_get(p, q, rows));
        REQUIRE_OK(params_get(p, params_find(p, PAIRS[k][1]), base));
        double mean = 0;
        for (int i = 0; i < 320; i++)
            mean += row_norm(base + i * 64, 64) / 323;
        for (int i = 0; i < 3; i++)
            mean += row_norm(rows + i * 64, 64) / 323;
        CHECK(!memcmp(rows, before, 3 * 64 * sizeof *rows));
        for (int i = 3; i < 5; i++)
            CHECK(fabs(row_norm(rows + i * 64, 64) - mean) < 1e-5 * mean);
    }
    tiny_close(&m);
}

TEST(sizes_come_from_configs_alone)
{
    RunConfig cfg;
    ModelSizes s;
    char weights[1024];
    tiny_folders();
    tiny_config(&cfg);
    snprintf(weights, sizeof weights, "%s/llm/model.safetensors", test_dir());
    REQUIRE(!remove(weights));
    REQUIRE_OK(genllava_sizes(&s, &cfg));
    CHECK_INT(s.vocab_size, 320);
    CHECK_INT(s.added_rows, 5);
    CHECK_INT(s.patches, 4);
    CHECK_INT(s.patch, 14);
    CHECK_INT(s.image_height, 32);
    CHECK_INT(s.hidden, 64);
    CHECK_INT(s.layers, 2);
}
