/* shard.c: opens a shard and checks that its arrays agree with one another (shard.h). Called by shard_set.c and inspect. */
#include "data/shards/shard.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/crc32c.h"
#include "data/formats/file.h"
#include "data/kinds.h"
#include "data/pictures/image.h"
#include "data/shards/shard_layout.h"
#include "data/shards/shard_writer.h"
#include "kernels/base/arena.h"

static void **member(Shard *s, const ShardArray *a) { return (void **)(void *)((char *)s + a->member); }

void shard_close(Shard **ps)
{
    Shard *s = *ps;
    *ps = NULL;
    if (!s)
        return;
    for (int i = 0; i < N_SHARD_ARRAYS; i++)
        mem_free(*member(s, &SHARD_ARRAYS[i]));
    mem_free(s->attr.inputs);
    mem_free(s->attr.tok_added);
    mem_free(s->attr.licenses);
    mem_free(s->path);
    if (s->fd >= 0)
        close(s->fd);
    mem_free(s);
}

/* ---------------------------------------------------------------- attributes */

static Status read_text_field(Shard *s, HdfFile *f, const ShardField *field)
{
    char *text;
    TRY(hdf_get_text(f, field->name, &text));
    Status r = OK;
    if (strlen(text) >= field->size)
        r = fail(ERR_DATA, "%s: attribute %s has %zu characters, at most %zu are allowed", s->path, field->name, strlen(text),
                 field->size - 1);
    else
        memcpy((char *)&s->attr + field->member, text, strlen(text) + 1);
    mem_free(text);
    return r;
}

static Status read_int_field(Shard *s, HdfFile *f, const ShardField *field)
{
    int64_t value;
    TRY(hdf_get_int(f, field->name, &value));
    if (value < field->least || value > field->most)
        return fail(ERR_DATA, "%s: attribute %s is %" PRId64 ", allowed are %" PRId64 " to %" PRId64, s->path, field->name, value, field->least,
                    field->most);
    memcpy((char *)&s->attr + field->member, &value, sizeof value);
    return OK;
}

/* Every count is one of numbers that lie in the file: a small file cannot make us ask for much memory. Token arrays alone are deflated. */
static Status check_counts(const Shard *s, uint64_t file_bytes)
{
    enum { DEFLATE_MOST = 1032 };
    const ShardAttributes *a = &s->attr;
    if ((uint64_t)a->n_samples > file_bytes || (uint64_t)a->n_images > file_bytes || (uint64_t)a->n_refs > file_bytes ||
        (uint64_t)a->n_tokens / DEFLATE_MOST > file_bytes)
        return fail(ERR_DATA, "%s: announces %" PRId64 " samples, %" PRId64 " images, %" PRId64 " references, %" PRId64 " tokens in %" PRIu64 " bytes",
                    s->path, a->n_samples, a->n_images, a->n_refs, a->n_tokens, file_bytes);
    if (a->shard_index >= a->shard_count)
        return fail(ERR_DATA, "%s: says that it is shard %" PRId64 " of %" PRId64, s->path, a->shard_index, a->shard_count);
    return OK;
}

static Status read_attributes(Shard *s, HdfFile *f)
{
    char *schema;
    TRY(hdf_get_text(f, "schema", &schema));
    Status r = strcmp(schema, SHARD_SCHEMA) ? fail(ERR_DATA, "%s: schema is \"%s\", this program reads \"%s\"", s->path, schema, SHARD_SCHEMA)
                                            : OK;
    mem_free(schema);
    TRY(r);
    int64_t finished = 0;
    TRY(hdf_get_int(f, "finished", &finished));
    if (finished != 1)
        return fail(ERR_DATA, "%s: was not finished; run prepare again", s->path);
    for (int i = 0; i < N_SHARD_INTS; i++)
        TRY(read_int_field(s, f, &SHARD_INTS[i]));
    for (int i = 0; i < N_SHARD_TEXTS; i++)
        TRY(read_text_field(s, f, &SHARD_TEXTS[i]));
    TRY(hdf_get_text(f, "inputs", &s->attr.inputs));
    TRY(hdf_get_text(f, "licenses", &s->attr.licenses));
    return hdf_get_text(f, "tok_added", &s->attr.tok_added);
}

/* ---------------------------------------------------------------- consistency */

/* offsets[0..n] must begin at 0, never fall, and end at `total`. */
static Status check_offsets(const Shard *s, const char *name, const uint64_t *offsets, int64_t n, uint64_t total)
{
    if (offsets[0] != 0 || offsets[n] != total)
        return fail(ERR_DATA, "%s: %s runs from %" PRIu64 " to %" PRIu64 ", should be 0 to %" PRIu64, s->path, name, offsets[0], offsets[n],
                    total);
    for (int64_t i = 0; i < n; i++)
        if (offsets[i] > offsets[i + 1])
            return fail(ERR_DATA, "%s: %s falls at %" PRId64, s->path, name, i);
    return OK;
}

