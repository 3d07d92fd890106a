/* shard.c: opens a shard and checks everything in it (shard.h). Called by shard_set.c and inspect. */
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
#include "data/formats/json.h"
#include "data/kinds.h"
#include "data/pictures/image.h"
#include "data/shards/shard_layout.h"
#include "data/shards/shard_writer.h"
#include "kernels/base/arena.h"

static void **member(Shard *s, const ShardArray *a) { return (void **)(void *)((char *)s + a->member); }

static void free_arrays(Shard *s, const void *but)
{
    for (int i = 0; i < N_SHARD_ARRAYS; i++) {
        void **array = member(s, &SHARD_ARRAYS[i]);
        if (*array == but)
            continue;
        mem_free(*array);
        *array = NULL;
    }
}

void shard_keep_pictures(Shard *s)
{
    free_arrays(s, s->image_crc32c);
    shard_let_go(s);
}

void shard_close(Shard **ps)
{
    Shard *s = *ps;
    *ps = NULL;
    if (!s)
        return;
    free_arrays(s, NULL);
    mem_free(s->attr.inputs);
    mem_free(s->attr.tok_added);
    mem_free(s->attr.licenses);
    mem_free(s->path);
    if (s->fd >= 0)
        close(s->fd);
    mem_free(s);
}

/* ---------------------------------------------------------------- attributes */

static Status read_text_field(Shard *s, HdfTree *f, const ShardField *field)
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

static Status read_int_field(Shard *s, HdfTree *f, const ShardField *field)
{
    int64_t value;
    TRY(hdf_get_int(f, field->name, &value));
    if (value < field->least || value > field->most)
        return fail(ERR_DATA, "%s: attribute %s is %" PRId64 ", allowed are %" PRId64 " to %" PRId64, s->path, field->name, value,
                    field->least, field->most);
    memcpy((char *)&s->attr + field->member, &value, sizeof value);
    return OK;
}

/* Every number that is not deflated lies in the index, and tokens have a limit: a small file cannot make us ask for much memory. */
static Status check_counts(const Shard *s, uint64_t index_bytes)
{
    const ShardAttributes *a = &s->attr;
    uint64_t bytes = 0;
    for (int i = 0; i < N_SHARD_ARRAYS; i++) {
        const HdfArray h = shard_array(&SHARD_ARRAYS[i], a);
        bytes += h.deflate ? 0 : h.rows * h.columns * hdf_type_size(h.type);
    }
    if (bytes > index_bytes)
        return fail(ERR_DATA, "%s: announces %" PRId64 " samples, %" PRId64 " images, %" PRId64 " references in %" PRIu64 " bytes", s->path,
                    a->n_samples, a->n_images, a->n_refs, index_bytes);
    if (a->shard_index >= a->shard_count)
        return fail(ERR_DATA, "%s: says that it is shard %" PRId64 " of %" PRId64, s->path, a->shard_index, a->shard_count);
    return OK;
}

static Status parse_attribute(JsonDoc **doc, const Shard *s, const char *name, const char *text, JsonKind kind)
{
    TRY_IN(json_parse(doc, text, strlen(text), name), "%s", s->path);
    if (json_root(*doc)->kind == kind)
        return OK;
    Status r =
        fail(ERR_DATA, "%s: attribute %s is %s, should be %s", s->path, name, json_kind_name(json_root(*doc)->kind), json_kind_name(kind));
    json_free(doc);
    return r;
}

