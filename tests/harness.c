/* harness.c: the main of every test program (harness.h): finds the tests, runs each in a process of its own, counts. */
#include "tests/harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SKIPPED = 77, NOTHING_MATCHES = 5, TEST_SECONDS = 900, LABEL_BYTES = 1024 };

static TestCase *first, **last = &first;
static bool failed;
static char dir[64], build[4096] = "build";

void test_register(TestCase *t)
{
    *last = t;
    last = &t->next;
}

void test_failed(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    failed = true;
}

static void remove_dir(void)
{
    if (!*dir)
        return;
    char command[192];
    snprintf(command, sizeof command, "chmod -R u+rwX '%s' 2>/dev/null; rm -rf '%s'", dir, dir);
    if (system(command))
        fprintf(stderr, "cannot remove %s\n", dir);
}

__attribute__((noreturn)) void test_end(void)
{
    remove_dir();
    fflush(NULL);
    _exit(failed ? 1 : 0);
}

__attribute__((noreturn)) void test_skip(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("    skipped: ");
    vprintf(format, args);
    putchar('\n');
    va_end(args);
    remove_dir();
    fflush(NULL);
    _exit(failed ? 1 : SKIPPED);
}

const char *test_dir(void)
{
    if (!*dir) {
        snprintf(dir, sizeof dir, "/tmp/genllava-test-XXXXXX");
        if (!mkdtemp(dir)) {
            test_failed(__FILE__, __LINE__, "mkdtemp: %s", strerror(errno));
            _exit(1);
        }
    }
    return dir;
}

const char *test_fixture(const char *name)
{
    static char path[8][4096];
    static int next;
    next = (next + 1) % 8;
    snprintf(path[next], sizeof path[next], "tests/fixtures/%s", name);
    return path[next];
}

const char *test_build_dir(void) { return build; }

/* A shell script is run with the build folder; it exits with SKIPPED to skip. In the user's own language awk may read 0.5 as 0. */
static void run_script(const TestCase *t)
{
    setenv("LC_ALL", "C.UTF-8", 1);
    execl("/bin/bash", "bash", t->file, build, (char *)NULL);
    _exit(127);
}

/* 0 passed, 1 failed, SKIPPED. */
static int run_case(const TestCase *t)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(TEST_SECONDS);
        if (!t->run)
            run_script(t);
        t->run();
        test_end();
    }
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return 1;
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "    killed by signal %d (%s)\n", WTERMSIG(status), strsignal(WTERMSIG(status)));
        return 1;
    }
    return WEXITSTATUS(status) == SKIPPED ? SKIPPED : WEXITSTATUS(status) != 0;
}

static int compare_files(const void *a, const void *b) { return strcmp(((const TestCase *)a)->file, ((const TestCase *)b)->file); }

/* tests/cli/NAME.sh are tests without a function, in order of their names. */
static void register_scripts(void)
{
    static TestCase scripts[256];
    DIR *d = opendir("tests/cli");
    size_t n = 0;
    for (struct dirent *e; d && (e = readdir(d)) && n < sizeof scripts / sizeof *scripts;) {
        size_t len = strlen(e->d_name);
        char path[512];
        if (len < 4 || strcmp(e->d_name + len - 3, ".sh") || e->d_name[0] == '_') /* _NAME.sh: helpers to source */
            continue;
        snprintf(path, sizeof path, "tests/cli/%s", e->d_name);
        scripts[n++].file = strdup(path);
    }
    if (d)
        closedir(d);
    qsort(scripts, n, sizeof *scripts, compare_files);
    for (size_t i = 0; i < n; i++)
        test_register(&scripts[i]);
}

/* The first test from t on whose label, "file:name" or a script's file, contains the filter. */
static const TestCase *find_test(const TestCase *t, const char *filter, char label[LABEL_BYTES])
{
    for (; t; t = t->next) {
        snprintf(label, LABEL_BYTES, "%s%s%s", t->file, t->run ? ":" : "", t->run ? t->name : "");
        if (strstr(label, filter))
            return t;
    }
    return NULL;
}

