/* out: tensors in pieces, as they lie or rounded, and numbers that a type cannot hold. */
#include "tools/convert/out.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/arena.h"
#include "tests/harness.h"

typedef struct Written {
    char bytes[256];
    size_t n;
} Written;

static Status put(void *arg, const void *bytes, size_t n)
{
    Written *w = arg;
    memcpy(w->bytes + w->n, bytes, n);
    w->n += n;
    return OK;
}

/* n numbers that begin at an odd address, in the type that they are asked for. */
static Status write_as_it_lies(DType type, const float *x, int64_t n, Written *w)
{
    static char room[257];
    dtype_convert(room + 1, type, x, F32, (size_t)n);
    const OutTensor t = {
        .name = "w", .type = type, .value = {.theirs = "w", .file = "FILE", .type = type, .n_dims = 1, .shape = {n}, .data = room + 1}};
    w->n = 0;
    Status s = out_write(&t, put, w);
    CHECK(s || (w->n == (size_t)n * dtype_size(type) && !memcmp(w->bytes, room + 1, w->n)));
    return s;
}

TEST(out_copies_what_has_the_type_and_finds_each_number_that_is_not_finite)
{
    static const DType TYPES[] = {F32, BF16, F16, F64};
    static const float BAD[] = {NAN, -NAN, INFINITY, -INFINITY};
    Written w;
    for (size_t k = 0; k < sizeof TYPES / sizeof *TYPES; k++)
        for (int64_t n = 1; n <= 9; n++) {
            float x[9];
            const float most = TYPES[k] == F16 ? 65504 : 0x1.fep127f;
            for (int64_t i = 0; i < n; i++)
                x[i] = i % 3 == 0 ? -most : i % 3 == 1 ? most : 1e-40f;
            CHECK_OK(write_as_it_lies(TYPES[k], x, n, &w));
            for (int64_t i = 0; i < 4 * n; i++) {
                const float good = x[i / 4];
                x[i / 4] = BAD[i % 4];
                CHECK_FAILS(write_as_it_lies(TYPES[k], x, n, &w), ERR_DATA, "FILE: w holds a number that is not finite");
                x[i / 4] = good;
            }
        }
}

TEST(out_rounds_once_and_names_what_f16_cannot_hold)
{
    const float x[] = {1.00390625f, 65504, 1e5f};
    OutTensor t = {
        .name = "w", .type = BF16, .value = {.theirs = "w", .file = "FILE", .type = F32, .n_dims = 1, .shape = {3}, .data = x}};
    Written w = {.n = 0};
    CHECK_OK(out_write(&t, put, &w));
    const uint16_t wanted[] = {0x3f80, 0x4780, 0x47c3}; /* to even */
    CHECK(w.n == sizeof wanted && !memcmp(w.bytes, wanted, w.n));
    t.type = F16;
    CHECK_FAILS(out_write(&t, put, &w), ERR_DATA, "FILE: w holds 100000, which f16 cannot: take --type bf16 or f32");
}
