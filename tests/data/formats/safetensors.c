/* safetensors: what is written reads back; every rule of the container broken once; shards; damage; a full disk. */
#include "data/formats/safetensors.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/base/arena.h"
#include "tests/data/mutate.h"
#include "tests/harness.h"

static const char *path_of(const char *name)
{
    static char paths[4][512];
    static int k;
    char *p = paths[k++ % 4];
    snprintf(p, sizeof *paths, "%s/%s", test_dir(), name);
    return p;
}

static void write_bytes(const char *path, const void *bytes, size_t n)
{
    unlink(path); /* replacing a file's contents in place makes some file systems flush to disk */
    FILE *f = fopen(path, "wb");
    REQUIRE(f && fwrite(bytes, 1, n, f) == n);
    REQUIRE(!fclose(f));
}

static size_t compose(char *file, const char *header, size_t n_data)
{
    size_t n = strlen(header);
    memset(file, 0, 8 + n + n_data);
    file[0] = (char)n;
    file[1] = (char)(n >> 8);
    memcpy(file + 8, header, n);
    return 8 + n + n_data;
}

/* A file of that header and n_data zero bytes. */
static const char *made(const char *name, const char *header, size_t n_data)
{
    char file[4096];
    const char *path = path_of(name);
    size_t n = compose(file, header, n_data);
    write_bytes(path, file, n);
    return path;
}

TEST(safetensors_written_file_reads_back)
{
    static const StSpec SPECS[] = {{"b.weight", F32, 2, {2, 3}}, {"a", BF16, 1, {5}}, {"scalar", I64, 0, {0}}, {"none", F32, 2, {0, 7}}};
    float b[6] = {1, 2, 3, 4, 5, 6};
    uint16_t a[5] = {1, 2, 3, 4, 5};
    int64_t scalar = -3;
    StWriter *w;
    const char *path = path_of("w.safetensors");
    REQUIRE_OK(stwriter_open(&w, path, SPECS, 4));
    CHECK_OK(stwriter_write(w, b, 5));
    CHECK_OK(stwriter_write(w, (char *)b + 5, sizeof b - 5));
    CHECK_OK(stwriter_write(w, a, sizeof a));
    CHECK_OK(stwriter_write(w, &scalar, sizeof scalar));
    REQUIRE_OK(stwriter_close(&w));
    CHECK(!w);
    SafeTensors *st;
    REQUIRE_OK(safetensors_open(&st, path));
    CHECK_INT(safetensors_count(st), 4);
    CHECK_STR(safetensors_metadata(st, "format"), "pt");
    CHECK(!safetensors_metadata(st, "other") && !safetensors_find(st, "c"));
    CHECK_STR(safetensors_at(st, 0)->name, "a");
    CHECK_STR(safetensors_at(st, 3)->name, "scalar");
    const StTensor *t = safetensors_find(st, "b.weight");
    char text[64];
    REQUIRE(t && t->n_dims == 2 && t->n_elems == 6 && t->n_bytes == sizeof b && !memcmp(t->data, b, sizeof b));
    CHECK_STR(shape_text(text, sizeof text, t->shape, t->n_dims), "[2, 3]");
    CHECK_STR(t->file, path);
    CHECK(((uintptr_t)t->data & 7) == 0);
    t = safetensors_find(st, "scalar");
    REQUIRE(t && t->n_dims == 0 && t->n_elems == 1 && !memcmp(t->data, &scalar, 8));
    CHECK_STR(shape_text(text, sizeof text, t->shape, t->n_dims), "[]");
    safetensors_close(&st);
    CHECK(!st);
}

TEST(safetensors_shape_text_survives_a_short_buffer)
{
    int64_t shape[3] = {123456789, 2, 3};
    char text[8];
    CHECK_STR(shape_text(text, sizeof text, shape, 3), "[123456");
}

