/* parity_case.c: runs train on a case of tests/fixtures/parity and compares its dump with PyTorch's (parity_case.h). */
#include "tests/train/parity_case.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data/formats/safetensors.h"
#include "tests/harness.h"

extern char **environ;

/* Relative L2 error of a tensor, f32 against the truth in f64. For scale: PyTorch in f32 reaches 1e-7, 1e-6, 3e-6 and, with steps
 * of about 1e-3, 5e-5. */
static const double TOL_LOSS = 1e-5, TOL_LOGITS = 1e-5, TOL_GRAD = 5e-5, TOL_CHANGE = 3e-4;
/* A gradient this small beside the whole is rounding: SigLIP's k_proj.bias shifts all scores of a query alike, its gradient is 0. */
static const double NEGLIGIBLE = 1e-6;

enum { MAX_ARGS = 18, FOLDER_BYTES = 256, PATH_BYTES = 512 };

typedef struct Worst {
    double error;
    char name[256];
    int step;
} Worst;
typedef enum Kind { KIND_LOSS, KIND_LOGITS, KIND_GRAD, KIND_CHANGE, N_KINDS } Kind;
static const char *const KIND_NAME[N_KINDS] = {"losses and norms", "logits", "gradients", "change of parameters"};

static double tolerance(Kind k)
{
    const double t[N_KINDS] = {TOL_LOSS, TOL_LOGITS, TOL_GRAD, TOL_CHANGE};
    return t[k];
}

