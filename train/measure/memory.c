/* memory.c: the memory plan of a run (memory.h). Called by train, --dry-run and the tools that time steps. */
#include "train/measure/memory.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "kernels/base/log.h"
#include "kernels/ops/block.h"
#include "train/optim/optim.h"
#include "train/measure/pass_shape.h"

/* ---------------------------------------------------------------- measuring */

static Status run_pass(Tape *t, GenLlava *g, const PassShape *p)
{
    MadePass pass;
    LossResult result;
    TRY(pass_make(&pass, p, genllava_model_sizes(g)));
    tape_reset(t, 0);
    Status s = genllava_loss(t, g, &pass.batch, &(LossRequest){0}, &result);
    if (s == OK)
        s = tape_backward_all(t, result.losses, N_LOSSES, 1);
    pass_free(&pass);
    return s;
}

/* A step of these passes and its update. */
static Status run_step(MemoryPlan *m, Backend *b, GenLlava *g, const RunConfig *cfg, DType compute, const PassShape *passes, int n)
{
    Arena keep, scratch;
    OptimResult done;
    Tape *t;
    arena_measure(&keep);
    arena_measure(&scratch);
    b->ctx.scratch = &scratch;
    arena_push(&scratch, sizeof(StepNumbers));
    TRY(tape_create(&t, &(TapeOptions){.backend = b,
                                       .keep = &keep,
                                       .scratch = &scratch,
                                       .compute = compute,
                                       .recompute = (Recompute)cfg->train.recompute,
                                       .seed = (uint64_t)cfg->seed}));
    Status s = params_step_begin(genllava_params(g));
    for (int i = 0; i < n && s == OK; i++) {
        size_t before = keep.peak;
        s = run_pass(t, g, &passes[i]);
        if (keep.peak > before)
            m->pass_tokens = passes[i].tokens;
    }
    if (s == OK)
        s = optim_step(genllava_params(g), cfg, 1, 0, &done);
    if (s == OK)
        s = genllava_updated(g);
    tape_free(&t);
    m->keep = keep.peak;
    m->scratch = scratch.peak;
    return s;
}

