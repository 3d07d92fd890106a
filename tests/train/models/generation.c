/* generation.h: end tokens in all their forms, and a warning for each setting that would give other answers. */
#include "train/models/generation.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/log.h"
#include "tests/train/models/tiny.h"

static Status read_folder(EndTokens *e, const char *config, const char *generation, bool warn)
{
    tiny_write(test_dir(), "config.json", config);
    tiny_write(test_dir(), "generation_config.json", generation);
    *e = (EndTokens){.id = {2}, .n = 1};
    return generation_read(e, test_dir(), warn);
}

TEST(end_tokens_of_both_files_count)
{
    EndTokens e;
    REQUIRE_OK(read_folder(&e, "{\"eos_token_id\":2}", "{\"eos_token_id\":[2,7,9]}", false));
    CHECK(e.n == 3 && e.id[1] == 7 && e.id[2] == 9);
    CHECK(generation_ends_at(&e, 9) && !generation_ends_at(&e, 3));
    REQUIRE_OK(read_folder(&e, "{\"eos_token_id\":[5]}", "{\"eos_token_id\":null}", false));
    CHECK(e.n == 2 && e.id[1] == 5);
    char wanted[512];
    snprintf(wanted, sizeof wanted, "%s/generation_config.json:1:20: eos_token_id is not a token's number, nor a list of them", test_dir());
    CHECK_FAILS(read_folder(&e, "{}", "{\"eos_token_id\":[2,\"</s>\"]}", false), ERR_DATA, wanted);
}

/* What is said on stderr, its lines counted. */
static int said(const char *config, const char *generation, const char *first)
{
    static char heard[4096];
    char path[512];
    EndTokens e;
    snprintf(path, sizeof path, "%s/stderr", test_dir());
    FILE *f = fopen(path, "w+");
    REQUIRE(f != NULL);
    fflush(stderr);
    int old = dup(2), lines = 0;
    dup2(fileno(f), 2);
    log_level(LOG_WARN);
    Status s = read_folder(&e, config, generation, true);
    fflush(stderr);
    dup2(old, 2);
    close(old);
    REQUIRE_OK(s);
    rewind(f);
    heard[fread(heard, 1, sizeof heard - 1, f)] = 0;
    fclose(f);
    for (const char *at = heard; (at = strchr(at, '\n')); at++)
        lines++;
    CHECK_MSG(strstr(heard, first) != NULL, "%s: %s", first, heard);
    return lines;
}

TEST(settings_that_would_give_other_answers_are_said)
{
    CHECK_INT(
        said("{\"hidden_size\":8,\"num_beams\":1}", "{\"temperature\":0.6,\"top_k\":50,\"repetition_penalty\":1.0,\"max_length\":20}", ""),
        0);
    CHECK_INT(said("{}", "{\"do_sample\":true,\"temperature\":0.6,\"top_p\":1.0}",
                   "generation_config.json:1:14: do_sample is true, which is not followed: answers are those of generate's own options\n"),
              2);
    CHECK_INT(said("{\"hidden_size\":8,\"min_length\":3}", "{\"repetition_penalty\":1.2,\"suppress_tokens\":[4],\"unheard_of\":1}",
                   "config.json:1:31: min_length is 3"),
              4);
}
