/* recipe: what a file means; all mistakes at once, with their places; the built-in ones. */
#include "data/curate/recipe.h"

#include <glob.h>
#include <stdio.h>
#include <unistd.h>

#include "data/built_in.h"
#include "tests/harness.h"

static const char *written(const char *text)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/recipe.json", test_dir());
    FILE *f = fopen(path, "w");
    REQUIRE(f && fputs(text, f) >= 0 && !fclose(f));
    return path;
}

/* The sentences of a recipe's mistakes, without the file's name. */
static void check_mistakes(const char *text, const char *wanted)
{
    Recipe r;
    char whole[4096];
    size_t n = 0;
    const char *path = written(text);
    for (const char *p = wanted; *p; p += strcspn(p, "\n") + (p[strcspn(p, "\n")] == '\n'))
        n += (size_t)snprintf(whole + n, sizeof whole - n, "%s%s:%.*s", n ? "\n" : "", path, (int)strcspn(p, "\n"), p);
    CHECK_FAILS(recipe_load(&r, path), ERR_USAGE, whole);
}

#define MINIMAL "\"schema\":\"genllava.recipe/1\",\"name\":\"r\",\"kind\":\"draw\",\"user\":\"JSON\""

TEST(recipe_with_everything)
{
    Recipe r;
    REQUIRE_OK(recipe_load(&r, written("{\"$schema\":\"x\",\"//\":\"why\",\"schema\":\"genllava.recipe/1\",\"name\":\"mine\","
                                       "\"kind\":\"detail\",\"system\":\"Be good.\",\"user\":\"Reply in Json: {caption}\","
                                       "\"model\":\"m\",\"max_tokens\":5,\"temperature\":0.25,\"images\":\"none\","
                                       "\"words\":{\"description\":[7,8]},\"question\":\"What?\",\"body\":{\"seed\":9007199254740993}}")));
    CHECK_STR(r.name, "mine");
    CHECK_STR(r.system, "Be good.");
    CHECK_STR(r.user, "Reply in Json: {caption}");
    CHECK_STR(r.model, "m");
    CHECK_STR(r.question, "What?");
    CHECK_STR(r.body, "{\"seed\":9007199254740993}");
    CHECK(r.kind == RECIPE_DETAIL && r.images == RECIPE_NONE && r.max_tokens == 5 && r.has_temperature && r.temperature == 0.25);
    CHECK(r.words[0].least == 7 && r.words[0].most == 8);
    /* printf 'Be good.\0Reply in Json: {caption}' | sha256sum */
    CHECK_STR(r.template_sha256, "e09b0ee23059f289630eb140e983e9e5f0319a80b2fc09b56c1c1f25c00ec194");
    recipe_free(&r);
    CHECK(!r.name && !r.body);
}

TEST(recipe_defaults)
{
    Recipe r;
    REQUIRE_OK(recipe_load(&r, written("{" MINIMAL ",\"temperature\":null,\"images\":null,\"model\":null,\"system\":\"\"}")));
    CHECK(!r.system && !r.model && !r.question && !r.body && !r.has_temperature);
    CHECK(r.images == RECIPE_ALL && r.max_tokens == 700);
    CHECK(r.words[0].least == 3 && r.words[0].most == 60 && r.words[1].least == 5 && r.words[1].most == 200);
    CHECK_STR(r.template_sha256, "f38e2375c982a7f4840aa60e85e47f84c863b8c229dc2973233f68a59ed8cb8b"); /* printf '\0JSON' | sha256sum */
    recipe_free(&r);
}

