/* sampler.c: the steps of DDIM, PNDM and DPM-Solver++ (sampler.h). Formulas: model.md 5.5, and diffusers' scheduling_ddim.py,
 * scheduling_pndm.py and scheduling_dpmsolver_multistep.py, whose timesteps these are, too. */
#include "train/models/sampler.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "kernels/base/arena.h"
#include "kernels/base/log.h"

/* ---------------------------------------------------------------- names */

static const struct {
    const char *name, *class_;
} NAMES[N_SAMPLERS] = {
    [SAMPLER_OF_FOLDER] = {"", ""},
#define SAMPLER_NAME(id, name, class) [id] = {name, class},
    SAMPLER_LIST(SAMPLER_NAME)
#undef SAMPLER_NAME
};

const char *sampler_name(SamplerKind kind) { return NAMES[kind].name; }

Status sampler_find(SamplerKind *out, const char *name)
{
    for (int i = SAMPLER_OF_FOLDER + 1; i < N_SAMPLERS; i++)
        if (!strcmp(NAMES[i].name, name)) {
            *out = (SamplerKind)i;
            return OK;
        }
#define SAMPLER_QUOTED(id, name, class) " \"" name "\""
    return fail(ERR_USAGE, "there is no sampler \"%s\", expected one of" SAMPLER_LIST(SAMPLER_QUOTED), name);
#undef SAMPLER_QUOTED
}

static const char FILE_NAME[] = "scheduler_config.json";

Status sampler_of_folder(SamplerKind *out, const char *folder)
{
    JsonFields f;
    *out = SAMPLER_DDIM;
    TRY(fields_open(&f, folder, FILE_NAME));
    const char *class_ = fields_string(&f, f.top, "_class_name", NAMES[SAMPLER_DDIM].class_);
    bool known = false;
    for (int i = SAMPLER_OF_FOLDER + 1; i < N_SAMPLERS && !known; i++)
        if ((known = !strcmp(NAMES[i].class_, class_)))
            *out = (SamplerKind)i;
    if (!known && !f.status)
        log_warn("%s/%s names %s, which has no sampler here: \"%s\" is used", folder, FILE_NAME, class_, NAMES[*out].name);
    Status s = f.status;
    fields_close(&f);
    return s;
}

/* ---------------------------------------------------------------- settings */

typedef enum Spacing { LEADING, LINSPACE, TRAILING } Spacing;

typedef struct Settings {
    Spacing spacing;
    int64_t offset;
    bool final_one;   /* DDIM, PNDM: nothing of the noise is left before step 0, and not what is left at step 0 */
    bool clips;       /* DDIM: the picture is kept … */
    double clip_most; /* … within ± this */
    bool runge_kutta; /* PNDM: three steps of four evaluations come first */
    int64_t order;    /* DPM: */
    bool heun, lower_at_end, euler_at_end, ends_clean;
} Settings;

/* What would change the result of each; what concerns others is theirs. */
static const FieldRule DDIM_RULES[] = {{"thresholding", ""}, {0}};
static const FieldRule PNDM_RULES[] = {{0}};
static const FieldRule DPM_RULES[] = {
    {"algorithm_type", "\"dpmsolver++\"|\"deis\""}, /* diffusers takes it for "dpmsolver++" */
    {"final_sigmas_type", "\"zero\"|\"sigma_min\""},
    {"lambda_min_clipped", "-Infinity"},
    {"solver_order", "1|2"},
    {"solver_type", "\"midpoint\"|\"heun\"|\"logrho\"|\"bh1\"|\"bh2\""}, /* the last three are taken for "midpoint" */
    {"thresholding", ""},
    {"use_beta_sigmas", ""},
    {"use_exponential_sigmas", ""},
    {"use_karras_sigmas", ""},
    {"use_lu_lambdas", ""},
    {"variance_type", ""},
    {0},
};
static const FieldRule *const RULES_OF[N_SAMPLERS] = {
    [SAMPLER_DDIM] = DDIM_RULES, [SAMPLER_PNDM] = PNDM_RULES, [SAMPLER_DPM] = DPM_RULES};

