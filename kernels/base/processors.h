/* processors.h: the processors that this process may use, however many the machine has. Asked by whatever starts threads or processes. */
#ifndef GENLLAVA_KERNELS_BASE_PROCESSORS_H
#define GENLLAVA_KERNELS_BASE_PROCESSORS_H

#include <sched.h>

#include "kernels/base/status.h"

/* As sched_getaffinity is. */
typedef int AffinityOf(pid_t pid, size_t n_bytes, cpu_set_t *set);
/* *set [*n_bytes]: a bit for each; the caller frees it with mem_free. */
MUST_USE Status processors_read(cpu_set_t **set, size_t *n_bytes, AffinityOf *affinity);
/* How many they are; 1 where the system does not say. */
int processors_count(void);
#endif
