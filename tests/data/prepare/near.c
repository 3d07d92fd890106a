/* Pictures that nearly equal those of earlier sources: the search against all pairs, and which rows a mixture leaves out. */
#include "data/prepare/near.h"

#include <stdio.h>
#include <sys/stat.h>

#include "data/formats/json.h"
#include "data/prepare/parts.h"
#include "data/shards/shard_set.h"
#include "kernels/base/arena.h"
#include "tests/data/prepare/world.h"
#include "tests/harness.h"

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* So many different bits. */
static uint64_t flip(uint64_t hash, int bits, uint64_t *state)
{
    uint64_t flipped = 0;
    for (int n = 0; n < bits;) {
        const uint64_t bit = 1ull << next_random(state) % 64;
        n += !(flipped & bit);
        flipped |= bit;
    }
    return hash ^ flipped;
}

/* The specification: every one is looked at. */
static bool find_plainly(const uint64_t *hash, uint32_t n, uint64_t wanted, uint32_t *name, int *bits)
{
    *bits = NEAR_BITS + 1;
    for (uint32_t i = 0; i < n; i++) {
        int differ = 0;
        for (int b = 0; b < 64; b++)
            differ += (hash[i] ^ wanted) >> b & 1;
        if (differ < *bits) {
            *bits = differ;
            *name = i;
        }
    }
    return *bits <= NEAR_BITS;
}

/* Random ones hardly ever lie near one another, so half are made from earlier ones: up to 6 bits apart, anywhere and within one piece. */
TEST(near_finds_what_a_look_at_all_pairs_finds)
{
    enum { N = 3000 };
    static uint64_t hash[N];
    uint64_t state = 1;
    NearHashes near = {0};
    int64_t found_any = 0, equal = 0;
    for (uint32_t i = 0; i < N; i++) {
        hash[i] = next_random(&state);
        if (i && i % 2)
            hash[i] = flip(hash[next_random(&state) % i], (int)(next_random(&state) % 7), &state);
        if (i % 16 == 4)
            hash[i] = (hash[i - 1] & ~0x1fffull) | (next_random(&state) & 0x1fff);
        uint32_t name = 0, wanted = 0;
        int bits = 0, wanted_bits = 0;
        const bool found = near_find(&near, hash[i], &name, &bits), there = find_plainly(hash, i, hash[i], &wanted, &wanted_bits);
        CHECK(found == there && (!found || (name == wanted && bits == wanted_bits)));
        found_any += found;
        equal += found && !bits;
        REQUIRE_OK(near_add(&near, hash[i], i));
    }
    CHECK(found_any > N / 4 && equal > 50);
    near_free(&near);
}

/* Every pair of bits of which the distance is NEAR_BITS, and one more: the edges of all pieces. */
TEST(near_finds_every_change_of_four_bits_and_none_of_five)
{
    NearHashes near = {0};
    uint32_t name;
    int bits;
    const uint64_t hash = 0x0123456789abcdefu;
    CHECK(!near_find(&near, hash, &name, &bits));
    REQUIRE_OK(near_add(&near, hash, 7));
    for (int a = 0; a < 64; a++)
        for (int b = a + 1; b < 64; b++)
            for (int c = b + 1; c < 64; c++)
                for (int d = c + 1; d < 64; d++) {
                    const uint64_t four = hash ^ (1ull << a | 1ull << b | 1ull << c | 1ull << d);
                    if (!near_find(&near, four, &name, &bits) || name != 7 || bits != 4)
                        CHECK_MSG(false, "bits %d %d %d %d", a, b, c, d);
                    if (d < 63 && near_find(&near, four ^ 1ull << 63, &name, &bits))
                        CHECK_MSG(false, "bits %d %d %d %d and 63", a, b, c, d);
                }
    near_free(&near);
}

TEST(near_finds_among_a_million_hashes)
{
    enum { N = 1000000, ASKED = 2000 };
    uint64_t state = 5;
    NearHashes near = {0};
    for (uint32_t i = 0; i < N; i++)
        REQUIRE_OK(near_add(&near, next_random(&state), i));
    state = 5;
    uint64_t other = 9;
    for (uint32_t i = 0; i < ASKED; i++) {
        uint32_t name;
        int bits;
        CHECK(near_find(&near, flip(next_random(&state), (int)(i % 5), &other), &name, &bits) && name == i && bits == (int)(i % 5));
    }
    near_free(&near);
}

/* ---------------------------------------------------------------- what a mixture leaves out */

#define ROW(uid, pictures, markers) \
    "{\"uid\":\"" uid "\",\"images\":[" pictures "],\"turns\":[{\"from\":\"human\",\"value\":\"" markers "What?\"}," \
    "{\"from\":\"gpt\",\"value\":\"It.\"}]}\n"
