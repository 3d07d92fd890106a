/* lpips.c: AlexNet's five maps of two pictures, and how far they lie apart (lpips.h). Spec: eval.md 6.3; source: Zhang et al. 2018,
 * equation 1, and the lpips package. */
#include "eval/features/lpips.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/pictures/picture_file.h"
#include "eval/features/network.h"

enum { MAPS = 5, CHANNELS = 3, SIDE_LEAST = 31 };
static const char PART[] = "lpips";

/* A convolution and ReLU; before it a pool of 3x3, stride 2, where `pools`. */
typedef struct Layer {
    const char *name, *weight; /* in the file: the convolution, what weighs its channels' differences */
    int kernel, stride, around;
    bool pools;
} Layer;
static const Layer LAYERS[MAPS] = {
    {"net.slice1.0", "lin0.model.1.weight", 11, 4, 2, false}, {"net.slice2.3", "lin1.model.1.weight", 5, 1, 2, true},
    {"net.slice3.6", "lin2.model.1.weight", 3, 1, 1, true},   {"net.slice4.8", "lin3.model.1.weight", 3, 1, 1, false},
    {"net.slice5.10", "lin4.model.1.weight", 3, 1, 1, false},
};

/* What the layers make of two pictures: [2·pixels, channels]. */
typedef struct Map {
    int64_t pixels, channels; /* pixels: of a picture */
    float *values;            /* NULL while nothing has values */
} Map;

struct Lpips {
    Runner runner;
    Params params;
    Weights weights;
    Conv conv[MAPS];
    Param *lin[MAPS];
    float *weight[MAPS]; /* of lin, on the host */
    Plane plane;         /* of the pair at hand */
    float *pixels;       /* [2·height·width, 3] */
    Map maps[MAPS];
};

/* ---------------------------------------------------------------- opening */

static Status declare(Lpips *l)
{
    int64_t in = CHANNELS;
    for (int i = 0; i < MAPS; i++) {
        const Layer *y = &LAYERS[i];
        const Declare d = {.p = &l->params};
        const Declare conv = declare_under(&d, "%s.", y->name);
        char weight[64];
        int64_t out;
        snprintf(weight, sizeof weight, "%s.weight", y->name);
        TRY(network_width(&l->weights, weight, "the state of the lpips package's LPIPS(net=\"alex\")", &out));
        l->conv[i] = (Conv){.stride = y->stride, .top = y->around, .left = y->around, .bottom = y->around, .right = y->around};
        l->conv[i].w =
            declare_weight(&conv, "weight", (ParamSpec){.n_dims = 4, .shape = {out, in, y->kernel, y->kernel}, .channels_last = true});
        l->conv[i].b = declare_weight(&conv, "bias", (ParamSpec){.n_dims = 1, .shape = {out}});
        l->lin[i] = declare_weight(&d, y->weight, (ParamSpec){.n_dims = 4, .shape = {1, out, 1, 1}});
        l->maps[i].channels = in = out;
    }
    return params_create(&l->params);
}

static const Spelling SPELLINGS[] = {{.rules = {{"", ""}}}};
/* The weights of differences once more; shift and scale, which the package has in its code. */
static const char *const QUIET[] = {"lins.", "scaling_layer.", NULL};
static const NameTable NAMES = {.spellings = SPELLINGS, .n = 1, .quiet = QUIET};

static Status create(Lpips *l, const char *file, DeviceChoice device)
{
    TRY(runner_open(&l->runner, device));
    TRY(weights_open(&l->weights, file));
    params_init(&l->params, &l->runner.backend, F32);
    l->params.group.part = PART;
    TRY(declare(l));
    TRY(weights_load_part(&l->weights, &l->params, PART, &NAMES));
    for (int i = 0; i < MAPS; i++) {
        l->weight[i] = mem_alloc((size_t)l->maps[i].channels * sizeof(float));
        if (!l->weight[i])
            return fail(ERR_NOMEM, "%s: no memory for its weights", file);
        TRY(params_get(&l->params, l->lin[i], l->weight[i]));
    }
    return OK;
}

Status lpips_open(Lpips **out, const char *file, DeviceChoice device)
{
    Lpips *l = *out = mem_alloc(sizeof *l);
    Status s = l ? create(l, file, device) : fail(ERR_NOMEM, "no memory for a network");
    if (s)
        lpips_close(out);
    return s;
}

void lpips_close(Lpips **out)
{
    Lpips *l = *out;
    if (!l)
        return;
    params_destroy(&l->params);
    weights_close(&l->weights);
    runner_close(&l->runner);
    for (int i = 0; i < MAPS; i++) {
        mem_free(l->weight[i]);
        mem_free(l->maps[i].values);
    }
    mem_free(l->pixels);
    mem_free(l);
    *out = NULL;
}

/* ---------------------------------------------------------------- forward */

