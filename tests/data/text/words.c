/* words: a tokenizer that remembers words gives the pieces of one that sees whole texts, whatever the text and the vocabulary. */
#include "data/text/words.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>

#include "data/formats/file.h"
#include "data/text/tokenizer.h"
#include "kernels/base/arena.h"
#include "kernels/base/philox.h"
#include "tests/harness.h"

enum { ROOM = 1 << 20, MOST_TEXT = 512, MOST_PIECES = 4 * MOST_TEXT };

/* A vocabulary as its file has it, which pieces are added to. */
typedef struct Model {
    char bytes[ROOM];
    size_t n;
} Model;

static void read_model(Model *m, const char *fixture)
{
    char *bytes;
    REQUIRE_OK(file_read(&bytes, &m->n, test_fixture(fixture), ROOM / 2));
    memcpy(m->bytes, bytes, m->n);
    mem_free(bytes);
}

/* As sentencepiece_model.proto has them: field 1 a message of piece, score and type. */
static void add_piece(Model *m, const char *piece, float score, PieceKind kind)
{
    const size_t n = strlen(piece);
    char head[4] = {0x0A, (char)(n + 9), 0x0A, (char)n}, tail[7] = {0x15, 0, 0, 0, 0, 0x18, (char)kind};
    memcpy(tail + 1, &score, sizeof score);
    memcpy(m->bytes + m->n, head, sizeof head);
    memcpy(m->bytes + m->n + sizeof head, piece, n);
    memcpy(m->bytes + m->n + sizeof head + n, tail, sizeof tail);
    m->n += sizeof head + n + sizeof tail;
}

static Tokenizer *open_model(const Model *m)
{
    Tokenizer *t;
    char path[512];
    snprintf(path, sizeof path, "%s/test.model", test_dir());
    REQUIRE_OK(file_write(path, m->bytes, m->n));
    REQUIRE_OK(tokenizer_open(&t, path));
    return t;
}

/* Whether words are remembered shows in what a long text may hold: each of its words is short. */
static bool remembers(const Tokenizer *t)
{
    const size_t n = TOKENIZER_WORD_BYTES + 2;
    char *text = mem_alloc(n);
    REQUIRE(text);
    memset(text, ' ', n);
    for (size_t i = 0; i < n; i += 2)
        text[i] = 'a';
    TokenizerOutput none = {.ids = NULL};
    const int64_t count = tokenizer_encode(t, text, n, &none);
    CHECK(count > 0 || count == TOKENIZER_TOO_LONG);
    mem_free(text);
    return count > 0;
}

static size_t make_text(char text[MOST_TEXT], const Tokenizer *t, uint32_t number)
{
    static const char *const PARTS[] = {" ",
                                        "  ",
                                        "    ",
                                        "\u2581",
                                        "\u2581\u2581",
                                        "\xE2\x96",
                                        "\xE2",
                                        "\x81",
                                        "\xF0\x9F\xA6\x99",
                                        "\xFF",
                                        "\xC0\x80",
                                        "\xED\xA0\x80",
                                        "\n",
                                        "\r\n",
                                        "\uFFFD",
                                        "\u00A0",
                                        "\u3000",
                                        "</s>",
                                        "<unk>",
                                        "<sep>",
                                        "red",
                                        "Gr\u00F6\u00DFe",
                                        "\u4E2D\u6587",
                                        "\u2580",
                                        "a",
                                        "photo?",
                                        "aaaaaaaaaaaaaaaaaaaaaaaa"};
    enum { N_PARTS = sizeof PARTS / sizeof *PARTS };
    size_t n = 0;
    const uint32_t parts = philox4x32(11, number, 0, 0, 0).v[0] % 24;
    for (uint32_t i = 1; i <= parts; i++) {
        const Philox4 r = philox4x32(11, number, i, 0, 0);
        char byte[2] = {(char)r.v[1], 0};
        const char *part = r.v[0] % 4 == 0   ? PARTS[r.v[1] % N_PARTS]
                           : r.v[0] % 4 == 1 ? tokenizer_piece(t, (int32_t)(r.v[1] % (uint32_t)tokenizer_info(t)->n_pieces))
                           : r.v[0] % 4 == 2 ? byte
                                             : " ";
        size_t k = *part ? strlen(part) : 1; /* or a NUL */
        if (n + k > MOST_TEXT)
            break;
        memcpy(text + n, part, k);
        n += k;
    }
    return n;
}