#define IMAGE(name) "{\"path\":\"" name "\"}"
#define MASK(name) "{\"path\":\"" name "\",\"role\":\"mask\"}"

static void make_sources(void)
{
    static const char *const PICTURES[] = {"rgb.jpg", "rgb.png", "palette1.png", "plain.gif", "animated.gif", "alpha.webp", "sub0.jpg"};
    mkdir(world_path("images"), 0777);
    for (size_t i = 0; i < sizeof PICTURES / sizeof *PICTURES; i++) {
        char name[64];
        snprintf(name, sizeof name, "images/%s", PICTURES[i]);
        world_copy_picture(PICTURES[i], name, SIZE_MAX);
    }
    world_copy_picture("rgb.jpg", "images/copy.jpg", SIZE_MAX);
    world_put_text("a.jsonl", ROW("a/1", IMAGE("rgb.jpg"), "<image>") ROW("a/2", IMAGE("rgb.png"), "<image>") /* alike in one source */
                   ROW("a/3", IMAGE("gone.jpg"), "<image>"));
    world_put_text("b.jsonl",
                   ROW("b/1", IMAGE("sub0.jpg") "," IMAGE("alpha.webp"), "<image><image>") ROW("b/2", IMAGE("plain.gif"), "<image>")
                       ROW("b/3", "", "") ROW("b/4", IMAGE("palette1.png") "," MASK("copy.jpg"), "<image>")
                           ROW("b/5", IMAGE("gone.jpg") "," IMAGE("rgb.jpg"), "<image><image>"));
    world_put_text("c.jsonl", ROW("c/1", IMAGE("alpha.webp"), "<image>") ROW("c/2", IMAGE("animated.gif"), "<image>")
                                  ROW("c/3", IMAGE("copy.jpg"), "<image>"));
}

#define SOURCES \
    "[{\"name\":\"a\",\"files\":\"a.jsonl\",\"image_root\":\"images\"},{\"name\":\"b\",\"files\":\"b.jsonl\",\"image_root\":\"images\"}," \
    "{\"name\":\"c\",\"files\":\"c.jsonl\",\"image_root\":\"images\"}]"

/* Pictures of one source may be alike. A row that is left out or bad is nothing to compare with (alpha.webp), and a mask is no picture. */
TEST(prepare_drops_rows_whose_pictures_an_earlier_source_has)
{
    static const char *const LEFT[] = {"a/1", "a/2", "b/2", "b/3", "b/4", "c/1"};
    for (int jobs = 1; jobs <= 3; jobs++) {
        World w;
        PrepareResult r;
        make_sources();
        world_open(&w, "{\"near_duplicates\":\"drop\",\"sources\":" SOURCES "}", "out");
        w.o.jobs = jobs;
        w.o.report = world_path("report.json");
        REQUIRE_OK(prepare_export(&w.o, world_path("left.jsonl"), &r));
        CHECK(r.good == 6 && r.bad == 2 && r.duplicates == 3 && r.filtered == 0);
        FILE *f = fopen(world_path("left.jsonl"), "r");
        char line[1024], uid[64];
        REQUIRE(f != NULL);
        for (size_t i = 0; i < sizeof LEFT / sizeof *LEFT; i++) {
            snprintf(uid, sizeof uid, "\"uid\":\"%s\"", LEFT[i]);
            CHECK_MSG(fgets(line, sizeof line, f) && strstr(line, uid), "not %s", LEFT[i]);
        }
        CHECK(!fgets(line, sizeof line, f));
        fclose(f);
        JsonDoc *doc;
        REQUIRE_OK(json_read_file(&doc, w.o.report));
        CHECK_INT(json_get(json_get(json_root(doc), "left_out"), "duplicate")->integer, 3);
        CHECK_INT(json_get(json_root(doc), "bad_rows")->length, 2);
        json_free(&doc);
        world_close(&w);
    }
}

TEST(prepare_knows_that_near_duplicates_make_other_shards)
{
    static const char *const MIXTURES[] = {SOURCES, "{\"near_duplicates\":\"keep\",\"sources\":" SOURCES "}",
                                           "{\"near_duplicates\":\"drop\",\"sources\":" SOURCES "}"};
    char hash[3][65];
    make_sources();
    for (int i = 0; i < 3; i++) {
        World w;
        PrepareResult r;
        world_open(&w, MIXTURES[i], "out");
        REQUIRE_OK(prepare_hash(&w.o, hash[i]));
        REQUIRE_OK(prepare_run(&w.o, &r));
        CHECK(r.good == (i == 2 ? 6 : 9) && r.duplicates == (i == 2 ? 3 : 0) && r.bad == 2);
        world_close(&w);
    }
    CHECK(!strcmp(hash[0], hash[1]) && strcmp(hash[0], hash[2]));
}
