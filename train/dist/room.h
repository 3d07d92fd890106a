/* room.h: how much memory this process may still take, by whatever limits it: what the system has, the control groups it is in, its own
 * limits (ulimit). Asked by the memory plan of a run and by generate, before they take it. */
#ifndef GENLLAVA_TRAIN_DIST_ROOM_H
#define GENLLAVA_TRAIN_DIST_ROOM_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/status.h"

/* A limit and what it leaves. */
typedef struct Room {
    int64_t bytes;            /* INT64_MAX: there is no limit */
    char name[PATH_MAX + 64]; /* "MemAvailable", "memory.max of /sys/fs/cgroup/job", "ulimit -v" */
} Room;

/* Memory of the machine: the least of MemAvailable, of what may still be promised where the system promises no more than it has, and of the
 * control groups (both versions, parents too). Pages of files that a group
 * could drop count as free. root: "" (tests: a folder that holds proc and sys). */
void room_of_machine(Room *out, const char *root);
/* The least of that and of what is left of the addresses (RLIMIT_AS, where files count that are used in place, and RLIMIT_DATA, where they
 * do not), for each of so many processes of this machine. */
int64_t room_least(int processes);

/* How many processors' time the control groups grant (cpu.max; a share of one is a fraction); infinite where they do not limit it. root as
 * above. */
double room_processors(const char *root);

/* Bytes of this process: in memory now; its addresses; what its threads will touch and reserve that OpenMP has yet to start. */
typedef struct Footprint {
    int64_t resident, addresses, thread_pages, thread_addresses;
} Footprint;
void room_footprint(Footprint *out);

/* What is about to be taken besides what the process has now. */
typedef struct RoomNeed {
    int64_t needed, mapped; /* bytes that the system cannot drop; pages of files, which it can drop and read again */
    int64_t files, stacks;  /* addresses of files, used or not, and of threads' stacks */
    int processes;          /* that need the same of this machine, this one included */
    const char *who;        /* "the run" */
    const char *plan;       /* what it is for, in words */
    const char *change;     /* what to change */
    bool ignore;            /* go on all the same */
} RoomNeed;
/* ERR_NOMEM when `needed` does not fit, with the plan, the limit and what to change; with `ignore`, or when only the mapped part does not
 * fit, a warning. */
MUST_USE Status room_check(const RoomNeed *n);
#endif
