/* signals.h: being asked to stop. SIGINT, SIGTERM and SIGUSR1 let the present step finish and a checkpoint be saved (exit 75); a second
 * SIGINT ends the process at once. */
#ifndef GENLLAVA_TRAIN_DIST_SIGNALS_H
#define GENLLAVA_TRAIN_DIST_SIGNALS_H

#include <sys/types.h>

/* Before there is a step to finish a signal calls stop_now, which ends the process: nothing is lost, everything before the first step can
 * be interrupted anywhere. Files beyond a size limit become write errors (SIGXFSZ is ignored). */
void signals_install(void (*stop_now)(void));
/* A process that passes its signals on. One that reaches a whole group or job comes here twice, by itself and passed on, and is one. */
void signals_passed_on_by(pid_t launcher);
/* From here on signals are only noted. */
void signals_hold(void);
/* The number of the signal that came, or 0. */
int signals_received(void);
/* "SIGTERM"; NULL for 0. */
const char *signals_name(int number);
#endif
