/* shard_writer.c: writes a shard: samples, pictures, seal (shard_writer.h). Called by prepare. */
#include "data/shards/shard_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jconfig.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/crc32c.h"
#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/kinds.h"
#include "data/pictures/image.h"
#include "data/shards/shard_layout.h"
#include "data/shards/shard_set.h"
#include "kernels/base/arena.h"
#include "kernels/base/cli.h"

#define TEXT_OF(x) #x
#define TEXT_OF_VALUE(x) TEXT_OF(x)
#ifdef LIBJPEG_TURBO_VERSION
#define JPEG_LIBRARY "libjpeg-turbo " TEXT_OF_VALUE(LIBJPEG_TURBO_VERSION)
#else
#define JPEG_LIBRARY "libjpeg " TEXT_OF_VALUE(JPEG_LIB_VERSION)
#endif

#define ARRAY(name, type, columns, count, chunk, deflate, member) {name, type, columns, count, chunk, deflate, offsetof(Shard, member)}
const ShardArray SHARD_ARRAYS[] = {
    ARRAY("/sample/uid", HDF_U8, 16, COUNT_SAMPLES, 4096, false, uid),
    ARRAY("/sample/task", HDF_U8, 1, COUNT_SAMPLES, 65536, false, task),
    ARRAY("/sample/flags", HDF_U8, 1, COUNT_SAMPLES, 65536, false, flags),
    ARRAY("/sample/source", HDF_U16, 1, COUNT_SAMPLES, 65536, false, source),
    ARRAY("/sample/weight", HDF_F32, 1, COUNT_SAMPLES, 65536, false, weight),
    ARRAY("/sample/tok_off", HDF_U64, 1, COUNT_SAMPLES_1, 65536, false, tok_off),
    ARRAY("/sample/img_off", HDF_U64, 1, COUNT_SAMPLES_1, 65536, false, img_off),
    ARRAY("/sample/n_train", HDF_U32, 1, COUNT_SAMPLES, 65536, false, n_train),
    ARRAY("/sample/exp_len", HDF_U32, 1, COUNT_SAMPLES, 65536, false, exp_len),
    ARRAY("/sample/record", HDF_U32, 1, COUNT_SAMPLES, 65536, false, record),
    ARRAY("/tok/id", HDF_I32, 1, COUNT_TOKENS, 262144, true, id),
    ARRAY("/tok/mask", HDF_U8, 1, COUNT_TOKENS, 1048576, true, mask),
    ARRAY("/ref/shard", HDF_U32, 1, COUNT_REFS, 65536, false, ref_shard),
    ARRAY("/ref/image", HDF_U32, 1, COUNT_REFS, 65536, false, ref_image),
    ARRAY("/ref/crc32c", HDF_U32, 1, COUNT_REFS, 65536, false, ref_crc32c),
    ARRAY("/ref/role", HDF_U8, 1, COUNT_REFS, 65536, false, ref_role),
    ARRAY("/image/off", HDF_U64, 1, COUNT_IMAGES_1, 65536, false, image_off),
    ARRAY("/image/wh", HDF_U16, 2, COUNT_IMAGES, 65536, false, image_wh),
    ARRAY("/image/fmt", HDF_U8, 1, COUNT_IMAGES, 65536, false, image_fmt),
    ARRAY("/image/orient", HDF_U8, 1, COUNT_IMAGES, 65536, false, image_orient),
    ARRAY("/image/sha256", HDF_U8, 32, COUNT_IMAGES, 8192, false, image_sha256),
    ARRAY("/image/dhash", HDF_U64, 1, COUNT_IMAGES, 8192, false, image_dhash),
    ARRAY("/image/crc32c", HDF_U32, 1, COUNT_IMAGES, 8192, false, image_crc32c),
    ARRAY("/text/off", HDF_U64, 1, COUNT_SAMPLES_1, 65536, false, text_off),
};
const int N_SHARD_ARRAYS = sizeof SHARD_ARRAYS / sizeof *SHARD_ARRAYS;

