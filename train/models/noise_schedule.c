/* noise_schedule.c: reads a scheduler's configuration and computes its tables in double (noise_schedule.h). */
#include "train/models/noise_schedule.h"

#include <math.h>
#include <string.h>

#include "kernels/base/arena.h"
#include "kernels/base/philox.h"

enum { STEPS_MAX = 1 << 20 };

/* Arguments of diffusers' schedulers that have a beta_schedule. Those with NULL concern sampling alone. */
static const FieldRule RULES[] = {
    {"_class_name", NULL},
    {"_diffusers_version", NULL},
    {"algorithm_type", NULL},
    {"beta_end", NULL},
    {"beta_schedule", NULL},
    {"beta_start", NULL},
    {"clip_sample", NULL},
    {"clip_sample_range", NULL},
    {"corrector_order", NULL},
    {"disable_corrector", NULL},
    {"dynamic_thresholding_ratio", NULL},
    {"eta", NULL},
    {"euler_at_final", NULL},
    {"final_sigmas_type", NULL},
    {"flow_shift", NULL}, /* of use_flow_sigmas */
    {"interpolation_type", NULL},
    {"lambda_min_clipped", NULL},
    {"lower_order_final", NULL},
    {"num_train_timesteps", NULL},
    {"original_inference_steps", NULL},
    {"predict_x0", NULL},
    {"prediction_type", "\"epsilon\""},
    {"predictor_order", NULL},
    {"rescale_betas_zero_snr", ""},
    {"sample_max_value", NULL},
    {"set_alpha_to_one", NULL},
    {"shift_terminal", NULL},
    {"sigma_max", NULL},
    {"sigma_min", NULL},
    {"skip_prk_steps", NULL},
    {"snr_shift_scale", ""},
    {"solver_order", NULL},
    {"solver_p", NULL},
    {"solver_type", NULL},
    {"steps_offset", NULL},
    {"tau_func", NULL},
    {"thresholding", NULL},
    {"time_shift_type", NULL},
    {"timestep_scaling", NULL},
    {"timestep_spacing", NULL},
    {"timestep_type", NULL},
    {"trained_betas", ""},
    {"use_beta_sigmas", NULL},
    {"use_dynamic_shifting", NULL},
    {"use_exponential_sigmas", NULL},
    {"use_flow_sigmas", ""},
    {"use_karras_sigmas", NULL},
    {"use_lu_lambdas", NULL},
    {"variance_type", NULL},
    {0},
};
const FieldClass SCHEDULER_FIELDS = {.tables = {RULES}};

typedef struct Betas {
    double start, end;
    bool scaled; /* the roots are evenly spaced */
} Betas;

static void read_betas(JsonFields *f, NoiseSchedule *s, Betas *b)
{
    fields_known(f, f->top, &SCHEDULER_FIELDS);
    s->n = (int32_t)fields_int(f, f->top, "num_train_timesteps", 1000, 1, STEPS_MAX);
    b->start = fields_real(f, f->top, "beta_start", 1e-4);
    b->end = fields_real(f, f->top, "beta_end", 0.02);
    const char *kind = fields_string(f, f->top, "beta_schedule", "linear");
    b->scaled = !strcmp(kind, "scaled_linear");
    if (!b->scaled && strcmp(kind, "linear"))
        fields_refuse(f, json_get(f->top, "beta_schedule"), "beta_schedule", "is \"%s\", expected \"scaled_linear\" or \"linear\"", kind);
    if (!(b->start > 0 && b->start < 1))
        fields_refuse(f, fields_get(f->top, "beta_start"), "beta_start", "is %g, expected a number between 0 and 1", b->start);
    if (!(b->end > 0 && b->end < 1))
        fields_refuse(f, fields_get(f->top, "beta_end"), "beta_end", "is %g, expected a number between 0 and 1", b->end);
}

static Status fill_tables(NoiseSchedule *s, const Betas *b)
{
    s->signal = mem_alloc((size_t)s->n * sizeof *s->signal);
    s->noise = mem_alloc((size_t)s->n * sizeof *s->noise);
    if (!s->signal || !s->noise)
        return fail(ERR_NOMEM, "no memory for a noise schedule of %d steps", s->n);
    double start = b->scaled ? sqrt(b->start) : b->start, end = b->scaled ? sqrt(b->end) : b->end, product = 1;
    for (int32_t i = 0; i < s->n; i++) {
        double beta = start + (s->n > 1 ? (end - start) * i / (s->n - 1) : 0);
        product *= 1 - (b->scaled ? beta * beta : beta);
        s->signal[i] = sqrt(product);
        s->noise[i] = sqrt(1 - product);
    }
    return OK;
}

Status noise_schedule_load(NoiseSchedule *s, const char *folder)
{
    JsonFields f;
    Betas b;
    *s = (NoiseSchedule){0};
    TRY(fields_open(&f, folder, "scheduler_config.json"));
    read_betas(&f, s, &b);
    Status status = f.status;
    fields_close(&f);
    return status ? status : fill_tables(s, &b);
}

void noise_normals(uint64_t key, uint32_t a, uint32_t b, float *to, int64_t n)
{
    float four[4] = {0};
    for (int64_t i = 0; i < n; i++) {
        if (i % 4 == 0) {
            Philox4 r = philox4x32(key, (uint32_t)(i / 4), a, b, 0);
            philox_normal2(r.v[0], r.v[1], four);
            philox_normal2(r.v[2], r.v[3], four + 2);
        }
        to[i] = four[i % 4];
    }
}

void noise_schedule_free(NoiseSchedule *s)
{
    mem_free(s->signal);
    mem_free(s->noise);
    *s = (NoiseSchedule){0};
}
