/* The world of drawing: what is held out stays out, true pictures are read as what they show, and everything false is noticed. */
#include "tools/worlds/sketches.h"

#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "tests/data/digest.h"
#include "tests/harness.h"

enum { SIDE = 32, SEED = 5, PIXELS = SIDE * SIDE };

static Sketch compose(uint64_t number, SketchSplit split, SceneRandom *r)
{
    Sketch s;
    *r = scene_random(SEED, split == SKETCH_HELDOUT, number);
    sketch_compose(&s, r, split);
    return s;
}

TEST(sketches_hold_six_combinations_out)
{
    int n = 0;
    for (int shape = 0; sketch_value_name(SKETCH_SHAPE, shape); shape++)
        for (int color = 0; sketch_value_name(SKETCH_COLOR, color); color++)
            n += sketch_is_held_out(shape, color);
    CHECK_INT(n, 6);
    for (uint64_t i = 0; i < 2000; i++)
        for (int heldout = 0; heldout < 2; heldout++) {
            SceneRandom r;
            SketchSplit split = heldout ? SKETCH_HELDOUT : SKETCH_TRAIN;
            Sketch s = compose(i, split, &r), t;
            SketchTrait change = sketch_change(&t, &s, &r, split);
            CHECK_INT(sketch_is_held_out(s.trait[SKETCH_SHAPE], s.trait[SKETCH_COLOR]), heldout);
            CHECK_INT(sketch_is_held_out(t.trait[SKETCH_SHAPE], t.trait[SKETCH_COLOR]), heldout);
            for (int k = 0; k < SKETCH_TRAITS; k++)
                CHECK_MSG((s.trait[k] != t.trait[k]) == (k == (int)change), "change %d of sketch %d: %s", (int)change, (int)i,
                          sketch_trait_name((SketchTrait)k));
        }
}

/* Both sides of every change, at two sizes. */
TEST(sketches_are_read_as_what_they_show)
{
    static SketchReading reading;
    static uint8_t before[64 * 64 * 3], after[64 * 64 * 3];
    for (uint64_t i = 0; i < 500; i++) {
        SceneRandom r;
        int32_t side = i % 4 ? SIDE : 64;
        Sketch s = compose(i, SKETCH_ANY, &r), t;
        SketchTrait change = sketch_change(&t, &s, &r, SKETCH_ANY);
        sketch_draw(before, &s, side);
        sketch_draw(after, &t, side);
        sketch_read(&reading, after, side);
        CHECK_INT(reading.objects, 1);
        for (int k = 0; k < SKETCH_TRAITS; k++)
            CHECK_MSG(reading.trait[k] == t.trait[k], "sketch %d: %s read as %d, is %d", (int)i, sketch_trait_name((SketchTrait)k),
                      reading.trait[k], t.trait[k]);
        CHECK_MSG(sketch_kept(before, after, side, change), "sketch %d: kept but for %s", (int)i, sketch_trait_name(change));
    }
}

static void draw(uint8_t *rgb, const Sketch *s) { sketch_draw(rgb, s, SIDE); }

static void expect_disturbed(const Sketch *s, const uint8_t *got, bool disturbs[SKETCH_TRAITS], const char *what)
{
    static uint8_t before[PIXELS * 3];
    draw(before, s);
    for (int k = 0; k < SKETCH_TRAITS; k++)
        CHECK_MSG(sketch_kept(before, got, SIDE, (SketchTrait)k) == !disturbs[k], "%s, with a change of %s", what,
                  sketch_trait_name((SketchTrait)k));
}

/* Less than another value of a trait, and still not what was there. */
TEST(sketches_notice_what_an_edit_disturbs)
{
    const Sketch s = {.trait = {1, 3, 0, 1}, .radius = 0.2, .rgb = {45, 70, 215}}; /* a blue square */
    uint8_t got[PIXELS * 3];
    draw(got, &s);
    expect_disturbed(&s, got, (bool[]){false, false, false, false}, "nothing");
    for (int i = 0; i < PIXELS * 3; i++)
        got[i] = (uint8_t)(got[i] + 14);
    expect_disturbed(&s, got, (bool[]){true, true, true, false}, "a lighter ground");
    Sketch t = s;
    t.rgb[0] += 40;
    draw(got, &t);
    expect_disturbed(&s, got, (bool[]){true, false, true, true}, "another blue");
    t = s;
    t.x += 0.08;
    draw(got, &t);
    expect_disturbed(&s, got, (bool[]){true, true, false, true}, "three pixels to the right");
    t = s;
    t.radius *= 0.6;
    draw(got, &t);
    expect_disturbed(&s, got, (bool[]){false, true, false, true}, "a smaller square");
}

static void fill(uint8_t *rgb, int x0, int y0, int side, const uint8_t color[3])
{
    for (int y = y0; y < y0 + side; y++)
        for (int x = x0; x < x0 + side; x++)
            memcpy(rgb + 3 * (y * SIDE + x), color, 3);
}

