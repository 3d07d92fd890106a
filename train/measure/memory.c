/* memory.c: the memory plan of a run (memory.h). Called by train, --dry-run and the tools that time steps. */
#include "train/measure/memory.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/loader/pixels.h"
#include "kernels/base/log.h"
#include "train/config/plan.h"
#include "train/dist/room.h"
#include "train/models/parts.h"
#include "train/optim/optim.h"
#include "train/measure/pass_shape.h"

/* ---------------------------------------------------------------- measuring */

static Status run_pass(Tape *t, GenLlava *g, const PassShape *p, bool learns)
{
    MadePass pass;
    LossResult result;
    TRY(pass_make(&pass, p, genllava_model_sizes(g)));
    tape_reset(t, 0);
    tape_record(t, learns);
    Status s = genllava_loss(t, g, &pass.batch, &(LossRequest){0}, &result);
    if (s == OK && learns)
        s = tape_backward_all(t, result.losses, N_LOSSES, 1);
    pass_free(&pass);
    return s;
}

/* A step of these passes and its update. */
static Status run_step(MemoryPlan *m, Backend *b, GenLlava *g, const RunConfig *cfg, DType compute, const MemoryRun *run)
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
                                       .seed = (uint64_t)cfg->seed,
                                       .winograd = cfg->train.winograd}));
    Status s = params_step_begin(genllava_params(g));
    for (int i = 0; i < run->n_passes && s == OK; i++) {
        size_t before = keep.peak;
        s = run_pass(t, g, &run->passes[i], i < run->n_passes - run->n_forward);
        if (keep.peak > before)
            m->pass_tokens = run->passes[i].tokens;
    }
    if (s == OK)
        s = optim_step(genllava_params(g), cfg, 0, 1, 0, &done);
    if (s == OK)
        s = genllava_updated(g);
    tape_free(&t);
    m->keep = keep.peak;
    m->scratch = scratch.peak;
    return s;
}

static Status count_parameters(MemoryPlan *m, GenLlava *g)
{
    const Params *p = genllava_params(g);
    ParamBytes bytes = params_bytes(p);
    for (int i = 0; i < N_PARTS; i++)
        TRY(part_count(&PARTS[i], g, &m->parameters[i]));
    for (int i = 0; i < p->n; i++) {
        m->trainable_parameters += p->list[i]->trainable ? p->list[i]->t.n_elems : 0;
        m->trainable_tensors += p->list[i]->trainable;
    }
    m->tensors = p->n;
    m->weights = bytes.frozen;
    m->mapped = bytes.mapped;
    m->pages = bytes.pages;
    m->trainable = bytes.masters + bytes.gradients;
    m->optimizer = bytes.moments;
    return OK;
}

/* What stays untouched of a table of embeddings that lies in a file: a run reads the pages of its tokens' rows. Rows that are drawn like
 * the table's, or scaled like them, ask for all of it. */
static int64_t unread_bytes(const GenLlava *g, const RunConfig *cfg, const MemoryRun *run)
{
    const Param *table = genllava_table(g);
    if (!table || !table->mapped || cfg->model.tokens.renorm || (!run->resumed && !cfg->model.tokens.init && genllava_count(g, "tokens")))
        return 0;
    int64_t all = table->t.n_elems * (int64_t)dtype_size(table->t.type), row = all / table->t.shape[0], page = sysconf(_SC_PAGESIZE);
    int64_t read = run->tokens * (row > page ? row : page);
    return read < all ? all - read : 0;
}

/* ---------------------------------------------------------------- the rest of the process */

/* A shard's arrays lie in memory while it is open: ids and masks, and some bytes a sample, a reference and a picture (data/shards/shard.h).
 */
static int64_t shard_bytes(const RecordIndex *x)
{
    enum { TOKEN = sizeof(int32_t) + 1, SAMPLE = 60, REFERENCE = 13, PICTURE = 58 };
    int64_t n = PICTURE * x->n_images;
    for (int64_t i = 0; i < x->n; i++)
        n += SAMPLE + REFERENCE * x->rows[i].images + TOKEN * ((int64_t)x->rows[i].expanded - x->rows[i].images * (x->patches - 1));
    return n;
}

