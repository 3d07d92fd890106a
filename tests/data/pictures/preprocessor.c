/* What a vision folder says about pictures, in all its spellings, and its mistakes. */
#include "data/pictures/preprocessor.h"

#include <stdio.h>
#include <string.h>

#include "kernels/base/log.h"
#include "tests/harness.h"

/* A folder with these two files; NULL leaves one out. */
static const char *folder(const char *config, const char *preprocessor)
{
    const char *names[2] = {"config.json", "preprocessor_config.json"}, *texts[2] = {config, preprocessor};
    for (int i = 0; i < 2; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", test_dir(), names[i]);
        remove(path);
        FILE *f = texts[i] ? fopen(path, "w") : NULL;
        if (f) {
            fputs(texts[i], f);
            fclose(f);
        }
    }
    log_level(LOG_QUIET);
    return test_dir();
}

static const char CONFIG[] = "{\"image_size\":64,\"patch_size\":10}";

TEST(preprocessor_reads_siglip)
{
    Preprocessor p;
    REQUIRE_OK(preprocessor_load(&p,
                                 folder("{\"model_type\":\"siglip\",\"vision_config\":{\"image_size\":384,\"patch_size\":14}}",
                                        "{\"size\":{\"height\":384,\"width\":384},\"resample\":3,\"rescale_factor\":0.00392156862745098,"
                                        "\"image_mean\":[0.5,0.5,0.5],\"image_std\":[0.5,0.5,0.5],\"do_resize\":true}"),
                                 true));
    CHECK(p.prep.width == 384 && p.prep.height == 384 && p.prep.pad && p.prep.filter == FILTER_BICUBIC);
    CHECK(p.prep.fill[0] == 127 && p.prep.fill[1] == 127 && p.prep.fill[2] == 127);
    CHECK(p.rescale == 1.0 / 255 && p.mean[2] == 0.5 && p.std[0] == 0.5);
    CHECK(p.patch == 14 && p.patches == 729);
}

TEST(preprocessor_reads_other_spellings)
{
    Preprocessor p;
    REQUIRE_OK(
        preprocessor_load(&p, folder(CONFIG, "{\"size\":64,\"resample\":2,\"image_mean\":[0.48145466,0.4578275,0.40821073]}"), false));
    CHECK(p.prep.width == 64 && !p.prep.pad && p.prep.filter == FILTER_BILINEAR && p.patches == 36);
    CHECK(p.prep.fill[0] == 122 && p.prep.fill[1] == 116 && p.prep.fill[2] == 104);
    REQUIRE_OK(preprocessor_load(&p, folder(CONFIG, "{\"size\":{\"shortest_edge\":64},\"image_mean\":0,\"image_std\":1}"), true));
    CHECK(p.prep.height == 64 && p.prep.filter == FILTER_BICUBIC && p.mean[1] == 0 && p.std[1] == 1 && p.prep.fill[1] == 0);
    REQUIRE_OK(preprocessor_load(&p, folder(CONFIG, "{\"size\":null,\"do_rescale\":false,\"do_normalize\":false}"), false));
    CHECK(p.rescale == 1 && p.mean[0] == 0 && p.std[0] == 1 && p.prep.fill[0] == 127);
    REQUIRE_OK(preprocessor_load(&p, folder(CONFIG, NULL), false));
    CHECK(p.prep.height == 64 && p.mean[0] == 0.5 && p.rescale == 1.0 / 255);
    REQUIRE_OK(preprocessor_load(&p, folder("{\"vision_config\":{\"model_type\":\"siglip_vision_model\"}}", NULL), false));
    CHECK(p.prep.height == 224 && p.patch == 16 && p.patches == 196);
}

