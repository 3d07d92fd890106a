/* tokenizer.c: SentencePiece vocabularies: opened, and then used on a text. */
#include "data/text/tokenizer.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char text[] = "  Hello, <0x0A> w\xc3\xb6rld \xf0\x9f\x98\x80 \xff\xfe </s> aaaaaaaaaaaaaaaa";
    Tokenizer *t;
    Status s = tokenizer_open(&t, fuzz_put("tokenizer.model", data, n));
    fuzz_check(s);
    if (s)
        return 0;
    int32_t ids[256];
    uint32_t end[256];
    char decoded[1024];
    TokenizerOutput out = {.ids = ids, .end = end, .cap = 256};
    const int64_t k = tokenizer_encode(t, text, sizeof text - 1, &out);
    if (k > 0)
        tokenizer_decode(t, ids, k < 256 ? k : 256, decoded, sizeof decoded);
    for (int32_t id = -1; id < 300; id++)
        tokenizer_control(t, tokenizer_piece(t, id));
    tokenizer_close(&t);
    return 0;
}
