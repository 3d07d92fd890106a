/* encoder.c: pre-norm transformer blocks: settings, weights, forward pass (encoder.h). */
#include "train/models/encoder.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "kernels/base/arena.h"

ActKind encoder_read_act(JsonFields *f, const Json *o, const char *absent)
{
    const char *act = fields_string(f, o, "hidden_act", absent);
    if (!strcmp(act, "gelu"))
        return ACT_GELU_ERF;
    if (!strcmp(act, "gelu_pytorch_tanh") || !strcmp(act, "gelu_new"))
        return ACT_GELU_TANH;
    if (strcmp(act, "quick_gelu"))
        fields_refuse(f, json_get(o, "hidden_act"), "hidden_act", "is \"%s\", expected \"quick_gelu\", \"gelu\" or \"gelu_pytorch_tanh\"",
                      act);
    return ACT_GELU_QUICK;
}

void encoder_check_heads(JsonFields *f, const Json *o, int64_t hidden, int64_t heads)
{
    if (hidden % heads || hidden / heads > ATTENTION_MAX_HEAD_DIM)
        fields_refuse(f, json_get(o, "num_attention_heads"), "num_attention_heads",
                      "is %" PRId64 ", expected a divisor of hidden_size %" PRId64 " with heads of at most %d", heads, hidden,
                      ATTENTION_MAX_HEAD_DIM);
}

/* ---------------------------------------------------------------- weights */

static Linear linear(const Declare *d, const char *name, int64_t out, int64_t in)
{
    return declare_linear_drawn(d, name, out, in, declare_xavier(out, in), 0);
}

static void declare_block(const Declare *d, const EncoderShape *c, EncoderBlock *b)
{
    declare_norm(d, "layer_norm1", c->hidden, &b->norm1_w, &b->norm1_b);
    b->kqv[0] = linear(d, "self_attn.k_proj", c->hidden, c->hidden);
    b->kqv[1] = linear(d, "self_attn.q_proj", c->hidden, c->hidden);
    b->kqv[2] = linear(d, "self_attn.v_proj", c->hidden, c->hidden);
    b->out = linear(d, "self_attn.out_proj", c->hidden, c->hidden);
    declare_norm(d, "layer_norm2", c->hidden, &b->norm2_w, &b->norm2_b);
    b->fc1 = linear(d, "mlp.fc1", c->ff, c->hidden);
    b->fc2 = linear(d, "mlp.fc2", c->hidden, c->ff);
}

Status encoder_declare(const Declare *d, const EncoderShape *c, EncoderBlock **blocks, int64_t n)
{
    *blocks = mem_alloc((size_t)n * sizeof **blocks);
    if (!*blocks)
        return fail(ERR_NOMEM, "no memory for %" PRId64 " blocks", n);
    for (int64_t i = 0; i < n; i++) {
        const Declare block = declare_under(d, "encoder.layers.%" PRId64 ".", i);
        declare_block(&block, c, &(*blocks)[i]);
    }
    return OK;
}

/* ---------------------------------------------------------------- forward */

typedef struct BlockArg {
    EncoderShape shape;
    const EncoderBlock *block;
    const PackedRows *rows;
} BlockArg;

/* x [rows,D], and what is added to it first, if anything -> the same; pre-norm attention and MLP. */
static Tensor *block_forward(Tape *t, const void *arg, Tensor *const *in, int n)
{
    const BlockArg *a = arg;
    const EncoderShape *c = &a->shape;
    const EncoderBlock *b = a->block;
    const AttentionSpec spec = {.heads = c->heads, .kv_heads = c->heads, .head_dim = c->hidden / c->heads, .causal = c->causal,
                                .scale = 1 / sqrt((double)(c->hidden / c->heads))};
    Tensor *x = in[0], *mid = NULL; /* mid: the residual between attention and MLP */
    Tensor *h = nn_layernorm(t, x, n > 1 ? in[1] : NULL, b->norm1_w, b->norm1_b, c->eps, n > 1 ? &x : NULL);
    Tensor *o = nn_attention(t, nn_linear(t, h, b->kqv, 3, NULL), &spec, a->rows);
    h = nn_layernorm(t, x, nn_linear(t, o, &b->out, 1, NULL), b->norm2_w, b->norm2_b, c->eps, &mid);
    h = nn_act(t, nn_linear(t, h, &b->fc1, 1, NULL), c->act);
    return nn_linear_add(t, h, &b->fc2, NULL, mid);
}

Tensor *encoder_rows(Tape *t, Param *table, const int32_t *index, int64_t n)
{
    return nn_embed(t, &(EmbedSpec){.n = n, .base = table, .base_index = index, .base_occur = true});
}

Tensor *encoder_forward(Tape *t, const EncoderShape *c, const EncoderBlock *blocks, int64_t n, Tensor *x, Tensor *add,
                        const PackedRows *rows)
{
    BlockArg *args = tape_host(t, (size_t)n * sizeof *args);
    Tensor *in[2] = {x, add};
    for (int64_t i = 0; args && i < n; i++) {
        args[i] = (BlockArg){.shape = *c, .block = &blocks[i], .rows = rows};
        in[0] = nn_block_inplace(t, block_forward, &args[i], in, add && !i ? 2 : 1);
    }
    return args ? in[0] : NULL;
}
