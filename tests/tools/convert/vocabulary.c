/* vocabulary: tokens by id for other formats, and what these cannot hold. */
#include "tools/convert/vocabulary.h"

#include <stdio.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"

static const char *real(void) { return test_fixture("vocabulary/tokenizer.model"); }

TEST(vocabulary_has_pieces_fill_ins_and_added_tokens)
{
    static const char *const ADDED[] = {"[I2T]", "[PAD421]", "[IMG0]"};
    Vocabulary v;
    REQUIRE_OK(vocabulary_make(&v, real(), 423, ADDED, 3, "[PAD", "]"));
    CHECK(v.n_pieces == 420 && v.n_rows == 423 && v.n == 426 && v.info.bos == 1);
    CHECK_STR(v.token[0], "<unk>");
    CHECK_STR(v.token[261], "\u2581the");
    CHECK_STR(v.token[420], "[PAD420]");
    CHECK_STR(v.token[421], "[PAD421]_"); /* an added token is called so already */
    CHECK_STR(v.token[422], "[PAD422]");
    CHECK_STR(v.token[423], "[I2T]");
    CHECK_STR(v.token[425], "[IMG0]");
    CHECK(v.kind[0] == 2 && v.kind[1] == 3 && v.kind[3] == 6 && v.kind[261] == 1 && v.kind[420] == 5 && v.kind[423] == 3);
    CHECK(v.score[261] == -2 && v.score[420] == -1000 && v.score[425] == -1000);
    vocabulary_free(&v);
    CHECK(!v.token && !v.tokenizer);
}

#define CHECK_REFUSED(path, V, added, n, ...)                                                              \
    do {                                                                                                   \
        Vocabulary v_;                                                                                     \
        char wanted_[1024];                                                                                \
        snprintf(wanted_, sizeof wanted_, __VA_ARGS__);                                                    \
        CHECK_FAILS(vocabulary_make(&v_, path, V, added, n, "<unused", ">"), ERR_DATA, wanted_);           \
        CHECK(!v_.token && !v_.tokenizer);                                                                 \
    } while (0)

TEST(vocabulary_refuses_tokens_that_look_alike)
{
    static const char *const PIECE[] = {"[I2T]", "\u2581the"}, *const TWICE[] = {"[I2T]", "[T2I]", "[I2T]"};
    CHECK_REFUSED(real(), 419, NULL, 0,
                  "%s: 420 pieces, but the language model's config.json says vocab_size 419: they do not belong together", real());
    static const char *const EMPTY[] = {""};
    CHECK_REFUSED(real(), 420, EMPTY, 1, "the added token 420 has an empty text; model.tokens.task names such tokens");
    CHECK_REFUSED(real(), 420, PIECE, 2,
                  "the added token 421 is spelled \"\u2581the\", as piece 261 of %s is: it cannot be told from text; "
                  "model.tokens.task names such tokens", real());
    CHECK_REFUSED(
        real(), 420, TWICE, 3,
        "the added tokens 420 and 422 are both spelled \"[I2T]\": they cannot be told apart; model.tokens.task names such tokens");
}

/* The file with other bytes in the place of `at`, which is there once. */
static const char *changed(const char *fixture, const char *at, size_t n, size_t offset, const char *bytes, size_t n_bytes)
{
    static char path[256];
    char *model;
    size_t size;
    REQUIRE_OK(file_read(&model, &size, test_fixture(fixture), 1 << 20));
    char *found = memmem(model, size, at, n);
    REQUIRE(found);
    memcpy(found + offset, bytes, n_bytes);
    snprintf(path, sizeof path, "%s/changed.model", test_dir());
    REQUIRE_OK(file_write(path, model, size));
    mem_free(model);
    return path;
}

static const char WAY_OUT[] = "which only SentencePiece tokenises rightly: take --to peft or parts, which keep the vocabulary as it is";

TEST(vocabulary_refuses_pieces_that_others_treat_otherwise)
{
    CHECK_REFUSED(test_fixture("vocabulary/kinds.model"), 330, NULL, 0, "%s: piece 4, \"<sep>\", is user-defined, %s",
                  test_fixture("vocabulary/kinds.model"), WAY_OUT);
    /* An unused piece that nothing makes is harmless, "\u2581" and "he" make one that is not. */
    Vocabulary v;
    const char *path = changed("vocabulary/kinds.model", "<sep>", 5, 11, "\x05", 1);
    CHECK_OK(vocabulary_make(&v, path, 330, NULL, 0, "<unused", ">"));
    CHECK_INT(v.kind[4], 5);
    vocabulary_free(&v);
    path = changed("vocabulary/kinds.model", "<sep>", 5, 0, "\u2581he\x15\0\0\0\0\x18\x05", 12);
    CHECK_REFUSED(path, 330, NULL, 0, "%s: piece 4, \"\u2581he\", is unused, but made by merging others, %s", path, WAY_OUT);
    path = changed("vocabulary/kinds.model", "<sep>", 5, 0,
                   "s\xff"
                   "ep>\x15\0\0\0\0\x18\x01",
                   12);
    CHECK_REFUSED(path, 330, NULL, 0, "%s: piece 4, \"s\\xffep>\", is not UTF-8, %s", path, WAY_OUT);
}

TEST(vocabulary_for_llama_cpp)
{
    static const char *const GOOD[] = {"[I2T]"}, *const BAD[] = {"[I2T]", "[EOT]"};
    Vocabulary v;
    REQUIRE_OK(vocabulary_make(&v, real(), 420, GOOD, 1, "[PAD", "]"));
    CHECK_OK(vocabulary_check_llama_cpp(&v));
    vocabulary_free(&v);
    REQUIRE_OK(vocabulary_make(&v, real(), 420, BAD, 2, "[PAD", "]"));
    CHECK_FAILS(vocabulary_check_llama_cpp(&v), ERR_DATA,
                "the added token 421 is spelled \"[EOT]\", at which llama.cpp ends every answer: no gguf; "
                "model.tokens.task names such tokens");
    vocabulary_free(&v);
}
