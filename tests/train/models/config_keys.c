/* Every key that the libraries write (tests/fixtures/config_keys.txt, made by tests/oracle/config_keys.py) is in its class's table. */
#include <stdio.h>
#include <string.h>

#include "data/pictures/preprocessor.h"
#include "tests/harness.h"
#include "train/models/clip_text.h"
#include "train/models/generation.h"
#include "train/models/lora.h"
#include "train/models/mistral.h"
#include "train/models/noise_schedule.h"
#include "train/models/siglip.h"
#include "train/models/unet.h"
#include "train/models/vae.h"

static const FieldClass GENERATION = {.tables = {GENERATION_RULES}};
static const struct {
    const char *name;
    const FieldClass *class_;
} CLASSES[] = {{"adapter", &LORA_FIELDS}, {"llm", &MISTRAL_FIELDS}, {"vision", &SIGLIP_FIELDS},
               {"clip_vision", &CLIP_VISION_FIELDS}, {"generation", &GENERATION},
               {"preprocessor", &PREPROCESSOR_FIELDS}, {"text_encoder", &CLIP_TEXT_FIELDS}, {"unet", &UNET_FIELDS},
               {"vae", &VAE_FIELDS}, {"scheduler", &SCHEDULER_FIELDS}};

TEST(every_key_of_the_libraries_is_known)
{
    char name[64], key[128];
    int n = 0;
    FILE *f = fopen("tests/fixtures/config_keys.txt", "r");
    REQUIRE(f != NULL);
    for (; fscanf(f, "%63s %127s", name, key) == 2; n++) {
        bool known = false;
        for (size_t i = 0; i < sizeof CLASSES / sizeof *CLASSES; i++)
            known |= !strcmp(CLASSES[i].name, name) && fields_rule(CLASSES[i].class_, key);
        CHECK_MSG(known, "%s: %s is in no table", name, key);
    }
    fclose(f);
    CHECK(n > 150);
}