/* The texts that hold JSON, and that the added tokens follow the vocabulary one by one. */
static Status check_texts(Shard *s)
{
    const struct {
        const char *name, *text;
    } lists[] = {{"inputs", s->attr.inputs}, {"licenses", s->attr.licenses}};
    JsonDoc *doc = NULL;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        TRY(parse_attribute(&doc, s, lists[i].name, lists[i].text, JSON_ARRAY));
        json_free(&doc);
    }
    TRY(parse_attribute(&doc, s, "tok_added", s->attr.tok_added, JSON_OBJECT));
    Status r = OK;
    s->n_ids = s->attr.vocab_size;
    for (const Json *v = json_root(doc)->child; v && !r; v = v->next)
        if (v->kind != JSON_INT || v->integer != s->n_ids++)
            r = fail(ERR_DATA, "%s: attribute tok_added has %" PRId64 " where id %" PRId64 " should follow", s->path, v->integer,
                     s->n_ids - 1);
    if (!r && s->n_ids > s->attr.vocab_size + s->attr.n_visual_tokens + N_TASKS)
        r = fail(ERR_DATA, "%s: attribute tok_added has %" PRId64 " tokens, n_visual_tokens is %" PRId64, s->path,
                 s->n_ids - s->attr.vocab_size, s->attr.n_visual_tokens);
    json_free(&doc);
    return r;
}

static Status read_attributes(Shard *s, HdfTree *f)
{
    char *schema;
    TRY(hdf_get_text(f, "schema", &schema));
    Status r = strcmp(schema, SHARD_SCHEMA)
                   ? fail(ERR_DATA, "%s: schema is \"%s\", this program reads \"%s\"", s->path, schema, SHARD_SCHEMA)
                   : OK;
    mem_free(schema);
    TRY(r);
    int64_t finished = 0;
    TRY(hdf_get_int(f, "finished", &finished));
    if (finished != 1)
        return fail(ERR_DATA, "%s: was not finished", s->path);
    for (int i = 0; i < N_SHARD_INTS; i++)
        TRY(read_int_field(s, f, &SHARD_INTS[i]));
    for (int i = 0; i < N_SHARD_TEXTS; i++)
        TRY(read_text_field(s, f, &SHARD_TEXTS[i]));
    TRY(hdf_get_text(f, "inputs", &s->attr.inputs));
    TRY(hdf_get_text(f, "licenses", &s->attr.licenses));
    TRY(hdf_get_text(f, "tok_added", &s->attr.tok_added));
    return check_texts(s);
}

/* ---------------------------------------------------------------- consistency */

/* offsets[0..n] must begin at 0, never fall, never rise by more than `most`, and end at `total`. */
static Status check_offsets(const Shard *s, const char *name, const uint64_t *offsets, int64_t n, uint64_t total, uint64_t most)
{
    if (offsets[0] != 0 || offsets[n] != total)
        return fail(ERR_DATA, "%s: %s runs from %" PRIu64 " to %" PRIu64 ", should be 0 to %" PRIu64, s->path, name, offsets[0], offsets[n],
                    total);
    for (int64_t i = 0; i < n; i++)
        if (offsets[i] > offsets[i + 1])
            return fail(ERR_DATA, "%s: %s falls at %" PRId64, s->path, name, i);
        else if (offsets[i + 1] - offsets[i] > most)
            return fail(ERR_DATA, "%s: %s rises by %" PRIu64 " at %" PRId64 ", at most %" PRIu64 " are allowed", s->path, name,
                        offsets[i + 1] - offsets[i], i, most);
    return OK;
}

Status shard_check_ref(const Shard *s, uint64_t r, const Shard *holder)
{
    const uint32_t image = s->ref_image[r];
    if (image >= holder->attr.n_images)
        return fail(ERR_DATA, "%s: reference %" PRIu64 " leads to image %u of shard %u, which has %" PRId64 " image%s", s->path, r, image,
                    s->ref_shard[r], holder->attr.n_images, status_plural(holder->attr.n_images));
    if (s->ref_crc32c[r] != holder->image_crc32c[image])
        return fail(ERR_DATA, "%s: reference %" PRIu64 " leads to image %u of shard %u, which is another picture; run prepare again",
                    s->path, r, image, s->ref_shard[r]);
    return OK;
}

