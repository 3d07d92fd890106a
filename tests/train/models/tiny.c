/* tiny.c: writes random model folders and makes batches for them (tiny.h). */
#include "tests/train/models/tiny.h"

#include <math.h>
#include <stdio.h>
#include <sys/stat.h>

#include "kernels/base/philox.h"

enum { MEMORY = 512 << 20, LABELS = 15, ROWS_MAX = 64 };

/* ---------------------------------------------------------------- files */

void tiny_write(const char *folder, const char *name, const char *text)
{
    char path[1024];
    mkdir(folder, 0777);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    REQUIRE(f != NULL);
    fputs(text, f);
    fclose(f);
}

void tiny_add(TinyTensors *t, const char *name, int n_dims, int64_t a, int64_t b, int64_t c, int64_t d)
{
    snprintf(t->name[t->n], sizeof t->name[0], "%s", name);
    t->spec[t->n] = (StSpec){.name = t->name[t->n], .type = t->type, .n_dims = n_dims, .shape = {a, b, c, d}};
    t->n++;
}

StSpec *tiny_find(TinyTensors *t, const char *name)
{
    for (int i = 0; i < t->n; i++)
        if (!strcmp(t->name[i], name))
            return &t->spec[i];
    REQUIRE(!"no such tensor");
    return NULL;
}

void tiny_remove(TinyTensors *t, const char *name)
{
    int i = (int)(tiny_find(t, name) - t->spec);
    t->n--;
    for (; i < t->n; i++) {
        memcpy(t->name[i], t->name[i + 1], sizeof t->name[0]);
        t->spec[i] = t->spec[i + 1];
        t->spec[i].name = t->name[i];
    }
}

static int64_t elements(const StSpec *s)
{
    int64_t n = 1;
    for (int i = 0; i < s->n_dims; i++)
        n *= s->shape[i];
    return n;
}

void tiny_save(const TinyTensors *t, const char *path, uint64_t seed)
{
    StWriter *w;
    REQUIRE_OK(stwriter_open(&w, path, t->spec, t->n));
    for (int i = 0; i < t->n; i++) {
        const StSpec *s = &t->spec[i];
        int64_t n = elements(s);
        bool norm = strstr(s->name, "norm") && strstr(s->name, "weight");
        double spread = s->n_dims < 2                                         ? 0.2
                        : strstr(s->name, "embed") || strstr(s->name, "rows") ? 0.7
                                                                              : 1.2 * sqrt((double)s->shape[0] / (double)n);
        for (int64_t j = 0; j < n; j++) {
            float pair[2];
            Philox4 r = philox4x32(seed + (uint64_t)i, (uint32_t)j, 0, 0, 0);
            philox_normal2(r.v[0], r.v[1], pair);
            float v = (float)((double)pair[0] * spread + (norm ? 1 : 0));
            char bytes[8];
            dtype_convert(bytes, s->type, &v, F32, 1);
            REQUIRE_OK(stwriter_write(w, bytes, dtype_size(s->type)));
        }
    }
    REQUIRE_OK(stwriter_close(&w));
}

/* ---------------------------------------------------------------- models */

const char TINY_LLM_CONFIG[] = "{\"model_type\":\"mistral\",\"vocab_size\":320,\"hidden_size\":64,\"intermediate_size\":128,"
                               "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"rms_norm_eps\":1e-5,"
                               "\"rope_theta\":10000.0,\"sliding_window\":5}";
const char TINY_VISION_CONFIG[] = "{\"model_type\":\"siglip_vision_model\",\"hidden_size\":48,\"intermediate_size\":56,"
                                  "\"num_hidden_layers\":3,\"num_attention_heads\":2,\"image_size\":32,\"patch_size\":14}";
const char TINY_PREPROCESSOR[] = "{\"size\":{\"height\":32,\"width\":32},\"image_mean\":[0.5,0.4,0.3],\"image_std\":[0.5,0.6,0.7],"
                                 "\"resample\":3,\"rescale_factor\":0.00392156862745098}";