/* A tokenizer, and one of the same vocabulary that sees every text whole. */
typedef struct Pair {
    Tokenizer *t, *whole;
} Pair;

/* NULL, or a text that becomes other pieces. */
static void *compare_texts(void *pair)
{
    enum { TEXTS = 6000 };
    static _Thread_local char text[MOST_TEXT + 1];
    const Pair *p = pair;
    int32_t ids[2][MOST_PIECES];
    uint32_t end[2][MOST_PIECES];
    for (uint32_t k = 0; k < TEXTS; k++) {
        const size_t n = make_text(text, p->t, k);
        TokenizerOutput a = {ids[0], end[0], MOST_PIECES, (int64_t)(n / 2), 0}, b = {ids[1], end[1], MOST_PIECES, (int64_t)(n / 2), 0};
        const int64_t found = tokenizer_encode(p->t, text, n, &a), all = tokenizer_encode(p->whole, text, n, &b);
        if (all < 0 || all > MOST_PIECES || found != all || a.n_after != b.n_after || memcmp(ids[0], ids[1], (size_t)all * sizeof **ids) ||
            memcmp(end[0], end[1], (size_t)all * sizeof **end))
            return text;
    }
    return NULL;
}

/* A piece that crosses words, and that no merge can reach, lets the same vocabulary see texts whole. */
static void open_pair(Pair *p, Model *m, bool wanted, const char *what)
{
    p->t = open_model(m);
    add_piece(m, "\u2603\u2581\u2603\u2603\u2603", -1e9f, PIECE_NORMAL);
    p->whole = open_model(m);
    CHECK_MSG(remembers(p->t) == wanted && !remembers(p->whole), "%s: words are%s remembered", what, wanted ? " not" : "");
}

static void close_pair(Pair *p)
{
    tokenizer_close(&p->t);
    tokenizer_close(&p->whole);
}

static void check_against_whole(Model *m, bool wanted, const char *what)
{
    Pair p;
    open_pair(&p, m, wanted, what);
    const char *other = compare_texts(&p);
    CHECK_MSG(!other, "%s: other pieces of \"%s\"", what, other);
    close_pair(&p);
}

static Model model;

TEST(words_one_by_one_are_the_whole_text)
{
    static const char *const FIXTURES[] = {"vocabulary/tokenizer.model", "parity/bases/llm-llama/tokenizer.model"};
    for (size_t i = 0; i < sizeof FIXTURES / sizeof *FIXTURES; i++) {
        read_model(&model, FIXTURES[i]);
        check_against_whole(&model, true, FIXTURES[i]);
    }
}

TEST(words_are_shared_by_threads)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    Pair p;
    read_model(&model, "vocabulary/tokenizer.model");
    open_pair(&p, &model, true, "threads");
    for (int i = 0; i < THREADS; i++)
        REQUIRE(!pthread_create(&threads[i], NULL, compare_texts, &p));
    for (int i = 0; i < THREADS; i++) {
        void *other;
        REQUIRE(!pthread_join(threads[i], &other));
        CHECK(!other);
    }
    close_pair(&p);
}

TEST(words_with_pieces_of_other_kinds_and_equal_scores)
{
    read_model(&model, "vocabulary/tokenizer.model");
    add_piece(&model, "[INST] [/INST]", 0, PIECE_CONTROL);
    add_piece(&model, "<sep>", 0, PIECE_USER);
    add_piece(&model, "hoto", 0, PIECE_USER);
    add_piece(&model, "\u2580", 0, PIECE_USER);
    add_piece(&model, "\u2581\u2581\u2581\u2581\u2581", -2, PIECE_NORMAL);
    add_piece(&model, "\uFFFD\uFFFD", -2, PIECE_NORMAL);
    add_piece(&model, "\u2581\n", -2, PIECE_NORMAL);
    add_piece(&model, "zr", -2, PIECE_NORMAL);
    add_piece(&model, "rz", -2, PIECE_NORMAL);
    check_against_whole(&model, true, "more pieces");
}

