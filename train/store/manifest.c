/* manifest.c: MANIFEST.json of a checkpoint: written, verified (manifest.h). Called by checkpoint.c, generate and inspect. */
#include "train/store/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "data/formats/file.h"
#include "data/formats/held.h"
#include "data/formats/json_fields.h"
#include "data/formats/json_write.h"
#include "kernels/base/arena.h"

static const char NAME[] = "MANIFEST.json", SCHEMA[] = "genllava.manifest/1";
enum { MANIFEST_MAX = 16 << 20, HEX = 33, PIECE = 1 << 18 };

static void to_hex(char hex[HEX], XXH128_hash_t h)
{
    snprintf(hex, HEX, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
}

/* XXH3 (128 bits) of a file's bytes. */
static Status hash_file(const char *path, char hex[HEX], long long *n_bytes)
{
    struct stat st;
    if (!held_lstat(path, &st) && !S_ISREG(st.st_mode))
        return fail(ERR_DATA, "%s: is %s, expected a file", path, file_kind(st.st_mode));
    int fd = held_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
    if (fd < 0)
        return fail(errno == ENOENT ? ERR_MISSING : ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    XXH3_state_t *state = XXH3_createState();
    void *buf = mem_grow(NULL, PIECE);
    Status s = state && buf ? OK : fail(ERR_NOMEM, "%s: out of memory", path);
    *n_bytes = 0;
    if (s == OK)
        XXH3_128bits_reset(state);
    for (ssize_t n = 1; s == OK && n > 0;) {
        n = read(fd, buf, PIECE);
        if (n < 0)
            s = fail(ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
        else {
            XXH3_128bits_update(state, buf, (size_t)n);
            *n_bytes += n;
        }
    }
    if (s == OK)
        to_hex(hex, XXH3_128bits_digest(state));
    XXH3_freeState(state);
    mem_free(buf);
    close(fd);
    return s;
}

/* ---------------------------------------------------------------- writing */

Status manifest_hash(ManifestFile *out, const char *folder, const char *name)
{
    char path[PATH_MAX];
    long long n;
    TRY(hash_file(file_join(path, folder, name), out->xxh3, &n));
    out->bytes = n;
    snprintf(out->name, sizeof out->name, "%s", name);
    return OK;
}

typedef struct Walk {
    cJSON *files;
    const char *folder;
    const ManifestFile *known;
    int n_known;
    char inside[256]; /* "" or "llm/" */
} Walk;

static const ManifestFile *find_known(const Walk *w, const char *name)
{
    for (int i = 0; i < w->n_known; i++)
        if (!strcmp(w->known[i].name, name))
            return &w->known[i];
    return NULL;
}

static Status add_file(void *arg, const char *name)
{
    Walk *w = arg;
    char relative[512], path[PATH_MAX], hex[HEX];
    struct stat st;
    snprintf(relative, sizeof relative, "%s%s", w->inside, name);
    file_join(path, w->folder, relative);
    if (held_lstat(path, &st))
        return fail(ERR_IO, "%s: cannot be examined: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode)) {
        Walk inner = *w;
        snprintf(inner.inside, sizeof inner.inside, "%.250s/", relative);
        TRY(file_list(path, add_file, &inner));
        return file_sync_folder(path);
    }
    const ManifestFile *known = find_known(w, relative);
    long long n = known ? known->bytes : 0;
    if (!known)
        TRY(hash_file(path, hex, &n));
    cJSON *file = json_add(w->files, NULL, cJSON_CreateObject());
    cJSON_AddStringToObject(file, "name", relative);
    json_add_int(file, "bytes", n);
    cJSON_AddStringToObject(file, "xxh3", known ? known->xxh3 : hex);
    return OK;
}

static Status check_known(const char *folder, const ManifestFile *known)
{
    char path[PATH_MAX];
    struct stat st;
    if (held_lstat(file_join(path, folder, known->name), &st) || !S_ISREG(st.st_mode))
        return fail(ERR_IO, "%s: was written by another rank, but is not there for this one", path);
    if (st.st_size != known->bytes)
        return fail(ERR_IO, "%s: another rank has written %lld bytes, but this one sees %lld", path, (long long)known->bytes,
                    (long long)st.st_size);
    return OK;
}

/* The end of a manifest is a hash of everything before it, and nothing else may stand there. */
static void make_tail(char tail[96], const char *text, size_t n)
{
    char hex[HEX];
    to_hex(hex, XXH3_128bits(text, n));
    snprintf(tail, 96, ",\n\"manifest_xxh3\": \"%s\"}\n", hex);
}

Status manifest_write(const char *folder, const ManifestFile *known, int n_known)
{
    for (int i = 0; i < n_known; i++)
        TRY(check_known(folder, &known[i]));
    char path[PATH_MAX], tail[96], *text = NULL;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "schema", SCHEMA);
    Walk w = {.files = cJSON_AddArrayToObject(o, "files"), .folder = folder, .known = known, .n_known = n_known};
    Status s = file_list(folder, add_file, &w);
    file_join(path, folder, NAME);
    if (s == OK)
        s = json_to_text(&text, &o, JSON_PRETTY, path);
    cJSON_Delete(o);
    TRY(s);
    size_t n = strlen(text) - strlen("\n}\n"); /* the tail closes it */
    make_tail(tail, text, n);
    char *whole = mem_grow(text, n + sizeof tail);
    s = whole ? OK : fail(ERR_NOMEM, "%s: out of memory", path);
    if (s == OK) {
        memcpy(whole + n, tail, sizeof tail);
        s = file_save(path, whole, strlen(whole));
    }
    mem_free(whole ? whole : text);
    return s;
}

/* ---------------------------------------------------------------- verifying */

/* "llm/config.json": plain names, inside the folder. */
static bool is_plain(const char *name)
{
    for (const char *part = name;; part++) {
        size_t n = strcspn(part, "/");
        if (!n || (n == 1 && *part == '.') || (n == 2 && !strncmp(part, "..", 2)))
            return false;
        part += n;
        if (!*part)
            return true;
    }
}

/* The folders that a name leads through are folders, no links. */
static Status check_way(const char *folder, const char *name)
{
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        char path[PATH_MAX];
        struct stat st;
        snprintf(path, sizeof path, "%s/%.*s", folder, (int)(slash - name), name);
        if (!lstat(path, &st) && !S_ISDIR(st.st_mode))
            return fail(ERR_DATA, "%s: is %s, expected a folder", path, file_kind(st.st_mode));
    }
    return OK;
}

static Status verify_file(const char *folder, JsonFields *manifest, const Json *entry)
{
    const char *name = fields_string(manifest, entry, "name", ""), *xxh3 = fields_string(manifest, entry, "xxh3", "");
    int64_t bytes = fields_int(manifest, entry, "bytes", FIELD_REQUIRED, 0, INT64_MAX);
    char path[PATH_MAX], hex[HEX];
    long long n;
    TRY(manifest->status);
    if (!is_plain(name))
        return fail(ERR_DATA, "%s: names the file \"%.200s\", which does not lie in its folder", manifest->file, name);
    TRY(check_way(folder, name));
    TRY(hash_file(file_join(path, folder, name), hex, &n));
    if (n != bytes)
        return fail(ERR_DATA, "%s: damaged: it has %lld bytes, its manifest says %lld", path, n, (long long)bytes);
    if (strcmp(hex, xxh3))
        return fail(ERR_DATA, "%s: damaged: its bytes do not have the hash of its manifest", path);
    return OK;
}

static bool is_named(const Json *files, const char *name)
{
    for (const Json *e = files->child; e; e = e->next) {
        const Json *v = json_get(e, "name");
        if (v && v->kind == JSON_STRING && !strcmp(v->string, name))
            return true;
    }
    return false;
}

typedef struct Search {
    const Json *files;
    const char *folder;
    char inside[512]; /* "" or "llm/" */
} Search;

/* Beside the manifest only folders are looked into. */
static Status check_named(void *arg, const char *name)
{
    const Search *s = arg;
    char relative[1024], path[PATH_MAX];
    struct stat st;
    snprintf(relative, sizeof relative, "%s%s", s->inside, name);
    if (lstat(file_join(path, s->folder, relative), &st))
        return fail(ERR_IO, "%s: cannot be examined: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode)) {
        Search inner = {.files = s->files, .folder = s->folder};
        if (snprintf(inner.inside, sizeof inner.inside, "%s/", relative) >= (int)sizeof inner.inside)
            return fail(ERR_DATA, "%s: folders nested too deep for a checkpoint", path);
        return file_list(path, check_named, &inner);
    }
    if (*s->inside && !is_named(s->files, relative))
        return fail(ERR_DATA, "%s: is not named by the manifest", path);
    return OK;
}

static Status verify_text(const char *folder, const char *path, const char *text, size_t n)
{
    static const char MARK[] = ",\n\"manifest_xxh3\"";
    char tail[96];
    const char *mark = NULL;
    for (const char *p = text; (p = strstr(p, MARK)); p++)
        mark = p;
    size_t before = mark ? (size_t)(mark - text) : 0;
    make_tail(tail, text, before);
    if (!mark || n - before != strlen(tail) || memcmp(mark, tail, n - before))
        return fail(ERR_DATA, "%s: damaged: it does not end with the hash of what precedes", path);
    JsonFields f;
    TRY(fields_parse(&f, text, n, path));
    fields_schema(&f, SCHEMA);
    const Json *files = fields_get(f.top, "files");
    if (!files || files->kind != JSON_ARRAY)
        fields_refuse(&f, files, "files", "is not a list");
    Status s = f.status;
    for (const Json *e = s == OK ? files->child : NULL; e && s == OK; e = e->next)
        s = verify_file(folder, &f, e);
    if (s == OK)
        s = file_list(folder, check_named, &(Search){.files = files, .folder = folder});
    fields_close(&f);
    return s;
}

Status manifest_verify(const char *folder)
{
    char path[PATH_MAX], *text;
    size_t n;
    TRY(file_read(&text, &n, file_join(path, folder, NAME), MANIFEST_MAX));
    Status s = verify_text(folder, path, text, n);
    mem_free(text);
    return s;
}

Status manifest_require(const char *folder, const char *name)
{
    JsonFields f;
    TRY(fields_open(&f, folder, NAME));
    const Json *files = fields_get(f.top, "files");
    Status s = files && is_named(files, name) ? OK : fail(ERR_DATA, "%s: does not name %s, which a checkpoint must have", f.file, name);
    fields_close(&f);
    return s;
}
