/* GGUF: what is written reads back; a file of the gguf package, byte for byte; every rule broken once; damage; a full disk. */
#include "data/formats/gguf.h"

#include <stdio.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/q8_0.h"
#include "kernels/base/arena.h"
#include "kernels/base/dtype.h"
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
    unlink(path);
    REQUIRE_OK(file_write(path, bytes, n));
}

static const GgufSpec SPECS[] = {{"b.weight", GGUF_F32, 2, {2, 3}}, {"none", GGUF_F32, 2, {0, 7}}, {"a", GGUF_F16, 1, {5}},
                                 {"q", GGUF_Q8_0, 3, {1, 2, 32}},   {"h", GGUF_BF16, 4, {1, 1, 1, 3}}};
enum { N = sizeof SPECS / sizeof *SPECS, DATA = 24 + 10 + 68 + 6 };

static void put_metadata(GgufWriter *w)
{
    static const char *const TOKENS[] = {"<unk>", "",
                                         "\xe2\x96\x81"
                                         "a"};
    gguf_put_text(w, "general.architecture", "llama");
    gguf_put_u32(w, "llama.block_count", 2);
    gguf_put_f32(w, "llama.rope.freq_base", 1e6f);
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", true);
    gguf_put_texts(w, "tokenizer.ggml.tokens", TOKENS, 3);
    gguf_put_f32s(w, "tokenizer.ggml.scores", (const float[]){0, -1, -2.5f}, 3);
    gguf_put_i32s(w, "tokenizer.ggml.token_type", (const int32_t[]){2, 3, -1}, 3);
}

/* Bytes 0, 1, 2… in pieces of that size. */
static const char *made(size_t piece)
{
    GgufWriter *w;
    const char *path = path_of("w.gguf");
    uint8_t bytes[DATA];
    for (int i = 0; i < DATA; i++)
        bytes[i] = (uint8_t)i;
    REQUIRE_OK(gguf_create(&w, path));
    put_metadata(w);
    REQUIRE_OK(gguf_declare(w, SPECS, N));
    for (size_t at = 0; at < DATA; at += piece)
        REQUIRE_OK(gguf_write(w, bytes + at, piece < DATA - at ? piece : DATA - at));
    REQUIRE_OK(gguf_finish(&w));
    CHECK(!w);
    return path;
}

static void check_metadata(const Gguf *g)
{
    int64_t number, *numbers;
    double real;
    bool yes = false;
    char *text;
    float *reals;
    GgufText *texts;
    size_t n;
    CHECK_INT(gguf_n_entries(g), 7);
    CHECK_STR(gguf_entry_at(g, 1)->key, "llama.block_count");
    CHECK_OK(gguf_get_int(g, "llama.block_count", &number));
    CHECK_INT(number, 2);
    CHECK_OK(gguf_get_real(g, "llama.rope.freq_base", &real));
    CHECK(real == 1e6);
    CHECK_OK(gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &yes));
    CHECK(yes);
    REQUIRE_OK(gguf_get_text(g, "general.architecture", &text));
    CHECK_STR(text, "llama");
    mem_free(text);
    REQUIRE_OK(gguf_get_texts(g, "tokenizer.ggml.tokens", &texts, &n));
    REQUIRE(n == 3 && texts[1].n == 0);
    CHECK(texts[0].n == 5 && !memcmp(texts[0].bytes, "<unk>", 5) && texts[2].n == 4 &&
          !memcmp(texts[2].bytes,
                  "\xe2\x96\x81"
                  "a",
                  4));
    mem_free(texts);
    REQUIRE_OK(gguf_get_reals(g, "tokenizer.ggml.scores", &reals, &n));
    CHECK(n == 3 && reals[0] == 0 && reals[1] == -1 && reals[2] == -2.5f);
    mem_free(reals);
    REQUIRE_OK(gguf_get_ints(g, "tokenizer.ggml.token_type", &numbers, &n));
    CHECK(n == 3 && numbers[0] == 2 && numbers[1] == 3 && numbers[2] == -1);
    mem_free(numbers);
}

