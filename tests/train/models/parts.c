/* parts.h: that the rows name real keys, and that each weight gets what its row says. */
#include <stdio.h>
#include <unistd.h>

#include "tests/train/models/tiny.h"
#include "data/formats/file.h"
#include "train/config/options.h"
#include "train/models/parts.h"

static void check_key(const Part *part, PartKey key, OptionKind kind)
{
    const Option *o = key.name ? option_find(key.name) : NULL;
    CHECK_MSG(!key.name || (o && o->kind == kind && o->offset == key.offset), "%s: %s", part->name, key.name);
}

TEST(the_rows_of_parts_name_keys_of_the_right_kind)
{
    for (int i = 0; i < N_PARTS; i++) {
        const Part *part = &PARTS[i];
        check_key(part, part->path, OPTION_PATH);
        check_key(part, part->init, part->path.name ? OPTION_CHOICE : OPTION_INIT);
        check_key(part, part->train, OPTION_CHOICE);
        check_key(part, part->lr, OPTION_REAL);
        CHECK(part_find(part->name) == part && (!part->after || part_find(part->after)));
        CHECK(!part->declare || (part->title && part->saved));
    }
    CHECK(!part_find("nonesuch"));
}

TEST(each_weight_has_the_rate_of_its_part)
{
    static const struct {
        const char *part, *weight;
        double lr;
        bool trained;
    } WANTED[] = {{"llm", "model.norm.weight", 1, false},
                  {"vision", "vision_model.embeddings.patch_embedding.bias", 2, true},
                  {"projector", "multi_modal_projector.linear_1.weight", 3, true},
                  {"lora", "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", 1, true},
                  {"tokens", "token_rows.lm_head", 4, false}};
    RunConfig cfg;
    TinyModel m;
    tiny_folders();
    tiny_config(&cfg);
    cfg.optim.lr = 1;
    cfg.optim.lr_vision = 2;
    cfg.optim.lr_projector = 3;
    cfg.optim.lr_tokens = 4;
    cfg.model.vision.train = TRAIN_FULL;
    cfg.model.tokens.train = TRAIN_FROZEN;
    REQUIRE_OK(tiny_open(&m, &cfg, F32, RECOMPUTE_NONE));
    for (size_t i = 0; i < sizeof WANTED / sizeof *WANTED; i++) {
        const Param *q = params_find(genllava_params(m.g), WANTED[i].weight);
        REQUIRE(q != NULL);
        CHECK(params_of(q, WANTED[i].part) && q->group.lr == WANTED[i].lr && q->trainable == WANTED[i].trained);
        CHECK(part_trained(part_find(WANTED[i].part), &cfg) == WANTED[i].trained);
    }
    tiny_close(&m);
}

TEST(a_model_without_pictures_has_no_tower_and_no_projector)
{
    RunConfig cfg;
    TinyModel m;
    tiny_folders();
    tiny_config(&cfg);
    cfg.model.vision.path = NULL;
    cfg.model.llm.train = TRAIN_FROZEN;
    cfg.model.tokens.image = 0;
    cfg.model.tokens.task_understand = cfg.model.tokens.task_generate = cfg.model.tokens.task_edit = NULL;
    REQUIRE_OK(tiny_open(&m, &cfg, F32, RECOMPUTE_NONE));
    for (int i = 0; i < N_PARTS; i++) {
        bool alone = !strcmp(PARTS[i].name, "llm");
        CHECK(part_wanted(&PARTS[i], &cfg) == alone && (genllava_count(m.g, PARTS[i].name) > 0) == alone);
    }
    tiny_close(&m);
}

static Status collect(void *arg, const PartFile *file, Status s)
{
    (void)file;
    CHECK(s == ERR_MISSING);
    snprintf((char *)arg + strlen(arg), 8192 - strlen(arg), "%s\n", status_message());
    return OK;
}

