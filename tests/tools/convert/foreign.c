/* foreign: each spelling of a tensor's name, and tensors that are of no network that this could be. */
#include "tools/convert/foreign.h"

#include "tests/harness.h"

TEST(foreign_names_become_ours_in_every_spelling)
{
    static const char *const NAMES[][2] = {
        {"model.embed_tokens.weight", "model.embed_tokens.weight"},
        {"language_model.model.norm.weight", "model.norm.weight"},
        {"model.language_model.layers.31.mlp.up_proj.weight", "model.layers.31.mlp.up_proj.weight"},
        {"layers.0.input_layernorm.weight", "model.layers.0.input_layernorm.weight"},
        {"language_model.lm_head.weight", "lm_head.weight"},
        {"model.multi_modal_projector.linear_2.bias", "multi_modal_projector.linear_2.bias"},
        {"model.mm_projector.2.weight", "multi_modal_projector.linear_2.weight"},
        {"model.mm_projector.bias", "multi_modal_projector.linear_1.bias"},
        {"vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight", "vision_model.encoder.layers.0.mlp.fc1.weight"},
        {"model.vision_tower.post_layernorm.bias", "vision_model.post_layernorm.bias"},
    };
    char ours[WEIGHT_NAME_MAX];
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        CHECK_INT(foreign_name(ours, NAMES[i][0]), FOREIGN_NAMED);
        CHECK_STR(ours, NAMES[i][1]);
    }
    CHECK_INT(foreign_name(ours, "model.layers.0.self_attn.rotary_emb.inv_freq"), FOREIGN_LEFT_OUT);
}

TEST(foreign_tensors_that_would_be_left_unused_are_known_by_no_name)
{
    static const char *const NAMES[] = {
        "model.layers.0.self_attn.q_proj.bias",   "model.layers.0.self_attn.q_norm.weight", "model.layers.0.mlp.up_proj.weight_scale",
        "model.layers.x.mlp.up_proj.weight",      "model.layers.0",                         "model.layers.0.self_attn.q_projx.weight",
        "model.norm.bias",                        "lm_head.bias",                           "multi_modal_projector.x",
        "multi_modal_projector.norm.weight",      "multi_modal_projector.linear_1.scale",   "multi_modal_projector.linear_0.weight",
        "model.mm_projector.1.weight",            "model.mm_projector.readout.0.weight",    "model.mm_projector.-2.weight",
        "model.image_newline",
    };
    char ours[WEIGHT_NAME_MAX];
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        CHECK_MSG(foreign_name(ours, NAMES[i]) == FOREIGN_UNKNOWN, "%s: is taken for %s", NAMES[i], ours);
}
