/* file.h: names at their limits, what is said when reading or writing fails, drafts that appear whole or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/held.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"

static void check_text(const char *path, const char *wanted)
{
    char *text;
    size_t n;
    REQUIRE_OK(file_read(&text, &n, path, 1 << 20));
    CHECK_STR(text, wanted);
    mem_free(text);
}

TEST(file_same_sees_through_links)
{
    char a[PATH_MAX], b[PATH_MAX], folder[PATH_MAX];
    file_join(a, test_dir(), "a");
    REQUIRE_OK(file_write(a, "x", 1));
    CHECK(file_same(a, a));
    file_join(b, test_dir(), "b");
    CHECK(!file_same(a, b));
    CHECK(file_same(b, b)); /* neither is there */
    REQUIRE(!symlink("a", b));
    CHECK(file_same(a, b));
    REQUIRE(!unlink(b) && !link(a, b));
    CHECK(file_same(a, b));
    CHECK(!file_same(file_folder(folder, a), folder)); /* no file */
    CHECK(!file_same("/dev/null", "/dev/null"));
    CHECK_INT(file_spare("--out", b, a, "list"), ERR_USAGE);
    char wanted[2 * PATH_MAX];
    snprintf(wanted, sizeof wanted, "--out %s: is the list of this run, which would be lost; choose another name", b);
    CHECK_STR(status_message(), wanted);
    REQUIRE(!unlink(b));
    CHECK_INT(file_spare("--out", b, a, "list"), OK);
    CHECK_INT(file_spare("--out", "-", "-", "list"), OK);
    CHECK_INT(file_spare("--out", NULL, a, "list"), OK);
}

TEST(file_joins_and_takes_apart)
{
    char path[PATH_MAX], folder[PATH_MAX], fits[PATH_MAX];
    CHECK_STR(file_join(path, "a/b", "c.txt"), "a/b/c.txt");
    CHECK_STR(file_folder(folder, path), "a/b");
    CHECK_STR(file_folder(folder, "c.txt"), ".");
    CHECK_STR(file_folder(folder, "/c.txt"), "/");
    for (size_t i = 0; i + 2 < sizeof fits; i += 2)
        memcpy(fits + i, "./", 3);
    fits[PATH_MAX - 3] = 0;
    CHECK_INT(strlen(file_join(path, fits, "x")), PATH_MAX - 1);
    char *text;
    size_t n;
    CHECK_INT(file_read(&text, &n, file_join(path, fits, "etc"), 10), ERR_MISSING);
    CHECK(strstr(status_message(), "File name too long"));
    CHECK_INT(file_write(path, "", 0), ERR_CREATE);
}

TEST(file_names_file_and_cause)
{
    char path[PATH_MAX], wanted[PATH_MAX + 128], *text, bytes[8];
    size_t n;
    file_join(path, test_dir(), "long.txt");
    REQUIRE_OK(file_save(path, "0123456789", 10));
    snprintf(wanted, sizeof wanted, "%s: larger than the 9 bytes allowed here", path);
    CHECK_FAILS(file_read(&text, &n, path, 9), ERR_DATA, wanted);
    int fd = open(path, O_RDWR);
    REQUIRE_OK(file_read_at(fd, path, bytes, 4, 3));
    CHECK(!memcmp(bytes, "3456", 4));
    REQUIRE_OK(file_write_at(fd, path, "ab", 2, 5));
    check_text(path, "01234ab789");
    snprintf(wanted, sizeof wanted, "%s: the file ends early", path);
    CHECK_FAILS(file_read_at(fd, path, bytes, 4, 7), ERR_DATA, wanted);
    close(fd);
    snprintf(wanted, sizeof wanted, "%s: is a folder, expected a file", test_dir());
    CHECK_FAILS(file_read(&text, &n, test_dir(), 9), ERR_MISSING, wanted);
    signal(SIGXFSZ, SIG_IGN);
    REQUIRE(!setrlimit(RLIMIT_FSIZE, &(struct rlimit){8, RLIM_INFINITY}));
    snprintf(wanted, sizeof wanted, "%s: cannot be written: File too large", path);
    CHECK_FAILS(file_save(path, "more than eight bytes", 21), ERR_IO, wanted);
    CHECK_FAILS(file_replace(path, "more than eight bytes"), ERR_IO, wanted);
    CHECK_FAILS(file_make_folders("/proc/nothing/here"), ERR_CREATE, "/proc/nothing: cannot be created: No such file or directory");
    REQUIRE_OK(file_make_folders(file_join(path, test_dir(), "a/b/c")));
    REQUIRE_OK(file_make_folders(path));
    REQUIRE_OK(file_remove(file_join(path, test_dir(), "a")));
    CHECK(!file_exists(path));
}

