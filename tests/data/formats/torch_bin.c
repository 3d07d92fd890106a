/* torch_bin: what torch 2.15 saved is read as safetensors has it; pickles that want more are refused by name; folders by their index;
 * damage. tests/oracle/containers.py made the fixtures. */
#include "data/formats/torch_bin.h"

#include <stdio.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "tests/data/mutate.h"
#include "tests/harness.h"

static const char *fixture(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s", test_fixture("containers/"));
    snprintf(path + strlen(path), sizeof path - strlen(path), "%s", name);
    return path;
}

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

/* All of it, in pieces of `rows` rows. */
static void *read_rows(const StTensor *t, int64_t rows)
{
    const int64_t n = t->n_dims ? t->shape[0] : 1;
    char *out = mem_alloc(t->n_bytes + 1);
    REQUIRE(out);
    for (int64_t at = 0; at < n; at += rows)
        torch_bin_read(t, at, rows < n - at ? rows : n - at, out + (size_t)at * (t->n_bytes / (size_t)n));
    CHECK_INT(out[t->n_bytes], 0);
    return out;
}

TEST(torch_bin_reads_what_torch_saved)
{
    TorchBin *b;
    SafeTensors *wanted;
    int n_views = 0;
    REQUIRE_OK(torch_bin_open(&b, fixture("tensors.bin")));
    REQUIRE_OK(safetensors_open(&wanted, fixture("tensors.safetensors")));
    REQUIRE(torch_bin_count(b) == safetensors_count(wanted));
    for (int i = 0; i < torch_bin_count(b); i++) {
        const StTensor *t = torch_bin_at(b, i), *w = safetensors_at(wanted, i);
        CHECK_STR(t->name, w->name);
        CHECK(t->type == w->type && t->n_dims == w->n_dims && !memcmp(t->shape, w->shape, sizeof t->shape));
        REQUIRE(t->n_elems == w->n_elems && t->n_bytes == w->n_bytes && torch_bin_find(b, t->name) == t);
        CHECK_STR(t->file, fixture("tensors.bin"));
        CHECK(!t->data || !memcmp(t->data, w->data, w->n_bytes));
        n_views += !t->data;
        for (int64_t rows = 1; rows <= 3; rows++) {
            void *found = read_rows(t, rows);
            CHECK_MSG(!memcmp(found, w->data, w->n_bytes), "%s differs in pieces of %d rows", t->name, (int)rows);
            mem_free(found);
        }
        safetensors_release(t);
    }
    CHECK_INT(n_views, 5); /* transposed, slice, column, permuted, expanded */
    CHECK(torch_bin_find(b, "tied")->data == torch_bin_find(b, "whole")->data);
    CHECK(!torch_bin_find(b, "absent"));
    torch_bin_close(&b);
    CHECK(!b);
    safetensors_close(&wanted);
}

TEST(torch_bin_passes_over_what_is_no_tensor)
{
    static const char *const NAMES[] = {"mixed.bin", "zip64.bin"};
    for (int i = 0; i < 2; i++) {
        TorchBin *b;
        REQUIRE_OK(torch_bin_open(&b, fixture(NAMES[i])));
        REQUIRE(torch_bin_count(b) == 1);
        const float *ones = read_rows(torch_bin_find(b, "weight"), 2);
        CHECK(ones[0] == 1 && ones[1] == 1);
        mem_free((void *)(uintptr_t)ones);
        torch_bin_close(&b);
    }
}

TEST(torch_bin_refuses_by_name)
{
    static const struct {
        const char *name, *says;
    } CASES[] = {
        {"calls.bin", "refused: it names posix.system, which a file of tensors does not need"},
        {"module.bin", "refused: it names torch.nn.modules.linear.Linear, which a file of tensors does not need"},
        {"negated.bin", "refused: its pickle has a tensor that is more than its numbers (a negated or conjugated view)"},
        {"protocol4.bin", "refused: its pickle is of protocol 4; torch.save writes 2"},
        {"old.bin", "not a zip archive, as torch.save writes since 1.6: save it again with a newer torch, or as safetensors"},
        {"pickle.bin", "not a zip archive, as torch.save writes since 1.6: save it again with a newer torch, or as safetensors"},
        {"nested.bin", "no tensor in its dictionary; those under \"model\" are not looked for: save that part alone"},
        {"empty.bin", "no tensor in its dictionary"},
        {"list.bin", "holds something other than one dictionary of tensors"},
    };
    TorchBin *b;
    char wanted[1024];
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        snprintf(wanted, sizeof wanted, "%s: %s", fixture(CASES[i].name), CASES[i].says);
        CHECK_FAILS(torch_bin_open(&b, fixture(CASES[i].name)), ERR_DATA, wanted);
        CHECK(!b);
    }
    const char *path = fixture("deflated.bin");
    REQUIRE(torch_bin_open(&b, path) == ERR_DATA);
    CHECK(strstr(status_message(), "data.pkl\": is compressed; torch.save stores: save it again, or as safetensors"));
    snprintf(wanted, sizeof wanted, "%s: is a folder, expected a file of torch.save", test_dir());
    CHECK_FAILS(torch_bin_open(&b, test_dir()), ERR_MISSING, wanted);
}

