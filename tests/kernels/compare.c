/* compare.c: runs an operator on a backend and on ref, and judges the difference by ref's own rounding (compare.h). */
#include "tests/kernels/compare.h"

#include <float.h>
#include <math.h>
#include <omp.h>
#include <stdarg.h>
#include <stdio.h>

#include "kernels/base/philox.h"

enum {
    MAX_ARRAYS = 16,
    MAX_MEMORY = 64,
    MAX_ARGS = 512,
    GUARD_BYTES = 256,
    GUARD = 0xff,
    MAX_REPORTS = 3,
    MAX_TESTED = 4,
    PIECE = 64,
    SEED = 20240617
};
static const size_t SCRATCH_BYTES = (size_t)64 << 20;

struct Comparison {
    const KernelCases *table;
    size_t row;
    Backend *truth;
    _Alignas(16) char args[MAX_ARGS];
    Array arrays[MAX_ARRAYS];
    void *initial[MAX_ARRAYS]; /* [rows, cols] contiguous */
    int n_arrays;
    void *memory[MAX_MEMORY];
    int n_memory;
};

/* ---------------------------------------------------------------- registered cases */

static KernelCases *registered;

void compare_register(KernelCases *k)
{
    k->next = registered;
    registered = k;
}

const KernelCases *compare_registered(void) { return registered; }

/* ---------------------------------------------------------------- describing a case */

void *compare_memory(Comparison *c, size_t n_bytes)
{
    REQUIRE(c->n_memory < MAX_MEMORY);
    void *p = mem_alloc(n_bytes);
    REQUIRE(p);
    return c->memory[c->n_memory++] = p;
}

void *compare_args(Comparison *c, const void *args, size_t n_bytes)
{
    REQUIRE(n_bytes <= MAX_ARGS);
    return memcpy(c->args, args, n_bytes);
}

Backend *compare_truth(Comparison *c) { return c->truth; }

static double pattern_value(const Array *a, int64_t row, int64_t col, uint64_t key)
{
    double scale = a->scale == 0 ? 1 : a->scale;
    Philox4 r = philox4x32(key, (uint32_t)row, (uint32_t)col, 0, 0);
    double u = 2 * (double)philox_uniform(r.v[0]) - 1;
    switch (a->pattern) {
    case UNIFORM: return u * scale;
    case MIXED: return r.v[1] % 8 == 0 ? 0 : ldexp(u, -(int)(r.v[2] % 140)) * scale;
    case SPIKE: return col == (row * 7 + 3) % a->cols ? scale : u * 1e-3 * scale;
    case EQUAL: return scale;
    case OFFSET: return scale + u;
    default: return 0;
    }
}

static void put_value(void *dst, DType type, int64_t i, double v)
{
    dtype_convert((char *)dst + (size_t)i * dtype_size(type), type, &v, F64, 1);
}

static double value_at(const void *src, DType type, int64_t i)
{
    double v;
    dtype_convert(&v, F64, (const char *)src + (size_t)i * dtype_size(type), type, 1);
    return v;
}

void *compare_array(Comparison *c, Array a)
{
    REQUIRE(c->n_arrays < MAX_ARRAYS);
    a.rows = a.empty ? 0 : a.rows ? a.rows : 1;
    a.ld = a.ld ? a.ld : a.cols;
    REQUIRE(a.ld >= a.cols);
    size_t n = (size_t)(a.rows * a.cols), n_bytes = n * dtype_size(a.type);
    void *values = compare_memory(c, n_bytes);
    uint64_t key = philox_key(SEED, RANDOM_INIT, c->row, (uint64_t)c->n_arrays);
    if (a.data)
        memcpy(values, a.data, n_bytes);
    else if (a.pattern == UNSET)
        memset(values, GUARD, n_bytes);
    else if (a.type == U8)
        for (size_t i = 0; i < n; i++)
            ((uint8_t *)values)[i] = (uint8_t)philox4x32(key, (uint32_t)i, 0, 0, 0).v[0];
    else
        for (int64_t i = 0; i < (int64_t)n; i++)
            put_value(values, a.type, i, pattern_value(&a, i / a.cols, i % a.cols, key));
    c->initial[c->n_arrays] = values;
    c->arrays[c->n_arrays++] = a;
    return values;
}

