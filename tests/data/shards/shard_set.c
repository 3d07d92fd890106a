/* shard_set: a set is checked as it would be opened, in the memory of one shard. */
#include "data/shards/shard_set.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/text/encode.h"
#include "kernels/base/arena.h"
#include "tests/data/shards/made_shard.h"
#include "tests/harness.h"

static const int32_t PICTURED[] = {1, 7, ID_IMAGE, 8, 2}, DRAWN[] = {1, 4, 1000, 1001, 1002, 1003, 2},
                     TWICE[] = {1, 1000, 1001, 1002, 1003, 1000, 1001, 1002, 1003};
static const uint32_t LAST_OF_FIRST[] = {MADE_IN(0, 1)}, BOTH[] = {1, 0};
static const MadeSample TALK = {PICTURED, "---xx", 0, 1, LAST_OF_FIRST, "{}", NULL, TASK_UNDERSTAND},
                        ANSWER = {DRAWN, "--xxxxx", 0, 1, NULL, "{}", NULL, TASK_UNDERSTAND},
                        DRAWING = {TWICE, "-xxxxxxxx", 0, 1, NULL, "{}", BOTH, TASK_GENERATE};

static const char *shard_path(int64_t k, int64_t n)
{
    static char path[512];
    char name[64];
    shard_file_name(name, sizeof name, k, n);
    return file_join(path, test_dir(), name);
}

static void make_set(int n_images)
{
    made_shard(shard_path(0, 3), &ANSWER, 1, n_images, 0, 3, 0);
    made_shard(shard_path(1, 3), &DRAWING, 1, 2, 1, 3, 1);
    made_shard(shard_path(2, 3), &TALK, 1, 1, 2, 3, 2);
}

TEST(shards_tell_their_targets)
{
    ShardTargets t;
    make_set(2);
    REQUIRE_OK(shards_check(test_dir(), MADE_VOCABULARY + MADE_VISUAL, &t));
    CHECK(t.rows[TASK_UNDERSTAND] == 1 && t.pictures[TASK_UNDERSTAND] == 1);
    CHECK(t.rows[TASK_GENERATE] == 1 && t.pictures[TASK_GENERATE] == 2);
    CHECK(t.rows[TASK_EDIT] == 0 && t.pictures[TASK_EDIT] == 0);
}

/* By who opens the set and by who checks it. */
static void check_refused(int64_t n_ids, Status kind, const char *wanted)
{
    ShardSet set;
    ShardTargets targets;
    CHECK_FAILS(shards_open(&set, test_dir(), 1000, n_ids), kind, wanted);
    CHECK_FAILS(shards_check(test_dir(), n_ids, &targets), kind, wanted);
}

TEST(shards_are_refused_by_a_check_as_when_they_are_opened)
{
    char wanted[1024];
    snprintf(wanted, sizeof wanted, "%s: there are no shards; run prepare", test_dir());
    check_refused(0, ERR_MISSING, wanted);
    make_set(1);
    snprintf(wanted, sizeof wanted, "%s: reference 0 leads to image 1 of shard 0, which has 1 image", shard_path(2, 3));
    check_refused(0, ERR_DATA, wanted);
    make_set(2);
    snprintf(wanted, sizeof wanted, "%s: was made for 1004 token ids, the run has 1003; run prepare again", shard_path(0, 3));
    check_refused(1003, ERR_DATA, wanted);
    unlink(shard_path(1, 3));
    snprintf(wanted, sizeof wanted, "%s: No such file or directory", shard_path(1, 3));
    check_refused(0, ERR_MISSING, wanted);
}

static int64_t most_memory(void)
{
    struct rusage use;
    REQUIRE(!getrusage(RUSAGE_SELF, &use));
    return (int64_t)use.ru_maxrss * 1024;
}

/* Tokens of all shards would take 50 times those of one. */
TEST(shards_are_checked_in_the_memory_of_one)
{
    enum { SHARDS = 50, SAMPLES = 60, TOKENS = 1000 };
    static int32_t id[TOKENS];
    static char trained[TOKENS + 1];
    static MadeSample samples[SAMPLES];
    for (int i = 0; i < TOKENS; i++)
        id[i] = 1 + i % 900;
    memset(trained, 'x', TOKENS);
    for (int i = 0; i < SAMPLES; i++)
        samples[i] = (MadeSample){id, trained, 0, 1, NULL, "{}", NULL, TASK_UNDERSTAND};
    for (int k = 0; k < SHARDS; k++)
        made_shard(shard_path(k, SHARDS), samples, SAMPLES, 1, k, SHARDS, (int64_t)k * SAMPLES);
    ShardTargets t;
    const int64_t before = most_memory();
    REQUIRE_OK(shards_check(test_dir(), 0, &t));
#ifndef __SANITIZE_ADDRESS__ /* whose own memory is not ours to know */
    const int64_t more = most_memory() - before, all = (int64_t)SHARDS * SAMPLES * TOKENS * (int64_t)(sizeof *id + 1);
    CHECK_MSG(more < all / 10, "%lld bytes more", (long long)more);
#else
    CHECK(before > 0);
#endif
}
