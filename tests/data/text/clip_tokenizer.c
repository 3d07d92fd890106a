/* clip_tokenizer: ids equal to transformers' for every kind of folder; time that grows with the text; damaged folders refused. */
#include "data/text/clip_tokenizer.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "kernels/base/arena.h"
#include "tests/data/mutate.h"
#include "tests/harness.h"

enum { LENGTH = 16 };

static const char *fixture(const char *folder)
{
    char name[128];
    snprintf(name, sizeof name, "clip_tokenizer/%s", folder);
    return test_fixture(name);
}

static void check_case(const Json *texts, const Json *expected)
{
    ClipTokenizer *t;
    REQUIRE_OK(clip_tokenizer_open(&t, fixture(json_get(expected, "folder")->string)));
    const ClipTokenizerInfo *info = clip_tokenizer_info(t);
    CHECK_INT(info->n_ids, json_get(expected, "n_ids")->integer);
    CHECK_INT(info->start, json_get(expected, "start")->integer);
    CHECK_INT(info->end, json_get(expected, "end")->integer);
    CHECK_INT(info->pad, json_get(expected, "pad")->integer);
    CHECK_INT(info->length, json_get(expected, "length")->integer);
    const Json *ids = json_get(expected, "ids")->child;
    for (const Json *text = texts->child; text; text = text->next, ids = ids->next) {
        int32_t id[LENGTH];
        REQUIRE_OK(clip_tokenize(t, text->string, LENGTH, id));
        int i = 0;
        for (const Json *wanted = ids->child; wanted; wanted = wanted->next, i++)
            CHECK_MSG(id[i] == wanted->integer, "%s: \"%s\": id %d is %d, wanted %lld", json_get(expected, "folder")->string, text->string,
                      i, id[i], (long long)wanted->integer);
        CHECK_INT(i, LENGTH);
    }
    clip_tokenizer_close(&t);
    CHECK(!t);
}

TEST(clip_tokenizer_equals_transformers)
{
    JsonDoc *d;
    REQUIRE_OK(json_read_file(&d, fixture("encodings.json")));
    int n = 0;
    for (const Json *c = json_get(json_root(d), "cases")->child; c; c = c->next, n++)
        check_case(json_get(json_root(d), "texts"), c);
    CHECK_INT(n, 3);
    json_free(&d);
}

/* transformers' numbers, whatever room a prompt would have. */
TEST(clip_token_count_counts_the_whole_text)
{
    static const struct {
        const char *text;
        int n;
    } CASES[] = {{"", 2}, {"A yellow cat, asleep.", 16}, {"make it a painting", 15}, {"It's raining: 2 dogs", 17}, {"remove the hat", 9}};
    ClipTokenizer *t;
    REQUIRE_OK(clip_tokenizer_open(&t, test_fixture("parity/bases/diffusion-text/tokenizer")));
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        int32_t n;
        REQUIRE_OK(clip_token_count(t, CASES[i].text, &n));
        CHECK_INT(n, CASES[i].n);
    }
    clip_tokenizer_close(&t);
}

TEST(clip_tokenizer_takes_bytes_that_are_not_text)
{
    ClipTokenizer *t;
    int32_t id[LENGTH], wanted[LENGTH];
    REQUIRE_OK(clip_tokenizer_open(&t, fixture("padded_with_end")));
    REQUIRE_OK(clip_tokenize(t, "a \xff cat", LENGTH, id));
    REQUIRE_OK(clip_tokenize(t, "a \xEF\xBF\xBD cat", LENGTH, wanted));
    CHECK(!memcmp(id, wanted, sizeof id));
    REQUIRE_OK(clip_tokenize(t, "a cat", 2, id)); /* nothing fits between start and end */
    CHECK(id[0] == clip_tokenizer_info(t)->start && id[1] == clip_tokenizer_info(t)->end);
    clip_tokenizer_close(&t);
}

