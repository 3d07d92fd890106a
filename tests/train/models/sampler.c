/* sampler: whole trajectories equal to diffusers' (tests/oracle/samplers.py) for schedulers' files of every kind, their timesteps for every
 * number of steps; what is refused. */
#include "train/models/sampler.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/train/models/hashed.h"
#include "tests/train/models/tiny.h"

enum { N = 12 };
#define MOST 2e-6 /* of a trajectory's largest number; measured: 5e-7 */

/* What the oracle's predictor finds in x. */
static void predict(const float *x, int32_t t, float *noise)
{
    for (int i = 0; i < N; i++)
        noise[i] =
            (float)(0.9 * (double)x[(i + N - 1) % N] - 0.3 * (double)x[i] + 0.8 * (double)hashed_uniform("drift", (uint64_t)i) * t / 1000);
}

static void fill(const char *name, float *x)
{
    for (int i = 0; i < N; i++)
        x[i] = 2 * hashed_uniform(name, (uint64_t)i);
}

/* "KIND.STEPS" or "KIND.STEPS.STRENGTH" */
static void check_trajectory(const char *folder, const NoiseSchedule *schedule, const SafeTensors *expected, const char *key)
{
    char kind[32], name[128];
    double strength = 0;
    int steps = 0;
    REQUIRE(sscanf(key, "%31[^.].%d.%lf", kind, &steps, &strength) >= 2);
    SamplerOptions o = {.folder = folder, .schedule = schedule, .steps = steps, .strength = strength > 0 ? strength : 1, .n = N};
    REQUIRE_OK(sampler_find(&o.kind, kind));
    Sampler *s;
    REQUIRE_OK(sampler_create(&s, &o));
    int64_t n = sampler_evaluations(s);
    float picture[N], x[N], noise[N];
    fill("picture", picture);
    fill("noise", x);
    sampler_begin(s, strength > 0 ? picture : NULL, x);
    snprintf(name, sizeof name, "%s/timesteps", key);
    const int32_t *times = hashed_expected(expected, name, n);
    snprintf(name, sizeof name, "%s/latents", key);
    const float *latents = hashed_expected(expected, name, (n + 1) * N);
    double largest = 0, worst = 0;
    for (int64_t i = 0; i < (n + 1) * N; i++)
        largest = fmax(largest, fabs((double)latents[i]));
    for (int64_t i = 0; i <= n; i++) {
        for (int k = 0; k < N; k++)
            worst = isfinite(x[k]) ? fmax(worst, fabs((double)x[k] - (double)latents[i * N + k])) : INFINITY;
        if (i == n)
            break;
        CHECK_INT(sampler_timestep(s), times[i]);
        predict(x, sampler_timestep(s), noise);
        sampler_step(s, noise, x);
    }
    CHECK_MSG(worst <= MOST * largest, "%s of %s is off by %.3g, its largest is %.3g", key, folder, worst, largest);
    sampler_free(&s);
}

/* Σ (i + 1)·timestep; 0: refused. */
static int32_t checksum(const SamplerOptions *o)
{
    Sampler *s;
    int64_t sum = 0;
    if (sampler_create(&s, o) != OK)
        return 0;
    float x[N] = {0}, noise[N] = {0};
    for (int64_t i = 0; i < sampler_evaluations(s); i++) {
        sum += (i + 1) * sampler_timestep(s);
        sampler_step(s, noise, x);
    }
    sampler_free(&s);
    return (int32_t)sum;
}

static void check_timesteps(const char *folder, const NoiseSchedule *schedule, const SafeTensors *expected, const char *key)
{
    char kind[32];
    REQUIRE(sscanf(key, "%31[^.]", kind) == 1);
    SamplerOptions o = {.folder = folder, .schedule = schedule, .strength = 1, .n = N};
    REQUIRE_OK(sampler_find(&o.kind, kind));
    const int32_t *wanted = hashed_expected(expected, key, schedule->n);
    int wrong = 0;
    for (int i = 0; i < schedule->n; i++) {
        o.steps = i + 1;
        wrong += checksum(&o) != wanted[i];
    }
    CHECK_MSG(!wrong, "%s: other timesteps for %d numbers of steps", key, wrong);
}

