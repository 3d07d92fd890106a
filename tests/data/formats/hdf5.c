/* hdf5: what the library wrote comes back through our own reader, in every form that the writer's calls can take. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/hdf5_read.h"
#include "kernels/base/arena.h"
#include "kernels/base/philox.h"
#include "tests/harness.h"

enum { USER_BLOCK = 512, ROWS = 3000 };

static const HdfArray ARRAYS[] = {
    {"/a/u8", HDF_U8, ROWS, 1, 1 << 20, false},
    {"/a/u8_deflated", HDF_U8, ROWS, 1, 100, true},   /* 30 chunks: a fixed array */
    {"/a/u16_columns", HDF_U16, ROWS, 3, 7, false},
    {"/a/u32_pages", HDF_U32, ROWS, 1, 1, true},      /* more chunks than a page of the fixed array has entries */
    {"/a/u64", HDF_U64, ROWS, 1, 1024, true},
    {"/a/i32", HDF_I32, ROWS, 1, ROWS, true},         /* one chunk */
    {"/b/f32_none", HDF_F32, 0, 1, 10, true},
    {"/b/i64_columns_none", HDF_I64, 0, 4, 10, false},
    {"/b/one", HDF_F32, 1, 1, 10, true},
    {"/b/c1", HDF_U8, 1, 1, 10, false},
    {"/b/c2", HDF_U8, 1, 1, 10, false}, /* more than eight in a group: names in a heap */
    {"/b/c3", HDF_U8, 1, 1, 10, false},
    {"/b/c4", HDF_U8, 1, 1, 10, false},
    {"/b/c5", HDF_U8, 1, 1, 10, false},
    {"/b/c6", HDF_U8, 1, 1, 10, false},
    {"/b/c7", HDF_U8, 1, 1, 10, false},
};
enum { N_ARRAYS = sizeof ARRAYS / sizeof *ARRAYS };

static size_t bytes_of(const HdfArray *a) { return a->rows * a->columns * hdf_type_size(a->type); }

static void fill(uint8_t *out, size_t n, uint32_t key)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(philox4x32(key, (uint32_t)i, 0, 0, 0).v[0] % 11);
}

/* A text of n characters. */
static char *text_of(size_t n)
{
    char *t = mem_alloc(n + 1);
    for (size_t i = 0; i < n; i++)
        t[i] = (char)('a' + i % 23);
    return t;
}

static const size_t TEXTS[] = {0,    1,     50,   900,  1000, 3000, 4000,
                               5000, 70000, 3000, 3000, 3000, 3000, 3000}; /* in blocks of the heap, and beside it */
enum { N_TEXTS = sizeof TEXTS / sizeof *TEXTS };

static void write_file(const char *path, uint64_t *reserved)
{
    static uint8_t data[ROWS * 8 * 4];
    HdfFile *f;
    char name[16];
    REQUIRE_OK(hdf_create(&f, path, USER_BLOCK));
    REQUIRE_OK(hdf_group(f, "/a"));
    REQUIRE_OK(hdf_group(f, "/b"));
    REQUIRE_OK(hdf_reserve(f, "/b/reserved", 777, reserved));
    for (int i = 0; i < N_ARRAYS; i++) {
        fill(data, bytes_of(&ARRAYS[i]), (uint32_t)i);
        REQUIRE_OK(hdf_write(f, &ARRAYS[i], data));
    }
    for (int i = 0; i < N_TEXTS; i++) {
        char *t = text_of(TEXTS[i]);
        snprintf(name, sizeof name, "text%d", i);
        REQUIRE_OK(hdf_set_text(f, "/", name, t));
        mem_free(t);
    }
    REQUIRE_OK(hdf_set_int(f, "/", "least", INT64_MIN));
    REQUIRE_OK(hdf_set_int(f, "/", "most", INT64_MAX));
    REQUIRE_OK(hdf_set_text(f, "/a", "comment", "of a group"));
    REQUIRE_OK(hdf_close(&f));
}