__attribute__((weak)) Status test_machine(void) { return OK; }

/* In a child: what a driver sets up does not survive a fork, and every test is one. */
static int machine_lacks(const char *program)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        Status s = test_machine();
        if (s != OK)
            fprintf(stderr, "%s: no test was run: %s\n", program, status_message());
        _exit(status_exit_code(s));
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || WIFSIGNALED(status))
        return 1;
    return WEXITSTATUS(status);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Waiting threads must sleep: beside other work on the same cores, spinning ones make every small parallel region wait for its
 * turn, up to a hundred times slower. OpenMP reads this when it is loaded, hence the second start. */
static void start_with_passive_waiting(char **argv)
{
    if (!getenv("OMP_WAIT_POLICY") && setenv("OMP_WAIT_POLICY", "passive", 1) == 0)
        execv("/proc/self/exe", argv);
}

#ifdef __SANITIZE_ADDRESS__
#define REPEATS "asan"
/* Called by the sanitizer as it starts: requests that no machine can grant are refused, as without it, and do not end the test. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }
#else
#define REPEATS (strcmp(program_invocation_short_name, "test-unit") ? "test" : "unit")
#endif

static int list_tests(const char *filter)
{
    char label[LABEL_BYTES];
    const TestCase *t = find_test(first, filter, label);
    if (!t)
        return NOTHING_MATCHES;
    for (; t; t = find_test(t->next, filter, label))
        puts(label);
    return 0;
}

/* For a debugger: no other process, no limit of time. A whole name stands for itself alone. */
static int run_here(const char *filter)
{
    char label[LABEL_BYTES], other[LABEL_BYTES];
    const TestCase *t = find_test(first, filter, label), *second = t ? find_test(t->next, filter, other) : NULL;
    for (const TestCase *whole = first; whole; whole = whole->next)
        if (whole->run && !strcmp(whole->name, filter))
            t = whole, second = NULL;
    if (!t || second) {
        fprintf(stderr, t ? "--here runs one test; \"%s\" is in %s and in %s\n" : "--here: no test has \"%s\" in its file or name\n",
                filter, label, other);
        return NOTHING_MATCHES;
    }
    if (t->run)
        t->run();
    else
        run_script(t);
    test_end();
}

static int run_tests(const char *filter)
{
    char label[LABEL_BYTES];
    int count[3] = {0};
    for (const TestCase *t = first; (t = find_test(t, filter, label)); t = t->next) {
        double start = now();
        int r = run_case(t);
        int kind = r == 0 ? 0 : r == SKIPPED ? 2 : 1;
        count[kind]++;
        printf("%s %s (%.2f s)\n", kind == 0 ? "ok  " : kind == 1 ? "FAIL" : "skip", label, now() - start);
        if (kind == 1)
            printf("     repeat: make %s T=%s\n", REPEATS, t->run ? t->name : t->file);
    }
    printf("%d passed, %d failed, %d skipped\n", count[0], count[1], count[2]);
    return count[1] ? 1 : count[0] + count[2] == 0 ? NOTHING_MATCHES : 0;
}

int main(int argc, char **argv)
{
    start_with_passive_waiting(argv);
    bool list = argc > 1 && !strcmp(argv[1], "--list"), here = argc > 1 && !strcmp(argv[1], "--here");
    const char *filter = argc > 1 + (list || here) ? argv[1 + (list || here)] : "";
    char self[4096];
    ssize_t n_self = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n_self > 0) {
        self[n_self] = 0;
        snprintf(build, sizeof build, "%s", dirname(self));
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!strcmp(program_invocation_short_name, "test-unit")) /* other test programs leave the programs' scripts alone */
        register_scripts();
    if (list)
        return list_tests(filter);
    int lacks = machine_lacks(program_invocation_short_name);
    return lacks ? lacks : here ? run_here(filter) : run_tests(filter);
}
