/* replay.c: a file of debug.replay; the rows of the parity cases then look for their numbers in it. */
#include "train/models/replay.h"

#include <string.h>

#include "data/formats/sha256.h"
#include "tests/fuzz/fuzz.h"

static void look_for(const Replay *r, const char *name)
{
    enum { CHANNELS = 4, SIDE = 10 };
    static const char *const IMAGES[] = {"noise", "posterior"}, *const NUMBERS[] = {"timestep", "drop"};
    float image[CHANNELS * SIDE * SIDE];
    double number;
    uint8_t uid[32];
    const ReplayRow row = {.uid = uid, .target = 1, .n_targets = 2};
    sha256_of(name, strlen(name), uid);
    for (int i = 0; i < 2; i++) {
        fuzz_check(replay_image(r, IMAGES[i], row, CHANNELS, SIDE, SIDE, image));
        fuzz_check(replay_number(r, NUMBERS[i], row, i ? 1 : 1000, &number));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Replay *r;
    Status s = replay_open(&r, fuzz_put("replay.safetensors", data, n));
    fuzz_check(s);
    if (s)
        return 0;
    look_for(r, "g/0");
    look_for(r, "e/0");
    replay_close(&r);
    return 0;
}