/* No file holds more than 2^40 of anything; products of these limits fit 64 bits. */
#define MANY (INT64_C(1) << 40)
#define FIELD(name, member, least, most) {name, offsetof(ShardAttributes, member), sizeof ((ShardAttributes *)0)->member, least, most}
const ShardField SHARD_INTS[] = {
    FIELD("shard_index", shard_index, 0, SHARDS_MOST - 1),
    FIELD("shard_count", shard_count, 1, SHARDS_MOST),
    FIELD("n_samples", n_samples, 0, MANY),
    FIELD("n_images", n_images, 0, UINT32_MAX),
    FIELD("n_tokens", n_tokens, 0, SHARD_TOKENS_MOST),
    FIELD("n_refs", n_refs, 0, MANY),
    FIELD("n_visual_tokens", n_visual_tokens, 0, 1 << 20),
    FIELD("model_max_length", model_max_length, 1, INT32_MAX),
    FIELD("vocab_size", vocab_size, 1, INT32_MAX / 2),
    FIELD("patches", patches, 0, 1 << 20),
    FIELD("created_unix", created_unix, INT64_MIN, INT64_MAX),
};
const int N_SHARD_INTS = sizeof SHARD_INTS / sizeof *SHARD_INTS;
const ShardField SHARD_TEXTS[] = {
    FIELD("config_sha256", config_sha256, 0, 0),
    FIELD("tok_sha256", tok_sha256, 0, 0),
    FIELD("template", template_name, 0, 0),
    FIELD("image_aspect_ratio", aspect, 0, 0),
};
const int N_SHARD_TEXTS = sizeof SHARD_TEXTS / sizeof *SHARD_TEXTS;

static const char *const GROUPS[] = {"/sample", "/tok", "/ref", "/image", "/text", "/enum"};

/* What the numbers of the u8 arrays mean: a JSON list of names in an attribute of /enum. */
static Status write_names(HdfFile *f, const char *attribute, const char *const *names, int n)
{
    cJSON *list = cJSON_CreateStringArray(names, n);
    char *text;
    TRY(json_to_text(&text, &list, JSON_INLINE, attribute));
    Status s = hdf_set_text(f, "/enum", attribute, text);
    mem_free(text);
    return s;
}

static Status write_enums(HdfFile *f)
{
    static const char *const FLAGS[] = {"has_input", "has_target"}; /* bit 0, bit 1 */
    const char *formats[IMAGE_WEBP + 1];
    for (int i = 0; i <= IMAGE_WEBP; i++)
        formats[i] = image_format_name((ImageFormat)i);
    TRY(write_names(f, "task", TASK_NAMES, N_TASKS));
    TRY(write_names(f, "role", ROLE_NAMES, N_ROLES));
    TRY(write_names(f, "fmt", formats, IMAGE_WEBP + 1));
    TRY(write_names(f, "kind", KIND_NAMES, N_KINDS));
    return write_names(f, "flags", FLAGS, 2);
}

static Status write_attributes(HdfFile *f, const ShardAttributes *a)
{
    TRY(hdf_set_text(f, "/", "schema", SHARD_SCHEMA));
    TRY(hdf_set_text(f, "/", "code_version", GENLLAVA_VERSION));
    TRY(hdf_set_text(f, "/", "jpeg_library", JPEG_LIBRARY));
    TRY(hdf_set_text(f, "/", "img_ce", "all"));         /* which visual tokens are labels is chosen while training */
    TRY(hdf_set_text(f, "/", "exif_policy", "ignore")); /* /image/orient keeps the tag */
    TRY(hdf_set_int(f, "/", "tok_segment_prefix", 1));
    for (int i = 0; i < N_SHARD_INTS; i++) {
        int64_t value;
        memcpy(&value, (const char *)a + SHARD_INTS[i].member, sizeof value);
        TRY(hdf_set_int(f, "/", SHARD_INTS[i].name, value));
    }
    for (int i = 0; i < N_SHARD_TEXTS; i++)
        TRY(hdf_set_text(f, "/", SHARD_TEXTS[i].name, (const char *)a + SHARD_TEXTS[i].member));
    TRY(hdf_set_text(f, "/", "inputs", a->inputs));
    TRY(hdf_set_text(f, "/", "licenses", a->licenses));
    return hdf_set_text(f, "/", "tok_added", a->tok_added);
}