TEST(samplers_follow_diffusers)
{
    static const char *const CASES[] = {"published", "clipped", "linspace", "runge_kutta", "trailing", "euler", "first_order",
                                        "second_order_at_end"};
    int trajectories = 0, tables = 0;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char name[64], folder[1024], path[1100];
        snprintf(name, sizeof name, "sampler/%s", CASES[i]);
        snprintf(folder, sizeof folder, "%s", test_fixture(name));
        snprintf(path, sizeof path, "%s/expected.safetensors", folder);
        NoiseSchedule schedule;
        SafeTensors *expected;
        REQUIRE_OK(noise_schedule_load(&schedule, folder));
        REQUIRE_OK(safetensors_open(&expected, path));
        for (int k = 0; k < safetensors_count(expected); k++) {
            snprintf(name, sizeof name, "%s", safetensors_at(expected, k)->name);
            char *end = strchr(name, '/');
            if (!end)
                check_timesteps(folder, &schedule, expected, name);
            else if (!strcmp(end, "/latents")) {
                *end = 0;
                check_trajectory(folder, &schedule, expected, name);
            }
            tables += !end;
            trajectories += end && !*end;
        }
        safetensors_close(&expected);
        noise_schedule_free(&schedule);
    }
    CHECK_INT(trajectories, 61);
    CHECK_INT(tables, 8);
}

/* ---------------------------------------------------------------- one step, settings, what is refused */

#define PUBLISHED                                                                                                                        \
    "\"beta_end\":0.012,\"beta_schedule\":\"scaled_linear\",\"beta_start\":0.00085,\"set_alpha_to_one\":false,\"skip_prk_steps\":true,"   \
    "\"steps_offset\":1,\"clip_sample\":false"

static NoiseSchedule schedule_of(const char *config)
{
    NoiseSchedule s;
    tiny_write(test_dir(), "scheduler_config.json", config);
    REQUIRE_OK(noise_schedule_load(&s, test_dir()));
    return s;
}

/* The step of spec/model.md 5.5: from 981 to 961, with x = 0.7 and a noise of -0.3. */
TEST(first_steps_of_all_samplers_are_the_same)
{
    NoiseSchedule schedule = schedule_of("{" PUBLISHED "}");
    static const struct {
        SamplerKind kind;
        const char *spacing;
    } CASES[] = {{SAMPLER_DDIM, "leading"}, {SAMPLER_PNDM, "leading"}, {SAMPLER_DPM, "leading"}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        SamplerOptions o = {.kind = CASES[i].kind, .folder = test_dir(), .schedule = &schedule, .steps = 50, .strength = 1, .n = 1};
        float x = 0.7f, noise = -0.3f;
        if (o.kind == SAMPLER_DPM) { /* its grid has one step more */
            tiny_write(test_dir(), "scheduler_config.json", "{" PUBLISHED ",\"timestep_spacing\":\"leading\"}");
            o.steps = 49;
        }
        Sampler *s;
        REQUIRE_OK(sampler_create(&s, &o));
        CHECK_INT(sampler_timestep(s), 981);
        sampler_step(s, &noise, &x);
        CHECK_INT(sampler_timestep(s), 961);
        CHECK_MSG(fabs((double)x - 0.82297179) < 1e-7, "%s: %.9g", sampler_name(o.kind), (double)x);
        sampler_free(&s);
    }
    noise_schedule_free(&schedule);
}

TEST(the_folder_names_its_sampler)
{
    static const struct {
        const char *config;
        SamplerKind kind;
    } CASES[] = {{"{\"_class_name\":\"PNDMScheduler\"}", SAMPLER_PNDM},
                 {"{\"_class_name\":\"DDIMScheduler\"}", SAMPLER_DDIM},
                 {"{\"_class_name\":\"DPMSolverMultistepScheduler\"}", SAMPLER_DPM},
                 {"{}", SAMPLER_DDIM},
                 {"{\"_class_name\":\"LMSDiscreteScheduler\"}", SAMPLER_DDIM}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        SamplerKind kind;
        tiny_write(test_dir(), "scheduler_config.json", CASES[i].config);
        CHECK_OK(sampler_of_folder(&kind, test_dir()));
        CHECK_INT(kind, CASES[i].kind);
    }
    SamplerKind kind;
    CHECK_OK(sampler_find(&kind, "dpm++"));
    CHECK_INT(kind, SAMPLER_DPM);
    CHECK_FAILS(sampler_find(&kind, "euler"), ERR_USAGE, "there is no sampler \"euler\", expected one of \"ddim\" \"pndm\" \"dpm++\"");
}