TEST(gguf_written_file_reads_back)
{
    for (size_t piece = 1; piece <= DATA; piece += 13) {
        Gguf *g;
        uint8_t next = 0;
        REQUIRE_OK(gguf_open(&g, made(piece)));
        check_metadata(g);
        REQUIRE(gguf_count(g) == N);
        for (int i = 0; i < N; i++) {
            const GgufTensor *t = gguf_at(g, i);
            CHECK_STR(t->name, SPECS[i].name);
            CHECK(t->type == SPECS[i].type && t->n_dims == SPECS[i].n_dims && !memcmp(t->shape, SPECS[i].shape, sizeof t->shape));
            CHECK(gguf_find(g, SPECS[i].name) == t && ((uintptr_t)t->data & 31) == 0);
            for (size_t k = 0; k < t->n_bytes; k++)
                CHECK_INT(((const uint8_t *)t->data)[k], next++);
            gguf_release(g, t);
        }
        CHECK_INT(next, DATA);
        CHECK(!gguf_find(g, "c") && !gguf_entry(g, "c"));
        gguf_close(&g);
        CHECK(!g);
    }
}

TEST(gguf_values_of_another_kind_are_named)
{
    static const char *const SAYS[] = {"no \"absent\" in its metadata",
                                       "\"general.architecture\" is text, expected an integer",
                                       "\"tokenizer.ggml.tokens\" is an array of text, expected text",
                                       "\"llama.block_count\" is u32, expected an array of f32"};
    Gguf *g;
    char wanted[4][1024], *text;
    int64_t number;
    float *reals;
    size_t n;
    const char *path = made(DATA);
    for (int i = 0; i < 4; i++)
        snprintf(wanted[i], sizeof wanted[i], "%s: %s", path, SAYS[i]);
    REQUIRE_OK(gguf_open(&g, path));
    CHECK_FAILS(gguf_get_int(g, "absent", &number), ERR_DATA, wanted[0]);
    CHECK_FAILS(gguf_get_int(g, "general.architecture", &number), ERR_DATA, wanted[1]);
    CHECK_FAILS(gguf_get_text(g, "tokenizer.ggml.tokens", &text), ERR_DATA, wanted[2]);
    CHECK_FAILS(gguf_get_reals(g, "llama.block_count", &reals, &n), ERR_DATA, wanted[3]);
    gguf_close(&g);
}

/* ---------------------------------------------------------------- files of the gguf package (tests/oracle/containers.py) */

static const char *fixture(const char *name)
{
    static char paths[2][512];
    static int k;
    char *p = paths[k++ % 2];
    snprintf(p, sizeof *paths, "%s%s", test_fixture("containers/"), name);
    return p;
}