/* The maps go to the host as they are made; the planes that they have are left in `maps`. */
static Tensor *forward(Tape *t, const void *arg)
{
    Lpips *l = *(Lpips *const *)arg;
    const Pool half = {.kind = POOL_MAX, .kernel_height = 3, .kernel_width = 3, .stride = 2};
    Plane plane = l->plane;
    Tensor *x = nn_input(t, l->pixels, plane_rows(&plane), CHANNELS);
    for (int i = 0; i < MAPS; i++) {
        if (LAYERS[i].pools)
            x = nn_pool2d(t, x, plane, &half, &plane);
        x = nn_act(t, nn_conv2d(t, x, plane, &l->conv[i], NULL, NULL, &plane), ACT_RELU); /* [2·pixels, channels] */
        l->maps[i].pixels = plane.height * plane.width;
        if (l->maps[i].values)
            nn_values(t, x, l->maps[i].values);
    }
    return x;
}

static void forget_size(Lpips *l)
{
    mem_free(l->pixels);
    l->pixels = NULL;
    for (int i = 0; i < MAPS; i++) {
        mem_free(l->maps[i].values);
        l->maps[i].values = NULL;
    }
    l->plane = (Plane){0};
}

/* Memory for pairs of this size. */
static Status take_size(Lpips *l, int32_t width, int32_t height)
{
    if (l->plane.width == width && l->plane.height == height)
        return OK;
    if (width < SIDE_LEAST || height < SIDE_LEAST)
        return fail(ERR_DATA, "LPIPS of pictures of %dx%d: expected sides of %d pixels or more", width, height, SIDE_LEAST);
    forget_size(l);
    l->plane = (Plane){2, height, width};
    const int64_t n = plane_rows(&l->plane) * CHANNELS;
    Status s = runner_reserve(&l->runner, "LPIPS", n * (int64_t)sizeof(float), forward, &l);
    l->pixels = s ? NULL : mem_alloc((size_t)n * sizeof(float));
    bool there = l->pixels != NULL;
    for (int i = 0; i < MAPS && !s; i++) {
        l->maps[i].values = mem_alloc((size_t)(2 * l->maps[i].pixels * l->maps[i].channels) * sizeof(float));
        there = there && l->maps[i].values;
    }
    if (!s && !there)
        s = fail(ERR_NOMEM, "no memory for LPIPS of pictures of %dx%d", width, height);
    if (s)
        forget_size(l);
    return s;
}

/* From -1 to 1, then as the network saw pictures in its training. */
static void put_pixels(float *to, const Image *im)
{
    static const float SHIFT[CHANNELS] = {-0.030f, -0.088f, -0.188f}, SCALE[CHANNELS] = {0.458f, 0.448f, 0.450f};
    const size_t n = (size_t)im->width * (size_t)im->height * CHANNELS;
    for (size_t i = 0; i < n; i++)
        to[i] = ((float)im->rgb[i] / 127.5f - 1 - SHIFT[i % CHANNELS]) / SCALE[i % CHANNELS];
}

/* The mean over the pixels of Σ weight·(a/|a| - b/|b|)². */
static double difference(const Map *m, const float *weight)
{
    double sum = 0;
    for (int64_t p = 0; p < m->pixels; p++) {
        const float *a = m->values + p * m->channels, *b = a + m->pixels * m->channels;
        double of_a = 0, of_b = 0;
        for (int64_t c = 0; c < m->channels; c++) {
            of_a += (double)a[c] * (double)a[c];
            of_b += (double)b[c] * (double)b[c];
        }
        of_a = sqrt(of_a) + 1e-10;
        of_b = sqrt(of_b) + 1e-10;
        for (int64_t c = 0; c < m->channels; c++) {
            const double d = (double)a[c] / of_a - (double)b[c] / of_b;
            sum += (double)weight[c] * d * d;
        }
    }
    return sum / (double)m->pixels;
}

static Status compare(Lpips *l, const Image *a, const Image *b, double *distance)
{
    TRY(take_size(l, b->width, b->height));
    put_pixels(l->pixels, a);
    put_pixels(l->pixels + plane_rows(&l->plane) / 2 * CHANNELS, b);
    TRY(runner_run(&l->runner, forward, &l, NULL));
    *distance = 0;
    for (int i = 0; i < MAPS; i++)
        *distance += difference(&l->maps[i], l->weight[i]);
    return OK;
}

Status lpips_pair(Lpips *l, const Image *a, const Image *b, double *distance)
{
    Image resized;
    TRY(image_match(&resized, &a, b));
    Status s = compare(l, a, b, distance);
    image_free(&resized);
    return s;
}

Status lpips_files(Lpips *l, const char *a, const char *b, double *distance)
{
    PictureBuffer buf = {0};
    Image x = {0}, y = {0};
    Status s = picture_decode(&x, &buf, a);
    if (!s)
        s = picture_decode(&y, &buf, b);
    if (!s)
        s = fail_context(lpips_pair(l, &x, &y, distance), "%s", b);
    image_free(&x);
    image_free(&y);
    picture_buffer_free(&buf);
    return s;
}
