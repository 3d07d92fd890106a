/* samples: the sheet of one step holds every picture, each in its own place, however small and many they are. */
#include "train/log/samples.h"

#include <stdio.h>

#include "data/formats/file.h"
#include "data/pictures/sheet.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"

enum { SIDE = 8, PICTURES = 7, COLUMNS = 3 };

static void load(Image *picture, const char *folder, const char *name)
{
    char path[PATH_MAX], *bytes;
    size_t n;
    Reject reject;
    REQUIRE_OK(file_read(&bytes, &n, file_join(path, folder, name), 1 << 20));
    REQUIRE_OK(image_decode(picture, (const uint8_t *)bytes, n, 1 << 20, &reject));
    mem_free(bytes);
}

TEST(every_picture_has_a_place_on_the_sheet_of_a_step)
{
    const char *sets[] = {"device=cpu", "model.diffusion.size=8"};
    static char text[] = "Draw a cat";
    RunConfig cfg;
    Answerer *a;
    SamplePrompt list[PICTURES];
    const Samples samples = {.list = list, .n = PICTURES};
    char folder[PATH_MAX], name[32];
    Image found, wanted, picture;
    REQUIRE_OK(config_load(&cfg, test_fixture("parity/noise_frozen/config.json"), sets, 2));
    cfg.draws = true;
    REQUIRE_OK(answerer_open(&a, &cfg, NULL));
    for (int i = 0; i < PICTURES; i++)
        list[i] = (SamplePrompt){.task = TASK_GENERATE, .key = "draw", .text = text, .n_text = sizeof text - 1};
    REQUIRE_OK(samples_write(&samples, a, &cfg, test_dir(), 1));
    file_join(folder, test_dir(), "samples/step-000001");
    REQUIRE_OK(sheet_create(&wanted, (PICTURES + COLUMNS - 1) / COLUMNS, COLUMNS, SIDE, SIDE));
    for (int i = 0; i < PICTURES; i++) {
        snprintf(name, sizeof name, "%06d.png", i);
        load(&picture, folder, name);
        sheet_put(&wanted, i / COLUMNS, i % COLUMNS, &picture);
        image_free(&picture);
    }
    load(&found, folder, "sheet.png");
    REQUIRE(found.width == wanted.width && found.height == wanted.height);
    CHECK(!memcmp(found.rgb, wanted.rgb, (size_t)found.width * (size_t)found.height * 3));
    image_free(&found);
    image_free(&wanted);
    answerer_close(&a);
    config_free(&cfg);
}
