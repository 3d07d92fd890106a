/* cache: each picture and prompt that targets need is kept once; files are made where they are missing, of other things or damaged, and
 * only those; the loader gives their results in place of pixels. */
#include "data/loader/cache_make.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/loader/loader.h"
#include "data/loader/pixels.h"
#include "data/pictures/image.h"
#include "kernels/base/arena.h"
#include "tests/data/shards/made_shard.h"
#include "tests/harness.h"

enum { SIDE = 8, ELEMS = 6 };

#define RUN 1000, 1001, 1002, 1003
static const int32_t DRAW_TWO[] = {1, 7, RUN, 4, RUN, 2}, EDIT[] = {1, 9, ID_IMAGE, 5, RUN, 2}, TALK[] = {1, 6, 2}, DRAW[] = {1, 5, RUN, 2};
static const uint32_t OF_TWO[] = {1, 2}, OF_EDIT[] = {3}, SOURCE[] = {0}, OF_LAST[] = {MADE_IN(0, 3)}, OF_OWN[] = {MADE_IN(1, 0)};

#define TURN(from, text) "{\"from\": \"" from "\", \"value\": \"" text "\"}"
static const char JSON_TWO[] = "{\"turns\": [" TURN("human", "cat") "," TURN("gpt", "<gen> and") "," TURN("human", "dog") ","
                               TURN("gpt", "<gen>") "]}",
                  JSON_EDIT[] = "{\"task\": \"edit\", \"sd\": {\"instruction\": \"cat\"}, \"turns\": [" TURN("human", "<image> no") ","
                                TURN("gpt", "<gen>") "]}",
                  JSON_DRAW[] = "{\"task\": \"generate\", \"sd\": {\"prompt\": \"house\"}, \"turns\": [" TURN("human", "no") ","
                                TURN("gpt", "<gen>") "]}";
static const MadeSample FIRST[] = {{DRAW_TWO, "--xxxxxxxxx" "x", 0, 0.5f, NULL, JSON_TWO, OF_TWO, TASK_GENERATE},
                                   {TALK, "--x", 0, 1, NULL, "no JSON", NULL, TASK_UNDERSTAND},
                                   {EDIT, "----xxxxx", 0, 3, SOURCE, JSON_EDIT, OF_EDIT, TASK_EDIT}},
                        SECOND[] = {{DRAW, "--xxxxx", 0, 2, NULL, JSON_DRAW, OF_LAST, TASK_GENERATE},
                                    {DRAW, "--xxxxx", 0, 2, NULL, JSON_DRAW, OF_OWN, TASK_GENERATE}};

static ShardSet set;
static Prompts prompts;

static void make_set(void)
{
    char path[PATH_MAX];
    made_shard(file_join(path, test_dir(), "shard-00000-of-00002.h5"), FIRST, 3, 4, 0, 2, 10);
    made_shard(file_join(path, test_dir(), "shard-00001-of-00002.h5"), SECOND, 2, 1, 1, 2, 20);
    REQUIRE_OK(shards_open(&set, test_dir(), 1000, 0));
    REQUIRE_OK(prompts_read(&prompts, &set));
}

static void close_set(void)
{
    prompts_free(&prompts);
    shards_close(&set);
}

/* ---------------------------------------------------------------- what is kept */

static void check_list(CacheKind kind, const CacheWants *wants, int64_t first_file, int64_t second_file, const uint32_t *origin)
{
    CacheList l;
    REQUIRE_OK(cache_list(&l, kind, wants, &set, &prompts));
    REQUIRE(l.n_files == 2);
    CHECK_INT(l.first[1], first_file);
    CHECK_INT(l.first[2] - l.first[1], second_file);
    CHECK(!memcmp(l.origin, origin, (size_t)l.n * sizeof *origin));
    cache_list_free(&l);
}

