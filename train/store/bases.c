/* bases.c: which files of the base folders a checkpoint was trained on (bases.h). Called by checkpoint.c. */
#include "train/store/bases.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "kernels/base/utf8.h"
#include "train/models/parts.h"

enum { READ_BYTES = 1 << 20, HEX = 33, KNOWN_MAX = 1024 };

/* ---------------------------------------------------------------- one file */

typedef struct BaseFile {
    char path[PATH_MAX];
    int fd;
    int64_t size, mtime_ns;
} BaseFile;

static Status open_file(BaseFile *f, const char *folder, const char *name)
{
    struct stat st;
    f->fd = open(file_join_beside(f->path, folder, name), O_RDONLY | O_CLOEXEC);
    if (f->fd < 0 || fstat(f->fd, &st)) {
        Status s = fail(ERR_MISSING, "%s: cannot be opened: %s", f->path, strerror(errno));
        if (f->fd >= 0)
            close(f->fd);
        return s;
    }
    f->size = st.st_size;
    f->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    return OK;
}

static void hex_of(char hex[HEX], XXH3_state_t *state)
{
    XXH128_hash_t hash = XXH3_128bits_digest(state);
    snprintf(hex, HEX, "%016llx%016llx", (unsigned long long)hash.high64, (unsigned long long)hash.low64);
}

