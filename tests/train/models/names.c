/* names.h: every spelling of every part, there and back. */
#include <stdio.h>

#include "tests/train/models/tiny.h"
#include "train/models/parts.h"

typedef struct NameCase {
    const char *part;
    int spelling;
    const char *ours, *theirs;
} NameCase;

#define LAYER "layers.11.self_attn.q_proj.weight"
#define BLOCK "encoder.layers.25.mlp.fc1.bias"
#define LORA "layers.0.mlp.up_proj.lora_B"
static const NameCase CASES[] = {
    {"llm", 0, "model." LAYER, "model." LAYER},
    {"llm", 0, "lm_head.weight", "lm_head.weight"},
    {"llm", 1, "model." LAYER, "language_model.model." LAYER},
    {"llm", 1, "lm_head.weight", "language_model.lm_head.weight"},
    {"llm", 2, "model." LAYER, "model.language_model." LAYER},
    {"llm", 2, "lm_head.weight", "lm_head.weight"},
    {"llm", 3, "model.norm.weight", "norm.weight"},
    {"llm", 3, "lm_head.weight", "lm_head.weight"},
    {"vision", 0, "vision_model." BLOCK, "vision_model." BLOCK},
    {"vision", 1, "vision_model." BLOCK, BLOCK},
    {"vision", 2, "vision_model." BLOCK, "vision_tower.vision_model." BLOCK},
    {"vision", 3, "vision_model." BLOCK, "model.vision_tower.vision_model." BLOCK},
    {"vision", 4, "vision_model." BLOCK, "vision_tower." BLOCK},
    {"vision", 5, "vision_model." BLOCK, "model.vision_tower." BLOCK},
    {"vision", 6, "vision_model." BLOCK, "model.vision_tower.vision_tower.vision_model." BLOCK},
    {"projector", 0, "multi_modal_projector.linear_2.weight", "multi_modal_projector.linear_2.weight"},
    {"projector", 1, "multi_modal_projector.linear_1.weight", "mm_projector.0.weight"},
    {"projector", 1, "multi_modal_projector.linear_12.bias", "mm_projector.22.bias"},
    {"projector", 2, "multi_modal_projector.linear_2.bias", "projector.2.bias"},
    {"projector", 3, "multi_modal_projector.linear_1.bias", "mm_projector.bias"},
    {"lora", 0, "base_model.model.model." LORA ".weight", "base_model.model.model." LORA ".weight"},
    {"lora", 1, "base_model.model.model." LORA ".weight", "base_model.model.language_model.model." LORA ".weight"},
    {"lora", 2, "base_model.model.model." LORA ".weight", "base_model.model.model.language_model." LORA ".weight"},
    {"lora", 3, "base_model.model.model." LORA ".weight", "base_model.model.model." LORA ".default.weight"},
    {"lora", 4, "base_model.model.model." LORA ".weight", "base_model.model.language_model.model." LORA ".default.weight"},
    {"lora", 5, "base_model.model.model." LORA ".weight", "base_model.model.model.language_model." LORA ".default.weight"},
    {"gen_head", 0, "gen_head.tfm.decoder.layers.0.multihead_attn.in_proj_weight", "tfm.decoder.layers.0.multihead_attn.in_proj_weight"},
    {"gen_head", 0, "gen_head.model.bias", "model.bias"},
    {"gen_head", 1, "gen_head.fc.weight", "llm2hid.weight"},
    {"gen_head", 1, "gen_head.query_embs", "query"},
    {"gen_head", 1, "gen_head.tfm.encoder.norm.weight", "mapper.encoder.norm.weight"},
    {"gen_head", 1, "gen_head.model.weight", "hid2feat.weight"},
    {"unet_conv_in", 0, "unet.conv_in.bias", "conv_in.bias"},
    {"text_encoder", 0, "text_model.encoder.layers.11.mlp.fc1.bias", "text_model.encoder.layers.11.mlp.fc1.bias"},
    {"text_encoder", 1, "text_model.encoder.layers.11.mlp.fc1.bias", "encoder.layers.11.mlp.fc1.bias"},
    {"text_encoder", 1, "text_model.final_layer_norm.weight", "final_layer_norm.weight"},
    {"vae", 0, "vae.encoder.mid_block.attentions.0.to_out.0.bias", "encoder.mid_block.attentions.0.to_out.0.bias"},
    {"vae", 1, "vae.encoder.mid_block.attentions.0.to_out.0.bias", "encoder.mid_block.attentions.0.proj_attn.bias"},
    {"vae_decoder", 0, "vae.post_quant_conv.weight", "post_quant_conv.weight"},
    {"vae_decoder", 1, "vae.decoder.mid_block.attentions.0.to_q.weight", "decoder.mid_block.attentions.0.query.weight"},
    {"unet", 0, "unet.mid_block.attentions.0.proj_in.weight", "mid_block.attentions.0.proj_in.weight"},
};

