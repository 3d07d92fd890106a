/* tokenizer: ids, offsets and texts equal to two other implementations; foreign and damaged models refused. */
#include "data/text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "kernels/base/arena.h"
#include "tests/data/mutate.h"
#include "tests/harness.h"

enum { MOST = 4096 };

static Tokenizer *opened(void)
{
    Tokenizer *t;
    REQUIRE_OK(tokenizer_open(&t, test_fixture("vocabulary/tokenizer.model")));
    return t;
}

static int64_t numbers(const Json *array, int32_t *out)
{
    int64_t n = 0;
    for (const Json *e = array->child; e; e = e->next)
        out[n++] = (int32_t)e->integer;
    return n;
}

static int64_t encode(const Tokenizer *t, const char *text, size_t n, int32_t *ids, uint32_t *end, int64_t cap)
{
    TokenizerOutput out = {.ids = ids, .end = end, .cap = cap};
    return tokenizer_encode(t, text, n, &out);
}

TEST(tokenizer_says_what_it_is)
{
    Tokenizer *t = opened();
    const TokenizerInfo *info = tokenizer_info(t);
    CHECK(info->n_pieces == 420 && info->unk == 0 && info->bos == 1 && info->eos == 2);
    CHECK(info->sha256[0] == 0x7c && info->sha256[1] == 0x70 && info->sha256[31] == 0xb0); /* sha256sum of the file */
    CHECK_STR(tokenizer_piece(t, 13), "<0x0A>");
    CHECK_STR(tokenizer_piece(t, 261), "\u2581the");
    CHECK_STR(tokenizer_piece(t, 420), "");
    CHECK_STR(tokenizer_piece(t, -1), "");
    tokenizer_close(&t);
    CHECK(!t);
}

TEST(tokenizer_tells_its_pieces)
{
    Tokenizer *t = opened();
    CHECK(tokenizer_info(t)->dummy_prefix);
    CHECK(tokenizer_kind(t, 0) == PIECE_UNKNOWN && tokenizer_kind(t, 1) == PIECE_CONTROL && tokenizer_kind(t, 2) == PIECE_CONTROL);
    CHECK(tokenizer_kind(t, 3) == PIECE_BYTE && tokenizer_kind(t, 258) == PIECE_BYTE && tokenizer_kind(t, 259) == PIECE_NORMAL);
    CHECK(tokenizer_score(t, 0) == 0 && tokenizer_score(t, 261) == -2 && tokenizer_score(t, 262) == -3);
    for (int32_t id = 0; id < tokenizer_info(t)->n_pieces; id++)
        CHECK_INT(tokenizer_find(t, tokenizer_piece(t, id), strlen(tokenizer_piece(t, id))), id);
    CHECK_INT(tokenizer_find(t, "\u2581the", 4), tokenizer_find(t, "\u2581t", 4)); /* of as many bytes */
    CHECK_INT(tokenizer_find(t, "nowhere", 7), -1);
    CHECK_INT(tokenizer_find(t, "", 0), -1);
    CHECK(tokenizer_control(t, "</s>") == 2 && tokenizer_control(t, "<unk>") == -1 && tokenizer_control(t, "the") == -1);
    tokenizer_close(&t);
}

TEST(tokenizer_tells_pieces_of_every_kind)
{
    char *model, path[256];
    size_t n;
    Tokenizer *t;
    REQUIRE_OK(tokenizer_open(&t, test_fixture("vocabulary/kinds.model")));
    CHECK(!tokenizer_info(t)->dummy_prefix);
    CHECK(tokenizer_kind(t, 3) == PIECE_CONTROL && tokenizer_kind(t, 4) == PIECE_USER && tokenizer_kind(t, 5) == PIECE_BYTE);
    CHECK_INT(tokenizer_find(t, "[INST]", 6), 3);
    tokenizer_close(&t);
    /* The user-defined piece becomes an unused one. */
    REQUIRE_OK(file_read(&model, &n, test_fixture("vocabulary/kinds.model"), 1 << 20));
    char *at = memmem(model, n, "<sep>", 5);
    REQUIRE(at && at[11] == PIECE_USER);
    at[11] = PIECE_UNUSED;
    snprintf(path, sizeof path, "%s/unused.model", test_dir());
    REQUIRE_OK(file_write(path, model, n));
    mem_free(model);
    REQUIRE_OK(tokenizer_open(&t, path));
    CHECK_INT(tokenizer_kind(t, 4), PIECE_UNUSED);
    tokenizer_close(&t);
}

