/* inception_net.c: the Inception-v3 of the Fréchet inception distance (network.h): TensorFlow's network of 2015 as pytorch-fid has it.
 * Widths are those of its weights. Spec: eval.md 6.1.
 *
 * It is not torchvision's: means beside the edge divide by the pixels inside, and the last block's pool takes maxima. Batch norms are
 * folded into the convolutions before them. Source: Szegedy et al. 2015, figures 5 to 7 and 10; pytorch-fid's inception.py. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/features/network.h"
#include "train/models/config_keys.h"

enum { SIDE = 299, CHANNELS = 3, INPUT = 0, STEPS_MOST = 12 };
static const double NORM_EPS = 1e-3;

/* ---------------------------------------------------------------- the network */

/* A convolution with its norm and ReLU, or a pool, which has no name. */
typedef struct Step {
    const char *name;
    int from; /* so many steps back; INPUT: of the block */
    int height, width, stride;
    enum { EDGED, BARE } edge; /* zeros around it, that it keeps its size; or none */
    enum { ON, OUT } to;       /* OUT: part of the block's result, where these stand side by side */
    enum { CONV, MAX, MEAN } what;
} Step;

static const Step STEM[] = {
    {"Conv2d_1a_3x3", INPUT, 3, 3, 2, BARE, ON, CONV},
    {"Conv2d_2a_3x3", 1, 3, 3, 1, BARE, ON, CONV},
    {"Conv2d_2b_3x3", 1, 3, 3, 1, EDGED, ON, CONV},
    {NULL, 1, 3, 3, 2, BARE, ON, MAX},
    {"Conv2d_3b_1x1", 1, 1, 1, 1, EDGED, ON, CONV},
    {"Conv2d_4a_3x3", 1, 3, 3, 1, BARE, ON, CONV},
    {NULL, 1, 3, 3, 2, BARE, OUT, MAX},
    {0},
};
static const Step A[] = {
    {"branch1x1", INPUT, 1, 1, 1, EDGED, OUT, CONV},
    {"branch5x5_1", INPUT, 1, 1, 1, EDGED, ON, CONV},
    {"branch5x5_2", 1, 5, 5, 1, EDGED, OUT, CONV},
    {"branch3x3dbl_1", INPUT, 1, 1, 1, EDGED, ON, CONV},
    {"branch3x3dbl_2", 1, 3, 3, 1, EDGED, ON, CONV},
    {"branch3x3dbl_3", 1, 3, 3, 1, EDGED, OUT, CONV},
    {NULL, INPUT, 3, 3, 1, EDGED, ON, MEAN},
    {"branch_pool", 1, 1, 1, 1, EDGED, OUT, CONV},
    {0},
};
static const Step B[] = {
    {"branch3x3", INPUT, 3, 3, 2, BARE, OUT, CONV},
    {"branch3x3dbl_1", INPUT, 1, 1, 1, EDGED, ON, CONV},
    {"branch3x3dbl_2", 1, 3, 3, 1, EDGED, ON, CONV},
    {"branch3x3dbl_3", 1, 3, 3, 2, BARE, OUT, CONV},
    {NULL, INPUT, 3, 3, 2, BARE, OUT, MAX},
    {0},
};
static const Step C[] = {
    {"branch1x1", INPUT, 1, 1, 1, EDGED, OUT, CONV},
    {"branch7x7_1", INPUT, 1, 1, 1, EDGED, ON, CONV},
    {"branch7x7_2", 1, 1, 7, 1, EDGED, ON, CONV},
    {"branch7x7_3", 1, 7, 1, 1, EDGED, OUT, CONV},
    {"branch7x7dbl_1", INPUT, 1, 1, 1, EDGED, ON, CONV},
    {"branch7x7dbl_2", 1, 7, 1, 1, EDGED, ON, CONV},
    {"branch7x7dbl_3", 1, 1, 7, 1, EDGED, ON, CONV},
    {"branch7x7dbl_4", 1, 7, 1, 1, EDGED, ON, CONV},
    {"branch7x7dbl_5", 1, 1, 7, 1, EDGED, OUT, CONV},
    {NULL, INPUT, 3, 3, 1, EDGED, ON, MEAN},
    {"branch_pool", 1, 1, 1, 1, EDGED, OUT, CONV},
    {0},
};
static const Step D[] = {
    {"branch3x3_1", INPUT, 1, 1, 1, EDGED, ON, CONV},
    {"branch3x3_2", 1, 3, 3, 2, BARE, OUT, CONV},
    {"branch7x7x3_1", INPUT, 1, 1, 1, EDGED, ON, CONV},
    {"branch7x7x3_2", 1, 1, 7, 1, EDGED, ON, CONV},
    {"branch7x7x3_3", 1, 7, 1, 1, EDGED, ON, CONV},
    {"branch7x7x3_4", 1, 3, 3, 2, BARE, OUT, CONV},
    {NULL, INPUT, 3, 3, 2, BARE, OUT, MAX},
    {0},
};
/* The last of them pools by the largest. */
#define E_STEPS(pool)                                        \
    {                                                        \
        {"branch1x1", INPUT, 1, 1, 1, EDGED, OUT, CONV},     \
        {"branch3x3_1", INPUT, 1, 1, 1, EDGED, ON, CONV},    \
        {"branch3x3_2a", 1, 1, 3, 1, EDGED, OUT, CONV},      \
        {"branch3x3_2b", 2, 3, 1, 1, EDGED, OUT, CONV},      \
        {"branch3x3dbl_1", INPUT, 1, 1, 1, EDGED, ON, CONV}, \
        {"branch3x3dbl_2", 1, 3, 3, 1, EDGED, ON, CONV},     \
        {"branch3x3dbl_3a", 1, 1, 3, 1, EDGED, OUT, CONV},   \
        {"branch3x3dbl_3b", 2, 3, 1, 1, EDGED, OUT, CONV},   \
        {NULL, INPUT, 3, 3, 1, EDGED, ON, pool},             \
        {"branch_pool", 1, 1, 1, 1, EDGED, OUT, CONV},       \
        {0},                                                 \
    }