/* The same metadata and tensors: the same bytes, q8_0 included. */
TEST(gguf_writes_what_the_gguf_package_writes)
{
    enum { ROWS = 6, COLUMNS = 96, ALL = ROWS * COLUMNS, HALVES = 14 };
    static const GgufSpec TENSORS[] = {
        {"f32", GGUF_F32, 2, {ROWS, COLUMNS}},
        {"f16", GGUF_F16, 2, {2, 7}},
        {"q8_0", GGUF_Q8_0, 2, {ROWS, COLUMNS}},
        {"bf16", GGUF_BF16, 2, {ROWS, COLUMNS}},
    };
    char *numbers, *wanted, *found;
    size_t n, n_wanted, n_found;
    uint8_t blocks[ALL / Q8_0_BLOCK * Q8_0_BYTES];
    uint16_t halves[HALVES], brains[ALL];
    GgufWriter *w;
    REQUIRE_OK(file_read(&numbers, &n, fixture("numbers.f32"), 1 << 20));
    REQUIRE(n == ALL * sizeof(float));
    const float *x = (const float *)(const void *)numbers;
    for (int i = 0; i < HALVES; i++)
        halves[i] = f32_to_f16(x[i / 7 * COLUMNS + i % 7]);
    dtype_convert(brains, BF16, x, F32, ALL);
    q8_0_from_f32(blocks, x, ALL);
    REQUIRE_OK(gguf_create(&w, path_of("model.gguf")));
    put_metadata(w);
    gguf_put_text(w, "tokenizer.chat_template", "{{ '\xc3\xa9' }}");
    REQUIRE_OK(gguf_declare(w, TENSORS, 4));
    REQUIRE_OK(gguf_write(w, x, n));
    REQUIRE_OK(gguf_write(w, halves, sizeof halves));
    REQUIRE_OK(gguf_write(w, blocks, sizeof blocks));
    REQUIRE_OK(gguf_write(w, brains, sizeof brains));
    REQUIRE_OK(gguf_finish(&w));
    REQUIRE_OK(file_read(&wanted, &n_wanted, fixture("model.gguf"), 1 << 20));
    REQUIRE_OK(file_read(&found, &n_found, path_of("model.gguf"), 1 << 20));
    CHECK_INT(n_found, n_wanted);
    for (size_t i = 0; i < n_found && i < n_wanted; i++)
        if (found[i] != wanted[i]) {
            CHECK_MSG(false, "byte %zu differs", i);
            break;
        }
    mem_free(numbers);
    mem_free(wanted);
    mem_free(found);
}

TEST(gguf_reads_every_kind_of_metadata)
{
    static const struct {
        const char *key;
        int64_t value;
    } INTS[] = {{"general.alignment", 64}, {"test.uint8", 200},  {"test.int8", -100},           {"test.uint16", 60000},
                {"test.int16", -30000},    {"test.int32", -5},   {"test.int64", -((int64_t)1 << 62)}};
    Gguf *g;
    int64_t value;
    double real;
    char wanted[1024];
    REQUIRE_OK(gguf_open(&g, fixture("kinds.gguf")));
    for (size_t i = 0; i < sizeof INTS / sizeof *INTS; i++) {
        CHECK_OK(gguf_get_int(g, INTS[i].key, &value));
        CHECK_INT(value, INTS[i].value);
    }
    snprintf(wanted, sizeof wanted, "%s: \"test.uint64\" holds an integer beyond 63 bits", fixture("kinds.gguf"));
    CHECK_FAILS(gguf_get_int(g, "test.uint64", &value), ERR_DATA, wanted);
    CHECK_OK(gguf_get_real(g, "test.float64", &real));
    CHECK(real == 0.1);
    const GgufTensor *b = gguf_find(g, "b");
    REQUIRE(b && gguf_count(g) == 2);
    CHECK(b->n_dims == 3 && b->shape[0] == 2 && b->shape[1] == 3 && b->shape[2] == 4 && ((uintptr_t)b->data & 63) == 0);
    CHECK(f16_to_f32(((const uint16_t *)b->data)[23]) == 23);
    gguf_close(&g);
}

/* ---------------------------------------------------------------- rules, on files put together by hand */

typedef struct Hand {
    uint8_t bytes[1024];
    size_t n;
} Hand;

static void put(Hand *h, uint64_t value, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++)
        h->bytes[h->n++] = (uint8_t)(value >> 8 * i);
}

static void put_text(Hand *h, const char *text)
{
    put(h, strlen(text), 8);
    memcpy(h->bytes + h->n, text, strlen(text));
    h->n += strlen(text);
}

static Hand head(uint64_t n_tensors, uint64_t n_entries)
{
    Hand h = {.bytes = "GGUF", .n = 4};
    put(&h, 3, 4);
    put(&h, n_tensors, 8);
    put(&h, n_entries, 8);
    return h;
}