TEST(safetensors_rules_are_enforced)
{
    static const struct {
        const char *header;
        size_t data;
        const char *says;
    } CASES[] = {
        {"{}", 4, "4 bytes at its end belong to no tensor"},
        {"[]", 0, "not a safetensors file: its header does not begin with '{'"},
        {" {}", 0, "not a safetensors file: its header does not begin with '{'"},
        {"{\"a\":1}", 0, "tensor \"a\": its entry in the header is not an object"},
        {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "tensor \"a\": its dtype is missing"},
        {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
         "tensor \"a\": dtype \"F8_E4M3\" is none of F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "tensor \"a\": its shape is missing"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4,
         "tensor \"a\": its shape holds something other than whole numbers from 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4,
         "tensor \"a\": its shape holds something other than whole numbers from 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
         "tensor \"a\": 9 dimensions, at most 8 are supported"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
         "tensor \"a\": its shape has more elements than 64 bits can count"},
        {"{\"a\":{\"dtype\":\"F64\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0,
         "tensor \"a\": its shape has more bytes than 64 bits can count"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4,
         "tensor \"a\": its data_offsets are not [begin, end] with 0 <= begin <= end"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4,
         "tensor \"a\": its data_offsets are not [begin, end] with 0 <= begin <= end"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4,
         "tensor \"a\": its data ends at byte 8 of the buffer, which has 4 (is the file cut short?)"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,4]}}", 4,
         "tensor \"a\": [2, 1] of F32 takes 8 bytes, its data_offsets span 4"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "4 bytes before tensor \"a\" belong to no tensor"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]}}",
         6,
         "tensor \"b\" overlaps tensor \"a\""},
        {"{\"__metadata__\":[]}", 0, "__metadata__ is an array, expected an object of strings"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__ \"a\" is an integer, expected a string"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char wanted[1024];
        SafeTensors *st;
        const char *path = made("x.safetensors", CASES[i].header, CASES[i].data);
        snprintf(wanted, sizeof wanted, "%s: %s", path, CASES[i].says);
        CHECK_FAILS(safetensors_open(&st, path), ERR_DATA, wanted);
        CHECK(!st);
    }
    SafeTensors *st;
    char wanted[1024];
    const char *path = made("x.safetensors", "{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},\"a\":1}", 0);
    snprintf(wanted, sizeof wanted, "%s: header:1:55: the key \"a\" stands twice in this object", path);
    CHECK_FAILS(safetensors_open(&st, path), ERR_DATA, wanted);
    /* Order in the header is free, and spaces may follow it. */
    REQUIRE_OK(safetensors_open(&st, made("x.safetensors",
                                          "{\"z\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,5]},"
                                          "\"y\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}   ",
                                          5)));
    safetensors_close(&st);
}

TEST(safetensors_other_files_are_named)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *says;
    } CASES[] = {
        {"PK\x03\x04\x14\0\0\0\0\0\0", 11, "not a safetensors file but a zip archive, as torch.save writes; convert it to safetensors"},
        {"\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j", 11, "not a safetensors file but a Python pickle, as torch.save writes; convert it to "
                                                    "safetensors"},
        {"version https://git-lfs.github.com/spec/v1\n", 43,
         "not a safetensors file but a Git LFS pointer: the weights themselves were not downloaded"},
        {"<!doctype html>\n<html>", 22, "not a safetensors file but a web page: the weights themselves were not downloaded"},
        {"{\n\"model\": 1}", 13, "not a safetensors file but a text"},
        {"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF{}", 10,
         "not a safetensors file: its first 8 bytes say that the header has 18446744073709551615 bytes, and 100000000 are allowed"},
        {"\x09\0\0\0\0\0\0\0{}", 10, "its header should have 9 bytes, the file has 2 after the first 8 (is it cut short?)"},
        {"\x02\0\0\0\0", 5, "5 bytes are too few for a safetensors file (is it cut short?)"},
        {"", 0, "0 bytes are too few for a safetensors file (is it cut short?)"},
    };
    SafeTensors *st;
    char wanted[1024];
    const char *path = path_of("x.safetensors");
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        write_bytes(path, CASES[i].bytes, CASES[i].n);
        snprintf(wanted, sizeof wanted, "%s: %s", path, CASES[i].says);
        CHECK_FAILS(safetensors_open(&st, path), ERR_DATA, wanted);
    }
    snprintf(wanted, sizeof wanted, "%s: is a folder, expected a safetensors file", test_dir());
    CHECK_FAILS(safetensors_open(&st, test_dir()), ERR_MISSING, wanted);
    path = path_of("absent");
    snprintf(wanted, sizeof wanted, "%s: cannot be opened: No such file or directory", path);
    CHECK_FAILS(safetensors_open(&st, path), ERR_MISSING, wanted);
}

static const char ONE[] = "{\"one\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
static const char TWO[] = "{\"two\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";

static void index_is(const char *text) { write_bytes(path_of("model.safetensors.index.json"), text, strlen(text)); }