static void fails(const char *config, const char *preprocessor, Status kind, const char *sentence)
{
    Preprocessor p;
    char wanted[1024];
    const char *dir = folder(config, preprocessor);
    const char *first = strstr(sentence, "%s"), *second = first ? strstr(first + 2, "%s") : NULL;
    REQUIRE(first); /* each %s stands for the folder */
    snprintf(wanted, sizeof wanted, "%.*s%s%.*s%s%s", (int)(first - sentence), sentence, dir,
             second ? (int)(second - first - 2) : (int)strlen(first + 2), first + 2, second ? dir : "", second ? second + 2 : "");
    CHECK_FAILS(preprocessor_load(&p, dir, false), kind, wanted);
}

/* Each gives other pictures with transformers 5.24. */
TEST(preprocessor_refuses_what_makes_other_pictures)
{
    fails(CONFIG, "{\"do_resize\":false}", ERR_DATA, "%s/preprocessor_config.json:1:14: do_resize is false, expected true");
    fails(CONFIG, "{\"do_convert_rgb\":false}", ERR_DATA, "%s/preprocessor_config.json:1:19: do_convert_rgb is false, expected true");
    fails(CONFIG, "{\"do_pad\":true}", ERR_DATA, "%s/preprocessor_config.json:1:11: do_pad is true, which is not supported");
    fails(CONFIG, "{\"size_divisor\":32}", ERR_DATA,
          "%s/preprocessor_config.json:1:17: size_divisor is 32; this key is not known, so it passes only as null, false, 0, {} or []");
    fails(CONFIG, "{\"image_processor_type\":\"ViTImageProcessor\"}", ERR_DATA,
          "%s/preprocessor_config.json:1:25: image_processor_type is \"ViTImageProcessor\", expected \"SiglipImageProcessor\" or "
          "\"SiglipImageProcessorFast\" or \"SiglipImageProcessorPil\" or \"CLIPImageProcessor\" or \"CLIPImageProcessorFast\" or "
          "\"CLIPImageProcessorPil\"");
    fails(CONFIG, "{\"default_to_square\":false}", ERR_DATA, "%s/preprocessor_config.json:1:22: default_to_square is false, expected true");
    fails(CONFIG, "{\"size\":{\"height\":72,\"width\":72},\"crop_size\":{\"height\":64,\"width\":64}}", ERR_DATA,
          "%s/preprocessor_config.json:1:46: crop_size is 64x64 of a picture of 72x72; cropping is not supported");
    fails(CONFIG, "{\"size\":64,\"crop_size\":32,\"do_center_crop\":true}", ERR_DATA,
          "%s/preprocessor_config.json:1:24: crop_size is 32x32 of a picture of 64x64; cropping is not supported");
    Preprocessor p;
    REQUIRE_OK(preprocessor_load(&p, folder(CONFIG, "{\"size\":64,\"crop_size\":64,\"do_convert_rgb\":null}"), false));
    REQUIRE_OK(preprocessor_load(&p, folder(CONFIG, "{\"size\":64,\"crop_size\":32,\"do_center_crop\":false}"), false));
    CHECK(p.prep.width == 64);
    REQUIRE_OK(preprocessor_load(&p, folder(CONFIG, "{\"size\":{\"shortest_edge\":64}}"), true));
    fails(CONFIG, "{\"size\":{\"shortest_edge\":64}}", ERR_DATA, "%s/preprocessor_config.json:1:9: size has a shortest_edge, which keeps a "
                                                              "picture's shape; the tower takes squares (model.vision.aspect \"pad\")");
}

/* openai/clip-vit-large-patch14-336: its config.json (in small) and its preprocessor_config.json. */
static const char CLIP_CONFIG[] = "{\"model_type\":\"clip\",\"vision_config\":{\"image_size\":336,\"patch_size\":14}}";
#define CLIP_COLOURS "\"image_mean\":[0.48145466,0.4578275,0.40821073],\"image_std\":[0.26862954,0.26130258,0.27577711]"