static Status hash_bytes(const BaseFile *f, char *buf, XXH3_state_t *state)
{
    XXH3_128bits_reset(state);
    for (int64_t at = 0; at < f->size;) {
        ssize_t n = pread(f->fd, buf, READ_BYTES, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(ERR_IO, "%s: cannot be read: %s", f->path, n ? strerror(errno) : "it became shorter meanwhile");
        XXH3_128bits_update(state, buf, (size_t)n);
        at += n;
    }
    return OK;
}

/* The first and the last part. */
static Status hash_ends(const BaseFile *f, XXH3_state_t *state)
{
    enum { HEAD = 1 << 20, TAIL = 1 << 16 };
    char *buf = mem_grow(NULL, HEAD + TAIL);
    if (!buf)
        return fail(ERR_NOMEM, "%s: out of memory", f->path);
    ssize_t head = pread(f->fd, buf, HEAD, 0), tail = pread(f->fd, buf + HEAD, TAIL, f->size > TAIL ? f->size - TAIL : 0);
    XXH3_128bits_update(state, buf, head > 0 ? (size_t)head : 0);
    XXH3_128bits_update(state, buf + HEAD, tail > 0 ? (size_t)tail : 0);
    mem_free(buf);
    return OK;
}

static Status hash_whole(const BaseFile *f, char hex[HEX])
{
    XXH3_state_t *state = XXH3_createState();
    char *buf = mem_grow(NULL, READ_BYTES);
    Status s = state && buf ? hash_bytes(f, buf, state) : fail(ERR_NOMEM, "%s: out of memory", f->path);
    if (!s)
        hex_of(hex, state);
    mem_free(buf);
    XXH3_freeState(state);
    return s;
}

/* ---------------------------------------------------------------- what was computed */

/* Files that this process hashed or found recorded: a base is read once, not at every save. As the record of a resumed run says it, so that
 * the run writes the same bytes again. */
static struct {
    uint64_t path; /* a hash of it */
    int64_t size, mtime_ns, recorded_mtime_ns;
    char hex[HEX];
} known[KNOWN_MAX];
static int n_known;

static uint64_t key_of(const BaseFile *f) { return XXH3_64bits(f->path, strlen(f->path)); }

static int find_known(const BaseFile *f)
{
    for (int i = 0; i < n_known; i++)
        if (known[i].path == key_of(f) && known[i].size == f->size && known[i].mtime_ns == f->mtime_ns)
            return i;
    return -1;
}

static void remember(const BaseFile *f, int64_t recorded_mtime_ns, const char *hex)
{
    int i = find_known(f);
    if (i < 0 && n_known == KNOWN_MAX)
        return;
    i = i < 0 ? n_known++ : i;
    known[i].path = key_of(f);
    known[i].size = f->size;
    known[i].mtime_ns = f->mtime_ns;
    known[i].recorded_mtime_ns = recorded_mtime_ns;
    snprintf(known[i].hex, HEX, "%s", hex);
}

/* ---------------------------------------------------------------- writing */

/* A piece of a part lies in that part's folder, of which one record is enough. */
static const char *base_name(const Part *part) { return part->counted ? part->counted : part->name; }
static bool matters(const Part *part, const RunConfig *cfg) { return part_wanted(part, cfg) || part_cached(part, cfg); }
static bool has_record(const Part *part, const RunConfig *cfg)
{
    return part->form == PART_FOLDER && matters(part, cfg) && !(part->counted && matters(part_find(part->counted), cfg));
}

/* Of a part whose weights are drawn they do not matter. */
static bool counts(const char *name, bool drawn)
{
    return (utf8_ends(name, ".safetensors") && !drawn) || utf8_ends(name, ".json") || utf8_ends(name, ".model") ||
           utf8_ends(name, "/merges.txt");
}

typedef struct Beside {
    const char *folder;
    FileVisit visit;
    void *arg;
} Beside;

static Status visit_beside(void *arg, const char *name)
{
    const Beside *b = arg;
    char path[PATH_MAX];
    return b->visit(b->arg, file_join(path, b->folder, name));
}

/* The files of a part's folder, and those beside it as "../FOLDER/NAME". */
static Status list_files(const Part *part, const char *folder, FileVisit visit, void *arg)
{
    char path[PATH_MAX];
    Beside b = {part->beside, visit, arg};
    TRY(file_list(folder, visit, arg));
    return part->beside ? file_list(file_join_beside(path, folder, part->beside), visit_beside, &b) : OK;
}

typedef struct Writer {
    cJSON *files;
    const char *folder;
    bool drawn;
} Writer;

static Status write_file(void *arg, const char *name)
{
    const Writer *w = arg;
    BaseFile f;
    char hex[HEX];
    if (!counts(name, w->drawn))
        return OK;
    TRY(open_file(&f, w->folder, name));
    int64_t mtime_ns = f.mtime_ns;
    int i = find_known(&f);
    Status s = OK;
    if (i >= 0) {
        mtime_ns = known[i].recorded_mtime_ns;
        snprintf(hex, sizeof hex, "%s", known[i].hex);
    } else if (!(s = hash_whole(&f, hex))) {
        remember(&f, mtime_ns, hex);
    }
    close(f.fd);
    TRY(s);
    cJSON *o = json_add(w->files, NULL, cJSON_CreateObject());
    json_add_text(o, "name", name);
    json_add_int(o, "size", f.size);
    json_add_int(o, "mtime_ns", mtime_ns);
    json_add_text(o, "xxh3", hex);
    return OK;
}

Status bases_list(cJSON *files, const Part *part, const RunConfig *cfg)
{
    char path[PATH_MAX];
    const char *folder = part_folder(part, cfg, path);
    return list_files(part, folder, write_file, &(Writer){files, folder, part_drawn(part, cfg)});
}

/* The folder of a part that has a record; NULL: it has none, or no folder. */
static const char *folder_of(const Part *part, const RunConfig *cfg, char path[PATH_MAX])
{
    return has_record(part, cfg) ? part_folder(part, cfg, path) : NULL;
}

Status bases_write(cJSON *state, const RunConfig *cfg)
{
    cJSON *all = cJSON_AddObjectToObject(state, "bases");
    for (const Part *part = PARTS; part < PARTS + N_PARTS; part++) {
        char path[PATH_MAX];
        const char *folder = folder_of(part, cfg, path);
        if (!folder)
            continue;
        cJSON *base = cJSON_AddObjectToObject(all, base_name(part));
        json_add_text(base, "path", folder);
        TRY(bases_list(cJSON_AddArrayToObject(base, "files"), part, cfg));
    }
    return OK;
}

/* ---------------------------------------------------------------- outlines */

static Status outline_opened(cJSON *to, const BaseFile *f, const char *name)
{
    char hex[HEX], text[HEX + 64];
    XXH3_state_t *state = XXH3_createState();
    if (!state)
        return fail(ERR_NOMEM, "%s: out of memory", f->path);
    XXH3_128bits_reset(state);
    Status s = hash_ends(f, state);
    hex_of(hex, state);
    XXH3_freeState(state);
    snprintf(text, sizeof text, "%lld bytes, hash %s", (long long)f->size, hex);
    json_add_text(to, name, text);
    return s;
}

static Status outline_file(void *arg, const char *name)
{
    const Writer *w = arg;
    BaseFile f;
    if (!counts(name, w->drawn))
        return OK;
    TRY(open_file(&f, w->folder, name));
    Status s = outline_opened(w->files, &f, name);
    close(f.fd);
    return s;
}

Status bases_outline(cJSON *out, const RunConfig *cfg)
{
    for (const Part *part = PARTS; part < PARTS + N_PARTS; part++) {
        char path[PATH_MAX];
        const char *folder = folder_of(part, cfg, path);
        if (!folder)
            continue;
        cJSON *base = cJSON_AddObjectToObject(out, base_name(part));
        json_add_text(base, "path", folder);
        TRY(list_files(part, folder, outline_file, &(Writer){base, folder, part_drawn(part, cfg)}));
    }
    return OK;
}

/* ---------------------------------------------------------------- verifying */

typedef struct Check {
    const Part *part;
    const Json *base; /* of state.json */
    const char *folder, *checkpoint, *advice;
    bool drawn;
    bool cached; /* its weights need not be there */
    size_t n;    /* files that count */
} Check;

static bool may_be_absent(const Check *c, const char *name) { return c->cached && utf8_ends(name, ".safetensors"); }

static const char *text_of(const Json *object, const char *key)
{
    const Json *v = json_get(object, key);
    return v && v->kind == JSON_STRING ? v->string : "";
}

static Status differs(const Check *c, const char *name, const char *how)
{
    return fail(ERR_DATA, "%s: %s is not the base that %s was trained on, which is %s: its %s %s%s", c->part->path.name, c->folder,
                c->checkpoint, text_of(c->base, "path"), name, how, c->advice);
}

static const Json *find_record(const Json *files, const char *name)
{
    const Json *v = files->child;
    while (v && strcmp(text_of(v, "name"), name))
        v = v->next;
    return v;
}

static Status check_opened(const Check *c, const BaseFile *f, const char *name, const Json *record)
{
    const Json *size = json_get(record, "size"), *mtime = json_get(record, "mtime_ns");
    char hex[HEX];
    if (!size || size->kind != JSON_INT || size->integer != f->size)
        return differs(c, name, "has another size");
    int64_t recorded = mtime && mtime->kind == JSON_INT ? mtime->integer : -1;
    if (recorded != f->mtime_ns) {
        TRY(hash_whole(f, hex));
        if (strcmp(hex, text_of(record, "xxh3")))
            return differs(c, name, "holds something else");
    }
    remember(f, recorded, text_of(record, "xxh3"));
    return OK;
}

static Status check_file(void *arg, const char *name)
{
    Check *c = arg;
    BaseFile f;
    if (!counts(name, c->drawn))
        return OK;
    const Json *record = find_record(json_get(c->base, "files"), name);
    if (!record)
        return may_be_absent(c, name) ? OK : differs(c, name, "was not there");
    c->n++;
    TRY(open_file(&f, c->folder, name));
    Status s = check_opened(c, &f, name, record);
    close(f.fd);
    return s;
}

static Status check_files(Check *c, const Json *files)
{
    TRY(list_files(c->part, c->folder, check_file, c));
    for (const Json *v = files->child; v && c->n < files->length; v = v->next) {
        char path[PATH_MAX];
        if (!file_exists(file_join_beside(path, c->folder, text_of(v, "name"))) && !may_be_absent(c, text_of(v, "name")))
            return differs(c, text_of(v, "name"), "is missing");
    }
    return OK;
}

/* ---------------------------------------------------------------- checkpoints of earlier versions */

typedef struct PartialHash {
    XXH3_state_t *state;
    const Check *check;
} PartialHash;

/* Name, size, first and last part of a file. */
static Status add_file(void *arg, const char *name)
{
    PartialHash *h = arg;
    BaseFile f;
    if (!counts(name, h->check->drawn))
        return OK;
    TRY(open_file(&f, h->check->folder, name));
    uint64_t size = (uint64_t)f.size;
    XXH3_128bits_update(h->state, name, strlen(name) + 1);
    XXH3_128bits_update(h->state, &size, sizeof size);
    Status s = hash_ends(&f, h->state);
    close(f.fd);
    return s;
}

static Status check_partial_hash(const Check *c)
{
    PartialHash h = {XXH3_createState(), c};
    char hex[HEX];
    if (!h.state)
        return fail(ERR_NOMEM, "%s: out of memory", c->folder);
    XXH3_128bits_reset(h.state);
    Status s = file_list(c->folder, add_file, &h);
    hex_of(hex, h.state);
    XXH3_freeState(h.state);
    TRY(s);
    return strcmp(hex, text_of(c->base, "xxh3")) ? differs(c, "files", "are others") : OK;
}

Status bases_check(const Json *state, const RunConfig *cfg, bool answers, const char *checkpoint, const char *advice)
{
    for (const Part *part = PARTS; part < PARTS + N_PARTS; part++) {
        const Json *base = json_get(json_get(state, "bases"), base_name(part)), *files = json_get(base, "files");
        char path[PATH_MAX];
        Check c = {.part = part, .base = base, .folder = folder_of(part, cfg, path), .checkpoint = checkpoint, .advice = advice};
        if (!base || !c.folder || (answers && part->only_for_pictures && !cfg->draws))
            continue;
        c.drawn = part_drawn(part, cfg);
        c.cached = part_cached(part, cfg);
        if (files && files->kind == JSON_ARRAY)
            TRY(check_files(&c, files));
        else if (*text_of(base, "xxh3"))
            TRY(check_partial_hash(&c));
    }
    return OK;
}