TEST(sketches_notice_what_is_no_sketch)
{
    static SketchReading reading;
    const Sketch s = {.trait = {1, 3, 0, 1}, .radius = 0.2, .rgb = {45, 70, 215}};
    const uint8_t gray[3] = {128, 128, 128}, red[3] = {215, 35, 35}, olive[3] = {120, 120, 20};
    uint8_t rgb[PIXELS * 3];
    fill(rgb, 0, 0, SIDE, gray);
    sketch_read(&reading, rgb, SIDE);
    CHECK_INT(reading.objects, 0);
    CHECK_INT(reading.trait[SKETCH_SHAPE], -1);
    CHECK_INT(reading.trait[SKETCH_PLACE], -1);
    CHECK_INT(reading.trait[SKETCH_GROUND], 1);
    draw(rgb, &s);
    fill(rgb, 24, 24, 4, red);
    sketch_read(&reading, rgb, SIDE);
    CHECK_INT(reading.objects, 2);
    fill(rgb, 24, 24, 2, red); /* a speck */
    fill(rgb, 24, 26, 2, gray);
    fill(rgb, 26, 24, 2, gray);
    fill(rgb, 26, 26, 2, gray);
    sketch_read(&reading, rgb, SIDE);
    CHECK_INT(reading.objects, 1);
    draw(rgb, &s);
    for (int y = 20; y < SIDE; y++)
        fill(rgb, y % 2 ? 0 : 16, y, 1, (uint8_t[]){0, 0, 0});
    fill(rgb, 0, 18, 14, (uint8_t[]){60, 60, 60});
    sketch_read(&reading, rgb, SIDE);
    CHECK_INT(reading.trait[SKETCH_GROUND], -1); /* not flat */
    fill(rgb, 0, 0, SIDE, gray);
    fill(rgb, 4, 4, 10, olive);
    sketch_read(&reading, rgb, SIDE);
    CHECK_INT(reading.objects, 1);
    CHECK_INT(reading.trait[SKETCH_COLOR], -1);
    fill(rgb, 0, 0, SIDE, gray);
    for (int x = 2; x < 30; x++)
        fill(rgb, x, 8, 1, red); /* a line has none of the shapes */
    sketch_read(&reading, rgb, SIDE);
    CHECK_INT(reading.trait[SKETCH_SHAPE], -1);
}

/* A description in words of every kind of request. */
TEST(sketches_are_asked_for_in_words)
{
    const Sketch s = {.trait = {3, 1, 2, 0}}, t = {.trait = {3, 1, 1, 0}};
    char text[SKETCH_TEXT];
    sketch_caption(text, &s);
    CHECK_STR(text, "yellow cross bottom left on white");
    sketch_instruction(text, &t, SKETCH_PLACE);
    CHECK_STR(text, "move it to the top right");
    for (uint64_t i = 0; i < 50; i++) {
        SceneRandom r = scene_random(SEED, false, i);
        sketch_ask_to_draw(text, &s, &r);
        CHECK_MSG(strstr(text, "yellow cross") && strstr(text, "bottom left") && strstr(text, "white"), "%s", text);
        sketch_ask_to_change(text, &s, &t, SKETCH_PLACE, &r);
        CHECK_MSG(strstr(text, "the cross") && strstr(text, "top right"), "%s", text);
    }
}

TEST(sketches_write_a_set)
{
    log_level(LOG_QUIET);
    char one[256], two[256], message[768];
    snprintf(one, sizeof one, "%s/one", test_dir());
    snprintf(two, sizeof two, "%s/two", test_dir());
    SketchSet set = {.out = one, .count = 20, .heldout = 10, .size = 32, .seed = 9};
    REQUIRE_OK(sketches_write(&set));
    set.out = two;
    set.count = 30; /* a longer set begins like a shorter one */
    REQUIRE_OK(sketches_write(&set));
    static const char *const SAME[] = {"heldout.jsonl", "train/000019.png", "train/000019-before.png", "heldout/000009.png"};
    for (size_t i = 0; i < sizeof SAME / sizeof SAME[0]; i++)
        CHECK_STR(file_digest(two, SAME[i]).hex, file_digest(one, SAME[i]).hex);
    REQUIRE_OK(sketches_write(&set)); /* nothing to do */
    set.seed = 10;
    snprintf(message, sizeof message, "%s/sketches.json was made with other settings; remove %s or give another --out", two, two);
    CHECK_FAILS(sketches_write(&set), ERR_CREATE, message);
}

/* Not only places and grounds: a combination that is held out comes of another one. */
TEST(sketches_held_out_are_reached_by_every_kind_of_change)
{
    char path[256], *text;
    size_t n;
    log_level(LOG_QUIET);
    SketchSet set = {.out = test_dir(), .count = 0, .heldout = 400, .size = 32, .seed = 3};
    REQUIRE_OK(sketches_write(&set));
    snprintf(path, sizeof path, "%s/heldout.jsonl", test_dir());
    REQUIRE_OK(file_read(&text, &n, path, 1 << 24));
    for (int t = 0; t < SKETCH_TRAITS; t++) {
        char key[64];
        int count = 0;
        snprintf(key, sizeof key, "\"change\":\"%s\"", sketch_trait_name((SketchTrait)t));
        for (const char *at = text; (at = strstr(at, key)); at++)
            count++;
        CHECK_MSG(count >= 30 && count <= 70, "%d of 200 changes are of the %s", count, sketch_trait_name((SketchTrait)t));
    }
    mem_free(text);
}
