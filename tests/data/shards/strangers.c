/* strangers.c: a shard that somebody made, with a valid seal, is refused by name, in little time and memory, by the reader and by every
 * program. */
#include "tests/data/shards/strangers.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/sha256.h"
#include "data/shards/shard_set.h"
#include "data/text/encode.h"
#include "kernels/base/arena.h"
#include "kernels/base/philox.h"
#include "tests/data/shards/made_shard.h"
#include "tests/harness.h"

void strangers_change(uint8_t *bytes, size_t n, size_t keep, uint32_t round)
{
    static const uint64_t NUMBERS[] = {0, 1, 7, 48, 255, 512, 4096, 65535, 1 << 20, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX,
                                       UINT64_MAX - 1,
                                       UINT64_MAX - 511, INT64_C(1) << 40};
    for (uint32_t k = 0; k <= philox4x32(11, round, 0, 0, 0).v[0] % 4; k++) {
        Philox4 r = philox4x32(11, round, k + 1, 0, 0);
        const size_t at = keep + r.v[0] % (n - keep), from = r.v[2] % n;
        size_t span = (size_t)1 << r.v[3] % 4;
        span = span > n - at ? n - at : span;
        switch (r.v[1] % 4) {
        case 0: bytes[at] ^= (uint8_t)(1 << r.v[2] % 8); break;
        case 1: bytes[at] = (uint8_t)r.v[2]; break;
        case 2: memcpy(bytes + at, &NUMBERS[r.v[2] % (sizeof NUMBERS / sizeof *NUMBERS)], span); break;
        default: memmove(bytes + at, bytes + from, span > n - from ? n - from : span);
        }
    }
}

void strangers_write(const char *path, const uint8_t *bytes, size_t n, uint64_t image_offset, uint64_t image_bytes)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);
    REQUIRE(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
    REQUIRE_OK(shard_seal(fd, path, image_offset, image_bytes));
    close(fd);
}

/* ---------------------------------------------------------------- the reader */

static void read_shard(uint8_t **bytes, size_t *n, uint64_t *image_offset, uint64_t *image_bytes, const char *path)
{
    Shard *s;
    REQUIRE_OK(file_read((char **)bytes, n, path, 1 << 30));
    REQUIRE_OK(shard_open(&s, path));
    *image_offset = s->image_data_offset;
    *image_bytes = s->image_off[s->attr.n_images];
    shard_close(&s);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Takes everything that a shard gives; false where it is refused, and then by its name. */
static bool takes_everything(const char *path)
{
    Shard *s;
    const double begin = cpu_seconds();
    Status r = shard_open(&s, path);
    CHECK_MSG(cpu_seconds() - begin < 1, "opening takes %.2f s", cpu_seconds() - begin);
    if (r) {
        CHECK_INT(r, ERR_DATA);
        CHECK_MSG(!strncmp(status_message(), path, strlen(path)), "does not begin with the file's name: %s", status_message());
        return false;
    }
    for (int64_t i = 0; i < s->attr.n_samples; i++) {
        char *text;
        size_t n;
        if (!shard_text(s, i, &text, &n))
            mem_free(text);
        for (uint64_t t = s->tok_off[i]; t < s->tok_off[i + 1]; t++)
            REQUIRE(s->id[t] == ID_IMAGE || (s->id[t] >= 0 && s->id[t] < s->n_ids));
    }
    for (int64_t i = 0; i < s->attr.n_images; i++) {
        uint8_t *image = mem_alloc(s->image_off[i + 1] - s->image_off[i]);
        Status ignored = shard_image(s, i, image); /* its own checksum tells */
        (void)ignored;
        mem_free(image);
    }
    shard_close(&s);
    return true;
}

TEST(shard_of_a_stranger_is_refused_or_read_within_bounds)
{
    static const int32_t PICTURED[] = {1, 7, ID_IMAGE, 8, 9, ID_IMAGE, 5, 2}, PLAIN[] = {1, 4, 1000, 1001, 1002, 1003, 2};
    static const uint32_t TWO[] = {1, 0};
    static const MadeSample SAMPLES[] = {{PICTURED, "------xx", 0, 1.0f, TWO, "{\"id\":\"a\"}", NULL, TASK_UNDERSTAND},
                                         {PLAIN, "--xxxxx", 3, 0.5f, NULL, "{\"id\":\"bb\"}", NULL, TASK_UNDERSTAND}};
    enum { ROUNDS = 1500 };
    char path[256];
    uint8_t *bytes;
    size_t n;
    uint64_t offset, image_bytes;
    snprintf(path, sizeof path, "%s/shard-00000-of-00001.h5", test_dir());
    made_shard(path, SAMPLES, 2, 2, 0, 1, 40);
    read_shard(&bytes, &n, &offset, &image_bytes, path);
    uint8_t *changed = mem_alloc(n);
    int taken = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        const Philox4 r = philox4x32(12, round, 0, 0, 0);
        const size_t m = round % 16 ? n : 513 + r.v[0] % (n - 512); /* cut, or as long as it was */
        memcpy(changed, bytes, n);
        strangers_change(changed, m, SEAL_BYTES, round);
        if (m < n)
            memcpy(changed + SEAL_BYTES + 28, &(uint64_t){m}, sizeof(uint64_t)); /* the superblock's end of the file */
        const bool elsewhere = round % 8 == 1 || m < offset + image_bytes;
        strangers_write(path, changed, m, elsewhere ? 0 : offset, elsewhere ? 0 : image_bytes);
        taken += takes_everything(path);
    }
    CHECK_MSG(taken > ROUNDS / 20 && taken < ROUNDS * 4 / 5, "%d of %d are taken: the changes reach too little", taken, ROUNDS);
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    CHECK_MSG(use.ru_maxrss < 1 << 20, "%ld KiB of memory", use.ru_maxrss);
    mem_free(changed);
    mem_free(bytes);
}