TEST(every_missing_file_of_a_folder_is_named)
{
    static char said[8192];
    char wanted[8192];
    const char *dir = test_dir();
    RunConfig cfg;
    tiny_config(&cfg);
    tiny_write(cfg.model.llm.path, "note", "");
    tiny_write(cfg.model.vision.path, "note", "");
    CHECK_OK(parts_check_files(&cfg, false, collect, said));
    snprintf(wanted, sizeof wanted, "model.llm.path: %s/llm/config.json: there is no such file; the sizes of the model are read from "
                                    "there\nmodel.llm.path: %s/llm/tokenizer.model: there is no such file; the tokenizer is read from "
                                    "there\nmodel.vision.path: %s/vision/config.json: there is no such file; the sizes of the model are "
                                    "read from there\nmodel.vision.path: %s/vision/preprocessor_config.json: there is no such file; how "
                                    "pictures are prepared is read from there\n",
             dir, dir, dir, dir);
    CHECK_STR(said, wanted);
    said[0] = 0;
    cfg.model.vision.init = INIT_AT_RANDOM;
    cfg.model.llm.path = NULL;
    CHECK_OK(parts_check_files(&cfg, false, collect, said));
    snprintf(wanted, sizeof wanted,
             "model.vision.path: %s/vision/config.json: there is no such file; the sizes of the model are read from there\n", dir);
    CHECK_STR(said, wanted);
}

/* A run whose losses compare states of prompts needs the text encoder; one of noise the autoencoder; neither is learned. */
TEST(networks_that_draw_are_wanted_by_their_losses)
{
    static const struct {
        ImageLoss generate, edit;
        bool text, vae;
        const char *missing;
    } CASES[] = {
        {IMAGE_LOSS_L2NORM, IMAGE_LOSS_MSE, true, false,
         "model.diffusion.path: %1$s/sd/text_encoder/config.json: there is no such file; the sizes of the model are read from there\n"
         "model.diffusion.path: %1$s/sd/tokenizer/vocab.json: there is no such file; the tokenizer of prompts is read from there\n"},
        {IMAGE_LOSS_NOISE, IMAGE_LOSS_NOISE, false, true,
         "model.diffusion.path: %1$s/sd/unet/config.json: there is no such file; the sizes of the model are read from there\n"
         "model.diffusion.path: %1$s/sd/scheduler/scheduler_config.json: there is no such file; how noise is mixed in is read from there\n"
         "model.diffusion.path: %1$s/sd/vae/config.json: there is no such file; the sizes of the model are read from there\n"},
        {IMAGE_LOSS_L2NORM, IMAGE_LOSS_NOISE, true, true, NULL},
    };
    RunConfig cfg;
    char folder[1024];
    tiny_folders();
    tiny_config(&cfg);
    cfg.model.llm.path = NULL;
    snprintf(folder, sizeof folder, "%s/sd", test_dir());
    tiny_write(folder, "note", "");
    const Part *text = part_find("text_encoder"), *vae = part_find("vae");
    CHECK(!part_wanted(text, &cfg) && !part_wanted(vae, &cfg));
    cfg.model.diffusion.path = folder;
    CHECK(!part_trained(text, &cfg) && !part_drawn(text, &cfg) && !part_trained(vae, &cfg) && !part_drawn(vae, &cfg));
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        static char said[8192];
        char wanted[8192];
        cfg.loss.generate = CASES[i].generate;
        cfg.loss.edit = CASES[i].edit;
        CHECK(part_wanted(text, &cfg) == CASES[i].text && part_wanted(vae, &cfg) == CASES[i].vae);
        said[0] = 0;
        CHECK_OK(parts_check_files(&cfg, false, collect, said));
        if (!CASES[i].missing)
            continue;
        snprintf(wanted, sizeof wanted, CASES[i].missing, test_dir());
        CHECK_STR(said, wanted);
    }
    cfg.loss.generate = cfg.loss.edit = IMAGE_LOSS_MSE;
    CHECK(!part_wanted(vae, &cfg) && !part_wanted(part_find("unet"), &cfg));
}

/* To learn, pictures are encoded; to draw, latents are decoded, and only what is to be edited is encoded. */
TEST(halves_of_the_autoencoder_are_wanted_by_what_is_done)
{
    static const struct {
        bool draws;
        ImageLoss loss;
        EditMode edit;
        bool encoder, decoder;
    } CASES[] = {
        {false, IMAGE_LOSS_NOISE, EDIT_IP2P, true, false},   {false, IMAGE_LOSS_MSE, EDIT_SDEDIT, false, false},
        {true, IMAGE_LOSS_MSE, EDIT_LLM_ONLY, false, true},  {true, IMAGE_LOSS_NOISE, EDIT_LLM_ONLY, true, true},
        {true, IMAGE_LOSS_L2NORM, EDIT_SDEDIT, true, true},
    };
    RunConfig cfg;
    char folder[] = "sd";
    tiny_folders();
    tiny_config(&cfg);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        cfg.model.diffusion.path = folder;
        cfg.draws = CASES[i].draws;
        cfg.loss.generate = cfg.loss.edit = CASES[i].loss;
        cfg.model.diffusion.edit = CASES[i].edit;
        CHECK(part_wanted(part_find("vae"), &cfg) == CASES[i].encoder && part_wanted(part_find("vae_decoder"), &cfg) == CASES[i].decoder);
        CHECK(part_wanted(part_find("unet"), &cfg) == (CASES[i].encoder || CASES[i].decoder));
        cfg.model.diffusion.path = NULL;
        CHECK(!part_wanted(part_find("vae"), &cfg) && !part_wanted(part_find("vae_decoder"), &cfg));
    }
}

