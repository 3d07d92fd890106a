/* options.h: every key that users are shown does something, and those that nothing reads yet are shown nowhere. */
#include <stdio.h>
#include <stdlib.h>

#include "kernels/base/arena.h"
#include "tests/harness.h"
#include "train/config/options.h"

/* Where the struct of a key is named as in the table (model.lora.r, data.template_, model.tokens.task_edit) by those whom the settings are
 * for. */
#define READERS "kernels data train/*.c train/config/plan.c train/[!c]* eval tools"

TEST(every_key_that_is_shown_has_a_reader)
{
    for (int i = 0; i < N_OPTIONS; i++) {
        char command[512];
        const char *member = OPTIONS[i].kind == OPTION_PROJECTOR ? "model.projector.depth" : OPTIONS[i].key;
        snprintf(command, sizeof command, "grep -rqE --include='*.[ch]' '([>.]|KEY\\()%s_?([^A-Za-z0-9_]|$)' " READERS, member);
        if (OPTIONS[i].kind != OPTION_LATER)
            CHECK_MSG(system(command) == 0, "nothing reads RunConfig.%s, yet the key is shown; make its row in train/config/options.c a "
                                            "LATER one",
                      member);
    }
}

/* The other way round: a key for later has no place in RunConfig that anything could read. */
TEST(a_key_for_later_passes_at_its_default_and_is_not_written)
{
    static const char FILE_TEXT[] = "{\"model\":{\"llm\":{\"path\":\"l\"}},\"data\":{\"mixture\":\"m\"}}";
    char path[256], sets_text[64][128], *json;
    const char *sets[64];
    int n = 0;
    RunConfig c;
    for (int i = 0; i < N_OPTIONS; i++)
        if (OPTIONS[i].kind == OPTION_LATER) {
            snprintf(sets_text[n], sizeof sets_text[n], "%s=%s", OPTIONS[i].key, OPTIONS[i].fallback);
            sets[n] = sets_text[n];
            n++;
        }
    snprintf(path, sizeof path, "%s/run.json", test_dir());
    FILE *f = fopen(path, "w");
    REQUIRE(f && fputs(FILE_TEXT, f) >= 0 && !fclose(f));
    REQUIRE_OK(config_load(&c, path, sets, n));
    REQUIRE_OK(config_to_json(&c, &json));
    static const char *const WORDS[] = {"cache"};
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
        CHECK_MSG(!strstr(json, WORDS[i]), "config.resolved.json names %s", WORDS[i]);
    mem_free(json);
    config_free(&c);
    const char *near = option_suggest("data.cacha");
    CHECK_MSG(!near || !strstr(near, "cache"), "a key for later is suggested: %s", near);
}