void *compare_alias(Comparison *c, const char *name, void *slot, const char *of)
{
    for (int i = 0; i < c->n_arrays; i++)
        if (!strcmp(c->arrays[i].name, of)) {
            REQUIRE(c->n_arrays < MAX_ARRAYS);
            c->arrays[i].output = true;
            c->arrays[c->n_arrays++] = (Array){.name = name, .slot = slot, .alias = i + 1};
            return c->initial[i];
        }
    test_failed(c->table->file, c->table->line, "ALIAS(%s, %s): no array %s", name, of, of);
    test_end();
}

void compare_slice(Comparison *c, const char *name, void *slot, const char *of, int64_t offset)
{
    for (int i = 0; i < c->n_arrays; i++)
        if (!strcmp(c->arrays[i].name, of)) {
            REQUIRE(c->n_arrays < MAX_ARRAYS && offset <= c->arrays[i].rows * c->arrays[i].ld);
            c->arrays[c->n_arrays++] = (Array){.name = name, .slot = slot, .alias = i + 1, .offset = offset};
            return;
        }
    test_failed(c->table->file, c->table->line, "slice %s of %s: no array %s", name, of, of);
    test_end();
}

int32_t *compare_indices(Comparison *c, int64_t n, int64_t (*f)(int64_t i, const void *arg), const void *arg)
{
    int32_t *v = compare_memory(c, (size_t)n * sizeof *v);
    for (int64_t i = 0; i < n; i++)
        v[i] = (int32_t)f(i, arg);
    return v;
}

/* ---------------------------------------------------------------- one run on one backend */

typedef struct Run {
    Backend *backend;
    const char *label;                                   /* for messages */
    Status (*call)(Backend *b, Op op, const void *args); /* of the backend under test */
    const char *(*fault)(void);                          /* so are these */
    bool cuts_off;
    const char *refusal;      /* the sentence that is expected instead of results, or NULL */
    int64_t displacement;     /* elements */
    void *result[MAX_ARRAYS]; /* outputs after the run, [rows, cols] contiguous */
} Run;

static const char *case_label(const Comparison *c, const Run *run)
{
    static char text[512];
    const char *row = (const char *)c->table->cases + c->row * c->table->case_size;
    const char *why;
    memcpy(&why, row + c->table->why_offset, sizeof why);
    snprintf(text, sizeof text, "%s, case %zu (%s), on %s", op_name(c->table->op), c->row, why, run->label);
    return text;
}

static void complain(const Comparison *c, const Run *run, const char *format, ...) PRINTF_LIKE(3, 4);
static void complain(const Comparison *c, const Run *run, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    test_failed(c->table->file, c->table->line, "%s: %s", case_label(c, run), text);
}

static size_t offset_of(const Array *a, const Run *run) { return GUARD_BYTES + (size_t)run->displacement * dtype_size(a->type); }

static size_t buffer_bytes(const Array *a, const Run *run)
{
    return offset_of(a, run) + (size_t)(a->rows * a->ld) * dtype_size(a->type) + GUARD_BYTES;
}

/* The whole buffer as it should be before the call: guards, rows, gaps between the rows. */
static void lay_out(char *buffer, const Array *a, const void *values, const Run *run)
{
    memset(buffer, GUARD, buffer_bytes(a, run));
    size_t size = dtype_size(a->type), row_bytes = (size_t)a->cols * size;
    for (int64_t i = 0; i < a->rows && row_bytes; i++)
        memcpy(buffer + offset_of(a, run) + (size_t)(i * a->ld) * size, (const char *)values + (size_t)i * row_bytes, row_bytes);
}

/* Copies the rows out of the buffer and reports what was written where nothing may be. */
static void take_back(const Comparison *c, Run *run, int index, const char *buffer)
{
    const Array *a = &c->arrays[index];
    size_t size = dtype_size(a->type), row_bytes = (size_t)a->cols * size, n_bytes = buffer_bytes(a, run);
    run->result[index] = mem_alloc((size_t)a->rows * row_bytes);
    char *expected = mem_alloc(n_bytes);
    REQUIRE(run->result[index] && expected);
    for (int64_t i = 0; i < a->rows && row_bytes; i++)
        memcpy((char *)run->result[index] + (size_t)i * row_bytes, buffer + offset_of(a, run) + (size_t)(i * a->ld) * size, row_bytes);
    lay_out(expected, a, a->output ? run->result[index] : c->initial[index], run);
    for (size_t i = 0; i < n_bytes; i++)
        if (buffer[i] != expected[i]) {
            complain(c, run, "byte %lld of %s is written, which is %s", (long long)i - (long long)offset_of(a, run), a->name,
                     a->output ? "outside of its rows" : "an input, or outside of its rows");
            break;
        }
    mem_free(expected);
}

