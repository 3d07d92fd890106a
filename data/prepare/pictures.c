/* pictures.list beside the shards: size and time of every picture file that the mixture names, so that a picture put in place later, or
 * exchanged, makes the shards stale. MAGIC, then for each: PictureEntry, its root when that differs from the one before, its path. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "data/prepare/parts.h"

#define MAGIC "GENLLAVA PICTURES 1\n"
static const char NAME[] = "pictures.list";

typedef struct PictureEntry {
    int64_t bytes, mtime_ns;
    uint32_t root_bytes, path_bytes; /* root_bytes 0: as before */
} PictureEntry;

static Status write_entries(FILE *out, const ScanFiles *scan)
{
    char root[PATH_MAX], path[PATH_MAX], last[PATH_MAX] = "";
    fputs(MAGIC, out);
    for (int64_t i = 0; i < scan->totals.pictures; i++) {
        ScanPicture p;
        TRY(scan_picture(scan, (uint32_t)i, &p));
        TRY(scan_name(scan, (uint32_t)i, &p, root, path));
        PictureEntry e = {.bytes = p.info.bytes, .mtime_ns = p.info.mtime_ns, .path_bytes = (uint32_t)strlen(path),
                          .root_bytes = strcmp(root, last) ? (uint32_t)strlen(root) : 0};
        fwrite(&e, sizeof e, 1, out);
        fwrite(root, e.root_bytes, 1, out);
        fwrite(path, e.path_bytes, 1, out);
        memcpy(last, root, strlen(root) + 1);
    }
    return OK;
}

Status pictures_write(const ScanFiles *scan, const char *folder)
{
    char path[PATH_MAX];
    FileDraft d;
    TRY(file_draft(&d, file_join(path, folder, NAME)));
    TRY(file_publish(&d, write_entries(d.out, scan)));
    return file_sync_folder(folder);
}

/* False at the end or when the list is damaged (*bad). */
static bool next_entry(FILE *f, PictureInfo *info, char root[PATH_MAX], char path[PATH_MAX], bool *bad)
{
    PictureEntry e;
    size_t got = fread(&e, 1, sizeof e, f);
    *bad = got != 0 && got != sizeof e;
    if (got != sizeof e)
        return false;
    *bad = e.root_bytes >= PATH_MAX || e.path_bytes >= PATH_MAX || fread(root, 1, e.root_bytes, f) != e.root_bytes ||
           fread(path, 1, e.path_bytes, f) != e.path_bytes;
    if (*bad)
        return false;
    if (e.root_bytes)
        root[e.root_bytes] = 0;
    path[e.path_bytes] = 0;
    *info = (PictureInfo){.bytes = e.bytes, .mtime_ns = e.mtime_ns};
    return true;
}

Status pictures_check(const char *folder, char *changed, size_t n)
{
    char list[PATH_MAX], root[PATH_MAX] = "", path[PATH_MAX] = "", magic[sizeof MAGIC] = "";
    *changed = 0;
    int fd;
    FILE *f = file_open(&fd, file_join(list, folder, NAME)) ? NULL : fdopen(fd, "re");
    if (!f || fread(magic, 1, strlen(MAGIC), f) != strlen(MAGIC) || strcmp(magic, MAGIC)) {
        snprintf(changed, n, "%s is missing or damaged", list);
        if (f)
            fclose(f);
        return OK;
    }
    PictureInfo info;
    bool bad;
    while (next_entry(f, &info, root, path, &bad))
        if (!picture_unchanged(&info, root, path)) {
            snprintf(changed, n, "%s/%s changed", root, path);
            break;
        }
    if (bad)
        snprintf(changed, n, "%s is missing or damaged", list);
    fclose(f);
    return OK;
}