static const Step E_MEAN[] = E_STEPS(MEAN), E_MAX[] = E_STEPS(MAX);
#undef E_STEPS

static const struct {
    const char *name; /* "": its steps' names stand alone */
    const Step *steps;
} BLOCKS[] = {{"", STEM},       {"Mixed_5b.", A}, {"Mixed_5c.", A}, {"Mixed_5d.", A}, {"Mixed_6a.", B},      {"Mixed_6b.", C},
              {"Mixed_6c.", C}, {"Mixed_6d.", C}, {"Mixed_6e.", C}, {"Mixed_7a.", D}, {"Mixed_7b.", E_MEAN}, {"Mixed_7c.", E_MAX}};
enum { N_BLOCKS = sizeof BLOCKS / sizeof *BLOCKS };

/* The weights of a step: as they are in the file, and folded, which is what is computed with. 1x1: as a linear. */
typedef struct Weighted {
    Param *w, *scale, *shift, *mean, *variance;
    Linear linear;
    Conv conv;
} Weighted;

struct Inception {
    Weighted of[N_BLOCKS][STEPS_MOST];
};

static bool is_last(const Step *s) { return !s->height; }
static bool is_linear(const Step *s) { return s->height == 1 && s->width == 1; }

/* ---------------------------------------------------------------- opening */

static Status configure(PictureNet *n, JsonFields *f)
{
    static const FieldRule RULES[] = {{"model_type", "\"inception\""}, {0}};
    static const FieldClass FIELDS = {{RULES, CONFIG_RULES}, NULL};
    if (f)
        fields_known(f, f->top, &FIELDS);
    n->picture_bytes = (size_t)SIDE * SIDE * CHANNELS * sizeof(float);
    snprintf(n->preparation, sizeof n->preparation, "%dx%d bilinear without antialias, corners not aligned, from -1 to 1", SIDE, SIDE);
    return f ? f->status : OK;
}

static Param *declare_vector(const Declare *d, const char *name, int64_t n)
{
    return declare_weight(d, name, (ParamSpec){.n_dims = 1, .shape = {n}});
}

static void declare_step(PictureNet *n, const char *name, const Step *s, Weighted *w, int64_t in, int64_t out)
{
    const Declare file = declare_under(&(Declare){.p = &n->params}, "%s.", name);
    Declare folded = file;
    folded.ours = "folded.";
    const ParamSpec spec = {.n_dims = 4, .shape = {out, in, s->height, s->width}};
    ParamSpec last = spec;
    last.channels_last = !is_linear(s);
    n->params.group.part = n->kind->type;
    w->w = declare_weight(&file, "conv.weight", spec);
    w->scale = declare_vector(&file, "bn.weight", out);
    w->shift = declare_vector(&file, "bn.bias", out);
    w->mean = declare_vector(&file, "bn.running_mean", out);
    w->variance = declare_vector(&file, "bn.running_var", out);
    n->params.group.part = "folded";
    Param *weight = declare_weight(&folded, "weight", last), *bias = declare_vector(&folded, "bias", out);
    const int64_t top = s->edge == BARE ? 0 : s->height / 2, left = s->edge == BARE ? 0 : s->width / 2;
    w->linear = (Linear){.w = weight, .b = bias};
    w->conv = (Conv){.w = weight, .b = bias, .stride = s->stride, .top = top, .left = left, .bottom = top, .right = left};
}

