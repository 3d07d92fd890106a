/* line_file: single lines of many files and of pipes are read again, with few files open. */
#include "data/formats/line_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "tests/harness.h"

enum { N = 3 * LINE_FILES_OPEN };

static Status count_name(void *n, const char *name)
{
    (void)name;
    ++*(int *)n;
    return OK;
}

/* Files whose second lines are "line K", and room for 24 more descriptors than the open ones. */
TEST(lines_of_more_files_than_may_be_open_are_read_again)
{
    static char paths[N][300], text[64];
    const char *list[N];
    LineFiles f;
    LineText line = {.room = 0};
    for (int i = 0; i < N; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/%d", test_dir(), i);
        snprintf(text, sizeof text, "first\nline %d\n", i);
        REQUIRE_OK(file_write(list[i] = paths[i], text, strlen(text)));
    }
    const struct rlimit few = {LINE_FILES_OPEN + 24, LINE_FILES_OPEN + 24};
    REQUIRE(!setrlimit(RLIMIT_NOFILE, &few));
    REQUIRE_OK(line_files_open(&f, list, N));
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < N; i++) {
            const int k = round == 1 ? N - 1 - i : i; /* the last ones are open */
            const int n = snprintf(text, sizeof text, "line %d", k);
            REQUIRE_OK(line_files_read(&f, &(LinePlace){6, (uint32_t)n, (uint32_t)k}, &line));
            CHECK_STR(line.text, text);
        }
    line_files_close(&f);
    free(line.text);
    const int fd = open("/dev/null", O_RDONLY); /* all are closed: the lowest number is free again */
    CHECK_MSG(fd >= 0 && fd < 24, "%d", fd);
    close(fd);
}

TEST(a_pipe_is_kept_and_leaves_nothing)
{
    static const char TEXT[] = "first\nsecond\n";
    char path[300], tmp[400];
    const char *list[] = {path};
    LineFiles f;
    LineText line = {.room = 0};
    int ends[2], left = 0;
    snprintf(tmp, sizeof tmp, "%s/tmp", test_dir());
    REQUIRE(!mkdir(tmp, 0700) && !setenv("TMPDIR", tmp, 1) && !pipe(ends));
    REQUIRE(write(ends[1], TEXT, sizeof TEXT - 1) == sizeof TEXT - 1);
    close(ends[1]);
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    REQUIRE_OK(line_files_open(&f, list, 1));
    close(ends[0]);
    CHECK_OK(file_list(tmp, count_name, &left));
    CHECK_INT(left, 0);
    for (int i = 0; i < 2; i++) {
        REQUIRE_OK(line_files_read(&f, &(LinePlace){6, 6, 0}, &line));
        CHECK_STR(line.text, "second");
    }
    snprintf(tmp, sizeof tmp, "%s: the file ends early", path);
    CHECK_FAILS(line_files_read(&f, &(LinePlace){6, 60, 0}, &line), ERR_DATA, tmp);
    line_files_close(&f);
    free(line.text);
}

TEST(line_files_must_be_there)
{
    char path[300], text[400];
    const char *list[] = {test_dir(), path};
    LineFiles f;
    snprintf(path, sizeof path, "%s/none", test_dir());
    snprintf(text, sizeof text, "%s: is a folder, expected a file", test_dir());
    CHECK_FAILS(line_files_open(&f, list, 2), ERR_MISSING, text);
    snprintf(text, sizeof text, "%s: cannot be opened: No such file or directory", path);
    CHECK_FAILS(line_files_open(&f, list + 1, 1), ERR_MISSING, text);
}