/* What other shards hold is checked once they are open (shard_set.c). */
static Status check_refs(const Shard *s, int64_t i, uint64_t *inputs, uint64_t *targets)
{
    unsigned flags = 0;
    for (uint64_t r = s->img_off[i]; r < s->img_off[i + 1]; r++) {
        if (s->ref_shard[r] > s->attr.shard_index || s->ref_role[r] > ROLE_MASK)
            return fail(ERR_DATA, "%s: /ref of sample %" PRId64 " leads to shard %u with role %d", s->path, i, s->ref_shard[r],
                        s->ref_role[r]);
        if (s->ref_shard[r] == s->attr.shard_index)
            TRY(shard_check_ref(s, r, s));
        *inputs += s->ref_role[r] == ROLE_INPUT;
        *targets += s->ref_role[r] == ROLE_TARGET;
        flags |= s->ref_role[r] == ROLE_INPUT ? FLAG_HAS_INPUT : s->ref_role[r] == ROLE_TARGET ? FLAG_HAS_TARGET : 0u;
    }
    if (flags != s->flags[i])
        return fail(ERR_DATA, "%s: /sample/flags of sample %" PRId64 " is %d, should be %u", s->path, i, s->flags[i], flags);
    return OK;
}

/* Visual tokens stand in whole runs [IMG0] ... [IMG{N-1}], the k-th of them in the place of the k-th target. Something stands before them,
 * by which they are predicted. */
static Status check_runs(const Shard *s, int64_t i, uint64_t targets)
{
    const int64_t n = s->attr.n_visual_tokens, first = s->n_ids - n;
    int64_t runs = 0, next = 0;
    for (uint64_t t = s->tok_off[i]; t < s->tok_off[i + 1]; t++) {
        bool visual = s->mask[t] >> MASK_KIND_SHIFT == KIND_VISUAL;
        if (visual ? s->id[t] != first + next : next != 0)
            return fail(ERR_DATA, "%s: /tok/id of sample %" PRId64 " holds %d where visual token %" PRId64 " should stand", s->path, i,
                        s->id[t], next);
        if (visual && t == s->tok_off[i])
            return fail(ERR_DATA, "%s: sample %" PRId64 " begins with a visual token, which nothing predicts", s->path, i);
        runs += visual && next == 0;
        next = visual ? (next + 1) % n : 0;
    }
    if (next || (uint64_t)runs != targets)
        return fail(ERR_DATA, "%s: sample %" PRId64 " has %" PRId64 " runs of visual tokens%s for %" PRIu64 " targets", s->path, i, runs,
                    next ? ", the last cut," : "", targets);
    return OK;
}

static Status check_sample(const Shard *s, int64_t i)
{
    const uint64_t first = s->tok_off[i], last = s->tok_off[i + 1];
    uint64_t placeholders = 0, trained = 0, inputs = 0, targets = 0;
    for (uint64_t t = first; t < last; t++) {
        unsigned kind = (unsigned)s->mask[t] >> MASK_KIND_SHIFT;
        bool image = s->id[t] == ID_IMAGE;
        if (kind > KIND_IMAGE || image != (kind == KIND_IMAGE) || (image && s->mask[t] & MASK_TRAINED))
            return fail(ERR_DATA, "%s: /tok/mask of sample %" PRId64 " is %d for token %d", s->path, i, s->mask[t], s->id[t]);
        if (!image && (s->id[t] < 0 || s->id[t] >= s->n_ids))
            return fail(ERR_DATA, "%s: /tok/id of sample %" PRId64 " holds %d, ids are 0 to %" PRId64, s->path, i, s->id[t], s->n_ids - 1);
        placeholders += image;
        trained += s->mask[t] & MASK_TRAINED;
    }
    TRY(check_refs(s, i, &inputs, &targets));
    TRY(check_runs(s, i, targets));
    uint64_t expanded = last - first - placeholders + placeholders * (uint64_t)s->attr.patches;
    if (placeholders != inputs || trained != s->n_train[i] || expanded != s->exp_len[i])
        return fail(ERR_DATA,
                    "%s: sample %" PRId64 " has %" PRIu64 " image tokens for %" PRIu64 " images, %" PRIu64
                    " trained tokens (n_train %u), length %" PRIu64 " (exp_len %u)",
                    s->path, i, placeholders, inputs, trained, s->n_train[i], expanded, s->exp_len[i]);
    if (expanded > (uint64_t)s->attr.model_max_length)
        return fail(ERR_DATA, "%s: sample %" PRId64 " has %" PRIu64 " tokens, model_max_length is %" PRId64, s->path, i, expanded,
                    s->attr.model_max_length);
    if (s->task[i] >= N_TASKS || !isfinite(s->weight[i]) || s->weight[i] < 0)
        return fail(ERR_DATA, "%s: sample %" PRId64 " has task %d, weight %g", s->path, i, s->task[i], (double)s->weight[i]);
    return OK;
}

