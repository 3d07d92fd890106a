/* Folders of the Llama family: what absent keys mean, linear scaling of positions, and the sentence for each key that would compute
 * something else. Numbers are held against transformers by the parity cases. */
#include "kernels/base/utf8.h"
#include "tests/train/models/loading.h"

#define FIELDS "\"vocab_size\":320,\"hidden_size\":64,\"intermediate_size\":128,\"num_hidden_layers\":2,\"num_attention_heads\":4"
#define GROUPED FIELDS ",\"num_key_value_heads\":2,\"rms_norm_eps\":1e-5"

static double loss_with(const char *config)
{
    tiny_write(path("llm"), "config.json", config);
    return loss();
}

/* vicuna-7b-v1.5 and, in small, what a Llama shares with a Mistral that has no window. */
TEST(a_llama_is_a_mistral_without_a_window)
{
    start();
    double expected = loss_with("{\"model_type\":\"mistral\"," GROUPED ",\"sliding_window\":null}");
    CHECK(loss_with("{\"model_type\":\"llama\"," GROUPED "}") == expected);
    CHECK(loss_with("{\"architectures\":[\"LlamaForCausalLM\"]," GROUPED "}") == expected);
    CHECK(loss_with("{\"model_type\":\"llama\"," GROUPED ",\"pretraining_tp\":2,\"max_position_embeddings\":8,\"attention_bias\":false,"
                    "\"mlp_bias\":false,\"sliding_window\":null,\"layer_types\":[\"full_attention\",\"full_attention\"],"
                    "\"rope_scaling\":null,\"pad_token_id\":0,\"head_dim\":16,\"rope_parameters\":{\"rope_type\":\"default\","
                    "\"rope_theta\":10000}}") == expected);
    CHECK(loss_with("{\"model_type\":\"llama\"," GROUPED ",\"rope_theta\":500.0}") != expected);
    tiny_write(path("llm"), "config.json", "{\"model_type\":\"llama\"," FIELDS "}"); /* as many key/value heads as heads */
    CHECK_FAILS(open_model(), ERR_DATA, text("reading the language model: %s/llm/model.safetensors: "
                                             "model.layers.0.self_attn.k_proj.weight: shape is [32, 64] in the file, [64, 64] in the "
                                             "model", test_dir()));
}

TEST(absent_keys_of_a_llama_are_those_of_its_class)
{
    start();
    CFG.model.llm.init = INIT_AT_RANDOM;
    CFG.model.vision.path = NULL;
    CFG.model.tokens.image = 0;
    CFG.model.tokens.task_understand = CFG.model.tokens.task_generate = CFG.model.tokens.task_edit = NULL;
    tiny_write(path("llm"), "config.json", "{\"model_type\":\"llama\"}");
    Backend null;
    GenLlava *g;
    REQUIRE_OK(null_open(&null));
    REQUIRE_OK(genllava_open(&g, &null, BF16, &CFG, NULL));
    CHECK_INT(genllava_count(g, "llm"), 6738415616); /* Llama 2 7B, and Vicuna */
    genllava_close(&g);
    null.close(&null);
}

/* transformers' linear scaling: half of the positions is twice the wave length. */
TEST(linear_scaling_divides_positions)
{
    start();
    double plain = loss_with("{\"model_type\":\"llama\"," GROUPED "}");
    double scaled = loss_with("{\"model_type\":\"llama\"," GROUPED ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":4.0}}");
    CHECK(scaled != plain);
    CHECK(loss_with("{\"model_type\":\"llama\"," GROUPED ",\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":4}}") == scaled);
    CHECK(loss_with("{\"model_type\":\"mistral\"," GROUPED ",\"sliding_window\":null,\"rope_parameters\":{\"rope_type\":\"linear\","
                    "\"factor\":4.0,\"rope_theta\":10000.0}}") == scaled);
    CHECK(loss_with("{\"model_type\":\"llama\"," GROUPED ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":1.0}}") == plain);
}

static const ConfigCase BAD[] = {
    {"\"attention_bias\":true", "attention_bias is true, which is not supported"},
    {"\"mlp_bias\":true", "mlp_bias is true, which is not supported"},
    {"\"attention_dropout\":0.1", "attention_dropout is 0.1, which is not supported"},
    {"\"hidden_act\":\"gelu\"", "hidden_act is \"gelu\", expected \"silu\" or \"swish\""},
    {"\"sliding_window\":4096", "sliding_window is 4096, but a llama has none"},
    {"\"layer_types\":[\"sliding_attention\"]",
     "layer_types holds sliding_attention; with sliding_window as it is only \"full_attention\" is supported"},
    {"\"quantization_config\":{\"bits\":4}", "quantization_config is of an unknown method; only nf4 and int8 of bitsandbytes are read"},
    {"\"quantization_config\":{\"quant_method\":\"gptq\"}", "quantization_config is of gptq; only nf4 and int8 of bitsandbytes are read"},
    {"\"quantization_config\":{\"load_in_4bit\":true}", "bnb_4bit_quant_type is \"fp4\", only \"nf4\" is supported"},
    {"\"quantization_config\":{\"quant_method\":\"bitsandbytes\"}",
     "quantization_config says neither load_in_4bit nor load_in_8bit, or both: which format its weights have is not known"},
    {"\"partial_rotary_factor\":0.5", "partial_rotary_factor is 0.5, expected 1"},
    {"\"residual_multiplier\":0.22",
     "residual_multiplier is 0.22; this key is not known, so it passes only as null, false, 0, {} or []"},
    {"\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2.0}",
     "rope_scaling has the rope_type \"dynamic\", only \"default\" and \"linear\" are supported"},
    {"\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0}",
     "rope_scaling has the rope_type \"llama3\", only \"default\" and \"linear\" are supported"},
    {"\"rope_parameters\":{\"rope_type\":\"yarn\",\"factor\":2.0}",
     "rope_parameters has the rope_type \"yarn\", only \"default\" and \"linear\" are supported"},
    {"\"rope_scaling\":{\"type\":\"linear\"}", "rope_scaling has the rope_type \"linear\", but no factor"},
    {"\"rope_scaling\":{\"type\":\"linear\",\"factor\":0.5}", "factor is 0.5, expected a number from 1"},
    {"\"rope_scaling\":{\"type\":\"linear\",\"factor\":2,\"low_freq_factor\":1.0}",
     "low_freq_factor is 1; this key is not known, so it passes only as null, false, 0, {} or []"},
    {"\"rope_scaling\":{\"type\":\"linear\",\"factor\":2},\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":4}",
     "rope_scaling divides positions by 2, rope_parameters by 4"},
};

TEST(a_llama_that_computes_something_else_is_refused)
{
    start();
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        tiny_write(path("llm"), "config.json", text("{\"model_type\":\"llama\"," GROUPED ",%s}", BAD[i].json));
        Status s = open_model();
        const char *says = status_message();
        CHECK_INT(s, ERR_DATA);
        CHECK_MSG(utf8_ends(says, BAD[i].message), "%s: it says %s", BAD[i].json, says);
    }
    tiny_write(path("llm"), "config.json", "{\"architectures\":[\"LlavaLlamaForCausalLM\"]," GROUPED "}");
    CHECK_FAILS(open_model(), ERR_DATA, text("%s/llm/config.json:1:18: architectures names LlavaLlamaForCausalLM, expected "
                                             "MistralForCausalLM or LlamaForCausalLM", test_dir()));
}