static void put_tensor(Hand *h, const char *name, int n_dims, uint64_t a, uint64_t b, uint32_t type, uint64_t offset)
{
    put_text(h, name);
    put(h, (uint64_t)n_dims, 4);
    for (int i = 0; i < n_dims; i++)
        put(h, i ? b : a, 8);
    put(h, type, 4);
    put(h, offset, 8);
}

static void check_refused(const Hand *h, const char *says)
{
    Gguf *g;
    char wanted[1024];
    const char *path = path_of("x.gguf");
    write_bytes(path, h->bytes, h->n);
    snprintf(wanted, sizeof wanted, "%s: %s", path, says);
    CHECK_FAILS(gguf_open(&g, path), ERR_DATA, wanted);
    CHECK(!g);
}

TEST(gguf_headers_that_are_refused)
{
    Hand h = {.bytes = "GGML\1\0\0\0", .n = 8};
    check_refused(&h, "not a GGUF file: it does not begin with \"GGUF\"");
    h.n = 3;
    check_refused(&h, "its header: goes beyond the end of the file (is it cut short?)");
    h = head(0, 0);
    h.bytes[4] = 2;
    check_refused(&h, "a GGUF file of version 2, and only 3 is read");
    memcpy(h.bytes + 4, "\0\0\0\3", 4);
    check_refused(&h, "a GGUF file of a big-endian machine, which is not read");
    h = head(0, 1ull << 62);
    check_refused(&h, "announces 4611686018427387904 entries of metadata; 65536 are allowed, and the file must have room for them");
    h = head(2, 0);
    put_tensor(&h, "a", 0, 0, 0, GGUF_F32, 0);
    check_refused(&h, "announces 2 tensors; 1048576 are allowed, and the file must have room for them");
}

TEST(gguf_metadata_that_is_refused)
{
    Hand h = head(0, 2);
    for (int i = 0; i < 2; i++) {
        put_text(&h, "key");
        put(&h, GGUF_U32, 4);
        put(&h, 7, 4);
    }
    check_refused(&h, "the key \"key\" stands twice in its metadata");
    h = head(0, 1);
    put_text(&h, "key");
    put(&h, 13, 4);
    put(&h, 0, 8);
    check_refused(&h, "\"key\" of its metadata: its kind is 13, and 0 to 12 are known");
    h = head(0, 1);
    put_text(&h, "key");
    put(&h, GGUF_BOOL, 4);
    put(&h, 2, 1);
    check_refused(&h, "\"key\" of its metadata: holds a bool that is neither 0 nor 1");
    h = head(0, 1);
    put_text(&h, "key");
    put(&h, GGUF_ARRAY, 4);
    put(&h, GGUF_ARRAY, 4);
    put(&h, 1, 8);
    check_refused(&h, "\"key\" of its metadata: arrays of arrays are not supported");
    h = head(0, 1);
    put_text(&h, "key");
    put(&h, GGUF_ARRAY, 4);
    put(&h, GGUF_U64, 4);
    put(&h, 1ull << 61, 8);
    check_refused(&h, "\"key\" of its metadata: has more bytes than 64 bits can count");
    h.bytes[h.n - 16 + 4] = GGUF_TEXT;
    check_refused(&h, "\"key\" of its metadata: goes beyond the end of the file (is it cut short?)");
    h = head(0, 1);
    put_text(&h, "");
    put(&h, GGUF_U64, 4);
    put(&h, 1, 8);
    check_refused(&h, "entry 1 of its metadata: its name has 0 bytes or a NUL; 1 to 65535 without are allowed");
    for (int align = 4; align <= 48; align += 44) {
        h = head(0, 1);
        put_text(&h, "general.alignment");
        put(&h, GGUF_U32, 4);
        put(&h, (uint64_t)align, 4);
        check_refused(&h, align == 4 ? "general.alignment is 4, expected a power of two from 8 to 1048576"
                                     : "general.alignment is 48, expected a power of two from 8 to 1048576");
    }
    h = head(0, 1);
    put_text(&h, "general.alignment");
    put(&h, GGUF_I32, 4);
    put(&h, 32, 4);
    check_refused(&h, "general.alignment is not of kind u32");
}