static Status write_arrays(HdfFile *f, const Shard *s, const char *text)
{
    for (int i = 0; i < N_SHARD_ARRAYS; i++) {
        const HdfArray a = shard_array(&SHARD_ARRAYS[i], &s->attr);
        const void *data;
        memcpy(&data, (const char *)s + SHARD_ARRAYS[i].member, sizeof data);
        TRY(hdf_write(f, &a, data));
    }
    const HdfArray lines = {.name = SHARD_TEXT_DATA, .type = HDF_U8, .rows = s->text_off[s->attr.n_samples], .columns = 1,
                            .chunk = TEXT_CHUNK, .deflate = true};
    return hdf_write(f, &lines, text);
}

static Status write_images(int fd, const char *path, const Shard *s, uint64_t offset, ShardImageBytes image_bytes, void *context)
{
    uint64_t largest = 0;
    for (int64_t i = 0; i < s->attr.n_images; i++)
        largest = s->image_off[i + 1] - s->image_off[i] > largest ? s->image_off[i + 1] - s->image_off[i] : largest;
    uint8_t *buf = mem_alloc(largest);
    Status r = buf ? OK : fail(ERR_NOMEM, "%s: no memory for an image of %" PRIu64 " bytes", path, largest);
    for (int64_t i = 0; i < s->attr.n_images && !r; i++) {
        uint64_t n = s->image_off[i + 1] - s->image_off[i];
        r = image_bytes(context, i, buf);
        if (!r && crc32c(buf, n) != s->image_crc32c[i])
            r = fail(ERR_DATA, "%s: image %" PRId64 " changed while it was read", path, i);
        if (!r)
            r = file_write_at(fd, path, buf, n, (int64_t)(offset + s->image_off[i]));
    }
    mem_free(buf);
    return r;
}

/* Arrays first, `finished` as the last attribute; the space of the images is only reserved here. */
static Status write_index(const char *path, const Shard *s, const char *text, uint64_t *image_offset)
{
    HdfFile *f;
    TRY(hdf_create(&f, path, SEAL_BYTES));
    Status r = OK;
    for (size_t i = 0; i < sizeof GROUPS / sizeof *GROUPS && !r; i++)
        r = hdf_group(f, GROUPS[i]);
    if (!r)
        r = hdf_reserve(f, SHARD_IMAGE_DATA, s->image_off[s->attr.n_images], image_offset);
    if (!r)
        r = write_arrays(f, s, text);
    if (!r)
        r = write_enums(f);
    if (!r)
        r = write_attributes(f, &s->attr);
    if (!r)
        r = hdf_set_int(f, "/", "finished", 1);
    if (r) {
        hdf_close(&f); /* the first failure is the one to report */
        return r;
    }
    return hdf_close(&f);
}

Status shard_write(const char *path, const Shard *s, const char *text, ShardImageBytes image_bytes, void *context)
{
    uint64_t offset = 0;
    if (s->attr.n_tokens > SHARD_TOKENS_MOST)
        return fail(ERR_USAGE, "%s: its samples have %" PRId64 " tokens, at most %d are read; lower data.shard_samples", path,
                    s->attr.n_tokens, SHARD_TOKENS_MOST);
    TRY(file_remove(path)); /* a link that stands there is not followed */
    Status r = write_index(path, s, text, &offset);
    int fd = r ? -1 : open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (!r && fd < 0)
        r = fail(ERR_IO, "%s: %s", path, strerror(errno));
    if (!r)
        r = write_images(fd, path, s, offset, image_bytes, context);
    if (!r)
        r = shard_seal(fd, path, offset, s->image_off[s->attr.n_images]);
    if (!r && fsync(fd))
        r = fail(ERR_IO, "%s: fsync: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    if (r)
        unlink(path);
    return r;
}
