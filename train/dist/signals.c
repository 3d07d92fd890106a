/* signals.c: handlers of SIGINT, SIGTERM and SIGUSR1 (signals.h). Asked by the loop after each step. */
#include "train/dist/signals.h"

#include <signal.h>

static volatile sig_atomic_t received, holding, interrupts[2]; /* as they came; passed on */
static pid_t launcher;

static void (*stop)(void);

static void note(int number, siginfo_t *from, void *context)
{
    (void)context;
    if (!holding)
        stop();
    if (number == SIGINT && interrupts[launcher && from->si_pid == launcher]++) {
        signal(SIGINT, SIG_DFL);
        raise(SIGINT);
    }
    received = number;
}

void signals_install(void (*stop_now)(void))
{
    static const int STOP[] = {SIGINT, SIGTERM, SIGUSR1};
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_RESTART};
    stop = stop_now;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof STOP / sizeof *STOP; i++)
        sigaction(STOP[i], &action, NULL);
}

void signals_passed_on_by(pid_t pid) { launcher = pid; }

void signals_hold(void) { holding = 1; }

int signals_received(void) { return received; }

const char *signals_name(int number)
{
    switch (number) {
    case SIGINT: return "SIGINT";
    case SIGTERM: return "SIGTERM";
    case SIGUSR1: return "SIGUSR1";
    default: return NULL;
    }
}
