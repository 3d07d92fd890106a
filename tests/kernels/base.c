/* base: status, dtype, arena, Philox. */
#include <float.h>
#include <math.h>

#include "kernels/base/arena.h"
#include "kernels/base/dtype.h"
#include "kernels/base/philox.h"
#include "tests/harness.h"

TEST(status_keeps_the_sentence_and_adds_context)
{
    Status s = fail(ERR_DATA, "%s: %d rows", "a.json", 3);
    CHECK_INT(s, ERR_DATA);
    CHECK_INT(fail_context(s, "loading %s", "x"), ERR_DATA);
    CHECK_STR(status_message(), "loading x: a.json: 3 rows");
    CHECK_INT(status_exit_code(ERR_DATA), 65);
    CHECK_INT(status_exit_code(OK), 0);
    CHECK_INT(fail(ERR_IO, "again: %s", status_message()), ERR_IO); /* arguments may point into the message */
    CHECK_STR(status_message(), "again: loading x: a.json: 3 rows");
}

TEST(bf16_rounds_to_nearest_even)
{
    CHECK_INT(f32_to_bf16(1.0f), 0x3f80);
    CHECK_INT(f32_to_bf16(1.00390625f), 0x3f80); /* halfway: to even */
    CHECK_INT(f32_to_bf16(1.01171875f), 0x3f82); /* halfway: to even, upwards */
    CHECK_INT(f32_to_bf16(INFINITY), 0x7f80);
    CHECK(isnan(bf16_to_f32(f32_to_bf16(NAN))));
    CHECK(f16_to_f32(0x3c00) == 1.0f && f16_to_f32(0x0001) == 0x1p-24f && f16_to_f32(0xfbff) == -65504.0f);
    CHECK(isinf(f16_to_f32(0x7c00)) && isnan(f16_to_f32(0x7e01)) && f16_to_f32(0x83ff) == -1023 * 0x1p-24f);
}

/* Every half back and forth; every number halfway between two, and its neighbours. */
TEST(f16_rounds_to_nearest_even)
{
    int wrong = 0;
    for (uint32_t h = 0; h < 0x8000; h++) {
        const float x = f16_to_f32((uint16_t)h);
        const uint32_t kept = h > 0x7c00 ? 0x7e00 : h; /* of a NaN, that it is one */
        wrong += f32_to_f16(x) != kept || f32_to_f16(-x) != (0x8000 | kept);
        if (h >= 0x7c00)
            continue;
        const float next = h == 0x7bff ? 65536.0f : f16_to_f32((uint16_t)(h + 1)), half = x + (next - x) / 2;
        wrong += f32_to_f16(half) != h + (h & 1) || f32_to_f16(nextafterf(half, 0)) != h || f32_to_f16(nextafterf(half, next)) != h + 1;
    }
    CHECK_INT(wrong, 0);
    CHECK_INT(f32_to_f16(1e30f), 0x7c00);
    CHECK_INT(f32_to_f16(-1e-30f), 0x8000);
    CHECK(isnan(f16_to_f32(f32_to_f16(NAN))));
    const double in[3] = {1.5, -65504, 0x1p-24};
    uint16_t out[3];
    dtype_convert(out, F16, in, F64, 3);
    CHECK(out[0] == 0x3e00 && out[1] == 0xfbff && out[2] == 1);
}

TEST(numbers_that_a_type_cannot_hold_are_found)
{
    const float x[5] = {1, -65504, 65505, NAN, -INFINITY};
    CHECK_INT(dtype_find_unfit(x, 2, F16_MOST), 2);
    CHECK_INT(dtype_find_unfit(x, 5, F16_MOST), 2);
    CHECK_INT(dtype_find_unfit(x, 5, FLT_MAX), 3);
    CHECK_INT(dtype_find_unfit(x + 4, 1, FLT_MAX), 0);
    CHECK_INT(dtype_find_unfit(x, 0, FLT_MAX), 0);
}

TEST(arena_releases_to_a_mark_and_refuses_what_does_not_fit)
{
    Arena a;
    REQUIRE_OK(arena_create(&a, 1000));
    char *p = arena_push(&a, 100);
    ArenaMark m = arena_mark(&a);
    char *q = arena_push(&a, 100);
    CHECK(p && q && q - p == 128 && ((uintptr_t)q & 63) == 0);
    CHECK(!arena_push(&a, 1000));
    arena_release(&a, m);
    CHECK(arena_push(&a, 10) == (void *)q);
    CHECK_INT(a.peak, 228);
    arena_free(&a);
    Arena measure;
    arena_measure(&measure);
    CHECK(arena_push(&measure, (size_t)1 << 40) != NULL);
    CHECK_INT(measure.peak, (size_t)1 << 40);
}

TEST(philox_matches_the_published_vectors)
{
    /* Known answers of Random123 for Philox4x32-10. */
    Philox4 z = philox4x32(0, 0, 0, 0, 0);
    CHECK(z.v[0] == 0x6627e8d5 && z.v[1] == 0xe169c58d && z.v[2] == 0xbc57ac4c && z.v[3] == 0x9b00dbd8);
    Philox4 f = philox4x32(UINT64_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX);
    CHECK(f.v[0] == 0x408f276d && f.v[1] == 0x41c83b0e && f.v[2] == 0xa20bc7c6 && f.v[3] == 0x6d5451fd);
    CHECK(philox_key(1, RANDOM_INIT, 2, 3) != philox_key(1, RANDOM_INIT, 3, 2));
}
