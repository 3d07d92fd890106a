/* run_cache.c: makes the cached results of a run with the model's own code (run_cache.h). Called by setup.c and prepare. */
#include "train/cache/run_cache.h"

#include <inttypes.h>
#include <stdio.h>

#include "data/formats/file.h"
#include "data/formats/lock.h"
#include "data/loader/cache_make.h"
#include "data/shards/shard_set.h"
#include "kernels/base/log.h"
#include "train/config/plan.h"
#include "train/dist/room.h"
#include "train/models/genllava.h"
#include "train/models/parts.h"

enum { AT_ONCE = 8 }; /* pictures that are decoded, or prompts that are read, together; each is computed by itself */

static const char *thing(CacheKind kind) { return kind == CACHE_LATENTS ? "pictures" : "prompts"; }

/* ---------------------------------------------------------------- the network that computes results */

typedef struct Network {
    const RunCache *c;
    CacheKind kind;
    Backend *backend;
    Arena keep, scratch;
    GenLlava *model; /* NULL: not open */
    Tape *tape;
} Network;

static Status open_network(Network *n)
{
    const RunConfig *cfg = n->c->cfg;
    n->backend->ctx.scratch = &n->scratch;
    TRY(genllava_open_part(&n->model, n->backend, n->c->compute, cfg, cache_part(n->kind)));
    return tape_create(&n->tape, &(TapeOptions){.backend = n->backend,
                                               .keep = &n->keep,
                                               .scratch = &n->scratch,
                                               .compute = n->c->compute,
                                               .seed = (uint64_t)cfg->seed,
                                               .winograd = cfg->train.winograd});
}

static void close_network(Network *n)
{
    tape_free(&n->tape);
    genllava_close(&n->model);
    device_arena_free(&n->keep, n->backend);
    device_arena_free(&n->scratch, n->backend);
    n->backend->ctx.scratch = NULL;
}

/* One result, of pixels or of a prompt. */
static Status run_network(Network *n, const uint8_t *pixels, const char *prompt, float *result)
{
    tape_reset(n->tape, 0);
    return n->kind == CACHE_LATENTS ? genllava_moments(n->tape, n->model, pixels, n->c->cfg->model.diffusion.size, result)
                                    : genllava_prompt_states(n->tape, n->model, prompt, result);
}

/* ---------------------------------------------------------------- what it takes */

/* Pictures in bytes, those that are decoded ahead, one in f32 and in the type computed in; results. */
static int64_t host_bytes(const RunCache *c, CacheKind kind)
{
    const int64_t side = c->cfg->model.diffusion.size, square = kind == CACHE_LATENTS ? 3 * side * side : 0;
    const int64_t type = (int64_t)dtype_size(c->compute), number = (int64_t)sizeof(float);
    return 3 * AT_ONCE * square + square * (number + type) + c->spec[kind].n_elems * (AT_ONCE * number + type);
}

/* What the operators work in counts on the host alone: a device keeps that for the run itself. */
static Status measure(RunCache *c, CacheKind kind, Backend *backend)
{
    Backend null;
    Footprint process;
    DeviceMemory operators = {0};
    Network n = {.c = c, .kind = kind, .backend = &null};
    room_footprint(&process);
    TRY(backend->host_memory && backend->measure ? backend->measure(backend, &null) : null_open(&null));
    null.host_memory = true;
    arena_measure(&n.keep);
    arena_measure(&n.scratch);
    Status s = open_network(&n);
    if (!s)
        s = run_network(&n, NULL, NULL, NULL);
    if (!s && null.memory)
        s = null.memory(&null, &operators);
    if (!s) {
        const ParamBytes bytes = params_bytes(genllava_params(n.model));
        const int64_t threads = backend->host_memory ? process.thread_pages : 0;
        c->cost[kind] = (CacheCost){.keep = n.keep.peak,
                                    .scratch = n.scratch.peak,
                                    .weights = bytes.frozen,
                                    .mapped = bytes.mapped,
                                    .host = host_bytes(c, kind) + threads + (int64_t)operators.own};
    }
    close_network(&n);
    null.close(&null);
    return s;
}

/* Bytes that the system cannot drop, on the device and on the host. */
static void needs(const RunCache *c, CacheKind kind, const Backend *b, int64_t *device, int64_t *host)
{
    const CacheCost *cost = &c->cost[kind];
    const int64_t arenas = (int64_t)cost->keep + (int64_t)cost->scratch;
    *device = b->host_memory ? 0 : cost->weights + arenas;
    *host = cost->host + (b->host_memory ? cost->weights - cost->mapped + arenas : 0);
}

