#include "train/signals.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/status.h"

static volatile sig_atomic_t received, holding;

static void note(int number)
{
    static const char LINE[] = "\nstopped before the first step; nothing was lost, run again\n";
    if (!holding) {
        ssize_t n = write(STDERR_FILENO, LINE, sizeof LINE - 1);
        (void)n;
        _exit(75); /* ERR_PREEMPTED; status_exit_code is no function for signal handlers */
    }
    if (number == SIGINT && received == SIGINT) {
        signal(SIGINT, SIG_DFL);
        raise(SIGINT);
    }
    received = number;
}

void signals_install(void)
{
    static const int STOP[] = {SIGINT, SIGTERM, SIGUSR1};
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof STOP / sizeof *STOP; i++)
        sigaction(STOP[i], &action, NULL);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
}

void signals_hold(void) { holding = 1; }

const char *signals_received(void)
{
    switch (received) {
    case SIGINT: return "SIGINT";
    case SIGTERM: return "SIGTERM";
    case SIGUSR1: return "SIGUSR1";
    default: return NULL;
    }
}
