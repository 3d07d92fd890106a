/* inspect_text.c: what kind of thing a path is, and what inspect's pages have in common: numbers for people, JSON. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/rows.h"
#include "data/pictures/image.h"
#include "kernels/base/utf8.h"
#include "tools/inspect/inspect.h"
#include "train/config/options.h"
#include "train/config/plan.h"

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

/* ---------------------------------------------------------------- labels */

Status inspect_labels(const InspectOptions *o, InspectLabels *labels)
{
    const Option *option = option_find("loss.image_tokens");
    RunConfig cfg = {.loss.image_tokens = IMAGE_TOKENS_FIRST};
    if (o->config)
        TRY(config_load(&cfg, o->config, NULL, 0));
    *labels = (InspectLabels){plan_visual_labels(&cfg), option->names[cfg.loss.image_tokens]};
    if (o->config)
        config_free(&cfg);
    return OK;
}

bool inspect_is_label(const Shard *s, uint64_t token, const InspectLabels *labels)
{
    return index_is_label(s->id[token], s->mask[token], (int32_t)(s->n_ids - s->attr.n_visual_tokens), labels->which);
}

const char *inspect_labels_note(char note[128], const InspectOptions *o, const Shard *s, const InspectLabels *labels)
{
    note[0] = 0;
    if (s->attr.n_visual_tokens)
        snprintf(note, 128, "; of [IMG] tokens as loss.image_tokens \"%s\" says%s", labels->name,
                 o->config ? "" : ", the default (--config RUN.json tells that of a run)");
    return note;
}

/* ---------------------------------------------------------------- what is it? */

typedef struct Contents {
    bool manifest, config, run, checkpoint, shards, weights, parts, loose;
} Contents;

static Status look_at_name(void *contents, const char *name)
{
    Contents *c = contents;
    c->manifest |= !strcmp(name, "MANIFEST.json");
    c->config |= !strcmp(name, "config.json");
    c->run |= !strcmp(name, "config.resolved.json") || !strcmp(name, "train.jsonl");
    c->checkpoint |= !strncmp(name, "checkpoint-", 11);
    c->shards |= !strcmp(name, "manifest.jsonl") || (!strncmp(name, "shard-", 6) && utf8_ends(name, ".h5"));
    c->parts |= !strcmp(name, "model_index.json") || !strcmp(name, "unet") || !strcmp(name, "vae") || !strcmp(name, "text_encoder");
    const bool model = !strncmp(name, "model", 5) || !strncmp(name, "adapter_model", 13) || !strncmp(name, "diffusion_pytorch_model", 23);
    c->weights |= model && (utf8_ends(name, ".safetensors") || utf8_ends(name, ".safetensors.index.json"));
    c->loose |= !model && utf8_ends(name, ".safetensors");
    return OK;
}

/* A checkpoint holds config.resolved.json and weights too, so the order of the questions matters. */
static Status identify_folder(const char *path, PathKind *kind)
{
    Contents c = {0};
    TRY(file_list(path, look_at_name, &c));
    if (c.manifest)
        *kind = PATH_CHECKPOINT;
    else if (c.checkpoint || c.run)
        *kind = PATH_RUN;
    else if (c.shards)
        *kind = PATH_SHARD_FOLDER;
    else if (c.weights)
        *kind = PATH_WEIGHTS_FOLDER;
    else if (c.parts && !c.loose)
        *kind = PATH_DIFFUSERS;
    else if (inspect_is_data_folder(path))
        *kind = PATH_DATA_FOLDER;
    else if (inspect_is_folder_of_things(path))
        *kind = PATH_FOLDER;
    else
        return fail(ERR_DATA, "%s: holds no weights (*.safetensors), shards, checkpoint or run, and is no data set or folder of requests "
                              "(evaluate --list says what folders of benchmarks hold)", path);
    return OK;
}

/* Not what stands in place of weights that were not downloaded. */
static bool is_plain_text(const char *path, const char *start, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)start[i] < ' ' && !strchr("\t\r\n", start[i]))
            return false;
    return n && strncmp(start, "version https://git-lfs", 23) && !utf8_ends(path, ".bin") && !utf8_ends(path, ".gguf");
}

/* Of a file by its first bytes; weights where they do not tell: their reader knows more kinds of files that it cannot take. */
static PathKind kind_of_file(const char *path, const char *start, size_t n)
{
    const bool hdf = n >= 8 && !memcmp(start, "\x89HDF\r\n\x1a\n", 8); /* a shard has a seal before that */
    if (hdf || (n >= 6 && !memcmp(start, "\x93NUMPY", 6)) || (!strncmp(start, "PK\3\4", 4) && utf8_ends(path, ".npz")))
        return PATH_FEATURES;
    if ((n >= 8 && (!memcmp(start, "GENLLAVA", 8) || !memcmp(start, "\x89HDF\r\n\x1a\n", 8))) || utf8_ends(path, ".h5"))
        return PATH_SHARD;
    if (!strncmp(start, "GGUF", 4))
        return PATH_GGUF;
    if (!strncmp(start, "PK\3\4", 4))
        return PATH_TORCH;
    if (image_identify((const uint8_t *)start, n) != IMAGE_UNKNOWN)
        return PATH_PICTURE;
    if (utf8_ends(path, ".safetensors")) /* also a damaged one; its first bytes, a length, may be any */
        return PATH_WEIGHTS;
    if (image_is_other((const uint8_t *)start, n) || image_is_named(path))
        return PATH_PICTURE;
    if (utf8_ends(path, ".model") && *start == '\n') /* a piece, the first field of the message */
        return PATH_VOCABULARY;
    if (rows_other(start, n))
        return PATH_JSON;
    size_t blank = strspn(start, " \t\r\n\xEF\xBB\xBF");
    if (start[blank] == '{' || start[blank] == '[')
        return PATH_JSON;
    return is_plain_text(path, start, n) ? PATH_TEXT : PATH_WEIGHTS;
}

Status inspect_identify(const char *path, PathKind *kind)
{
    struct stat st;
    char start[33] = "";
    if (stat(path, &st))
        return fail(ERR_MISSING, "%s: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return identify_folder(path, kind);
    FILE *f = fopen(path, "re");
    if (!f)
        return fail(ERR_MISSING, "%s: %s", path, strerror(errno));
    size_t n = fread(start, 1, sizeof start - 1, f);
    fclose(f);
    *kind = kind_of_file(path, start, n);
    return OK;
}