void tiny_llm_tensors(TinyTensors *t, const char *prefix, bool tied)
{
    static const struct {
        const char *name;
        int64_t out, in;
    } LINEARS[] = {{"self_attn.q_proj", 64, 64}, {"self_attn.k_proj", 32, 64}, {"self_attn.v_proj", 32, 64}, {"self_attn.o_proj", 64, 64},
                   {"mlp.gate_proj", 128, 64},   {"mlp.up_proj", 128, 64},     {"mlp.down_proj", 64, 128}};
    char name[128];
    snprintf(name, sizeof name, "%sembed_tokens.weight", prefix);
    tiny_add(t, name, 2, 320, 64, 0, 0);
    for (int l = 0; l < 2; l++) {
        for (int i = 0; i < 7; i++) {
            snprintf(name, sizeof name, "%slayers.%d.%s.weight", prefix, l, LINEARS[i].name);
            tiny_add(t, name, 2, LINEARS[i].out, LINEARS[i].in, 0, 0);
        }
        for (int i = 0; i < 2; i++) {
            snprintf(name, sizeof name, "%slayers.%d.%s.weight", prefix, l, i ? "post_attention_layernorm" : "input_layernorm");
            tiny_add(t, name, 1, 64, 0, 0, 0);
        }
    }
    snprintf(name, sizeof name, "%snorm.weight", prefix);
    tiny_add(t, name, 1, 64, 0, 0, 0);
    if (!tied)
        tiny_add(t, "lm_head.weight", 2, 320, 64, 0, 0);
}

static void add_pair(TinyTensors *t, const char *prefix, const char *name, int64_t out, int64_t in)
{
    char full[128];
    snprintf(full, sizeof full, "%s%s.weight", prefix, name);
    tiny_add(t, full, in ? 2 : 1, out, in, 0, 0);
    snprintf(full, sizeof full, "%s%s.bias", prefix, name);
    tiny_add(t, full, 1, out, 0, 0, 0);
}

void tiny_vision_tensors(TinyTensors *t, const char *prefix)
{
    static const struct {
        const char *name;
        int64_t out, in;
    } PARTS[] = {{"layer_norm1", 48, 0},          {"layer_norm2", 48, 0},          {"self_attn.q_proj", 48, 48},
                 {"self_attn.k_proj", 48, 48},
                 {"self_attn.v_proj", 48, 48},    {"self_attn.out_proj", 48, 48},  {"mlp.fc1", 56, 48},          {"mlp.fc2", 48, 56}};
    char name[128];
    snprintf(name, sizeof name, "%sembeddings.patch_embedding.weight", prefix);
    tiny_add(t, name, 4, 48, 3, 14, 14);
    snprintf(name, sizeof name, "%sembeddings.patch_embedding.bias", prefix);
    tiny_add(t, name, 1, 48, 0, 0, 0);
    snprintf(name, sizeof name, "%sembeddings.position_embedding.weight", prefix);
    tiny_add(t, name, 2, 4, 48, 0, 0);
    for (int l = 0; l < 3; l++)
        for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++) {
            snprintf(name, sizeof name, "encoder.layers.%d.%s", l, PARTS[i].name);
            add_pair(t, prefix, name, PARTS[i].out, PARTS[i].in);
        }
    add_pair(t, prefix, "post_layernorm", 48, 0);
}

static char *in_dir(const char *name)
{
    static char path[8][1024];
    static int next;
    next = (next + 1) % 8;
    snprintf(path[next], sizeof path[0], "%s/%s", test_dir(), name);
    return path[next];
}

void tiny_folders(void)
{
    static TinyTensors llm, vision;
    llm = (TinyTensors){.type = F32};
    vision = (TinyTensors){.type = F32};
    tiny_write(in_dir("llm"), "config.json", TINY_LLM_CONFIG);
    tiny_write(in_dir("vision"), "config.json", TINY_VISION_CONFIG);
    tiny_write(in_dir("vision"), "preprocessor_config.json", TINY_PREPROCESSOR);
    tiny_llm_tensors(&llm, "model.", false);
    tiny_vision_tensors(&vision, "vision_model.");
    tiny_save(&llm, in_dir("llm/model.safetensors"), 1000);
    tiny_save(&vision, in_dir("vision/model.safetensors"), 2000);
}

void tiny_config(RunConfig *cfg)
{
    static char *targets[7], names[7][16] = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
    static char understand[] = "[I2T]", generate[] = "[T2I]", edit[] = "[I2I]", type[] = "mlp2x_gelu", llm[1024], vision[1024];
    for (int i = 0; i < 7; i++)
        targets[i] = names[i];
    snprintf(llm, sizeof llm, "%s/llm", test_dir());
    snprintf(vision, sizeof vision, "%s/vision", test_dir());
    *cfg = (RunConfig){.seed = 42};
    cfg->model.llm.path = llm;
    cfg->model.llm.train = TRAIN_LORA;
    cfg->model.vision.path = vision;
    cfg->model.vision.layer = -2;
    cfg->model.projector.type = type;
    cfg->model.projector.depth = 2;
    cfg->model.projector.train = TRAIN_FULL;
    cfg->model.lora.r = 4;
    cfg->model.lora.alpha = 8;
    cfg->model.lora.targets = (StringList){targets, 7};
    cfg->model.tokens.image = 2;
    cfg->model.tokens.task_understand = understand;
    cfg->model.tokens.task_generate = generate;
    cfg->model.tokens.task_edit = edit;
    cfg->model.tokens.train = TRAIN_ROWS;
}