static void set_scratch(const Comparison *c, const Run *run, int byte)
{
    Backend *b = run->backend;
    size_t n = b->ctx.scratch->peak;
    char *poison = mem_alloc(n);
    REQUIRE(poison);
    memset(poison, byte, n);
    if (n && b->upload(b, b->ctx.scratch->base, poison, n) != OK)
        complain(c, run, "poisoning scratch: %s", status_message());
    mem_free(poison);
}

static void execute(const Comparison *c, Run *run)
{
    Backend *b = run->backend;
    _Alignas(16) char args[MAX_ARGS];
    void *device[MAX_ARRAYS] = {0};
    memcpy(args, c->args, sizeof args);
    for (int i = 0; i < c->n_arrays; i++) {
        const Array *a = &c->arrays[i];
        char *slot = args + ((char *)a->slot - c->args);
        int source = a->alias ? a->alias - 1 : i;
        if (!a->alias) {
            char *buffer = mem_alloc(buffer_bytes(a, run));
            REQUIRE(buffer);
            lay_out(buffer, a, c->initial[i], run);
            REQUIRE_OK(b->mem_create(b, buffer_bytes(a, run), &device[i]));
            REQUIRE_OK(b->upload(b, device[i], buffer, buffer_bytes(a, run)));
            mem_free(buffer);
        }
        void *address =
            (char *)device[source] + offset_of(&c->arrays[source], run) + (size_t)a->offset * dtype_size(c->arrays[source].type);
        memcpy(slot, &address, sizeof address);
    }
    size_t used = b->ctx.scratch->used;
    Status s = (run->call ? run->call : op_call)(b, c->table->op, args);
    if (run->refusal ? s != ERR_DEVICE || strcmp(status_message(), run->refusal) : s != OK)
        complain(c, run, "status %d: %s%s%s", (int)s, s ? status_message() : "(nothing)", run->refusal ? ", expected " : "",
                 run->refusal ? run->refusal : "");
    const char *fault = run->fault ? run->fault() : "";
    if (*fault)
        complain(c, run, "%s", fault);
    if (b->ctx.scratch->used != used)
        complain(c, run, "%zu bytes of scratch memory are not given back", b->ctx.scratch->used - used);
    for (int i = 0; i < c->n_arrays; i++) {
        const Array *a = &c->arrays[i];
        if (a->alias)
            continue;
        char *buffer = mem_alloc(buffer_bytes(a, run));
        REQUIRE(buffer);
        REQUIRE_OK(b->download(b, buffer, device[i], buffer_bytes(a, run)));
        take_back(c, run, i, buffer);
        mem_free(buffer);
        b->mem_destroy(b, device[i]);
    }
}

static void free_results(Run *run)
{
    for (int i = 0; i < MAX_ARRAYS; i++) {
        mem_free(run->result[i]);
        run->result[i] = NULL;
    }
}

/* ---------------------------------------------------------------- the rule */

/* Distance of neighbours at x. Backends may flush subnormal numbers to zero, so the smallest normal is the least. */
static double ulp(double x, DType type)
{
    static const int DIGITS[N_DTYPES] = {[F32] = 23, [BF16] = 7, [F64] = 52};
    int exponent;
    frexp(x, &exponent);
    return fmax(ldexp(1, exponent - 1 - DIGITS[type]), type == F64 ? DBL_MIN : FLT_MIN);
}

static bool same_kind(double y, double truth) { return isnan(truth) ? isnan(y) : isfinite(truth) ? isfinite(y) : y == truth; }

static bool is_number(DType t) { return t == F32 || t == BF16 || t == F64; }

/* The largest rounding error of the yardstick in an output. */
static double honest_error(const Array *a, const void *truth, const void *yard)
{
    double largest = 0;
    for (int64_t i = 0; i < a->rows * a->cols; i++) {
        double t = value_at(truth, a->type, i);
        largest = isfinite(t) ? fmax(largest, fabs(value_at(yard, a->type, i) - t)) : largest;
    }
    return largest;
}