TEST(preprocessor_reads_clip)
{
    static const char *const SAME[] = {
        "{\"crop_size\":336,\"do_center_crop\":true,\"do_normalize\":true,\"do_resize\":true,\"feature_extractor_type\":"
        "\"CLIPFeatureExtractor\"," CLIP_COLOURS ",\"resample\":3,\"size\":336}",
        "{\"image_processor_type\":\"CLIPImageProcessor\",\"crop_size\":{\"height\":336,\"width\":336},\"do_convert_rgb\":true,"
        "\"size\":{\"shortest_edge\":336},\"default_to_square\":false," CLIP_COLOURS ",\"do_rescale\":true}",
        "{}", /* all is the class's, at the tower's size */
        NULL,
    };
    Preprocessor p;
    for (size_t i = 0; i < sizeof SAME / sizeof *SAME; i++) {
        REQUIRE_OK(preprocessor_load(&p, folder(CLIP_CONFIG, SAME[i]), false));
        CHECK(p.prep.width == 336 && p.prep.height == 336 && p.prep.shorter == 336 && !p.prep.rounds && !p.prep.pad);
        CHECK(p.prep.filter == FILTER_BICUBIC && p.mean[0] == 0.48145466 && p.std[2] == 0.27577711 && p.rescale == 1.0 / 255);
        CHECK(p.patch == 14 && p.patches == 576);
        REQUIRE_OK(preprocessor_load(&p, folder(CLIP_CONFIG, SAME[i]), true));
        CHECK(p.prep.pad && !p.prep.shorter && p.prep.width == 336); /* a square is resized whole */
        CHECK(p.prep.fill[0] == 122 && p.prep.fill[1] == 116 && p.prep.fill[2] == 104);
    }
    /* More is resized than is cut out; also of what has been padded. */
    for (int pad = 0; pad < 2; pad++) {
        REQUIRE_OK(preprocessor_load(&p, folder(CLIP_CONFIG, "{\"size\":350,\"crop_size\":336}"), pad));
        CHECK(p.prep.shorter == 350 && p.prep.width == 336 && p.prep.pad == pad);
    }
    /* Both sides: stretched, also by CLIP's processor. A SigLIP processor of a CLIP tower stretches too. */
    REQUIRE_OK(preprocessor_load(&p, folder(CLIP_CONFIG, "{\"size\":{\"height\":336,\"width\":336}}"), false));
    CHECK(!p.prep.shorter && p.prep.height == 336);
    REQUIRE_OK(preprocessor_load(&p, folder(CLIP_CONFIG, "{\"image_processor_type\":\"SiglipImageProcessor\",\"size\":336}"), false));
    CHECK(!p.prep.shorter && p.mean[0] == 0.5);
    REQUIRE_OK(preprocessor_load(&p, folder(CLIP_CONFIG, "{\"do_center_crop\":false}"), true));
    CHECK(!p.prep.shorter && p.prep.width == 336);
    REQUIRE_OK(preprocessor_load(&p, folder("{\"model_type\":\"clip_vision_model\"}", NULL), true));
    CHECK(p.prep.width == 224 && p.patch == 32 && p.patches == 49);
    /* The first releases' second copy of the tower's settings is the one that counts. */
    REQUIRE_OK(preprocessor_load(&p, folder("{\"model_type\":\"clip\",\"vision_config\":{\"image_size\":224},"
                                            "\"vision_config_dict\":{\"image_size\":336,\"patch_size\":14}}", NULL), true));
    CHECK(p.patches == 576);
}

