/* pass_shape.c: passes of a given shape, without data (pass_shape.h). Called by memory.c and benchmarks. */
#include "train/measure/pass_shape.h"

#include "kernels/base/arena.h"

void pass_free(MadePass *m)
{
    mem_free(m->ints);
    mem_free(m->floats);
    mem_free(m->pixels);
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

Status pass_make(MadePass *m, const PassShape *p, const ModelSizes *sizes)
{
    size_t T = (size_t)p->tokens, S = (size_t)p->segments, M = (size_t)p->labels, N = (size_t)p->images;
    size_t pixels = N * (size_t)sizes->image_height * (size_t)sizes->image_width * 3;
    *m = (MadePass){.ints = mem_alloc((S + 1 + 3 * T + 4 * M + S) * sizeof(int32_t)), .floats = mem_alloc((M + S) * sizeof(float)),
                    .pixels = mem_alloc(pixels + S)};
    if (!m->ints || !m->floats || !m->pixels) {
        pass_free(m);
        return fail(ERR_NOMEM, "a pass of %zu tokens: out of memory", T);
    }
    int32_t *cu = m->ints, *id = cu + S + 1, *pos = id + T, *item = pos + T, *row = item + T, *label = row + M;
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
                       .label_row = row,
                       .label = label,
                       .label_weight = m->floats,
                       .label_record = label + M,
                       .label_position = label + 2 * M,
                       .terms = {.labels = {p->labels, p->labels}},
                       .record = label + 3 * M,
                       .task = m->pixels + pixels,
                       .weight = m->floats + M};
    return OK;
}
