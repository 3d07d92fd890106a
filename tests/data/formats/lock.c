/* lock.h: who holds a folder, who may take it over. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/lock.h"
#include "tests/harness.h"

/* In place of the C library's: a file system may have none. */
static bool no_flock;
int flock(int fd, int operation)
{
    errno = ENOLCK;
    return no_flock ? -1 : (int)syscall(SYS_flock, fd, operation);
}

TEST(lock_names_its_holder_and_goes_with_it)
{
    Lock l = {.held = false};
    char path[PATH_MAX], wanted[2 * PATH_MAX], host[128] = "";
    file_join(path, test_dir(), ".lock");
    gethostname(host, sizeof host - 1);
    REQUIRE_OK(lock_take(&l, test_dir(), "used", true));
    pid_t child = fork();
    if (!child) {
        Lock other = {.held = false};
        snprintf(wanted, sizeof wanted, "%s is being used by process %d on %s; wait for it, or remove %s when it is gone", test_dir(),
                 (int)getppid(), host, path);
        _exit(lock_take(&other, test_dir(), "used", true) == ERR_CREATE && !strcmp(status_message(), wanted) ? 0 : 1);
    }
    int status;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK_INT(status, 0);
    lock_release(&l);
    CHECK(!file_exists(path));
    lock_release(&l);
}

TEST(lock_left_by_another_host_stays_where_hosts_count)
{
    Lock l = {.held = false};
    char path[PATH_MAX];
    REQUIRE_OK(file_replace(file_join(path, test_dir(), ".lock"), "elsewhere 77"));
    CHECK_INT(lock_take(&l, test_dir(), "used", true), ERR_CREATE);
    CHECK(strstr(status_message(), " is being used by process 77 on elsewhere; "));
    REQUIRE_OK(lock_take(&l, test_dir(), "used", false));
    lock_release(&l);
    REQUIRE_OK(file_replace(path, "no host at all"));
    REQUIRE_OK(lock_take(&l, test_dir(), "used", false));
    lock_release(&l);
    CHECK(!file_exists(path));
}

TEST(lock_without_flock_is_never_taken_from_another_host)
{
    Lock l = {.held = false};
    char path[PATH_MAX], host[128] = "", text[256];
    gethostname(host, sizeof host - 1);
    file_join(path, test_dir(), ".lock");
    no_flock = true;
    REQUIRE_OK(file_replace(path, "elsewhere 999999999")); /* a pid that no process of this host has */
    CHECK_INT(lock_take(&l, test_dir(), "used", false), ERR_CREATE);
    CHECK(strstr(status_message(), " is being used by process 999999999 on elsewhere; wait for it, or remove "));
    REQUIRE_OK(file_write(path, "", 0)); /* another has just made it */
    CHECK_INT(lock_take(&l, test_dir(), "used", false), ERR_CREATE);
    snprintf(text, sizeof text, "%s 1", host);
    REQUIRE_OK(file_replace(path, text));
    CHECK_INT(lock_take(&l, test_dir(), "used", false), ERR_CREATE);
    snprintf(text, sizeof text, "%s 999999999", host);
    REQUIRE_OK(file_replace(path, text));
    REQUIRE_OK(lock_take(&l, test_dir(), "used", false));
    lock_release(&l);
    REQUIRE_OK(lock_take(&l, test_dir(), "used", false));
    lock_release(&l);
    CHECK(!file_exists(path));
}

TEST(lock_is_seen_by_those_who_only_look)
{
    Lock l = {.held = false};
    char path[PATH_MAX];
    CHECK(!lock_is_held(test_dir()));
    REQUIRE_OK(lock_take(&l, test_dir(), "used", true));
    CHECK(lock_is_held(test_dir()));
    CHECK(lock_is_held(test_dir())); /* looking has taken nothing */
    lock_release(&l);
    CHECK(!lock_is_held(test_dir()));
    file_join(path, test_dir(), ".lock"); /* what a process that is gone has left */
    REQUIRE_OK(file_write(path, "host 1\n", 7));
    CHECK(!lock_is_held(test_dir()));
}
