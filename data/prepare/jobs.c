/* Worker processes: each does its share of a task on its own. Called by the two passes of prepare. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data/prepare/parts.h"
#include "kernels/base/processors.h"

enum { SENTENCE_BYTES = 8192 /* as long as a sentence of a status may be; a pipe holds it */, SAY_EVERY_MS = 250 };

typedef struct Job {
    pid_t pid; /* 0: none, or waited for */
    int says;  /* the reading end of a pipe: why it failed. It ends with the process. */
} Job;

/* In the new process, which ends by _Exit: nothing of the parent's is flushed or cleaned up twice. Interrupts are the parent's business: it
 * ends its workers, and so does its death. */
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

/* The next of `number` jobs that work already. */
static Status start_job(Job *jobs, int number, JobBody body, void *context)
{
    Job *job = &jobs[number];
    int ends[2];
    pid_t parent = getpid();
    if (pipe2(ends, O_CLOEXEC))
        return fail(ERR_NOMEM, "cannot make a pipe: %s", strerror(errno));
    fflush(NULL);
    *job = (Job){.pid = fork(), .says = ends[0]};
    if (job->pid == 0) {
        become_worker(parent);
        for (int i = 0; i < number; i++) /* they say nothing to this process */
            close(jobs[i].says);
        Status s = body(context, number);
        if (s && write(ends[1], status_message(), strlen(status_message())) < 0)
            s = ERR_INTERNAL;
        _Exit(s);
    }
    close(ends[1]);
    if (job->pid > 0)
        return OK;
    close(ends[0]);
    job->pid = 0;
    return fail(ERR_NOMEM, "cannot start worker process %d: %s", number + 1, strerror(errno));
}

/* Waits for a worker whose pipe says something or has ended. */
static Status end_job(Job *job, int number)
{
    char sentence[SENTENCE_BYTES];
    size_t n = 0;
    int how = 0;
    for (ssize_t got; n < sizeof sentence - 1 && (got = read(job->says, sentence + n, sizeof sentence - 1 - n)) != 0;)
        if (got > 0)
            n += (size_t)got;
        else if (errno != EINTR)
            break;
    sentence[n] = 0;
    close(job->says);
    while (waitpid(job->pid, &how, 0) < 0 && errno == EINTR)
        ;
    job->pid = 0;
    if (WIFSIGNALED(how))
        return fail(ERR_INTERNAL, "worker process %d was ended by signal %d (%s)", number + 1, WTERMSIG(how), strsignal(WTERMSIG(how)));
    if (WEXITSTATUS(how) && !n)
        return fail(ERR_INTERNAL, "worker process %d ended with code %d", number + 1, WEXITSTATUS(how));
    return WEXITSTATUS(how) ? fail((Status)WEXITSTATUS(how), "%s", sentence) : OK;
}

static Status wait_for_all(Job *jobs, int n, JobMeanwhile meanwhile, const void *context)
{
    for (int left = n; left;) {
        struct pollfd p[PREPARE_MAX_JOBS];
        for (int i = 0; i < n; i++) /* poll passes over those with fd -1 */
            p[i] = (struct pollfd){.fd = jobs[i].pid ? jobs[i].says : -1, .events = POLLIN};
        int ready = poll(p, (nfds_t)n, SAY_EVERY_MS);
        if (ready < 0 && errno != EINTR)
            return fail(ERR_INTERNAL, "waiting for worker processes: %s", strerror(errno));
        if (ready <= 0) {
            meanwhile(context);
            continue;
        }
        for (int i = 0; i < n; i++)
            if (jobs[i].pid && p[i].revents) {
                left--;
                TRY(end_job(&jobs[i], i));
            }
    }
    return OK;
}

Status jobs_run(int n, JobBody body, JobMeanwhile meanwhile, void *context)
{
    Job jobs[PREPARE_MAX_JOBS] = {{0}};
    Status s = OK;
    for (int i = 0; i < n && !s; i++)
        s = start_job(jobs, i, body, context);
    if (!s)
        s = wait_for_all(jobs, n, meanwhile, context);
    for (int i = 0; i < n; i++) { /* after a failure: those that still work */
        if (!jobs[i].pid)
            continue;
        kill(jobs[i].pid, SIGKILL);
        while (waitpid(jobs[i].pid, NULL, 0) < 0 && errno == EINTR)
            ;
        close(jobs[i].says);
    }
    return s;
}

int jobs_wanted(const PrepareOptions *o)
{
    int64_t n = o->jobs, most = file_room() / 2; /* each has a pipe and a file of the scan */
    if (n <= 0)
        n = processors_count();
    n = n > PREPARE_MAX_JOBS ? PREPARE_MAX_JOBS : n;
    return (int)(n < most ? n : most > 1 ? most : 1);
}
