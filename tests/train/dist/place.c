/* place.h: what launchers leave in the environment, and mistakes in it. */
#include "train/dist/place.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/harness.h"

static const char TOKEN[] = "0123456789abcdef";

static void set_all(const char *const *pairs)
{
    static const char *const KNOWN[] = {
        "RANK", "WORLD_SIZE", "LOCAL_RANK", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
        "OMPI_COMM_WORLD_LOCAL_SIZE", "PMIX_NAMESPACE", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS",
        "SLURM_LOCALID", "SLURM_STEP_NUM_NODES", "SLURM_STEP_NODELIST", "SLURM_JOB_ID", "SLURM_STEP_ID", "MASTER_ADDR", "MASTER_PORT",
        "GENLLAVA_JOB_TOKEN", "GENLLAVA_RANKS_JOIN", "TORCHELASTIC_USE_AGENT_STORE"};
    for (size_t i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++)
        unsetenv(KNOWN[i]);
    for (; *pairs; pairs += 2)
        setenv(pairs[0], pairs[1], 1);
}

#define TORCHRUN(rank, n, local) "WORLD_SIZE", n, "RANK", rank, "LOCAL_RANK", local
#define OPEN_MPI(rank, n, local) \
    "OMPI_COMM_WORLD_SIZE", n, "OMPI_COMM_WORLD_RANK", rank, "OMPI_COMM_WORLD_LOCAL_RANK", local
#define SLURM(rank, n, local) "SLURM_STEP_NUM_TASKS", n, "SLURM_PROCID", rank, "SLURM_LOCALID", local
#define THERE(address, port) "MASTER_ADDR", address, "MASTER_PORT", port