/* A megabyte of each, which takes seconds in all where something is quadratic in 2 % of it. */
TEST(clip_tokenizer_takes_time_by_length)
{
    static const char *const UNITS[] = {"a", "photo", "\u0301", "<|endoftext|>", "! ", "\u1100\u1161\u11a8"};
    enum { BYTES = 1 << 20, SECONDS = 20 };
    ClipTokenizer *t;
    int32_t id[LENGTH];
    REQUIRE_OK(clip_tokenizer_open(&t, fixture("padded_with_mark")));
    char *text = mem_alloc(2 * BYTES);
    REQUIRE(text);
    clock_t begin = clock();
    for (size_t i = 0; i < sizeof UNITS / sizeof *UNITS; i++) {
        size_t n = strlen(UNITS[i]), at = 0;
        for (; at < BYTES; at += n)
            memcpy(text + at, UNITS[i], n);
        for (int k = 0; k < BYTES / 4; k++, at += 2)
            memcpy(text + at, k % 2 ? "\u0301" : "\u0316", 2); /* marks whose order changes */
        text[at] = 0;
        REQUIRE_OK(clip_tokenize(t, text, LENGTH, id));
        CHECK_INT(id[0], clip_tokenizer_info(t)->start);
    }
    CHECK((clock() - begin) / CLOCKS_PER_SEC < SECONDS);
    mem_free(text);
    clip_tokenizer_close(&t);
}

/* ---------------------------------------------------------------- folders that are wrong */

static const char VOCAB[] = "{\"a\": 0, \"b\": 1, \"ab\": 2, \"<|startoftext|>\": 3, \"<|endoftext|>\": 4}";

/* A folder of these files in test_dir(); NULL: without that one. */
static const char *folder_of(const char *vocab, const char *merges, const char *config, const char *whole)
{
    const char *names[] = {"vocab.json", "merges.txt", "tokenizer_config.json", "tokenizer.json"},
               *texts[] = {vocab, merges, config, whole};
    char path[PATH_MAX];
    for (int i = 0; i < 4; i++) {
        file_join(path, test_dir(), names[i]);
        unlink(path);
        if (texts[i])
            REQUIRE_OK(file_write(path, texts[i], strlen(texts[i])));
    }
    return test_dir();
}

static void check_refused(const char *folder, Status kind, const char *file, const char *says)
{
    ClipTokenizer *t;
    char wanted[2 * PATH_MAX];
    snprintf(wanted, sizeof wanted, "%s/%s%s", folder, file, says);
    CHECK_FAILS(clip_tokenizer_open(&t, folder), kind, wanted);
    CHECK(!t);
}

