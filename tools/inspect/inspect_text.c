#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/inspect/inspect.h"

Status inspect_put_json(const InspectOptions *o, JsonOut *j)
{
    Status s = j->failed ? fail(ERR_NOMEM, "no memory for the JSON of %s", o->path) : OK;
    if (!s && fprintf(o->out, "%s\n", j->text) < 0)
        s = fail(ERR_IO, "writing: %s", strerror(errno));
    jsonout_free(j);
    return s;
}

const char *inspect_count(char buf[32], int64_t n)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRId64, n), at = 0;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0 && digits[i - 1] != '-')
            buf[at++] = ',';
        buf[at++] = digits[i];
    }
    buf[at] = 0;
    return buf;
}

/* ---------------------------------------------------------------- what is it? */

typedef struct Contents {
    bool manifest, config, run, checkpoint, shards, weights;
} Contents;

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

static Status look_into(const char *folder, Contents *c)
{
    DIR *d = opendir(folder);
    if (!d)
        return fail(ERR_MISSING, "%s: %s", folder, strerror(errno));
    for (struct dirent *e; (e = readdir(d));) {
        const char *name = e->d_name;
        c->manifest |= !strcmp(name, "MANIFEST.json");
        c->config |= !strcmp(name, "config.json");
        c->run |= !strcmp(name, "config.resolved.json") || !strcmp(name, "train.jsonl");
        c->checkpoint |= !strncmp(name, "checkpoint-", 11);
        c->shards |= !strcmp(name, "manifest.jsonl") || (!strncmp(name, "shard-", 6) && ends_with(name, ".h5"));
        c->weights |= ends_with(name, ".safetensors") || ends_with(name, ".safetensors.index.json");
    }
    closedir(d);
    return OK;
}

/* A checkpoint holds config.resolved.json and weights too, so the order of the questions matters. */
static Status identify_folder(const char *path, PathKind *kind)
{
    Contents c = {0};
    TRY(look_into(path, &c));
    if (c.manifest)
        *kind = PATH_CHECKPOINT;
    else if (c.checkpoint || c.run)
        *kind = PATH_RUN;
    else if (c.shards)
        *kind = PATH_SHARD_FOLDER;
    else if (c.weights)
        *kind = PATH_WEIGHTS_FOLDER;
    else
        return fail(ERR_DATA, "%s: holds no weights (*.safetensors), shards, checkpoint or run", path);
    return OK;
}

Status inspect_identify(const char *path, PathKind *kind)
{
    struct stat st;
    char magic[8] = "";
    if (stat(path, &st))
        return fail(ERR_MISSING, "%s: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return identify_folder(path, kind);
    FILE *f = fopen(path, "re");
    if (!f)
        return fail(ERR_MISSING, "%s: %s", path, strerror(errno));
    size_t n = fread(magic, 1, sizeof magic, f);
    fclose(f);
    bool shard = (n == sizeof magic && (!memcmp(magic, "GENLLAVA", 8) || !memcmp(magic, "\x89HDF\r\n\x1a\n", 8))) || ends_with(path, ".h5");
    *kind = shard ? PATH_SHARD : PATH_WEIGHTS;
    return OK;
}