static Status declare_block(PictureNet *n, int b, int64_t *channels)
{
    int64_t made[STEPS_MOST], sum = 0;
    for (int i = 0; !is_last(&BLOCKS[b].steps[i]); i++) {
        const Step *s = &BLOCKS[b].steps[i];
        const int64_t in = s->from == INPUT ? *channels : made[i - s->from];
        char name[WEIGHT_NAME_MAX / 2], weight[WEIGHT_NAME_MAX];
        snprintf(name, sizeof name, "%s%s", BLOCKS[b].name, s->what == CONV ? s->name : "");
        snprintf(weight, sizeof weight, "%s.conv.weight", name);
        made[i] = in;
        if (s->what == CONV) {
            TRY(network_width(&n->weights, weight, "the Inception-v3 of FID as pytorch-fid names its weights", &made[i]));
            declare_step(n, name, s, &n->inception->of[b][i], in, made[i]);
        }
        sum += s->to == OUT ? made[i] : 0;
    }
    *channels = sum;
    return OK;
}

static Status declare(PictureNet *n)
{
    n->info.width = CHANNELS;
    n->inception = mem_alloc(sizeof *n->inception);
    if (!n->inception)
        return fail(ERR_NOMEM, "no memory for a network");
    TRY(n->is_file ? weights_open(&n->weights, n->path) : weights_open_folder(&n->weights, n->path, "model"));
    for (int b = 0; b < N_BLOCKS; b++)
        TRY(declare_block(n, b, &n->info.width));
    return OK;
}

/* ---------------------------------------------------------------- folding */

/* w·s and shift - mean·s, s = scale/sqrt(variance + eps), into values: [out·row] and, behind them, [out]. It holds w, then four vectors.
 */
static void fold(float *values, int64_t out, int64_t row)
{
    float *scale = values + out * row, *shift = scale + out, *mean = shift + out, *variance = mean + out;
    for (int64_t o = 0; o < out; o++) {
        const double s = (double)scale[o] / sqrt((double)variance[o] + NORM_EPS);
        for (int64_t k = 0; k < row; k++)
            values[o * row + k] = (float)((double)values[o * row + k] * s);
        scale[o] = (float)((double)shift[o] - (double)mean[o] * s);
    }
}

static Status fold_step(PictureNet *n, const Weighted *w)
{
    const int64_t out = w->w->shape[0], row = param_row(w->w);
    const Param *const parts[] = {w->w, w->scale, w->shift, w->mean, w->variance};
    float *values = mem_alloc((size_t)(out * (row + 4)) * sizeof *values), *at = values;
    Status s = values ? OK : fail(ERR_NOMEM, "no memory to fold %s", w->w->name);
    for (int i = 0; i < 5 && !s; at += parts[i++]->t.n_elems)
        s = params_get(&n->params, parts[i], at);
    if (!s) {
        fold(values, out, row);
        s = params_set(&n->params, w->conv.w, values, F32);
    }
    if (!s)
        s = params_set(&n->params, w->conv.b, values + out * row, F32);
    mem_free(values);
    return s;
}

static const Spelling SPELLINGS[] = {{.rules = {{"", ""}}}};
/* The classifier behind the features; how many batches the norms have seen. */
static const char *const QUIET[] = {"fc.weight", "fc.bias", "*.num_batches_tracked", NULL};
static const NameTable NAMES = {.spellings = SPELLINGS, .n = 1, .quiet = QUIET};

static Status load(PictureNet *n)
{
    TRY(weights_load_part(&n->weights, &n->params, n->kind->type, &NAMES));
    for (int b = 0; b < N_BLOCKS; b++)
        for (int i = 0; !is_last(&BLOCKS[b].steps[i]); i++)
            if (BLOCKS[b].steps[i].what == CONV)
                TRY(fold_step(n, &n->inception->of[b][i]));
    return OK;
}

/* ---------------------------------------------------------------- pictures */

