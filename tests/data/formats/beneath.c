/* beneath: which paths lead to a file inside a folder, with the kernel's help and without, and while links change. */
#include "data/formats/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "tests/harness.h"

#ifndef SYS_openat2
#define SYS_openat2 437
#endif

/* trunk/{good,sub/deep,…} and elsewhere/secret, each file with its own name inside. */
static char root[PATH_MAX / 2], alias[PATH_MAX / 2];

static void put(const char *name)
{
    char path[PATH_MAX];
    REQUIRE_OK(file_write(file_join(path, test_dir(), name), name, strlen(name)));
}

static void link_to(const char *target, const char *name)
{
    char path[PATH_MAX];
    REQUIRE(!symlink(target, file_join(path, test_dir(), name)));
}

static void make_world(void)
{
    char path[PATH_MAX];
    REQUIRE_OK(file_make_folders(file_join(path, test_dir(), "trunk/sub")));
    REQUIRE_OK(file_make_folders(file_join(path, test_dir(), "elsewhere")));
    put("trunk/good");
    put("trunk/sub/deep");
    put("elsewhere/secret");
    snprintf(root, sizeof root, "%s/trunk", test_dir());
    link_to("good", "trunk/inside");
    link_to("../good", "trunk/sub/up");
    link_to("../trunk/good", "trunk/round"); /* out and in again: inside in the end */
    link_to("sub", "trunk/folder");
    link_to("../elsewhere/secret", "trunk/link");
    link_to("../elsewhere", "trunk/away");
    link_to("loop", "trunk/loop");
    link_to("nothing", "trunk/dangling");
    link_to("trunk", "alias");
    snprintf(path, sizeof path, "%s/good", root);
    link_to(path, "trunk/absolute");
    snprintf(path, sizeof path, "%s/elsewhere/secret", test_dir());
    link_to(path, "trunk/absolute_away");
}

/* What a descriptor stands for, by the words inside. */
static const char *words(int fd)
{
    static char text[64];
    char name[32];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    int in = open(name, O_RDONLY);
    ssize_t n = in < 0 ? -1 : read(in, text, sizeof text - 1);
    close(in);
    text[n < 0 ? 0 : n] = 0;
    return text;
}

static void check_found(const char *from, const char *path, const char *wanted)
{
    int fd = beneath_find(from, path);
    CHECK_MSG(fd >= 0, "%s in %s: %s", path, from, strerror(errno));
    if (fd >= 0)
        CHECK_STR(words(fd), wanted);
    close(fd);
}

static void check_refused(const char *from, const char *path, int error)
{
    int fd = beneath_find(from, path), found = errno;
    CHECK_MSG(fd < 0 && found == error, "%s in %s: %s, wanted %s", path, from, fd < 0 ? strerror(found) : "it is found", strerror(error));
    close(fd);
}

static void check_all(void)
{
    static const char *const INSIDE[] = {"good", "./good", "sub/../good", ".//sub/.././/good", "inside", "sub/up", "folder/up", "round",
                                         "absolute", "folder/../good"};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof INSIDE / sizeof *INSIDE; i++)
        check_found(root, INSIDE[i], "trunk/good");
    check_found(root, "folder/deep", "trunk/sub/deep");
    snprintf(alias, sizeof alias, "%s/alias", test_dir());
    for (int from = 0; from < 2; from++) /* absolute paths, by either name of the root */
        for (int to = 0; to < 2; to++) {
            snprintf(path, sizeof path, "%s/good", to ? alias : root);
            check_found(from ? alias : root, path, "trunk/good");
            snprintf(path, sizeof path, "%s/../trunk//sub/../inside", to ? alias : root);
            check_found(from ? alias : root, path, "trunk/good");
            snprintf(path, sizeof path, "%s/gone", to ? alias : root);
            check_refused(from ? alias : root, path, ENOENT);
            snprintf(path, sizeof path, "%s/link", to ? alias : root);
            check_refused(from ? alias : root, path, EXDEV);
        }
    check_found("/", path + 1, "elsewhere/secret");
    snprintf(path, sizeof path, "%s/elsewhere/secret", test_dir());
    check_refused(root, path, EXDEV);
    snprintf(path, sizeof path, "%s-not/good", root);
    check_refused(root, path, EXDEV);
    static const char *const OUTSIDE[] = {"link", "absolute_away", "away/secret", "away/../elsewhere/secret", "sub/../../elsewhere/secret",
                                          "../trunk/good", "..", "/etc/passwd"};
    for (size_t i = 0; i < sizeof OUTSIDE / sizeof *OUTSIDE; i++)
        check_refused(root, OUTSIDE[i], EXDEV);
    check_refused(root, "gone", ENOENT);
    check_refused(root, "dangling", ENOENT);
    check_refused(root, "gone/../good", ENOENT);
    check_refused(root, "good/more", ENOTDIR);
    check_refused(root, "loop", ELOOP);
    check_refused("/nowhere", "good", ENOENT);
}

