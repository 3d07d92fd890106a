/* pass_shape.c: passes of a given shape, without data (pass_shape.h). Called by memory.c and benchmarks. */
#include "train/measure/pass_shape.h"

#include "kernels/base/arena.h"
#include "train/config/plan.h"

void pass_free(MadePass *m)
{
    mem_free(m->ints);
    mem_free(m->floats);
    mem_free(m->pixels);
    mem_free(m->prompts);
    *m = (MadePass){0};
}

/* Segments: the longest first, the others share the rest evenly. */
static void fill_segments(int32_t *cu, int32_t *pos, int32_t *item, const PassShape *p)
{
    int32_t first = p->segments > 1 ? p->max_segment : p->tokens;
    for (int32_t s = 0; s < p->segments; s++) {
        int64_t rest = (int64_t)(p->tokens - first) * s / (p->segments > 1 ? p->segments - 1 : 1);
        cu[s + 1] = first + (int32_t)rest;
        for (int32_t t = cu[s]; t < cu[s + 1]; t++) {
            pos[t] = t - cu[s];
            item[t] = s;
        }
    }
}

/* Some number below n that looks like chance: rows that are all alike would come from the cache. */
static uint32_t scattered(size_t i, uint32_t n) { return (uint32_t)(((i + 1) * 2654435761u) & 0xffffffffu) % n; }

/* n targets of a task, from number i on, whose runs spread evenly over segments first … end-1. A run is not the first of its segment. */
static void spread_targets(Batch *b, int32_t i, int32_t n, int32_t *row, int32_t *segment, int32_t first, int32_t end, int32_t longest_run)
{
    const int32_t from = b->cu[first] + 1, room = b->cu[end] - from > longest_run ? b->cu[end] - from - longest_run : 0;
    for (int32_t k = 0, s = first; k < n; k++) {
        row[i + k] = from + (int32_t)((int64_t)room * k / n);
        while (b->cu[s + 1] <= row[i + k])
            s++;
        segment[i + k] = s;
    }
}

/* Targets of generate rows first, with pictures as far as there are any. */
static void fill_targets(Batch *b, int32_t *ints, uint8_t *task, float *weight, const char **prompts, const PassShape *p,
                         int32_t longest_run)
{
    const int32_t G = p->generate + p->edit, S = p->segments, border = !p->edit ? S : !p->generate ? 0 : S / 2;
    int32_t *row = ints, *segment = row + G, *picture = segment + G, *source = picture + G;
    const bool possible = (!p->generate || border > 0) && (!p->edit || border < S); /* a largest of every measure may be no pass */
    for (int32_t s = 0; s < S && G; s++)
        task[s] = s < border ? TASK_GENERATE : TASK_EDIT;
    if (possible) {
        spread_targets(b, 0, p->generate, row, segment, 0, border, longest_run);
        spread_targets(b, p->generate, p->edit, row, segment, border, S, longest_run);
    }
    for (int32_t i = 0; i < G; i++) {
        picture[i] = i < p->target_pictures ? i : -1;
        source[i] = i < p->source_pictures ? i : -1;
        weight[i] = 1;
        prompts[i] = "";
    }
    b->n_targets = G;
    b->target_row = possible ? row : NULL; /* then it is only measured */
    b->target_segment = possible ? segment : NULL;
    b->target_weight = weight;
    b->target_prompt = prompts;
    b->target_size = p->target_size;
    b->n_target_pictures = p->target_pictures;
    b->n_source_pictures = p->source_pictures;
    b->target_picture = picture;
    b->source_picture = source;
    b->terms.generate = (Terms){p->generate, p->generate};
    b->terms.edit = (Terms){p->edit, p->edit};
}