/* ---------------------------------------------------------------- a batch */

const Batch *tiny_batch(const ModelSizes *s)
{
    static int32_t id[ROWS_MAX], pos[ROWS_MAX], item[ROWS_MAX], cu[4], row[LABELS], label[LABELS];
    static float weight[LABELS];
    static uint8_t pixels[3 * 32 * 32 * 3];
    static Batch b;
    static const int TEXT[] = {5, 8, 4}, IMAGES[] = {1, 0, 2};
    bool sees = s->patches > 0;
    int32_t n = 0;
    b = (Batch){.n_segments = 3, .cu = cu, .id = id, .pos = pos, .item = item, .image_height = 32, .image_width = 32, .pixels = pixels,
                .n_labels = LABELS, .label_row = row, .label = label, .label_weight = weight};
    for (int32_t g = 0; g < 3; g++) {
        int32_t images = sees ? IMAGES[g] * s->patches : 0, length = TEXT[g] + images;
        for (int32_t i = 0; i < length; i++, n++) {
            pos[n] = i;
            item[n] = g;
            id[n] = i >= 2 && i < 2 + images ? ID_IMAGE : (i * 37 + g * 11 + 1) % s->vocab_size;
        }
        if (s->added_rows)
            id[cu[g] + 1] = s->vocab_size + (int32_t)g % s->added_rows;
        for (int32_t k = 0; k < 5; k++) {
            row[5 * g + k] = n - 5 + k;
            label[5 * g + k] = (k * 71 + g * 5 + 3) % (s->vocab_size + s->added_rows);
            weight[5 * g + k] = g == 1 ? 0.5f : 1.0f;
        }
        cu[g + 1] = n;
        b.max_segment = length > b.max_segment ? length : b.max_segment;
        b.n_images += sees ? IMAGES[g] : 0;
    }
    b.n_tokens = n;
    b.terms.labels = (Terms){LABELS, 12.5};
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 131 + i / 97);
    return &b;
}

/* ---------------------------------------------------------------- a model */

bool tiny_joins;

Status tiny_open(TinyModel *m, const RunConfig *cfg, DType compute, Recompute recompute)
{
    *m = (TinyModel){0};
    REQUIRE_OK(ref_open(&m->backend));
    m->backend.joins = tiny_joins;
    REQUIRE_OK(arena_create(&m->keep, MEMORY));
    REQUIRE_OK(arena_create(&m->scratch, MEMORY));
    REQUIRE_OK(arena_create(&m->kernel, MEMORY));
    m->backend.ctx.scratch = &m->kernel;
    REQUIRE_OK(tape_create(&m->tape, &(TapeOptions){.backend = &m->backend, .keep = &m->keep, .scratch = &m->scratch, .compute = compute,
                                                    .recompute = recompute, .seed = 42}));
    return genllava_open(&m->g, &m->backend, compute, cfg, NULL);
}

void tiny_close(TinyModel *m)
{
    genllava_close(&m->g);
    tape_free(&m->tape);
    arena_free(&m->keep);
    arena_free(&m->scratch);
    arena_free(&m->kernel);
    m->backend.close(&m->backend);
}

double tiny_step(TinyModel *m, const Batch *b, float *logits, bool backward)
{
    double total = 0;
    LossRequest request = {.logits = logits};
    for (int i = 0; i < N_LOSSES; i++) {
        double weight = loss_terms(&b->terms, (Loss)i).weight;
        request.scale[i] = weight > 0 ? 1 / weight : 0;
    }
    tape_reset(m->tape, 7);
    if (backward)
        REQUIRE_OK(params_step_begin(genllava_params(m->g)));
    LossResult r;
    REQUIRE_OK(genllava_loss(m->tape, m->g, b, &request, &r));
    if (backward)
        REQUIRE_OK(tape_backward_all(m->tape, r.losses, N_LOSSES, 1));
    for (int i = 0; i < N_LOSSES; i++)
        total += r.sums[i] * request.scale[i];
    return total;
}
