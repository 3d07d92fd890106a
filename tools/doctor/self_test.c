/* self_test.c: the little base model of configs/ with random weights, forward, backward and update, on one backend after the other
 * (self_test.h). */
#include "tools/doctor/self_test.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "tools/bench/bench_step.h"

/* ---------------------------------------------------------------- the model
 * X(symbol, path): what says its shape, carried in the program. A run without files of its own. */
#define FOLDER_LIST(X)                                                      \
    X(llm, "llm/config.json")                                               \
    X(vision, "vision/config.json")                                         \
    X(preprocessor, "vision/preprocessor_config.json")                      \
    X(text_encoder, "diffusion/text_encoder/config.json")                   \
    X(unet, "diffusion/unet/config.json")                                   \
    X(vae, "diffusion/vae/config.json")                                     \
    X(scheduler, "diffusion/scheduler/scheduler_config.json")

#define TAKE_IN(symbol, path)                                                                          \
    __asm__(".section .rodata\n"                                                                       \
            "self_test_" #symbol ":\n.incbin \"configs/base/" path "\"\n"                              \
            "self_test_end_" #symbol ":\n.byte 0\n.previous\n");                                       \
    extern const char self_test_##symbol[] __attribute__((visibility("hidden")));                      \
    extern const char self_test_end_##symbol[] __attribute__((visibility("hidden")));
FOLDER_LIST(TAKE_IN)

static const struct {
    const char *path, *text, *end;
} FILES[] = {
#define ROW(symbol, path) {path, self_test_##symbol, self_test_end_##symbol},
    FOLDER_LIST(ROW)
#undef ROW
};
enum { N_FILES = sizeof FILES / sizeof *FILES };

static const char RUN[] = "{\"name\":\"doctor\",\"model\":{\"llm\":{\"path\":\"llm\",\"init\":\"random\"},"
                          "\"vision\":{\"path\":\"vision\",\"init\":\"random\"},\"lora\":{\"r\":8,\"alpha\":16,\"dropout\":0},"
                          "\"gen_head\":{\"width\":64,\"heads\":4,\"ff\":128,\"encoder_layers\":1,\"decoder_layers\":1,\"queries\":16},"
                          "\"diffusion\":{\"path\":\"diffusion\",\"edit\":\"ip2p\",\"size\":32}},"
                          "\"loss\":{\"generate\":\"noise\",\"edit\":\"noise\"},"
                          "\"data\":{\"mixture\":[{\"files\":[\"none.json\"],\"task\":\"understand\"}]}}";

static Status write_folder(const char *folder)
{
    char path[PATH_MAX], parent[PATH_MAX];
    for (int i = 0; i < N_FILES; i++) {
        file_join(path, folder, FILES[i].path);
        snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(path, '/') - path), path);
        TRY(file_make_folders(parent));
        TRY(file_write(path, FILES[i].text, (size_t)(FILES[i].end - FILES[i].text)));
    }
    return file_write(file_join(path, folder, "run.json"), RUN, sizeof RUN - 1);
}

/* ---------------------------------------------------------------- a step */

enum { TOKENS = 192, SEGMENT = 64, LABELS = 8 }; /* three samples: a question about a picture, a picture to draw, one to change */

/* A parameter that is trained. */
typedef struct Piece {
    int64_t at, n;
} Piece;

typedef struct Outcome {
    double loss, seconds;
    float *grad;   /* [n_grad], of all that is trained */
    Piece *pieces; /* [n_pieces] of it */
    int64_t n_grad;
    int n_pieces;
} Outcome;

static void free_outcome(Outcome *o)
{
    mem_free(o->grad);
    mem_free(o->pieces);
    *o = (Outcome){0};
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static Status keep_gradients(Outcome *o, Backend *b, const Params *p)
{
    o->n_grad = p->n_flat;
    o->grad = mem_alloc((size_t)p->n_flat * sizeof *o->grad);
    o->pieces = mem_alloc((size_t)p->n * sizeof *o->pieces);
    if (!o->grad || !o->pieces)
        return fail(ERR_NOMEM, "the gradients of a step: out of memory");
    for (int i = 0; i < p->n; i++)
        if (p->list[i]->trainable)
            o->pieces[o->n_pieces++] = (Piece){p->list[i]->flat, p->list[i]->t.n_elems};
    return b->download(b, o->grad, p->flat_grad, (size_t)p->n_flat * sizeof *o->grad);
}

static Status take_step(Outcome *o, BenchStep *step, Backend *b, const RunConfig *cfg, DType compute)
{
    PassShape shape;
    TRY(bench_step_shape(&shape, cfg, TOKENS, SEGMENT, LABELS));
    TRY(bench_step_open(step, b, cfg, compute, &shape));
    TRY(bench_step_stir(step));
    TRY(bench_step_run(step));
    o->loss = step->loss;
    return keep_gradients(o, b, genllava_params(step->model));
}

static Status open_cpu(Backend *b, int device)
{
    (void)device;
    return cpu_open(b);
}

static Status open_ref(Backend *b, int device)
{
    (void)device;
    return ref_open(b);
}

typedef Status OpenBackend(Backend *b, int device);

/* native (may be NULL): whether the backend multiplies bf16 itself. free_outcome also after an error. */
static Status run_on(Outcome *o, OpenBackend *open, const RunConfig *cfg, DType compute, bool *native)
{
    Backend b = {0};
    BenchStep step = {0};
    double began = seconds_now();
    *o = (Outcome){0};
    TRY(open(&b, 0));
    if (native)
        *native = b.native_bf16;
    Status s = take_step(o, &step, &b, cfg, compute);
    bench_step_close(&step);
    b.close(&b);
    o->seconds = seconds_now() - began;
    return s;
}

/* ---------------------------------------------------------------- comparing */

/* As the tests of whole steps allow it: in f32 each parameter's gradient, but for those that are nothing beside the whole; in bf16 the
 * whole, which may be off by twice as much as by rounding alone (ref in bf16). */
static const double LOSS_F32 = 1e-5, LOSS_BF16 = 4e-3, GRADIENT_F32 = 5e-5, NEGLIGIBLE = 1e-6;

static double norm(const float *x, const float *minus, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)x[i] - (minus ? (double)minus[i] : 0);
        sum += d * d;
    }
    return sqrt(sum);
}

