/* jobs: worker processes that fail or die are named, and the others end with them; numbers by order of first mention. */
#include <signal.h>
#include <unistd.h>

#include "data/prepare/parts.h"
#include "tests/harness.h"

typedef struct Work {
    int bad;    /* number of the worker that does not end well */
    int signal; /* that ends it; 0: it fails */
} Work;

static Status body(void *work, int number)
{
    const Work *w = work;
    if (w->bad < 0)
        return OK;
    if (number != w->bad)
        for (;;)
            pause(); /* until it is ended */
    return raise(w->signal) ? ERR_INTERNAL : fail(ERR_DATA, "worker %d is unhappy", number);
}

static void meanwhile(const void *work) { (void)work; }

TEST(jobs_say_which_worker_failed_or_died)
{
    alarm(60); /* workers that nobody ends would pause for ever */
    CHECK_OK(jobs_run(5, body, meanwhile, &(Work){-1, 0}));
    CHECK_FAILS(jobs_run(3, body, meanwhile, &(Work){1, 0}), ERR_DATA, "worker 1 is unhappy");
    CHECK_FAILS(jobs_run(3, body, meanwhile, &(Work){2, SIGKILL}), ERR_INTERNAL, "worker process 3 was ended by signal 9 (Killed)");
    CHECK_FAILS(jobs_run(PREPARE_MAX_JOBS, body, meanwhile, &(Work){63, SIGABRT}), ERR_INTERNAL,
                "worker process 64 was ended by signal 6 (Aborted)");
}

TEST(numbers_count_things_as_they_are_first_met)
{
    Table m = {.n = 0};
    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 5000; i++) {
            uint32_t number;
            bool is_new;
            const XXH128_hash_t hash = XXH3_128bits(&i, sizeof i);
            REQUIRE_OK(numbers_of(&m, &hash, &number, &is_new));
            CHECK(number == i && is_new == !round);
        }
    CHECK_INT(m.n, 5000);
    table_free(&m);
}