Status shard_check_ref(const Shard *s, uint64_t r, const Shard *holder)
{
    const uint32_t image = s->ref_image[r];
    if (image >= holder->attr.n_images)
        return fail(ERR_DATA, "%s: reference %" PRIu64 " leads to image %u of shard %u, which has %" PRId64 " images", s->path, r, image, s->ref_shard[r],
                    holder->attr.n_images);
    if (s->ref_crc32c[r] != holder->image_crc32c[image])
        return fail(ERR_DATA, "%s: reference %" PRIu64 " leads to image %u of shard %u, which is another picture; run prepare again", s->path, r, image,
                    s->ref_shard[r]);
    return OK;
}

/* What other shards hold is checked once they are open (shard_set.c). */
static Status check_refs(const Shard *s, int64_t i, uint64_t *inputs)
{
    unsigned flags = 0;
    for (uint64_t r = s->img_off[i]; r < s->img_off[i + 1]; r++) {
        if (s->ref_shard[r] > s->attr.shard_index || s->ref_role[r] > ROLE_MASK)
            return fail(ERR_DATA, "%s: /ref of sample %" PRId64 " leads to shard %u with role %d", s->path, i, s->ref_shard[r], s->ref_role[r]);
        if (s->ref_shard[r] == s->attr.shard_index)
            TRY(shard_check_ref(s, r, s));
        *inputs += s->ref_role[r] == ROLE_INPUT;
        flags |= s->ref_role[r] == ROLE_INPUT ? FLAG_HAS_INPUT : s->ref_role[r] == ROLE_TARGET ? FLAG_HAS_TARGET : 0u;
    }
    if (flags != s->flags[i])
        return fail(ERR_DATA, "%s: /sample/flags of sample %" PRId64 " is %d, should be %u", s->path, i, s->flags[i], flags);
    return OK;
}

static Status check_sample(const Shard *s, int64_t i)
{
    const uint64_t first = s->tok_off[i], last = s->tok_off[i + 1];
    uint64_t placeholders = 0, trained = 0, inputs = 0;
    for (uint64_t t = first; t < last; t++) {
        unsigned kind = (unsigned)s->mask[t] >> MASK_KIND_SHIFT;
        bool image = s->id[t] == ID_IMAGE;
        if (kind > KIND_IMAGE || image != (kind == KIND_IMAGE) || (image && s->mask[t] & MASK_TRAINED))
            return fail(ERR_DATA, "%s: /tok/mask of sample %" PRId64 " is %d for token %d", s->path, i, s->mask[t], s->id[t]);
        if (!image && (s->id[t] < 0 || s->id[t] >= s->attr.vocab_size + N_TASKS + s->attr.n_visual_tokens))
            return fail(ERR_DATA, "%s: /tok/id of sample %" PRId64 " holds %d", s->path, i, s->id[t]);
        placeholders += image;
        trained += s->mask[t] & MASK_TRAINED;
    }
    TRY(check_refs(s, i, &inputs));
    uint64_t expanded = last - first - placeholders + placeholders * (uint64_t)s->attr.patches;
    if (placeholders != inputs || trained != s->n_train[i] || expanded != s->exp_len[i] || expanded > INT32_MAX)
        return fail(ERR_DATA, "%s: sample %" PRId64 " has %" PRIu64 " image tokens for %" PRIu64 " images, %" PRIu64
                    " trained tokens (n_train %u), length %" PRIu64 " (exp_len %u)", s->path, i, placeholders, inputs, trained, s->n_train[i],
                    expanded, s->exp_len[i]);
    if (s->task[i] >= N_TASKS || !isfinite(s->weight[i]) || s->weight[i] < 0)
        return fail(ERR_DATA, "%s: sample %" PRId64 " has task %d, weight %g", s->path, i, s->task[i], (double)s->weight[i]);
    return OK;
}

static Status check_contents(const Shard *s, uint64_t image_bytes)
{
    const ShardAttributes *a = &s->attr;
    TRY(check_offsets(s, "/sample/tok_off", s->tok_off, a->n_samples, (uint64_t)a->n_tokens));
    TRY(check_offsets(s, "/sample/img_off", s->img_off, a->n_samples, (uint64_t)a->n_refs));
    TRY(check_offsets(s, "/image/off", s->image_off, a->n_images, image_bytes));
    TRY(check_offsets(s, "/text/off", s->text_off, a->n_samples, s->text_off[a->n_samples]));
    for (int64_t i = 0; i < a->n_samples; i++)
        TRY(check_sample(s, i));
    for (int64_t i = 0; i < a->n_images; i++)
        if (!s->image_wh[i][0] || !s->image_wh[i][1] || s->image_fmt[i] > IMAGE_WEBP)
            return fail(ERR_DATA, "%s: image %" PRId64 " is %ux%u, format %d", s->path, i, s->image_wh[i][0], s->image_wh[i][1],
                        s->image_fmt[i]);
    return OK;
}

