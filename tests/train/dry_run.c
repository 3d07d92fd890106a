/* dry_run.h: the estimate of memory beside the peak that the kernel measured; nothing is written. */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"

extern char **environ;

/* Runs train on a parity case with its output in test_dir()/out; returns the peak of resident bytes. stdout goes to test_dir()/stdout. */
static int64_t run_train(const char *name, const char *setting, const char *last)
{
    char program[512], config[512], save[512], out[512];
    snprintf(program, sizeof program, "%s/train", test_build_dir());
    snprintf(config, sizeof config, "tests/fixtures/parity/%s/config.json", name);
    snprintf(save, sizeof save, "save.dir=%s/out", test_dir());
    snprintf(out, sizeof out, "%s/stdout", test_dir());
    const char *argv[] = {program, "--quiet", "--log-format", "json", "--config", config, "--set", save, "--set", setting, last, NULL};
    posix_spawn_file_actions_t to_files;
    posix_spawn_file_actions_init(&to_files);
    posix_spawn_file_actions_addopen(&to_files, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    posix_spawn_file_actions_addopen(&to_files, 2, "/dev/null", O_WRONLY, 0);
    pid_t pid;
    int status = -1;
    struct rusage used = {0};
    setenv("OMP_NUM_THREADS", "2", 1); /* a thread that finds no work touches no workspace */
    REQUIRE(!posix_spawn(&pid, program, &to_files, NULL, (char *const *)(void *)argv, environ));
    REQUIRE(wait4(pid, &status, 0, &used) == pid);
    posix_spawn_file_actions_destroy(&to_files);
    CHECK_INT(status, 0);
    return (int64_t)used.ru_maxrss * 1024;
}

static int64_t number(const Json *object, const char *key)
{
    const Json *v = json_get(object, key);
    CHECK_MSG(v && v->kind == JSON_INT, "the object has no integer \"%s\"", key);
    return v ? v->integer : 0;
}

/* TARGETS R15: within 5 % of the measured peak. */
static void check_case(const char *name, const char *setting, int64_t samples, int64_t steps, int64_t trainable)
{
    static const char *const PARTS[] = {"weights", "trainable", "optimizer", "activations", "workspace"};
    static const char *const MODULES[] = {"llm", "vision", "projector", "lora", "tokens", "gen_head", "text_encoder", "unet", "vae"};
    char path[512], *text;
    size_t n;
    JsonDoc *doc;
    run_train(name, setting, "--dry-run");
    snprintf(path, sizeof path, "%s/out", test_dir());
    CHECK_MSG(!file_exists(path), "%s: the dry run wrote %s", name, path);
    snprintf(path, sizeof path, "%s/stdout", test_dir());
    REQUIRE_OK(file_read(&text, &n, path, 1 << 20));
    REQUIRE_OK(json_parse(&doc, text, n, path));
    const Json *memory = json_get(json_root(doc), "memory");
    int64_t sum = 0, total = number(memory, "total");
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++)
        sum += number(memory, PARTS[i]);
    CHECK_INT(sum, total);
    for (size_t i = 0; i < sizeof MODULES / sizeof *MODULES; i++)
        CHECK(number(json_get(json_root(doc), "parameters"), MODULES[i]) >= 0);
    CHECK_INT(number(json_root(doc), "samples"), samples);
    CHECK_INT(number(json_root(doc), "steps"), steps);
    CHECK_INT(number(json_root(doc), "trainable"), trainable);
    CHECK(number(json_root(doc), "tokens") > 0);
    json_free(&doc);
    mem_free(text);
    int64_t measured = run_train(name, setting, "--steps=100");
#ifndef __SANITIZE_ADDRESS__ /* whose own memory is not ours to know */
    double off = (double)(total - measured) / (double)measured;
    CHECK_MSG(off > -0.05 && off < 0.05, "%s: estimated %lld bytes, measured %lld: off by %.1f %%", name, (long long)total,
              (long long)measured, 100 * off);
#else
    CHECK(measured > 0);
#endif
}

TEST(dry_run_knows_memory_and_steps_of_adapters) { check_case("visual_tokens", "model.lora.dropout=0", 5, 5, 6784); }
TEST(dry_run_knows_memory_and_steps_of_adapters_with_dropout) { check_case("visual_tokens", "model.lora.dropout=0.05", 5, 5, 6784); }
TEST(dry_run_knows_memory_and_steps_of_operands_of_8_bits) { check_case("visual_tokens", "model.llm.multiply=fp8", 5, 5, 6784); }
TEST(dry_run_knows_memory_and_steps_of_a_vision_tower) { check_case("vision_full", "model.lora.dropout=0", 3, 4, 19588); }