TEST(tokenizer_equals_other_implementations)
{
    Tokenizer *t = opened();
    JsonDoc *d;
    REQUIRE_OK(json_read_file(&d, test_fixture("vocabulary/encodings.json")));
    int32_t ids[MOST], wanted[MOST], wanted_end[MOST];
    uint32_t end[MOST];
    char text[MOST];
    for (const Json *e = json_get(json_root(d), "texts")->child; e; e = e->next) {
        const Json *in = json_get(e, "text");
        int64_t n = encode(t, in->string, in->length, ids, end, MOST), n_wanted = numbers(json_get(e, "ids"), wanted);
        numbers(json_get(e, "end"), wanted_end);
        CHECK_INT(n, n_wanted);
        CHECK_MSG(n == n_wanted && !memcmp(ids, wanted, (size_t)n * 4), "other ids for \"%s\"", in->string);
        CHECK_MSG(n == n_wanted && !memcmp(end, wanted_end, (size_t)n * 4), "other offsets for \"%s\"", in->string);
        CHECK_INT(tokenizer_decode(t, wanted, n_wanted, text, MOST), strlen(text));
        CHECK_STR(text, json_get(e, "decoded")->string);
        tokenizer_decode(t, wanted, numbers(json_get(e, "mixed"), wanted), text, MOST);
        CHECK_STR(text, json_get(e, "mixed_decoded")->string);
    }
    json_free(&d);
    tokenizer_close(&t);
}

/* Words are remembered only where no piece spans two of them: here "▁a" of the vocabulary becomes "a▁". */
TEST(tokenizer_of_pieces_across_words_sees_whole_texts)
{
    static const char PIECE[] = "\x0a\x04\u2581"
                                "a",
                      ACROSS[] = "\x0a\x04"
                                 "a\u2581";
    char *model, path[256];
    size_t n;
    REQUIRE_OK(file_read(&model, &n, test_fixture("vocabulary/tokenizer.model"), 1 << 20));
    char *at = memmem(model, n, PIECE, sizeof PIECE - 1);
    REQUIRE(at);
    memcpy(at, ACROSS, sizeof ACROSS - 1);
    snprintf(path, sizeof path, "%s/across.model", test_dir());
    REQUIRE_OK(file_write(path, model, n));
    mem_free(model);
    Tokenizer *t;
    int32_t ids[16];
    uint32_t end[16];
    REQUIRE_OK(tokenizer_open(&t, path));
    CHECK_INT(encode(t, "a a", 3, ids, end, 16), 3);
    CHECK_STR(tokenizer_piece(t, ids[1]), "a\u2581");
    CHECK(end[0] == 0 && end[1] == 2 && end[2] == 3);
    tokenizer_close(&t);
}

TEST(tokenizer_counts_what_it_does_not_write)
{
    Tokenizer *t = opened();
    int32_t ids[4] = {0};
    uint32_t end[4] = {0};
    TokenizerOutput out = {.ids = ids, .end = end, .cap = 2, .after = 7};
    CHECK_INT(tokenizer_encode(t, "the red star", 12, &out), 3);
    CHECK_INT(out.n_after, 1); /* "▁star", which ends at 12; "▁red" ends at 7 */
    CHECK(end[0] == 3 && end[1] == 7 && ids[2] == 0 && end[2] == 0);
    out.after = -1;
    CHECK_INT(tokenizer_encode(t, "the red star", 12, &out), 3);
    CHECK_INT(out.n_after, 3);
    out.cap = 0;
    CHECK_INT(tokenizer_encode(t, "the red star", 12, &out), 3);
    /* The longest word, and one byte more. */
    size_t n = TOKENIZER_WORD_BYTES;
    char *text = mem_alloc(n + 5);
    memset(text, 'x', n + 5);
    memcpy(text, "red ", 4);
    CHECK(tokenizer_encode(t, text, n + 4, &out) > 2);
    CHECK_INT(tokenizer_encode(t, text, n + 5, &out), TOKENIZER_TOO_LONG);
    mem_free(text);
    tokenizer_close(&t);
}

