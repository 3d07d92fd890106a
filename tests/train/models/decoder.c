/* Generation: prompt and single steps with the cache give the logits of the training forward, whatever the window. */
#include <math.h>

#include "tests/train/models/tiny.h"

enum { V = 325, PATCHES = 4 };

/* Logits of every row of one segment as training computes them. */
static void training_logits(TinyModel *m, const int32_t *expanded, int32_t n, const uint8_t *pixels, int32_t images, float *logits)
{
    int32_t pos[64], item[64] = {0}, rows[64], labels[64] = {0}, cu[2] = {0, n};
    float weight[64];
    for (int32_t i = 0; i < n; i++) {
        pos[i] = rows[i] = i;
        weight[i] = 1;
    }
    Batch b = {.n_segments = 1, .n_tokens = n, .n_images = images, .n_labels = n, .max_segment = n, .cu = cu, .id = expanded, .pos = pos,
               .item = item,
               .image_height = 32, .image_width = 32, .pixels = pixels, .label_row = rows, .label = labels, .label_weight = weight,
               .terms = {.labels = {n, n}}};
    LossResult r;
    tape_reset(m->tape, 0);
    tape_record(m->tape, false);
    REQUIRE_OK(genllava_loss(m->tape, m->g, &b, &(LossRequest){.scale = {1}, .logits = logits}, &r));
}

static void same(const float *a, const float *b, int row)
{
    double error = 0, size = 0;
    for (int j = 0; j < V; j++) {
        error += pow((double)a[j] - (double)b[j], 2);
        size += pow((double)b[j], 2);
    }
    CHECK_MSG(sqrt(error) <= 1e-6 * sqrt(size), "row %d: the logits are off by %.3g of their size", row, sqrt(error / size));
}

/* B begins with zeros: gives it values, as an update does. */
static void move_adapters(TinyModel *m)
{
    Params *p = genllava_params(m->g);
    for (int i = 0; i < p->n; i++) {
        Param *q = p->list[i];
        if (!strstr(q->name, "lora_B"))
            continue;
        float *values = mem_alloc((size_t)q->t.n_elems * sizeof *values);
        REQUIRE(values);
        for (int64_t k = 0; k < q->t.n_elems; k++)
            values[k] = 0.1f * (float)sin((double)(3 * k + i));
        REQUIRE_OK(params_set(p, q, values, F32));
        mem_free(values);
    }
    REQUIRE_OK(genllava_updated(m->g));
}

static void check(const RunConfig *cfg, DType compute)
{
    static uint8_t pixels[32 * 32 * 3];
    static float logits[64][V];
    static const int32_t IDS[] = {1, 321, ID_IMAGE, 17, 200, 4, 9, 300, 322, 33, 71, 5};
    enum { N = sizeof IDS / sizeof *IDS, PROMPT = 6 };
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 7);
    int32_t expanded[64], n = 0, at[N];
    for (int i = 0; i < N; i++) {
        at[i] = n;
        for (int k = 0; k < (IDS[i] == ID_IMAGE ? PATCHES : 1); k++)
            expanded[n++] = IDS[i];
    }
    TinyModel m;
    REQUIRE_OK(tiny_open(&m, cfg, compute, RECOMPUTE_NONE));
    move_adapters(&m);
    training_logits(&m, expanded, n, pixels, 1, logits[0]);
    Decoder *d;
    REQUIRE_OK(decoder_create(&d, m.g, 1, n));
    for (int again = 0; again < 2; again++) { /* a prompt forgets what was before */
        REQUIRE_OK(decoder_look(d, pixels, 1));
        REQUIRE_OK(decoder_prompt(d, 0, IDS, PROMPT, 1));
        same(decoder_logits(d, 0), logits[at[PROMPT] - 1], PROMPT - 1);
        for (int i = PROMPT; i < N; i++) {
            REQUIRE_OK(decoder_step(d, &IDS[i]));
            same(decoder_logits(d, 0), logits[at[i]], i);
        }
    }
    CHECK_FAILS(decoder_step(d, &IDS[0]), ERR_DATA, "the text has reached the 15 positions there is room for");
    decoder_free(&d);
    CHECK(d == NULL);
    tiny_close(&m);
}

