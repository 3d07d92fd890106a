/* shard: what was written comes back; what was damaged, or made by somebody else, is refused with a sentence. */
#include <fcntl.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/loader/batch.h"
#include "data/formats/crc32c.h"
#include "data/text/encode.h"
#include "data/formats/file.h"
#include "data/shards/shard_layout.h"
#include "data/shards/shard_set.h"
#include "kernels/base/arena.h"
#include "kernels/base/philox.h"
#include "tests/data/shards/made_shard.h"
#include "tests/harness.h"

static const int32_t PICTURED[] = {1, 7, ID_IMAGE, 8, 9, ID_IMAGE, 5, 2}, PLAIN[] = {1, 4, 1000, 1001, 1002, 1003, 2};
static const uint32_t TWO[] = {1, 0};
static const MadeSample SAMPLES[] = {{PICTURED, "------xx", 0, 1.0f, TWO, "{\"id\":\"a\"}", NULL, TASK_UNDERSTAND},
                                     {PLAIN, "--xxxxx", 3, 0.5f, NULL, "{\"id\":\"bb\"}", NULL, TASK_UNDERSTAND}};

static const char *path_of(const char *name)
{
    static char path[4][256];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", test_dir(), name);
    return path[next];
}

static const char *make(const char *name)
{
    const char *path = path_of(name);
    made_shard(path, SAMPLES, 2, 2, 0, 1, 40);
    return path;
}

TEST(crc32c_matches_the_published_values)
{
    uint8_t zeros[32] = {0}, rising[32];
    for (int i = 0; i < 32; i++)
        rising[i] = (uint8_t)i;
    CHECK_INT(crc32c("123456789", 9), 0xE3069283u); /* RFC 3720, B.4 */
    CHECK_INT(crc32c(zeros, 32), 0x8A9136AAu);
    CHECK_INT(crc32c(rising, 32), 0x46DD794Eu);
    for (size_t n = 0; n < 32; n++)
        CHECK_INT(crc32c_portable(rising, n), crc32c(rising, n));
}

TEST(shard_comes_back_as_it_was_written)
{
    Shard *s;
    REQUIRE_OK(shard_open(&s, make("a.h5")));
    CHECK_INT(s->attr.n_samples, 2);
    CHECK_INT(s->attr.n_images, 2);
    CHECK_INT(s->attr.n_tokens, 15);
    CHECK_INT(s->attr.vocab_size, MADE_VOCABULARY);
    CHECK_STR(s->attr.template_name, "v1");
    CHECK_STR(s->attr.tok_added, MADE_ADDED);
    CHECK_STR(s->attr.licenses, "[\"cc0\"]");
    CHECK(!memcmp(s->id, PICTURED, sizeof PICTURED) && !memcmp(s->id + 8, PLAIN, sizeof PLAIN));
    CHECK(s->ref_image[0] == 1 && s->ref_image[1] == 0 && s->record[1] == 41 && s->source[1] == 3 && s->weight[1] == 0.5f);
    CHECK(s->exp_len[0] == 14 && s->n_train[0] == 2 && s->mask[10] == (KIND_VISUAL << MASK_KIND_SHIFT | MASK_TRAINED));
    char *text;
    size_t n;
    REQUIRE_OK(shard_text(s, 1, &text, &n));
    CHECK(n == 11 && !memcmp(text, "{\"id\":\"bb\"}", n));
    mem_free(text);
    uint8_t *image = mem_alloc(s->image_off[2]);
    CHECK_OK(shard_image(s, 0, image));
    CHECK(image[0] == 0xFF && image[1] == 0xD8);
    CHECK_INT(shard_image(s, 2, image), ERR_USAGE);
    mem_free(image);
    shard_close(&s);
    CHECK(s == NULL);
}

static size_t read_all(const char *path, uint8_t **bytes)
{
    struct stat st;
    int fd = open(path, O_RDONLY);
    REQUIRE(fd >= 0 && !fstat(fd, &st));
    *bytes = malloc((size_t)st.st_size);
    REQUIRE(read(fd, *bytes, (size_t)st.st_size) == st.st_size);
    close(fd);
    return (size_t)st.st_size;
}