/* Pictures of the largest pass, and with decoding threads those of the step that is read ahead: of a sample one that the tower sees, and in
 * a run with targets one of them. Of pictures that are cached the moments. */
static int64_t picture_bytes(const RunConfig *cfg, const ModelSizes *sizes, const PassShape *passes, int n)
{
    const bool cached = plan_caches(cfg, CACHE_LATENTS);
    int64_t most = 0, cores = sysconf(_SC_NPROCESSORS_ONLN), seen = (int64_t)sizes->image_height * sizes->image_width * 3, drawn = 0;
    for (int i = 0; i < n; i++) {
        const int64_t side = passes[i].target_size, targets = (int64_t)passes[i].target_pictures + passes[i].source_pictures;
        const int64_t each = cached ? sizes->moments * (int64_t)sizeof(float) : side * side * 3;
        const int64_t bytes = passes[i].images * seen + targets * each;
        drawn = targets && !cached ? each : drawn;
        most = bytes > most ? bytes : most;
    }
    const bool ahead = cfg->data.workers > 0 || (cfg->data.workers < 0 && cores > 2);
    const int64_t waiting = 2 * cfg->train.batch * (seen + drawn);
    return most + (!ahead ? seen + drawn : waiting < PIXELS_AHEAD_BYTES ? waiting : PIXELS_AHEAD_BYTES);
}

/* What the noise loss takes on the host for pictures that are together in the UNet: the moments of their latents, and of their sources; and
 * to make them, of one picture at a time, its pixels in f32 and in the device's type. */
