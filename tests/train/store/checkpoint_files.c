/* checkpoint_files.h: the files of a checkpoint have the order of those that other programs write, whatever memory has. */
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/safetensors.h"
#include "tests/harness.h"
#include "train/store/checkpoint_files.h"

enum { OUT = 3, IN = 5, KERNEL = 2, ELEMS = OUT * IN * KERNEL * KERNEL };

/* Element (o,c,u,v) of a file is 1000·o + 100·c + 10·u + v. */
static float value_at(int at) { return (float)(1000 * (at / (IN * 4)) + 100 * (at / 4 % IN) + 10 * (at / 2 % 2) + at % 2); }

static void open_conv(Backend *b, Params *p, Param **w, DType moments)
{
    REQUIRE_OK(ref_open(b));
    params_init(p, b, F32);
    p->moments = moments;
    *w = params_declare(p, &(ParamSpec){.name = "conv.weight", .trainable = true, .n_dims = 4, .shape = {OUT, IN, KERNEL, KERNEL},
                                        .channels_last = true});
    REQUIRE(*w != NULL);
    REQUIRE_OK(params_create(p));
}

TEST(moments_of_convolutions_are_kept_in_the_order_of_files)
{
    Backend b;
    Params p;
    Param *w;
    float file[ELEMS], memory[ELEMS];
    char path[PATH_MAX], name[MOMENTS_NAME];
    SafeTensors *st;
    for (int at = 0; at < ELEMS; at++)
        file[at] = value_at(at);
    open_conv(&b, &p, &w, F32);
    params_to_memory(w, p.flat_m, file, OUT, sizeof *file);
    memcpy(memory, p.flat_m, sizeof memory);
    CHECK(memory[1] == 100 && memory[IN] == 1);
    REQUIRE_OK(checkpoint_write_moments(test_dir(), &p, 0, 1, name));
    CHECK_STR(name, "optimizer.safetensors");
    params_destroy(&p);

    REQUIRE_OK(safetensors_open(&st, file_join(path, test_dir(), "optimizer.safetensors")));
    const StTensor *found = safetensors_find(st, "exp_avg/conv.weight");
    REQUIRE(found != NULL);
    CHECK(found->n_dims == 4 && found->shape[1] == IN && found->shape[3] == KERNEL && !memcmp(found->data, file, sizeof file));
    safetensors_close(&st);

    open_conv(&b, &p, &w, F32);
    REQUIRE_OK(checkpoint_read_moments(test_dir(), &p, false));
    CHECK(!memcmp(p.flat_m, memory, sizeof memory));
    params_destroy(&p);
    b.close(&b);
}

/* Resumed with optim.moments changed: f32 to bf16 by rounding to nearest, bf16 to f32 as it is; without the change it is another file. */
TEST(moments_of_another_type_are_converted_when_that_is_wanted)
{
    Backend b;
    Params p;
    Param *w;
    char name[MOMENTS_NAME];
    float all[ELEMS], ordered[ELEMS];
    for (DType there = F32; there <= BF16; there++) {
        open_conv(&b, &p, &w, there);
        for (int at = 0; at < ELEMS; at++)
            all[at] = 1.0f + (float)at / 512;
        params_to_memory(w, ordered, all, OUT, sizeof *all);
        dtype_convert(p.flat_v, there, ordered, F32, ELEMS);
        w->updates = 7;
        REQUIRE_OK(checkpoint_write_moments(test_dir(), &p, 0, 1, name));
        params_destroy(&p);

        const DType here = there == F32 ? BF16 : F32;
        open_conv(&b, &p, &w, here);
        CHECK_INT(checkpoint_read_moments(test_dir(), &p, false), ERR_DATA);
        REQUIRE_OK(checkpoint_read_moments(test_dir(), &p, true));
        CHECK_INT(w->updates, 7);
        for (int at = 0; at < ELEMS; at++) {
            const float wanted = bf16_to_f32(f32_to_bf16(ordered[at]));
            const float is = here == F32 ? ((float *)p.flat_v)[at] : bf16_to_f32(((bf16 *)p.flat_v)[at]);
            CHECK_MSG(is == wanted, "element %d is %g, wanted %g", at, (double)is, (double)wanted);
        }
        params_destroy(&p);
        b.close(&b);
    }
}

/* ---------------------------------------------------------------- what must be there */

static Status add_name(void *names, const char *name)
{
    size_t n = strlen(names);
    snprintf((char *)names + n, 4096 - n, "%s ", name);
    return OK;
}

static const char *files_of(const char *folder)
{
    static char names[4096];
    const RunConfig cfg = {0};
    *names = 0;
    REQUIRE_OK(checkpoint_each_file(folder, &cfg, add_name, names));
    return names;
}

TEST(a_checkpoint_must_have_each_file_that_its_index_of_moments_names)
{
    char path[PATH_MAX];
    CHECK(!strncmp(files_of(test_dir()), "optimizer.safetensors ", 22));
    REQUIRE_OK(file_replace(file_join(path, test_dir(), "optimizer.safetensors.index.json"),
                            "{\"weight_map\": {\"exp_avg/a\": \"one\", \"updates/a\": \"one\", \"exp_avg/b\": \"two\"}}"));
    CHECK(!strncmp(files_of(test_dir()), "optimizer.safetensors.index.json one two ", 41));
    REQUIRE_OK(file_replace(file_join(path, test_dir(), "optimizer.safetensors"), "")); /* what is read where it is there */
    CHECK(!strncmp(files_of(test_dir()), "optimizer.safetensors ", 22));
}
