/* ranks.c: forks of a test as ranks (ranks.h). */
#include "tests/train/dist/ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void set_number(const char *name, int n)
{
    char text[16];
    snprintf(text, sizeof text, "%d", n);
    setenv(name, text, 1);
}

static void set_address(const char *address)
{
    static int runs;
    char inside[64];
    snprintf(inside, sizeof inside, "@genllava-test-%d-%d", (int)getpid(), runs++);
    setenv("MASTER_ADDR", address ? address : inside, 1);
    set_number("MASTER_PORT", 20000 + (int)(getpid() % 10000)); /* below those that the system gives to whoever asks for any */
    setenv("GENLLAVA_JOB_TOKEN", "only the ranks of this test know", 0);
}

int ranks_start(int n, const char *address, int codes[RANKS_MOST])
{
    pid_t pid[RANKS_MOST];
    set_address(address);
    set_number("WORLD_SIZE", n);
    fflush(NULL);
    for (int r = 0; r < n; r++)
        if (!(pid[r] = fork())) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            set_number("RANK", r);
            set_number("LOCAL_RANK", r);
            return r;
        }
    for (int r = 0; r < n; r++) {
        int status;
        waitpid(pid[r], &status, 0);
        codes[r] = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    return -1;
}