TEST(gguf_tensors_that_are_refused)
{
    static const struct {
        const char *name;
        int n_dims;
        uint64_t a, b;
        uint32_t type;
        uint64_t offset;
        const char *says;
    } CASES[] = {
        {"t", 5, 1, 1, 0, 0, "tensor \"t\": 5 dimensions, at most 4 are allowed"},
        {"t", 2, 1ull << 32, 1ull << 32, 0, 0, "tensor \"t\": its shape has more bytes than 64 bits can count"},
        {"t", 1, 1ull << 63, 0, 0, 0, "tensor \"t\": its shape has more bytes than 64 bits can count"},
        {"t", 1, 4, 0, 2, 0, "tensor \"t\": type 2 is none of F32 (0), F16 (1), Q8_0 (8), BF16 (30)"},
        {"t", 2, 33, 32, 8, 0, "tensor \"t\": of Q8_0, but its rows are no multiple of 32"},
        {"t", 1, 4, 0, 0, 32, "tensor \"t\": its data begins at byte 32, expected 0, the next multiple of 32"},
        {"t", 1, 400, 0, 0, 0, "tensor \"t\": its data goes beyond the end of the file (is it cut short?)"},
        {"t", 1, 17, 0, 0, 0, "its tensors end at byte 132, the file has 128 (is it cut short?)"},
        {"t", 1, 8, 0, 0, 0, "32 bytes at its end belong to no tensor"},
        {"0123456789012345678901234567890123456789012345678901234567890123", 1, 1, 0, 0, 0,
         "tensor 1: its name has 64 bytes or a NUL; 1 to 63 without are allowed"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Hand h = head(1, 0);
        put_tensor(&h, CASES[i].name, CASES[i].n_dims, CASES[i].a, CASES[i].b, CASES[i].type, CASES[i].offset);
        h.n = 128;
        check_refused(&h, CASES[i].says);
    }
    Hand h = head(2, 0);
    put_tensor(&h, "t", 1, 8, 0, GGUF_F32, 0);
    put_tensor(&h, "t", 1, 8, 0, GGUF_F32, 32);
    h.n = 160;
    check_refused(&h, "two tensors are called \"t\"");
}

TEST(gguf_data_may_end_without_padding)
{
    Gguf *g;
    Hand h = head(1, 0);
    put_tensor(&h, "t", 1, 8, 0, GGUF_F16, 0);
    for (h.n = 64 + 16; h.n <= 96; h.n += 16) {
        write_bytes(path_of("x.gguf"), h.bytes, h.n);
        REQUIRE_OK(gguf_open(&g, path_of("x.gguf")));
        CHECK_INT(gguf_at(g, 0)->n_bytes, 16);
        gguf_close(&g);
    }
    h = head(0, 0);
    write_bytes(path_of("x.gguf"), h.bytes, h.n);
    REQUIRE_OK(gguf_open(&g, path_of("x.gguf")));
    gguf_close(&g);
}

/* ---------------------------------------------------------------- damage */

static void touch_everything(const Gguf *g)
{
    volatile uint8_t sum = 0;
    for (int i = 0; i < gguf_count(g); i++)
        for (size_t k = 0; k < gguf_at(g, i)->n_bytes; k++)
            sum = (uint8_t)(sum + ((const uint8_t *)gguf_at(g, i)->data)[k]);
    for (int i = 0; i < gguf_n_entries(g); i++) {
        const char *key = gguf_entry_at(g, i)->key;
        GgufText *texts;
        int64_t *ints;
        size_t n = 0;
        if (!gguf_get_texts(g, key, &texts, &n))
            for (size_t k = 0; k < n; k++)
                sum = (uint8_t)(sum + (texts[k].n ? texts[k].bytes[texts[k].n - 1] : 0));
        mem_free(texts);
        if (gguf_get_ints(g, key, &ints, &n))
            sum++;
        mem_free(ints);
    }
}

static void check_damaged(const char *path, const char *bytes, size_t n)
{
    Gguf *g;
    write_bytes(path, bytes, n);
    Status s = gguf_open(&g, path);
    CHECK(s == OK || (s == ERR_DATA && !g && strstr(status_message(), path)));
    if (!s)
        touch_everything(g);
    gguf_close(&g);
}

TEST(gguf_damaged_files_end_with_a_sentence)
{
    enum { ROUNDS = 4000 };
    char *whole, *bytes;
    size_t n;
    REQUIRE_OK(file_read(&whole, &n, made(DATA), 1 << 20));
    REQUIRE((bytes = mem_alloc(n + 64)) != NULL);
    const char *path = path_of("x.gguf");
    for (uint32_t round = 0; round < ROUNDS; round++) { /* the first n: cut at every length */
        memcpy(bytes, whole, n);
        check_damaged(path, bytes, mutate(bytes, n, round));
    }
    for (size_t at = 0; at < n; at++)
        for (int bit = 0; bit < 8; bit += 7) {
            memcpy(bytes, whole, n);
            bytes[at] = (char)(bytes[at] ^ 1 << bit);
            check_damaged(path, bytes, n);
        }
    mem_free(whole);
    mem_free(bytes);
}

/* ---------------------------------------------------------------- writing that fails */

TEST(gguf_writer_reports_what_the_system_says)
{
    static const GgufSpec SPEC = {"a", GGUF_F16, 1, {3 << 19}}, SHORT = {"a", GGUF_F16, 1, {5}};
    GgufWriter *w;
    char wanted[1024], *megabytes = mem_alloc(3 << 20);
    const char *path = path_of("no/such/folder");
    REQUIRE(megabytes);
    snprintf(wanted, sizeof wanted, "%s: cannot be created: No such file or directory", path);
    CHECK_FAILS(gguf_create(&w, path), ERR_CREATE, wanted);
    CHECK(!w);
    REQUIRE_OK(gguf_create(&w, "/dev/full"));
    REQUIRE_OK(gguf_declare(w, &SPEC, 1));
    CHECK_FAILS(gguf_write(w, megabytes, 3 << 20), ERR_IO, "/dev/full: cannot be written: No space left on device");
    gguf_abandon(&w);
    path = path_of("short");
    REQUIRE_OK(gguf_create(&w, path));
    REQUIRE_OK(gguf_declare(w, &SHORT, 1));
    CHECK_OK(gguf_write(w, megabytes, 9));
    snprintf(wanted, sizeof wanted, "%s: the data of tensor 1 of 1 has 9 bytes, 10 are wanted", path);
    CHECK_FAILS(gguf_finish(&w), ERR_INTERNAL, wanted);
    CHECK(!w);
    REQUIRE_OK(gguf_create(&w, path));
    REQUIRE_OK(gguf_declare(w, &SHORT, 1));
    snprintf(wanted, sizeof wanted, "%s: more data than its 1 tensors have", path);
    CHECK_FAILS(gguf_write(w, megabytes, 11), ERR_INTERNAL, wanted);
    gguf_abandon(&w);
    REQUIRE_OK(gguf_create(&w, path));
    snprintf(wanted, sizeof wanted, "%s: tensor \"q\" is to be of Q8_0, but its rows are no multiple of 32", path);
    CHECK_FAILS(gguf_declare(w, &(GgufSpec){"q", GGUF_Q8_0, 2, {32, 33}}, 1), ERR_INTERNAL, wanted);
    gguf_abandon(&w);
    mem_free(megabytes);
}
