/* Can the comparison fail? Backends with one deliberate fault each: every fault has to be found. */
#include <fcntl.h>
#include <math.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/kernels/compare.h"

typedef enum Fault {
    NO_FAULT,
    TOO_FAR,      /* eight ulps off in one element */
    LEFT_OUT,     /* the last element not written */
    PAST_THE_END, /* one element too many */
    BEFORE_THE_START,
    CHANGES_INPUT,
    NEVER_THE_SAME, /* one ulp that differs from run to run */
    KEEPS_SCRATCH,
    TRUSTS_SCRATCH,  /* takes fresh scratch memory for zeros */
    NEEDS_ALIGNMENT, /* right only for aligned arrays */
    NOT_A_NUMBER,
    REFUSES,
    N_FAULTS
} Fault;

static Fault fault;
static Status (*honest)(KernelCtx *ctx, const ActFwd *a);

static float off_by(float y, int ulps)
{
    for (int i = 0; i < ulps; i++)
        y = nextafterf(y, INFINITY);
    return y;
}

static Status faulty_gelu(KernelCtx *ctx, const ActFwd *a)
{
    static int n_calls;
    float *y = a->y, *x = (float *)(uintptr_t)a->x, first = x[0], last = y[a->n - 1];
    if (fault == REFUSES)
        return fail(ERR_INTERNAL, "act_fwd: not today");
    TRY(honest(ctx, a));
    switch (fault) {
    case TOO_FAR: y[0] = off_by(y[0], 8); break;
    case LEFT_OUT: y[a->n - 1] = last; break;
    case PAST_THE_END: y[a->n] = 0; break;
    case BEFORE_THE_START: y[-1] = 0; break;
    case CHANGES_INPUT: x[0] = first + 1; break;
    case NEVER_THE_SAME: y[0] = off_by(y[0], n_calls++ % 2); break;
    case KEEPS_SCRATCH: return arena_push(ctx->scratch, 100) ? OK : fail(ERR_NOMEM, "act_fwd: scratch");
    case TRUSTS_SCRATCH: {
        ArenaMark m = arena_mark(ctx->scratch);
        float *sum = arena_push(ctx->scratch, sizeof *sum);
        y[0] += *sum;
        arena_release(ctx->scratch, m);
        break;
    }
    case NEEDS_ALIGNMENT: y[0] += (uintptr_t)y % 16 ? 1 : 0; break;
    case NOT_A_NUMBER: y[0] = NAN; break;
    default: break;
    }
    return OK;
}

static Status faulty_open(Backend *b)
{
    TRY(ref_float_open(b));
    honest = b->ops.act_fwd;
    b->ops.act_fwd = faulty_gelu;
    b->name = "faulty";
    return OK;
}

/* The verdict of a process of its own, whose complaints nobody wants to read. */
static bool finds(Fault f, const KernelCases *k)
{
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDERR_FILENO);
        fault = f;
        compare_run_on(k, faulty_open);
        test_end();
    }
    int status = 0;
    REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

typedef struct SelfCase {
    int64_t n;
    const char *why;
} SelfCase;

static const SelfCase SELF_CASES[] = {{77, "the comparison itself"}};

static void self_case(Comparison *c, const void *row)
{
    const SelfCase *k = row;
    ActFwd *a = compare_args(c, &(ActFwd){.n = k->n, .act = F32, .kind = ACT_GELU_ERF}, sizeof *a);
    IN(x, .type = F32, .cols = k->n, .pattern = UNIFORM);
    OUT(y, .type = F32, .cols = k->n);
}

TEST(the_comparison_finds_every_kind_of_fault)
{
    KernelCases k = {.op = OP_act_fwd, .cases = SELF_CASES, .n_cases = 1, .case_size = sizeof *SELF_CASES,
                     .why_offset = offsetof(SelfCase, why), .setup = self_case, .file = __FILE__, .line = __LINE__};
    CHECK(!finds(NO_FAULT, &k));
    for (int f = NO_FAULT + 1; f < N_FAULTS; f++)
        CHECK_MSG(finds((Fault)f, &k), "fault %d is not found", f);
}
