/* bases.h: another base is found by any byte of it, the same one wherever it lies, and a file is recorded once. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/json_fields.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"
#include "train/store/bases.h"

enum { BYTES = 3 << 20, SECOND = 1000000000 };
static char bytes[BYTES];
static RunConfig CFG;

static const char *at(const char *folder, const char *name)
{
    static char path[4][PATH_MAX], whole[PATH_MAX];
    static int next;
    next = (next + 1) % 4;
    return file_join(path[next], file_join(whole, test_dir(), folder), name);
}

static void save(const char *folder, const char *name, const char *text, size_t n)
{
    char path[PATH_MAX];
    REQUIRE_OK(file_make_folders(file_join(path, test_dir(), folder)));
    REQUIRE_OK(file_save(at(folder, name), text, n));
}

static void set_time(const char *path, int64_t ns)
{
    const struct timespec times[2] = {{.tv_sec = ns / SECOND, .tv_nsec = ns % SECOND}, {.tv_sec = ns / SECOND, .tv_nsec = ns % SECOND}};
    REQUIRE(!utimensat(AT_FDCWD, path, times, 0));
}

/* A base of 3 MB of weights, whose middle no hash of its ends sees. */
static void make_base(const char *folder)
{
    save(folder, "config.json", "{}", 2);
    save(folder, "model.safetensors", bytes, BYTES);
    save(folder, "README.md", folder, strlen(folder));
}

static char *record(void)
{
    cJSON *o = cJSON_CreateObject();
    char *text;
    REQUIRE_OK(bases_write(o, &CFG));
    REQUIRE_OK(json_to_text(&text, &o, JSON_PRETTY, "state.json"));
    return text;
}

static Status check(const char *state)
{
    JsonFields f;
    REQUIRE_OK(fields_parse(&f, state, strlen(state), "state.json"));
    Status s = bases_check(f.top, &CFG, false, "runs/r/checkpoint-000002", "; go on");
    fields_close(&f);
    return s;
}

static char *first_base(char folder[PATH_MAX])
{
    for (int i = 0; i < BYTES; i++)
        bytes[i] = (char)(i * 7);
    make_base("a");
    CFG = (RunConfig){0};
    CFG.model.llm.path = file_join(folder, test_dir(), "a");
    return record();
}

/* The tokenizer beside a text encoder counts, too. */
TEST(another_tokenizer_of_prompts_is_another_base)
{
    static char folder[PATH_MAX], encoder[PATH_MAX];
    char wanted[4 * PATH_MAX];
    CFG = (RunConfig){.loss = {.generate = IMAGE_LOSS_L2NORM, .edit = IMAGE_LOSS_L2NORM}};
    CFG.model.diffusion.path = file_join(folder, test_dir(), "sd");
    file_join(encoder, folder, "text_encoder");
    save("sd/text_encoder", "config.json", "{}", 2);
    save("sd/text_encoder", "model.safetensors", "w", 1);
    save("sd/tokenizer", "vocab.json", "{}", 2);
    save("sd/tokenizer", "merges.txt", "a b", 3);
    save("sd/tokenizer", "notes.txt", "a", 1);
    char *state = record();
    CHECK(strstr(state, "../tokenizer/vocab.json") && strstr(state, "../tokenizer/merges.txt") && !strstr(state, "notes"));
    CHECK_OK(check(state));
    save("sd/tokenizer", "merges.txt", "b a", 3);
    set_time(at("sd/tokenizer", "merges.txt"), SECOND); /* the clock of files may stand still meanwhile */
    snprintf(wanted, sizeof wanted, "model.diffusion.path: %s is not the base that runs/r/checkpoint-000002 was trained on, which is %s: "
                                    "its ../tokenizer/merges.txt holds something else; go on", encoder, encoder);
    CHECK_FAILS(check(state), ERR_DATA, wanted);
    mem_free(state);
}

