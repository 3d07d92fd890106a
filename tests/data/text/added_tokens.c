/* added_tokens: both files together, each token once, contradictions refused. */
#include "data/text/added_tokens.h"

#include <stdio.h>

#include "data/formats/file.h"
#include "tests/harness.h"

static const char *folder_of(const char *added, const char *tokenizer)
{
    static char folder[256], path[PATH_MAX];
    snprintf(folder, sizeof folder, "%s/model", test_dir());
    REQUIRE_OK(file_remove(folder));
    REQUIRE_OK(file_make_folders(folder));
    if (added)
        REQUIRE_OK(file_write(file_join(path, folder, "added_tokens.json"), added, strlen(added)));
    if (tokenizer)
        REQUIRE_OK(file_write(file_join(path, folder, "tokenizer.json"), tokenizer, strlen(tokenizer)));
    return folder;
}

TEST(added_tokens_of_both_files)
{
    AddedTokens a;
    REQUIRE_OK(added_tokens_read(
        &a, folder_of("{\"[IMG0]\": 503, \"[I2T]\": 500, \"[T2I]\": 501, \"[I2I]\": 502}",
                      "{\"added_tokens\": [{\"id\": 1, \"content\": \"<s>\"}, {\"id\": 500, \"content\": \"[I2T]\"},"
                      " {\"id\": 504, \"content\": \"<image>\", \"special\": true}], \"model\": {}}")));
    static const char *const TEXTS[] = {"<s>", "[I2T]", "[T2I]", "[I2I]", "[IMG0]", "<image>"};
    CHECK_INT(a.n, 6);
    for (int i = 0; i < a.n && i < 6; i++) {
        CHECK_STR(a.item[i].text, TEXTS[i]);
        CHECK_INT(a.item[i].id, i ? 499 + i : 1);
    }
    added_tokens_free(&a);
    CHECK(!a.n && !a.item);
    added_tokens_free(&a);
}

TEST(added_tokens_may_be_absent)
{
    AddedTokens a;
    REQUIRE_OK(added_tokens_read(&a, folder_of(NULL, NULL)));
    CHECK_INT(a.n, 0);
    added_tokens_free(&a);
    REQUIRE_OK(added_tokens_read(&a, folder_of("{}", "{\"model\": {\"type\": \"BPE\"}, \"added_tokens\": null}")));
    CHECK_INT(a.n, 0);
    added_tokens_free(&a);
}

#define CHECK_REFUSED(added, tokenizer, sentence)                                            \
    do {                                                                                     \
        AddedTokens a_;                                                                      \
        char wanted_[1024];                                                                  \
        const char *folder_ = folder_of(added, tokenizer);                                   \
        snprintf(wanted_, sizeof wanted_, "%s%s", folder_, sentence);                        \
        CHECK_FAILS(added_tokens_read(&a_, folder_), ERR_DATA, wanted_);                     \
        CHECK(!a_.n && !a_.item);                                                            \
    } while (0)

TEST(added_tokens_that_contradict_each_other)
{
    CHECK_REFUSED("{\"[I2T]\": 500}", "{\"added_tokens\": [{\"id\": 501, \"content\": \"[I2T]\"}]}",
                  ": the added token \"[I2T]\" has two ids, 500 and 501 (added_tokens.json, tokenizer.json)");
    CHECK_REFUSED("{\"b\": 500, \"a\": 500}", NULL,
                  ": the added tokens \"a\" and \"b\" have one id, 500 (added_tokens.json, tokenizer.json)");
    CHECK_REFUSED("{\"a\": -1}", NULL, "/added_tokens.json:1:7: a is -1, expected the id of an added token");
    CHECK_REFUSED("{\"a\": \"x\"}", NULL, "/added_tokens.json:1:7: a is \"x\", expected the id of an added token");
    CHECK_REFUSED(NULL, "{\"added_tokens\": {}}", "/tokenizer.json:1:18: added_tokens is an object, expected an array");
    CHECK_REFUSED(NULL, "{\"added_tokens\": [{\"id\": 7}]}", "/tokenizer.json:1:19: content is missing: it is the text of added token 7");
    CHECK_REFUSED(NULL, "{\"added_tokens\": [{\"content\": \"a\"}]}", "/tokenizer.json: id is missing, expected an integer");
    CHECK_REFUSED("[", NULL, "/added_tokens.json:1:2: expected a value, found the end of the file");
}