/* ---------------------------------------------------------------- archives put together by hand */

enum { MAX_ARCHIVE = 6 << 20 };
typedef struct Hand {
    uint8_t bytes[MAX_ARCHIVE], directory[4096];
    size_t n, n_directory;
    int n_members;
} Hand;

static void put(uint8_t *bytes, size_t *n, uint64_t value, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++)
        bytes[(*n)++] = (uint8_t)(value >> 8 * i);
}

static void put_bytes(uint8_t *bytes, size_t *n, const void *from, size_t size)
{
    memcpy(bytes + *n, from, size);
    *n += size;
}

static void add_member(Hand *h, const char *name, const void *data, size_t size)
{
    const size_t local = h->n;
    put_bytes(h->bytes, &h->n, "PK\3\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 18);
    put_bytes(h->directory, &h->n_directory, "PK\1\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    for (int i = 0; i < 2; i++) {
        put(h->bytes, &h->n, size, 4);
        put(h->directory, &h->n_directory, size, 4);
    }
    put(h->bytes, &h->n, strlen(name), 4);
    put_bytes(h->bytes, &h->n, name, strlen(name));
    put_bytes(h->bytes, &h->n, data, size);
    put(h->directory, &h->n_directory, strlen(name), 2);
    put(h->directory, &h->n_directory, 0, 8);
    put(h->directory, &h->n_directory, 0, 4);
    put(h->directory, &h->n_directory, local, 4);
    put_bytes(h->directory, &h->n_directory, name, strlen(name));
    h->n_members++;
}

static const char *finish(Hand *h)
{
    const size_t start = h->n;
    put_bytes(h->bytes, &h->n, h->directory, h->n_directory);
    put_bytes(h->bytes, &h->n, "PK\5\6\0\0\0\0", 8);
    put(h->bytes, &h->n, (uint64_t)h->n_members, 2);
    put(h->bytes, &h->n, (uint64_t)h->n_members, 2);
    put(h->bytes, &h->n, h->n_directory, 4);
    put(h->bytes, &h->n, start, 4);
    put(h->bytes, &h->n, 0, 2);
    const char *path = path_of("hand.bin");
    write_bytes(path, h->bytes, h->n);
    return path;
}

#define STORAGE "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" "0X\3\0\0\0cpuK\6tQ"
#define TENSOR(numbers) "ctorch._utils\n_rebuild_tensor_v2\n(" STORAGE numbers "\x89" "}tR"
#define DICT_OF(value) "\x80\2}X\1\0\0\0w" value "s."
#define OF(literal) literal, sizeof literal - 1

/* An archive of that pickle and a storage of 24 bytes. */
static const char *of_pickle(const char *pickle, size_t n)
{
    static const float SIX[6] = {0, 1, 2, 3, 4, 5};
    Hand *h = mem_alloc(sizeof *h);
    REQUIRE(h);
    add_member(h, "a/data.pkl", pickle, n);
    add_member(h, "a/data/0", SIX, sizeof SIX);
    const char *path = finish(h);
    mem_free(h);
    return path;
}

TEST(torch_bin_checks_every_view)
{
    static const struct {
        const char *pickle;
        size_t n;
        const char *says;
    } CASES[] = {
        {OF(DICT_OF(TENSOR("K\0K\2K\4\x86K\4K\1\x86"))), "tensor \"w\": it reaches beyond its storage"},
        {OF(DICT_OF(TENSOR("K\1K\2K\3\x86K\3K\1\x86"))), "tensor \"w\": it reaches beyond its storage"},
        {OF(DICT_OF(TENSOR("J\xff\xff\xff\xffK\1\x85K\1\x85"))), "tensor \"w\": it reaches beyond its storage"},
        {OF(DICT_OF(TENSOR("K\0K\2K\2\x86\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x86"))),
         "tensor \"w\": it reaches beyond its storage"},
        {OF(DICT_OF(TENSOR("K\5K\2\x85J\xff\xff\xff\xff\x85"))), "tensor \"w\": its shape or stride is negative"},
        {OF(DICT_OF(TENSOR("K\0J\xff\xff\xff\xff\x85K\1\x85"))), "tensor \"w\": its shape or stride is negative"},
        {OF(DICT_OF(TENSOR("K\0\x8a\x08\0\0\0\0\0\0\0\x40K\4\x86K\0K\0\x86"))),
         "tensor \"w\": its shape has more elements than 64 bits can count"},
        {OF(DICT_OF(TENSOR("K\0\x8a\x08\0\0\0\0\0\0\0\x40\x85K\0\x85"))), "tensor \"w\": its shape has more bytes than 64 bits can count"},
        {OF(DICT_OF(TENSOR("K\0K\6\x85)"))), "refused: its pickle calls _rebuild_tensor_v2 with other things than torch does"},
        {OF(DICT_OF(TENSOR("K\0(K\1K\1K\1K\1K\1K\1K\1K\1K\1t(K\1K\1K\1K\1K\1K\1K\1K\1K\1t"))),
         "a tensor in it has 9 dimensions, at most 8 are supported"},
        {OF(DICT_OF(TENSOR("K\0N\x85K\1\x85"))), "refused: its pickle has a shape or stride that is no integer"},
        {OF("\x80\2}(K\1" TENSOR("K\0))") ")u."), "refused: its pickle adds to what is no list or dictionary"},
        {OF("\x80\2}K\1" TENSOR("K\0))") "s."), "a tensor in it has no name"},
        {OF("\x80\2}(X\1\0\0\0w" TENSOR("K\0))") "X\1\0\0\0w" TENSOR("K\0))") "u."), "tensor \"w\" stands in %s too"},
    };
    TorchBin *b;
    char wanted[2048], says[1024];
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const char *path = of_pickle(CASES[i].pickle, CASES[i].n), *same = strstr(CASES[i].says, "%s");
        snprintf(says, sizeof says, "%.*s%s%s", same ? (int)(same - CASES[i].says) : 1000, CASES[i].says, same ? path : "",
                 same ? same + 2 : "");
        snprintf(wanted, sizeof wanted, "%s: %s", path, says);
        CHECK_FAILS(torch_bin_open(&b, path), ERR_DATA, wanted);
        CHECK(!b);
    }
    REQUIRE_OK(torch_bin_open(&b, of_pickle(OF(DICT_OF(TENSOR("K\1K\2K\2\x86K\1K\3\x86"))))));
    float *t = read_rows(torch_bin_find(b, "w"), 1);
    CHECK(t[0] == 1 && t[1] == 4 && t[2] == 2 && t[3] == 5);
    mem_free(t);
    torch_bin_close(&b);
}

