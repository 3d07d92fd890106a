/* signals.h: how often one is asked to stop. */
#include "train/dist/signals.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/harness.h"

static void not_yet(void) { _exit(9); }

/* A process raises so many SIGINT itself; its parent passes so many on. Returns the signal that ended it, -1 when it has noted them. */
static int interrupt(int itself, int passed_on)
{
    int status = 0;
    pid_t child = fork();
    if (!child) {
        signals_passed_on_by(getppid());
        signals_install(not_yet);
        signals_hold();
        for (int i = 0; i < itself; i++)
            raise(SIGINT);
        raise(SIGSTOP);
        _exit(signals_received() == SIGINT ? 0 : 1);
    }
    waitpid(child, &status, WUNTRACED);
    for (int i = 0; i < passed_on && WIFSTOPPED(status); i++) {
        kill(child, SIGINT);
        kill(child, SIGCONT);
        waitpid(child, &status, WUNTRACED);
    }
    if (WIFSTOPPED(status)) {
        kill(child, SIGCONT);
        waitpid(child, &status, 0);
    }
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) ? WEXITSTATUS(status) : -1;
}

TEST(signals_end_at_once_when_they_come_again)
{
    CHECK_INT(interrupt(1, 0), -1);
    CHECK_INT(interrupt(0, 1), -1);
    CHECK_INT(interrupt(2, 0), SIGINT);
}
TEST(signals_that_are_passed_on_too_came_once) { CHECK_INT(interrupt(1, 1), -1); }