TEST(place_is_what_the_launcher_says)
{
    static const struct {
        const char *set[24], *is;
    } CASES[] = {
        {{NULL}, "0 of 1, 0: :0"},
        {{TORCHRUN("0", "1", "0")}, "0 of 1, 0: :0"},
        {{"SLURM_NTASKS", "8", "SLURM_PROCID", "0", "SLURM_LOCALID", "0"}, "0 of 1, 0: :0"}, /* a batch script */
        {{TORCHRUN("3", "4", "1"), THERE("node1", "29500"), "GENLLAVA_JOB_TOKEN", TOKEN}, "3 of 4, 1: node1:29500"},
        {{TORCHRUN("3", "4", "1"), THERE("node1", "29500"), "TORCHELASTIC_USE_AGENT_STORE", "True", "GENLLAVA_JOB_TOKEN", TOKEN},
         "3 of 4, 1: node1:29501"}, /* torchrun itself listens at MASTER_PORT */
        {{TORCHRUN("3", "4", "3"), THERE("localhost", "29500")}, "3 of 4, 3: @genllava-29500:29500"},
        {{TORCHRUN("3", "4", "3"), THERE("127.0.0.1", "29500")}, "3 of 4, 3: @genllava-29500:29500"},
        {{TORCHRUN("1", "2", "1"), "MASTER_ADDR", "@a"}, "1 of 2, 1: @a:0"},
        {{OPEN_MPI("2", "3", "2"), "OMPI_COMM_WORLD_LOCAL_SIZE", "3", "PMIX_NAMESPACE", "77"},
         "2 of 3, 2: @genllava-OMPI_COMM_WORLD_SIZE-77-:0"},
        {{OPEN_MPI("2", "3", "2"), "OMPI_COMM_WORLD_LOCAL_SIZE", "2", "PMIX_NAMESPACE", "77", THERE("n", "1"), "GENLLAVA_JOB_TOKEN", TOKEN},
         "2 of 3, 2: n:1"},
        {{"PMI_SIZE", "3", "PMI_RANK", "2", "MPI_LOCALRANKID", "1", THERE("localhost", "5")}, "2 of 3, 1: @genllava-5:5"},
        {{SLURM("2", "5", "1"), "SLURM_STEP_NUM_NODES", "1", "SLURM_JOB_ID", "12", "SLURM_STEP_ID", "3"},
         "2 of 5, 1: @genllava-SLURM_STEP_NUM_TASKS-12-3:0"},
        {{SLURM("2", "5", "1"), "SLURM_STEP_NUM_NODES", "2", "SLURM_JOB_ID", "12", "SLURM_STEP_ID", "3", "SLURM_STEP_NODELIST",
          "node[007-009,12],other", "GENLLAVA_JOB_TOKEN", TOKEN},
         "2 of 5, 1: node007:20195"},
        {{SLURM("2", "5", "1"), "SLURM_STEP_NUM_NODES", "2", "SLURM_JOB_ID", "12", "SLURM_STEP_ID", "3", "SLURM_STEP_NODELIST", "a,b",
          "GENLLAVA_JOB_TOKEN", TOKEN},
         "2 of 5, 1: a:20195"},
        /* srun starts a torchrun a node, which starts ranks; and the other way round a set that is not whole */
        {{SLURM("1", "2", "0"), TORCHRUN("9", "16", "1"), THERE("n", "1"), "GENLLAVA_JOB_TOKEN", TOKEN}, "9 of 16, 1: n:1"},
        {{OPEN_MPI("2", "3", "2"), "WORLD_SIZE", "1", THERE("localhost", "5")}, "2 of 3, 2: @genllava-5:5"},
        {{OPEN_MPI("2", "3", "2"), TORCHRUN("2", "3", "2"), THERE("localhost", "5")}, "2 of 3, 2: @genllava-5:5"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Place p;
        char is[PLACE_ADDRESS_BYTES + 64];
        set_all(CASES[i].set);
        CHECK_OK(place_find(&p));
        snprintf(is, sizeof is, "%d of %d, %d: %s:%d", p.rank, p.n_ranks, p.local_rank, p.address, p.port);
        CHECK_STR(is, CASES[i].is);
        CHECK_INT(p.open_mpi, !!getenv("OMPI_COMM_WORLD_RANK"));
    }
}

TEST(place_mistakes_name_the_variables)
{
    static const struct {
        const char *set[24], *says;
    } CASES[] = {
        {{"WORLD_SIZE", "2", "LOCAL_RANK", "0"}, "RANK is not set; expected the number of this rank, 0 … 1"},
        {{"WORLD_SIZE", "2", "RANK", "0"},
         "LOCAL_RANK is not set; expected the number of this rank among those of its machine, 0 … 1"},
        {{"RANK", "0"}, "WORLD_SIZE is not set; expected the number of ranks, 1 … 65536"},
        {{"OMPI_COMM_WORLD_SIZE", "2"}, "OMPI_COMM_WORLD_RANK is not set; expected the number of this rank, 0 … 1"},
        {{TORCHRUN("2", "2", "0")}, "RANK is 2; expected the number of this rank, 0 … 1"},
        {{TORCHRUN("0", "two", "0")}, "WORLD_SIZE is two; expected the number of ranks, 1 … 65536"},
        {{TORCHRUN("-1", "2", "0")}, "RANK is -1; expected the number of this rank, 0 … 1"},
        {{OPEN_MPI("2", "3", "2"), TORCHRUN("1", "2", "1")},
         "OMPI_COMM_WORLD_RANK=2 and OMPI_COMM_WORLD_SIZE=3 say that this is rank 2 of 3, but RANK=1 and WORLD_SIZE=2 that it is "
         "rank 1 of 2; unset those of the launcher that did not start it"},
        {{TORCHRUN("1", "2", "1")},
         "MASTER_ADDR is not set; expected the name or address of the machine of rank 0, which all other ranks can reach"},
        {{TORCHRUN("1", "2", "1"), "MASTER_ADDR", "n"},
         "MASTER_PORT is not set; expected a port of MASTER_ADDR that nobody uses, 1 … 65535"},
        {{TORCHRUN("1", "2", "1"), "MASTER_PORT", "1"},
         "MASTER_ADDR is not set; expected the name or address of the machine of rank 0, which all other ranks can reach"},
        {{TORCHRUN("1", "2", "1"), THERE("n", "70000")},
         "MASTER_PORT is 70000; expected a port of MASTER_ADDR that nobody uses, 1 … 65535"},
        {{TORCHRUN("1", "2", "1"), THERE("n", "1")},
         "GENLLAVA_JOB_TOKEN is not set; ranks on several machines know one another by it: set it to the same 16 to 256 characters that "
         "nobody else knows on all of them, as in GENLLAVA_JOB_TOKEN=$(openssl rand -hex 16)"},
        {{TORCHRUN("1", "2", "1"), THERE("n", "1"), "GENLLAVA_JOB_TOKEN", "short"},
         "GENLLAVA_JOB_TOKEN is too short or too long; ranks on several machines know one another by it: set it to the same 16 to 256 "
         "characters that nobody else knows on all of them, as in GENLLAVA_JOB_TOKEN=$(openssl rand -hex 16)"},
        {{TORCHRUN("1", "2", "1"), THERE("localhost", "1"), "GENLLAVA_RANKS_JOIN", "soon"},
         "GENLLAVA_RANKS_JOIN is soon; expected seconds, 1 … 1000000"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Place p;
        set_all(CASES[i].set);
        CHECK_FAILS(place_find(&p), ERR_USAGE, CASES[i].says);
    }
}

TEST(place_is_alone_once_the_environment_is_cleared)
{
    static const char *const SET[] = {OPEN_MPI("2", "3", "2"), TORCHRUN("2", "3", "2"),  SLURM("2", "3", "2"),
                                      "PMI_SIZE", "3", "PMI_RANK", "2", "MPI_LOCALRANKID", "2", THERE("localhost", "5"), NULL};
    Place p;
    set_all(SET);
    CHECK_OK(place_find(&p));
    CHECK_INT(p.n_ranks, 3);
    place_clear();
    CHECK_OK(place_find(&p));
    CHECK_INT(p.n_ranks, 1);
    CHECK(!getenv("MASTER_ADDR") && !getenv("MASTER_PORT"));
}