static void read_spacing(JsonFields *f, Settings *s, const char *absent)
{
    static const char *const SPACINGS[] = {[LEADING] = "leading", [LINSPACE] = "linspace", [TRAILING] = "trailing"};
    const char *text = fields_string(f, f->top, "timestep_spacing", absent);
    for (int i = LEADING; i <= TRAILING; i++)
        if (!strcmp(text, SPACINGS[i])) {
            s->spacing = (Spacing)i;
            return;
        }
    fields_refuse(f, fields_get(f->top, "timestep_spacing"), "timestep_spacing",
                  "is \"%s\", expected \"leading\", \"linspace\" or \"trailing\"", text);
}

static Status read_settings(Settings *s, SamplerKind kind, const char *folder)
{
    JsonFields f;
    FieldClass class_ = {.tables = {RULES_OF[kind], SCHEDULER_FIELDS.tables[0]}};
    TRY(fields_open(&f, folder, FILE_NAME));
    fields_known(&f, f.top, &class_);
    read_spacing(&f, s, kind == SAMPLER_DPM ? "linspace" : "leading");
    s->offset = fields_int(&f, f.top, "steps_offset", 0, 0, INT32_MAX);
    s->final_one = fields_bool(&f, f.top, "set_alpha_to_one", kind == SAMPLER_DDIM);
    s->clips = fields_bool(&f, f.top, "clip_sample", true);
    s->clip_most = fields_real(&f, f.top, "clip_sample_range", 1);
    s->runge_kutta = !fields_bool(&f, f.top, "skip_prk_steps", false);
    s->order = fields_int(&f, f.top, "solver_order", 2, 1, INT32_MAX);
    s->heun = !strcmp(fields_string(&f, f.top, "solver_type", "midpoint"), "heun");
    s->lower_at_end = fields_bool(&f, f.top, "lower_order_final", true);
    s->euler_at_end = fields_bool(&f, f.top, "euler_at_final", false);
    s->ends_clean = !strcmp(fields_string(&f, f.top, "final_sigmas_type", "zero"), "zero");
    Status status = f.status;
    fields_close(&f);
    return fail_context(status, "the sampler \"%s\"", sampler_name(kind));
}

/* ---------------------------------------------------------------- timesteps */

enum { HISTORY = 4, RUNGE_KUTTA_STEPS = 3, RUNGE_KUTTA_EVALUATIONS = 4 * RUNGE_KUTTA_STEPS };

struct Sampler {
    SamplerKind kind;
    Settings set;
    const NoiseSchedule *schedule;
    int64_t steps, n;
    int32_t *timestep;              /* [n_timesteps] */
    int64_t n_timesteps, first, at; /* evaluations: all of them, where this picture begins, how many there were since then */
    float *arrays;                  /* [HISTORY + 2, n]: */
    float *history[HISTORY];        /* what was found: entry i of all that were kept is at i % HISTORY */
    int64_t n_history;
    float *kept, *sum; /* PNDM: latents that several evaluations start from; what was found between them */
};

/* Timestep k of n, k = 0 is the last one to be evaluated. numpy's linspace and arange are followed in how they round. */
static int64_t spaced(const Settings *s, int64_t all, int64_t n, int64_t k)
{
    double down = ((double)all - (double)all / (double)n) - (double)all;
    switch (s->spacing) {
    case LEADING: return k * (all / n) + s->offset;
    case LINSPACE: return n == 1 ? 0 : k == n - 1 ? all - 1 : (int64_t)rint((double)k * ((double)(all - 1) / (double)(n - 1)));
    case TRAILING: return (int64_t)rint((double)all + (double)(n - 1 - k) * down) - 1;
    }
    return 0;
}