TEST(torch_bin_runs_no_other_opcodes)
{
    static const struct {
        const char *pickle;
        size_t n;
        const char *says;
    } CASES[] = {
        {OF("\x80\2cos\nsystem\n."), "refused: it names os.system, which a file of tensors does not need"},
        {OF("\x80\2X\2\0\0\0osX\6\0\0\0system\x93."),
         "refused: its pickle has the opcode 0x93 (STACK_GLOBAL), which a file of tensors does not need"},
        {OF("\x80\2(ios\nsystem\n."), "refused: its pickle has the opcode 0x69 (INST), which a file of tensors does not need"},
        {OF("\x80\2}}\x81."), "refused: its pickle has the opcode 0x81 (NEWOBJ), which a file of tensors does not need"},
        {OF("\x80\2}0."), "refused: its pickle has the opcode 0x30, which a file of tensors does not need"},
        {OF("}."), "refused: its pickle does not begin with its protocol"},
        {OF(""), "refused: its pickle does not begin with its protocol"},
        {OF("\x80\2}"), "refused: its pickle is cut short"},
        {OF("\x80\2X\xff\xff\xff\xff."), "refused: its pickle is cut short"},
        {OF("\x80\2ctorch\nFloat"), "refused: its pickle is cut short"},
        {OF("\x80\2}.}"), "refused: its pickle goes on behind its end"},
        {OF("\x80\2."), "holds something other than one dictionary of tensors"},
        {OF("\x80\2}}."), "holds something other than one dictionary of tensors"},
        {OF("\x80\2s."), "refused: its pickle takes a value from an empty stack"},
        {OF("\x80\2}(s."), "refused: its pickle takes a value from an empty stack"},
        {OF("\x80\2}u."), "refused: its pickle takes values down to a mark that is not there"},
        {OF("\x80\2}(Nu."), "refused: its pickle adds to what is no list or dictionary"},
        {OF("\x80\2]NNs."), "refused: its pickle adds to what is no list or dictionary"},
        {OF("\x80\2}h\1."), "refused: its pickle recalls a value that it has not remembered"},
        {OF("\x80\2}r\x40\x42\x0f\0."), "refused: its pickle remembers more than 1000000 values"},
        {OF("\x80\2\x8a\x09" "123456789."), "refused: its pickle has an integer of more than 64 bits"},
        {OF("\x80\2ctorch\nFloatStorage\n)R."), "refused: its pickle calls torch.FloatStorage"},
        {OF("\x80\2N)R."), "refused: its pickle calls what has no name"},
        {OF("\x80\2ccollections\nOrderedDict\n(NtR."), "refused: its pickle calls OrderedDict with arguments"},
        {OF("\x80\2ctorch._utils\n_rebuild_parameter\n(NN}tR."),
         "refused: its pickle calls _rebuild_parameter with other things than torch does"},
        {OF("\x80\2NQ."), "refused: its pickle has a persistent id that is no storage of a tensor"},
        {OF("\x80\2}}X\1\0\0\0aNsb."), "refused: its pickle gives an object another state than a state_dict's _metadata"},
        {OF("\x80\2]q\0h\0a."), "holds something other than one dictionary of tensors"},
    };
    TorchBin *b;
    char wanted[1024], deep[200];
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const char *path = of_pickle(CASES[i].pickle, CASES[i].n);
        snprintf(wanted, sizeof wanted, "%s: %s", path, CASES[i].says);
        CHECK_FAILS(torch_bin_open(&b, path), ERR_DATA, wanted);
        CHECK(!b);
    }
    memset(deep, '\x85', sizeof deep);
    memcpy(deep, "\x80\2)", 3);
    const char *path = of_pickle(deep, sizeof deep);
    snprintf(wanted, sizeof wanted, "%s: refused: its pickle nests values more than 64 deep", path);
    CHECK_FAILS(torch_bin_open(&b, path), ERR_DATA, wanted);
}

