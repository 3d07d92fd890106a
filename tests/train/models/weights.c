/* weights.h: of a part that may be wider than its file only the named convolution is, and by twice. */
#include "train/models/weights.h"

#include <stdio.h>

#include "data/formats/file.h"
#include "tests/train/models/tiny.h"
#include "train/models/unet.h"

enum { OUT = 2, KERNEL = 1, INPUTS_MAX = 8 };

/* Weights of 1, 2, 3, … for two convolutions of so many inputs, read where the model has others. values: room for the first one's. */
static Status read_wider(const int64_t file_inputs[2], const int64_t inputs[2], float *values)
{
    static const char *const NAMES[] = {"conv_in.weight", "conv_out.weight"};
    char path[PATH_MAX], name[64];
    float numbers[OUT * INPUTS_MAX];
    StSpec specs[2];
    StWriter *w;
    Backend backend;
    Params p;
    Weights weights;
    for (int i = 0; i < OUT * INPUTS_MAX; i++)
        numbers[i] = (float)(i + 1);
    for (int i = 0; i < 2; i++)
        specs[i] = (StSpec){.name = NAMES[i], .type = F32, .n_dims = 4, .shape = {OUT, file_inputs[i], KERNEL, KERNEL}};
    REQUIRE_OK(stwriter_open(&w, file_join(path, test_dir(), "w.safetensors"), specs, 2));
    for (int i = 0; i < 2; i++)
        REQUIRE_OK(stwriter_write(w, numbers, (size_t)(OUT * file_inputs[i]) * sizeof *numbers));
    REQUIRE_OK(stwriter_close(&w));
    REQUIRE_OK(cpu_open(&backend));
    params_init(&p, &backend, F32);
    p.group = (ParamGroup){.part = "unet", .trainable = true};
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "unet.%s", NAMES[i]);
        params_declare(&p, &(ParamSpec){.name = name, .n_dims = 4, .shape = {OUT, inputs[i], KERNEL, KERNEL}});
    }
    REQUIRE_OK(params_create(&p));
    REQUIRE_OK(weights_open(&weights, path));
    weights.widened = "unet.conv_in.weight";
    Status s = weights_load_part(&weights, &p, "unet", &UNET_NAMES);
    if (!s)
        REQUIRE_OK(params_get_range(&p, p.list[0], 0, OUT * inputs[0], values));
    weights_close(&weights);
    params_destroy(&p);
    backend.close(&backend);
    return s;
}

TEST(only_the_named_convolution_may_be_twice_as_wide)
{
    static const float WANTED[OUT * 4] = {1, 2, 0, 0, 3, 4, 0, 0};
    float values[OUT * INPUTS_MAX];
    char wanted[PATH_MAX];
    CHECK_OK(read_wider((int64_t[]){2, 2}, (int64_t[]){4, 2}, values));
    for (int i = 0; i < OUT * 4; i++)
        CHECK_MSG(values[i] == WANTED[i], "element %d is %g, wanted %g", i, (double)values[i], (double)WANTED[i]);
    snprintf(wanted, sizeof wanted, "%s/w.safetensors: conv_in.weight: shape is [2, 2, 1, 1] in the file, [2, 6, 1, 1] in the model",
             test_dir());
    CHECK_FAILS(read_wider((int64_t[]){2, 2}, (int64_t[]){6, 2}, values), ERR_DATA, wanted);
    snprintf(wanted, sizeof wanted, "%s/w.safetensors: conv_out.weight: shape is [2, 2, 1, 1] in the file, [2, 4, 1, 1] in the model",
             test_dir());
    CHECK_FAILS(read_wider((int64_t[]){2, 2}, (int64_t[]){4, 4}, values), ERR_DATA, wanted);
}
