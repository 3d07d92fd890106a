/* runlog.h, log.h: what a person at a terminal of 40, 80 and 200 columns sees of a run: lines that fit, those that stay, colour. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/harness.h"

enum { MOST = 1 << 16, EVERY = 3 };

/* All that train writes to a terminal of so many columns; its exit code. */
static int at_terminal(int columns, const char *config, char seen[MOST])
{
    char program[512], save[512];
    snprintf(program, sizeof program, "%s/train", test_build_dir());
    snprintf(save, sizeof save, "save.dir=%s/runs-%d", test_dir(), columns);
    int ours = posix_openpt(O_RDWR | O_NOCTTY), status = -1;
    REQUIRE(ours >= 0 && !grantpt(ours) && !unlockpt(ours));
    REQUIRE(!ioctl(ours, TIOCSWINSZ, &(struct winsize){.ws_row = 24, .ws_col = (unsigned short)columns}));
    int theirs = open(ptsname(ours), O_RDWR | O_NOCTTY);
    REQUIRE(theirs >= 0);
    pid_t pid = fork();
    if (pid == 0) {
        setenv("TERM", "xterm", 1);
        dup2(theirs, STDOUT_FILENO);
        dup2(theirs, STDERR_FILENO);
        execl(program, program, "--config", config, "--set", save, "--set", "log.every=3", (char *)NULL);
        _exit(99);
    }
    close(theirs);
    size_t n = 0;
    for (ssize_t got; n < MOST - 1 && (got = read(ours, seen + n, MOST - 1 - n)) > 0;)
        n += (size_t)got;
    seen[n] = 0;
    close(ours);
    REQUIRE(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Step lines: none is longer than the terminal; those of every third step and the last stay, the others give way to the next. */
static void check_lines(const char *seen, int columns)
{
    int steps = 0;
    for (const char *line = strstr(seen, "step 1/"); line;
         line = strstr(line + 1, "\033[Kstep ") ? strstr(line + 1, "\033[Kstep ") + 3 : NULL) {
        const size_t n = strcspn(line, "\r\n");
        steps++;
        CHECK_MSG(n <= (size_t)columns, "at %d columns a line of %zu: %.*s", columns, n, (int)n, line);
        CHECK_MSG(strstr(line, "loss ") && strstr(line, " left"), "at %d columns: %.*s", columns, (int)n, line);
        CHECK_INT(line[n] == '\r' && line[n + 1] == '\n', steps % EVERY == 0 || steps == 5);
    }
    CHECK_INT(steps, 5);
}

TEST(step_lines_fit_the_terminal_and_every_so_often_one_stays)
{
    static char seen[MOST];
    static const int COLUMNS[] = {40, 80, 200};
    for (int i = 0; i < 3; i++) {
        CHECK_INT(at_terminal(COLUMNS[i], "tests/fixtures/parity/visual_tokens/config.json", seen), 0);
        check_lines(seen, COLUMNS[i]);
        CHECK(strstr(seen, "\033[33mwarning: \033[0m"));
    }
    CHECK(strstr(seen, " lr ") && strstr(seen, " grad ") && strstr(seen, " tokens/s  ") && strstr(seen, " s/step  "));
}

TEST(colour_is_left_out_where_it_is_not_wanted)
{
    static char seen[MOST];
    CHECK_INT(at_terminal(80, "absent.json", seen), 66);
    CHECK(strstr(seen, "\033[31merror: \033[0mabsent.json"));
    setenv("NO_COLOR", "1", 1);
    CHECK_INT(at_terminal(80, "absent.json", seen), 66);
    CHECK(!strncmp(seen, "error: absent.json", 18));
}
