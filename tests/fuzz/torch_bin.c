/* torch_bin.c: the reader of torch.save's files. An input that does not begin as a zip archive does is a pickle, which gets an archive
 * around it with a storage of 24 bytes: mutations of archives seldom reach the machine that runs pickles. */
#include "data/formats/torch_bin.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/arena.h"
#include "tests/fuzz/fuzz.h"

enum { MOST = 1 << 17, STORAGE = 24, ROWS_AT_ONCE = 2 };

static size_t put(uint8_t *out, size_t n, const void *bytes, size_t n_bytes)
{
    memcpy(out + n, bytes, n_bytes);
    return n + n_bytes;
}

static size_t put_number(uint8_t *out, size_t n, size_t value, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++)
        out[n++] = (uint8_t)(value >> 8 * i);
    return n;
}

/* What local header and directory say alike, from the version on. */
static size_t put_member(uint8_t *out, size_t n, const char *name, size_t size)
{
    static const uint8_t ZEROS[14];
    n = put(out, n, ZEROS, sizeof ZEROS);
    n = put_number(out, n, size, 4);
    n = put_number(out, n, size, 4);
    return put_number(out, n, strlen(name), 4);
}

/* The archive a/data.pkl, a/data/0 of that pickle. */
static size_t make_archive(uint8_t *out, const uint8_t *pickle, size_t n_pickle)
{
    static const uint8_t BYTES[STORAGE];
    const char *const names[] = {"a/data.pkl", "a/data/0"};
    const void *const data[] = {pickle, BYTES};
    const size_t sizes[] = {n_pickle, STORAGE};
    size_t n = 0, starts[2];
    for (int i = 0; i < 2; i++) {
        starts[i] = n;
        n = put(out, n, "PK\3\4", 4);
        n = put_member(out, n, names[i], sizes[i]);
        n = put(out, n, names[i], strlen(names[i]));
        n = put(out, n, data[i], sizes[i]);
    }
    const size_t directory = n;
    for (int i = 0; i < 2; i++) {
        n = put(out, n, "PK\1\2\0\0", 6);
        n = put_member(out, n, names[i], sizes[i]);
        n = put(out, n, "\0\0\0\0\0\0\0\0\0\0", 10);
        n = put_number(out, n, starts[i], 4);
        n = put(out, n, names[i], strlen(names[i]));
    }
    const size_t end = n;
    n = put(out, n, "PK\5\6\0\0\0\0\2\0\2\0", 12);
    n = put_number(out, n, end - directory, 4);
    n = put_number(out, n, directory, 4);
    return put(out, n, "\0\0", 2);
}

/* A few rows, wherever they are: views may have any number of them. */
static unsigned read_some(const StTensor *t, size_t n_file)
{
    const int64_t rows = t->n_dims ? t->shape[0] : 1;
    unsigned sum = 0;
    if (t->data && t->n_bytes > n_file)
        abort();
    if (!t->n_elems || t->n_bytes / (size_t)rows > MOST)
        return 0;
    const int64_t n = rows < ROWS_AT_ONCE ? rows : ROWS_AT_ONCE;
    const size_t n_bytes = t->n_bytes / (size_t)rows * (size_t)n;
    uint8_t *out = mem_alloc(n_bytes);
    if (!out)
        abort();
    for (int64_t at = 0; at <= rows - n; at += rows == n ? n : rows - n) {
        torch_bin_read(t, at, n, out);
        for (size_t i = 0; i < n_bytes; i++)
            sum += out[i];
    }
    mem_free(out);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static uint8_t archive[MOST + 1024];
    const bool is_archive = n >= 2 && !memcmp(data, "PK", 2);
    if (!is_archive && n > MOST)
        return 0;
    TorchBin *b;
    const size_t size = is_archive ? n : make_archive(archive, data, n);
    Status s = torch_bin_open(&b, fuzz_put("a.bin", is_archive ? data : archive, size));
    fuzz_check(s);
    if (s)
        return 0;
    unsigned sum = 0;
    for (int i = 0; i < torch_bin_count(b); i++) {
        const StTensor *t = torch_bin_at(b, i);
        if (torch_bin_find(b, t->name) != t)
            abort();
        sum += read_some(t, size);
    }
    volatile unsigned kept = sum;
    (void)kept;
    torch_bin_close(&b);
    return 0;
}
