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

enum { SKIPPED = 77, NOTHING_MATCHES = 5, TEST_SECONDS = 900 };

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

/* 0 passed, 1 failed, SKIPPED. A shell script is run with its name and the build folder; it exits 77 to skip. */
static int run_case(const TestCase *t, const char *script)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(TEST_SECONDS);
        if (script) {
            execl("/bin/bash", "bash", script, build, (char *)NULL);
            _exit(127);
        }
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

static int compare_names(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int list_scripts(char **names, int max)
{
    DIR *d = opendir("tests/cli");
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d)) && n < max;) {
        size_t len = strlen(e->d_name);
        char path[512];
        if (len < 4 || strcmp(e->d_name + len - 3, ".sh") || e->d_name[0] == '_') /* _NAME.sh: helpers to source */
            continue;
        snprintf(path, sizeof path, "tests/cli/%s", e->d_name);
        names[n++] = strdup(path);
    }
    if (d)
        closedir(d);
    qsort(names, (size_t)n, sizeof *names, compare_names);
    return n;
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

/* test-unit [FILTER]: runs every test whose "file:name" contains FILTER, from the root of the tree. */
int main(int argc, char **argv)
{
    start_with_passive_waiting(argv);
    const char *filter = argc > 1 ? argv[1] : "";
    char self[4096];
    ssize_t n_self = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n_self > 0) {
        self[n_self] = 0;
        snprintf(build, sizeof build, "%s", dirname(self));
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    int lacks = machine_lacks(program_invocation_short_name);
    if (lacks)
        return lacks;
    int count[3] = {0};
    char *scripts[256];
    /* The shell tests are of the programs: other test programs leave them alone. */
    int n_scripts = strcmp(program_invocation_short_name, "test-unit") ? 0 : list_scripts(scripts, 256), i = 0;
    for (TestCase *t = first; t || i < n_scripts;) {
        char label[512];
        if (t)
            snprintf(label, sizeof label, "%s:%s", t->file, t->name);
        else
            snprintf(label, sizeof label, "%s", scripts[i]);
        if (strstr(label, filter)) {
            double start = now();
            int r = run_case(t, t ? NULL : scripts[i]);
            int kind = r == 0 ? 0 : r == SKIPPED ? 2 : 1;
            count[kind]++;
            printf("%s %s (%.2f s)\n", kind == 0 ? "ok  " : kind == 1 ? "FAIL" : "skip", label, now() - start);
            if (kind == 1)
                printf("     repeat: make test T=%s\n", t ? t->name : scripts[i]);
        }
        if (t)
            t = t->next;
        else
            i++;
    }
    for (int j = 0; j < n_scripts; j++)
        free(scripts[j]);
    printf("%d passed, %d failed, %d skipped\n", count[0], count[1], count[2]);
    return count[1] ? 1 : count[0] + count[2] == 0 ? NOTHING_MATCHES : 0;
}
