/* request_files.c: writes the folder of `curate request` (request_files.h). */
#include "data/curate/request_files.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"

/* ---------------------------------------------------------------- what is there already */

typedef struct Found {
    const char *folder;
    int n;
    bool recipe, records;
} Found;

static Status look_at(void *arg, const char *name)
{
    Found *f = arg;
    int digits = 0;
    bool recipe = !strcmp(name, "recipe.json"), records = !strcmp(name, "records.jsonl");
    sscanf(name, "requests-%*[0-9]%n", &digits);
    f->n++;
    f->recipe |= recipe;
    f->records |= records;
    if (recipe || records || (digits && !strcmp(name + digits, ".jsonl")))
        return OK;
    return fail(ERR_CREATE, "--out %s: holds \"%s\", which curate request has not written; give a folder that is not there yet or is "
                            "empty, or move that away", f->folder, name);
}

static Status check_ours(const char *folder)
{
    Found f = {.folder = folder};
    Recipe r;
    Status s = file_list(folder, look_at, &f);
    if (s || !f.n)
        return s;
    if (f.recipe && f.records)
        s = recipe_load_requests(&r, folder);
    if (s || !f.recipe || !f.records)
        return fail(ERR_CREATE, "--out %s: its files are not those of an earlier curate request (%s); give a folder that is not there yet "
                                "or is empty", folder, s ? status_message() : f.recipe ? "no records.jsonl" : "no recipe.json");
    recipe_free(&r);
    return OK;
}

/* The place of the folder, and whether it may be made or replaced. */
static Status check_place(char place[PATH_MAX], const char *folder)
{
    struct stat st;
    int n = snprintf(place, PATH_MAX, "%s", folder);
    if (n >= PATH_MAX || !n)
        return fail(ERR_CREATE, "--out \"%.100s\": is no name of a folder", folder);
    while (n > 1 && place[n - 1] == '/')
        place[--n] = 0;
    if (stat(place, &st))
        return file_check_folders(place);
    if (!S_ISDIR(st.st_mode))
        return fail(ERR_CREATE, "--out %s: is %s, expected a folder", folder, file_kind(st.st_mode));
    if (!realpath(folder, place))
        return fail(ERR_CREATE, "--out %s: %s", folder, strerror(errno));
    return check_ours(folder);
}

/* Where the folder is filled: "ABOVE/.NAME.partial". What a kill left aside on a file system that cannot exchange names is put back. */
static Status find_hidden(RequestFiles *f)
{
    char above[PATH_MAX], name[NAME_MAX + 16];
    const char *slash = strrchr(f->folder, '/');
    file_folder(above, f->folder);
    snprintf(name, sizeof name, ".%.*s.aside", NAME_MAX, slash ? slash + 1 : f->folder);
    if (file_exists(file_join(f->hidden, above, name)))
        TRY(file_put_back(above, name));
    snprintf(name, sizeof name, ".%.*s.partial", NAME_MAX, slash ? slash + 1 : f->folder);
    file_join(f->hidden, above, name);
    return OK;
}

Status request_files_check(const char *folder)
{
    char place[PATH_MAX];
    return check_place(place, folder);
}

/* ---------------------------------------------------------------- files */

static Status open_sink(Sink **out, const char *folder, const char *name)
{
    char path[PATH_MAX];
    *out = mem_grow(NULL, sizeof **out);
    if (!*out)
        return fail(ERR_NOMEM, "%s: no memory to write it", name);
    return sink_open(*out, file_join(path, folder, name)); /* abandoned after an error, too */
}

/* Does the same to a sink that was never opened. */
static void drop_sink(Sink **s)
{
    if (*s)
        sink_abandon(*s);
    mem_free(*s);
    *s = NULL;
}

Status request_files_open(RequestFiles *f, const char *folder, int64_t max_lines, int64_t max_bytes)
{
    char above[PATH_MAX];
    *f = (RequestFiles){.max_lines = max_lines, .max_bytes = max_bytes};
    TRY(check_place(f->folder, folder));
    TRY(file_make_folders(file_folder(above, f->folder)));
    TRY(find_hidden(f));
    Status s = file_stage_folder(f->hidden);
    if (s) {
        *f->hidden = 0; /* there is nothing to discard */
        return s;
    }
    return open_sink(&f->records, f->hidden, "records.jsonl");
}

static Status begin_file(RequestFiles *f)
{
    char name[40];
    if (f->requests)
        TRY(sink_close(f->requests));
    drop_sink(&f->requests);
    snprintf(name, sizeof name, "requests-%05d.jsonl", f->n_files++);
    f->lines = f->bytes = 0;
    return open_sink(&f->requests, f->hidden, name);
}

Status request_files_put(RequestFiles *f, const Line *request, Line *record)
{
    int64_t n = (int64_t)request->n;
    if (n + 1 > f->max_bytes)
        return fail(ERR_DATA, "its request has %" PRId64 " bytes, and a file at most %" PRId64 " (--max-bytes); a smaller --max-side makes "
                              "its pictures smaller", n + 1, f->max_bytes);
    if (!f->requests || f->lines == f->max_lines || f->bytes + n + 1 > f->max_bytes)
        TRY(begin_file(f));
    line_print(record, ",\"file\":%d,\"offset\":%" PRId64 ",\"bytes\":%" PRId64 "}\n", f->n_files - 1, f->bytes, n);
    TRY(line_check(record));
    TRY(sink_put(f->requests, request->text, request->n));
    TRY(sink_put(f->requests, "\n", 1));
    f->lines++;
    f->bytes += n + 1;
    f->n_requests++;
    f->n_bytes += n + 1;
    return sink_put(f->records, record->text, record->n);
}

static Status finish(RequestFiles *f, const Recipe *recipe)
{
    char path[PATH_MAX], still[PATH_MAX];
    if (f->requests)
        TRY(sink_close(f->requests));
    TRY(sink_close(f->records));
    TRY(recipe_save(recipe, file_join(path, f->hidden, "recipe.json")));
    TRY(check_place(still, f->folder)); /* what somebody has put there in the meantime stays */
    return file_publish_folder(f->hidden, f->folder);
}

Status request_files_close(RequestFiles *f, const Recipe *recipe, Status s)
{
    if (!s)
        s = finish(f, recipe);
    drop_sink(&f->requests);
    drop_sink(&f->records);
    return s && *f->hidden ? file_discard_folder(f->hidden, s) : s;
}
