/* tokenizer_files: the same bytes as an independent program makes of the same vocabularies (tests/oracle/tokenizer_files.py, which holds
 * them against transformers), and chat templates that it has found right. */
#include "tools/convert/tokenizer_files.h"

#include <stdio.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"
#include "tools/convert/chat_template.h"

static void check_same_bytes(const char *path, const char *wanted_path)
{
    char *found, *wanted;
    size_t n, n_wanted;
    REQUIRE_OK(file_read(&found, &n, path, 1 << 20));
    REQUIRE_OK(file_read(&wanted, &n_wanted, wanted_path, 1 << 20));
    size_t same = 0;
    while (same < n && same < n_wanted && found[same] == wanted[same])
        same++;
    CHECK_MSG(n == n_wanted && same == n, "%s: other bytes than %s from byte %zu: \"%.60s\", wanted \"%.60s\"", path, wanted_path, same,
              found + same, wanted + same);
    mem_free(found);
    mem_free(wanted);
}

static void check_files(const char *name, const TokenizerFiles *x)
{
    static const char *const FILES[] = {"tokenizer.json", "added_tokens.json", "special_tokens_map.json", "tokenizer_config.json"};
    char folder[256], path[PATH_MAX], fixture[128];
    snprintf(folder, sizeof folder, "%s/%s", test_dir(), name);
    REQUIRE_OK(file_make_folders(folder));
    REQUIRE_OK(tokenizer_files_write(folder, x));
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        snprintf(fixture, sizeof fixture, "tokenizer_files/%s/%s", name, FILES[i]);
        check_same_bytes(file_join(path, folder, FILES[i]), test_fixture(fixture));
    }
    check_same_bytes(file_join(path, folder, "tokenizer.model"), x->model_path);
    CHECK_INT(file_exists(file_join(path, folder, "chat_template.jinja")), x->chat_template != NULL);
}

TEST(tokenizer_files_of_a_model_with_pictures)
{
    static const char *const ADDED[] = {"[I2T]", "[T2I]", "[I2I]", "[IMG0]", "[IMG1]"};
    char path[PATH_MAX];
    check_files("mistral", &(TokenizerFiles){.model_path = test_fixture("vocabulary/tokenizer.model"),
                                             .model_type = "llava",
                                             .vocab_size = 425,
                                             .added = ADDED,
                                             .n_added = 5,
                                             .image = "<image>",
                                             .pad = "<pad>",
                                             .max_length = 2048,
                                             .chat_template = "{{ bos_token }}"});
    char *text;
    size_t n;
    snprintf(path, sizeof path, "%s/mistral/chat_template.jinja", test_dir());
    REQUIRE_OK(file_read(&text, &n, path, 100));
    CHECK_STR(text, "{{ bos_token }}");
    mem_free(text);
}

TEST(tokenizer_files_of_a_llama)
{
    check_files("llama", &(TokenizerFiles){.model_path = test_fixture("vocabulary/tokenizer.model"),
                                           .model_type = "llama",
                                           .vocab_size = 420,
                                           .max_length = 2048});
}

TEST(tokenizer_files_of_a_vocabulary_without_the_space_before_texts)
{
    static const char *const ADDED[] = {"[I2T]"};
    char *model, path[256];
    size_t n;
    REQUIRE_OK(file_read(&model, &n, test_fixture("vocabulary/kinds.model"), 1 << 20));
    char *at = memmem(model, n, "<sep>", 5);
    REQUIRE(at);
    at[11] = 3; /* no user-defined piece, which would be refused, but a control piece */
    snprintf(path, sizeof path, "%s/kinds.model", test_dir());
    REQUIRE_OK(file_write(path, model, n));
    mem_free(model);
    check_files("no-prefix", &(TokenizerFiles){.model_path = path,
                                               .model_type = "mistral",
                                               .vocab_size = 333,
                                               .added = ADDED,
                                               .n_added = 1,
                                               .max_length = 2048});
}

TEST(tokenizer_files_are_not_begun_for_a_vocabulary_that_cannot_be_written)
{
    char path[PATH_MAX];
    const TokenizerFiles x = {.model_path = test_fixture("vocabulary/kinds.model"), .model_type = "mistral", .vocab_size = 330};
    CHECK_INT(tokenizer_files_write(test_dir(), &x), ERR_DATA);
    CHECK(!file_exists(file_join(path, test_dir(), "tokenizer.json")));
    CHECK(!file_exists(file_join(path, test_dir(), "tokenizer.model")));
}

/* ---------------------------------------------------------------- chat templates */

TEST(chat_templates_are_those_that_were_found_right)
{
    static const struct {
        const char *name;
        ChatTemplateOptions options;
    } CASES[] = {
        {"mistral_instruct", {CHAT_MISTRAL_INSTRUCT, "[I2T]", "<image>", false}},
        {"mistral_instruct-gguf", {CHAT_MISTRAL_INSTRUCT, "[I2T]", NULL, true}},
        {"v1", {CHAT_V1, NULL, "<image>", false}},
        {"v1-task", {CHAT_V1, "[I2T]", "<image>", false}},
        {"llava_llama_2", {CHAT_LLAVA_LLAMA_2, "[I2T]", "<image>", false}},
        {"plain", {CHAT_PLAIN, "[I2T]", "<image>", false}},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char *text, path[256], fixture[128];
        REQUIRE_OK(chat_template_text(&text, &CASES[i].options));
        snprintf(path, sizeof path, "%s/%s.jinja", test_dir(), CASES[i].name);
        REQUIRE_OK(file_write(path, text, strlen(text)));
        mem_free(text);
        snprintf(fixture, sizeof fixture, "tokenizer_files/%s.jinja", CASES[i].name);
        check_same_bytes(path, test_fixture(fixture));
    }
}

/* In a folder that has this file too, chat_template_read finds the text; NULL: none. */
static void check_read(const char *file, const char *content, const char *wanted)
{
    char path[PATH_MAX], *text;
    if (file)
        REQUIRE_OK(file_write(file_join(path, test_dir(), file), content, strlen(content)));
    REQUIRE_OK(chat_template_read(&text, test_dir()));
    CHECK(wanted ? text && !strcmp(text, wanted) : !text);
    mem_free(text);
}

TEST(chat_templates_of_others_are_found)
{
    check_read(NULL, NULL, NULL);
    check_read("tokenizer_config.json", "{\"chat_template\": [{\"name\": \"default\", \"template\": \"x\"}]}", NULL);
    check_read("tokenizer_config.json", "{\"chat_template\": \"{{ 1 }}\"}", "{{ 1 }}");
    check_read("chat_template.json", "{\"chat_template\": \"{{ 2 }}\"}", "{{ 2 }}");
    check_read("chat_template.jinja", "{{ 3 }}", "{{ 3 }}");
}

TEST(chat_templates_of_ours_are_known)
{
    static const ChatTemplate ALL[] = {CHAT_MISTRAL_INSTRUCT, CHAT_V1, CHAT_LLAVA_LLAMA_2, CHAT_PLAIN};
    ChatTemplate chat;
    for (size_t i = 0; i < sizeof ALL / sizeof *ALL; i++) {
        char *text;
        REQUIRE_OK(chat_template_text(&text, &(ChatTemplateOptions){.chat = ALL[i]}));
        chat = CHAT_V1;
        CHECK(chat_template_is_ours(&chat, text) && chat == ALL[i]);
        CHECK(!chat_template_is_ours(&chat, text + 1));
        mem_free(text);
    }
}