TEST(words_are_not_remembered_where_they_do_not_stand_alone)
{
    static const struct {
        const char *piece;
        float score;
        PieceKind kind;
    } CASES[] = {{"a\u2581", 0, PIECE_NORMAL},    {"\u2581a\u2581b", 0, PIECE_NORMAL},
                 {"a b", 0, PIECE_NORMAL},        {"\u2581q", NAN, PIECE_NORMAL},
                 {"qz", 0, PIECE_UNUSED},         {"<sep> x", 0, PIECE_USER},
                 {"\u2581\u2581q", 0, PIECE_USER}, {"\xE2\x96", 0, PIECE_USER}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        read_model(&model, "vocabulary/tokenizer.model");
        add_piece(&model, CASES[i].piece, CASES[i].score, CASES[i].kind);
        check_against_whole(&model, false, CASES[i].piece);
    }
    read_model(&model, "vocabulary/kinds.model"); /* without a prefix */
    check_against_whole(&model, false, "kinds.model");
}

/* A mark that is no piece becomes three bytes, of which the first two end where the space begins. */
TEST(words_are_not_remembered_without_a_mark)
{
    static const char MARK[] = "\x0a\x03\u2581\x15";
    read_model(&model, "vocabulary/tokenizer.model");
    char *at = memmem(model.bytes, model.n, MARK, sizeof MARK - 1);
    REQUIRE(at);
    memcpy(at + 2, "\u2602", 3);
    Tokenizer *t = open_model(&model);
    int32_t ids[16];
    uint32_t end[16];
    TokenizerOutput out = {.ids = ids, .end = end, .cap = 16};
    CHECK_INT(tokenizer_encode(t, "z 7", 3, &out), 8);
    CHECK(end[0] == 0 && end[2] == 0 && end[3] == 1 && end[4] == 1 && end[5] == 1 && end[6] == 2 && end[7] == 3);
    tokenizer_close(&t);
    check_against_whole(&model, false, "no mark");
}

TEST(words_table_keeps_what_was_met_last)
{
    enum { MANY = 1000000 };
    Words *w = words_create();
    REQUIRE(w);
    CHECK(!words_find(w, "a", 1));
    int kept = 0;
    for (int32_t i = 0; i < MANY; i++) {
        char text[16];
        const size_t n = (size_t)snprintf(text, sizeof text, "word%d", (int)i);
        const int32_t ids[2] = {i, -i};
        const uint32_t ends[2] = {4, (uint32_t)n};
        CHECK(!words_find(w, text, n));
        words_keep(w, text, n, ids, ends, 2);
        const Word *found = words_find(w, text, n);
        REQUIRE(found);
        CHECK(found->n_pieces == 2 && found->ids[0] == i && found->ids[1] == -i && found->ends[0] == 4 && found->ends[1] == n);
    }
    for (int32_t i = 0; i < MANY; i++) {
        char text[16];
        const size_t n = (size_t)snprintf(text, sizeof text, "word%d", (int)i);
        const Word *found = words_find(w, text, n);
        kept += found != NULL;
        CHECK(!found || (found->ids[0] == i && found->ids[1] == -i));
    }
    CHECK(kept > 60000 && kept < 70000); /* as many as there are places */
    words_free(w);
}

TEST(words_table_passes_over_long_words_and_many_pieces)
{
    char text[WORD_MOST_BYTES + 1];
    int32_t ids[WORD_MOST_PIECES + 1] = {0};
    uint32_t ends[WORD_MOST_PIECES + 1] = {0};
    Words *w = words_create();
    REQUIRE(w);
    memset(text, 'x', sizeof text);
    words_keep(w, text, WORD_MOST_BYTES + 1, ids, ends, 1);
    CHECK(!words_find(w, text, WORD_MOST_BYTES + 1));
    words_keep(w, text, WORD_MOST_BYTES, ids, ends, WORD_MOST_PIECES + 1);
    CHECK(!words_find(w, text, WORD_MOST_BYTES));
    ends[WORD_MOST_PIECES - 1] = WORD_MOST_BYTES;
    words_keep(w, text, WORD_MOST_BYTES, ids, ends, WORD_MOST_PIECES);
    const Word *found = words_find(w, text, WORD_MOST_BYTES);
    CHECK(found && found->n_pieces == WORD_MOST_PIECES && found->ends[WORD_MOST_PIECES - 1] == WORD_MOST_BYTES);
    words_free(w);
}