/* The second-highest is evaluated twice. With Runge-Kutta the four highest and the middles between them come first. */
static void fill_pndm(Sampler *s)
{
    int64_t all = s->schedule->n, half = all / s->steps / 2, n = 0;
    int64_t top = s->steps - 1;
    for (int64_t i = 0; s->set.runge_kutta && i < RUNGE_KUTTA_STEPS; i++) {
        int64_t high = spaced(&s->set, all, s->steps, top - i), low = spaced(&s->set, all, s->steps, top - i - 1);
        int32_t middle = (int32_t)(low + half), of_step[] = {(int32_t)high, middle, middle, (int32_t)low};
        memcpy(s->timestep + n, of_step, sizeof of_step);
        n += 4;
    }
    if (s->set.runge_kutta)
        top -= RUNGE_KUTTA_STEPS;
    for (int64_t k = top; k >= 0; k--) {
        int times = !s->set.runge_kutta && k == s->steps - 2 ? 2 : 1;
        for (int i = 0; i < times; i++)
            s->timestep[n++] = (int32_t)spaced(&s->set, all, s->steps, k);
    }
}

static void fill_timesteps(Sampler *s)
{
    /* DPM's grid has the time of the picture itself at its end, and leaves it out. */
    int64_t beyond = s->kind == SAMPLER_DPM && s->set.spacing != TRAILING;
    if (s->kind == SAMPLER_PNDM)
        fill_pndm(s);
    else
        for (int64_t i = 0; i < s->steps; i++)
            s->timestep[i] = (int32_t)spaced(&s->set, s->schedule->n, s->steps + beyond, s->steps - 1 - i + beyond);
}

static int64_t count_timesteps(const Sampler *s)
{
    if (s->kind != SAMPLER_PNDM)
        return s->steps;
    return s->set.runge_kutta ? s->steps - RUNGE_KUTTA_STEPS + RUNGE_KUTTA_EVALUATIONS : s->steps + (s->steps > 1);
}

static Status check_options(const Sampler *s, const SamplerOptions *o)
{
    const char *name = sampler_name(s->kind);
    int64_t least = s->kind == SAMPLER_PNDM && s->set.runge_kutta ? RUNGE_KUTTA_STEPS + 1 : 1;
    if (o->steps < least || o->steps > o->schedule->n)
        return fail(ERR_USAGE, "%" PRId64 " steps, expected %" PRId64 " … %d of the sampler \"%s\"%s", o->steps, least, o->schedule->n,
                    name, least > 1 ? ", since skip_prk_steps is false" : "");
    if (!(o->strength > 0 && o->strength <= 1))
        return fail(ERR_USAGE, "a strength of %g, expected more than 0 and at most 1", o->strength);
    if ((double)o->steps * o->strength < 1)
        return fail(ERR_USAGE, "a strength of %g of %" PRId64 " steps leaves none: raise either", o->strength, o->steps);
    if (o->strength < 1 && least > 1)
        return fail(ERR_USAGE, "the sampler \"%s\" cannot start from a picture while skip_prk_steps of %s/%s is false", name, o->folder,
                    FILE_NAME);
    return OK;
}

/* Rounding and offsets can lead out of the schedule, or to the same step twice. */
static Status check_timesteps(const Sampler *s, const SamplerOptions *o)
{
    int64_t ratio = s->schedule->n / s->steps;
    for (int64_t i = 0; i < s->n_timesteps; i++) {
        bool returns = s->kind == SAMPLER_PNDM && !s->set.runge_kutta && i == s->first + 1;
        int64_t t = s->timestep[i], most = returns ? t + ratio : t;
        bool repeats = s->kind == SAMPLER_DPM && i && t >= s->timestep[i - 1];
        if (t < 0 || most >= s->schedule->n || repeats)
            return fail(ERR_USAGE, "%" PRId64 " steps of the sampler \"%s\" lead to timestep %" PRId64 "%s; %s/%s has %d of them: ask for "
                                   "fewer steps", s->steps, sampler_name(s->kind), most, repeats ? " again" : "", o->folder, FILE_NAME,
                        s->schedule->n);
    }
    return OK;
}