/* The tokenizer beside an encoder that is a link lies beside the link, in either of its forms. */
TEST(the_tokenizer_beside_a_linked_encoder_is_found)
{
    static char said[8192];
    char sd[1024], folder[1024 + 32];
    RunConfig cfg;
    tiny_folders();
    tiny_config(&cfg);
    snprintf(sd, sizeof sd, "%s/sd", test_dir());
    snprintf(folder, sizeof folder, "%s/elsewhere/text_encoder", test_dir());
    REQUIRE_OK(file_make_folders(folder));
    tiny_write(folder, "config.json", "{}");
    snprintf(folder, sizeof folder, "%s/tokenizer", sd);
    REQUIRE_OK(file_make_folders(folder));
    tiny_write(folder, "tokenizer.json", "{}");
    snprintf(folder, sizeof folder, "%s/text_encoder", sd);
    REQUIRE(!symlink("../elsewhere/text_encoder", folder));
    cfg.model.llm.path = NULL;
    cfg.model.diffusion.path = sd;
    cfg.loss.generate = cfg.loss.edit = IMAGE_LOSS_L2NORM;
    CHECK_OK(parts_check_files(&cfg, false, collect, said));
    CHECK_STR(said, "");
}

/* Weights of several parts are missed at once, each with its key; drawn ones are not missed. */
TEST(missing_weights_are_named_together)
{
    static const char *const FOLDERS[] = {"unet", "vae"};
    char said[8192] = "", sd[1024], folder[1024 + 32], wanted[8192];
    RunConfig cfg;
    tiny_folders();
    tiny_config(&cfg);
    snprintf(sd, sizeof sd, "%s/sd", test_dir());
    for (int i = 0; i < 2; i++) {
        snprintf(folder, sizeof folder, "%s/%s", sd, FOLDERS[i]);
        REQUIRE_OK(file_make_folders(folder));
        tiny_write(folder, "config.json", "{}");
    }
    snprintf(folder, sizeof folder, "%s/scheduler", sd);
    REQUIRE_OK(file_make_folders(folder));
    tiny_write(folder, "scheduler_config.json", "{}");
    snprintf(folder, sizeof folder, "%s/bare", test_dir());
    tiny_write(folder, "config.json", "{}");
    tiny_write(folder, "tokenizer.model", "");
    cfg.model.llm.path = folder;
    cfg.model.diffusion.path = sd;
    cfg.loss.generate = cfg.loss.edit = IMAGE_LOSS_NOISE;
    static const char WANTED[] =
        "model.diffusion.path: %s/unet: neither diffusion_pytorch_model.safetensors nor diffusion_pytorch_model.safetensors.index.json "
        "in it\nmodel.diffusion.path: %s/vae: neither diffusion_pytorch_model.safetensors nor "
        "diffusion_pytorch_model.safetensors.index.json in it\n";
    cfg.model.llm.init = INIT_AT_RANDOM;
    CHECK_OK(parts_check_files(&cfg, true, collect, said));
    snprintf(wanted, sizeof wanted, WANTED, sd, sd);
    CHECK_STR(said, wanted);
    said[0] = 0;
    cfg.model.llm.init = INIT_FROM_WEIGHTS;
    CHECK_OK(parts_check_files(&cfg, true, collect, said));
    size_t n = (size_t)snprintf(wanted, sizeof wanted,
                                "model.llm.path: %s: neither model.safetensors nor model.safetensors.index.json in it\n", folder);
    snprintf(wanted + n, sizeof wanted - n, WANTED, sd, sd);
    CHECK_STR(said, wanted);
}
