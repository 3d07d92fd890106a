/* tokenizer.c: SentencePiece vocabularies: opened, and then used on a text, whose words may not become other pieces one by one. */
#include "data/text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/arena.h"
#include "tests/fuzz/fuzz.h"

enum { MOST = 256 };

static const char TEXT[] =
    "  Hello, <0x0A> w\xc3\xb6rld \xf0\x9f\x98\x80 \xff\xfe </s> \xe2\x96\x81 the e\xe2\x96 the ed aaaaaaaaaaaaaaaa ";

static int64_t encode(const Tokenizer *t, int32_t ids[MOST], uint32_t end[MOST])
{
    TokenizerOutput out = {.ids = ids, .end = end, .cap = MOST};
    return tokenizer_encode(t, TEXT, sizeof TEXT - 1, &out);
}

/* The vocabulary with one piece more, of three snowmen around a space mark, which lets it see texts whole; this text has no snowman. */
static void compare_with_whole(const uint8_t *data, size_t n, const int32_t *ids, const uint32_t *end, int64_t count)
{
    static const char PIECE[] = "\x0a\x0e\x0a\x0c\u2603\u2581\u2603\u2603";
    int32_t whole_ids[MOST];
    uint32_t whole_end[MOST];
    char *more = mem_alloc(n + sizeof PIECE);
    Tokenizer *t;
    if (!more)
        return;
    memcpy(more, data, n);
    memcpy(more + n, PIECE, sizeof PIECE - 1);
    if (!tokenizer_open(&t, fuzz_put("whole.model", more, n + sizeof PIECE - 1))) {
        const int64_t whole = encode(t, whole_ids, whole_end);
        const size_t kept = whole < 0 ? 0 : whole < MOST ? (size_t)whole : MOST;
        if (whole != count || memcmp(ids, whole_ids, kept * sizeof *ids) || memcmp(end, whole_end, kept * sizeof *end))
            abort();
    }
    tokenizer_close(&t);
    mem_free(more);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Tokenizer *t;
    Status s = tokenizer_open(&t, fuzz_put("tokenizer.model", data, n));
    fuzz_check(s);
    if (s)
        return 0;
    int32_t ids[MOST];
    uint32_t end[MOST];
    char decoded[1024];
    const int64_t k = encode(t, ids, end);
    if (k > 0)
        tokenizer_decode(t, ids, k < MOST ? k : MOST, decoded, sizeof decoded);
    for (int32_t id = -1; id < 300; id++)
        tokenizer_control(t, tokenizer_piece(t, id));
    compare_with_whole(data, n, ids, end, k);
    tokenizer_close(&t);
    return 0;
}