static int64_t encoding_bytes(const RunConfig *cfg, DType compute, const ModelSizes *sizes, const PassShape *passes, int n)
{
    const int64_t number = (int64_t)sizeof(float),
                  pixel = plan_caches(cfg, CACHE_LATENTS) ? 0 : 3 * (number + (int64_t)dtype_size(compute));
    int64_t most = 0;
    if (!plan_predicts_noise(cfg))
        return 0;
    for (int i = 0; i < n; i++) {
        const int64_t targets = passes[i].target_pictures, side = passes[i].target_size;
        const int64_t together = targets < cfg->train.micro_images ? targets : cfg->train.micro_images;
        const int64_t moments = together * (1 + (passes[i].source_pictures > 0)) * sizes->moments * number;
        const int64_t bytes = targets ? moments + side * side * pixel : 0;
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* What the text encoder makes of the prompts of the largest pass, f32, on its way to the losses that compare with it: beside it, of one
 * prompt, what it was in the encoder's type; or what the loader has read of all of them. */
static int64_t prompt_bytes(const RunConfig *cfg, DType compute, const ModelSizes *sizes, const PassShape *passes, int n)
{
    const int64_t states = (int64_t)sizes->queries * sizes->context, number = (int64_t)sizeof(float);
    int64_t most = 0;
    for (int i = 0; i < n; i++) {
        const int64_t generate = cfg->loss.generate == IMAGE_LOSS_NOISE ? 0 : passes[i].generate;
        const int64_t edit = cfg->loss.edit == IMAGE_LOSS_NOISE ? 0 : passes[i].edit;
        most = generate + edit > most ? generate + edit : most;
    }
    if (plan_caches(cfg, CACHE_CLIP_TEXT))
        return 2 * most * states * number;
    return most * states * number + (most && compute != F32 ? states * (int64_t)dtype_size(compute) : 0);
}

/* What tensors take besides their numbers: in the model and on the tape; and one that is trained in a checkpoint, whose header and the tree
 * that it is made from describe its weights, two moments and updates. With what a checkpoint's files are written through. */
static int64_t tensor_bytes(const MemoryPlan *m)
{
    const int64_t buffer = 1 << 20, held = 1200, saved = 5200;
    return held * m->tensors + saved * m->trainable_tensors + (m->optimizer < buffer ? m->optimizer : buffer);
}

/* What the process has now and what it will touch besides the model. */
static int64_t process_bytes(const MemoryPlan *m, const Footprint *now, const MemoryRun *run)
{
    /* Measured on runs of every kind and size with 1, 2 and 4 threads (they differ by less than 0.4 MB): code and tables of operators and
     * the allocator; code that decodes pictures; what preparing the data leaves in the allocator. */
    const int64_t later = 680000, decoding = 470000, prepared = 150000;
    int64_t bytes = now->resident + now->thread_pages + later + tensor_bytes(m);
    bool pictures = false;
    for (int i = 0; i < run->n_passes; i++)
        pictures |= run->passes[i].images > 0 || run->passes[i].target_pictures > 0;
    for (int i = 0; i < 2; i++)
        bytes += run->planned[i] ? prepared + shard_bytes(run->planned[i]) : 0;
    return bytes + (pictures ? decoding : 0);
}

static void add_up(MemoryPlan *m)
{
    m->total = m->weights + m->trainable + m->optimizer + m->activations + m->workspace;
    m->needed = m->total - m->mapped;
}

/* Either is over when the other begins. */
static Status add_suite(const RunSuite *suite, GenLlava *g, Backend *null, int64_t *n_bytes, int64_t *host)
{
    int64_t own = 0, own_host = 0;
    TRY(suite->kind->memory(suite->of, g, null, &own, &own_host));
    *n_bytes = own > *n_bytes ? own : *n_bytes;
    *host = own_host > *host ? own_host : *host;
    return OK;
}

Status memory_walk(MemoryPlan *m, Backend *null, const RunConfig *cfg, DType compute, const MemoryRun *run, void (*opened)(void *arg),
                   void *arg)
{
    GenLlava *g;
    Footprint before, after;
    *m = (MemoryPlan){0};
    room_footprint(&before);
    TRY(genllava_open(&g, null, compute, cfg, NULL));
    room_footprint(&after);
    m->files = after.addresses - before.addresses;
    Status s = count_parameters(m, g);
    m->pages -= unread_bytes(g, cfg, run);
    m->sizes = *genllava_model_sizes(g);
    if (opened)
        opened(arg);
    int64_t answering = 0, passing = params_bytes(genllava_params(g)).passing;
    if (s == OK)
        s = run_step(m, null, g, cfg, compute, run);
    if (s == OK && run->samples)
        s = samples_memory(run->samples, g, cfg, null, &answering, &m->sampling);
    if (s == OK && run->suite && run->suite->of)
        s = add_suite(run->suite, g, null, &answering, &m->sampling);
    genllava_close(&g);
    m->activations = (int64_t)m->keep;
    m->workspace = (int64_t)m->scratch + answering;
    if (passing > m->activations + m->workspace) /* over before either is used */
        m->workspace = passing - m->activations;
    add_up(m);
    return s;
}

/* What lies beside weights that are copied: ends of pages, and pages of the files that came back with others. Measured: 0.3 to 1.2 MB where
 * 32 MB are copied. */
static int64_t beside_copies(const MemoryPlan *m)
{
    const int64_t most = 1000000, part = (m->weights - m->mapped) / 64;
    return part < most ? part : most;
}

/* process: bytes of the host besides the model; own: what the operators work in where the backend is the host's; sums: where it is a
 * device's. */
static Status place(MemoryPlan *m, Backend *backend, int64_t process, int64_t own, int64_t sums)
{
    DeviceMemory device;
    m->on_device = backend->memory != NULL;
    if (!m->on_device) {
        m->weights += m->pages - m->mapped + beside_copies(m);
        m->mapped = m->pages;
        m->workspace += process + own;
        add_up(m);
        m->host = m->needed;
        return OK;
    }
    TRY(backend->memory(backend, &device));
    m->workspace += (int64_t)device.own + sums;
    m->mapped = 0;
    add_up(m);
    m->available = (int64_t)device.available + sums;
    m->host = process + (int64_t)device.host;
    return OK;
}

Status memory_measure(MemoryPlan *m, const RunConfig *cfg, Backend *device, DType compute, const MemoryRun *run)
{
    Backend null;
    Footprint now; /* measuring takes memory itself */
    room_footprint(&now);
    TRY(device->measure ? device->measure(device, &null) : null_open(&null));
    null.host_memory = device->host_memory;
    null.joins = device->joins;
    null.tile_bytes = device->tile_bytes;
    Status s = memory_walk(m, &null, cfg, compute, run, NULL, NULL);
    DeviceMemory operators = {0};
    if (!s && null.memory)
        s = null.memory(&null, &operators);
    null.close(&null);
    TRY(s);
    m->held = now.resident;
    m->stacks = now.thread_addresses;
    int64_t host = picture_bytes(cfg, &m->sizes, run->passes, run->n_passes) +
                   encoding_bytes(cfg, compute, &m->sizes, run->passes, run->n_passes) +
                   prompt_bytes(cfg, compute, &m->sizes, run->passes, run->n_passes) + m->sampling;
    return place(m, device, process_bytes(m, &now, run) + host, (int64_t)operators.own, run->sums);
}

/* ---------------------------------------------------------------- what is said */

/* "weights 1.2 GiB, …" */
static const char *describe(const MemoryPlan *m, char out[256])
{
    char text[5][32];
    const int64_t values[] = {m->weights, m->trainable, m->optimizer, m->activations, m->workspace};
    for (int i = 0; i < 5; i++)
        file_size_text(text[i], sizeof text[i], (size_t)values[i]);
    snprintf(out, 256, "weights %s, trainable %s, moments %s, activations %s, workspace %s", text[0], text[1], text[2], text[3], text[4]);
    return out;
}

void memory_say(const MemoryPlan *m)
{
    char plan[256], text[5][32];
    Room host;
    room_of_machine(&host, "");
    const int64_t values[] = {m->needed, m->mapped, m->available, m->host, host.bytes};
    for (int i = 0; i < 5; i++)
        file_size_text(text[i], sizeof text[i], (size_t)values[i]);
    if (m->on_device)
        log_info("memory of the device: needs %s (%s), %s are free; of the host: needs %s, %s are free", text[0], describe(m, plan),
                 text[2], text[3], text[4]);
    else
        log_info("memory: needs %s, and %s of weights stay in their files (%s); %s are free", text[0], text[1], describe(m, plan), text[4]);
}

/* What to change where `most` bytes are to be had. */
static const char *advise(const MemoryPlan *m, const RunConfig *cfg, int64_t most, char out[320])
{
    char held[32];
    int64_t fixed = m->needed - m->activations - m->workspace;
    bool device = m->on_device;
    file_size_text(held, sizeof held, (size_t)fixed);
    if (fixed > most)
        snprintf(out, 320,
                 "%s of it are weights and their moments, which no shorter pass makes smaller: train fewer parts, lower "
                 "model.lora.r, or use a larger %s",
                 held, device ? "device" : "machine");
    else
        snprintf(out, 320, "lower train.micro_tokens (it is %lld)%s", (long long)cfg->train.micro_tokens,
                 cfg->train.recompute == CONFIG_RECOMPUTE_BLOCK ? "" : ", or set train.recompute to \"block\"");
    return out;
}

static Status check_device(const MemoryPlan *m, const RunConfig *cfg)
{
    char plan[256], needs[32], have[32], change[320];
    if (m->total <= m->available)
        return OK;
    file_size_text(needs, sizeof needs, (size_t)m->total);
    file_size_text(have, sizeof have, (size_t)m->available);
    if (cfg->train.memory == MEMORY_IGNORE) {
        log_warn("the run needs %s of the device's memory (%s), %s are free; train.memory is \"ignore\"", needs, describe(m, plan), have);
        return OK;
    }
    return fail(ERR_NOMEM, "the run needs %s of the device's memory (%s), %s are free: %s; nvidia-smi lists what else uses the device",
                needs, describe(m, plan), have, advise(m, cfg, m->available, change));
}

Status memory_check(const MemoryPlan *m, const RunConfig *cfg, int processes)
{
    char plan[256] = "pictures, data and the rest of the process", change[320] = "lower train.batch or data.workers";
    if (m->on_device)
        TRY(check_device(m, cfg));
    else {
        describe(m, plan);
        advise(m, cfg, room_least(processes), change);
    }
    const RoomNeed need = {.who = "the run",
                           .plan = plan,
                           .change = change,
                           .needed = m->host - m->held,
                           .mapped = m->on_device ? 0 : m->mapped,
                           .files = m->files,
                           .stacks = m->stacks,
                           .processes = processes,
                           .ignore = cfg->train.memory == MEMORY_IGNORE};
    return room_check(&need);
}
