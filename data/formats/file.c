#include "data/formats/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/base/arena.h"

const char *file_name(const char *path) { return strcmp(path, "-") ? path : "standard input"; }

const char *file_size_text(char *buf, size_t n, size_t n_bytes)
{
    static const char *const UNITS[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double size = (double)n_bytes;
    int unit = 0;
    for (; size >= 1024 && unit < 6; unit++)
        size /= 1024;
    snprintf(buf, n, unit ? "%.1f %s" : "%.0f %s", size, UNITS[unit]);
    return buf;
}

static Status read_open_file(char **bytes, size_t *n, const char *path, size_t most, int fd)
{
    struct stat st;
    if (fstat(fd, &st))
        return fail(ERR_IO, "%s: cannot be examined: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return fail(ERR_MISSING, "%s: is a folder, expected a file", path);
    size_t capacity = S_ISREG(st.st_mode) && st.st_size > 0 ? (size_t)st.st_size + 2 : (size_t)64 << 10;
    char *text = NULL;
    size_t length = 0;
    for (;;) {
        if (length > most) {
            char limit[32];
            mem_free(text);
            return fail(ERR_DATA, "%s: larger than the %s allowed here", path, file_size_text(limit, sizeof limit, most));
        }
        if (capacity > most + 2)
            capacity = most + 2;
        char *grown = mem_grow(text, capacity);
        if (!grown) {
            mem_free(text);
            return fail(ERR_NOMEM, "%s: no memory for %zu bytes", path, capacity);
        }
        text = grown;
        ssize_t got = read(fd, text + length, capacity - 1 - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            mem_free(text);
            return fail(ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
        }
        if (!got)
            break;
        length += (size_t)got;
        if (length + 1 >= capacity)
            capacity *= 2;
    }
    text[length] = 0;
    *bytes = text;
    *n = length;
    return OK;
}

Status file_read(char **bytes, size_t *n, const char *path, size_t most)
{
    *bytes = NULL;
    *n = 0;
    if (!strcmp(path, "-"))
        return read_open_file(bytes, n, file_name(path), most, STDIN_FILENO);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(ERR_MISSING, "%s: cannot be opened: %s", path, strerror(errno));
    Status s = read_open_file(bytes, n, path, most, fd);
    close(fd);
    return s;
}

Status file_write(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (!f)
        return fail(ERR_CREATE, "%s: cannot be created: %s", path, strerror(errno));
    bool good = fwrite(bytes, 1, n, f) == n;
    good = !fclose(f) && good;
    return good ? OK : fail(ERR_IO, "%s: cannot be written: %s", path, strerror(errno));
}

Status file_make_folder(const char *path)
{
    if (!mkdir(path, 0777) || errno == EEXIST)
        return OK;
    return fail(ERR_CREATE, "%s: the folder cannot be created: %s", path, strerror(errno));
}

Status file_join(char *path, const char *folder, const char *name)
{
    int n = snprintf(path, FILE_MAX_PATH, "%s/%s", folder, name);
    return n > 0 && n < FILE_MAX_PATH ? OK : fail(ERR_CREATE, "%s/%s: the path is too long", folder, name);
}

Status file_line(FILE *f, const char *name, char **line, size_t *capacity, ssize_t *n)
{
    errno = 0;
    *n = getline(line, capacity, f);
    if (*n >= 0 || feof(f))
        return OK;
    return errno == ENOMEM ? fail(ERR_NOMEM, "%s: no memory for a line", name) : fail(ERR_IO, "%s: cannot be read: %s", name, strerror(errno));
}