TEST(tokenizer_edges_of_text)
{
    Tokenizer *t = opened();
    int32_t ids[16];
    uint32_t end[16];
    char text[16];
    CHECK_INT(encode(t, "", 0, ids, end, 16), 0);
    CHECK_INT(encode(t, "a\0b", 3, ids, end, 16), 3); /* nothing is cut at the NUL */
    CHECK(ids[1] == 3 && end[0] == 1 && end[1] == 2 && end[2] == 3);
    CHECK_INT(encode(t, "</s>", 4, ids, end, 16), 5); /* plain text, never the control piece */
    for (int i = 0; i < 5; i++)
        CHECK(ids[i] != 2);
    ids[0] = ids[1] = -1;
    CHECK_INT(encode(t, "</s>", 4, ids, end, 1), 5); /* only one is written */
    CHECK(ids[0] == 370 && ids[1] == -1);
    int32_t special[] = {1, 261, 2, 420, -200, 0, 266};
    CHECK_INT(tokenizer_decode(t, special, 7, text, 16), 6);
    CHECK_STR(text, "theand");
    CHECK_INT(tokenizer_decode(t, special, 7, text, 4), 6);
    CHECK_STR(text, "the");
    int32_t half[] = {243, 162, 13}; /* the start of a four-byte character */
    tokenizer_decode(t, half, 3, text, 16);
    CHECK_STR(text, "\uFFFD\uFFFD\n");
    tokenizer_close(&t);
}

TEST(tokenizer_refuses_other_models)
{
    static const char *const CASES[][2] = {
        {"unigram", "a unigram model, and only SentencePiece BPE (as Mistral's) is supported"},
        {"no_fallback", "a BPE model without byte fallback, which is not supported (train it with byte_fallback=true)"},
        {"normalising", "it normalises text (user_defined), which is not supported (train it with normalization_rule_name=identity)"},
        {"collapsing", "it collapses runs of spaces, which is not supported (train it with remove_extra_whitespaces=false)"},
    };
    Tokenizer *t;
    char wanted[1024], path[512];
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char name[64];
        snprintf(name, sizeof name, "vocabulary/%s.model", CASES[i][0]);
        snprintf(path, sizeof path, "%s", test_fixture(name));
        snprintf(wanted, sizeof wanted, "%s: %s", path, CASES[i][1]);
        CHECK_FAILS(tokenizer_open(&t, path), ERR_DATA, wanted);
        CHECK(!t);
    }
    snprintf(path, sizeof path, "%s/tokenizer.model", test_dir());
    snprintf(wanted, sizeof wanted, "%s: cannot be opened: No such file or directory", path);
    CHECK_FAILS(tokenizer_open(&t, path), ERR_MISSING, wanted);
    FILE *f = fopen(path, "w");
    REQUIRE(f && fputs("{\"version\": \"1.0\"}", f) >= 0 && !fclose(f));
    snprintf(wanted, sizeof wanted, "%s: not a SentencePiece model, or damaged", path);
    CHECK_FAILS(tokenizer_open(&t, path), ERR_DATA, wanted);
}

TEST(tokenizer_damaged_models_end_with_a_status)
{
    enum { ROUNDS = 3000, STRIDE = 7 };
    char *model, path[512];
    size_t n;
    REQUIRE_OK(file_read(&model, &n, test_fixture("vocabulary/tokenizer.model"), 1 << 20));
    snprintf(path, sizeof path, "%s/tokenizer.model", test_dir());
    char *damaged = mem_alloc(n + 64);
    int opened_anyway = 0;
    REQUIRE(damaged);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        memcpy(damaged, model, n);
        size_t m = mutate(damaged, n, round * STRIDE);
        unlink(path); /* replacing a file's contents in place makes some file systems flush to disk */
        FILE *f = fopen(path, "wb");
        REQUIRE(f && fwrite(damaged, 1, m, f) == m && !fclose(f));
        Tokenizer *t;
        Status s = tokenizer_open(&t, path);
        CHECK(s == OK || (s == ERR_DATA && !t && strstr(status_message(), path)));
        if (t) { /* a flipped bit in a piece: another vocabulary, but one that works */
            int32_t ids[64];
            uint32_t end[64];
            char text[64];
            int64_t k = encode(t, "What is the photo? \xF0\x9F\xA6\x99", 23, ids, end, 64);
            tokenizer_decode(t, ids, k < 0 ? 0 : k < 64 ? k : 64, text, 64);
            opened_anyway++;
        }
        tokenizer_close(&t);
    }
    CHECK(opened_anyway > 100);
    mem_free(damaged);
    mem_free(model);
}
