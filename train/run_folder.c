/* run_folder.c: see run_folder.h. Called by the loop and --dry-run. */
#include "train/run_folder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/held.h"
#include "train/store/checkpoint.h"

/* ---------------------------------------------------------------- what stands there */

/* A file to add to; a name that a new file or link is renamed to; a folder to fill. */
typedef enum EntryUse { ADDED_TO, REPLACED, FILLED } EntryUse;
static const struct {
    const char *name;
    EntryUse use;
} ENTRIES[] = {{".lock", ADDED_TO},  {"train.jsonl", ADDED_TO}, {"history.jsonl", ADDED_TO},         {"latest", REPLACED},
               {"samples", FILLED},  {"suite", FILLED},         {"config.resolved.json", REPLACED}, {"tb", FILLED},
               {"environment.json", REPLACED}};

static Status check_entry(const char *folder, const char *name, EntryUse use)
{
    static const char *const WANTED[] = {[ADDED_TO] = "a file", [REPLACED] = "a file or link", [FILLED] = "a folder"};
    char path[PATH_MAX];
    struct stat st;
    if (lstat(file_join(path, folder, name), &st))
        return errno == ENOENT || errno == ENOTDIR ? OK : fail(ERR_CREATE, "%s: cannot be examined: %s", path, strerror(errno));
    bool fits = use == REPLACED ? S_ISREG(st.st_mode) || S_ISLNK(st.st_mode) : use == FILLED ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode);
    if (!fits)
        return fail(ERR_CREATE, "%s: is %s, expected %s that this run makes; move it away", path, file_kind(st.st_mode), WANTED[use]);
    if (use != REPLACED && access(path, use == FILLED ? R_OK | W_OK | X_OK : R_OK | W_OK))
        return fail(ERR_CREATE, "%s: cannot be written: %s", path, strerror(errno));
    return OK;
}

/* The nearest folder above that is there tells how much room there is. */
static Status check_room(const char *path, int64_t n_bytes)
{
    char at[PATH_MAX], above[PATH_MAX], need[32], have[32];
    struct statvfs disk;
    snprintf(at, sizeof at, "%s", path);
    while (statvfs(at, &disk)) {
        if (errno != ENOENT || !strcmp(at, "/") || !strcmp(at, "."))
            return OK; /* not told */
        memcpy(at, file_folder(above, at), sizeof at);
    }
    double room = (double)disk.f_bavail * (double)disk.f_frsize;
    if (!disk.f_blocks || room >= (double)n_bytes)
        return OK;
    return fail(ERR_IO, "save.dir: a checkpoint takes %s, but only %s are free where %s lies; free some, or change save.dir",
                file_size_text(need, sizeof need, (size_t)n_bytes), file_size_text(have, sizeof have, (size_t)room), path);
}

Status run_folder_check(const char *path, int64_t n_bytes)
{
    TRY_IN(file_check_folders(path), "save.dir");
    for (size_t i = 0; i < sizeof ENTRIES / sizeof *ENTRIES; i++)
        TRY_IN(check_entry(path, ENTRIES[i].name, ENTRIES[i].use), "save.dir");
    return check_room(path, n_bytes);
}

/* ---------------------------------------------------------------- holding it */

static Status look(const char *path, RunFolder *f)
{
    struct stat folder, entry;
    if (stat(path, &folder) || lstat(path, &entry))
        return fail(ERR_IO, "%s: cannot be examined: %s", path, strerror(errno));
    f->device = folder.st_dev;
    f->inode = folder.st_ino;
    f->entry = entry.st_ino;
    return OK;
}

/* A folder, a file and a link in it, and new names for them: the hidden names are those that checkpoint_clean removes. */
static Status try_saving(const char *folder)
{
    char staged[PATH_MAX], inside[PATH_MAX], final[PATH_MAX], latest[PATH_MAX];
    file_join(staged, folder, ".checkpoint-trial.tmp");
    file_join(final, folder, ".checkpoint-trial");
    TRY(file_stage_folder(staged));
    Status s = file_save(file_join(inside, staged, "file"), "", 0);
    if (s == OK)
        s = file_publish_folder(staged, final);
    if (s != OK)
        return file_discard_folder(staged, s);
    TRY(file_remove(file_join(latest, folder, ".latest.tmp")));
    if (held_symlink("nothing", latest))
        return fail(ERR_CREATE, "%s: cannot be created: %s", latest, strerror(errno));
    return checkpoint_clean(folder);
}

Status run_folder_take(RunFolder *f, const char *path)
{
    snprintf(f->path, sizeof f->path, "%s", path);
    TRY_IN(file_make_folders(path), "save.dir");
    TRY_IN(held_take(path), "save.dir");
    TRY(look(path, f));
    TRY(lock_take(&f->lock, path, "trained in", false)); /* a run goes on where its host has died */
    TRY(checkpoint_clean(path));
    Status s = try_saving(path);
    return s ? fail(s == ERR_IO || s == ERR_NOMEM ? s : ERR_CREATE, "save.dir: %s", status_message()) : OK;
}

Status run_folder_same(const RunFolder *f)
{
    RunFolder now;
    if (look(f->path, &now) == OK && now.device == f->device && now.inode == f->inode && now.entry == f->entry)
        return OK;
    return fail(ERR_IO, "%s: is no longer the folder that this run began in: it is moved, or swapped for another one or a link; nothing is "
                        "written there. Put the folder back and go on with --resume", f->path);
}

void run_folder_release(RunFolder *f)
{
    lock_release(&f->lock);
    held_release(f->path);
}
