/* harness.h: tests register themselves, each runs in a process of its own (a crash fails one test), the last line counts.
 * Test programs run from the root of the tree:
 *   build/test-unit [FILTER]         the tests whose "file:name" contains FILTER
 *   build/test-unit --list [FILTER]  prints their labels
 *   build/test-unit --here FILTER    the one such test, in this process and without a limit of time: for a debugger
 *
 *   TEST(arena_releases_to_a_mark) { CHECK(a.used == 0); }
 *   TEST_SKIP("no PyTorch here");  ends a test as skipped, with its reason. */
#ifndef GENLLAVA_TESTS_HARNESS_H
#define GENLLAVA_TESTS_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "kernels/base/status.h"

typedef struct TestCase {
    const char *file, *name;
    void (*run)(void);
    struct TestCase *next;
} TestCase;
void test_register(TestCase *t);

#define TEST(test_name)                                                                                \
    static void test_##test_name(void);                                                               \
    __attribute__((constructor)) static void register_##test_name(void)                               \
    {                                                                                                  \
        static TestCase t = {__FILE__, #test_name, test_##test_name, NULL};                            \
        test_register(&t);                                                                             \
    }                                                                                                  \
    static void test_##test_name(void)

/* A failed check prints where, what and the values, and the test goes on; REQUIRE ends it. */
void test_failed(const char *file, int line, const char *format, ...) PRINTF_LIKE(3, 4);
__attribute__((noreturn)) void test_end(void);
__attribute__((noreturn)) void test_skip(const char *reason, ...) PRINTF_LIKE(1, 2);

#define CHECK(cond) ((cond) ? (void)0 : test_failed(__FILE__, __LINE__, "CHECK(%s)", #cond))
#define CHECK_MSG(cond, ...) ((cond) ? (void)0 : test_failed(__FILE__, __LINE__, __VA_ARGS__))
#define REQUIRE(cond) ((cond) ? (void)0 : (test_failed(__FILE__, __LINE__, "REQUIRE(%s)", #cond), test_end()))
#define CHECK_OK(expr)                                                                                                \
    do {                                                                                                              \
        Status check_status_ = (expr);                                                                                \
        if (check_status_ != OK)                                                                                      \
            test_failed(__FILE__, __LINE__, "%s: status %d: %s", #expr, (int)check_status_, status_message());         \
    } while (0)
#define REQUIRE_OK(expr)                                                                                              \
    do {                                                                                                              \
        Status check_status_ = (expr);                                                                                \
        if (check_status_ != OK) {                                                                                    \
            test_failed(__FILE__, __LINE__, "%s: status %d: %s", #expr, (int)check_status_, status_message());         \
            test_end();                                                                                               \
        }                                                                                                             \
    } while (0)
/* Exactly this kind of failure with exactly this sentence. */
#define CHECK_FAILS(expr, kind, text)                                                                                 \
    do {                                                                                                              \
        Status check_status_ = (expr);                                                                                \
        if (check_status_ != (kind) || strcmp(status_message(), text))                                                \
            test_failed(__FILE__, __LINE__, "%s: status %d, wanted %d\n  says   %s\n  wanted %s", #expr,               \
                        (int)check_status_, (int)(kind), check_status_ ? status_message() : "(nothing)", text);       \
    } while (0)
#define CHECK_STR(found, wanted)                                                                                      \
    do {                                                                                                              \
        const char *found_ = (found), *wanted_ = (wanted);                                                            \
        if (!found_ || strcmp(found_, wanted_))                                                                       \
            test_failed(__FILE__, __LINE__, "%s\n  is     %s\n  wanted %s", #found, found_ ? found_ : "(null)", wanted_); \
    } while (0)
#define CHECK_INT(found, wanted)                                                                                      \
    do {                                                                                                              \
        long long found_ = (long long)(found), wanted_ = (long long)(wanted);                                         \
        if (found_ != wanted_)                                                                                        \
            test_failed(__FILE__, __LINE__, "%s is %lld, wanted %lld", #found, found_, wanted_);                       \
    } while (0)

/* Defined by a test program that needs something of the machine: when it fails, no test runs, and the program says why in one line and ends
 * with the failure's exit code. Runs in a process of its own. */
MUST_USE Status test_machine(void);

/* A fresh folder for this test, removed afterwards. The same path each time it is asked for within a test. */
const char *test_dir(void);
/* "tests/fixtures/NAME" from wherever the tests run. */
const char *test_fixture(const char *name);
/* $BUILD: where the programs under test lie. */
const char *test_build_dir(void);

#endif