TEST(recipe_mistakes_have_their_places)
{
    check_mistakes("[]", "1:1: a recipe is an object, found an array\n");
    check_mistakes("{", "1:2: expected a key in double quotes or '}', found the end of the file\n");
    check_mistakes("{}", "1:1: this recipe has no \"schema\": \"genllava.recipe/1\"\n"
                         "1:1: this recipe has no \"kind\"\n"
                         "1:1: this recipe has no \"name\"\n"
                         "1:1: this recipe has no \"user\"\n");
    check_mistakes("{" MINIMAL ",\n\"max_token\":3,\n\"temperature\":3,\"name\":\"again\",\"template_sha256\":\"\"}",
                   "2:1: unknown key \"max_token\"; did you mean \"max_tokens\"?\n"
                   "3:17: the key \"name\" stands twice in this object\n"
                   "3:32: unknown key \"template_sha256\"\n"
                   "3:15: temperature must be a number from 0 to 2, or null, found 3\n");
    check_mistakes("{\"schema\":\"genllava.recipe/2\",\"name\":\"a/b\",\"kind\":\"edti\",\"user\":\"JSON\",\"max_tokens\":0,"
                   "\"words\":{\"output\":[1,2]}}",
                   "1:11: schema must be \"genllava.recipe/1\", found \"genllava.recipe/2\"\n"
                   "1:51: kind must be conversation, detail, reasoning, draw or edit, found \"edti\"; did you mean \"edit\"?\n"
                   "1:38: name must be a word of at most 64 bytes without '/', found \"a/b\"\n"
                   "1:85: max_tokens must be a whole number from 1 to 1048576, found 0\n");
    check_mistakes("{\"schema\":\"genllava.recipe/1\",\"name\":\"r\",\"kind\":\"draw\",\"user\":\"Please reply.\",\"system\":\"Be good.\"}",
                   "1:63: neither system nor user says \"JSON\"; the service then refuses to answer in it\n");
    check_mistakes("{" MINIMAL ",\"question\":\"?\"}",
                   "1:70: question belongs to recipes of the kind \"detail\"; the author writes the questions of this one\n");
    check_mistakes("{\"schema\":\"genllava.recipe/1\",\"name\":\"r\",\"kind\":\"detail\",\"user\":\"JSON\"}",
                   "1:1: this recipe has no \"question\"\n");
    check_mistakes("{\"schema\":\"genllava.recipe/1\",\"name\":\"\",\"kind\":\"draw\",\"user\":\"JSON\",\"system\":[],\"model\":3}",
                   "1:38: name must be a text, found \"\"\n"
                   "1:78: system must be a text, found an array\n"
                   "1:89: model must be a text, found 3\n");
    check_mistakes("{" MINIMAL ",\"words\":{\"request\":[3,2],\"captoin\":[1,2]},\"images\":\"mask\",\"body\":{\"messages\":[]}}",
                   "1:121: images must be all, input, target or none, found \"mask\"\n"
                   "1:95: unknown key \"captoin\"; did you mean \"caption\"?\n"
                   "1:89: request must be [least, most], whole numbers of words, found an array\n"
                   "1:136: body may not have \"messages\", which is made from the other keys of the recipe\n");
}

TEST(recipe_names)
{
    Recipe r;
    CHECK_FAILS(recipe_load(&r, "reasonin"), ERR_USAGE,
                "--recipe is \"reasonin\"; it takes one of conversation, detail, reasoning, draw, edit, or a file (with a '/', or ending "
                "in .json) (did you mean reasoning?)");
    CHECK(recipe_load(&r, "none.json") == ERR_MISSING);
    CHECK(recipe_load(&r, "./draw") == ERR_MISSING);
}

/* Each is there once, in configs/ and in the program, and is the kind that it is called by. */
TEST(recipe_built_in)
{
    glob_t found;
    int n = 0;
    REQUIRE(!glob("configs/curate/*", 0, NULL, &found));
    for (size_t i = 0; i < found.gl_pathc; i++) {
        Recipe r;
        char name[64];
        REQUIRE(sscanf(found.gl_pathv[i], "configs/curate/%63[^.]", name) == 1);
        REQUIRE_OK(recipe_load(&r, name));
        CHECK_STR(r.name, name);
        CHECK_STR(RECIPE_KINDS[r.kind].name, name);
        CHECK_MSG(r.model && r.system, "%s: has no model or system text", name);
        recipe_free(&r);
    }
    for (int i = 0; built_in_name(i); i++)
        n += !strncmp(built_in_name(i), "curate/", 7);
    CHECK_INT(n, found.gl_pathc);
    globfree(&found);
}

TEST(recipe_saved_and_read_again)
{
    Recipe r, again;
    char path[512], text[4096];
    REQUIRE_OK(recipe_load(&r, written("{" MINIMAL ",\"body\":{\"a\":[1,0.5]},\"temperature\":1,\"images\":\"target\",\"model\":\"m\","
                                       "\"words\":{\"caption\":[1,9]}}")));
    snprintf(path, sizeof path, "%s/recipe.json", test_dir());
    REQUIRE_OK(recipe_save(&r, path));
    REQUIRE_OK(recipe_load_requests(&again, test_dir()));
    CHECK_STR(again.name, "r");
    CHECK_STR(again.user, "JSON");
    CHECK_STR(again.model, "m");
    CHECK_STR(again.body, "{\"a\":[1,0.5]}");
    CHECK_STR(again.template_sha256, r.template_sha256);
    CHECK(!again.system && again.kind == RECIPE_DRAW && again.images == RECIPE_TARGET && again.has_temperature && again.temperature == 1);
    CHECK(again.words[0].least == 3 && again.words[1].least == 1 && again.words[1].most == 9);
    recipe_free(&again);
    recipe_free(&r);
    snprintf(text, sizeof text, "{" MINIMAL ",\"template_sha256\":\"0\"}");
    written(text);
    CHECK(recipe_load_requests(&again, test_dir()) == ERR_DATA);
    written("{" MINIMAL "}");
    CHECK(recipe_load_requests(&again, test_dir()) == ERR_DATA);
    unlink(path);
    CHECK(recipe_load_requests(&again, test_dir()) == ERR_MISSING);
}
