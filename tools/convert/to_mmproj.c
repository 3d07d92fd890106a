/* to_mmproj.c: vision tower and projector for llama.cpp (to_mmproj.h). The projector is of its type "janus_pro": the graph of "mlp", but
 * for all blocks that are there, and padding with grey. Source of keys and names: llama.cpp, tools/mtmd/clip.cpp. */
#include "tools/convert/to_mmproj.h"

#include <stdio.h>
#include <string.h>

#include "kernels/base/log.h"
#include "tools/convert/gguf_names.h"
#include "tools/convert/gguf_out.h"

bool to_mmproj_fits(const Model *m) { return m->vision && !m->vision->clip && m->cfg.model.projector.depth == 2; }

Status to_mmproj_check(const Model *m)
{
    if (m->vision->clip) {
        log_warn("mmproj.gguf is written of SigLIP's towers alone, this one is CLIP's: the vision tower and the projector are left out "
                 "(--to hf-llava takes them)");
        return OK;
    }
    if (m->vision->act != ACT_GELU_TANH)
        return fail(ERR_DATA,
                    "%s: hidden_act of its vision tower is not gelu_pytorch_tanh, the one that llama.cpp has for such a tower; "
                    "--to hf-llava takes it",
                    m->path);
    if (m->vision->height != m->vision->width)
        return fail(ERR_DATA, "%s: its vision tower sees %lldx%lld pixels, llama.cpp has squares alone; --to hf-llava takes it", m->path,
                    (long long)m->vision->width, (long long)m->vision->height);
    if (!to_mmproj_fits(m))
        log_warn("llama.cpp has projectors of two layers alone, this one has %d: no mmproj.gguf is written", m->cfg.model.projector.depth);
    else if (m->cfg.model.vision.aspect == ASPECT_PAD)
        log_warn("llama.cpp resizes pictures first and pads them then, this model was trained the other way round: squares alone come out "
                 "the same");
    return OK;
}

/* Whether a tensor is of a block that is computed, of the embeddings or of the projector. */
static bool is_used(const Model *m, const char *name)
{
    int block;
    if (sscanf(name, "vision_model.encoder.layers.%d.", &block) == 1)
        return block < m->vision->blocks;
    return true;
}

/* llama.cpp computes embeddings of patches and positions in f32, and takes the former as f16, too. */
static DType type_of(const Stored *t, OutType type)
{
    if (t->n_dims == 1 || strstr(t->name, "position_embedding"))
        return F32;
    if (strstr(t->name, "patch_embedding"))
        return type == TYPE_F16 ? F16 : F32;
    return out_dtype(type);
}

static Status list_tensors(OutList *l, const Model *m, const WriteOptions *o)
{
    for (int i = 0; i < m->tensors.n; i++) {
        const Stored *t = &m->tensors.list[i];
        char name[WEIGHT_NAME_MAX];
        if (gguf_tower_name(name, t->name) && is_used(m, t->name))
            TRY(out_add(l, name, type_of(t, o->type), t));
    }
    return OK;
}

static void put_settings(GgufWriter *w, const Model *m, const WriteOptions *o)
{
    const SiglipConfig *c = m->vision;
    const Preprocessor *p = stream_preprocessor(m->stream);
    const struct {
        const char *key;
        int64_t value;
    } sizes[] = {
        {"clip.vision.image_size", c->height},          {"clip.vision.patch_size", c->patch},
        {"clip.vision.embedding_length", c->hidden},    {"clip.vision.feed_forward_length", c->ff},
        {"clip.vision.block_count", c->blocks},         {"clip.vision.projection_dim", m->llm->hidden},
        {"clip.vision.attention.head_count", c->heads},
    };
    gguf_put_text(w, "general.architecture", "clip");
    gguf_put_text(w, "general.type", "mmproj");
    gguf_put_text(w, "general.name", m->cfg.name);
    gguf_put_u32(w, "general.file_type", gguf_out_file_type(o->type));
    gguf_put_bool(w, "clip.has_vision_encoder", true);
    gguf_put_text(w, "clip.projector_type", "janus_pro");
    gguf_put_bool(w, "clip.use_gelu", true);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        gguf_put_u32(w, sizes[i].key, (uint32_t)sizes[i].value);
    gguf_put_f32(w, "clip.vision.attention.layer_norm_epsilon", (float)c->eps);
    const float mean[] = {(float)p->mean[0], (float)p->mean[1], (float)p->mean[2]};
    const float std[] = {(float)p->std[0], (float)p->std[1], (float)p->std[2]};
    gguf_put_f32s(w, "clip.vision.image_mean", mean, 3);
    gguf_put_f32s(w, "clip.vision.image_std", std, 3);
}

Status to_mmproj(Model *m, const WriteOptions *o, const char *path)
{
    OutList l = {0};
    GgufWriter *w;
    if (!to_mmproj_fits(m))
        return OK;
    Status s = list_tensors(&l, m, o);
    if (!s)
        s = gguf_create(&w, path);
    if (!s) {
        put_settings(w, m, o);
        s = gguf_out_write(w, &l, o->type == TYPE_Q8_0);
    }
    out_free(&l);
    return s;
}
