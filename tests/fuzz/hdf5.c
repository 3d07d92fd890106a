/* hdf5.c: the reader of HDF5 files, over more of their structures than a small shard has: arrays of many chunks and pages of chunks, many
 * names in a group, attributes within and beside their heap. The input is the file after a byte that is passed over. */
#include <stdio.h>
#include <string.h>

#include "data/formats/hdf5_read.h"
#include "kernels/base/arena.h"
#include "tests/fuzz/fuzz.h"

enum { USER_BLOCK = 512, PAGED = 1100 /* more chunks than a page has entries */, TEXT = 5000 /* beside the heap */ };
static const HdfArray ARRAYS[] = {{"/a/chunks", HDF_U16, 30, 3, 7, false}, {"/a/pages", HDF_U8, PAGED, 1, 1, true},
                                  {"/a/c2", HDF_U32, 9, 1, 9, true},       {"/a/c3", HDF_U8, 1, 1, 1, false},
                                  {"/a/c4", HDF_I64, 0, 1, 1, false},      {"/a/c5", HDF_U8, 1, 1, 1, false},
                                  {"/a/c6", HDF_F32, 4, 1, 3, true},       {"/a/c7", HDF_U8, 1, 1, 1, false},
                                  {"/a/c8", HDF_U8, 1, 1, 1, false},       {"/a/c9", HDF_U8, 1, 1, 1, false}};
static const char *const FILES[] = {"a.h5", NULL};
static FuzzWorld world;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static uint8_t numbers[PAGED];
    static char text[TEXT];
    char name[8];
    HdfFile *f;
    uint64_t at;
    (void)argc, (void)argv;
    fuzz_require(hdf_create(&f, fuzz_path(FILES[0]), USER_BLOCK));
    fuzz_require(hdf_group(f, "/a"));
    fuzz_require(hdf_reserve(f, "/a/reserved", 50, &at));
    for (size_t i = 0; i < sizeof ARRAYS / sizeof *ARRAYS; i++)
        fuzz_require(hdf_write(f, &ARRAYS[i], numbers));
    for (size_t n = 1; n < TEXT; n *= 4) {
        memset(text, 'x', n);
        snprintf(name, sizeof name, "t%zu", n);
        fuzz_require(hdf_set_text(f, "/", name, text));
    }
    memset(text, 'y', TEXT - 1);
    fuzz_require(hdf_set_text(f, "/", "long", text));
    fuzz_require(hdf_set_int(f, "/", "number", -7));
    fuzz_require(hdf_close(&f));
    fuzz_world(&world, FILES);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const TEXTS[] = {"t1", "t4", "t16", "t64", "t256", "t1024", "t4096", "long"};
    const HdfBytes bytes = {
        .data = n > 1 ? data + 1 : world.bytes[0], .n_bytes = n > 1 ? n - 1 : world.n_bytes[0], .user_block = USER_BLOCK};
    HdfTree *t;
    Status s = hdf_tree_read(&t, "a.h5", &bytes);
    fuzz_check(s);
    if (s)
        return 0;
    for (size_t i = 0; i < sizeof ARRAYS / sizeof *ARRAYS; i++) {
        void *numbers;
        s = hdf_read(t, &ARRAYS[i], &numbers);
        fuzz_check(s);
        if (!s)
            mem_free(numbers);
    }
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        char *text;
        s = hdf_get_text(t, TEXTS[i], &text);
        fuzz_check(s);
        if (!s)
            mem_free(text);
    }
    uint64_t at, length;
    int64_t number;
    fuzz_check(hdf_locate(t, "/a/reserved", &at, &length));
    fuzz_check(hdf_get_int(t, "number", &number));
    hdf_tree_free(&t);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed)
{
    return fuzz_world_mutate(&world, data, n, most, seed);
}
