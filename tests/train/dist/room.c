/* What memory is left, as /proc and control groups say it: folders of the test stand for the system. */
#include "train/dist/room.h"

#include <math.h>
#include <stdio.h>

#include "data/formats/file.h"
#include "tests/harness.h"

enum { MiB = 1 << 20 };

static char root[512];

/* Writes a file of the made system; its folders are made too. */
static void put(const char *name, const char *text)
{
    char path[PATH_MAX], folder[PATH_MAX];
    file_join(path, root, name);
    REQUIRE_OK(file_make_folders(file_folder(folder, path)));
    REQUIRE_OK(file_write(path, text, strlen(text)));
}

/* A system that has 64 MiB, whose /proc/self/cgroup and mounts are these. */
static void begin(const char *name, const char *groups, const char *mounts)
{
    snprintf(root, sizeof root, "%s/%s", test_dir(), name);
    put("proc/meminfo", "MemTotal:  131072 kB\nMemFree:  1024 kB\nMemAvailable:   65536 kB\n");
    put("proc/self/cgroup", groups);
    put("proc/self/mountinfo", mounts);
}

static void expect(int64_t mib, const char *name)
{
    Room room;
    room_of_machine(&room, root);
    CHECK_INT(room.bytes, mib * MiB);
    CHECK_STR(room.name, name);
}

#define V2 "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1 "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"                                 \
           "33 31 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"                               \
           "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"

TEST(room_without_control_groups_is_what_the_system_has)
{
    begin("none", "", "");
    expect(64, "MemAvailable");
    begin("unlimited", "0::/job\n", V2);
    put("sys/fs/cgroup/job/memory.max", "max\n");
    put("sys/fs/cgroup/job/memory.current", "1048576\n");
    expect(64, "MemAvailable");
}

TEST(room_of_a_system_that_promises_no_more_than_it_has)
{
    begin("strict", "", "");
    put("proc/meminfo", "MemAvailable:   65536 kB\nCommitLimit:    40960 kB\nCommitted_AS:   10240 kB\n");
    put("proc/sys/vm/overcommit_memory", "0\n");
    expect(64, "MemAvailable");
    put("proc/sys/vm/overcommit_memory", "2\n");
    expect(30, "CommitLimit (vm.overcommit_memory is 2)");
}

TEST(room_of_a_group_counts_pages_of_files_as_free)
{
    begin("v2", "0::/user/job\n", V2);
    put("sys/fs/cgroup/user/job/memory.max", "33554432\n");
    put("sys/fs/cgroup/user/job/memory.high", "max\n");
    put("sys/fs/cgroup/user/job/memory.current", "30408704\n"); /* 29 MiB */
    put("sys/fs/cgroup/user/job/memory.stat",
        "anon 8388608\nfile 22020096\ninactive_anon 4096\nactive_anon 4096\ninactive_file 10485760\nactive_file 10485760\n");
    expect(32 - 29 + 20, "memory.max of /sys/fs/cgroup/user/job");
    put("sys/fs/cgroup/user/job/memory.high", "16777216\n");
    expect(16 - 29 + 20, "memory.high of /sys/fs/cgroup/user/job");
    put("sys/fs/cgroup/user/job/memory.high", "max\n");
    put("sys/fs/cgroup/user/memory.max", "12582912\n");
    put("sys/fs/cgroup/user/memory.current", "10485760\n");
    put("sys/fs/cgroup/user/memory.stat", "inactive_file 0\nactive_file 1048576\n");
    expect(12 - 10 + 1, "memory.max of /sys/fs/cgroup/user");
    put("sys/fs/cgroup/user/memory.max", "1048576\n"); /* more is used than allowed */
    expect(0, "memory.max of /sys/fs/cgroup/user");
}

TEST(room_of_a_group_of_the_first_version)
{
    begin("v1", "5:devices:/\n4:cpu,memory:/job\n1:name=systemd:/x\n0::/\n", V1);
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("sys/fs/cgroup/memory/memory.usage_in_bytes", "1048576\n");
    put("sys/fs/cgroup/memory/memory.stat", "total_inactive_file 0\n");
    expect(64, "MemAvailable");
    put("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "20971520\n");
    put("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "19922944\n");
    put("sys/fs/cgroup/memory/job/memory.stat",
        "inactive_file 1048576\nactive_file 1048576\ntotal_inactive_file 4194304\ntotal_active_file 2097152\n");
    expect(20 - 19 + 6, "memory.limit_in_bytes of /sys/fs/cgroup/memory/job");
}

/* Inside a container its group is mounted where the topmost would be, with or without the host's path in /proc/self/cgroup. */
TEST(room_of_a_container_is_that_of_its_group)
{
    static const char *const GROUPS[] = {"0::/docker/abc\n", "0::/\n", "0::/docker/abc/inner\n"};
    for (int i = 0; i < 3; i++) {
        begin(i == 0 ? "host" : i == 1 ? "own" : "inner", GROUPS[i], "29 23 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        put("sys/fs/cgroup/memory.max", "8388608\n");
        put("sys/fs/cgroup/memory.current", "2097152\n");
        put("sys/fs/cgroup/memory.stat", "inactive_file 0\n");
        expect(6, "memory.max of /sys/fs/cgroup");
    }
}

TEST(room_knows_the_time_of_processors_that_control_groups_grant)
{
    begin("time", "0::/slice/job\n", V2);
    CHECK(room_processors(root) == INFINITY);
    put("sys/fs/cgroup/slice/job/cpu.max", "max 100000\n");
    CHECK(room_processors(root) == INFINITY);
    put("sys/fs/cgroup/slice/job/cpu.max", "800000 100000\n");
    CHECK(room_processors(root) == 8);
    put("sys/fs/cgroup/slice/cpu.max", "50000 100000\n"); /* of the group above */
    CHECK(room_processors(root) == 0.5);
    begin("time1", "3:memory:/elsewhere\n1:cpu:/job\n", V1);
    put("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
    put("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "-1\n");
    CHECK(room_processors(root) == INFINITY);
    put("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "250000\n");
    CHECK(room_processors(root) == 2.5);
}