TEST(preprocessor_refuses_what_makes_other_pictures_of_clip)
{
    fails(CLIP_CONFIG, "{\"do_center_crop\":false}", ERR_DATA,
          "%s/preprocessor_config.json:1:19: do_center_crop is false, which keeps a picture's shape; the tower takes squares "
          "(model.vision.aspect \"pad\")");
    fails(CLIP_CONFIG, "{\"crop_size\":337}", ERR_DATA,
          "%s/preprocessor_config.json:1:14: crop_size is 337x337, more than the shorter side of 336 (size)");
    fails(CLIP_CONFIG, "{\"default_to_square\":true}", ERR_DATA,
          "%s/preprocessor_config.json:1:22: default_to_square is true, expected false");
    fails(CLIP_CONFIG, "{\"size\":224,\"crop_size\":224}", ERR_DATA,
          "%s/preprocessor_config.json says pictures of 224x224 pixels, %s/config.json says image_size 336; they must agree");
    fails(CLIP_CONFIG, "{\"size\":{\"height\":350,\"width\":350}}", ERR_DATA,
          "%s/preprocessor_config.json says pictures of 350x350 pixels, %s/config.json says image_size 336; they must agree");
    fails(CLIP_CONFIG, "{\"size\":{\"height\":350,\"width\":350},\"crop_size\":336}", ERR_DATA,
          "%s/preprocessor_config.json:1:48: crop_size is 336x336 of a picture of 350x350; cropping is not supported");
    fails(
        CLIP_CONFIG, "{\"use_square_size\":true}", ERR_DATA,
        "%s/preprocessor_config.json:1:20: use_square_size is true; this key is not known, so it passes only as null, false, 0, {} or []");
}

/* transformers 5 writes the processor's file alone, and reads it before the other one. */
TEST(preprocessor_reads_the_file_of_the_whole_processor)
{
    Preprocessor p;
    char path[512];
    for (int both = 0; both < 2; both++) {
        const char *dir = folder(CONFIG, both ? "{\"image_mean\":0.25}" : NULL);
        snprintf(path, sizeof path, "%s/processor_config.json", dir);
        FILE *f = fopen(path, "w");
        REQUIRE(f);
        fputs("{\"processor_class\":\"SiglipProcessor\",\"image_processor\":{\"image_mean\":0.75,\"resample\":2,"
              "\"image_processor_type\":\"SiglipImageProcessor\",\"size\":{\"height\":64,\"width\":64}}}", f);
        fclose(f);
        CHECK_STR(preprocessor_file(dir), "processor_config.json");
        REQUIRE_OK(preprocessor_load(&p, dir, false));
        CHECK(p.mean[0] == 0.75 && p.prep.filter == FILTER_BILINEAR);
    }
    FILE *f = fopen(path, "w");
    fputs("{\"processor_class\":\"LlavaProcessor\",\"patch_size\":14}", f); /* of older releases: says nothing of pictures */
    fclose(f);
    REQUIRE_OK(preprocessor_load(&p, test_dir(), false));
    CHECK(p.mean[0] == 0.25);
    remove(path);
}

TEST(preprocessor_names_what_is_wrong)
{
    fails(CONFIG, "{\"size\":{\"height\":32,\"width\":32}}", ERR_DATA,
          "%s/preprocessor_config.json says pictures of 32x32 pixels, %s/config.json says image_size 64; they must agree");
    fails(CONFIG, "{\"size\":{\"longest\":3}}", ERR_DATA, "%s/preprocessor_config.json:1:9: size has neither height and width nor "
                                                          "shortest_edge");
    fails(CONFIG, "{\"size\":\"big\"}", ERR_DATA, "%s/preprocessor_config.json:1:9: size is a string, expected an integer");
    fails(CONFIG, "{\"resample\":5}", ERR_DATA,
          "%s/preprocessor_config.json:1:13: resample is 5, expected 0 (nearest), 1 (Lanczos), 2 (bilinear) or 3 (bicubic)");
    fails(CONFIG, "{\"image_mean\":[1,2]}", ERR_DATA, "%s/preprocessor_config.json:1:15: image_mean has 2 numbers, expected 3");
    fails(CONFIG, "{\"image_std\":[1,0,1]}", ERR_DATA, "%s/preprocessor_config.json:1:14: image_std holds 0, expected numbers above 0");
    fails("{\"image_size\":8,\"patch_size\":16}", "{}", ERR_DATA, "%s/config.json: patch_size 16 is larger than image_size 8");
    fails("{\"image_size\":0}", "{}", ERR_DATA, "%s/config.json:1:15: image_size is 0, expected 1 … 16384");
    fails("[]", "{}", ERR_DATA, "%s/config.json:1:1: expected an object, found an array");
    fails(NULL, "{}", ERR_MISSING, "%s/config.json: cannot be opened: No such file or directory");
}