/* The elements first … first+n-1 of output `index`, which are one row or a piece of a vector. False after a complaint. */
static bool check_row(const Comparison *c, const Run *truth, const Run *run, int index, int64_t first, int64_t n, double honest)
{
    const Array *a = &c->arrays[index];
    double largest = 0, worst = 0;
    int64_t worst_at = first;
    for (int64_t i = first; i < first + n; i++) {
        double t = value_at(truth->result[index], a->type, i), y = value_at(run->result[index], a->type, i);
        if (!same_kind(y, t)) {
            complain(c, run, "%s[%lld,%lld] is %g, truth %g", a->name, (long long)(i / a->cols), (long long)(i % a->cols), y, t);
            return false;
        }
        if (!isfinite(t))
            continue;
        largest = fmax(largest, fabs(t));
        if (fabs(y - t) > worst) {
            worst = fabs(y - t);
            worst_at = i;
        }
    }
    double allowed = a->exact ? 0 : 2 * honest + ulp(largest, a->type) + a->slack * largest + a->floor;
    if (a->times > 0)
        allowed = fmin(a->times * allowed, a->most * largest);
    if (run->cuts_off && (c->table->op == OP_matmul || c->table->op == OP_matmul_fp8) && a->type == F32)
        allowed *= 3;
    if (worst <= allowed)
        return true;
    complain(c, run, "%s[%lld,%lld] is %.9g, truth %.9g: off by %.3g, allowed %.3g (row's largest %.3g)", a->name,
             (long long)(worst_at / a->cols), (long long)(worst_at % a->cols), value_at(run->result[index], a->type, worst_at),
             value_at(truth->result[index], a->type, worst_at), worst, allowed, largest);
    return false;
}

/* An output that is no array of numbers. */
static void check_bytes(const Comparison *c, const Run *truth, const Run *run, int index)
{
    const Array *a = &c->arrays[index];
    const uint8_t *y = run->result[index], *t = truth->result[index];
    const int64_t size = (int64_t)dtype_size(a->type), n = a->rows * a->cols * size;
    for (int64_t i = 0; i < n; i++)
        if (y[i] != t[i]) {
            complain(c, run, "a byte of %s[%lld,%lld] is %d, truth %d", a->name, (long long)(i / size / a->cols),
                     (long long)(i / size % a->cols), y[i], t[i]);
            return;
        }
}

static void check_outputs(const Comparison *c, const Run *truth, const Run *yard, const Run *run)
{
    int reports = 0;
    for (int i = 0; i < c->n_arrays; i++) {
        const Array *a = &c->arrays[i];
        if (a->output && a->exact && !is_number(a->type))
            check_bytes(c, truth, run, i);
        if (!a->output || !is_number(a->type))
            continue;
        double honest = honest_error(a, truth->result[i], yard->result[i]);
        int64_t step = a->rows == 1 && a->cols > PIECE ? PIECE : a->cols, n = a->rows * a->cols;
        for (int64_t first = 0; first < n && reports < MAX_REPORTS; first += step)
            reports += !check_row(c, truth, run, i, first, first + step < n ? step : n - first, honest);
    }
}

static void check_same_bits(const Comparison *c, const Run *first, const Run *second)
{
    for (int i = 0; i < c->n_arrays; i++) {
        const Array *a = &c->arrays[i];
        size_t n_bytes = (size_t)(a->rows * a->cols) * dtype_size(a->type);
        if (a->output && memcmp(first->result[i], second->result[i], n_bytes))
            complain(c, second, "two runs differ in %s", a->name);
    }
}

/* ---------------------------------------------------------------- all of it */

/* A backend twice: with two threads and with one. */
typedef struct Subject {
    const char *name;
    Status (*call)(Backend *b, Op op, const void *args);
    const char *(*fault)(void);
    const char *(*lacks)(Op op, const void *args);
    bool cuts_off;
    Backend wide, narrow;
    Arena wide_scratch, narrow_scratch;
} Subject;

static Status open_with(Status (*open)(Backend *b), int n_threads, Backend *b, Arena *scratch)
{
    omp_set_num_threads(n_threads); /* backends take their number of threads from OpenMP when they are opened */
    TRY(open(b));
    void *p;
    REQUIRE_OK(b->mem_create(b, SCRATCH_BYTES, &p));
    arena_borrow(scratch, p, SCRATCH_BYTES);
    b->ctx.scratch = scratch;
    return OK;
}

static void close_one(Backend *b)
{
    b->mem_destroy(b, b->ctx.scratch->base);
    b->close(b);
}

static Status open_subject(Subject *s, const TestedBackend *t)
{
    s->name = t->name;
    s->call = t->call;
    s->fault = t->fault;
    s->lacks = t->lacks;
    s->cuts_off = t->cuts_off;
    TRY(open_with(t->open, 1, &s->narrow, &s->narrow_scratch));
    REQUIRE_OK(open_with(t->open, 2, &s->wide, &s->wide_scratch));
    return OK;
}

static void close_subject(Subject *s)
{
    close_one(&s->wide);
    close_one(&s->narrow);
}

