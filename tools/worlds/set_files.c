/* The files that all sets have (set_files.h). */
#include "tools/worlds/set_files.h"

#include <string.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"

enum { MAX_SUMMARY = 1 << 16 };

cJSON *set_summary(const char *schema, int64_t count, int64_t heldout, int64_t size, int64_t seed)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "schema", schema);
    json_add_int(o, "count", count);
    json_add_int(o, "heldout", heldout);
    json_add_int(o, "size", size);
    json_add_int(o, "seed", seed);
    return o;
}

static Status look_for_old(const char *path, const char *folder, const char *summary, bool *done)
{
    char *old;
    size_t n;
    *done = false;
    if (!file_exists(path))
        return OK;
    TRY(file_read(&old, &n, path, MAX_SUMMARY));
    *done = !strncmp(old, summary, strlen(summary)); /* a newline may follow */
    mem_free(old);
    return *done ? OK : fail(ERR_CREATE, "%s was made with other settings; remove %s or give another --out", path, folder);
}

static Status make_set(int64_t size, Status (*make)(const void *set, uint8_t *rgb), const void *set)
{
    uint8_t *rgb = mem_alloc((size_t)size * (size_t)size * 3);
    Status s = rgb ? make(set, rgb) : fail(ERR_NOMEM, "no memory for a picture of %lld pixels a side", (long long)size);
    mem_free(rgb);
    return s;
}

Status set_write(const char *folder, const char *name, cJSON **summary, int64_t size, Status (*make)(const void *set, uint8_t *rgb),
                 const void *set, bool *done)
{
    char path[PATH_MAX], *text;
    TRY(json_to_text(&text, summary, JSON_PRETTY, name));
    text[strlen(text) - 1] = 0; /* file_replace adds the newline */
    Status s = look_for_old(file_join(path, folder, name), folder, text, done);
    if (!s && !*done)
        s = make_set(size, make, set);
    if (!s && !*done)
        s = file_replace(path, text);
    mem_free(text);
    return s;
}

void set_add_turn(cJSON *turns, const char *from, const char *value)
{
    cJSON *turn = json_add(turns, NULL, cJSON_CreateObject());
    cJSON_AddStringToObject(turn, "from", from);
    cJSON_AddStringToObject(turn, "value", value);
}
