/* verify.c: asks two models the same and compares their logits (verify.h). */
#include "tools/convert/verify.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/kinds.h"
#include "data/text/tokenizer.h"
#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "tools/convert/merge.h"
#include "tools/convert/out.h"

/* Largest difference of logits, in parts of their spread, that comes from rounding to a type. */
static const double BOUND[N_OUT_TYPES] = {[TYPE_F32] = 1e-4, [TYPE_BF16] = 3e-2, [TYPE_F16] = 3e-2, [TYPE_Q8_0] = 1e-1};

/* ---------------------------------------------------------------- weights for a pass */

/* Of a model with its adapters beside the base, as it computes in training: so a mistake of merging shows. DoRA is only known merged. */
static bool has_plain_adapters(const Model *m)
{
    bool plain = m->n_adapted > 0 && m->cfg.model.llm.train == TRAIN_LORA;
    for (int i = 0; i < m->n_adapted; i++)
        plain &= !m->adapted[i].magnitude && stored_find(&m->tensors, m->adapted[i].a->name) == m->adapted[i].a;
    return plain;
}

/* A model that is asked; plain: its adapters stand beside the base. */
typedef struct Asked {
    const Model *m;
    bool plain;
} Asked;

static Status read_weight(void *arg, const char *name, int64_t first, int64_t n, float *out)
{
    const Asked *a = arg;
    const Model *m = a->m;
    TRY(out_go_on());
    const bool beside = a->plain && model_adapted(m, name);
    const Stored *t = beside ? NULL : stored_find(&m->whole, name);
    if (!t)
        t = stored_find(&m->tensors, name);
    return t ? stored_rows(t, first, n, out) : fail(ERR_DATA, "%s: there is no %s", m->path, name);
}

/* ---------------------------------------------------------------- prompts */

enum { PROMPT_IDS = 512 };

/* A sentence, ids from all over the vocabulary, and every added token, *n_ids in all. */
static Status built_in_prompt(const Model *m, const Tokenizer *tok, bool picture, int32_t ids[PROMPT_IDS], int64_t *n_ids)
{
    static const char TEXT[] = "Describe what you see: 3 red cars\nand a b\xC3\xA4r.";
    enum { SPREAD = 32 };
    uint32_t end[PROMPT_IDS];
    int64_t n = 0;
    ids[n++] = tokenizer_info(tok)->bos;
    if (picture)
        ids[n++] = ID_IMAGE;
    TokenizerOutput out = {.ids = ids + n, .end = end, .cap = 64};
    int64_t text = tokenizer_encode(tok, TEXT, strlen(TEXT), &out);
    if (text < 0)
        return fail(ERR_NOMEM, "out of memory for a prompt");
    n += text < out.cap ? text : out.cap;
    for (int64_t i = 0; i < SPREAD; i++)
        ids[n++] = (int32_t)(i * (m->vocab - 1) / (SPREAD - 1));
    for (int i = 0; i < m->n_added && n < PROMPT_IDS; i++)
        ids[n++] = (int32_t)(m->vocab + i);
    *n_ids = n;
    return OK;
}

/* A picture with slopes and an edge in every channel. */
static void draw_picture(const ModelSizes *sizes, uint8_t *pixels)
{
    const int h = sizes->image_height, w = sizes->image_width;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++, pixels += 3) {
            pixels[0] = (uint8_t)(255 * x / w);
            pixels[1] = (uint8_t)(255 * y / h);
            pixels[2] = (uint8_t)((x / 7 + y / 5) % 2 ? 230 : 20);
        }
}

/* ---------------------------------------------------------------- comparing */

typedef struct Comparison {
    double largest; /* difference, in parts of the spread */
    int64_t same, n;
} Comparison;

static int64_t argmax(const float *x, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}

static void compare(Comparison *c, const float *a, const float *b, int64_t rows, int64_t cols)
{
    float low = INFINITY, high = -INFINITY;
    double largest = 0;
    for (int64_t i = 0; i < rows * cols; i++) {
        low = fminf(low, a[i]);
        high = fmaxf(high, a[i]);
        const double d = fabs((double)a[i] - (double)b[i]);
        largest = d > largest || isnan(d) ? d : largest;
    }
    const double relative = largest / fmax((double)high - (double)low, 1e-30);
    c->largest = isnan(relative) || relative > c->largest ? relative : c->largest;
    for (int64_t i = 0; i < rows; i++)
        c->same += argmax(a + i * cols, cols) == argmax(b + i * cols, cols);
    c->n += rows;
}