/* sentence: NULL is fine. */
static void check_create(const char *config, SamplerOptions o, Status kind, const char *sentence)
{
    char text[1024], wanted[2048];
    snprintf(text, sizeof text, "{\"num_train_timesteps\":100%s}", config);
    NoiseSchedule schedule = schedule_of(text);
    snprintf(wanted, sizeof wanted, sentence ? sentence : "", test_dir());
    o.folder = test_dir();
    o.schedule = &schedule;
    o.steps = o.steps ? o.steps : 10;
    o.strength = o.strength > 0 || o.strength < 0 ? o.strength : 1;
    o.n = N;
    Sampler *s = NULL;
    if (sentence)
        CHECK_FAILS(sampler_create(&s, &o), kind, wanted);
    else
        CHECK_OK(sampler_create(&s, &o));
    sampler_free(&s);
    noise_schedule_free(&schedule);
}

TEST(settings_that_a_sampler_does_not_follow_are_refused_by_name)
{
    const SamplerOptions ddim = {.kind = SAMPLER_DDIM}, pndm = {.kind = SAMPLER_PNDM}, dpm = {.kind = SAMPLER_DPM};
    check_create(",\"thresholding\":true", ddim, ERR_DATA,
                 "the sampler \"ddim\": %s/scheduler_config.json:1:43: thresholding is true, which is not supported");
    check_create(",\"thresholding\":true,\"skip_prk_steps\":true", pndm, OK, NULL);
    check_create(",\"use_karras_sigmas\":true", dpm, ERR_DATA,
                 "the sampler \"dpm++\": %s/scheduler_config.json:1:48: use_karras_sigmas is true, which is not supported");
    check_create(",\"use_karras_sigmas\":true", ddim, OK, NULL);
    check_create(",\"solver_order\":3", dpm, ERR_DATA,
                 "the sampler \"dpm++\": %s/scheduler_config.json:1:43: solver_order is 3, expected 1 or 2");
    check_create(",\"algorithm_type\":\"sde-dpmsolver++\"", dpm, ERR_DATA,
                 "the sampler \"dpm++\": %s/scheduler_config.json:1:45: algorithm_type is \"sde-dpmsolver++\", expected \"dpmsolver++\" or "
                 "\"deis\"");
    check_create(",\"lambda_min_clipped\":-5.1", dpm, ERR_DATA,
                 "the sampler \"dpm++\": %s/scheduler_config.json:1:49: lambda_min_clipped is -5.1, expected -Infinity");
    check_create(",\"lambda_min_clipped\":-Infinity", dpm, OK, NULL);
    check_create(",\"timestep_spacing\":\"root\"", ddim, ERR_DATA,
                 "the sampler \"ddim\": %s/scheduler_config.json:1:47: timestep_spacing is \"root\", expected \"leading\", \"linspace\" "
                 "or \"trailing\"");
}

TEST(steps_that_the_schedule_does_not_have_are_refused)
{
    check_create("", (SamplerOptions){.kind = SAMPLER_DDIM, .steps = 101}, ERR_USAGE,
                 "101 steps, expected 1 … 100 of the sampler \"ddim\"");
    check_create("", (SamplerOptions){.kind = SAMPLER_PNDM, .steps = 3}, ERR_USAGE,
                 "3 steps, expected 4 … 100 of the sampler \"pndm\", since skip_prk_steps is false");
    check_create("", (SamplerOptions){.kind = SAMPLER_PNDM, .strength = 0.5}, ERR_USAGE,
                 "the sampler \"pndm\" cannot start from a picture while skip_prk_steps of %s/scheduler_config.json is false");
    check_create(",\"steps_offset\":1", (SamplerOptions){.kind = SAMPLER_DDIM, .steps = 100}, ERR_USAGE,
                 "100 steps of the sampler \"ddim\" lead to timestep 100; %s/scheduler_config.json has 100 of them: ask for fewer steps");
    check_create(",\"timestep_spacing\":\"leading\"", (SamplerOptions){.kind = SAMPLER_DPM, .steps = 100}, ERR_USAGE,
                 "100 steps of the sampler \"dpm++\" lead to timestep 0 again; %s/scheduler_config.json has 100 of them: ask for fewer "
                 "steps");
    check_create("", (SamplerOptions){.kind = SAMPLER_DDIM, .strength = 0.05}, ERR_USAGE,
                 "a strength of 0.05 of 10 steps leaves none: raise either");
    check_create("", (SamplerOptions){.kind = SAMPLER_DDIM, .strength = 1.5}, ERR_USAGE,
                 "a strength of 1.5, expected more than 0 and at most 1");
}