TEST(beneath_finds_what_lies_inside_and_nothing_else)
{
    make_world();
    check_all();
    char path[PATH_MAX];
    CHECK_STR(beneath_way_out(root, "link"), "leads by a link out of");
    CHECK_STR(beneath_way_out(root, "sub/../../x"), "leads by \"..\" out of");
    CHECK_STR(beneath_way_out(root, "/etc/passwd"), "is an absolute path outside of");
    snprintf(path, sizeof path, "%s/link", root);
    CHECK_STR(beneath_way_out(root, path), "leads by a link out of");
}

/* From here on this process has a kernel without openat2. */
static void forbid_openat2(void)
{
    struct sock_filter steps[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                                  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
                                  BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {.len = sizeof steps / sizeof *steps, .filter = steps};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        test_skip("this kernel takes no filter of system calls");
    REQUIRE(syscall(SYS_openat2, -1, "", NULL, 0) < 0 && errno == ENOSYS);
}

TEST(beneath_finds_the_same_without_openat2)
{
    make_world();
    forbid_openat2();
    check_all();
}

/* ---------------------------------------------------------------- links that change meanwhile */

static _Atomic bool stop;

static void exchange(const char *a, const char *b)
{
    enum { EXCHANGE = 2 }; /* RENAME_EXCHANGE */
    char from[PATH_MAX], to[PATH_MAX];
    syscall(SYS_renameat2, AT_FDCWD, file_join(from, root, a), AT_FDCWD, file_join(to, root, b), EXCHANGE);
}

/* The file and the folder change places with links that lead out, over and over. */
static void *swap(void *arg)
{
    while (!stop) {
        exchange("good", "link");
        exchange("sub", "away");
    }
    return arg;
}

/* Whatever is found, it is never the secret, and both kinds of answers come. */
static void race(void)
{
    pthread_t thread;
    int n_found = 0, n_out = 0;
    put("elsewhere/deep");
    REQUIRE(!pthread_create(&thread, NULL, swap, NULL));
    for (int i = 0; i < 15000 || (i < 4000000 && (!n_found || !n_out)); i++) {
        static const char *const PATHS[] = {"good", "sub/deep", "absolute", "round"};
        int fd = beneath_find(root, PATHS[i % 4]);
        if (fd >= 0) {
            struct stat st;
            const char *text = fstat(fd, &st) || !S_ISREG(st.st_mode) ? "" : words(fd);
            CHECK_MSG(!strstr(text, "elsewhere"), "%s gave %s", PATHS[i % 4], text);
            n_found++;
        } else {
            n_out += errno == EXDEV;
        }
        close(fd);
    }
    stop = true;
    pthread_join(thread, NULL);
    CHECK(n_found && n_out);
}

TEST(beneath_gives_nothing_for_a_link_swapped_in)
{
    make_world();
    race();
}

TEST(beneath_gives_nothing_for_a_link_swapped_in_without_openat2)
{
    make_world();
    forbid_openat2();
    race();
}