static Status check_contents(const Shard *s, uint64_t image_bytes)
{
    const ShardAttributes *a = &s->attr;
    TRY(check_offsets(s, "/sample/tok_off", s->tok_off, a->n_samples, (uint64_t)a->n_tokens, (uint64_t)a->model_max_length));
    TRY(check_offsets(s, "/sample/img_off", s->img_off, a->n_samples, (uint64_t)a->n_refs, UINT16_MAX));
    TRY(check_offsets(s, "/image/off", s->image_off, a->n_images, image_bytes, SHARD_IMAGE_MOST));
    TRY(check_offsets(s, "/text/off", s->text_off, a->n_samples, s->text_off[a->n_samples], SHARD_TEXT_MOST));
    for (int64_t i = 0; i < a->n_samples; i++)
        TRY(check_sample(s, i));
    for (int64_t i = 0; i < a->n_images; i++)
        if (!s->image_wh[i][0] || !s->image_wh[i][1] || s->image_fmt[i] > IMAGE_WEBP)
            return fail(ERR_DATA, "%s: image %" PRId64 " is %ux%u, format %d", s->path, i, s->image_wh[i][0], s->image_wh[i][1],
                        s->image_fmt[i]);
    return OK;
}

/* ---------------------------------------------------------------- opening */

/* Nothing but the arrays of the layout, each once. */
static Status check_names(const Shard *s, const HdfTree *f)
{
    int n = 0;
    for (const char *name; (name = hdf_array_name(f, n)); n++) {
        bool known = !strcmp(name, SHARD_IMAGE_DATA) || !strcmp(name, SHARD_TEXT_DATA);
        for (int i = 0; i < N_SHARD_ARRAYS && !known; i++)
            known = !strcmp(name, SHARD_ARRAYS[i].name);
        for (int i = 0; i < n && known; i++)
            known = strcmp(name, hdf_array_name(f, i)) != 0;
        if (!known)
            return fail(ERR_DATA, "%s: %s is no array that prepare writes", s->path, name);
    }
    return OK;
}

static HdfArray text_array(const Shard *s)
{
    return (HdfArray){.name = SHARD_TEXT_DATA, .type = HDF_U8, .rows = s->text_off[s->attr.n_samples], .columns = 1, .chunk = TEXT_CHUNK,
                      .deflate = true};
}

static Status load(Shard *s, HdfTree *f, const ShardSeal *seal)
{
    TRY(check_names(s, f));
    TRY(read_attributes(s, f));
    TRY(check_counts(s, seal->file_bytes - seal->image_bytes));
    for (int i = 0; i < N_SHARD_ARRAYS; i++) {
        const HdfArray a = shard_array(&SHARD_ARRAYS[i], &s->attr);
        TRY(hdf_read(f, &a, member(s, &SHARD_ARRAYS[i])));
    }
    uint64_t bytes;
    TRY(hdf_locate(f, SHARD_IMAGE_DATA, &s->image_data_offset, &bytes));
    if (bytes != seal->image_bytes || s->image_data_offset != seal->image_offset)
        return fail(ERR_DATA, "%s: " SHARD_IMAGE_DATA " lies elsewhere than the seal says", s->path);
    const HdfArray lines = text_array(s);
    TRY(hdf_read_range(f, &lines, 0, 0, NULL)); /* only that it is there and as long as /text/off says */
    return check_contents(s, bytes);
}