/* ---------------------------------------------------------------- opening */

static Status load(Shard *s, HdfFile *f, const ShardSeal *seal)
{
    TRY(read_attributes(s, f));
    TRY(check_counts(s, seal->file_bytes));
    for (int i = 0; i < N_SHARD_ARRAYS; i++) {
        const HdfArray a = shard_array(&SHARD_ARRAYS[i], &s->attr);
        TRY(hdf_read(f, &a, member(s, &SHARD_ARRAYS[i]), NULL));
    }
    uint64_t bytes;
    TRY(hdf_locate(f, SHARD_IMAGE_DATA, &s->image_data_offset, &bytes));
    if (bytes != seal->image_bytes || s->image_data_offset != seal->image_offset)
        return fail(ERR_DATA, "%s: " SHARD_IMAGE_DATA " lies elsewhere than the seal says", s->path);
    const HdfArray lines = {.name = SHARD_TEXT_DATA, .type = HDF_U8, .rows = s->text_off[s->attr.n_samples], .columns = 1};
    TRY(hdf_read_range(f, &lines, 0, 0, NULL)); /* only that it is there and as long as /text/off says */
    return check_contents(s, bytes);
}

Status shard_open(Shard **out, const char *path)
{
    Shard *s = mem_alloc(sizeof *s);
    if (s)
        s->path = mem_strdup(path);
    if (!s || !s->path) {
        mem_free(s);
        return fail(ERR_NOMEM, "%s: no memory to open it", path);
    }
    *out = s;
    s->fd = open(path, O_RDONLY | O_CLOEXEC);
    Status r = s->fd < 0 ? fail(errno == ENOENT ? ERR_MISSING : ERR_IO, "%s: %s", path, strerror(errno)) : OK;
    ShardSeal seal;
    HdfFile *f = NULL;
    if (!r)
        r = shard_check_seal(s->fd, path, true, &seal);
    if (!r)
        r = hdf_open(&f, path);
    if (!r)
        r = load(s, f, &seal);
    if (f)
        hdf_close(&f);
    if (r)
        shard_close(out);
    return r;
}

void shard_let_go(Shard *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

Status shard_image(const Shard *s, int64_t i, uint8_t *buf)
{
    if (i < 0 || i >= s->attr.n_images)
        return fail(ERR_USAGE, "%s: there is no image %" PRId64 ", it holds %" PRId64, s->path, i, s->attr.n_images);
    uint64_t n = s->image_off[i + 1] - s->image_off[i], at = s->image_data_offset + s->image_off[i];
    char name[PATH_MAX + 32];
    snprintf(name, sizeof name, "%s: image %" PRId64, s->path, i);
    int fd = s->fd < 0 ? open(s->path, O_RDONLY | O_CLOEXEC) : s->fd;
    Status read = fd < 0 ? fail(errno == ENOENT ? ERR_MISSING : ERR_IO, "%s: %s", name, strerror(errno)) : file_read_at(fd, name, buf, n, (int64_t)at);
    if (fd >= 0 && s->fd < 0)
        close(fd);
    TRY(read);
    uint32_t crc = crc32c(buf, n);
    if (crc != s->image_crc32c[i])
        return fail(ERR_DATA, "%s: image %" PRId64 " is damaged (crc32c %08x, should be %08x); run prepare again", s->path, i, crc,
                    s->image_crc32c[i]);
    return OK;
}

Status shard_text(const Shard *s, int64_t i, char **out, size_t *n)
{
    if (i < 0 || i >= s->attr.n_samples)
        return fail(ERR_USAGE, "%s: there is no sample %" PRId64 ", it holds %" PRId64, s->path, i, s->attr.n_samples);
    *n = s->text_off[i + 1] - s->text_off[i];
    *out = mem_alloc(*n + 1);
    if (!*out)
        return fail(ERR_NOMEM, "%s: no memory for line %" PRId64 " of %zu bytes", s->path, i, *n);
    HdfFile *f = NULL;
    Status r = hdf_open(&f, s->path);
    const HdfArray a = {.name = SHARD_TEXT_DATA, .type = HDF_U8, .rows = s->text_off[s->attr.n_samples], .columns = 1};
    if (!r)
        r = hdf_read_range(f, &a, s->text_off[i], *n, *out);
    if (f)
        hdf_close(&f);
    if (r) {
        mem_free(*out);
        *out = NULL;
    }
    return r;
}