TEST(clip_tokenizer_refuses_folders)
{
    ClipTokenizer *t;
    REQUIRE_OK(clip_tokenizer_open(&t, folder_of(VOCAB, "#version: 0.2\r\na b\r\n", NULL, NULL)));
    clip_tokenizer_close(&t);
    check_refused(folder_of(NULL, "a b\n", NULL, NULL), ERR_MISSING, "vocab.json", ": cannot be opened: No such file or directory");
    check_refused(folder_of(VOCAB, NULL, NULL, NULL), ERR_MISSING, "merges.txt", ": cannot be opened: No such file or directory");
    check_refused(folder_of("{\"a\": 0, \"b\"", "", NULL, NULL), ERR_DATA, "vocab.json",
                  ":1:13: expected ':' after a key, found the end of the file");
    check_refused(folder_of("{\"a\": -1}", "", NULL, NULL), ERR_DATA, "vocab.json", ":1:7: \"a\": expected an id from 0 to 16777215");
    check_refused(folder_of("[\"a\"]", "", NULL, NULL), ERR_DATA, "vocab.json", ":1:1: expected an object, found an array");
    check_refused(folder_of("{\"a\": 0}", "", NULL, NULL), ERR_DATA, "tokenizer_config.json",
                  ": bos_token is \"<|startoftext|>\", which is no piece of the vocabulary");
    check_refused(folder_of(VOCAB, "a c\n", NULL, NULL), ERR_DATA, "merges.txt",
                  ":1: merges \"a\" and \"c\", and the second of them is no piece of the vocabulary");
    check_refused(folder_of(VOCAB, "#version: 0.2\nb a\n", NULL, NULL), ERR_DATA, "merges.txt",
                  ":2: merges \"b\" and \"a\", and the whole of them is no piece of the vocabulary");
    check_refused(folder_of(VOCAB, "a b\nab\n", NULL, NULL), ERR_DATA, "merges.txt",
                  ":2: expected two pieces with a space between them, found \"ab\"");
    check_refused(folder_of(VOCAB, "", "{\"pad_token\": \"!\"}", NULL), ERR_DATA, "tokenizer_config.json",
                  ":1:15: pad_token is \"!\", which is no piece of the vocabulary");
    check_refused(folder_of(VOCAB, "", "{\"tokenizer_class\": \"T5Tokenizer\"}", NULL), ERR_DATA, "tokenizer_config.json",
                  ":1:21: tokenizer_class is \"T5Tokenizer\", expected \"CLIPTokenizer\" or \"CLIPTokenizerFast\"");
    check_refused(folder_of(VOCAB, "", "{\"padding_side\": \"left\"}", NULL), ERR_DATA, "tokenizer_config.json",
                  ":1:18: padding_side is \"left\", expected \"right\"");
    check_refused(folder_of(NULL, NULL, NULL, "{\"model\": {\"type\": \"WordPiece\"}}"), ERR_DATA, "tokenizer.json",
                  ":1:20: type is \"WordPiece\", expected \"BPE\"");
    check_refused(folder_of(NULL, NULL, NULL, "{\"model\": {\"type\": \"BPE\", \"vocab\": {}}}"), ERR_DATA, "tokenizer.json",
                  ":1:11: model is no byte-pair vocabulary: expected vocab, merges and end_of_word_suffix \"</w>\"");
}

TEST(clip_tokenizer_damaged_folders_end_with_a_status)
{
    static const char CONFIG[] = "{\"bos_token\": {\"content\": \"<|startoftext|>\", \"normalized\": true}, \"pad_token\": \"a\","
                                 "\"model_max_length\": 77, \"added_tokens_decoder\": {\"4\": {\"content\": \"<|endoftext|>\","
                                 "\"special\": true}, \"5\": {\"content\": \"x y\"}}}";
    static const char WHOLE[] = "{\"added_tokens\": [{\"id\": 5, \"content\": \"T2\"}], \"model\": {\"type\": \"BPE\","
                                "\"end_of_word_suffix\": \"</w>\", \"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2, \"<|startoftext|>\": 3,"
                                "\"<|endoftext|>\": 4}, \"merges\": [[\"a\", \"b\"]]}}";
    static const char *const FILES[] = {VOCAB, "#version: 0.2\na b\n", CONFIG, WHOLE};
    enum { ROUNDS = 1200 };
    int opened = 0;
    for (uint32_t round = 0; round < 4 * ROUNDS; round++) {
        const char *files[4];
        char damaged[1024];
        size_t which = round % 4, n = strlen(FILES[which]);
        memcpy(files, FILES, sizeof files);
        memcpy(damaged, FILES[which], n);
        damaged[mutate(damaged, n, round / 4)] = 0;
        files[which] = damaged;
        ClipTokenizer *t;
        int32_t id[LENGTH];
        Status s =
            clip_tokenizer_open(&t, which == 3 ? folder_of(NULL, NULL, files[2], files[3]) : folder_of(files[0], files[1], files[2], NULL));
        CHECK(s == OK || (s == ERR_DATA && !t && strstr(status_message(), test_dir())));
        if (t) {
            CHECK_OK(clip_tokenize(t, "ab <|endoftext|> x y T2", LENGTH, id));
            opened++;
        }
        clip_tokenizer_close(&t);
    }
    CHECK(opened > 100);
}