static Status check_room(const RunCache *c, CacheKind kind, Backend *b)
{
    static const char PLAN[] = "its network, pictures and results", CHANGE[] = "use a larger machine, or prepare there";
    char who[64], text[2][32];
    int64_t device, host;
    needs(c, kind, b, &device, &host);
    snprintf(who, sizeof who, "making the cache of %s", CACHE_NAMES[kind]);
    const bool ignore = c->cfg->train.memory == MEMORY_IGNORE;
    DeviceMemory memory;
    if (b->memory && !ignore) {
        TRY(b->memory(b, &memory));
        if (device > (int64_t)memory.available)
            return fail(ERR_NOMEM, "%s needs %s of the device's memory, %s are free: %s", who,
                        file_size_text(text[0], sizeof text[0], (size_t)device),
                        file_size_text(text[1], sizeof text[1], (size_t)memory.available), CHANGE);
    }
    return room_check(&(RoomNeed){.needed = host, .mapped = c->cost[kind].mapped, .files = c->cost[kind].mapped, .processes = 1,
                                  .who = who, .plan = PLAN, .change = CHANGE, .ignore = ignore});
}

/* ---------------------------------------------------------------- of a run */

static Status identify(RunCache *c, CacheKind kind, Backend *backend)
{
    char folder[PATH_MAX];
    c->spec[kind].n_elems = kind == CACHE_LATENTS ? c->sizes.moments : (int64_t)c->sizes.queries * c->sizes.context;
    c->spec[kind].type = c->compute;
    TRY(cache_key(c, kind));
    if (!c->bare[kind] || c->cfg->plan_only)
        return measure(c, kind, backend);
    if (*c->spec[kind].key)
        return OK;
    return fail(ERR_MISSING, "data.cache: %s holds no weights (%s.safetensors), and %s no %s made with these settings",
                part_folder(part_find(cache_part(kind)), c->cfg, folder), part_stem(part_find(cache_part(kind))), c->folder,
                CACHE_NAMES[kind]);
}

void run_cache_say_idle(const RunConfig *cfg)
{
    for (int i = 0; i < cfg->data.cache.n; i++)
        for (CacheKind k = 0; k < N_CACHES; k++)
            if (!strcmp(cfg->data.cache.items[i], CACHE_NAMES[k]) && !plan_caches(cfg, k))
                log_warn("data.cache: \"%s\" is of no use here, for no loss of the run reads them", CACHE_NAMES[k]);
}

Status run_cache_identify(RunCache *c, const RunConfig *cfg, const ModelSizes *sizes, Backend *backend, DType compute, const char *folder)
{
    *c = (RunCache){.cfg = cfg, .sizes = *sizes, .compute = compute, .folder = folder};
    for (CacheKind k = 0; k < N_CACHES; k++) {
        c->wanted[k] = plan_caches(cfg, k);
        if (c->wanted[k])
            TRY(identify(c, k, backend));
    }
    return OK;
}

void run_cache_free(RunCache *c)
{
    for (CacheKind k = 0; k < N_CACHES; k++)
        mem_free(c->made_from[k]);
    *c = (RunCache){0};
}

/* ---------------------------------------------------------------- making */

/* The samples of which results are kept. */
typedef struct Samples {
    ShardSet set;
    Prompts prompts;
} Samples;

static void close_samples(Samples *s)
{
    prompts_free(&s->prompts);
    shards_close(&s->set);
}

static Status open_samples(Samples *s, const RunCache *c, const LoaderOptions *o)
{
    *s = (Samples){0};
    TRY(shards_open(&s->set, o->shards, o->first_visual_id, o->n_ids));
    Status r = c->wanted[CACHE_CLIP_TEXT] ? prompts_read(&s->prompts, &s->set) : OK;
    if (r)
        close_samples(s);
    return r;
}

static CacheMaker maker(const RunCache *c, CacheKind kind, const LoaderOptions *o)
{
    return (CacheMaker){.kind = kind,
                        .spec = c->spec[kind],
                        .wants = loader_wants(o, kind),
                        .folder = o->shards,
                        .size = o->target_size,
                        .max_pixels = o->max_pixels,
                        .workers = o->workers,
                        .at_once = AT_ONCE};
}