/* ---------------------------------------------------------------- the programs */

typedef struct World {
    char config[256], shard[256], manifest[256], stderr_file[256], stdout_file[256];
    uint8_t *bytes;
    size_t n;
    uint64_t image_offset, image_bytes;
    char sha256[65];
} World;

/* Runs a program; its exit code, or 1000 and the signal that ended it. */
static int run(const World *w, const char *program, const char *const *arguments, double *seconds)
{
    char path[256];
    const char *argv[8] = {path};
    struct rusage use;
    int status;
    REQUIRE(snprintf(path, sizeof path, "%s/%s", test_build_dir(), program) < (int)sizeof path);
    for (int i = 0; arguments[i]; i++)
        argv[i + 1] = arguments[i];
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (!pid) {
        int fd = open(w->stderr_file, O_WRONLY | O_CREAT | O_TRUNC, 0666), out = open(w->stdout_file, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        if (fd >= 0 && out >= 0 && dup2(fd, STDERR_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0)
            execv(path, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    REQUIRE(wait4(pid, &status, 0, &use) == pid);
    *seconds = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) + 1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void make_world(World *w)
{
    char text[PATH_MAX * 8], root[PATH_MAX];
    const char *folder = test_dir();
    double seconds;
    REQUIRE(getcwd(root, sizeof root) && strlen(folder) < 200);
    snprintf(w->config, sizeof w->config, "%s/run.json", folder);
    snprintf(w->shard, sizeof w->shard, "%s/shards/shard-00000-of-00002.h5", folder);
    snprintf(w->manifest, sizeof w->manifest, "%s/shards/manifest.jsonl", folder);
    snprintf(w->stderr_file, sizeof w->stderr_file, "%s/stderr", folder);
    snprintf(w->stdout_file, sizeof w->stdout_file, "%s/stdout", folder);
    snprintf(text, sizeof text,
             "{\"name\":\"r\",\"device\":\"cpu\",\"model\":{\"llm\":{\"path\":\"%s/tests/fixtures/parity/bases/llm-gqa\"},"
             "\"vision\":{\"path\":\"%s/tests/fixtures/parity/bases/vision-only\"},\"lora\":{\"r\":2,\"alpha\":4},"
             "\"tokens\":{\"image\":2}},\"data\":{\"mixture\":[{\"name\":\"rows\","
             "\"files\":[\"%s/tests/fixtures/parity/visual_tokens/rows.jsonl\"],"
             "\"image_root\":\"%s/tests/fixtures/parity/visual_tokens/images\"}],\"shards\":\"%s/shards\",\"shard_samples\":3},"
             "\"train\":{\"steps\":1,\"batch\":3,\"micro_tokens\":90},\"save\":{\"dir\":\"%s/runs\"}}",
             root, root, root, root, folder, folder);
    REQUIRE_OK(file_write(w->config, text, strlen(text)));
    REQUIRE(run(w, "prepare", (const char *[]){"--config", w->config, NULL}, &seconds) == 0);
    read_shard(&w->bytes, &w->n, &w->image_offset, &w->image_bytes, w->shard);
    REQUIRE_OK(sha256_file(w->shard, w->sha256, NULL));
}

/* The journal gets the new hash of the shard, so that nothing but its content can tell. */
static void tell_journal(World *w)
{
    char *text, *at, sha256[65];
    size_t n;
    REQUIRE_OK(file_read(&text, &n, w->manifest, 1 << 20));
    REQUIRE_OK(sha256_file(w->shard, sha256, NULL));
    REQUIRE((at = strstr(text, w->sha256)) != NULL);
    memcpy(at, sha256, 64);
    REQUIRE_OK(file_write(w->manifest, text, n));
    memcpy(w->sha256, sha256, sizeof sha256);
    mem_free(text);
}

static void check_programs(World *w, const uint8_t *bytes, const char *what)
{
    strangers_write(w->shard, bytes, w->n, w->image_offset, w->image_bytes);
    tell_journal(w);
    const struct {
        const char *program, *arguments[4];
    } CALLS[] = {{"inspect", {w->shard}},
                 {"inspect", {w->shard, "--sample", "0"}},
                 {"prepare", {"--config", w->config}},
                 {"train", {"--config", w->config, "--dry-run"}},
                 {"train", {"--config", w->config}}};
    for (size_t i = 0; i < sizeof CALLS / sizeof *CALLS; i++) {
        char *said, wanted[300];
        size_t n;
        double seconds;
        int code = run(w, CALLS[i].program, CALLS[i].arguments, &seconds);
        REQUIRE_OK(file_read(&said, &n, w->stderr_file, 1 << 20));
        snprintf(wanted, sizeof wanted, "error: %s: ", w->shard);
        CHECK_MSG(code == 65 && strstr(said, wanted), "%s: %s %s ends with %d: %s", what, CALLS[i].program,
                  CALLS[i].arguments[2] ? CALLS[i].arguments[2] : "", code, said);
        CHECK_MSG(seconds < 1, "%s: %s takes %.2f s", what, CALLS[i].program, seconds);
        mem_free(said);
    }
}

/* Where the bytes of `text` first stand. */
static size_t find(const World *w, const char *text, size_t n)
{
    const uint8_t *at = memmem(w->bytes, w->n, text, n);
    REQUIRE(at);
    return (size_t)(at - w->bytes);
}

TEST(shard_of_a_stranger_is_refused_by_every_program)
{
    enum { VERSION = SEAL_BYTES + 8, END = SEAL_BYTES + 28, ROOT = SEAL_BYTES + 36 };
    World w = {0};
    make_world(&w);
    /* A link is "\x01\0", the length of its name, the name, an address; an attribute's number stands 16 bytes after its name. */
    const size_t tok = find(&w, "\x01\0\x03tok", 6) + 6, id = find(&w, "\x01\0\x02id", 5) + 5,
                 visual = find(&w, "n_visual_tokens", 16) + 32, samples = find(&w, "n_samples", 10) + 26,
                 tokens = find(&w, "n_tokens", 9) + 25, layout = find(&w, "\x04\x02\x02\x02", 4) + 10;
    const struct {
        const char *what;
        size_t at;
        uint64_t value;
        size_t n;
    } CASES[] = {
        {"an old superblock", VERSION, 0, 1},
        {"a shorter file", END, 600, 8},
        {"the root nowhere", ROOT, UINT64_MAX, 8},
        {"the root in the seal", ROOT, (uint64_t)0 - 512, 8},
        {"a group that is its own parent", tok, 48, 8},
        {"an array that is its own group", id, 48, 8},
        {"a number near the largest", visual, INT64_MAX - 1, 8},
        {"very many samples", samples, INT64_C(1) << 40, 8},
        {"very many tokens", tokens, 1 << 27, 8},
        {"chunks of 2^64 - 1 bytes", layout, UINT64_MAX, 8},
    };
    uint8_t *changed = mem_alloc(w.n);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        memcpy(changed, w.bytes, w.n);
        memcpy(changed + CASES[i].at, &CASES[i].value, CASES[i].n);
        check_programs(&w, changed, CASES[i].what);
    }
    int checked = 0;
    for (uint32_t round = 5000; checked < 8; round++) { /* changes that reach something */
        Shard *s;
        char what[64];
        memcpy(changed, w.bytes, w.n);
        strangers_change(changed, w.n, SEAL_BYTES, round);
        strangers_write(w.shard, changed, w.n, w.image_offset, w.image_bytes);
        if (!shard_open(&s, w.shard)) {
            shard_close(&s);
            continue;
        }
        snprintf(what, sizeof what, "change %u", round);
        check_programs(&w, changed, what);
        checked++;
    }
    mem_free(changed);
    mem_free(w.bytes);
}

TEST(shard_of_a_stranger_sends_nothing_raw_to_a_terminal)
{
    World w = {0};
    char *said;
    size_t n;
    double seconds;
    make_world(&w);
    w.bytes[find(&w, "tokenizer.model\",\"bytes", 23)] = 0x7f; /* in the attribute "inputs", JSON all the same */
    strangers_write(w.shard, w.bytes, w.n, w.image_offset, w.image_bytes);
    CHECK_INT(run(&w, "inspect", (const char *[]){w.shard, "--format", "json", NULL}, &seconds), 0);
    REQUIRE_OK(file_read(&said, &n, w.stdout_file, 1 << 20));
    CHECK_MSG(strstr(said, "\\u007fokenizer.model") && !strchr(said, 0x7f), "%s", said);
    mem_free(said);
    mem_free(w.bytes);
}