/* `says` with the test's folder in place of each %s. */
static void fill_in(char *out, size_t room, const char *says)
{
    size_t n = 0;
    for (const char *c = says, *next; *c; c = next) {
        next = strstr(c, "%s");
        n += (size_t)snprintf(out + n, room - n, "%.*s%s", next ? (int)(next - c) : (int)strlen(c), c, next ? test_dir() : "");
        next = next ? next + 2 : c + strlen(c);
    }
}

TEST(safetensors_shards_by_their_index)
{
    static const struct {
        const char *index;
        Status kind;
        const char *says;
    } CASES[] = {
        {"{\"weight_map\":{\"one\":\"s1.safetensors\",\"two\":\"s2.safetensors\",\"three\":\"s2.safetensors\"}}", ERR_DATA,
         "%s/s2.safetensors: no tensor \"three\" in it, though %s/model.safetensors.index.json puts it there"},
        {"{\"weight_map\":{\"one\":\"s2.safetensors\",\"two\":\"s1.safetensors\"}}", ERR_DATA,
         "%s/s1.safetensors: tensor \"one\" is in it, though %s/model.safetensors.index.json puts it into s2.safetensors"},
        {"{\"weight_map\":{\"one\":\"s1.safetensors\",\"two\":\"s3.safetensors\"}}", ERR_MISSING,
         "%s/s3.safetensors: cannot be opened: No such file or directory (%s/model.safetensors.index.json puts tensor \"two\" there)"},
        {"{\"weight_map\":{\"one\":\"s1.safetensors\",\"two\":\"s1b.safetensors\"}}", ERR_DATA,
         "%s/s1b.safetensors: tensor \"one\" stands in %s/s1.safetensors too"},
        {"{\"weight_map\":{\"one\":\"../s1.safetensors\"}}", ERR_DATA,
         "%s/model.safetensors.index.json:1:22: tensor \"one\": \"../s1.safetensors\" is not the name of a file beside the index"},
        {"{\"weight_map\":{\"one\":5}}", ERR_DATA,
         "%s/model.safetensors.index.json:1:22: the file of tensor \"one\" is an integer, expected a string"},
        {"{}", ERR_DATA, "%s/model.safetensors.index.json: no object \"weight_map\" in it"},
        {"{", ERR_DATA, "%s/model.safetensors.index.json:1:2: expected a key in double quotes or '}', found the end of the file"},
    };
    SafeTensors *st;
    char wanted[2048];
    made("s1.safetensors", ONE, 1);
    made("s1b.safetensors", ONE, 1);
    made("s2.safetensors", TWO, 1);
    index_is("{\"metadata\":{\"total_size\":2},\"weight_map\":{\"one\":\"s1.safetensors\",\"two\":\"s2.safetensors\"}}");
    REQUIRE_OK(safetensors_open_folder(&st, test_dir(), "model"));
    CHECK_INT(safetensors_count(st), 2);
    CHECK_STR(safetensors_find(st, "two")->file, path_of("s2.safetensors"));
    safetensors_close(&st);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        index_is(CASES[i].index);
        fill_in(wanted, sizeof wanted, CASES[i].says);
        CHECK_FAILS(safetensors_open_folder(&st, test_dir(), "model"), CASES[i].kind, wanted);
    }
    made("model.safetensors", ONE, 1); /* a single file wins over an index */
    REQUIRE_OK(safetensors_open_folder(&st, test_dir(), "model"));
    CHECK_INT(safetensors_count(st), 1);
    safetensors_close(&st);
}

TEST(safetensors_folders_without_weights)
{
    SafeTensors *st;
    char wanted[1024];
    snprintf(wanted, sizeof wanted, "%s: neither model.safetensors nor model.safetensors.index.json in it", test_dir());
    CHECK_FAILS(safetensors_open_folder(&st, test_dir(), "model"), ERR_MISSING, wanted);
    write_bytes(path_of("pytorch_model.bin"), "PK", 2);
    snprintf(wanted, sizeof wanted, "%s: no model.safetensors in it; pytorch_model.bin is a pickle, which is never read: convert it to "
                                    "safetensors (convert --to parts does, of a whole language model or LLaVA)",
             test_dir());
    CHECK_FAILS(safetensors_open_folder(&st, test_dir(), "model"), ERR_MISSING, wanted);
    const char *path = path_of("absent");
    snprintf(wanted, sizeof wanted, "%s: cannot be opened: No such file or directory", path);
    CHECK_FAILS(safetensors_open_folder(&st, path, "model"), ERR_MISSING, wanted);
    made("diffusion.fp16.safetensors", ONE, 1);
    REQUIRE_OK(safetensors_open_folder(&st, test_dir(), "diffusion"));
    safetensors_close(&st);
}