PassShape pass_fullest(const RunConfig *cfg, const ModelSizes *sizes)
{
    enum { SHORT_TEXT = 64 };
    const int64_t longest = cfg->data.max_tokens < cfg->train.micro_tokens ? cfg->data.max_tokens : cfg->train.micro_tokens;
    const int64_t all = cfg->train.batch * longest, tokens = all < cfg->train.micro_tokens ? all : cfg->train.micro_tokens;
    const int64_t shortest = sizes->patches + SHORT_TEXT < longest ? sizes->patches + SHORT_TEXT : longest;
    const int64_t most = tokens / shortest ? tokens / shortest : 1, segments = most < cfg->train.batch ? most : cfg->train.batch;
    PassShape p = {.tokens = (int32_t)tokens, .segments = (int32_t)segments, .max_segment = (int32_t)longest};
    p.images = sizes->patches && tokens >= segments * sizes->patches ? p.segments : 0;
    p.labels = (int32_t)(tokens - (int64_t)p.images * sizes->patches);
    if (!cfg->model.diffusion.path)
        return p;
    p.edit = p.segments / 2;
    p.generate = p.segments - p.edit;
    if (plan_predicts_noise(cfg)) {
        p.target_size = (int32_t)cfg->model.diffusion.size;
        p.target_pictures = p.source_pictures = p.segments;
    }
    return p;
}

Status pass_make(MadePass *m, const PassShape *p, const ModelSizes *sizes)
{
    size_t T = (size_t)p->tokens, S = (size_t)p->segments, M = (size_t)p->labels, N = (size_t)p->images;
    size_t G = (size_t)p->generate + (size_t)p->edit, square = 3 * (size_t)p->target_size * (size_t)p->target_size;
    size_t pixels = N * (size_t)sizes->image_height * (size_t)sizes->image_width * 3;
    size_t targets = (size_t)p->target_pictures * square, sources = (size_t)p->source_pictures * square;
    size_t moments = (size_t)sizes->moments, cached = ((size_t)p->target_pictures + (size_t)p->source_pictures) * moments;
    *m = (MadePass){.ints = mem_alloc((S + 1 + 3 * T + 4 * M + S + 5 * G) * sizeof(int32_t)),
                    .floats = mem_alloc((M + S + G + cached + (size_t)sizes->queries * (size_t)sizes->context) * sizeof(float)),
                    .pixels = mem_alloc(pixels + targets + sources + 17 * S),
                    .prompts = mem_alloc(G * sizeof *m->prompts)};
    if (!m->ints || !m->floats || !m->pixels || !m->prompts) {
        pass_free(m);
        return fail(ERR_NOMEM, "a pass of %zu tokens: out of memory", T);
    }
    int32_t *cu = m->ints, *id = cu + S + 1, *pos = id + T, *item = pos + T, *row = item + T, *label = row + M;
    uint8_t *rest = m->pixels + pixels + targets + sources;
    const float *results = m->floats + M + S + G;
    uint32_t vocabulary = (uint32_t)sizes->vocab_size;
    fill_segments(cu, pos, item, p);
    for (size_t t = 0; t < T; t++)
        id[t] = t < N * (size_t)sizes->patches ? ID_IMAGE : (int32_t)scattered(t, vocabulary);
    for (size_t i = 0; i < M; i++) {
        row[i] = (int32_t)(i * T / M);
        label[i] = (int32_t)scattered(i, vocabulary);
    }
    for (size_t i = 0; i < M + S; i++)
        m->floats[i] = 1;
    m->batch = (Batch){.n_segments = p->segments,
                       .n_tokens = p->tokens,
                       .n_images = p->images,
                       .n_labels = p->labels,
                       .max_segment = p->max_segment,
                       .cu = cu,
                       .id = id,
                       .pos = pos,
                       .item = item,
                       .image_height = sizes->image_height,
                       .image_width = sizes->image_width,
                       .pixels = m->pixels,
                       .target_pixels = m->pixels + pixels,
                       .source_pixels = m->pixels + pixels + targets,
                       .target_moments = results,
                       .source_moments = results + (size_t)p->target_pictures * moments,
                       .target_state = label + 3 * M + S + 4 * G, /* all of them the same */
                       .states = results + cached,
                       .label_row = row,
                       .label = label,
                       .label_weight = m->floats,
                       .label_record = label + M,
                       .label_position = label + 2 * M,
                       .terms = {.labels = {p->labels, p->labels}},
                       .record = label + 3 * M,
                       .uid = (const uint8_t(*)[16])rest,
                       .task = rest + 16 * S,
                       .weight = m->floats + M};
    fill_targets(&m->batch, label + 3 * M + S, rest + 16 * S, m->floats + M + S, m->prompts, p, sizes->added_rows);
    return OK;
}