TEST(cache_keeps_what_targets_need_once)
{
    CacheWants wants = {.task = {[TASK_GENERATE] = true, [TASK_EDIT] = true}, .sources = true};
    make_set();
    check_list(CACHE_LATENTS, &wants, 4, 1, (const uint32_t[]){0, 1, 2, 3, 0});
    wants.sources = false;
    check_list(CACHE_LATENTS, &wants, 3, 1, (const uint32_t[]){1, 2, 3, 0});
    /* targets in order: cat, dog; cat; house, house */
    check_list(CACHE_CLIP_TEXT, &wants, 2, 1, (const uint32_t[]){0, 1, 3});
    wants.task[TASK_GENERATE] = false;
    wants.sources = true;
    check_list(CACHE_LATENTS, &wants, 2, 0, (const uint32_t[]){0, 3});
    check_list(CACHE_CLIP_TEXT, &wants, 1, 0, (const uint32_t[]){2});
    close_set();
}

/* ---------------------------------------------------------------- making */

typedef struct Computing {
    CacheKind kind;
    int64_t results, most; /* computed so far; then it fails */
} Computing;

static void fill(float *to, float value)
{
    for (int k = 0; k < ELEMS; k++)
        to[k] = value + (float)k;
}

static Status compute(void *arg, const uint8_t *pixels, const char *const *prompt, int64_t n, float *results)
{
    Computing *c = arg;
    for (int64_t i = 0; i < n; i++) {
        if (c->results++ == c->most)
            return fail(ERR_IO, "enough");
        fill(results + i * ELEMS, c->kind == CACHE_LATENTS ? (float)pixels[i * 3 * SIDE * SIDE] : (float)strlen(prompt[i]));
    }
    return OK;
}

static CacheMaker maker(CacheKind kind, Computing *c, DType type)
{
    *c = (Computing){.kind = kind, .most = 100};
    return (CacheMaker){.kind = kind,
                        .spec = {.key = "0123456789abcdef0123456789abcdef", .n_elems = ELEMS, .type = type},
                        .wants = {.task = {[TASK_GENERATE] = true, [TASK_EDIT] = true}, .sources = true},
                        .folder = test_dir(),
                        .size = SIDE,
                        .max_pixels = IMAGE_MAX_PIXELS,
                        .at_once = 3,
                        .compute = compute,
                        .arg = c};
}

/* So many results were computed, of them for a file of so many. */
static void check_made(CacheMaker *m, int64_t files, int64_t results)
{
    CacheMade made;
    Computing *c = m->arg;
    c->results = 0;
    REQUIRE_OK(cache_make(m, &set, &prompts, &made));
    CHECK_INT(made.new_files, files);
    CHECK_INT(made.new_ones, results);
    CHECK_INT(c->results, results);
}

static void file_of(char path[PATH_MAX], const CacheMaker *m, int64_t file) { cache_file_path(path, m->folder, m->kind, &m->spec, file); }

TEST(cache_goes_on_where_it_was_stopped)
{
    Computing c;
    CacheMade made;
    char path[PATH_MAX], draft[PATH_MAX + 8];
    make_set();
    CacheMaker m = maker(CACHE_LATENTS, &c, F32);
    c.most = 4; /* the first file */
    CHECK_FAILS(cache_make(&m, &set, &prompts, &made), ERR_IO, "enough");
    file_of(path, &m, 1);
    snprintf(draft, sizeof draft, "%s.tmp", path);
    CHECK(!file_exists(path) && !file_exists(draft));
    c.most = 100;
    check_made(&m, 1, 1);
    check_made(&m, 0, 0);
    m.compute = NULL; /* only looks */
    file_of(path, &m, 0);
    REQUIRE_OK(file_remove(path));
    c.results = 0;
    REQUIRE_OK(cache_make(&m, &set, &prompts, &made));
    CHECK(made.new_files == 1 && made.new_ones == 4 && made.results == 5 && c.results == 0 && !file_exists(path));
    close_set();
}

static void damage(const char *path, int64_t from_end)
{
    char *bytes;
    size_t n;
    REQUIRE_OK(file_read(&bytes, &n, path, 1 << 20));
    bytes[n - (size_t)from_end] ^= 1;
    REQUIRE_OK(file_write(path, bytes, n));
    mem_free(bytes);
}

/* Opens a file of two results and reads both. */
static Status read_two(const char *path, const CacheSpec *spec, const uint8_t (*digest)[32])
{
    CacheFile f;
    float result[ELEMS];
    TRY(cache_file_open(&f, path, spec, digest, 2));
    Status s = OK;
    for (int64_t i = 0; i < 2 && !s; i++)
        s = cache_file_read(&f, spec, i, result);
    cache_file_close(&f);
    return s;
}