/* Where output i of an axis lies between two pixels, as torch's interpolate has it, in f32. */
typedef struct Between {
    int32_t first, second;
    float weight; /* of the second */
} Between;

static Between between(int32_t i, int32_t in)
{
    const float scale = (float)in / (float)SIDE, at = fmaxf(scale * ((float)i + 0.5f) - 0.5f, 0);
    const int32_t first = (int32_t)at < in - 1 ? (int32_t)at : in - 1;
    return (Between){first, first + (first < in - 1), fminf(fmaxf(at - (float)first, 0), 1)};
}

static Status prepare(const PictureNet *n, const Image *in, void *out)
{
    float *to = out;
    (void)n;
    for (int32_t y = 0; y < SIDE; y++)
        for (int32_t x = 0; x < SIDE; x++) {
            const Between v = between(y, in->height), h = between(x, in->width);
            const uint8_t *up = in->rgb + (size_t)v.first * (size_t)in->width * CHANNELS,
                          *down = in->rgb + (size_t)v.second * (size_t)in->width * CHANNELS;
            for (int c = 0; c < CHANNELS; c++) {
                const size_t left = (size_t)h.first * CHANNELS + (size_t)c, right = (size_t)h.second * CHANNELS + (size_t)c;
                const float top = (1 - h.weight) * ((float)up[left] / 255) + h.weight * ((float)up[right] / 255),
                            bottom = (1 - h.weight) * ((float)down[left] / 255) + h.weight * ((float)down[right] / 255);
                *to++ = 2 * ((1 - v.weight) * top + v.weight * bottom) - 1;
            }
        }
    return OK;
}

/* ---------------------------------------------------------------- forward */

typedef struct BlockArg {
    const Step *steps;
    const Weighted *weights;
    Plane from;
    Plane *to; /* of its result */
} BlockArg;

static Tensor *step_forward(Tape *t, const Step *s, const Weighted *w, Tensor *x, Plane from, Plane *to)
{
    *to = from;
    if (s->what != CONV)
        return nn_pool2d(t, x, from,
                         &(Pool){.kind = s->what == MAX ? POOL_MAX : POOL_MEAN, .kernel_height = s->height, .kernel_width = s->width,
                                 .stride = s->stride, .around = s->edge == BARE ? 0 : s->height / 2},
                         to);
    x = is_linear(s) ? nn_linear(t, x, &w->linear, 1, NULL) : nn_conv2d(t, x, from, &w->conv, NULL, NULL, to);
    return nn_act(t, x, ACT_RELU);
}

/* Images [pixels, channels] -> [pixels, channels]: what its steps make, side by side. */
static Tensor *block_forward(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)n;
    const BlockArg *a = arg;
    Tensor *made[STEPS_MOST], *result = NULL;
    Plane planes[STEPS_MOST];
    for (int i = 0; !is_last(&a->steps[i]); i++) {
        const Step *s = &a->steps[i];
        const bool input = s->from == INPUT;
        made[i] = step_forward(t, s, &a->weights[i], input ? in[0] : made[i - s->from], input ? a->from : planes[i - s->from], &planes[i]);
        if (s->to != OUT)
            continue;
        result = result ? nn_concat(t, result, made[i]) : made[i];
        *a->to = planes[i];
    }
    return result;
}

static Tensor *pictures(Tape *t, const PictureNet *n, const void *pixels, int64_t items)
{
    Plane plane = {items, SIDE, SIDE};
    Tensor *x = nn_input(t, pixels, plane_rows(&plane), CHANNELS);
    BlockArg *args = tape_host(t, N_BLOCKS * sizeof *args);
    Plane *planes = tape_host(t, N_BLOCKS * sizeof *planes);
    for (int b = 0; b < N_BLOCKS && args && planes; b++) {
        args[b] = (BlockArg){.steps = BLOCKS[b].steps, .weights = n->inception->of[b], .from = b ? planes[b - 1] : plane, .to = &planes[b]};
        x = nn_block(t, block_forward, &args[b], &x, 1);
    }
    if (!x || !planes)
        return NULL;
    plane = planes[N_BLOCKS - 1];
    const Pool all = {.kind = POOL_MEAN, .kernel_height = plane.height, .kernel_width = plane.width, .stride = 1};
    return nn_pool2d(t, x, plane, &all, NULL); /* [items,width] */
}

const NetworkKind INCEPTION_NET = {
    .type = "inception", .configure = configure, .declare = declare, .load = load, .prepare = prepare, .pictures = pictures};