TEST(names_of_every_spelling_go_there_and_back)
{
    char name[WEIGHT_NAME_MAX];
    int spellings = 0, seen = 0;
    const Spelling *last = NULL;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const NameCase *c = &CASES[i];
        const Part *part = part_find(c->part);
        REQUIRE(c->spelling < part->names->n);
        const Spelling *s = &part->names->spellings[c->spelling];
        CHECK(name_to_theirs(name, s, c->ours));
        CHECK_STR(name, c->theirs);
        CHECK(name_to_ours(name, s, c->theirs));
        CHECK_STR(name, c->ours);
        seen += s != last;
        last = s;
    }
    for (int i = 0; i < N_PARTS; i++)
        spellings += PARTS[i].names ? PARTS[i].names->n : 0;
    CHECK_INT(seen, spellings); /* none is without a case */
}

TEST(names_that_no_rule_fits_stay)
{
    char name[WEIGHT_NAME_MAX] = "untouched";
    const Spelling *llava = &part_find("projector")->names->spellings[1], *saved = &part_find("lora")->names->spellings[3];
    CHECK(!name_to_theirs(name, llava, "model.norm.weight"));
    CHECK(!name_to_ours(name, llava, "mm_projector.1.weight")); /* an activation's number */
    CHECK(!name_to_ours(name, llava, "mm_projector.02.weight"));
    CHECK(!name_to_ours(name, llava, "mm_projector.x.weight"));
    CHECK(!name_to_ours(name, saved, "base_model.model.model.layers.0.mlp.up_proj.lora_B.weight"));
    CHECK_STR(name, "untouched");
    CHECK_STR(names_in_file(name, &(FileNames){.spelling = llava}, "model.norm.weight"), "model.norm.weight");
}

TEST(what_files_hold_besides_is_left_out_in_every_spelling)
{
    static const struct {
        const char *part;
        int spelling;
        const char *name;
        bool quiet;
    } WANTED[] = {
        {"llm", 0, "model.layers.0.self_attn.rotary_emb.inv_freq", true},
        {"llm", 1, "language_model.model.layers.0.self_attn.rotary_emb.inv_freq", true},
        {"llm", 1, "language_model.lm_head.weight", true},
        {"llm", 0, "model.layers.0.self_attn.q_proj.bias", false},
        {"vision", 0, "text_model.embeddings.token_embedding.weight", true},
        {"vision", 0, "logit_scale", true},
        {"vision", 0, "vision_model.head.probe", true},
        {"vision", 1, "encoder.layers.26.mlp.fc1.weight", true},
        {"vision", 1, "text_model.encoder.layers.0.mlp.fc1.weight", true},
        {"vision", 3, "model.vision_tower.vision_model.post_layernorm.weight", true},
        {"vision", 3, "model.vision_tower.vision_model.embeddings.position_ids", true},
        {"vision", 3, "model.vision_tower.vision_model.embeddings.other", false},
        {"projector", 0, "multi_modal_projector.linear_3.weight", false},
        {"vae", 1, "decoder.mid_block.attentions.0.query.weight", true},
        {"vae", 0, "quant_conv.weight", false},
        {"vae_decoder", 0, "quant_conv.weight", true},
        {"vae_decoder", 0, "post_quant_conv.weight", false},
    };
    for (size_t i = 0; i < sizeof WANTED / sizeof *WANTED; i++) {
        const NameTable *table = part_find(WANTED[i].part)->names;
        FileNames f = {.table = table, .spelling = &table->spellings[WANTED[i].spelling]};
        CHECK_MSG((names_quiet(&f, WANTED[i].name) != NULL) == WANTED[i].quiet, "%s", WANTED[i].name);
    }
}

/* The wrapper is what stands before the first name that fits, whole parts of it. */
TEST(the_spelling_of_a_file_is_found_with_its_wrapper)
{
    static TinyTensors t;
    char path[1024], name[WEIGHT_NAME_MAX];
    const NameTable *table = part_find("projector")->names;
    SafeTensors *st;
    t = (TinyTensors){.type = F32};
    tiny_add(&t, "a.xmm_projector.0.weight", 1, 1, 0, 0, 0);
    tiny_add(&t, "base_model.model.model.mm_projector.0.weight", 1, 1, 0, 0, 0);
    snprintf(path, sizeof path, "%s/p.safetensors", test_dir());
    tiny_save(&t, path, 1);
    REQUIRE_OK(safetensors_open(&st, path));
    FileNames f = names_find(table, st, "multi_modal_projector.linear_1.weight");
    CHECK(f.spelling == &table->spellings[1]);
    CHECK_STR(names_in_file(name, &f, "multi_modal_projector.linear_2.bias"), "base_model.model.model.mm_projector.2.bias");
    f = names_find(table, st, "multi_modal_projector.linear_3.weight"); /* of no spelling: the first */
    CHECK_STR(names_in_file(name, &f, "multi_modal_projector.linear_3.weight"), "multi_modal_projector.linear_3.weight");
    safetensors_close(&st);
}
