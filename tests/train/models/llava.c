/* LLaVA 1.5 in small, read out of one folder of transformers' LlavaForConditionalGeneration: logits, loss and every gradient of a
 * conversation about two pictures are those of tests/oracle/llava.py. */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/train/models/hashed.h"
#include "tests/train/models/loading.h"

enum { MOST_TOKENS = 64, IMAGE_TOKEN = 49, VOCABULARY = 50, SIDE = 26 };

/* The text_config of the fixture's config.json. */
static const char LLM[] = "{\"model_type\":\"llama\",\"vocab_size\":50,\"hidden_size\":24,\"intermediate_size\":36,\"num_hidden_layers\":2,"
                          "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"rms_norm_eps\":1e-5}";

static void link_file(const char *fixture, const char *name)
{
    char whole[PATH_MAX];
    REQUIRE(realpath(test_fixture(fixture), whole) && !symlink(whole, path(name)));
}

/* Language model, tower and projector from the same file. */
static void start_llava(void)
{
    static char none[PATH_MAX];
    tiny_write(path("llm"), "config.json", LLM);
    tiny_write(path("vision"), "preprocessor_config.json", "{\"image_processor_type\":\"CLIPImageProcessor\"}");
    link_file("llava/config.json", "vision/config.json");
    link_file("llava/model.safetensors", "vision/model.safetensors");
    link_file("llava/model.safetensors", "llm/model.safetensors");
    tiny_config(&CFG);
    CFG.model.llm.train = TRAIN_FULL;
    CFG.model.vision.train = TRAIN_FULL;
    snprintf(none, sizeof none, "%s", test_fixture("llava/model.safetensors"));
    CFG.model.projector.init = none;
    CFG.model.tokens.image = 0;
    CFG.model.tokens.task_understand = CFG.model.tokens.task_generate = CFG.model.tokens.task_edit = NULL;
}

static const int32_t *ints(const SafeTensors *st, const char *name, int64_t *n)
{
    const StTensor *t = safetensors_find(st, name);
    REQUIRE(t && t->type == I32);
    *n = t->n_elems;
    return t->data;
}

static Batch make_batch(const SafeTensors *st)
{
    static int32_t id[MOST_TOKENS], pos[MOST_TOKENS], item[MOST_TOKENS], cu[2];
    static float weight[MOST_TOKENS];
    int64_t n, n_labels;
    const int32_t *ids = ints(st, "ids", &n);
    REQUIRE(n <= MOST_TOKENS);
    for (int32_t i = 0; i < n; i++) {
        id[i] = ids[i] == IMAGE_TOKEN ? ID_IMAGE : ids[i];
        pos[i] = i;
        weight[i] = 1;
    }
    cu[1] = (int32_t)n;
    const StTensor *pixels = safetensors_find(st, "pixels");
    Batch b = {.n_segments = 1, .n_tokens = (int32_t)n, .n_images = (int32_t)pixels->shape[0], .max_segment = (int32_t)n, .cu = cu,
               .id = id,
               .pos = pos, .item = item, .image_height = SIDE, .image_width = SIDE, .pixels = pixels->data, .label_weight = weight};
    b.label_row = ints(st, "label.row", &n_labels);
    b.label = ints(st, "label", &n_labels);
    b.n_labels = (int32_t)n_labels;
    b.terms.labels = (Terms){n_labels, (double)n_labels};
    return b;
}

/* Within a millionth of the largest: the truth is stored in f32. */
static void check_values(const SafeTensors *st, const char *name, const double *found)
{
    const StTensor *t = safetensors_find(st, name);
    REQUIRE(t);
    const float *wanted = hashed_expected(st, name, t->n_elems);
    double worst = 0, largest = 0;
    for (int64_t i = 0; i < t->n_elems; i++) {
        float w;
        memcpy(&w, wanted + i, sizeof w);
        worst = fmax(worst, fabs(found[i] - (double)w));
        largest = fmax(largest, fabs((double)w));
    }
    CHECK_MSG(worst <= 1e-6 * largest + 1e-12, "%s is off by %.3g, its largest is %.3g", name, worst, largest);
}

TEST(a_whole_llava_equals_transformers)
{
    TinyModel m;
    SafeTensors *st;
    int64_t n_grads = 0;
    start_llava();
    REQUIRE_OK(tiny_open(&m, &CFG, F64, RECOMPUTE_SELECTIVE));
    REQUIRE_OK(safetensors_open(&st, test_fixture("llava/expected.safetensors")));
    Batch b = make_batch(st);
    CHECK_INT(genllava_model_sizes(m.g)->patches, 9);
    float logits[MOST_TOKENS * VOCABULARY];
    double values[MOST_TOKENS * VOCABULARY], loss_now = tiny_step(&m, &b, logits, true);
    check_values(st, "loss", &loss_now);
    for (int i = 0; i < b.n_labels * VOCABULARY; i++)
        values[i] = (double)logits[i];
    check_values(st, "logits", values);
    const Params *p = genllava_params(m.g);
    for (int i = 0; i < p->n; i++, n_grads++)
        check_values(st, text("grad/%s", p->list[i]->name), (double *)p->flat_grad + p->list[i]->flat);
    CHECK_INT(safetensors_count(st), n_grads + 6);
    safetensors_close(&st);
    tiny_close(&m);
}