static Status ask(Model *m, const StreamPrompt *p, int64_t n_rows, float *logits)
{
    Asked asked = {m, has_plain_adapters(m)};
    const StreamWeights w = {.rows = read_weight, .arg = &asked, .n_rows = n_rows, .tied = merge_ties(m), .adapters = asked.plain};
    return stream_logits(m->stream, &w, p, logits);
}

static Status compare_prompt(Model *m, Model *out, const StreamPrompt *p, Comparison *c)
{
    const int64_t rows = p->n - p->n_images, cols = model_rows(m);
    float *theirs = mem_alloc((size_t)(rows * cols) * sizeof *theirs), *ours = mem_alloc((size_t)(rows * cols) * sizeof *ours);
    Status s = theirs && ours ? OK : fail(ERR_NOMEM, "out of memory for logits");
    if (!s)
        s = ask(m, p, cols, ours);
    if (!s)
        s = fail_context(ask(out, p, cols, theirs), "reading back what was written");
    if (!s)
        compare(c, ours, theirs, rows, cols);
    mem_free(theirs);
    mem_free(ours);
    return s;
}

static Status compare_built_in(Model *m, Model *out, const Tokenizer *tok, Comparison *c)
{
    int32_t ids[PROMPT_IDS];
    StreamPrompt p = {.ids = ids};
    TRY(built_in_prompt(m, tok, false, ids, &p.n));
    TRY(compare_prompt(m, out, &p, c));
    if (!m->vision || !out->vision)
        return OK;
    const ModelSizes *sizes = stream_sizes(m->stream);
    uint8_t *pixels = mem_alloc((size_t)sizes->image_height * (size_t)sizes->image_width * 3);
    if (!pixels)
        return fail(ERR_NOMEM, "out of memory for a picture");
    draw_picture(sizes, pixels);
    p = (StreamPrompt){.ids = ids, .pixels = pixels, .n_images = 1};
    Status s = built_in_prompt(m, tok, true, ids, &p.n);
    if (!s)
        s = compare_prompt(m, out, &p, c);
    mem_free(pixels);
    return s;
}

static Status compare_probe(Model *m, Model *out, const Probe *probe, Comparison *c)
{
    Status s = OK;
    int unseen = 0;
    for (int i = 0; i < probe->n && !s; i++) {
        const ProbePrompt *asked = &probe->list[i];
        uint8_t *pixels;
        if (asked->n_images && !out->vision) {
            unseen++;
            continue;
        }
        s = probe_pixels(m, asked, &pixels);
        const StreamPrompt p = {.ids = asked->ids, .n = asked->n, .pixels = pixels, .n_images = asked->n_images};
        if (!s)
            s = compare_prompt(m, out, &p, c);
        mem_free(pixels);
    }
    if (unseen)
        log_warn("%d of %d prompts of --probe show pictures; what was written has no vision tower and was not asked them", unseen,
                 probe->n);
    return s;
}

Status verify_output(Model *m, Model *out, const Writer *w, const WriteOptions *o, const Probe *probe)
{
    char path[PATH_MAX];
    Comparison c = {0};
    Tokenizer *tok;
    if (model_rows(out) < model_rows(m)) /* an export may have tokens of its own behind them */
        return fail(ERR_INTERNAL, "--to %s: what was written has %" PRId64 " rows of tokens, the model %" PRId64, w->name, model_rows(out),
                    model_rows(m));
    TRY(tokenizer_open(&tok, file_join(path, m->cfg.model.llm.path, "tokenizer.model")));
    Status s = compare_built_in(m, out, tok, &c);
    tokenizer_close(&tok);
    if (!s)
        s = compare_probe(m, out, probe, &c);
    TRY(s);
    const double bound = BOUND[w->takes_type ? o->type : TYPE_F32];
    if (!(c.largest <= bound))
        return fail(ERR_INTERNAL,
                    "--to %s: what was written answers differently: logits differ by %.3g of their spread, %.0e is allowed; "
                    "the likeliest token is the same at %" PRId64 " of %" PRId64 " places",
                    w->name, c.largest, bound, c.same, c.n);
    log_info("read back and asked: logits differ by %.3g of their spread at most (%.0e is allowed), the likeliest token is the same at "
             "%" PRId64 " of %" PRId64 " places",
             c.largest, bound, c.same, c.n);
    return OK;
}