static Status append_name(void *list, const char *name)
{
    strcat(strcat(list, name), " ");
    return OK;
}

static void check_names(const char *folder, const char *wanted)
{
    char names[256] = "";
    REQUIRE_OK(file_list(folder, append_name, names));
    CHECK_STR(names, wanted);
}

TEST(file_drafts_appear_whole_or_not_at_all)
{
    char path[PATH_MAX];
    FileDraft d;
    REQUIRE_OK(file_replace(file_join(path, test_dir(), "b"), "old"));
    REQUIRE_OK(file_draft(&d, path));
    fputs("new", d.out);
    check_names(test_dir(), ".b.new b ");
    CHECK_FAILS(file_publish(&d, fail(ERR_DATA, "no")), ERR_DATA, "no");
    check_names(test_dir(), "b ");
    check_text(path, "old\n");
    REQUIRE_OK(file_draft(&d, path));
    fputs("new", d.out);
    REQUIRE_OK(file_publish(&d, OK));
    check_names(test_dir(), "b ");
    check_text(path, "new");
}

TEST(file_drafts_that_are_settled_wait_for_each_other)
{
    char one[PATH_MAX], two[PATH_MAX];
    FileDraft d;
    REQUIRE_OK(file_replace(file_join(one, test_dir(), "one"), "old"));
    file_join(two, test_dir(), "two");
    REQUIRE_OK(file_draft(&d, one));
    fputs("new", d.out);
    REQUIRE_OK(file_settle(&d, OK));
    REQUIRE_OK(file_draft(&d, two));
    CHECK_FAILS(file_settle(&d, fail(ERR_DATA, "no")), ERR_DATA, "no");
    check_names(test_dir(), ".one.new one ");
    check_text(one, "old\n");
    REQUIRE_OK(file_draft(&d, two));
    REQUIRE_OK(file_settle(&d, OK));
    REQUIRE_OK(file_reveal(one));
    check_text(one, "new");
    file_withdraw(two);
    file_withdraw(two); /* none is fine */
    check_names(test_dir(), "one ");
}

/* In place of the C library's: a file system may be unable to exchange names, and the process may be killed before a rename. */
static bool no_exchange;
static int renames_left = -1;
int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
    errno = EINVAL;
    if (flags && no_exchange)
        return -1;
    if (!flags && !renames_left--)
        _exit(9);
    return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
}