static void count_parameters(MemoryPlan *m, GenLlava *g)
{
    const Params *p = genllava_params(g);
    int64_t master = (int64_t)dtype_size(p->master);
    for (int i = 0; i < N_PARTS; i++)
        m->parameters[i] = genllava_count(g, PARTS[i].name);
    for (int i = 0; i < p->n; i++) {
        const Param *q = p->list[i];
        if (q->trainable)
            m->trainable_parameters += q->t.n_elems;
        else
            m->weights += q->t.n_elems * (int64_t)dtype_size(q->t.type);
    }
    m->weights += p->besides;
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

/* A shard's arrays lie in memory while it is open: ids and masks, and some bytes a sample, a reference and a picture
 * (data/shards/shard.h). */
static int64_t shard_bytes(const RecordIndex *x)
{
    enum { TOKEN = sizeof(int32_t) + 1, SAMPLE = 60, REFERENCE = 13, PICTURE = 58 };
    int64_t n = PICTURE * x->n_images;
    for (int64_t i = 0; i < x->n; i++)
        n += SAMPLE + REFERENCE * x->rows[i].images + TOKEN * ((int64_t)x->rows[i].expanded - x->rows[i].images * (x->patches - 1));
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

/* What the cpu's adapters with dropout work in, as much of it as the largest pass touches; pages are huge. Their widest inputs together are
 * about four times as wide as the model. */
static int64_t dropped_bytes(const RunConfig *cfg, const ModelSizes *sizes, const PassShape *passes, int n)
{
    const int64_t page = 2 << 20, wide = 4 * (int64_t)sizes->hidden * (int64_t)sizeof(float);
    int64_t most = 0;
    if (cfg->model.llm.train != TRAIN_LORA || !(cfg->model.lora.dropout > 0))
        return 0;
    for (int i = 0; i < n; i++)
        most = passes[i].tokens * wide > most ? passes[i].tokens * wide : most;
    return most < ADAPTER_BLOCK_BYTES ? (most + page - 1) / page * page : ADAPTER_BLOCK_BYTES;
}

/* What the process has now and what it will touch besides the model. */
static int64_t process_bytes(const RecordIndex *planned)
{
    /* Measured on runs of every size with 1, 2 and 4 threads (they differ by less than 0.5 MB): code and tables of operators, checkpoints
     * and their checksums, the allocator; the part of a thread's workspace and stack that is touched, a huge page. */
    const int64_t later = 3200000, thread = 2 << 20;
    return resident_now() + later + thread * omp_get_max_threads() + (planned ? shard_bytes(planned) : 0);
}

Status memory_walk(MemoryPlan *m, Backend *null, const RunConfig *cfg, DType compute, const PassShape *passes, int n_passes,
                   const Samples *samples, void (*opened)(void *arg), void *arg)
{
    GenLlava *g;
    *m = (MemoryPlan){0};
    TRY(genllava_open(&g, null, compute, cfg, NULL));
    count_parameters(m, g);
    m->sizes = *genllava_model_sizes(g);
    if (opened)
        opened(arg);
    int64_t answering = 0;
    Status s = run_step(m, null, g, cfg, compute, passes, n_passes);
    if (s == OK && samples)
        s = samples_memory(samples, g, &answering);
    genllava_close(&g);
    m->activations = (int64_t)m->keep;
    m->workspace = (int64_t)m->scratch + answering;
    m->total = m->weights + m->trainable + m->optimizer + m->activations + m->workspace;
    return s;
}

/* dropped: where the backend is the host's. */
static Status place(MemoryPlan *m, Backend *backend, int64_t process, int64_t dropped)
{
    DeviceMemory device;
    m->on_device = backend->memory != NULL;
    if (!m->on_device) {
        m->workspace += process + dropped;
        m->available = memory_available();
    } else {
        TRY(backend->memory(backend, &device));
        m->workspace += (int64_t)device.own;
        m->available = (int64_t)device.available;
        m->host = process + (int64_t)device.host;
    }
    m->total = m->weights + m->trainable + m->optimizer + m->activations + m->workspace;
    return OK;
}

Status memory_measure(MemoryPlan *m, const RunConfig *cfg, Backend *device, DType compute, const PassShape *passes, int n_passes,
                      const Samples *samples, const RecordIndex *planned)
{
    Backend null;
    int64_t before = process_bytes(planned); /* measuring takes memory itself */
    TRY(device->measure ? device->measure(device, &null) : null_open(&null));
    null.joins = device->joins;
    Status s = memory_walk(m, &null, cfg, compute, passes, n_passes, samples, NULL, NULL);
    null.close(&null);
    TRY(s);
    return place(m, device, before + picture_bytes(cfg, &m->sizes, passes, n_passes), dropped_bytes(cfg, &m->sizes, passes, n_passes));
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

/* "1.2 GiB (weights …)" */
static const char *describe(const MemoryPlan *m, char out[256])
{
    char text[6][32];
    const int64_t values[] = {m->total, m->weights, m->trainable, m->optimizer, m->activations, m->workspace};
    for (int i = 0; i < 6; i++)
        file_size_text(text[i], sizeof text[i], (size_t)values[i]);
    snprintf(out, 256, "%s (weights %s, trainable %s, moments %s, activations %s, workspace %s)", text[0], text[1], text[2], text[3],
             text[4], text[5]);
    return out;
}

void memory_say(const MemoryPlan *m)
{
    char plan[256], have[32], host[2][32];
    int64_t of_host = m->on_device ? memory_available() : m->available, needs = m->on_device ? m->host : m->total;
    file_size_text(have, sizeof have, (size_t)m->available);
    file_size_text(host[0], sizeof host[0], (size_t)m->host);
    file_size_text(host[1], sizeof host[1], (size_t)of_host);
    if (m->on_device)
        log_info("memory of the device: needs %s, %s are free; of the host: needs %s, %s are free", describe(m, plan), have, host[0],
                 host[1]);
    else
        log_info("memory: needs %s, %s are free", describe(m, plan), have);
    if (needs > of_host)
        log_warn(m->on_device ? "this is more of the host's memory than there is: lower train.micro_tokens or train.batch"
                              : "this is more memory than there is: lower train.micro_tokens, or set train.recompute to \"block\"");
}

Status memory_check(const MemoryPlan *m, const RunConfig *cfg)
{
    char plan[256], have[32], held[32], change[256];
    int64_t fixed = m->total - m->activations - m->workspace;
    if (!m->on_device || m->total <= m->available)
        return OK;
    file_size_text(have, sizeof have, (size_t)m->available);
    file_size_text(held, sizeof held, (size_t)fixed);
    if (fixed > m->available)
        snprintf(change, sizeof change, "%s of it are weights and their moments, which no shorter pass makes smaller: train fewer parts, "
                                        "lower model.lora.r, or use a larger device", held);
    else
        snprintf(change, sizeof change, "lower train.micro_tokens (it is %lld)%s", (long long)cfg->train.micro_tokens,
                 (Recompute)cfg->train.recompute == RECOMPUTE_BLOCK ? "" : ", or set train.recompute to \"block\"");
    return fail(ERR_DEVICE, "the run needs %s of the device's memory, %s are free: %s; nvidia-smi lists what else uses the device",
                describe(m, plan), have, change);
}
