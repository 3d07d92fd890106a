#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data/prepare/parts.h"

static void close_both(Job *j)
{
    if (j->to >= 0)
        close(j->to);
    if (j->from >= 0)
        close(j->from);
    j->to = j->from = -1;
}

/* In the new process, which ends by _Exit: nothing of the parent's is flushed or cleaned up twice. Interrupts are the parent's business: it ends its workers, and so does its death. */
static void become_worker(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _Exit(0);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

static Status start_one(Job *jobs, int i, JobBody body, void *context)
{
    int down[2], up[2];
    pid_t parent = getpid();
    if (pipe2(down, O_CLOEXEC))
        return fail(ERR_NOMEM, "cannot make a pipe: %s", strerror(errno));
    if (pipe2(up, O_CLOEXEC)) {
        close(down[0]);
        close(down[1]);
        return fail(ERR_NOMEM, "cannot make a pipe: %s", strerror(errno));
    }
    fflush(NULL);
    jobs[i] = (Job){.pid = fork(), .to = down[1], .from = up[0]};
    if (jobs[i].pid == 0) {
        become_worker(parent);
        for (int k = 0; k <= i; k++) /* or the ends of the others would never be seen */
            close_both(&jobs[k]);
        _Exit(body(context, i, down[0], up[1]));
    }
    close(down[0]);
    close(up[1]);
    if (jobs[i].pid < 0) {
        close_both(&jobs[i]);
        return fail(ERR_NOMEM, "cannot start worker process %d: %s", i + 1, strerror(errno));
    }
    return OK;
}

Status jobs_start(Job *jobs, int n, JobBody body, void *context)
{
    for (int i = 0; i < n; i++) {
        Status s = start_one(jobs, i, body, context);
        if (s) {
            jobs_end(jobs, i, true);
            return s;
        }
    }
    return OK;
}

static Status explain(int number, int status)
{
    if (WIFSIGNALED(status))
        return fail(ERR_INTERNAL, "worker process %d was ended by signal %d (%s)", number + 1, WTERMSIG(status), strsignal(WTERMSIG(status)));
    return fail(ERR_INTERNAL, "worker process %d ended with code %d", number + 1, WEXITSTATUS(status));
}

static int reap(Job *j)
{
    int status = 0;
    while (j->pid > 0 && waitpid(j->pid, &status, 0) < 0 && errno == EINTR)
        ;
    j->pid = 0;
    return status;
}

Status jobs_lost(Job *jobs, int i)
{
    close_both(&jobs[i]);
    return explain(i, reap(&jobs[i]));
}

Status jobs_end(Job *jobs, int n, bool kill_them)
{
    Status s = OK;
    for (int i = 0; i < n; i++) {
        if (kill_them && jobs[i].pid > 0)
            kill(jobs[i].pid, SIGKILL);
        close_both(&jobs[i]);
    }
    for (int i = 0; i < n; i++) {
        if (jobs[i].pid <= 0)
            continue;
        int status = reap(&jobs[i]);
        if (status && !kill_them && !s)
            s = explain(i, status);
    }
    return s;
}

int jobs_wanted(const PrepareOptions *o)
{
    cpu_set_t set;
    int n = o->jobs;
    if (n <= 0)
        n = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    return n < 1 ? 1 : n > SCAN_MAX_JOBS ? SCAN_MAX_JOBS : n;
}