/* The network is opened when something is to be computed, and not before. */
static Status compute(void *arg, const uint8_t *pixels, const char *const *prompts, int64_t items, float *results)
{
    Network *n = arg;
    if (!n->model) {
        TRY(device_arena_create(&n->keep, n->backend, n->c->cost[n->kind].keep));
        TRY(device_arena_create(&n->scratch, n->backend, n->c->cost[n->kind].scratch));
        TRY(open_network(n));
    }
    const size_t side = n->kind == CACHE_LATENTS ? (size_t)n->c->cfg->model.diffusion.size : 0;
    for (int64_t i = 0; i < items; i++)
        TRY(run_network(n, pixels + 3 * (size_t)i * side * side, prompts[i], results + i * n->c->spec[n->kind].n_elems));
    return OK;
}

/* With the folder locked. */
static Status make_kind(const RunCache *c, CacheKind kind, Backend *backend, const LoaderOptions *o, const Samples *s, bool verify)
{
    Network n = {.c = c, .kind = kind, .backend = backend};
    CacheMaker m = maker(c, kind, o);
    CacheMade made;
    m.verify = verify;
    m.compute = compute;
    m.arg = &n;
    TRY(cache_key_save(c, kind));
    Status r = cache_make(&m, &s->set, &s->prompts, &made);
    close_network(&n);
    TRY(r);
    mem_trim();
    if (made.new_files)
        log_info("data.cache: %s of %" PRId64 " %s made, %" PRId64 " in all", CACHE_NAMES[kind], made.new_ones, thing(kind), made.results);
    return OK;
}

static Status make_locked(const RunCache *c, CacheKind kind, Backend *backend, const LoaderOptions *o, const Samples *s, bool verify)
{
    Lock lock;
    char folder[PATH_MAX];
    if (c->bare[kind])
        return fail(ERR_MISSING, "data.cache: %s are to be made, but %s holds no weights (%s.safetensors)", CACHE_NAMES[kind],
                    part_folder(part_find(cache_part(kind)), c->cfg, folder), part_stem(part_find(cache_part(kind))));
    TRY(check_room(c, kind, backend));
    TRY(lock_take(&lock, o->shards, "prepared", true));
    Status r = make_kind(c, kind, backend, o, s, verify);
    lock_release(&lock);
    return r;
}

Status run_cache_make(const RunCache *c, Backend *backend, const LoaderOptions *o, bool verify)
{
    Samples s;
    Status r = OK;
    if (!c->wanted[CACHE_LATENTS] && !c->wanted[CACHE_CLIP_TEXT])
        return OK;
    TRY(open_samples(&s, c, o));
    for (CacheKind k = 0; k < N_CACHES && !r; k++) {
        CacheMaker m = maker(c, k, o);
        CacheMade made = {0};
        m.verify = verify;
        if (c->wanted[k])
            r = cache_make(&m, &s.set, &s.prompts, &made);
        if (!r && made.new_files)
            r = make_locked(c, k, backend, o, &s, verify);
    }
    close_samples(&s);
    return r;
}

static Status tell(const RunCache *c, CacheKind kind, Backend *backend, const CacheMade *made, bool ready)
{
    char device[32], host[32], count[64] = "";
    int64_t on_device, on_host;
    needs(c, kind, backend, &on_device, &on_host);
    file_size_text(device, sizeof device, (size_t)on_device);
    file_size_text(host, sizeof host, (size_t)on_host);
    if (ready)
        snprintf(count, sizeof count, " of %" PRId64 " %s", made->new_ones, thing(kind));
    log_info("data.cache: %s%s will be made before the run begins, which needs %s of memory%s%s", CACHE_NAMES[kind], count, host,
             on_device ? " and of the device's " : "", on_device ? device : "");
    return check_room(c, kind, backend);
}

Status run_cache_tell(const RunCache *c, Backend *backend, const LoaderOptions *o, bool ready)
{
    Samples s;
    Status r = OK;
    if (!c->wanted[CACHE_LATENTS] && !c->wanted[CACHE_CLIP_TEXT])
        return OK;
    if (ready)
        TRY(open_samples(&s, c, o));
    for (CacheKind k = 0; k < N_CACHES && !r; k++) {
        const CacheMaker m = maker(c, k, o);
        CacheMade made = {.new_files = 1};
        if (c->wanted[k] && ready)
            r = cache_make(&m, &s.set, &s.prompts, &made);
        if (!r && c->wanted[k] && made.new_files)
            r = tell(c, k, backend, &made, ready);
    }
    if (ready)
        close_samples(&s);
    return r;
}
