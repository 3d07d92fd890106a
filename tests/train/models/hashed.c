/* hashed.c: weights drawn by their names (hashed.h). Called by the tests of networks that have fixtures. */
#include "tests/train/models/hashed.h"

#include <math.h>
#include <stdio.h>

#include "data/formats/file.h"
#include "tests/harness.h"
#include "tests/train/models/tiny.h"

uint64_t hashed(const char *name, uint64_t i)
{
    uint64_t h = 0xCBF29CE484222325u; /* FNV-1a */
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001B3u;
    h += i + 0x9E3779B97F4A7C15u; /* the finaliser of SplitMix64 */
    h = (h ^ h >> 30) * 0xBF58476D1CE4E5B9u;
    h = (h ^ h >> 27) * 0x94D049BB133111EBu;
    return h ^ h >> 31;
}

float hashed_uniform(const char *name, uint64_t i) { return (float)((double)(hashed(name, i) >> 40) / (1 << 23) - 1); }

void hashed_open(HashedModel *m, Status (*open)(Backend *), DType compute)
{
    enum { MEMORY = 256 << 20 };
    *m = (HashedModel){0};
    REQUIRE_OK(open(&m->backend));
    REQUIRE_OK(arena_create(&m->keep, MEMORY));
    REQUIRE_OK(arena_create(&m->scratch, MEMORY));
    REQUIRE_OK(arena_create(&m->kernel, MEMORY));
    m->backend.ctx.scratch = &m->kernel;
    params_init(&m->g.params, &m->backend, compute);
    REQUIRE_OK(tape_create(&m->tape, &(TapeOptions){.backend = &m->backend, .keep = &m->keep, .scratch = &m->scratch, .compute = compute,
                                                    .recompute = RECOMPUTE_SELECTIVE, .seed = 42}));
}

void hashed_close(HashedModel *m)
{
    params_destroy(&m->g.params);
    parts_free(&m->g);
    tape_free(&m->tape);
    arena_free(&m->keep);
    arena_free(&m->scratch);
    arena_free(&m->kernel);
    m->backend.close(&m->backend);
}

char *hashed_path(const char *name)
{
    static char path[4][PATH_MAX];
    static int next;
    next = (next + 1) % 4;
    return file_join(path[next], test_dir(), name);
}

const RunConfig *hashed_run(void)
{
    static RunConfig cfg;
    static char folder[PATH_MAX];
    cfg = (RunConfig){.seed = 42};
    snprintf(folder, sizeof folder, "%s", test_dir());
    cfg.model.diffusion.path = folder;
    return &cfg;
}

Status hashed_configure(HashedModel *m, const char *part, const char *config)
{
    tiny_write(hashed_path(part_find(part)->subfolder), "config.json", config);
    m->g.params.group = (ParamGroup){.part = part};
    return part_find(part)->configure(&m->g, hashed_run());
}

void hashed_declare(HashedModel *m, const char *part, const char *config)
{
    REQUIRE_OK(hashed_configure(m, part, config));
    REQUIRE_OK(part_find(part)->declare(&m->g, hashed_run()));
    REQUIRE_OK(params_create(&m->g.params));
}

/* ±2/sqrt(fan_in), biases ±0.25, weights of norms 1 ± 0.25 */
static float weight(const Param *q, const char *name, int64_t i)
{
    float u = hashed_uniform(name, (uint64_t)i);
    if (q->t.n_dims > 1)
        return (float)(u * (2 / sqrt((double)param_row(q))));
    return u * 0.25f + (strstr(name, "norm") && strstr(name, "weight") ? 1 : 0);
}

static void write_weight(StWriter *w, const Param *q, const char *name)
{
    float *values = mem_alloc((size_t)q->t.n_elems * sizeof *values);
    REQUIRE(values);
    for (int64_t i = 0; i < q->t.n_elems; i++)
        values[i] = weight(q, name, i);
    REQUIRE_OK(stwriter_write(w, values, (size_t)q->t.n_elems * sizeof *values));
    mem_free(values);
}

void hashed_save(const char *path, const Params *p, const char *part, const char *prefix, HashedName rename)
{
    StSpec *specs = mem_alloc((size_t)p->n * sizeof *specs);
    char(*names)[WEIGHT_NAME_MAX] = mem_alloc((size_t)p->n * sizeof *names);
    const Param **of = mem_alloc((size_t)p->n * sizeof *of);
    int n = 0;
    REQUIRE(specs && names && of);
    for (int i = 0; i < p->n; i++) {
        const Param *q = p->list[i];
        bool conv = false;
        const char *name = q->name + strlen(prefix);
        if (part && !params_of(q, part))
            continue;
        REQUIRE(!strncmp(q->name, prefix, strlen(prefix)));
        name = rename ? rename(name, names[n], &conv) : name;
        if (!name)
            continue;
        specs[n] = (StSpec){.name = name, .type = F32, .n_dims = q->t.n_dims + (conv ? 2 : 0)};
        for (int k = 0; k < specs[n].n_dims; k++)
            specs[n].shape[k] = k < q->t.n_dims ? q->shape[k] : 1;
        of[n++] = q;
    }
    StWriter *w;
    REQUIRE_OK(stwriter_open(&w, path, specs, n));
    for (int i = 0; i < n; i++)
        write_weight(w, of[i], of[i]->name + strlen(prefix));
    REQUIRE_OK(stwriter_close(&w));
    mem_free(specs);
    mem_free(names);
    mem_free(of);
}

const void *hashed_expected(const SafeTensors *st, const char *name, int64_t n)
{
    const StTensor *t = safetensors_find(st, name);
    REQUIRE(t && (t->type == F32 || t->type == I32) && t->n_bytes == (size_t)n * sizeof(float));
    return t->data;
}

void hashed_check(const SafeTensors *st, const char *name, const Tensor *found, double most)
{
    REQUIRE(found);
    const float *wanted = hashed_expected(st, name, found->n_elems);
    double worst = 0, largest = 0;
    for (int64_t i = 0; i < found->n_elems; i++) {
        double v, w;
        float expected;
        dtype_convert(&v, F64, (const char *)found->data + (size_t)i * dtype_size(found->type), found->type, 1);
        memcpy(&expected, (const char *)wanted + (size_t)i * sizeof expected, sizeof expected);
        w = expected;
        worst = fabs(v - w) > worst || v != v ? fabs(v - w) : worst;
        largest = fabs(w) > largest ? fabs(w) : largest;
    }
    CHECK_MSG(worst <= most * largest, "%s is off by %.3g, its largest is %.3g", name, worst, largest);
}