/* Lists by the million, each of a byte. */
TEST(torch_bin_limits_what_a_pickle_makes)
{
    enum { LISTS = 900000, ROUNDS = 6, ROUND = LISTS + 2 };
    TorchBin *b;
    char wanted[1024], *pickle = mem_alloc(3 + (size_t)ROUND * ROUNDS + 1);
    REQUIRE(pickle);
    memset(pickle, ']', 3 + (size_t)ROUND * ROUNDS);
    memcpy(pickle, "\x80\2]", 3);
    for (size_t i = 0; i < ROUNDS; i++) {
        pickle[3 + i * ROUND] = '(';
        pickle[3 + (i + 1) * ROUND - 1] = 'e';
    }
    const char *path = of_pickle(pickle, 3 + (size_t)ROUND * ROUNDS);
    snprintf(wanted, sizeof wanted, "%s: refused: its pickle makes more values than 256 MiB hold", path);
    CHECK_FAILS(torch_bin_open(&b, path), ERR_DATA, wanted);
    memset(pickle + 3, '(', 1000000);
    path = of_pickle(pickle, 3 + 1000000);
    snprintf(wanted, sizeof wanted, "%s: refused: its pickle has more than 1000000 values on its stack", path);
    CHECK_FAILS(torch_bin_open(&b, path), ERR_DATA, wanted);
    mem_free(pickle);
}

