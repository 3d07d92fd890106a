/* place.c: reads the variables of Open MPI, torchrun, MPICH and srun (place.h). */
#include "train/dist/place.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- ranks */

/* The first that is complete is taken. `alone`: a part of the set without the rest is a mistake; the others are also found in processes
 * that no launcher started as ranks (a batch script of SLURM has SLURM_PROCID). `job`: names the run on its machine. */
static const struct Launcher {
    const char *size, *rank, *local_rank, *local_size, *job, *step;
    bool alone;
} LAUNCHERS[] = {
    {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE", "PMIX_NAMESPACE", NULL,
     true},
    {"WORLD_SIZE", "RANK", "LOCAL_RANK", NULL, NULL, NULL, true},
    {"PMI_SIZE", "PMI_RANK", "MPI_LOCALRANKID", NULL, NULL, NULL, false},
    {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID", NULL, "SLURM_JOB_ID", "SLURM_STEP_ID", false},
};
typedef struct Launcher Launcher;
enum { OPEN_MPI, N_LAUNCHERS = sizeof LAUNCHERS / sizeof *LAUNCHERS };

static const char *text_of(const char *variable) { return variable ? getenv(variable) : NULL; }

/* A whole number from low to high, or ERR_USAGE that says what `of` is for. */
static Status read_number(const char *variable, int low, int high, const char *of, int *out)
{
    const char *text = getenv(variable);
    char *end;
    long k = text ? strtol(text, &end, 10) : -1;
    if (!text || end == text || *end || k < low || k > high)
        return fail(ERR_USAGE, "%s is %s; expected %s, %d … %d", variable, text ? text : "not set", of, low, high);
    *out = (int)k;
    return OK;
}

static Status read_ranks(const Launcher *l, Place *p)
{
    TRY(read_number(l->size, 1, PLACE_MOST_RANKS, "the number of ranks", &p->n_ranks));
    TRY(read_number(l->rank, 0, p->n_ranks - 1, "the number of this rank", &p->rank));
    return read_number(l->local_rank, 0, p->n_ranks - 1, "the number of this rank among those of its machine", &p->local_rank);
}

static Status find_launcher(Place *p, const Launcher **out)
{
    const Launcher *found = NULL;
    for (const Launcher *l = LAUNCHERS; l < LAUNCHERS + N_LAUNCHERS; l++) {
        Place there = *p;
        int n = !!getenv(l->size) + !!getenv(l->rank) + !!getenv(l->local_rank);
        if (n < 3 && (!n || !l->alone || found))
            continue;
        TRY(read_ranks(l, &there));
        if (!found) {
            *p = there;
            found = l;
        } else if (l->alone && (there.rank != p->rank || there.n_ranks != p->n_ranks))
            return fail(ERR_USAGE, "%s=%s and %s=%s say that this is rank %d of %d, but %s=%s and %s=%s that it is rank %d of %d; unset "
                                   "those of the launcher that did not start it",
                        found->rank, getenv(found->rank), found->size, getenv(found->size), p->rank, p->n_ranks, l->rank, getenv(l->rank),
                        l->size, getenv(l->size), there.rank, there.n_ranks);
    }
    *out = found;
    return OK;
}

/* ---------------------------------------------------------------- address */

/* "node[007-009,12],other": "node007". */
static void take_first_host(char out[PLACE_ADDRESS_BYTES], const char *list)
{
    size_t prefix = strcspn(list, "[,"), digits = list[prefix] == '[' ? strspn(list + prefix + 1, "0123456789") : 0;
    snprintf(out, PLACE_ADDRESS_BYTES, "%.*s%.*s", (int)prefix, list, (int)digits, list + prefix + !!digits);
}

/* srun puts rank 0 on the first node of the step. The same port for all ranks of a step, another for the next. */
static bool find_slurm(Place *p)
{
    enum { FIRST_PORT = 20000, PORTS = 12000 }; /* below those that systems give to whoever asks for any */
    const char *nodes = getenv("SLURM_STEP_NODELIST"), *job = getenv("SLURM_JOB_ID"), *step = getenv("SLURM_STEP_ID");
    if (!nodes || !*nodes || !job || !step)
        return false;
    take_first_host(p->address, nodes);
    p->port = FIRST_PORT + (int)((strtoull(job, NULL, 10) * 16 + strtoull(step, NULL, 10)) % PORTS);
    return true;
}

/* Whether all ranks are on this machine, in a run whose name there is known to all of them. */
static bool find_inside(const Launcher *l, Place *p)
{
    const char *size = text_of(l->local_size), *nodes = l->step ? getenv("SLURM_STEP_NUM_NODES") : NULL, *job = text_of(l->job),
               *step = text_of(l->step);
    bool inside = size ? !strcmp(size, getenv(l->size)) : nodes && !strcmp(nodes, "1");
    if (!inside || !job)
        return false;
    snprintf(p->address, sizeof p->address, "@genllava-%s-%s-%s", l->size, job, step ? step : "");
    return true;
}

static bool is_loopback(const char *address)
{
    return !strcmp(address, "127.0.0.1") || !strcmp(address, "localhost") || !strcmp(address, "::1");
}

static Status find_address(const Launcher *l, Place *p)
{
    const char *address = getenv("MASTER_ADDR"), *port = getenv("MASTER_PORT");
    if (address && *address == '@') { /* as launch.c says it */
        snprintf(p->address, sizeof p->address, "%s", address);
        return OK;
    }
    if (!address && !port && (find_inside(l, p) || find_slurm(p)))
        return OK;
    if (!address || !*address)
        return fail(ERR_USAGE, "MASTER_ADDR is not set; expected the name or address of the machine of rank 0, which all other ranks can "
                               "reach");
    TRY(read_number("MASTER_PORT", 1, 65535, "a port of MASTER_ADDR that nobody uses", &p->port));
    const char *torchrun_listens = getenv("TORCHELASTIC_USE_AGENT_STORE");
    if (torchrun_listens && !strcmp(torchrun_listens, "True")) /* there, itself */
        p->port += p->port < 65535 ? 1 : -1;
    if (strlen(address) >= sizeof p->address)
        return fail(ERR_USAGE, "MASTER_ADDR has %zu characters; expected the name or address of a machine", strlen(address));
    if (is_loopback(address))
        snprintf(p->address, sizeof p->address, "@genllava-%d", p->port);
    else
        snprintf(p->address, sizeof p->address, "%s", address);
    return OK;
}

/* Whoever reaches the port could take a rank's place. */
static Status find_token(Place *p)
{
    enum { SHORTEST = 16, LONGEST = PLACE_TOKEN_BYTES };
    const char *token = getenv("GENLLAVA_JOB_TOKEN");
    p->token = token ? token : "";
    size_t n = strlen(p->token);
    if ((*p->address != '@' || n) && (n < SHORTEST || n > LONGEST))
        return fail(ERR_USAGE, "GENLLAVA_JOB_TOKEN %s; ranks on several machines know one another by it: set it to the same %d to %d "
                               "characters that nobody else knows on all of them, as in GENLLAVA_JOB_TOKEN=$(openssl rand -hex 16)",
                    n ? "is too short or too long" : "is not set", (int)SHORTEST, (int)LONGEST);
    return OK;
}

static Status find_seconds(const char *variable, int otherwise, int *out)
{
    *out = otherwise;
    return getenv(variable) ? read_number(variable, 1, 1000000, "seconds", out) : OK;
}

Status place_find(Place *p)
{
    const Launcher *l;
    *p = (Place){.n_ranks = 1, .token = ""};
    TRY(find_launcher(p, &l));
    p->launcher = l ? l->size : NULL;
    p->open_mpi = l == &LAUNCHERS[OPEN_MPI];
    if (p->n_ranks == 1)
        return OK;
    TRY(find_address(l, p));
    TRY(find_token(p));
    TRY(find_seconds("GENLLAVA_RANKS_JOIN", 300, &p->join_s));
    TRY(find_seconds("GENLLAVA_RANKS_SILENCE", 20, &p->silence_s));
    return find_seconds("GENLLAVA_RANKS_PATIENCE", 1800, &p->patience_s);
}

void place_clear(void)
{
    for (const Launcher *l = LAUNCHERS; l < LAUNCHERS + N_LAUNCHERS; l++) {
        unsetenv(l->size);
        unsetenv(l->rank);
        unsetenv(l->local_rank);
    }
    unsetenv("MASTER_ADDR");
    unsetenv("MASTER_PORT");
}