/* Every byte of a file but the blanks behind its header, and what safetensors says of itself there, which nobody reads. */
TEST(cache_notices_every_damaged_byte)
{
    static const char UNREAD[] = "\"__metadata__\":{\"format\":\"pt\"}";
    static const uint8_t DIGEST[2][32] = {{1}, {2}};
    const CacheSpec spec = {.key = "0123456789abcdef0123456789abcdef", .n_elems = ELEMS, .type = BF16};
    char path[PATH_MAX], *bytes;
    const float result[ELEMS] = {1, 2, 3, 4, 5, 6};
    size_t n;
    CacheWriter *w;
    REQUIRE_OK(cache_writer_open(&w, file_join(path, test_dir(), "c.safetensors"), &spec, DIGEST, 2));
    REQUIRE_OK(cache_writer_add(w, result));
    REQUIRE_OK(cache_writer_add(w, result));
    REQUIRE_OK(cache_writer_close(&w, OK));
    REQUIRE_OK(read_two(path, &spec, DIGEST));
    REQUIRE_OK(file_read(&bytes, &n, path, 1 << 20));
    const char *unread = strstr(bytes + 8, UNREAD);
    REQUIRE(unread);
    for (char *at = bytes; at < bytes + n; at++) {
        if (*at == ' ' || (at >= unread && at < unread + strlen(UNREAD)))
            continue;
        *at ^= 1;
        REQUIRE_OK(file_write(path, bytes, n));
        Status s = read_two(path, &spec, DIGEST);
        CHECK_MSG(s == ERR_DATA, "byte %td of %zu: status %d", at - bytes, n, (int)s);
        *at ^= 1;
    }
    for (size_t cut = 0; cut < n; cut += 7) {
        REQUIRE_OK(file_write(path, bytes, cut));
        CHECK_INT(read_two(path, &spec, DIGEST), ERR_DATA);
    }
    mem_free(bytes);
}

TEST(cache_verifies_results_where_that_is_asked)
{
    Computing c;
    char path[PATH_MAX];
    make_set();
    CacheMaker m = maker(CACHE_CLIP_TEXT, &c, F32);
    check_made(&m, 2, 3);
    file_of(path, &m, 0);
    damage(path, 2 * 8 + 1); /* before the checksums */
    check_made(&m, 0, 0);
    m.verify = true;
    check_made(&m, 1, 2);
    check_made(&m, 0, 0);
    close_set();
}

TEST(cache_of_other_samples_is_made_again)
{
    Computing c;
    make_set();
    CacheMaker m = maker(CACHE_LATENTS, &c, F32);
    check_made(&m, 2, 5);
    m.wants.sources = false;
    check_made(&m, 1, 3);
    memcpy(m.spec.key, "f", 1);
    check_made(&m, 2, 4);
    m.spec.type = BF16;
    check_made(&m, 2, 4);
    close_set();
}

/* ---------------------------------------------------------------- reading */

static LoaderOptions options(DType type)
{
    LoaderOptions o = {.shards = test_dir(), .batch = 5, .micro_tokens = 64, .epochs = 1, .seed = 1,
                       .first_visual_id = 1000, .target_size = SIDE, .max_pixels = IMAGE_MAX_PIXELS,
                       .target_pixels = {[TASK_GENERATE] = true, [TASK_EDIT] = true}, .source_pixels = true,
                       .target_prompts = {[TASK_EDIT] = true, [TASK_GENERATE] = true}};
    static const Preprocessor TOWER = {.prep = {.width = 8, .height = 8, .pad = true, .filter = FILTER_BICUBIC,
                                               .max_pixels = IMAGE_MAX_PIXELS},
                                       .patch = 4, .patches = MADE_PATCHES};
    o.preprocessor = &TOWER;
    for (CacheKind k = 0; k < N_CACHES; k++) {
        Computing c;
        o.cached[k] = true;
        o.cache[k] = maker(k, &c, type).spec;
    }
    return o;
}

static void check_result(const float *found, float value)
{
    float wanted[ELEMS];
    fill(wanted, value);
    for (int k = 0; k < ELEMS; k++)
        CHECK_MSG(found[k] == wanted[k], "element %d is %g, wanted %g", k, (double)found[k], (double)wanted[k]);
}