TEST(torch_bin_archives_that_disagree_with_themselves)
{
    static const char PICKLE[] = DICT_OF(TENSOR("K\0K\6\x85K\1\x85"));
    static const float SIX[6] = {0};
    enum { FIRST = 30 + 10 + sizeof PICKLE - 1 }; /* where the second member begins */
    static const struct {
        size_t at; /* of the file, or from its end */
        bool from_end;
        uint8_t to;
        const char *says;
    } CASES[] = {
        {0, false, 'p', "not a zip archive, as torch.save writes since 1.6: save it again with a newer torch, or as safetensors"},
        {FIRST, false, 'p', "member \"a/data/0\": does not begin where the zip directory says"},
        {FIRST + 8, false, 8, "member \"a/data/0\": its header and the zip directory differ"},
        {FIRST + 18, false, 23, "member \"a/data/0\": its header and the zip directory differ"},
        {FIRST + 30, false, 'b', "member \"a/data/0\": its header and the zip directory differ"},
        {FIRST + 29, false, 1, "member \"a/data/0\": its data goes beyond the zip directory (is the file damaged?)"},
        {22, true, 'p', "does not end as a zip archive does (is it cut short?)"},
        {2, true, 1, "does not end as a zip archive does (is it cut short?)"},
        {3, true, 1, "its zip directory goes beyond the end of the file (is it cut short?)"},
        {22 + 8 + 46, true, 'p', "its zip directory is damaged: an entry does not begin as it should"},
        {11, true, 1, "announces 258 members; 1000000 are allowed, and its zip directory must have room for them"},
        {22 + 8 + 46 - 42, true, 1, "member \"a/data/0\": does not begin where the zip directory says"},
        {22 + 8 + 46 - 8, true, 1, "member \"a/data/0\": is encrypted"},
        {22 + 8 + 46 - 10, true, 8, "member \"a/data/0\": is compressed; torch.save stores: save it again, or as safetensors"},
        {22 + 8 + 46 - 20, true, 23, "member \"a/data/0\": its two sizes in the zip directory differ, though it is not compressed"},
        {22 + 8 + 46 - 28, true, 200, "its zip directory is damaged: an entry goes beyond its end"},
    };
    TorchBin *b;
    char wanted[1024];
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Hand *h = mem_alloc(sizeof *h);
        REQUIRE(h);
        add_member(h, "a/data.pkl", PICKLE, sizeof PICKLE - 1);
        add_member(h, "a/data/0", SIX, sizeof SIX);
        const char *path = finish(h);
        if (i == 0) {
            REQUIRE_OK(torch_bin_open(&b, path));
            torch_bin_close(&b);
        }
        h->bytes[CASES[i].from_end ? h->n - CASES[i].at : CASES[i].at] = CASES[i].to;
        write_bytes(path, h->bytes, h->n);
        snprintf(wanted, sizeof wanted, "%s: %s", path, CASES[i].says);
        CHECK_FAILS(torch_bin_open(&b, path), ERR_DATA, wanted);
        CHECK(!b);
        mem_free(h);
    }
}

TEST(torch_bin_members_that_are_missing_or_too_many)
{
    static const char PICKLE[] = DICT_OF(TENSOR("K\0K\6\x85K\1\x85"));
    static const float SIX[7] = {0};
    static const struct {
        const char *names[4];
        const char *data[4];
        size_t n[4];
        const char *says;
    } CASES[] = {
        {{"data.pkl"}, {PICKLE}, {sizeof PICKLE - 1}, "a zip archive, but none of torch.save: no member of it is called NAME/data.pkl"},
        {{"a/b/data.pkl"}, {PICKLE}, {1}, "a zip archive, but none of torch.save: no member of it is called NAME/data.pkl"},
        {{"a/data.pkl", "b/data.pkl"}, {PICKLE, PICKLE}, {1, 1}, "two members of it are called data.pkl"},
        {{"a/data.pkl", "a/data.pkl"}, {PICKLE, PICKLE}, {1, 1}, "two of its members are called \"a/data.pkl\""},
        {{"a/data.pkl"}, {PICKLE}, {sizeof PICKLE - 1}, "tensor \"w\": its storage is not in the archive"},
        {{"a/data.pkl", "b/data/0"}, {PICKLE, (const char *)SIX}, {sizeof PICKLE - 1, 24},
         "tensor \"w\": its storage is not in the archive"},
        {{"a/data.pkl", "a/data/0"}, {PICKLE, (const char *)SIX}, {sizeof PICKLE - 1, 20},
         "tensor \"w\": its storage has 20 bytes, expected 6 elements of F32"},
        {{"a/data.pkl", "a/data/0"}, {PICKLE, (const char *)SIX}, {sizeof PICKLE - 1, 25},
         "tensor \"w\": its storage has 25 bytes, expected 6 elements of F32"},
        {{"a/data.pkl", "a/data/0", "a/byteorder"}, {PICKLE, (const char *)SIX, "big"}, {sizeof PICKLE - 1, 24, 3},
         "its byte order is \"big\", and only \"little\" is read"},
    };
    TorchBin *b;
    char wanted[1024];
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Hand *h = mem_alloc(sizeof *h);
        REQUIRE(h);
        for (int k = 0; CASES[i].names[k]; k++)
            add_member(h, CASES[i].names[k], CASES[i].data[k], CASES[i].n[k]);
        const char *path = finish(h);
        snprintf(wanted, sizeof wanted, "%s: %s", path, CASES[i].says);
        CHECK_FAILS(torch_bin_open(&b, path), ERR_DATA, wanted);
        CHECK(!b);
        mem_free(h);
    }
}

