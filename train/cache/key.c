/* key.c: what cached results depend on, as JSON beside them, and its hash in their names (run_cache.h). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "data/formats/file.h"
#include "data/formats/json_compare.h"
#include "data/formats/json_write.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "kernels/base/utf8.h"
#include "train/cache/run_cache.h"
#include "train/models/parts.h"
#include "train/store/bases.h"

/* Goes up when the same network makes other results of the same things. */
enum { FORM = 1 };

const char *cache_part(CacheKind kind) { return kind == CACHE_LATENTS ? "vae" : "text_encoder"; }

/* Name, size and hash of the files of the network's folder, its weights apart from the others. */
static Status add_files(cJSON *o, const RunCache *c, CacheKind kind, bool *bare)
{
    cJSON *all = cJSON_CreateArray(), *weights = cJSON_AddArrayToObject(o, "weights"), *files = cJSON_AddArrayToObject(o, "files");
    Status s = bases_list(all, part_find(cache_part(kind)), c->cfg);
    for (cJSON *f; !s && (f = cJSON_DetachItemFromArray(all, 0));) {
        const cJSON *name = cJSON_GetObjectItem(f, "name");
        cJSON_DeleteItemFromObject(f, "mtime_ns");
        json_add(name && utf8_ends(name->valuestring, ".safetensors") ? weights : files, NULL, f);
    }
    *bare = !cJSON_GetArraySize(weights);
    cJSON_Delete(all);
    return s;
}

static Status describe(RunCache *c, CacheKind kind)
{
    cJSON *o = cJSON_CreateObject();
    json_add_text(o, "kind", CACHE_NAMES[kind]);
    json_add_int(o, "form", FORM);
    json_add_text(o, "compute", dtype_name(c->compute));
    if (kind == CACHE_LATENTS) {
        json_add_int(o, "size", c->cfg->model.diffusion.size);
        cJSON_AddBoolToObject(o, "winograd", c->cfg->train.winograd && c->compute == F32);
    }
    Status s = add_files(o, c, kind, &c->bare[kind]);
    if (!s)
        return json_to_text(&c->made_from[kind], &o, JSON_INLINE, "data.cache");
    cJSON_Delete(o);
    return s;
}

/* ---------------------------------------------------------------- what lies beside the shards */

static void manifest_path(char path[PATH_MAX], const RunCache *c, CacheKind kind, const char *key)
{
    char name[NAME_MAX];
    snprintf(name, sizeof name, "cache-%s-%s.json", CACHE_NAMES[kind], key);
    file_join(path, c->folder, name);
}

/* The key in the name of such a file; false: it is another file. */
static bool read_name(const char *name, CacheKind kind, char key[CACHE_KEY])
{
    char prefix[64];
    size_t n = (size_t)snprintf(prefix, sizeof prefix, "cache-%s-", CACHE_NAMES[kind]), hex = CACHE_KEY - 1;
    if (strncmp(name, prefix, n) || strspn(name + n, "0123456789abcdef") != hex || strcmp(name + n + hex, ".json"))
        return false;
    snprintf(key, CACHE_KEY, "%s", name + n);
    return true;
}

/* Looks through what was made before. */
typedef struct Search {
    const RunCache *c;
    CacheKind kind;
    const Json *ours;
    int same;            /* those that differ in weights alone */
    char key[CACHE_KEY]; /* of the last such */
    char *line;          /* what else differs of the last that was compared; NULL: nothing. mem_free */
} Search;

static Status note_difference(void *arg, const char *path, const Json *there, const Json *here)
{
    char **line = arg;
    size_t n;
    char *text = NULL;
    if (*line || !strncmp(path, "weights", strlen("weights")))
        return OK;
    FILE *out = open_memstream(&text, &n);
    Status s = out ? json_difference_print(out, path, there, here) : fail(ERR_NOMEM, "data.cache: out of memory");
    if (out)
        fclose(out);
    *line = s || !text ? NULL : mem_strdup(text);
    free(text);
    return s;
}

static Status compare_manifest(void *arg, const char *name)
{
    Search *s = arg;
    char path[PATH_MAX], key[CACHE_KEY];
    JsonDoc *doc;
    if (!read_name(name, s->kind, key) || json_read_file(&doc, file_join(path, s->c->folder, name)))
        return OK; /* a damaged one says nothing */
    mem_free(s->line);
    s->line = NULL;
    Status r = json_compare(json_root(doc), s->ours, note_difference, &s->line);
    if (!r && !s->line) {
        s->same++;
        memcpy(s->key, key, sizeof key);
    }
    json_free(&doc);
    return r;
}

/* Those of this kind beside the shards. line: mem_free it. */
static Status search(Search *s, const RunCache *c, CacheKind kind)
{
    JsonDoc *ours;
    *s = (Search){.c = c, .kind = kind};
    if (!file_exists(c->folder))
        return OK;
    TRY(json_parse(&ours, c->made_from[kind], strlen(c->made_from[kind]), "data.cache"));
    s->ours = json_root(ours);
    Status r = file_list(c->folder, compare_manifest, s);
    json_free(&ours);
    return r;
}

/* ---------------------------------------------------------------- the key */

/* Without weights: that of results made with these settings. */
static Status find_key(RunCache *c, CacheKind kind)
{
    char folder[PATH_MAX];
    Search s;
    TRY(search(&s, c, kind));
    mem_free(s.line);
    if (s.same == 1)
        memcpy(c->spec[kind].key, s.key, sizeof s.key);
    if (s.same > 1)
        return fail(ERR_MISSING, "data.cache: %s holds no weights, and %s has %s of %d networks with these settings; put back the weights "
                                 "of the one that is meant, or remove the other cache-%s-*",
                    part_folder(part_find(cache_part(kind)), c->cfg, folder), c->folder, CACHE_NAMES[kind], s.same, CACHE_NAMES[kind]);
    return OK;
}

Status cache_key(RunCache *c, CacheKind kind)
{
    TRY(describe(c, kind));
    if (c->bare[kind])
        return find_key(c, kind);
    XXH128_hash_t h = XXH3_128bits(c->made_from[kind], strlen(c->made_from[kind]));
    snprintf(c->spec[kind].key, CACHE_KEY, "%016" PRIx64 "%016" PRIx64, h.high64, h.low64);
    return OK;
}

Status cache_key_save(const RunCache *c, CacheKind kind)
{
    char path[PATH_MAX];
    Search s;
    manifest_path(path, c, kind, c->spec[kind].key);
    if (file_exists(path))
        return OK;
    TRY(search(&s, c, kind));
    if (s.same)
        log_info("data.cache: the %s beside the shards are of other weights", CACHE_NAMES[kind]);
    else if (s.line)
        log_info("data.cache: the %s beside the shards were made otherwise: %s", CACHE_NAMES[kind], s.line);
    mem_free(s.line);
    return file_replace(path, c->made_from[kind]);
}