static Status prepare(Sampler *s, const SamplerOptions *o)
{
    TRY(read_settings(&s->set, s->kind, o->folder));
    TRY(check_options(s, o));
    s->n_timesteps = count_timesteps(s);
    s->first = s->steps - (int64_t)((double)s->steps * o->strength);
    s->timestep = mem_alloc((size_t)s->n_timesteps * sizeof *s->timestep);
    s->arrays = mem_alloc(sampler_bytes(s->n));
    if (!s->timestep || !s->arrays)
        return fail(ERR_NOMEM, "no memory for the latents of a sampler");
    for (int i = 0; i < HISTORY; i++)
        s->history[i] = s->arrays + i * s->n;
    s->kept = s->arrays + HISTORY * s->n;
    s->sum = s->kept + s->n;
    fill_timesteps(s);
    return check_timesteps(s, o);
}

Status sampler_create(Sampler **out, const SamplerOptions *o)
{
    Sampler *s = *out = mem_alloc(sizeof *s);
    if (!s)
        return fail(ERR_NOMEM, "no memory for a sampler");
    *s = (Sampler){.kind = o->kind, .schedule = o->schedule, .steps = o->steps, .n = o->n};
    Status status = prepare(s, o);
    if (status)
        sampler_free(out);
    return status;
}

void sampler_free(Sampler **s)
{
    if (!*s)
        return;
    mem_free((*s)->timestep);
    mem_free((*s)->arrays);
    mem_free(*s);
    *s = NULL;
}

size_t sampler_bytes(int64_t n) { return (size_t)(HISTORY + 2) * (size_t)n * sizeof(float); }
int64_t sampler_evaluations(const Sampler *s) { return s->n_timesteps - s->first; }
int32_t sampler_timestep(const Sampler *s) { return s->timestep[s->first + s->at]; }

/* ---------------------------------------------------------------- steps */

/* √ᾱ and √(1-ᾱ) at a timestep; before the first one the picture is there. */
typedef struct Level {
    double signal, noise;
} Level;

static Level level_at(const Sampler *s, int64_t t)
{
    if (t < 0 && s->set.final_one)
        return (Level){1, 0};
    return (Level){s->schedule->signal[t < 0 ? 0 : t], s->schedule->noise[t < 0 ? 0 : t]};
}

void sampler_begin(const Sampler *s, const float *picture, float *x)
{
    Level l = level_at(s, s->timestep[s->first]);
    for (int64_t i = 0; picture && i < s->n; i++)
        x[i] = (float)(l.signal * (double)picture[i] + l.noise * (double)x[i]);
}

/* y = a·x + b·e */
static void mix(const Sampler *s, double a, const float *x, double b, const float *e, float *y)
{
    for (int64_t i = 0; i < s->n; i++)
        y[i] = (float)(a * (double)x[i] + b * (double)e[i]);
}

static void step_ddim(const Sampler *s, const float *e, float *x)
{
    int64_t t = sampler_timestep(s);
    Level now = level_at(s, t), next = level_at(s, t - s->schedule->n / s->steps);
    for (int64_t i = 0; i < s->n; i++) {
        double picture = ((double)x[i] - now.noise * (double)e[i]) / now.signal;
        if (s->set.clips)
            picture = fmin(fmax(picture, -s->set.clip_most), s->set.clip_most);
        x[i] = (float)(next.signal * picture + next.noise * (double)e[i]);
    }
}

static void remember(Sampler *s, const float *e) { memcpy(s->history[s->n_history++ % HISTORY], e, (size_t)s->n * sizeof *e); }
/* The k-th newest. */
static const float *remembered(const Sampler *s, int64_t k) { return s->history[(s->n_history - 1 - k) % HISTORY]; }

/* Formula (9) of Liu et al. 2022: from the latents `from` at timestep t to x at `to`, with noise e. */
static void transfer(const Sampler *s, const float *from, int64_t t, int64_t to, const float *e, float *x)
{
    Level now = level_at(s, t), next = level_at(s, to);
    double p = now.signal * now.signal, q = next.signal * next.signal;
    mix(s, next.signal / now.signal, from, -(q - p) / (p * next.noise + now.signal * now.noise * next.signal), e, x);
}

