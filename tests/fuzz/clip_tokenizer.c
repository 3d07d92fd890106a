/* clip_tokenizer.c: the files of a CLIP tokenizer's folder, one of them replaced; the tokenizer is then used on a text. */
#include "data/text/clip_tokenizer.h"

#include <stdio.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

/* The first two belong together, the last takes their place where it is the replaced one. */
static const char *const FILES[] = {"vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json", NULL};
enum { WHOLE = 4 };
static FuzzWorld world;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    for (int i = 0; i < WHOLE; i++) {
        char from[128];
        snprintf(from, sizeof from, "tests/fixtures/clip_tokenizer/padded_with_mark/%s", FILES[i]);
        fuzz_copy(FILES[i], from);
    }
    fuzz_copy(FILES[WHOLE], "tests/fixtures/clip_tokenizer/one_file/tokenizer.json");
    fuzz_world(&world, FILES);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char text[] = "A photo, don't <|endoftext|> T2 w\xc3\xb6rld \xf0\x9f\x98\x80 \xff <|EndOfText|> 12 e\xcc\x81\xcc\x96";
    enum { LENGTH = 40 };
    int32_t id[LENGTH];
    ClipTokenizer *t;
    if (fuzz_replace(&world, data, n) == WHOLE)
        unlink(fuzz_path("vocab.json"));
    Status s = clip_tokenizer_open(&t, fuzz_path(""));
    fuzz_check(s);
    if (!s)
        fuzz_require(clip_tokenize(t, text, LENGTH, id));
    clip_tokenizer_close(&t);
    fuzz_put("vocab.json", world.bytes[0], world.n_bytes[0]);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed)
{
    return fuzz_world_mutate(&world, data, n, most, seed);
}