/* Who draws may need the other half of the autoencoder that was trained with. */
TEST(halves_of_an_autoencoder_are_one_base)
{
    static char folder[PATH_MAX];
    CFG = (RunConfig){.loss = {.generate = IMAGE_LOSS_NOISE, .edit = IMAGE_LOSS_NOISE}};
    CFG.model.diffusion.path = file_join(folder, test_dir(), "sd");
    save("sd/vae", "config.json", "{}", 2);
    save("sd/unet", "config.json", "{}", 2);
    save("sd/scheduler", "scheduler_config.json", "{}", 2);
    char *state = record();
    CFG.draws = true;
    char *both = record();
    CHECK_STR(both, state);
    save("sd/vae", "config.json", "{ }", 3);
    CHECK(check(state) == ERR_DATA);
    CFG.loss.generate = CFG.loss.edit = IMAGE_LOSS_MSE; /* only the decoder is wanted */
    save("sd/text_encoder", "config.json", "{}", 2);
    CHECK(check(state) == ERR_DATA && strstr(status_message(), "sd/vae: its config.json has another size"));
    mem_free(state);
    mem_free(both);
}

/* A folder may be a link to one elsewhere (a network of a checkpoint): what lies beside it lies beside the link. */
TEST(beside_a_linked_folder_is_beside_the_link)
{
    char folder[PATH_MAX];
    CFG = (RunConfig){.loss = {.generate = IMAGE_LOSS_L2NORM, .edit = IMAGE_LOSS_L2NORM}};
    CFG.model.diffusion.path = file_join(folder, test_dir(), "linked");
    save("elsewhere/text_encoder", "config.json", "{}", 2);
    save("linked/tokenizer", "vocab.json", "{}", 2);
    REQUIRE(!symlink("../elsewhere/text_encoder", at("linked", "text_encoder")));
    char *state = record();
    CHECK(strstr(state, "../tokenizer/vocab.json") != NULL);
    CHECK_OK(check(state));
    REQUIRE(!remove(at("linked/tokenizer", "vocab.json")));
    CHECK(check(state) == ERR_DATA && strstr(status_message(), "its ../tokenizer/vocab.json is missing"));
    mem_free(state);
}

static void differs(const char *state, const char *what)
{
    char wanted[2048];
    snprintf(wanted, sizeof wanted, "model.llm.path: %s is not the base that runs/r/checkpoint-000002 was trained on, which is %s/a: its "
                                    "%s; go on", CFG.model.llm.path, test_dir(), what);
    CHECK_FAILS(check(state), ERR_DATA, wanted);
}

TEST(another_base_is_found_by_any_byte)
{
    char a[PATH_MAX], b[PATH_MAX];
    char *state = first_base(a);
    CHECK_OK(check(state));
    make_base("b"); /* a copy, with times of its own */
    CFG.model.llm.path = file_join(b, test_dir(), "b");
    set_time(at("b", "model.safetensors"), 5);
    CHECK_OK(check(state));
    bytes[BYTES / 2] ^= 1;
    save("b", "model.safetensors", bytes, BYTES);
    differs(state, "model.safetensors holds something else");
    save("b", "model.safetensors", bytes, BYTES - 1);
    differs(state, "model.safetensors has another size");
    REQUIRE(!remove(at("b", "model.safetensors")));
    differs(state, "model.safetensors is missing");
    bytes[BYTES / 2] ^= 1;
    make_base("b");
    save("b", "generation_config.json", "{}", 2);
    differs(state, "generation_config.json was not there");
    mem_free(state);
}

/* The same bytes again, though a file has been touched since: a resumed run's state.json is that of a run never interrupted. */
TEST(a_base_that_was_touched_is_recorded_as_before)
{
    char a[PATH_MAX];
    char *state = first_base(a);
    set_time(at("a", "model.safetensors"), 77);
    CHECK_OK(check(state));
    char *again = record();
    CHECK_STR(again, state);
    mem_free(again);
    mem_free(state);
}

/* As earlier versions wrote it for these two files: a hash of names, sizes, heads and tails. */
TEST(a_hash_of_earlier_versions_is_accepted)
{
    char a[PATH_MAX], state[PATH_MAX + 256];
    mem_free(first_base(a));
    REQUIRE(!remove(at("a", "model.safetensors")));
    snprintf(state, sizeof state, "{\"bases\":{\"llm\":{\"path\":\"%s\",\"xxh3\":\"%s\"}}}", a, "7d7f3b5a061be44c5323b6e21a69ae1c");
    CHECK_OK(check(state));
    save("a", "config.json", "[]", 2);
    differs(state, "files are others");
}
