/* replay.h: entries are found by the hash of their uid, in the layout of rows; what is missing or misshapen is said. */
#include "train/models/replay.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/safetensors.h"
#include "data/formats/sha256.h"
#include "tests/harness.h"

static char file[1024];
static uint8_t uid[32];

static void write_file(void)
{
    static const StSpec SPECS[] = {{"noise/set/7", F32, 3, {2, 1, 3}}, {"noise/other", F32, 3, {2, 3, 1}}, {"timestep/set/7", I64, 1, {1}},
                                   {"drop/set/7", F64, 1, {1}}, {"drop/other", F32, 1, {2}}, {"noise/nan", F32, 3, {1, 1, 2}},
                                   {"drop/nan", F32, 1, {1}}};
    static const float NOISE[] = {1, 2, 3, 4, 5, 6}, WRONG[] = {1, NAN};
    const int64_t timestep = 981;
    const double drop = 0.25;
    StWriter *w;
    snprintf(file, sizeof file, "%s/replay.safetensors", test_dir());
    REQUIRE_OK(stwriter_open(&w, file, SPECS, sizeof SPECS / sizeof *SPECS));
    REQUIRE_OK(stwriter_write(w, NOISE, sizeof NOISE));
    REQUIRE_OK(stwriter_write(w, NOISE, sizeof NOISE));
    REQUIRE_OK(stwriter_write(w, &timestep, sizeof timestep));
    REQUIRE_OK(stwriter_write(w, &drop, sizeof drop));
    REQUIRE_OK(stwriter_write(w, NOISE, 2 * sizeof *NOISE));
    REQUIRE_OK(stwriter_write(w, WRONG, sizeof WRONG));
    REQUIRE_OK(stwriter_write(w, &WRONG[1], sizeof *WRONG));
    REQUIRE_OK(stwriter_close(&w));
}

TEST(replayed_numbers_are_found_by_uid)
{
    Replay *r;
    float noise[6];
    double number;
    char wanted[2048];
    write_file();
    REQUIRE_OK(replay_open(&r, file));
    sha256_of("set/7", 5, uid);
    ReplayRow row = {.uid = uid, .record = 7, .n_targets = 1};
    REQUIRE_OK(replay_image(r, "noise", row, 2, 1, 3, noise));
    CHECK(!memcmp(noise, (float[]){1, 4, 2, 5, 3, 6}, sizeof noise));
    REQUIRE_OK(replay_number(r, "timestep", row, 1000, &number));
    CHECK(number == 981);
    REQUIRE_OK(replay_number(r, "drop", row, 1000, &number));
    CHECK(number == 0.25);
    snprintf(wanted, sizeof wanted, "%s: timestep/set/7 is 981, expected a number from 0 to less than 981 (debug.replay)", file);
    CHECK_FAILS(replay_number(r, "timestep", row, 981, &number), ERR_DATA, wanted);
    snprintf(wanted, sizeof wanted, "%s: holds drop/set/7, but no posterior/set/7 for the same row, row 7 of the mixture (debug.replay)",
             file);
    CHECK_FAILS(replay_image(r, "posterior", row, 2, 1, 3, noise), ERR_DATA, wanted);
    sha256_of("other", 5, uid);
    snprintf(wanted, sizeof wanted, "%s: noise/other: shape is [2, 3, 1], expected [2, 1, 3] (debug.replay)", file);
    CHECK_FAILS(replay_image(r, "noise", row, 2, 1, 3, noise), ERR_DATA, wanted);
    snprintf(wanted, sizeof wanted, "%s: drop/other holds 2 numbers, expected one (debug.replay)", file);
    CHECK_FAILS(replay_number(r, "drop", row, 1000, &number), ERR_DATA, wanted);
    snprintf(wanted, sizeof wanted, "%s: holds drop/other, but no timestep/other for the same row, row 7 of the mixture (debug.replay)",
             file);
    CHECK_FAILS(replay_number(r, "timestep", row, 1000, &number), ERR_DATA, wanted);
    sha256_of("abc", 3, uid);
    snprintf(wanted, sizeof wanted, "%s: no timestep/… for row 7 of the mixture; behind the \"/\" stands the row's uid, here one whose "
                                    "SHA-256 begins with ba7816bf8f01cfea414140de5dae2223; what the file holds is for instance "
                                    "drop/nan (debug.replay)", file);
    CHECK_FAILS(replay_number(r, "timestep", row, 1000, &number), ERR_DATA, wanted);
    sha256_of("nan", 3, uid);
    snprintf(wanted, sizeof wanted, "%s: noise/nan holds nan, expected finite numbers (debug.replay)", file);
    CHECK_FAILS(replay_image(r, "noise", row, 1, 1, 2, noise), ERR_DATA, wanted);
    snprintf(wanted, sizeof wanted, "%s: drop/nan holds nan, expected finite numbers (debug.replay)", file);
    CHECK_FAILS(replay_number(r, "drop", row, 1, &number), ERR_DATA, wanted);
    replay_close(&r);
    CHECK(r == NULL);
}