static HdfTree *open_file(const char *path, char **bytes)
{
    HdfTree *t;
    size_t n;
    REQUIRE_OK(file_read(bytes, &n, path, 1 << 30));
    const HdfBytes b = {.data = (const uint8_t *)*bytes, .n_bytes = n, .user_block = USER_BLOCK};
    REQUIRE_OK(hdf_tree_read(&t, path, &b));
    return t;
}

TEST(hdf5_comes_back_in_every_form)
{
    static uint8_t wanted[ROWS * 8 * 4], part[100 * 4];
    char path[256], name[16], *bytes;
    uint64_t reserved, at, n;
    snprintf(path, sizeof path, "%s/a.h5", test_dir());
    write_file(path, &reserved);
    HdfTree *t = open_file(path, &bytes);
    for (int i = 0; i < N_ARRAYS; i++) {
        void *found;
        fill(wanted, bytes_of(&ARRAYS[i]), (uint32_t)i);
        REQUIRE_OK(hdf_read(t, &ARRAYS[i], &found));
        CHECK_MSG(!memcmp(found, wanted, bytes_of(&ARRAYS[i])), "%s", ARRAYS[i].name);
        mem_free(found);
    }
    for (uint64_t first = 0; first + 100 <= ROWS; first += 99) {
        fill(wanted, bytes_of(&ARRAYS[3]), 3);
        REQUIRE_OK(hdf_read_range(t, &ARRAYS[3], first, 100, part));
        CHECK(!memcmp(part, wanted + 4 * first, sizeof part));
    }
    for (int i = 0; i < N_TEXTS; i++) {
        char *found, *text = text_of(TEXTS[i]);
        snprintf(name, sizeof name, "text%d", i);
        REQUIRE_OK(hdf_get_text(t, name, &found));
        CHECK_STR(found, text);
        mem_free(found);
        mem_free(text);
    }
    int64_t value;
    CHECK(!hdf_get_int(t, "least", &value) && value == INT64_MIN);
    CHECK(!hdf_get_int(t, "most", &value) && value == INT64_MAX);
    CHECK_OK(hdf_locate(t, "/b/reserved", &at, &n));
    CHECK(at == reserved && n == 777);
    int arrays = 0;
    while (hdf_array_name(t, arrays))
        arrays++;
    CHECK_INT(arrays, N_ARRAYS + 1);
    hdf_tree_free(&t);
    mem_free(bytes);
}