void parity_train(const Trainer *trainer, const char *config, const char *dump, const char *set)
{
    static char program[PATH_BYTES], save[PATH_BYTES], log[PATH_BYTES], ranks[16];
    snprintf(program, sizeof program, "%s/%s", test_build_dir(), trainer->program);
    if (trainer->ranks && access(program, X_OK))
        test_skip("make cuda-host builds %s", program);
    snprintf(ranks, sizeof ranks, "%d", trainer->ranks);
    setenv("GENLLAVA_NCCL", "none", 1); /* a real one would look for real devices */
    setenv("CUDA_HOST_DEVICES", trainer->ranks ? ranks : "1", 1);
    snprintf(save, sizeof save, "save.dir=%s/out-%s", test_dir(), strrchr(dump, '/') + 1);
    snprintf(log, sizeof log, "%s.log", dump);
    const char *argv[MAX_ARGS] = {program, "--config", config, "--set", save, "--dump", dump};
    int n = 7;
    if (trainer->ranks) {
        argv[n++] = "--ranks";
        argv[n++] = ranks;
    }
    const char *sets[] = {trainer->set[0], trainer->set[1], trainer->set[2], set};
    for (int i = 0; i < 4; i++)
        if (sets[i]) {
            argv[n++] = "--set";
            argv[n++] = sets[i];
        }
    if (trainer->isa)
        setenv("GENLLAVA_ISA", trainer->isa, 1);
    posix_spawn_file_actions_t to_log;
    posix_spawn_file_actions_init(&to_log);
    posix_spawn_file_actions_addopen(&to_log, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    posix_spawn_file_actions_adddup2(&to_log, 1, 2);
    pid_t pid;
    int status = 0, failed = posix_spawn(&pid, program, &to_log, NULL, (char *const *)(void *)argv, environ);
    if (!failed && waitpid(pid, &status, 0) < 0)
        failed = errno;
    posix_spawn_file_actions_destroy(&to_log);
    if (failed || status) {
        char text[2000] = "";
        FILE *f = fopen(log, "r");
        if (f) {
            text[fread(text, 1, sizeof text - 1, f)] = 0;
            fclose(f);
        }
        test_failed(__FILE__, __LINE__, "%s --config %s: %s, wait status %d:\n%s", program, config, failed ? strerror(failed) : "ran",
                    status, text);
        test_end();
    }
}

static double value(const StTensor *t, int64_t i)
{
    float x;
    memcpy(&x, (const char *)t->data + i * (int64_t)sizeof x, sizeof x);
    return (double)x;
}

static double norm(const StTensor *t, const StTensor *minus)
{
    double sum = 0;
    for (int64_t i = 0; i < t->n_elems; i++) {
        double d = value(t, i) - (minus ? value(minus, i) : 0);
        sum += d * d;
    }
    return sqrt(sum);
}

static bool same_shape(const StTensor *a, const StTensor *b)
{
    return a->type == b->type && a->n_dims == b->n_dims && !memcmp(a->shape, b->shape, (size_t)a->n_dims * sizeof a->shape[0]);
}

/* The same on a case. */
static void run_case(const Trainer *trainer, const char *name, const char *dump, const char *set)
{
    char config[PATH_BYTES];
    snprintf(config, sizeof config, "tests/fixtures/parity/%s/config.json", name);
    parity_train(trainer, config, dump, set);
}

/* What the masters in f32 cannot hold: half a unit in the last place an update, however small the update is. */
static double rounding(const StTensor *param, int step) { return 0x1p-24 * (step + 1) * norm(param, NULL); }

static void note(Worst worst[N_KINDS], Kind kind, double error, const char *name, int step)
{
    if (!(error <= worst[kind].error)) { /* NaN counts as worst */
        worst[kind].error = error;
        worst[kind].step = step;
        snprintf(worst[kind].name, sizeof worst[kind].name, "%s", name);
    }
}

/* One expected tensor against the one of that name in the dump. */
static void compare_tensor(const StTensor *want, const SafeTensors *found_file, const SafeTensors *initial, double grad_norm, int step,
                           Worst worst[N_KINDS])
{
    const StTensor *found = safetensors_find(found_file, want->name);
    bool is_grad = !strncmp(want->name, "grad/", 5), is_param = !strncmp(want->name, "param/", 6);
    if (!found) {
        /* Zero gradients may be left out. */
        CHECK_MSG(is_grad && norm(want, NULL) <= NEGLIGIBLE * grad_norm, "step %d: %s is not in the dump", step, want->name);
        return;
    }
    if (!same_shape(want, found)) {
        char a[128], b[128];
        test_failed(__FILE__, __LINE__, "step %d: %s: the dump has type %d %s, wanted type %d %s", step, want->name, (int)found->type,
                    shape_text(a, sizeof a, found->shape, found->n_dims), (int)want->type,
                    shape_text(b, sizeof b, want->shape, want->n_dims));
        return;
    }
    if (want->type != F32) {
        CHECK_MSG(!memcmp(want->data, found->data, want->n_bytes), "step %d: %s differs", step, want->name);
        return;
    }
    const StTensor *start = is_param ? safetensors_find(initial, want->name) : NULL;
    double size = norm(want, start), difference = norm(found, want);
    if (is_grad && size <= NEGLIGIBLE * grad_norm)
        CHECK_MSG(norm(found, NULL) <= 10 * NEGLIGIBLE * grad_norm, "step %d: %s should vanish, its norm is %g of %g", step, want->name,
                  norm(found, NULL), grad_norm);
    else if (is_param && strstr(want->name, "vision_model.") && strstr(want->name, "k_proj.bias"))
        CHECK(isfinite(difference)); /* AdamW makes steps of full length out of rounding */
    else if (size == 0)
        CHECK_MSG(difference == 0, "step %d: %s should be exactly as it was, differs by %g", step, want->name, difference);
    else if (is_param)
        note(worst, KIND_CHANGE, fmax(0, difference - rounding(want, step)) / size, want->name, step);
    else
        note(worst, is_grad ? KIND_GRAD : !strcmp(want->name, "logits") ? KIND_LOGITS : KIND_LOSS, difference / size, want->name, step);
}

/* What the dump holds must be known: parameters are exactly the trainable ones; a gradient belongs to one that the step reached. */
static void compare_names(const SafeTensors *found, const SafeTensors *initial, const char *untouched, int step)
{
    int n_params = 0;
    for (int i = 0; i < safetensors_count(found); i++) {
        const StTensor *t = safetensors_at(found, i);
        const char *slash = strchr(t->name, '/');
        if (!slash)
            continue;
        char name[300];
        snprintf(name, sizeof name, "param%s", slash);
        CHECK_MSG(safetensors_find(initial, name), "step %d: %s does not train", step, t->name);
        n_params += t->name[0] == 'p';
        const char *at = untouched && t->name[0] == 'g' ? strstr(untouched, slash + 1) : NULL;
        CHECK_MSG(!at || norm(t, NULL) == 0, "step %d: nothing reached %s", step, t->name);
    }
    CHECK_MSG(n_params == safetensors_count(initial), "step %d: %d parameters in the dump, %d train", step, n_params,
              safetensors_count(initial));
}

static SafeTensors *open_file(const char *folder, const char *name)
{
    char path[PATH_BYTES];
    SafeTensors *st = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    REQUIRE_OK(safetensors_open(&st, path));
    return st;
}

static SafeTensors *open_step(const char *folder, int step)
{
    char name[64];
    snprintf(name, sizeof name, "step-%06d.safetensors", step);
    return open_file(folder, name);
}

static void compare_step(const char *expected, const char *dump, int step, const SafeTensors *initial, Worst worst[N_KINDS])
{
    SafeTensors *want = open_step(expected, step), *found = open_step(dump, step);
    const StTensor *size = safetensors_find(want, "grad_norm");
    REQUIRE(size);
    for (int i = 0; i < safetensors_count(want); i++)
        compare_tensor(safetensors_at(want, i), found, initial, value(size, 0), step, worst);
    compare_names(found, initial, safetensors_metadata(want, "untouched"), step);
    safetensors_close(&want);
    safetensors_close(&found);
}

static int count_steps(const char *folder)
{
    DIR *d = opendir(folder);
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        n += !strncmp(e->d_name, "step-", 5);
    if (d)
        closedir(d);
    return n;
}

void parity_case(const Trainer *trainer, const char *name, const char *set)
{
    char expected[FOLDER_BYTES], dump[FOLDER_BYTES];
    snprintf(expected, sizeof expected, "tests/fixtures/parity/%s/expected", name);
    snprintf(dump, sizeof dump, "%s/dump", test_dir());
    run_case(trainer, name, dump, set);
    int n_steps = count_steps(expected);
    REQUIRE(n_steps > 0);
    CHECK_INT(count_steps(dump), n_steps);
    SafeTensors *initial = open_file(expected, "initial.safetensors");
    Worst worst[N_KINDS] = {{0}};
    for (int step = 0; step < n_steps; step++)
        compare_step(expected, dump, step, initial, worst);
    for (Kind k = 0; k < N_KINDS; k++) {
        double allowed = k == KIND_CHANGE && trainer->change > 0 ? trainer->change : tolerance(k);
        printf("    %s: worst %.1e of %.0e, step %d %s\n", KIND_NAME[k], worst[k].error, allowed, worst[k].step, worst[k].name);
        CHECK_MSG(worst[k].error <= allowed, "%s: %s off by %.3g at step %d (%s), allowed %.0e", name, KIND_NAME[k], worst[k].error,
                  worst[k].step, worst[k].name, allowed);
    }
    safetensors_close(&initial);
}

/* Runs a case twice; returns how many steps both have. */
static int run_twice(const Trainer *a, const Trainer *b, const char *name, const char *set_a, const char *set_b, char dump[2][FOLDER_BYTES])
{
    for (int i = 0; i < 2; i++) {
        snprintf(dump[i], FOLDER_BYTES, "%s/dump-%d", test_dir(), i);
        run_case(i ? b : a, name, dump[i], i ? set_b : set_a);
    }
    int n_steps = count_steps(dump[0]);
    REQUIRE(n_steps > 0);
    CHECK_INT(count_steps(dump[1]), n_steps);
    return n_steps;
}

void parity_same_bits(const Trainer *trainer, const char *name, const char *set_a, const char *set_b)
{
    char dump[2][FOLDER_BYTES];
    int n_steps = run_twice(trainer, trainer, name, set_a, set_b, dump);
    for (int step = 0; step < n_steps; step++) {
        SafeTensors *st[2] = {open_step(dump[0], step), open_step(dump[1], step)};
        CHECK_INT(safetensors_count(st[0]), safetensors_count(st[1]));
        for (int i = 0; i < safetensors_count(st[0]); i++) {
            const StTensor *a = safetensors_at(st[0], i), *b = safetensors_find(st[1], a->name);
            CHECK_MSG(b && same_shape(a, b) && !memcmp(a->data, b->data, a->n_bytes), "step %d: %s differs between %s and %s", step,
                      a->name, set_a, set_b);
        }
        safetensors_close(&st[0]);
        safetensors_close(&st[1]);
    }
}

/* Largest |a - b| over a tensor; *largest: |a| so far. */
static double furthest(const StTensor *a, const StTensor *b, double *largest)
{
    double most = 0;
    for (int64_t i = 0; i < a->n_elems; i++) {
        most = fmax(most, fabs(value(a, i) - value(b, i)));
        *largest = fmax(*largest, fabs(value(a, i)));
    }
    return most;
}

void parity_close(const Trainer *a, const Trainer *b, const char *name, const char *set, double tolerance)
{
    static const char *const KIND[] = {"loss", "grad_norm", "logits", "grad/"};
    char dump[2][FOLDER_BYTES];
    int n_steps = run_twice(a, b, name, set, set, dump);
    for (int step = 0; step < n_steps; step++) {
        SafeTensors *st[2] = {open_step(dump[0], step), open_step(dump[1], step)};
        CHECK_INT(safetensors_count(st[0]), safetensors_count(st[1]));
        for (size_t k = 0; k < sizeof KIND / sizeof *KIND; k++) {
            double off = 0, largest = 0;
            for (int i = 0; i < safetensors_count(st[0]); i++) {
                const StTensor *x = safetensors_at(st[0], i), *y = safetensors_find(st[1], x->name);
                REQUIRE(y && same_shape(x, y));
                if (!strncmp(x->name, KIND[k], strlen(KIND[k])) && x->type == F32)
                    off = fmax(off, furthest(x, y, &largest));
            }
            CHECK_MSG(largest > 0 && off <= tolerance * largest, "step %d: %s... differ by %.2g of the largest, allowed %.0e", step,
                      KIND[k], off / largest, tolerance);
        }
        safetensors_close(&st[0]);
        safetensors_close(&st[1]);
    }
}

void parity_near(const Trainer *a, const Trainer *b, const char *name, const char *set, double tolerance_of_loss)
{
    char dump[2][FOLDER_BYTES];
    int n_steps = run_twice(a, b, name, set, set, dump);
    for (int step = 0; step < n_steps; step++) {
        SafeTensors *st[2] = {open_step(dump[0], step), open_step(dump[1], step)};
        const StTensor *loss[2] = {safetensors_find(st[0], "loss"), safetensors_find(st[1], "loss")};
        REQUIRE(loss[0] && loss[1]);
        double x = value(loss[0], 0), y = value(loss[1], 0);
        CHECK_MSG(fabs(x - y) <= tolerance_of_loss * fabs(x), "step %d: the loss is %.9g, and %.9g on the other trainer", step, x, y);
        safetensors_close(&st[0]);
        safetensors_close(&st[1]);
    }
}