/* A process of its own publishes `hidden` as `path` and is killed before the rename number `renames`. Returns how it ended. */
static int publish_killed(const char *hidden, const char *path, int renames)
{
    int status = -1;
    pid_t child = fork();
    if (!child) {
        renames_left = renames;
        _exit(file_publish_folder(hidden, path) != OK);
    }
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

TEST(file_folder_in_place_of_another_is_never_missing)
{
    char hidden[PATH_MAX], path[PATH_MAX], member[PATH_MAX];
    file_join(path, test_dir(), "set");
    file_join(hidden, test_dir(), ".set.tmp");
    REQUIRE_OK(file_make_folders(path));
    REQUIRE_OK(file_save(file_join(member, path, "old"), "", 0));
    REQUIRE_OK(file_stage_folder(hidden));
    REQUIRE_OK(file_save(file_join(member, hidden, "new"), "", 0));
    no_exchange = true;
    CHECK_INT(publish_killed(hidden, path, 1), 9);
    check_names(test_dir(), ".set.aside .set.tmp ");
    REQUIRE_OK(file_put_back(test_dir(), ".set.tmp"));
    REQUIRE_OK(file_put_back(test_dir(), ".set.aside"));
    check_names(test_dir(), ".set.tmp set ");
    check_names(path, "old ");
    no_exchange = false;
    CHECK_INT(publish_killed(hidden, path, 0), 0); /* nothing is renamed: the names are exchanged */
    check_names(test_dir(), "set ");
    check_names(path, "new ");
    REQUIRE_OK(file_make_folders(file_join(hidden, test_dir(), ".set.aside")));
    REQUIRE_OK(file_put_back(test_dir(), ".set.aside")); /* the name is taken */
    check_names(path, "new ");
}

TEST(file_folders_are_replaced_whole)
{
    char hidden[PATH_MAX], path[PATH_MAX], member[PATH_MAX];
    file_join(path, test_dir(), "set");
    file_join(hidden, test_dir(), ".set.tmp");
    for (int round = 0; round < 3; round++) { /* a later stage finds a left-over, a later set an older one */
        no_exchange = round == 2;
        REQUIRE_OK(file_make_folders(file_join(member, hidden, "left-over")));
        REQUIRE_OK(file_stage_folder(hidden));
        check_names(hidden, "");
        REQUIRE_OK(file_save(file_join(member, hidden, round ? "two" : "one"), "", 0));
        REQUIRE_OK(file_publish_folder(hidden, path));
        check_names(path, round ? "two " : "one ");
        check_names(test_dir(), "set ");
    }
    REQUIRE_OK(file_retire_folder(path));
    check_names(test_dir(), "");
}

/* The name leads elsewhere from here on: to a folder with a file of its own, by a link or not. elsewhere: another spelling of its path,
 * which leads to what stands there and not to what is held. */
static void swap_folder(const char *path, bool by_link, char elsewhere[PATH_MAX])
{
    char moved[PATH_MAX + 16], file[PATH_MAX];
    snprintf(moved, sizeof moved, "%s.moved", path);
    snprintf(elsewhere, PATH_MAX, "/.%.*s%s", PATH_MAX - 16, path, by_link ? ".elsewhere" : "");
    REQUIRE(!rename(path, moved));
    REQUIRE_OK(file_make_folders(elsewhere));
    REQUIRE_OK(file_replace(file_join(file, elsewhere, "theirs"), "theirs"));
    REQUIRE(!by_link || !symlink(elsewhere, path));
}

TEST(a_held_folder_is_written_whatever_its_name_leads_to)
{
    for (int by_link = 0; by_link < 2; by_link++) {
        char run[PATH_MAX], path[PATH_MAX], moved[PATH_MAX], to[PATH_MAX], elsewhere[PATH_MAX];
        FILE *f;
        int fd;
        file_join(run, test_dir(), by_link ? "linked" : "other");
        file_join(moved, test_dir(), by_link ? "linked.moved" : "other.moved");
        REQUIRE_OK(file_make_folders(file_join(path, run, "sub")));
        REQUIRE_OK(held_take(run));
        CHECK(held_same(run));
        swap_folder(run, by_link, elsewhere);
        CHECK(!held_same(run));
        REQUIRE_OK(file_save(file_join(path, run, "saved"), "1", 1));
        REQUIRE_OK(file_save(file_join(path, run, "sub/saved"), "1", 1));
        REQUIRE_OK(file_replace(file_join(path, run, "replaced"), "1"));
        REQUIRE_OK(file_create(&fd, file_join(path, run, "created")));
        close(fd);
        REQUIRE_OK(file_append(&f, file_join(path, run, "appended")));
        fclose(f);
        REQUIRE_OK(file_make_own_folder(file_join(path, run, "folder")));
        REQUIRE_OK(file_rename(file_join(path, run, "created"), file_join(to, run, "renamed")));
        REQUIRE_OK(file_remove(file_join(path, run, "theirs"))); /* which is not there */
        check_names(elsewhere, "theirs ");
        check_names(moved, "appended folder renamed replaced saved sub ");
        check_names(run, "appended folder renamed replaced saved sub ");
        REQUIRE(!symlink(elsewhere, file_join(path, moved, "linked"))); /* a link below it is not followed either */
        CHECK_INT(file_save(file_join(path, run, "linked/x"), "1", 1), ERR_CREATE);
        check_names(elsewhere, "theirs ");
        held_release(run);
        check_names(run, "theirs ");
    }
}

/* What is swapped: the staged folder, or one held inside it; before it is published. */
static void publish_swapped(const char *name, bool inside, bool by_link)
{
    char hidden[PATH_MAX], path[PATH_MAX], inner[PATH_MAX], elsewhere[PATH_MAX], file[PATH_MAX];
    snprintf(hidden, sizeof hidden, "%s/.%s.tmp", test_dir(), name);
    file_join(path, test_dir(), name);
    REQUIRE_OK(file_stage_folder(hidden));
    REQUIRE_OK(file_stage_folder(file_join(inner, hidden, "llm")));
    swap_folder(inside ? inner : hidden, by_link, elsewhere);
    REQUIRE_OK(file_save(file_join(file, inner, "weights"), "1", 1));
    check_names(elsewhere, "theirs ");
    CHECK_INT(file_discard_folder(hidden, file_publish_folder(hidden, path)), ERR_IO);
    CHECK(strstr(status_message(), ": is no longer the folder that was being filled: it is moved, or swapped for another one or a link"));
    CHECK(!file_exists(path));
    check_names(elsewhere, "theirs ");
}

TEST(a_staged_folder_that_is_swapped_is_not_published_nor_is_what_stands_there_removed)
{
    publish_swapped("whole-other", false, false);
    publish_swapped("whole-link", false, true);
    publish_swapped("inside-other", true, false);
    publish_swapped("inside-link", true, true);
}

TEST(file_follows_no_link_when_it_writes_and_waits_for_no_pipe)
{
    char path[PATH_MAX], victim[PATH_MAX], *text;
    size_t n;
    FileDraft d;
    FILE *f;
    REQUIRE_OK(file_replace(file_join(victim, test_dir(), "victim"), "mine"));
    REQUIRE(!symlink(victim, file_join(path, test_dir(), "link")) && !symlink(victim, file_join(path, test_dir(), ".draft.new")));
    file_join(path, test_dir(), "link");
    CHECK_INT(file_save(path, "x", 1), ERR_CREATE);
    CHECK_INT(file_append(&f, path), ERR_CREATE);
    CHECK_INT(file_make_own_folder(path), ERR_CREATE);
    REQUIRE_OK(file_draft(&d, file_join(path, test_dir(), "draft")));
    fputs("new", d.out);
    REQUIRE_OK(file_publish(&d, OK));
    check_text(path, "new");
    check_text(victim, "mine\n");
    REQUIRE(!mkfifo(file_join(path, test_dir(), "pipe"), 0600));
    CHECK_INT(file_read(&text, &n, path, 9), ERR_MISSING);
    CHECK(strstr(status_message(), "pipe: is a pipe, expected a file"));
    CHECK_INT(file_read_pipe(&text, &n, "/dev/zero", 9), ERR_MISSING);
}

TEST(file_temporary_folders_are_new_and_of_one_user)
{
    char one[PATH_MAX], two[PATH_MAX], begins[PATH_MAX], far[PATH_MAX];
    struct stat st;
    setenv("TMPDIR", test_dir(), 1);
    REQUIRE_OK(file_make_temporary(one, "a"));
    REQUIRE_OK(file_make_temporary(two, "a"));
    CHECK(strcmp(one, two) != 0);
    snprintf(begins, sizeof begins, "%s/genllava-a-", test_dir());
    CHECK_MSG(!strncmp(one, begins, strlen(begins)), "%s", one);
    REQUIRE(!stat(one, &st));
    CHECK_INT(st.st_mode & 07777, 0700);
    setenv("TMPDIR", "/nowhere", 1);
    CHECK(file_make_temporary(one, "a") == ERR_CREATE);
    CHECK_MSG(strstr(status_message(), "No such file or directory; TMPDIR names another place"), "%s", status_message());
    memset(far, 'x', sizeof far - 1);
    far[sizeof far - 1] = 0;
    setenv("TMPDIR", far, 1);
    CHECK(file_make_temporary(one, "a") == ERR_CREATE);
    CHECK_MSG(strstr(status_message(), "File name too long"), "%s", status_message());
}