static double whole_error(const Outcome *truth, const Outcome *o)
{
    return norm(o->grad, truth->grad, o->n_grad) / norm(truth->grad, NULL, o->n_grad);
}

static double worst_error(const Outcome *truth, const Outcome *o)
{
    const double whole = norm(truth->grad, NULL, truth->n_grad);
    double worst = 0;
    for (int i = 0; i < o->n_pieces; i++) {
        const Piece p = o->pieces[i];
        const double size = norm(truth->grad + p.at, NULL, p.n), error = norm(o->grad + p.at, truth->grad + p.at, p.n) / size;
        if (size > NEGLIGIBLE * whole && !(error <= worst))
            worst = error;
    }
    return worst;
}

static void compare(SelfTest *t, const Outcome *truth, const Outcome *o)
{
    t->seconds = o->seconds;
    t->loss_off = fabs(o->loss - truth->loss) / truth->loss;
    t->gradient_off = t->compute == BF16 ? whole_error(truth, o) : worst_error(truth, o);
    t->right = t->loss_off <= t->loss_allowed && t->gradient_off <= t->gradient_allowed; /* NaN is not */
}

/* ---------------------------------------------------------------- all backends */

typedef struct Truth {
    Outcome f32;
    double bf16_error; /* of the whole gradient of ref itself in bf16; 0: not known yet */
} Truth;

static Status learn_bf16(Truth *t, const RunConfig *cfg)
{
    Outcome o;
    Status s = t->bf16_error > 0 ? OK : run_on(&o, open_ref, cfg, BF16, NULL);
    if (s == OK && !(t->bf16_error > 0)) {
        t->bf16_error = whole_error(&t->f32, &o);
        free_outcome(&o);
    }
    return s;
}

static void test_type(SelfTest *t, const Truth *truth, const char *name, OpenBackend *open, const RunConfig *cfg, DType compute,
                      bool *native)
{
    Outcome o;
    *t = (SelfTest){.backend = name, .compute = compute, .loss_allowed = compute == BF16 ? LOSS_BF16 : LOSS_F32,
                    .gradient_allowed = compute == BF16 ? 2 * truth->bf16_error : GRADIENT_F32};
    if (run_on(&o, open, cfg, compute, native) == OK)
        compare(t, &truth->f32, &o);
    else
        snprintf(t->failure, sizeof t->failure, "%s", status_message());
    free_outcome(&o);
}

static Status test_backend(SelfTest out[SELF_TESTS_MOST], int *n, Truth *truth, const char *name, OpenBackend *open, const RunConfig *cfg)
{
    bool native = false;
    test_type(&out[(*n)++], truth, name, open, cfg, F32, &native);
    if (!native)
        return OK;
    TRY(learn_bf16(truth, cfg));
    test_type(&out[(*n)++], truth, name, open, cfg, BF16, NULL);
    return OK;
}

static Status test_all(SelfTest out[SELF_TESTS_MOST], int *n, OpenBackend *cuda, const char *folder)
{
    char path[PATH_MAX];
    RunConfig cfg;
    Truth truth = {0};
    TRY(write_folder(folder));
    TRY(config_load(&cfg, file_join(path, folder, "run.json"), NULL, 0));
    cfg.plan_only = true; /* folders need not have weights */
    Status s = run_on(&truth.f32, open_ref, &cfg, F32, NULL);
    if (s == OK)
        s = test_backend(out, n, &truth, "cpu", open_cpu, &cfg);
    if (s == OK && cuda)
        s = test_backend(out, n, &truth, "cuda", cuda, &cfg);
    free_outcome(&truth.f32);
    config_free(&cfg);
    return s;
}

Status self_test_run(SelfTest out[SELF_TESTS_MOST], int *n, Status (*cuda)(Backend *b, int device))
{
    char folder[PATH_MAX];
    *n = 0;
    TRY(file_make_temporary(folder, "doctor"));
    Status s = test_all(out, n, cuda, folder);
    Status removed = file_remove(folder);
    return s ? s : removed;
}