TEST(torch_bin_folders)
{
    static const char INDEX[] =
        "{\"weight_map\":{\"w\":\"pytorch_model-00001-of-00002.bin\",\"weight\":\"pytorch_model-00002-of-00002.bin\"}}";
    TorchBin *b;
    char wanted[1024], one[512];
    snprintf(wanted, sizeof wanted, "%s: neither pytorch_model.bin nor pytorch_model.bin.index.json in it", test_dir());
    CHECK_FAILS(torch_bin_open_folder(&b, test_dir(), "pytorch_model"), ERR_MISSING, wanted);
    snprintf(one, sizeof one, "%s", of_pickle(OF(DICT_OF(TENSOR("K\0K\6\x85K\1\x85")))));
    REQUIRE_OK(file_copy(one, path_of("pytorch_model-00001-of-00002.bin")));
    write_bytes(path_of("pytorch_model.bin.index.json"), INDEX, strlen(INDEX));
    snprintf(wanted, sizeof wanted, "%s/pytorch_model-00002-of-00002.bin: cannot be opened: No such file or directory "
                                    "(%s/pytorch_model.bin.index.json puts tensor \"weight\" there)",
             test_dir(), test_dir());
    CHECK_FAILS(torch_bin_open_folder(&b, test_dir(), "pytorch_model"), ERR_MISSING, wanted);
    REQUIRE_OK(file_copy(one, path_of("pytorch_model-00002-of-00002.bin")));
    Status s = torch_bin_open_folder(&b, test_dir(), "pytorch_model");
    CHECK(s == ERR_DATA && strstr(status_message(), "tensor \"w\" stands in"));
    REQUIRE_OK(file_copy(fixture("mixed.bin"), path_of("pytorch_model-00002-of-00002.bin")));
    REQUIRE_OK(torch_bin_open_folder(&b, test_dir(), "pytorch_model"));
    CHECK_INT(torch_bin_count(b), 2);
    CHECK_STR(torch_bin_find(b, "weight")->file, path_of("pytorch_model-00002-of-00002.bin"));
    torch_bin_close(&b);
    REQUIRE_OK(file_copy(one, path_of("pytorch_model.bin"))); /* a single file wins over an index */
    REQUIRE_OK(torch_bin_open_folder(&b, test_dir(), "pytorch_model"));
    CHECK_INT(torch_bin_count(b), 1);
    torch_bin_close(&b);
}

/* ---------------------------------------------------------------- damage */

static void check_damaged(const char *path, const char *bytes, size_t n)
{
    enum { MOST = 1 << 20 };
    TorchBin *b;
    write_bytes(path, bytes, n);
    Status s = torch_bin_open(&b, path);
    CHECK(s == OK || (s == ERR_DATA && !b && strstr(status_message(), path)));
    for (int i = 0; !s && i < torch_bin_count(b); i++) {
        const StTensor *t = torch_bin_at(b, i);
        if (t->n_bytes < MOST)
            mem_free(read_rows(t, 2));
    }
    torch_bin_close(&b);
}

static void damage(const char *fixture_path, uint32_t rounds)
{
    char *whole, *bytes;
    size_t n;
    REQUIRE_OK(file_read(&whole, &n, fixture_path, 1 << 20));
    REQUIRE((bytes = mem_alloc(n + 64)) != NULL);
    const char *path = path_of("x.bin");
    for (uint32_t round = 0; round < n + rounds; round++) { /* the first n: cut at every length */
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

TEST(torch_bin_damaged_files_end_with_a_sentence) { damage(fixture("mixed.bin"), 2000); }
TEST(torch_bin_damaged_views_end_with_a_sentence) { damage(fixture("tensors.bin"), 500); }
