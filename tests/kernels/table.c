/* The list of operators: complete tables, complete tests; the null backend. */
#include <stdint.h>

#include "tests/kernels/compare.h"

TEST(every_operator_has_test_cases)
{
    for (int op = 0; op < N_OPS; op++) {
        size_t n = 0;
        for (const KernelCases *k = compare_registered(); k; k = k->next)
            n += k->op == (Op)op ? k->n_cases : 0;
        CHECK_MSG(n > 0, "%s has no case in tests/kernels", op_name((Op)op));
    }
}

TEST(every_table_is_complete)
{
    Status (*const openers[])(Backend *) = {ref_open, ref_float_open, null_open};
    for (size_t i = 0; i < sizeof openers / sizeof *openers; i++) {
        Backend b;
        REQUIRE_OK(openers[i](&b));
        CHECK(b.name && *b.description && b.mem_create && b.mem_destroy && b.upload && b.download && b.close);
#define CHECK_MEMBER(name_, Args) CHECK_MSG(b.ops.name_, "%s lacks %s", b.name, #name_);
        KERNEL_LIST(CHECK_MEMBER)
#undef CHECK_MEMBER
        b.close(&b);
    }
}

TEST(null_backend_gives_addresses_and_touches_nothing)
{
    Backend b;
    REQUIRE_OK(null_open(&b));
    void *p, *q;
    REQUIRE_OK(b.mem_create(&b, (size_t)1 << 40, &p)); /* more than there is */
    REQUIRE_OK(b.mem_create(&b, 100, &q));
    CHECK(p && q && (char *)q - (char *)p == (ptrdiff_t)1 << 40);
    REQUIRE_OK(b.upload(&b, p, NULL, (size_t)1 << 40));
    REQUIRE_OK(b.download(&b, NULL, p, (size_t)1 << 40));
    static const char nothing[512]; /* every argument struct, all zeros */
    for (int op = 0; op < N_OPS; op++)
        CHECK_OK(op_call(&b, (Op)op, nothing));
    b.mem_destroy(&b, p);
    CHECK(!b.host_memory);
    b.close(&b);
    CHECK(!b.ctx.device);
}