static void write_bytes(const char *path, const uint8_t *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    REQUIRE(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
    close(fd);
}

TEST(shard_is_the_same_bytes_each_time)
{
    uint8_t *a, *b;
    size_t n = read_all(make("a.h5"), &a);
    CHECK(read_all(make("b.h5"), &b) == n && !memcmp(a, b, n));
    free(a);
    free(b);
}

TEST(shard_follows_no_link_where_it_is_written)
{
    char victim[PATH_MAX], *text;
    size_t n;
    snprintf(victim, sizeof victim, "%s", path_of("victim"));
    REQUIRE_OK(file_save(victim, "mine", 4));
    REQUIRE(!symlink(victim, path_of("linked.h5")));
    make("linked.h5");
    REQUIRE_OK(file_read(&text, &n, victim, 1 << 20));
    CHECK(n == 4 && !memcmp(text, "mine", 4));
    mem_free(text);
}

TEST(shard_without_images_or_samples_with_pictures_is_fine)
{
    const char *path = path_of("text.h5");
    static const MadeSample TALK = {PLAIN, "-x", 0, 1.0f, NULL, "{}", NULL, TASK_UNDERSTAND};
    made_shard(path, &TALK, 1, 0, 0, 1, 0);
    Shard *s;
    REQUIRE_OK(shard_open(&s, path));
    CHECK_INT(s->attr.n_images, 0);
    shard_close(&s);
}

/* Reads everything there is; false when some of it is refused. Whatever happens, it must not crash. */
static bool reads_whole(const char *path)
{
    Shard *s;
    if (shard_open(&s, path))
        return false;
    bool ok = true;
    for (int64_t i = 0; i < s->attr.n_images; i++) {
        uint8_t *image = mem_alloc(s->image_off[i + 1] - s->image_off[i]);
        ok = ok && shard_image(s, i, image) == OK;
        mem_free(image);
    }
    shard_close(&s);
    return ok;
}

TEST(shard_with_one_flipped_bit_is_always_noticed)
{
    uint8_t *bytes;
    const char *path = make("a.h5");
    size_t n = read_all(path, &bytes);
    int unnoticed = 0;
    for (uint32_t round = 0; round < 400; round++) {
        Philox4 r = philox4x32(3, round, 0, 0, 0);
        size_t at = round < 40 ? round * 12 : r.v[0] % n; /* the seal itself more densely */
        bytes[at] ^= (uint8_t)(1 << r.v[1] % 8);
        write_bytes(path, bytes, n);
        unnoticed += reads_whole(path);
        bytes[at] ^= (uint8_t)(1 << r.v[1] % 8);
    }
    CHECK_INT(unnoticed, 0);
    write_bytes(path, bytes, n);
    CHECK(reads_whole(path));
    free(bytes);
}

TEST(shard_cut_short_is_refused_with_both_sizes)
{
    uint8_t *bytes;
    const char *path = make("a.h5");
    size_t n = read_all(path, &bytes);
    char wanted[512];
    for (size_t cut = 600; cut < n; cut += n / 7) {
        write_bytes(path, bytes, cut);
        Shard *s;
        snprintf(wanted, sizeof wanted, "%s: damaged: %zu bytes, should be %zu; run prepare again", path, cut, n);
        CHECK_FAILS(shard_open(&s, path), ERR_DATA, wanted);
    }
    write_bytes(path, bytes, 300);
    CHECK(!reads_whole(path));
    free(bytes);
}

TEST(shard_of_somebody_else_is_refused)
{
    char wanted[512];
    Shard *s;
    const char *path = path_of("foreign.h5");
    hid_t f = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(f);
    snprintf(wanted, sizeof wanted, "%s: not a shard made by prepare (an HDF5 file without the GenLLaVA seal)", path);
    CHECK_FAILS(shard_open(&s, path), ERR_DATA, wanted);
    write_bytes(path, (const uint8_t *)"hello", 5);
    snprintf(wanted, sizeof wanted, "%s: not a shard made by prepare (no GenLLaVA seal)", path);
    CHECK_FAILS(shard_open(&s, path), ERR_DATA, wanted);
    snprintf(wanted, sizeof wanted, "%s: No such file or directory", path_of("absent.h5"));
    CHECK_FAILS(shard_open(&s, path_of("absent.h5")), ERR_MISSING, wanted);
}

/* Somebody who knows the seal puts something foreign into a shard: change, seal again, open. */
typedef void (*Tamper)(hid_t f);
#define FOREIGN "; its seal is valid, so it was made like this: remove it and run prepare again"

static Status open_tampered(const char *path, Tamper tamper)
{
    ShardSeal seal;
    int fd = open(path, O_RDWR);
    uint8_t *index;
    REQUIRE_OK(shard_read_sealed(fd, path, &seal, &index));
    mem_free(index);
    hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(fapl, H5F_LIBVER_V110, H5F_LIBVER_V110);
    H5Pset_file_locking(fapl, 0, 1);
    hid_t f = H5Fopen(path, H5F_ACC_RDWR, fapl);
    REQUIRE(f >= 0);
    tamper(f);
    H5Fclose(f);
    H5Pclose(fapl);
    REQUIRE_OK(shard_seal(fd, path, seal.image_offset, seal.image_bytes));
    close(fd);
    Shard *s;
    Status r = shard_open(&s, path);
    if (!r)
        shard_close(&s);
    return r;
}

static long long image_bytes_of(const char *path)
{
    Shard *s;
    REQUIRE_OK(shard_open(&s, path));
    long long n = (long long)s->image_off[s->attr.n_images];
    shard_close(&s);
    return n;
}

static void dataset(hid_t f, const char *name, hid_t type, hid_t dcpl)
{
    H5Pset_obj_track_times(dcpl, 0);
    hid_t space = H5Screate_simple(1, &(hsize_t){8}, NULL), d = H5Dcreate2(f, name, type, space, H5P_DEFAULT, dcpl, H5P_DEFAULT);
    REQUIRE(d >= 0);
    H5Dclose(d);
    H5Sclose(space);
}

static void external_link(hid_t f) { H5Lcreate_external("/etc/passwd", "/x", f, "/tok/more", H5P_DEFAULT, H5P_DEFAULT); }
static void soft_link(hid_t f) { H5Lcreate_soft("/tok/id", f, "/tok/more", H5P_DEFAULT, H5P_DEFAULT); }

static void external_storage(hid_t f)
{
    hid_t dcpl = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(dcpl, "/etc/passwd", 0, 8);
    dataset(f, "/tok/more", H5T_STD_U8LE, dcpl);
    H5Pclose(dcpl);
}

static void foreign_filter(hid_t f)
{
    hid_t dcpl = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(dcpl, 1, &(hsize_t){8});
    H5Pset_scaleoffset(dcpl, H5Z_SO_INT, 0);
    dataset(f, "/tok/more", H5T_STD_I32LE, dcpl);
    H5Pclose(dcpl);
}

static void variable_length(hid_t f)
{
    hid_t type = H5Tvlen_create(H5T_STD_I32LE), dcpl = H5Pcreate(H5P_DATASET_CREATE);
    dataset(f, "/tok/more", type, dcpl);
    H5Pclose(dcpl);
    H5Tclose(type);
}

static void compact_layout(hid_t f)
{
    hid_t dcpl = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_layout(dcpl, H5D_COMPACT);
    dataset(f, "/tok/more", H5T_STD_U8LE, dcpl);
    H5Pclose(dcpl);
}

static void unfinished(hid_t f)
{
    int64_t zero = 0;
    hid_t a = H5Aopen(f, "finished", H5P_DEFAULT);
    H5Awrite(a, H5T_NATIVE_INT64, &zero);
    H5Aclose(a);
}

static void no_finished(hid_t f) { H5Adelete(f, "finished"); }

static void wrong_type(hid_t f)
{
    hid_t dcpl = H5Pcreate(H5P_DATASET_CREATE);
    H5Ldelete(f, "/ref/role", H5P_DEFAULT);
    dataset(f, "/ref/role", H5T_STD_U16LE, dcpl);
    H5Pclose(dcpl);
}

static void with_times(hid_t f)
{
    hid_t space = H5Screate_simple(1, &(hsize_t){8}, NULL);
    H5Dclose(H5Dcreate2(f, "/tok/more", H5T_STD_U8LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Sclose(space);
}

/* An array that is like ours in everything but its name. */
static void one_more(hid_t f)
{
    hid_t dcpl = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(dcpl, 1, &(hsize_t){8});
    H5Pset_fletcher32(dcpl);
    dataset(f, "/tok/more", H5T_STD_U8LE, dcpl);
    H5Pclose(dcpl);
    hid_t d = H5Dopen2(f, "/tok/more", H5P_DEFAULT);
    H5Dwrite(d, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, "12345678");
    H5Dclose(d);
}

static void renamed(hid_t f) { H5Lmove(f, "/tok/mask", f, "/tok/MASK", H5P_DEFAULT, H5P_DEFAULT); }

/* Groups in groups, a thousand of them. */
static void nested(hid_t f)
{
    hid_t at = H5Gopen2(f, "/tok", H5P_DEFAULT), gcpl = H5Pcreate(H5P_GROUP_CREATE);
    H5Pset_obj_track_times(gcpl, 0);
    for (int i = 0; i < 1000; i++) {
        hid_t next = H5Gcreate2(at, "deeper", H5P_DEFAULT, gcpl, H5P_DEFAULT);
        H5Gclose(at);
        at = next;
    }
    H5Gclose(at);
    H5Pclose(gcpl);
}

static void many_groups(hid_t f)
{
    for (int i = 0; i < 1000; i++) {
        char name[16];
        snprintf(name, sizeof name, "g%d", i);
        H5Gclose(H5Gcreate2(f, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    }
}

static void attribute(hid_t f, const char *name, hid_t type)
{
    hid_t space = H5Screate(H5S_SCALAR), a;
    H5Adelete(f, name);
    a = H5Acreate2(f, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    REQUIRE(a >= 0 && H5Awrite(a, type, "x\033[2J") >= 0);
    H5Aclose(a);
    H5Sclose(space);
}

static void wide_attribute(hid_t f) { attribute(f, "n_samples", H5T_IEEE_F32LE); }

static void controls_in_text(hid_t f)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, 6);
    H5Tset_cset(type, H5T_CSET_UTF8);
    attribute(f, "image_aspect_ratio", type);
    H5Tclose(type);
}

static void absent_array(hid_t f) { H5Ldelete(f, "/tok/mask", H5P_DEFAULT); }

TEST(shard_with_something_foreign_inside_is_refused_by_name)
{
    static const struct {
        Tamper tamper;
        const char *says; /* after "PATH: " */
    } CASES[] = {
        {external_link, "/tok/more is a link to somewhere else; links are not followed"},
        {soft_link, "/tok/more is a link to somewhere else; links are not followed"},
        {external_storage, "/tok/more is not an array that prepare writes"},
        {foreign_filter, "/tok/more uses filters other than shuffle, deflate 4 and fletcher32"},
        {variable_length, "/tok/more holds no numbers that prepare writes"},
        {compact_layout, "/tok/more is neither contiguous nor chunked as prepare writes it"},
        {with_times, "/tok/more is not an object that prepare writes"},
        {one_more, "/tok/more is no array that prepare writes"},
        {renamed, "/tok has something whose name prepare does not give"},
        {nested, "/tok/deeper is not an array that prepare writes"},
        {many_groups, "/ has an index of names that prepare does not write"},
        {unfinished, "was not finished"},
        {no_finished, "has no attribute finished"},
        {wide_attribute, "attribute n_samples is neither one i64 nor a text of fixed length"},
        {controls_in_text, "attribute image_aspect_ratio is no text that ends with NUL"},
        {wrong_type, "/ref/role should hold u8"},
        {absent_array, "has no /tok/mask"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char wanted[512];
        snprintf(wanted, sizeof wanted, "%s: %s" FOREIGN, path_of("evil.h5"), CASES[i].says);
        CHECK_FAILS(open_tampered(make("evil.h5"), CASES[i].tamper), ERR_DATA, wanted);
    }
}

/* What is put where. Attributes are of the root; of arrays, one number is changed. */
static struct {
    const char *name;
    hsize_t at;
    int64_t value;
} put;

static void put_attribute(hid_t f)
{
    hid_t a = H5Aopen(f, put.name, H5P_DEFAULT);
    REQUIRE(a >= 0 && H5Awrite(a, H5T_NATIVE_INT64, &put.value) >= 0);
    H5Aclose(a);
}

static void put_number(hid_t f)
{
    hid_t d = H5Dopen2(f, put.name, H5P_DEFAULT), space = H5Dget_space(d), one = H5Screate_simple(1, &(hsize_t){1}, NULL);
    H5Sselect_elements(space, H5S_SELECT_SET, 1, &put.at);
    REQUIRE(d >= 0 && H5Dwrite(d, H5T_NATIVE_INT64, one, space, H5P_DEFAULT, &put.value) >= 0);
    H5Sclose(one);
    H5Sclose(space);
    H5Dclose(d);
}

TEST(shard_with_numbers_out_of_range_is_refused_by_name)
{
    static const struct {
        const char *name;
        hsize_t at;
        int64_t value;
        const char *says; /* after "PATH: " */
    } CASES[] = {
        {"shard_index", 0, INT64_MAX, "attribute shard_index is 9223372036854775807, allowed are 0 to 99998"},
        {"shard_index", 0, 1, "says that it is shard 1 of 1"},
        {"shard_count", 0, 0, "attribute shard_count is 0, allowed are 1 to 99999"},
        {"n_samples", 0, INT64_MIN, "attribute n_samples is -9223372036854775808, allowed are 0 to 1099511627776"},
        {"n_samples", 0, 3, "/sample/uid has 2 rows, should have 3"},
        {"n_refs", 0, 1 << 20, "announces 2 samples, 2 images, 1048576 references in %lld bytes"},
        {"n_tokens", 0, INT64_C(1) << 40, "attribute n_tokens is 1099511627776, allowed are 0 to 134217728"},
        {"n_visual_tokens", 0, INT64_MAX, "attribute n_visual_tokens is 9223372036854775807, allowed are 0 to 1048576"},
        {"model_max_length", 0, 0, "attribute model_max_length is 0, allowed are 1 to 2147483647"},
        {"vocab_size", 0, INT64_MAX, "attribute vocab_size is 9223372036854775807, allowed are 1 to 1073741823"},
        {"vocab_size", 0, 500, "attribute tok_added has 1000 where id 500 should follow"},
        {"patches", 0, INT64_MAX, "attribute patches is 9223372036854775807, allowed are 0 to 1048576"},
        {"patches", 0, 1 << 20, "sample 0 has 2 image tokens for 2 images, 2 trained tokens (n_train 2), length 2097158 (exp_len 14)"},
        {"/sample/tok_off", 0, 1, "/sample/tok_off runs from 1 to 15, should be 0 to 15"},
        {"/sample/tok_off", 1, 20, "/sample/tok_off falls at 1"},
        {"/sample/tok_off", 2, INT64_MAX, "/sample/tok_off runs from 0 to 9223372036854775807, should be 0 to 15"},
        {"/sample/img_off", 1, 4, "/sample/img_off falls at 1"},
        {"/image/off", 1, INT64_MAX, "/image/off rises by 9223372036854775807 at 0, at most 1073741824 are allowed"},
        {"/image/off", 1, 1 << 20, "/image/off falls at 1"},
        {"model_max_length", 0, 7, "/sample/tok_off rises by 8 at 0, at most 7 are allowed"},
        {"model_max_length", 0, 13, "sample 0 has 14 tokens, model_max_length is 13"},
        {"/sample/task", 0, 3, "sample 0 has task 3, weight 1"},
        {"/sample/weight", 1, -1, "sample 1 has task 0, weight -1"},
        {"/sample/flags", 1, 1, "/sample/flags of sample 1 is 1, should be 2"},
        {"/sample/exp_len", 1, UINT32_MAX, "sample 1 has 0 image tokens for 0 images, 5 trained tokens (n_train 5), length 7 (exp_len "
                                           "4294967295)"},
        {"/tok/id", 8, 1004, "/tok/id of sample 1 holds 1004, ids are 0 to 1003"},
        {"n_visual_tokens", 0, 0, "attribute tok_added has 4 tokens, n_visual_tokens is 0"},
        {"/tok/id", 8, 1007, "/tok/id of sample 1 holds 1007, ids are 0 to 1003"},
        {"/tok/id", 8, -1, "/tok/id of sample 1 holds -1, ids are 0 to 1003"},
        {"/tok/id", 8, ID_IMAGE, "/tok/mask of sample 1 is 0 for token -200"},
        {"/tok/mask", 2, 0, "/tok/mask of sample 0 is 0 for token -200"},
        {"/tok/mask", 8, 255, "/tok/mask of sample 1 is 255 for token 1"},
        {"/tok/id", 10, 1001, "/tok/id of sample 1 holds 1001 where visual token 0 should stand"},
        {"/tok/id", 11, 1002, "/tok/id of sample 1 holds 1002 where visual token 1 should stand"},
        {"/tok/mask", 13, 1, "/tok/id of sample 1 holds 1003 where visual token 3 should stand"},
        {"/ref/image", 1, 2, "reference 1 leads to image 2 of shard 0, which has 2 images"},
        {"/ref/image", 1, 1, "reference 1 leads to image 1 of shard 0, which is another picture; run prepare again"},
        {"/ref/shard", 0, 1, "/ref of sample 0 leads to shard 1 with role 0"},
        {"/ref/role", 0, 3, "/ref of sample 0 leads to shard 0 with role 3"},
        {"/image/fmt", 0, 5, "image 0 is 24x16, format 5"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct stat st;
        char format[512], wanted[512];
        const char *path = make("evil.h5");
        REQUIRE(!stat(path, &st));
        put.name = CASES[i].name;
        put.at = CASES[i].at;
        put.value = CASES[i].value;
        snprintf(format, sizeof format, "%s: %s", path, CASES[i].says);
        snprintf(wanted, sizeof wanted, strstr(format, "%lld") ? "%.*s%lld bytes" FOREIGN : "%.*s" FOREIGN, (int)strcspn(format, "%"),
                 format, (long long)st.st_size - image_bytes_of(path));
        CHECK_FAILS(open_tampered(path, *put.name == '/' ? put_number : put_attribute), ERR_DATA, wanted);
    }
}

static const uint32_t SECOND_REFS[] = {MADE_IN(0, 1), 1};
TEST(shard_has_a_target_for_each_run_of_visual_tokens_and_something_before_it)
{
    static const int32_t RUNS[] = {1, 1000, 1001, 1002, 1003, 1000, 1001, 1002, 1003};
    static const MadeSample TWO_RUNS = {RUNS, "-xxxxxxxx", 0, 1, NULL, "{}", TWO, TASK_GENERATE};
    static const MadeSample BARE = {RUNS + 1, "-xxx", 0, 1, NULL, "{}", TWO, TASK_GENERATE};
    const char *path = path_of("evil.h5");
    char wanted[512];
    made_shard(path, &TWO_RUNS, 1, 2, 0, 1, 0);
    put.name = "/ref/role";
    put.at = 1;
    put.value = ROLE_MASK;
    snprintf(wanted, sizeof wanted, "%s: sample 0 has 2 runs of visual tokens for 1 targets" FOREIGN, path);
    CHECK_FAILS(open_tampered(path, put_number), ERR_DATA, wanted);
    made_shard(path, &BARE, 1, 2, 0, 1, 0);
    snprintf(wanted, sizeof wanted, "%s: sample 0 begins with a visual token, which nothing predicts" FOREIGN, path);
    CHECK_FAILS(shard_open(&(Shard *){NULL}, path), ERR_DATA, wanted);
}

static const MadeSample SECOND = {PICTURED, "------xx", 0, 1.0f, SECOND_REFS, "{}", NULL, TASK_UNDERSTAND};

/* A set of two shards; the second shows image 1 of both. */
static void make_set(void)
{
    made_shard(path_of("shard-00000-of-00002.h5"), SAMPLES, 2, 2, 0, 2, 0);
    made_shard(path_of("shard-00001-of-00002.h5"), &SECOND, 1, 2, 1, 2, 2);
}

TEST(shard_refers_to_pictures_of_earlier_shards)
{
    ShardSet set;
    Shard *alone, *beside;
    char wanted[512], second[256];
    snprintf(second, sizeof second, "%s", path_of("shard-00001-of-00002.h5"));
    make_set();
    REQUIRE_OK(shards_open(&set, test_dir(), 1000, 0));
    CHECK(set.index.n == 3 && set.index.n_images == 4 && set.index.rows[2].images == 2);
    CHECK(set.shards[1]->ref_shard[0] == 0 && set.shards[1]->ref_shard[1] == 1);
    shards_close(&set);
    REQUIRE_OK(shard_open(&alone, second));
    REQUIRE_OK(shard_open_beside(&beside, alone, 0));
    CHECK_OK(shard_check_ref(alone, 0, beside));
    shard_close(&beside);
    shard_close(&alone);

    made_shard(path_of("shard-00000-of-00002.h5"), &SAMPLES[1], 1, 1, 0, 2, 0);
    snprintf(wanted, sizeof wanted, "%s: reference 0 leads to image 1 of shard 0, which has 1 image", second);
    CHECK_FAILS(shards_open(&set, test_dir(), 1000, 0), ERR_DATA, wanted);

    make_set();
    CHECK_OK(shards_open(&set, test_dir(), 1000, MADE_VOCABULARY + MADE_VISUAL));
    shards_close(&set);
    snprintf(wanted, sizeof wanted, "%s: was made for 1004 token ids, the run has 1003; run prepare again",
             path_of("shard-00000-of-00002.h5"));
    CHECK_FAILS(shards_open(&set, test_dir(), 1000, MADE_VOCABULARY + MADE_VISUAL - 1), ERR_DATA, wanted);

    put.name = "/ref/crc32c";
    put.at = 0;
    put.value = 7;
    CHECK_OK(open_tampered(second, put_number)); /* what it should be, only the other shard knows */
    snprintf(wanted, sizeof wanted, "%s: reference 0 leads to image 1 of shard 0, which is another picture; run prepare again", second);
    CHECK_FAILS(shards_open(&set, test_dir(), 1000, 0), ERR_DATA, wanted);
}

TEST(shard_of_the_older_layout_is_named)
{
    Shard *s;
    char wanted[512];
    const char *path = make("a.h5");
    int fd = open(path, O_WRONLY);
    REQUIRE(pwrite(fd, "GENLLAVA SHARD 1\n", 17, 0) == 17);
    close(fd);
    snprintf(wanted, sizeof wanted, "%s: a shard of the older layout genllava.shard/1, this program reads genllava.shard/2; run prepare "
                                    "again", path);
    CHECK_FAILS(shard_open(&s, path), ERR_DATA, wanted);
}

TEST(shard_page_describes_every_array_and_attribute)
{
    char *page, name[96];
    size_t n;
    REQUIRE_OK(file_read(&page, &n, "data/SCHEMA.md", 1 << 20));
    for (int i = 0; i < N_SHARD_ARRAYS; i++) {
        const ShardArray *a = &SHARD_ARRAYS[i];
        snprintf(name, sizeof name, "| `%s` | %s [", a->name, hdf_type_name(a->type));
        CHECK_MSG(strstr(page, name), "no \"%s\" in data/SCHEMA.md", name);
    }
    for (int i = 0; i < N_SHARD_INTS + N_SHARD_TEXTS; i++) {
        snprintf(name, sizeof name, "`%s`", i < N_SHARD_INTS ? SHARD_INTS[i].name : SHARD_TEXTS[i - N_SHARD_INTS].name);
        CHECK_MSG(strstr(page, name), "no %s in data/SCHEMA.md", name);
    }
    mem_free(page);
}

TEST(shard_image_that_changed_is_named)
{
    const char *path = make("a.h5");
    Shard *s;
    REQUIRE_OK(shard_open(&s, path));
    uint8_t *image = mem_alloc(s->image_off[2]);
    int fd = open(path, O_RDWR);
    REQUIRE(pwrite(fd, "x", 1, (off_t)(s->image_data_offset + s->image_off[1] + 9)) == 1);
    close(fd);
    CHECK_OK(shard_image(s, 0, image));
    CHECK_INT(shard_image(s, 1, image), ERR_DATA);
    char found[512];
    snprintf(found, sizeof found, "%s", status_message());
    CHECK(strstr(found, "a.h5: image 1 is damaged (crc32c ") && strstr(found, "; run prepare again"));
    mem_free(image);
    shard_close(&s);
}