/* The first byte of picture i of a shard, as the diffusion model sees it. */
static float seen(int64_t shard, int64_t image)
{
    Pixels *p;
    uint8_t rgb[3 * SIDE * SIDE];
    const ImagePrep preps[N_EYES] = {[EYE_DIFFUSION] = image_prep_target(SIDE, IMAGE_MAX_PIXELS)};
    const PixelUse use = {set.shards[shard], (uint32_t)image, EYE_DIFFUSION};
    REQUIRE_OK(pixels_open(&p, preps, 0));
    REQUIRE_OK(pixels_want(p, 0, &use, 1, false));
    REQUIRE_OK(pixels_take(p, 0, rgb));
    pixels_close(&p);
    return rgb[0];
}

TEST(cache_stands_in_the_batch_for_pixels_and_prompts)
{
    static const DType TYPES[] = {F32, BF16}; /* the values are exact in both */
    for (int t = 0; t < 2; t++) {
        Computing c;
        Loader *ld;
        StepPlan plan;
        const Batch *b;
        make_set();
        for (CacheKind k = 0; k < N_CACHES; k++) {
            CacheMaker m = maker(k, &c, TYPES[t]);
            check_made(&m, 2, k == CACHE_LATENTS ? 5 : 3);
        }
        LoaderOptions o = options(TYPES[t]);
        REQUIRE_OK(loader_open(&ld, &o, 0, 1));
        REQUIRE_OK(loader_step(ld, 0, &plan));
        REQUIRE(plan.n_passes == 1);
        REQUIRE_OK(loader_pass(ld, 0, &b));
        REQUIRE(b->n_targets == 5 && b->n_target_pictures == 5 && b->n_source_pictures == 1 && b->n_images == 1);
        CHECK(!b->target_pixels && !b->source_pixels && b->pixels);
        static const int64_t SHARD[] = {0, 0, 0, 0, 1}, IMAGE[] = {1, 2, 3, 3, 0};
        static const float LETTERS[] = {3, 3, 3, 5, 5};
        for (int i = 0; i < 5; i++) {
            CHECK(b->target_picture[i] == i && b->target_state[i] == i);
            check_result(b->target_moments + (size_t)i * ELEMS, seen(SHARD[i], IMAGE[i]));
            check_result(b->states + (size_t)i * ELEMS, LETTERS[i]);
        }
        CHECK(b->source_picture[2] == 0);
        check_result(b->source_moments, seen(0, 0));
        loader_close(&ld);
        o.target_prompts[TASK_GENERATE] = false; /* results are found by what they are of: other files */
        CHECK(loader_open(&ld, &o, 0, 1) == ERR_DATA);
        close_set();
    }
}

TEST(cache_that_is_missing_or_damaged_is_named)
{
    Computing c;
    Loader *ld;
    StepPlan plan;
    const Batch *b;
    char path[PATH_MAX], wanted[PATH_MAX + 128];
    make_set();
    for (CacheKind k = 0; k < N_CACHES; k++) {
        CacheMaker m = maker(k, &c, F32);
        check_made(&m, 2, k == CACHE_LATENTS ? 5 : 3);
    }
    CacheMaker m = maker(CACHE_LATENTS, &c, F32);
    file_of(path, &m, 1);
    LoaderOptions o = options(F32);
    damage(path, 8 + 1); /* before the checksum of its one result */
    REQUIRE_OK(loader_open(&ld, &o, 0, 1));
    REQUIRE_OK(loader_step(ld, 0, &plan));
    snprintf(wanted, sizeof wanted, "data.cache: %s: result 0 is damaged; prepare makes it again", path);
    CHECK_FAILS(loader_pass(ld, 0, &b), ERR_DATA, wanted);
    loader_close(&ld);
    REQUIRE_OK(file_remove(path));
    snprintf(wanted, sizeof wanted, "data.cache: %s: there is no such file", path);
    CHECK_FAILS(loader_open(&ld, &o, 0, 1), ERR_MISSING, wanted);
    memset(o.cache, 0, sizeof o.cache); /* only to plan with */
    REQUIRE_OK(loader_open(&ld, &o, 0, 1));
    loader_close(&ld);
    close_set();
}