TEST(hdf5_says_what_an_array_should_be)
{
    char path[256], wanted[512], *bytes;
    uint64_t reserved;
    snprintf(path, sizeof path, "%s/a.h5", test_dir());
    write_file(path, &reserved);
    HdfTree *t = open_file(path, &bytes);
    static const struct {
        HdfArray a;
        const char *says;
    } CASES[] = {
        {{"/a/none", HDF_U8, 1, 1, 1, false}, "has no /a/none"},
        {{"/a/u8", HDF_U16, ROWS, 1, 1 << 20, false}, "/a/u8 should hold u16"},
        {{"/a/u8", HDF_U8, ROWS - 1, 1, 1 << 20, false}, "/a/u8 has 3000 rows, should have 2999"},
        {{"/a/u16_columns", HDF_U16, ROWS, 1, 7, false}, "/a/u16_columns should have 1 dimensions, 1 columns"},
        {{"/a/u16_columns", HDF_U16, ROWS, 4, 7, false}, "/a/u16_columns should have 2 dimensions, 4 columns"},
        {{"/a/u64", HDF_U64, ROWS, 1, 1000, true}, "/a/u64 has other chunks or filters than prepare writes"},
        {{"/a/u64", HDF_U64, ROWS, 1, 1024, false}, "/a/u64 has other chunks or filters than prepare writes"},
        {{"/b/reserved", HDF_U8, 777, 1, 10, false}, "/b/reserved should be chunked"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        void *data;
        snprintf(wanted, sizeof wanted, "%s: %s", path, CASES[i].says);
        CHECK_FAILS(hdf_read(t, &CASES[i].a, &data), ERR_DATA, wanted);
    }
    int64_t value;
    char *text;
    snprintf(wanted, sizeof wanted, "%s: attribute text0 should be an integer", path);
    CHECK_FAILS(hdf_get_int(t, "text0", &value), ERR_DATA, wanted);
    snprintf(wanted, sizeof wanted, "%s: attribute most should be text", path);
    CHECK_FAILS(hdf_get_text(t, "most", &text), ERR_DATA, wanted);
    snprintf(wanted, sizeof wanted, "%s: has no attribute more", path);
    CHECK_FAILS(hdf_get_text(t, "more", &text), ERR_DATA, wanted);
    hdf_tree_free(&t);
    mem_free(bytes);
}

/* ---------------------------------------------------------------- texts and rows, through the library */

static Status same_text(void *arg, const char *text)
{
    const char *const **next = arg;
    CHECK_STR(text, **next);
    ++*next;
    return OK;
}

TEST(hdf5_rows_written_in_blocks_come_back)
{
    enum { N = 5, D = 3 };
    const char *const names[N] = {"one", "", "a longer name", "\xc3\xa9", "five"}, *const *next = names;
    float numbers[N][D], found[D];
    char path[PATH_MAX], text[6], expected[PATH_MAX + 32];
    bool found_text;
    HdfFile *f;
    HdfRows rows[2];
    uint64_t n;
    for (int i = 0; i < N * D; i++)
        numbers[i / D][i % D] = (float)i / 7;
    file_join(path, test_dir(), "rows.h5");
    snprintf(expected, sizeof expected, "%s: number is no text", path);
    REQUIRE_OK(hdf_create(&f, path, 0));
    REQUIRE_OK(hdf_write_texts(f, "/name", names, N));
    REQUIRE_OK(hdf_set_text(f, "/", "of", "a network"));
    REQUIRE_OK(hdf_set_int(f, "/", "number", 3));
    REQUIRE_OK(hdf_rows_create(f, &rows[0], "/feat", N, D));
    REQUIRE_OK(hdf_rows_create(f, &rows[1], "/narrow", N, 1));
    REQUIRE_OK(hdf_rows_write(f, &rows[0], 2, 3, numbers[2]));
    REQUIRE_OK(hdf_rows_write(f, &rows[1], 0, N, numbers[0]));
    REQUIRE_OK(hdf_rows_write(f, &rows[0], 0, 2, numbers[0]));
    REQUIRE_OK(hdf_close(&f));
    REQUIRE_OK(hdf_open(&f, path));
    REQUIRE_OK(hdf_text_of(f, "/", "of", text, sizeof text, &found_text));
    CHECK(found_text);
    CHECK_STR(text, "a net");
    CHECK_FAILS(hdf_text_of(f, "/", "number", text, sizeof text, &found_text), ERR_DATA, expected);
    REQUIRE_OK(hdf_text_of(f, "/feat", "of", text, sizeof text, &found_text));
    CHECK(!found_text);
    REQUIRE_OK(hdf_each_text(f, "/name", &n, same_text, &next));
    CHECK_INT(next - names, N);
    REQUIRE_OK(hdf_rows_open(f, &rows[0], "/feat"));
    CHECK_INT(rows[0].rows, N);
    CHECK_INT(rows[0].columns, D);
    for (uint64_t i = 0; i < N; i++) {
        REQUIRE_OK(hdf_rows_read(f, &rows[0], i, found));
        CHECK(!memcmp(found, numbers[i], sizeof found));
    }
    REQUIRE_OK(hdf_rows_open(f, &rows[1], "/narrow"));
    REQUIRE_OK(hdf_rows_read(f, &rows[1], 4, found));
    CHECK(found[0] == numbers[1][1]);
    REQUIRE_OK(hdf_close(&f));
}
