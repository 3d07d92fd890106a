/* exclude.c: a list of ids of pictures, and which pictures it means (exclude.h). */
#include "data/records/exclude.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "kernels/base/utf8.h"

static size_t count_digits(const char *text)
{
    size_t n = 0;
    while (text[n] >= '0' && text[n] <= '9')
        n++;
    return n;
}

/* The form of an id that is stored: a number without its leading zeros. */
static const char *canonical(const char *id)
{
    const size_t n = count_digits(id);
    if (!n || id[n])
        return id;
    while (*id == '0' && id[1])
        id++;
    return id;
}

static Status add_line(Exclude *e, char *line, size_t n)
{
    const char *id = line;
    bool added;
    utf8_strip(&id, &n);
    if (!n || *id == '#')
        return OK;
    line[id - line + (ptrdiff_t)n] = 0;
    return uids_add(&e->ids, canonical(id), &added);
}

/* A pipe is fine too. */
static Status open_list(FILE **in, const char *path)
{
    *in = NULL;
    const int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
    if (fd < 0)
        return fail(ERR_MISSING, "%s: cannot be opened: %s", file_name(path), strerror(errno));
    Status s = strcmp(path, "-") ? file_check_kind(fd, path) : OK;
    *in = s ? NULL : fdopen(fd, "r");
    if (!*in)
        close(fd);
    return s || *in ? s : fail(ERR_NOMEM, "%s: no memory to read it", file_name(path));
}

Status exclude_load(Exclude *e, const char *path)
{
    FILE *in;
    *e = (Exclude){.ids = {0}};
    TRY(open_list(&in, path));
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    Status s = OK;
    for (bool first = true; !s && (errno = 0, n = getline(&line, &room, in)) >= 0; first = false) {
        const bool bom = first && n >= 3 && !memcmp(line, "\xEF\xBB\xBF", 3);
        s = add_line(e, line + (bom ? 3 : 0), (size_t)n - (bom ? 3 : 0));
    }
    if (!s && ferror(in))
        s = fail(ERR_IO, "%s: cannot be read: %s", file_name(path), strerror(errno));
    else if (!s && errno == ENOMEM)
        s = fail(ERR_NOMEM, "%s: no memory for one of its lines", file_name(path));
    free(line);
    fclose(in);
    if (s)
        exclude_free(e);
    return s;
}

void exclude_free(Exclude *e) { uids_free(&e->ids); }

/* The number that a name without ending stands for, in its place; false: it is no picture of a number. */
static bool find_number(char *stem)
{
    char *start = stem, *last = strrchr(stem, '_');
    if (!strncmp(stem, "COCO_", 5) && last)
        start = last + 1;
    const size_t n = count_digits(start);
    const char *end = start + n;
    if (start == stem && !strncmp(end, "-input", 6))
        end += 6;
    else if (start == stem && (!strncmp(end, "-output", 7) || !strncmp(end, "-mask", 5))) {
        end += end[1] == 'o' ? 7 : 5;
        const size_t k = count_digits(end);
        end = k ? end + k : start + n;
    }
    if (!n || *end)
        return false;
    memmove(stem, start, n);
    stem[n] = 0;
    return true;
}

bool exclude_fits(const Exclude *e, const char *picture_path)
{
    char name[NAME_MAX + 1];
    const char *slash = strrchr(picture_path, '/');
    const int n = snprintf(name, sizeof name, "%s", slash ? slash + 1 : picture_path);
    if (!e->ids.n || n >= (int)sizeof name)
        return false;
    if (uids_has(&e->ids, name))
        return true;
    char *dot = strrchr(name, '.');
    if (dot && dot != name)
        *dot = 0;
    return uids_has(&e->ids, name) || (find_number(name) && uids_has(&e->ids, canonical(name)));
}