/* Of a row with two target images: one entry for both, or one of each. */
TEST(target_images_of_a_row_may_have_their_own_numbers)
{
    static const StSpec SPECS[] = {{"noise/all", F32, 3, {2, 1, 1}}, {"noise/each", F32, 4, {2, 2, 1, 1}}, {"timestep/each", I64, 1, {2}},
                                   {"drop/each", F32, 1, {2}}, {"noise/three", F32, 4, {3, 2, 1, 1}}, {"timestep/three", I32, 1, {3}}};
    static const float NUMBERS[] = {1, 2, 3, 4, 5, 6};
    static const int64_t TIMESTEP[] = {7, 9};
    static const int32_t NARROW[] = {1, 2, 3};
    char wanted[2048];
    float noise[2];
    double number;
    StWriter *w;
    Replay *r;
    snprintf(file, sizeof file, "%s/each.safetensors", test_dir());
    REQUIRE_OK(stwriter_open(&w, file, SPECS, sizeof SPECS / sizeof *SPECS));
    REQUIRE_OK(stwriter_write(w, NUMBERS, 2 * sizeof *NUMBERS));
    REQUIRE_OK(stwriter_write(w, NUMBERS, 4 * sizeof *NUMBERS));
    REQUIRE_OK(stwriter_write(w, TIMESTEP, sizeof TIMESTEP));
    REQUIRE_OK(stwriter_write(w, (float[]){0.25f, 0.5f}, 2 * sizeof(float)));
    REQUIRE_OK(stwriter_write(w, NUMBERS, 6 * sizeof *NUMBERS));
    REQUIRE_OK(stwriter_write(w, NARROW, sizeof NARROW));
    REQUIRE_OK(stwriter_close(&w));
    REQUIRE_OK(replay_open(&r, file));
    for (int k = 0; k < 2; k++) {
        ReplayRow row = {.uid = uid, .record = 7, .target = k, .n_targets = 2};
        sha256_of("all", 3, uid);
        REQUIRE_OK(replay_image(r, "noise", row, 2, 1, 1, noise));
        CHECK(noise[0] == 1 && noise[1] == 2);
        sha256_of("each", 4, uid);
        REQUIRE_OK(replay_image(r, "noise", row, 2, 1, 1, noise));
        CHECK(noise[0] == NUMBERS[2 * k] && noise[1] == NUMBERS[2 * k + 1]);
        REQUIRE_OK(replay_number(r, "timestep", row, 1000, &number));
        CHECK(number == (double)TIMESTEP[k]);
        REQUIRE_OK(replay_number(r, "drop", row, 1, &number));
        CHECK(number == (k ? 0.5 : 0.25));
        sha256_of("three", 5, uid);
        snprintf(wanted, sizeof wanted,
                 "%s: noise/three: shape is [3, 2, 1, 1], expected [2, 1, 1], or [2, 2, 1, 1] for its 2 target images (debug.replay)",
                 file);
        CHECK_FAILS(replay_image(r, "noise", row, 2, 1, 1, noise), ERR_DATA, wanted);
        snprintf(wanted, sizeof wanted,
                 "%s: timestep/three holds 3 numbers, expected one, or one for each of its target images (debug.replay)", file);
        CHECK_FAILS(replay_number(r, "timestep", row, 1000, &number), ERR_DATA, wanted);
    }
    replay_close(&r);
}