/* Three texts at a time, of which one begins late where another ended, against each of them alone: the same bits. */
static void check_together(const RunConfig *cfg, bool alike)
{
    enum { ROOM = 24, STEPS = 5, TEXTS = 4 };
    static const int32_t PROMPT[TEXTS][6] = {{1, 321, 17, 200, 4, 9}, {1, 300, 322}, {1, 5, 9, 71, 33}, {1, 77, 12, 3}};
    static const int N[TEXTS] = {6, 3, 5, 4}, SEQUENCE[TEXTS] = {0, 1, 2, 1}, BEGIN[TEXTS] = {0, 0, 0, 2}, END[TEXTS] = {5, 2, 5, 5};
    static float alone[TEXTS][STEPS + 1][V];
    TinyModel m;
    REQUIRE_OK(tiny_open(&m, cfg, F32, RECOMPUTE_NONE));
    move_adapters(&m);
    m.backend.rows_alike = alike;
    Decoder *d;
    REQUIRE_OK(decoder_create(&d, m.g, 1, ROOM));
    for (int k = 0; k < TEXTS; k++) {
        REQUIRE_OK(decoder_prompt(d, 0, PROMPT[k], N[k], 0));
        for (int i = BEGIN[k]; i <= END[k]; i++) {
            memcpy(alone[k][i], decoder_logits(d, 0), sizeof alone[k][i]);
            REQUIRE_OK(decoder_step(d, &(int32_t){10 + 7 * i + k}));
        }
    }
    decoder_free(&d);
    REQUIRE_OK(decoder_create(&d, m.g, 3, ROOM));
    for (int i = 0; i <= STEPS; i++) {
        int32_t id[3] = {-1, -1, -1};
        for (int k = 0; k < TEXTS; k++) {
            if (i < BEGIN[k] || i > END[k] || (k == 1 && i == END[k]))
                continue;
            if (i == BEGIN[k])
                REQUIRE_OK(decoder_prompt(d, SEQUENCE[k], PROMPT[k], N[k], 0));
            CHECK_MSG(!memcmp(decoder_logits(d, SEQUENCE[k]), alone[k][i], sizeof alone[k][i]), "text %d, step %d: other bits", k, i);
            id[SEQUENCE[k]] = 10 + 7 * i + k;
        }
        REQUIRE_OK(decoder_step(d, id));
    }
    decoder_free(&d);
    tiny_close(&m);
}

TEST(decoder_gives_a_text_the_same_bits_whatever_is_beside_it)
{
    tiny_folders();
    RunConfig cfg;
    tiny_config(&cfg);
    check_together(&cfg, true);
    check_together(&cfg, false);
    tiny_joins = true;
    check_together(&cfg, true);
    tiny_joins = false;
}

TEST(decoder_equals_training_with_a_sliding_window)
{
    tiny_folders();
    RunConfig cfg;
    tiny_config(&cfg);
    cfg.model.lora.dropout = 0.5; /* not while generating */
    check(&cfg, F32);
    check(&cfg, F64);
}

TEST(decoder_equals_training_with_joined_adapters)
{
    tiny_folders();
    RunConfig cfg;
    tiny_config(&cfg);
    cfg.model.lora.dropout = 0;
    tiny_joins = true;
    check(&cfg, F32);
    check(&cfg, F64);
    tiny_joins = false;
}

TEST(decoder_equals_training_without_a_window)
{
    tiny_folders();
    tiny_write(test_dir(), "llm/config.json",
               "{\"vocab_size\":320,\"hidden_size\":64,\"intermediate_size\":128,\"num_hidden_layers\":2,\"num_attention_heads\":4,"
               "\"num_key_value_heads\":2,\"sliding_window\":null}");
    RunConfig cfg;
    tiny_config(&cfg);
    check(&cfg, F32);
}

TEST(decoder_refuses_what_does_not_fit)
{
    tiny_folders();
    RunConfig cfg;
    tiny_config(&cfg);
    TinyModel m;
    REQUIRE_OK(tiny_open(&m, &cfg, F32, RECOMPUTE_NONE));
    Decoder *d;
    static const int32_t IMAGE[] = {1, ID_IMAGE}, LONG[] = {1, 2, 3, 4, 5}, FOREIGN[] = {1, 999};
    CHECK_FAILS(decoder_create(&d, m.g, 1, 0), ERR_USAGE, "a context of 0 positions, expected 1 … 268435455");
    REQUIRE_OK(decoder_create(&d, m.g, 1, 4));
    CHECK_FAILS(decoder_prompt(d, 0, IMAGE, 2, 1), ERR_DATA, "the prompt has more than the 4 positions there is room for");
    CHECK_FAILS(decoder_prompt(d, 0, LONG, 5, 0), ERR_DATA, "the prompt has more than the 4 positions there is room for");
    CHECK_FAILS(decoder_prompt(d, 0, LONG, 2, 1), ERR_DATA, "the prompt has 0 image placeholders for 1 pictures");
    CHECK_FAILS(decoder_prompt(d, 0, LONG, 0, 0), ERR_DATA, "the prompt is empty");
    CHECK_FAILS(decoder_prompt(d, 0, FOREIGN, 2, 0), ERR_DATA,
                "token id 999 at row 1, the model has ids 0 … 324 (were the shards made for another tokenizer?)");
    decoder_free(&d);
    tiny_close(&m);
}