/* Opens the file of s, checks its seal and finds what is in it. *index is the tree's memory. */
static Status open_tree(Shard *s, ShardSeal *seal, uint8_t **index, HdfTree **tree)
{
    if (s->fd < 0)
        s->fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is refused, not waited for */
    if (s->fd < 0)
        return fail(errno == ENOENT ? ERR_MISSING : ERR_IO, "%s: %s", s->path, strerror(errno));
    TRY(shard_read_sealed(s->fd, s->path, seal, index));
    const HdfBytes bytes = {.data = *index, .n_bytes = seal->file_bytes, .hole_offset = seal->image_offset, .hole_bytes = seal->image_bytes,
                            .user_block = SEAL_BYTES};
    return hdf_tree_read(tree, s->path, &bytes);
}

/* The seal is right and the content is not: damage cannot do that. */
static Status say_foreign(Status r)
{
    char sentence[2048];
    snprintf(sentence, sizeof sentence, "%s", status_message());
    return r == ERR_DATA ? fail(r, "%s; its seal is valid, so it was made like this: remove it and run prepare again", sentence) : r;
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
    s->fd = -1;
    ShardSeal seal;
    HdfTree *f = NULL;
    uint8_t *index = NULL;
    Status r = open_tree(s, &seal, &index, &f);
    if (!r)
        r = load(s, f, &seal);
    if (r && index)
        r = say_foreign(r);
    hdf_tree_free(&f);
    mem_free(index);
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
    int fd = s->fd < 0 ? open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : s->fd;
    Status read = fd < 0 ? fail(errno == ENOENT ? ERR_MISSING : ERR_IO, "%s: %s", name, strerror(errno))
                         : file_read_at(fd, name, buf, n, (int64_t)at);
    if (fd >= 0 && s->fd < 0)
        close(fd);
    TRY(read);
    uint32_t crc = crc32c(buf, n);
    if (crc != s->image_crc32c[i])
        return fail(ERR_DATA, "%s: image %" PRId64 " is damaged (crc32c %08x, should be %08x); run prepare again", s->path, i, crc,
                    s->image_crc32c[i]);
    return OK;
}

Status shard_lines(const Shard *s, int64_t first, int64_t n, char **out)
{
    if (first < 0 || n < 0 || n > s->attr.n_samples - first)
        return fail(ERR_USAGE, "%s: there is no sample %" PRId64 ", it holds %" PRId64, s->path, first + n - 1, s->attr.n_samples);
    size_t bytes = s->text_off[first + n] - s->text_off[first];
    *out = mem_alloc(bytes + 1);
    if (!*out)
        return fail(ERR_NOMEM, "%s: no memory for the %zu bytes of %" PRId64 " lines from %" PRId64 " on", s->path, bytes, n, first);
    Shard again = *s; /* the same open file, its index once more */
    ShardSeal seal;
    HdfTree *f = NULL;
    uint8_t *index = NULL;
    Status r = open_tree(&again, &seal, &index, &f);
    const HdfArray a = text_array(s);
    if (!r)
        r = hdf_read_range(f, &a, s->text_off[first], bytes, *out);
    hdf_tree_free(&f);
    mem_free(index);
    if (s->fd < 0 && again.fd >= 0)
        close(again.fd);
    if (r) {
        mem_free(*out);
        *out = NULL;
    }
    return r;
}

Status shard_text(const Shard *s, int64_t i, char **out, size_t *n)
{
    TRY(shard_lines(s, i, 1, out));
    *n = s->text_off[i + 1] - s->text_off[i];
    return OK;
}