TEST(safetensors_damaged_files_end_with_a_sentence)
{
    static const char HEADER[] = "{\"__metadata__\":{\"format\":\"pt\"},\"a.w\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,"
                                 "24]},\"b\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[24,32]}}";
    enum { ROUNDS = 6000 };
    const char *path = path_of("x.safetensors");
    for (uint32_t round = 0; round < ROUNDS; round++) {
        char file[sizeof HEADER + 8 + 32 + 64];
        size_t n = mutate(file, compose(file, HEADER, 32), round);
        write_bytes(path, file, n);
        SafeTensors *st;
        Status s = safetensors_open(&st, path);
        CHECK(s == OK || (s == ERR_DATA && !st && strstr(status_message(), path)));
        for (int i = 0; !s && i < safetensors_count(st); i++) {
            const StTensor *t = safetensors_at(st, i);
            volatile uint8_t last = 0; /* touches the mapping's end */
            if (t->n_bytes)
                last = ((const uint8_t *)t->data)[t->n_bytes - 1];
            (void)last;
        }
        safetensors_close(&st);
    }
}

TEST(safetensors_damaged_indexes_end_with_a_sentence)
{
    static const char INDEX[] = "{\"metadata\":{\"total_size\":2},\"weight_map\":{\"one\":\"s1.safetensors\",\"two\":\"s2.safetensors\"}}";
    enum { ROUNDS = 3000 };
    made("s1.safetensors", ONE, 1);
    made("s2.safetensors", TWO, 1);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        char text[sizeof INDEX + 64];
        memcpy(text, INDEX, sizeof INDEX);
        size_t n = mutate(text, sizeof INDEX - 1, round);
        write_bytes(path_of("model.safetensors.index.json"), text, n);
        SafeTensors *st;
        Status s = safetensors_open_folder(&st, test_dir(), "model");
        CHECK(s == OK || s == ERR_DATA || s == ERR_MISSING);
        CHECK(s == OK || (!st && *status_message()));
        safetensors_close(&st);
    }
}

TEST(safetensors_writer_reports_what_the_system_says)
{
    static const StSpec SPEC = {"a", U8, 1, {3 << 20}};
    StWriter *w;
    char wanted[1024], *megabytes = mem_alloc(3 << 20);
    const char *path = path_of("no/such/folder");
    REQUIRE(megabytes);
    snprintf(wanted, sizeof wanted, "%s: cannot be created: No such file or directory", path);
    CHECK_FAILS(stwriter_open(&w, path, &SPEC, 1), ERR_CREATE, wanted);
    CHECK(!w);
    REQUIRE_OK(stwriter_open(&w, "/dev/full", &SPEC, 1));
    CHECK_FAILS(stwriter_write(w, megabytes, 3 << 20), ERR_IO, "/dev/full: cannot be written: No space left on device");
    stwriter_abandon(&w);
    /* A limit in the middle of a write: a short write first, then the error. */
    path = path_of("limited");
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){(1 << 20) + 12345, (1 << 20) + 12345});
    REQUIRE_OK(stwriter_open(&w, path, &SPEC, 1));
    snprintf(wanted, sizeof wanted, "%s: cannot be written: File too large", path);
    CHECK_FAILS(stwriter_write(w, megabytes, 3 << 20), ERR_IO, wanted);
    stwriter_abandon(&w);
    path = path_of("short");
    REQUIRE_OK(stwriter_open(&w, path, &(StSpec){"a", U8, 1, {10}}, 1));
    CHECK_OK(stwriter_write(w, megabytes, 9));
    snprintf(wanted, sizeof wanted, "%s: 9 bytes of data came, its header announces 10", path);
    CHECK_FAILS(stwriter_close(&w), ERR_INTERNAL, wanted);
    REQUIRE_OK(stwriter_open(&w, path, &(StSpec){"a", U8, 1, {10}}, 1));
    snprintf(wanted, sizeof wanted, "%s: more data than its header announces (10 bytes)", path);
    CHECK_FAILS(stwriter_write(w, megabytes, 11), ERR_INTERNAL, wanted);
    stwriter_abandon(&w);
    mem_free(megabytes);
}
