/* compare.h: proves backends against the specification (kernels/ref).
 *
 * A family's file holds, for each operator, a table of cases and one function that turns a case into arguments and arrays; from
 * them KERNEL_TEST makes a test. The case runs on ref in double (the truth), on ref in float (the yardstick) and on every
 * backend of TESTED_BACKENDS, and each row of each output (each piece of a vector) must satisfy
 *     max|y - truth| <= 2 max|yardstick - truth| + 1 ulp of max|truth|        (an ulp is at least the smallest normal number)
 * The yardstick's maximum is taken over all rows of the output: rows of a case are alike, and over a single short row it is luck.
 * So a case gives all its rows one scale. Besides, on every backend: nothing outside the output's rows and columns is written, inputs stay
 * as they were, scratch memory is given back, two runs (the second over other scratch contents) give the same bits, and a run with one
 * thread and arrays displaced by one element from their alignment is as exact.
 *
 *   static void act_fwd_case(Comparison *c, const void *row)
 *   {
 *       const GeluCase *k = row;
 *       ActFwd *a = compare_args(c, &(ActFwd){.n = k->n, .act = k->act, .kind = k->kind}, sizeof(ActFwd));
 *       IN(x, .type = k->act, .cols = k->n, .pattern = k->pattern);
 *       OUT(y, .type = k->act, .cols = k->n);
 *   }
 *   KERNEL_TEST(act_fwd, GELU_CASES, act_fwd_case)
 */
#ifndef GENLLAVA_TESTS_KERNELS_COMPARE_H
#define GENLLAVA_TESTS_KERNELS_COMPARE_H

#include "kernels/ops/op.h"
#include "tests/harness.h"

/* The backends under test beside ref; each test program has its own list (tests/kernels/backends.c, tests/cuda_host/backends.cc …), ended
 * by a name of NULL. One that cannot be opened is skipped with its reason. */
typedef struct TestedBackend {
    const char *name;
    Status (*open)(Backend *b);
    /* what went wrong in the last call beside its status, "" for nothing; forgotten by being told. May be NULL */
    const char *(*fault)(void);
    /* the sentence with which it refuses arguments that it has no kernel for, NULL if it has one: a gap is a decision. May be NULL */
    const char *(*lacks)(Op op, const void *args);
    bool cuts_off; /* its tensor cores cut sums off where others round: three times as much is allowed to F32 results of matmul */
    Status (*call)(Backend *b, Op op, const void *args); /* calls the operator and watches it. May be NULL */
} TestedBackend;
extern const TestedBackend TESTED_BACKENDS[];

/* What an array holds before the call. */
typedef enum Pattern {
    UNIFORM, /* (-1, 1) times scale */
    ZEROS,
    MIXED,  /* both signs, magnitudes from denormal to 1, exact zeros */
    SPIKE,  /* one element of scale in each row, the others 1e-3 of it and smaller */
    EQUAL,  /* scale everywhere */
    OFFSET, /* scale + (-1, 1): sums of squares lose what makes the difference */
    UNSET   /* NaN: the operator must write every element (the default of outputs) */
} Pattern;

typedef struct Array {
    const char *name;
    void *slot; /* the pointer among the arguments that receives the address */
    DType type;
    int64_t rows, cols, ld; /* rows 0: one; ld 0: cols; in elements */
    Pattern pattern;
    double scale;     /* 0: 1 */
    const void *data; /* [rows, cols] contiguous in `type`, instead of a pattern */
    bool output;
    bool exact;   /* this output must have ref's bits */
    double times; /* the rule is so many times as wide, but not more than `most` of the row's largest (0: as it stands); say why */
    double most;
    double slack;   /* allowed besides, relative to the row's largest; say why */
    double floor;   /* allowed besides; say why */
    bool empty;     /* really no rows */
    int alias;      /* set by ALIAS: 1 + the array whose memory this is */
    int64_t offset; /* of an alias: elements from the array's start */
} Array;

typedef struct Comparison Comparison;

/* A copy of the arguments, which the arrays' slots point into. */
void *compare_args(Comparison *c, const void *args, size_t n_bytes);
/* Both return the array's initial values, [rows, cols] contiguous in its type, which the case may change until it returns. */
void *compare_array(Comparison *c, Array array);
void *compare_alias(Comparison *c, const char *name, void *slot, const char *of);
/* The argument is the memory of the input `of` from an element on. */
void compare_slice(Comparison *c, const char *name, void *slot, const char *of, int64_t offset);
/* n int32 from f(i), for index arrays; lives until the case ends. */
int32_t *compare_indices(Comparison *c, int64_t n, int64_t (*f)(int64_t i, const void *arg), const void *arg);
void *compare_memory(Comparison *c, size_t n_bytes); /* zeroed, lives until the case ends */
Backend *compare_truth(Comparison *c);               /* ref, for inputs that another operator has to make (host memory) */

/* All expect the arguments in a variable `a` and the comparison in `c`. */
#define IN(field, ...) compare_array(c, (Array){.name = #field, .slot = &a->field, __VA_ARGS__})
#define OUT(field, ...) compare_array(c, (Array){.name = #field, .slot = &a->field, .output = true, .pattern = UNSET, __VA_ARGS__})
/* Read and written: accumulated into, or in place. */
#define INOUT(field, ...) compare_array(c, (Array){.name = #field, .slot = &a->field, .output = true, __VA_ARGS__})
/* The argument `field` is the same memory as `of`, which thereby is an output. */
#define ALIAS(field, of) compare_alias(c, #field, &a->field, #of)
/* Overwritten or added to. */
#define OUT_OR_SUM(field, accumulate, ...) \
    compare_array(c, (Array){.name = #field, .slot = &a->field, .output = true, .pattern = (accumulate) ? UNIFORM : UNSET, __VA_ARGS__})

typedef struct KernelCases {
    Op op;
    const void *cases;
    size_t n_cases, case_size, why_offset;
    void (*setup)(Comparison *c, const void *row);
    const char *file;
    int line;
    struct KernelCases *next;
} KernelCases;

void compare_register(KernelCases *k);
const KernelCases *compare_registered(void); /* the list of all tables */
void compare_run(const KernelCases *k);
void compare_run_on(const KernelCases *k, Status (*open)(Backend *b)); /* on this one alone */

/* Every case has a member `why`: what this row is there for. */
#define KERNEL_TEST(op_, CASES, setup_) KERNEL_TEST_NAMED(op_, op_, CASES, setup_)
/* Another table for the same operator. */
#define KERNEL_TEST_NAMED(name, op_, CASES, setup_)                                                                 \
    static KernelCases cases_##name = {                                                                             \
        .op = OP_##op_, .cases = CASES, .n_cases = sizeof(CASES) / sizeof *(CASES), .case_size = sizeof *(CASES),   \
        .why_offset = offsetof(__typeof__(*(CASES)), why), .setup = setup_,                                         \
        .file = __FILE__, .line = __LINE__};                                                                        \
    __attribute__((constructor)) static void register_cases_##name(void) { compare_register(&cases_##name); }       \
    TEST(name##_keeps_to_the_specification) { compare_run(&cases_##name); }

/* f on every backend under test, with its name. */
void compare_each(void (*f)(Backend *b, const char *name));

/* Every backend refuses these arguments with this kind and sentence. Pointers among them are host memory. */
void compare_refused(const char *file, int line, Op op, const void *args, Status kind, const char *text);
#define REFUSED(op_, args, kind, text) compare_refused(__FILE__, __LINE__, OP_##op_, args, kind, text)

#endif
