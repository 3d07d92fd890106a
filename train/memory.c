#include "train/memory.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "kernels/base/log.h"

/* ---------------------------------------------------------------- a pass of a given shape */

/* Values do not matter, only where pictures, segments and labels are. */
typedef struct Shape {
    Batch batch;
    int32_t *ints; /* all index arrays */
    float *floats;
    uint8_t *pixels;
} Shape;

static void free_shape(Shape *s)
{
    mem_free(s->ints);
    mem_free(s->floats);
    mem_free(s->pixels);
    *s = (Shape){0};
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

static Status make_shape(Shape *s, const PassShape *p, const ModelSizes *sizes)
{
    size_t T = (size_t)p->tokens, S = (size_t)p->segments, M = (size_t)p->labels, N = (size_t)p->images;
    size_t pixels = N * (size_t)sizes->image_height * (size_t)sizes->image_width * 3;
    *s = (Shape){.ints = mem_alloc((S + 1 + 3 * T + 4 * M + S) * sizeof(int32_t)), .floats = mem_alloc((M + S) * sizeof(float)), .pixels = mem_alloc(pixels + S)};
    if (!s->ints || !s->floats || !s->pixels) {
        free_shape(s);
        return fail(ERR_NOMEM, "measuring memory: out of memory");
    }
    int32_t *cu = s->ints, *id = cu + S + 1, *pos = id + T, *item = pos + T, *row = item + T, *label = row + M;
    fill_segments(cu, pos, item, p);
    for (size_t t = 0; t < T && t < N * (size_t)sizes->patches; t++)
        id[t] = ID_IMAGE;
    for (size_t i = 0; i < M; i++)
        row[i] = (int32_t)(i * T / M);
    for (size_t i = 0; i < M + S; i++)
        s->floats[i] = 1;
    s->batch = (Batch){.n_segments = p->segments,
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
                       .pixels = s->pixels,
                       .label_row = row,
                       .label = label,
                       .label_weight = s->floats,
                       .label_record = label + M,
                       .label_position = label + 2 * M,
                       .record = label + 3 * M,
                       .task = s->pixels + pixels,
                       .weight = s->floats + M};
    return OK;
}

/* ---------------------------------------------------------------- measuring */

static Status run_pass(Tape *t, GenLlava *g, const PassShape *p)
{
    Shape shape;
    LossResult result;
    TRY(make_shape(&shape, p, genllava_model_sizes(g)));
    tape_reset(t, 0);
    Status s = genllava_loss(t, g, &shape.batch, &(LossRequest){.text_scale = 1}, &result);
    if (s == OK && result.loss)
        s = tape_backward(t, result.loss, 1);
    free_shape(&shape);
    return s;
}

static Status run_passes(MemoryPlan *m, Backend *b, GenLlava *g, const RunConfig *cfg, DType compute, const PassShape *passes, int n)
{
    Arena keep, scratch;
    Tape *t;
    arena_measure(&keep);
    arena_measure(&scratch);
    b->ctx.scratch = &scratch;
    TRY(tape_create(&t, &(TapeOptions){.backend = b,
                                       .keep = &keep,
                                       .scratch = &scratch,
                                       .compute = compute,
                                       .recompute = (Recompute)cfg->train.recompute,
                                       .seed = (uint64_t)cfg->seed}));
    Status s = OK;
    for (int i = 0; i < n && s == OK; i++)
        s = run_pass(t, g, &passes[i]);
    tape_free(&t);
    m->keep = keep.peak;
    m->scratch = scratch.peak;
    return s;
}

static void count_parameters(MemoryPlan *m, GenLlava *g)
{
    const Params *p = genllava_params(g);
    int64_t master = (int64_t)dtype_size(p->master);
    for (int i = 0; i < N_PARAM_MODULES; i++)
        m->parameters[i] = genllava_count(g, (ParamModule)i);
    for (int i = 0; i < p->n; i++) {
        const Param *q = p->list[i];
        if (q->trainable)
            m->trainable_parameters += q->t.n_elems;
        else
            m->weights += q->t.n_elems * (int64_t)dtype_size(q->t.type);
    }
    m->trainable = p->n_flat * (2 * master + (p->flat_copy ? (int64_t)dtype_size(p->compute) : 0));
    m->optimizer = p->n_flat * 2 * master;
}

/* ---------------------------------------------------------------- the rest of the process */

static int64_t resident_now(void)
{
    long long size, pages;
    FILE *f = fopen("/proc/self/statm", "r");
    bool read = f && fscanf(f, "%lld %lld", &size, &pages) == 2;
    if (f)
        fclose(f);
    return read ? pages * sysconf(_SC_PAGESIZE) : 0;
}

/* A shard's arrays lie in memory while it is open: ids and masks, and some bytes a sample and a picture (data/shard.h). */
static int64_t shard_bytes(const RecordIndex *x)
{
    enum { TOKEN = sizeof(int32_t) + 1, SAMPLE = 60, PICTURE = 58 };
    int64_t n = 0;
    for (int64_t i = 0; i < x->n; i++)
        n += SAMPLE + PICTURE * x->rows[i].images + TOKEN * ((int64_t)x->rows[i].expanded - x->rows[i].images * (x->patches - 1));
    return n;
}

/* Pictures of the largest pass, and with decoding threads those of the step that is read ahead. */
static int64_t picture_bytes(const RunConfig *cfg, const ModelSizes *sizes, const PassShape *passes, int n)
{
    int64_t most = 0, cores = sysconf(_SC_NPROCESSORS_ONLN), one = (int64_t)sizes->image_height * sizes->image_width * 3;
    for (int i = 0; i < n; i++)
        most = passes[i].images > most ? passes[i].images : most;
    bool ahead = cfg->data.workers > 0 || (cfg->data.workers < 0 && cores > 2);
    return one * (ahead ? most + 2 * cfg->train.batch : most + 1);
}

/* What the process has now and what it will touch besides the model. */
static int64_t process_bytes(const RecordIndex *planned)
{
    /* Measured on runs of every size with 1, 2 and 4 threads (they differ by less than 0.5 MB): code and tables of operators, checkpoints and
     * the allocator; HDF5 once it has opened a file; the part of a thread's workspace and stack that is touched, a huge page. */
    const int64_t later = 2800000, hdf5 = 3700000, thread = 2 << 20;
    return resident_now() + later + thread * omp_get_max_threads() + (planned ? hdf5 + shard_bytes(planned) : 0);
}

Status memory_measure(MemoryPlan *m, const RunConfig *cfg, DType compute, const PassShape *passes, int n_passes, const RecordIndex *planned)
{
    Backend null;
    GenLlava *g;
    *m = (MemoryPlan){.workspace = process_bytes(planned)};
    TRY(null_open(&null));
    Status s = genllava_open(&g, &null, compute, cfg, NULL);
    if (s == OK) {
        count_parameters(m, g);
        s = run_passes(m, &null, g, cfg, compute, passes, n_passes);
        m->workspace += picture_bytes(cfg, genllava_model_sizes(g), passes, n_passes);
        genllava_close(&g);
    }
    null.close(&null);
    m->activations = (int64_t)m->keep;
    m->workspace += (int64_t)m->scratch;
    m->total = m->weights + m->trainable + m->optimizer + m->activations + m->workspace;
    return s;
}

/* ---------------------------------------------------------------- what there is */

static int64_t number_in(const char *path, const char *key)
{
    char line[256];
    long long value = -1;
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, key, strlen(key)) && sscanf(line + strlen(key), "%lld", &value) == 1)
            break;
    if (f)
        fclose(f);
    return value;
}

int64_t memory_available(void)
{
    int64_t free_bytes = number_in("/proc/meminfo", "MemAvailable:") * 1024;
    int64_t limit = number_in("/sys/fs/cgroup/memory.max", ""), used = number_in("/sys/fs/cgroup/memory.current", "");
    if (limit > 0 && used >= 0 && limit - used < free_bytes)
        free_bytes = limit - used;
    return free_bytes;
}

void memory_say(const MemoryPlan *m)
{
    char text[7][32];
    int64_t have = memory_available();
    const int64_t values[] = {m->total, m->weights, m->trainable, m->optimizer, m->activations, m->workspace, have};
    for (int i = 0; i < 7; i++)
        file_size_text(text[i], sizeof text[i], (size_t)values[i]);
    log_info("memory: needs %s (weights %s, trainable %s, moments %s, activations %s, workspace %s), %s are free", text[0], text[1], text[2],
             text[3], text[4], text[5], text[6]);
    if (m->total > have)
        log_warn("this is more memory than there is: lower train.micro_tokens, or set train.recompute to \"block\"");
}
