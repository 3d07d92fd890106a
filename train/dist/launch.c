/* launch.c: starts local ranks and waits for them (launch.h). Called by train. */
#include "train/dist/launch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "train/dist/place.h"
#include "train/dist/signals.h"

/* Ranks end together, at most 7 s after one has (pulse.c); one that does not is stopped or hangs. */
enum { ALL_END_MS = 9000, PAUSE_MS = 20 };

typedef struct Child {
    pid_t pid;
    bool ended;
    int status; /* as waitpid tells it */
} Child;

/* ---------------------------------------------------------------- the ranks */

static void set_number(const char *name, int n)
{
    char text[16];
    snprintf(text, sizeof text, "%d", n);
    setenv(name, text, 1);
}

static Status refuse_two_launchers(void)
{
    Place place;
    Status s = place_find(&place); /* whatever else is wrong with them */
    if (place.launcher && place.n_ranks > 1)
        return fail(ERR_USAGE, "--ranks starts the ranks of one machine itself, but %s=%d says that a launcher has started %d; "
                               "leave one of the two", place.launcher, place.n_ranks, place.n_ranks);
    return s;
}

/* What the ranks find (place.c). Those of another run on this machine meet under another name. */
static Status set_variables(int n)
{
    unsigned char random[16];
    char address[64] = "@genllava-";
    if (getentropy(random, sizeof random))
        return fail(ERR_DEVICE, "the system gives no random numbers: %s", strerror(errno));
    for (size_t i = 0, at = strlen(address); i < sizeof random; i++, at += 2)
        snprintf(address + at, sizeof address - at, "%02x", random[i]);
    place_clear();
    setenv("MASTER_ADDR", address, 1);
    set_number("WORLD_SIZE", n);
    return OK;
}

/* ---------------------------------------------------------------- the process that waits */

static volatile sig_atomic_t first_pid;

/* Rank 0 tells the others. A terminal's Ctrl-C reaches all processes without us. */
static void pass_on(int number, siginfo_t *from, void *context)
{
    int before = errno;
    (void)context;
    if (from->si_code != SI_KERNEL && first_pid > 0)
        kill((pid_t)first_pid, number);
    errno = before;
}

static void pass_signals_on(pid_t first)
{
    static const int STOP[] = {SIGINT, SIGTERM, SIGUSR1};
    struct sigaction action = {.sa_sigaction = pass_on, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigemptyset(&action.sa_mask);
    first_pid = first;
    for (size_t i = 0; i < sizeof STOP / sizeof *STOP; i++)
        sigaction(STOP[i], &action, NULL);
}

static void say_killed(int rank, int status)
{
    if (WIFSIGNALED(status))
        log_warn("rank %d was ended by signal %d (%s)", rank, WTERMSIG(status), strsignal(WTERMSIG(status)));
}

static bool is_failure(const Child *c) { return c->ended && (WIFSIGNALED(c->status) || WEXITSTATUS(c->status)); }

/* Returns how many are left. */
static int collect(Child *children, int n)
{
    int left = 0;
    for (int r = 0; r < n; r++) {
        Child *c = &children[r];
        if (!c->ended && waitpid(c->pid, &c->status, WNOHANG) == c->pid) {
            c->ended = true;
            say_killed(r, c->status);
        }
        left += !c->ended;
    }
    return left;
}

static void kill_rest(const Child *children, int n)
{
    for (int r = 0; r < n; r++)
        if (!children[r].ended) {
            log_warn("rank %d does not end, and is killed", r);
            kill(children[r].pid, SIGKILL);
        }
}

static void wait_for_all(Child *children, int n)
{
    for (int since = 0; collect(children, n); since += PAUSE_MS) {
        bool failed = false;
        for (int r = 0; r < n; r++)
            failed = failed || is_failure(&children[r]);
        if (!failed)
            since = 0;
        if (since >= ALL_END_MS) {
            kill_rest(children, n);
            since = 0;
        }
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
    }
}

/* Being asked to stop counts most, then what a rank says that ended by itself. One that is killed before the ranks have met takes all with
 * it that have nothing to say. */
static int code_of_run(const Child *children, int n)
{
    const int preempted = status_exit_code(ERR_PREEMPTED);
    int killed = 0, code = 0;
    for (int r = 0; r < n; r++) {
        const int status = children[r].status, own = WIFSIGNALED(status) ? 0 : WEXITSTATUS(status);
        if (own == preempted)
            return preempted;
        code = code ? code : own;
        if (WIFSIGNALED(status))
            killed = WTERMSIG(status) == SIGINT ? 128 + SIGINT : status_exit_code(ERR_DEVICE);
    }
    return code ? code : killed;
}

/* Nothing to tell the others: they have not met. */
static Status give_up(Child *children, int n, int started)
{
    Status s = fail(ERR_DEVICE, "--ranks %d: rank %d cannot be started: %s", n, started, strerror(errno));
    for (int r = 0; r < started; r++)
        kill(children[r].pid, SIGKILL);
    for (int r = 0; r < started; r++)
        waitpid(children[r].pid, NULL, 0);
    return s;
}

Status launch_ranks(int n, bool *is_rank, int *exit_code)
{
    *is_rank = false;
    TRY(refuse_two_launchers());
    *is_rank = n == 1;
    if (n == 1) { /* this process */
        place_clear();
        return OK;
    }
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (n > cores)
        log_warn("--ranks %d on %ld processors: on the CPU the ranks will take turns, and be slower than %ld", n, cores, cores);
    Child *children = mem_alloc((size_t)n * sizeof *children);
    Status s = children ? set_variables(n) : fail(ERR_NOMEM, "%d ranks: out of memory", n);
    const pid_t launcher = getpid();
    fflush(NULL);
    for (int r = 0; r < n && s == OK; r++) {
        children[r] = (Child){.pid = fork()};
        if (children[r].pid < 0)
            s = give_up(children, n, r);
        else if (!children[r].pid) {
            prctl(PR_SET_PDEATHSIG, SIGTERM); /* the step is finished and saved */
            if (getppid() != launcher)        /* it had died before */
                raise(SIGTERM);
            signals_passed_on_by(launcher);
            set_number("RANK", r);
            set_number("LOCAL_RANK", r);
            mem_free(children);
            *is_rank = true;
            return OK;
        }
    }
    if (s == OK) {
        pass_signals_on(children[0].pid);
        wait_for_all(children, n);
        *exit_code = code_of_run(children, n);
    }
    mem_free(children);
    return s;
}