/* One of the four evaluations of a step of Runge and Kutta. */
static void step_runge_kutta(Sampler *s, const float *e, float *x)
{
    static const double WEIGHT[] = {1. / 6, 1. / 3, 1. / 3, 1. / 6};
    int64_t part = s->at % 4, half = s->schedule->n / s->steps / 2;
    if (part == 0) {
        remember(s, e);
        memcpy(s->kept, x, (size_t)s->n * sizeof *x);
    }
    mix(s, part ? 1 : 0, s->sum, WEIGHT[part], e, s->sum);
    transfer(s, s->kept, s->timestep[s->at - part], sampler_timestep(s) - (part % 2 ? 0 : half), part == 3 ? s->sum : e, x);
}

/* The linear multistep method. Its second evaluation does the first step again. */
static void step_multistep(Sampler *s, const float *e, float *x)
{
    static const double WEIGHTS[HISTORY][HISTORY] = {
        {1}, {3. / 2, -1. / 2}, {23. / 12, -16. / 12, 5. / 12}, {55. / 24, -59. / 24, 37. / 24, -9. / 24}};
    int64_t t = sampler_timestep(s), ratio = s->schedule->n / s->steps;
    if (s->at == 1) {
        mix(s, 0.5, remembered(s, 0), 0.5, e, s->sum);
        transfer(s, s->kept, t + ratio, t, s->sum, x);
        return;
    }
    if (s->at == 0)
        memcpy(s->kept, x, (size_t)s->n * sizeof *x);
    remember(s, e);
    int64_t known = s->n_history < HISTORY ? s->n_history : HISTORY;
    for (int64_t i = 0; i < s->n; i++) {
        double sum = 0;
        for (int64_t k = 0; k < known; k++)
            sum += WEIGHTS[known - 1][k] * (double)remembered(s, k)[i];
        s->sum[i] = (float)sum;
    }
    transfer(s, x, t, t - ratio, s->sum, x);
}

static void step_pndm(Sampler *s, const float *e, float *x)
{
    if (s->set.runge_kutta && s->at < RUNGE_KUTTA_EVALUATIONS)
        step_runge_kutta(s, e, x);
    else
        step_multistep(s, e, x);
}

/* Half the logarithm of the signal-to-noise ratio. */
static double lambda_of(Level l) { return log(l.signal) - log(l.noise); }

static void step_dpm(Sampler *s, const float *e, float *x)
{
    const int64_t few = 15, last = s->n_timesteps - 1, i = s->first + s->at;
    Level now = level_at(s, s->timestep[i]);
    Level next = i < last ? level_at(s, s->timestep[i + 1]) : s->set.ends_clean ? (Level){1, 0} : level_at(s, 0);
    bool lower = i == last && (s->set.euler_at_end || s->set.ends_clean || (s->set.lower_at_end && s->n_timesteps < few));
    bool second = s->set.order == 2 && s->at > 0 && !lower;
    float *picture = s->history[s->n_history % HISTORY];
    mix(s, 1 / now.signal, x, -now.noise / now.signal, e, picture);
    s->n_history++;
    double h = lambda_of(next) - lambda_of(now), b = -next.signal * expm1(-h);
    mix(s, next.noise / now.noise, x, b, picture, x);
    if (!second)
        return;
    /* D1 = (picture - earlier)/r */
    double r = (lambda_of(now) - lambda_of(level_at(s, s->timestep[i - 1]))) / h;
    double c = (s->set.heun ? next.signal * (expm1(-h) / h + 1) : b / 2) / r;
    const float *earlier = remembered(s, 1);
    for (int64_t k = 0; k < s->n; k++)
        x[k] = (float)((double)x[k] + c * ((double)picture[k] - (double)earlier[k]));
}

void sampler_step(Sampler *s, const float *noise, float *x)
{
    if (s->kind == SAMPLER_DDIM)
        step_ddim(s, noise, x);
    else if (s->kind == SAMPLER_PNDM)
        step_pndm(s, noise, x);
    else
        step_dpm(s, noise, x);
    s->at++;
}