/* Opens what can be opened; says once what cannot. */
static int open_subjects(Subject *s)
{
    static bool said[MAX_TESTED];
    int n = 0;
    for (const TestedBackend *t = TESTED_BACKENDS; t->name; t++) {
        REQUIRE(n < MAX_TESTED);
        if (open_subject(&s[n], t) == OK)
            n++;
        else if (!said[t - TESTED_BACKENDS]) {
            printf("    without %s: %s\n", t->name, status_message());
            said[t - TESTED_BACKENDS] = true;
        }
    }
    return n;
}

static void compare_subject(const Comparison *c, Subject *s, const Run *truth, const Run *yard)
{
    char label[2][64];
    snprintf(label[0], sizeof label[0], "%s, second run", s->name);
    snprintf(label[1], sizeof label[1], "%s with 1 thread, displaced arrays", s->name);
    Run first = {.backend = &s->wide, .label = s->name, .call = s->call, .fault = s->fault, .cuts_off = s->cuts_off,
                 .refusal = s->lacks ? s->lacks(c->table->op, c->args) : NULL};
    Run second = {.backend = &s->wide, .label = label[0], .call = s->call, .fault = s->fault, .cuts_off = s->cuts_off};
    Run alone = {.backend = &s->narrow, .label = label[1], .displacement = 1, .call = s->call, .fault = s->fault, .cuts_off = s->cuts_off};
    omp_set_num_threads(2);
    execute(c, &first);
    if (first.refusal) {
        free_results(&first);
        return;
    }
    check_outputs(c, truth, yard, &first);
    set_scratch(c, &second, GUARD);
    execute(c, &second);
    check_same_bits(c, &first, &second);
    omp_set_num_threads(1);
    execute(c, &alone);
    check_outputs(c, truth, yard, &alone);
    free_results(&first);
    free_results(&second);
    free_results(&alone);
}

static void run_cases(const KernelCases *k, Subject *tested, int n_tested)
{
    Backend truth, yard;
    Arena truth_scratch, yard_scratch;
    REQUIRE_OK(open_with(ref_open, 1, &truth, &truth_scratch));
    REQUIRE_OK(open_with(ref_float_open, 1, &yard, &yard_scratch));
    for (size_t row = 0; row < k->n_cases; row++) {
        Comparison c = {.table = k, .row = row, .truth = &truth};
        k->setup(&c, (const char *)k->cases + row * k->case_size);
        Run t = {.backend = &truth, .label = "ref"}, y = {.backend = &yard, .label = "ref_float", .displacement = 1};
        execute(&c, &t);
        execute(&c, &y);
        for (int i = 0; i < n_tested; i++)
            compare_subject(&c, &tested[i], &t, &y);
        free_results(&t);
        free_results(&y);
        for (int i = 0; i < c.n_memory; i++)
            mem_free(c.memory[i]);
    }
    for (int i = 0; i < n_tested; i++)
        close_subject(&tested[i]);
    close_one(&truth);
    close_one(&yard);
}

void compare_run(const KernelCases *k)
{
    Subject tested[MAX_TESTED];
    run_cases(k, tested, open_subjects(tested));
}

void compare_run_on(const KernelCases *k, Status (*open)(Backend *b))
{
    Subject s;
    REQUIRE_OK(open_subject(&s, &(TestedBackend){.name = "backend", .open = open}));
    run_cases(k, &s, 1);
}

void compare_each(void (*f)(Backend *b, const char *name))
{
    Subject s[MAX_TESTED];
    int n = open_subjects(s);
    for (int i = 0; i < n; i++) {
        f(&s[i].wide, s[i].name);
        close_subject(&s[i]);
    }
}

static void expect_refusal(const char *file, int line, Backend *b, Op op, const void *args, Status kind, const char *text)
{
    Status s = op_call(b, op, args);
    if (s != kind || strcmp(status_message(), text))
        test_failed(file, line, "%s on %s: status %d, wanted %d\n  says   %s\n  wanted %s", op_name(op), b->name, (int)s, (int)kind,
                    s ? status_message() : "(nothing)", text);
}

void compare_refused(const char *file, int line, Op op, const void *args, Status kind, const char *text)
{
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    expect_refusal(file, line, &ref, op, args, kind, text);
    Subject s[MAX_TESTED];
    int n = open_subjects(s);
    for (int i = 0; i < n; i++) {
        if (s[i].wide.host_memory) /* the pointers among these arguments are the host's */
            expect_refusal(file, line, &s[i].wide, op, args, kind, text);
        close_subject(&s[i]);
    }
}
