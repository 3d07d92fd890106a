/* Reading PEFT folders: targets, spellings, and the sentence for each thing that an adapter asks for and does not get. */
#include "tests/train/models/loading.h"

TEST(an_unknown_target_lists_the_linears)
{
    start();
    CFG.model.lora.targets.items[3] = (char[]){"out_proj"};
    CHECK_FAILS(open_model(), ERR_USAGE, "model.lora.targets: \"out_proj\" names no linear of the language model; they are q_proj, "
                                         "k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj");
}

TEST(targets_are_ends_of_paths)
{
    start();
    char *targets[] = {(char[]){"0.self_attn.q_proj"}, (char[]){"mlp.up_proj"}};
    CFG.model.lora.targets = (StringList){targets, 2};
    TinyModel m;
    REQUIRE_OK(tiny_open(&m, &CFG, F32, RECOMPUTE_NONE));
    Params *p = genllava_params(m.g);
    CHECK(params_find(p, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight") != NULL);
    CHECK(params_find(p, "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight") == NULL);
    CHECK(params_find(p, "base_model.model.model.layers.1.mlp.up_proj.lora_B.weight") != NULL);
    CHECK_INT(genllava_count(m.g, "lora"), 4 * (128 + 2 * 192));
    tiny_close(&m);
}

TEST(adapters_of_every_spelling_are_read)
{
    start_adapter();
    static const char *const PREFIX[] = {"base_model.model.model.", "base_model.model.language_model.model.",
                                         "base_model.model.model.language_model."};
    static const char *const CONFIG[] = {"{" ADAPTER ",\"target_modules\":[\"down_proj\",\"q_proj\"],\"bias\":\"none\","
                                                     "\"rank_pattern\":{}}",
                                         "{" ADAPTER ",\"target_modules\":\".*language_model.*\\\\.(q_proj|down_proj)\","
                                                     "\"use_dora\":false}",
                                         "{" ADAPTER ",\"target_modules\":[\"self_attn.q_proj\",\"down_proj\"]}"};
    double expected = 0;
    for (int i = 0; i < 3; i++) {
        adapter(CONFIG[i], PREFIX[i], F32);
        double l = loss();
        expected = i ? expected : l;
        CHECK(l == expected);
    }
    adapter(CONFIG[0], PREFIX[0], BF16);
    CHECK(loss() != expected);
}

TEST(an_adapter_that_differs_from_the_config_is_an_error_naming_both)
{
    static const ConfigCase BAD[] = {
        {"{\"r\":8,\"lora_alpha\":8,\"target_modules\":[\"q_proj\",\"down_proj\"]}", "model.lora.r is 4 here, r is 8 in %s"},
        {"{\"r\":4,\"lora_alpha\":2.5,\"target_modules\":[\"q_proj\",\"down_proj\"]}",
         "model.lora.alpha is 8 here, lora_alpha is 2.5 in %s"},
        {"{" ADAPTER ",\"use_rslora\":true,\"target_modules\":[\"q_proj\",\"down_proj\"]}",
         "model.lora.rslora is false here, use_rslora is true in %s"},
        {"{" ADAPTER ",\"target_modules\":[\"q_proj\",\"v_proj\"]}",
         "model.lora.targets is q_proj, down_proj here, target_modules is q_proj, v_proj in %s"},
        {"{" ADAPTER ",\"target_modules\":\"all-linear\"}", "model.lora.targets is q_proj, down_proj here, target_modules is "
                                                            "\"all-linear\" in %s"},
    };
    start_adapter();
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        char file[1024], wanted[2048], format[512];
        adapter(BAD[i].json, "base_model.model.model.", F32);
        snprintf(file, sizeof file, "%s/adapter/adapter_config.json", test_dir());
        snprintf(format, sizeof format, "%.*s", (int)(strlen(BAD[i].message) - 2), BAD[i].message);
        snprintf(wanted, sizeof wanted, "reading the adapters: %s%s", format, file);
        CHECK_FAILS(open_model(), ERR_USAGE, wanted);
    }
    adapter("{" ADAPTER ",\"use_dora\":true}", "base_model.model.model.", F32);
    CHECK_FAILS(open_model(), ERR_DATA, text("reading the adapters: %s/adapter/adapter_config.json:1:53: use_dora is true, which is not "
                                             "supported", test_dir()));
    CFG.model.llm.train = TRAIN_FROZEN;
    CHECK_FAILS(open_model(), ERR_USAGE, "model.lora.init is set, but model.llm.train is not \"lora\"");
}

/* Each changes what PEFT 0.21 computes, or is not known. */
TEST(what_an_adapter_asks_for_besides_is_refused_by_name)
{
    static const char LATER[] = "%s, which is not supported", VALUES[] = "%s, expected true or \"gaussian\" or \"orthogonal\" or \"eva\"";
    static const struct {
        const char *key, *value, *rest, *shown;
    } BAD[] = {
        {"init_lora_weights", "\"pissa\"", VALUES, "\"pissa\""},
        {"init_lora_weights", "\"pissa_niter_16\"", VALUES, "\"pissa_niter_16\""},
        {"init_lora_weights", "\"olora\"", VALUES, "\"olora\""},
        {"init_lora_weights", "\"corda\"", VALUES, "\"corda\""},
        {"init_lora_weights", "\"loftq\"", VALUES, "\"loftq\""},
        {"init_lora_weights", "\"lora_ga\"", VALUES, "\"lora_ga\""},
        {"init_lora_weights", "\"mica\"", VALUES, "\"mica\""},
        {"modules_to_save", "[\"lm_head\"]", LATER, "an array"},
        {"modules_to_save", "[\"embed_tokens\",\"model.lm_head\"]", LATER, "an array"},
        {"modules_to_save", "\"embed_tokens\"", LATER, "\"embed_tokens\""},
        {"trainable_token_indices", "[3]", LATER, "an array"},
        {"trainable_token_indices", "{\"embed_tokens\":[0]}", LATER, "an object"},
        {"target_parameters", "[\"mlp.experts\"]", LATER, "an array"},
        {"layer_replication", "[[0,2]]", LATER, "an array"},
        {"alora_invocation_tokens", "[5]", LATER, "an array"},
        {"bias", "\"all\"", "%s, expected \"none\"", "\"all\""},
        {"lora_bias", "true", LATER, "true"},
        {"use_qalora", "true", LATER, "true"},
        {"fan_in_fan_out", "true", LATER, "true"},
        {"exclude_modules", "\".*0.*\"", LATER, "\".*0.*\""},
        {"exclude_modules", "[\"down_proj\"]", LATER, "an array"},
        {"rank_pattern", "{\"q_proj\":2}", LATER, "an object"},
        {"rank_pattern", "{\"^model\\\\.layers\\\\.1\\\\..*\":2}", LATER, "an object"},
        {"rank_pattern", "{\"q_proj\":{}}", LATER, "an object"},
        {"alpha_pattern", "{\"model.layers.1.self_attn.q_proj\":2}", LATER, "an object"},
        {"alpha_pattern", "{\"q_proj\":2}", LATER, "an object"},
        {"kasa_config", "{\"a\":1}", LATER, "an object"},
        {"peft_type", "\"LOHA\"", "%s, expected \"LORA\"", "\"LOHA\""},
        {"layers_pattern", "\"h\"", "%s, expected \"layers\"", "\"h\""},
        {"use_new_thing", "1", "%s; this key is not known, so it passes only as null, false, 0, {} or []", "1"},
    };
    start_adapter();
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        char rest[256];
        const char *after = BAD[i].rest + 2;
        snprintf(rest, sizeof rest, "%s%s", BAD[i].shown, after);
        adapter(text("{\"r\":4,\"lora_alpha\":8,\"target_modules\":[\"q_proj\",\"down_proj\"],\n\"%s\":%s}", BAD[i].key, BAD[i].value),
                "base_model.model.model.", F32);
        CHECK_FAILS(open_model(), ERR_DATA,
                    text("reading the adapters: %s/adapter/adapter_config.json:2:%d: %s is %s", test_dir(), (int)strlen(BAD[i].key) + 4,
                         BAD[i].key, rest));
    }
    adapter("{" ADAPTER ",\"target_modules\":[\"q_proj\",\"down_proj\"],\"init_lora_weights\":\"gaussian\",\"use_new_thing\":null,"
            "\"other\":[],\"third\":{},\"fourth\":0,\"use_dora\":false,"
            "\"loftq_config\":{\"loftq_bits\":4},\"megatron_core\":\"megatron.core\"}",
            "base_model.model.model.", F32);
    CHECK_OK(open_model());
}

TEST(layers_to_transform_keeps_some_layers)
{
    char *targets[] = {(char[]){"1.self_attn.q_proj"}, (char[]){"1.mlp.down_proj"}};
    start_adapter();
    CFG.model.lora.targets = (StringList){targets, 2};
    adapter("{" ADAPTER ",\"target_modules\":[\"q_proj\",\"down_proj\"],\"layers_to_transform\":[1]}", "base_model.model.model.", F32);
    for (int i = 0; i < 4; i++) { /* only layer 1 is there */
        static const char *const LINEAR[] = {"self_attn.q_proj", "mlp.down_proj"};
        tiny_remove(&TENSORS, text("base_model.model.model.layers.0.%s.lora_%c.weight", LINEAR[i / 2], "AB"[i % 2]));
    }
    tiny_save(&TENSORS, path("adapter/adapter_model.safetensors"), 3000);
    double expected = loss();
    tiny_write(path("adapter"), "adapter_config.json",
               "{" ADAPTER ",\"target_modules\":[\"q_proj\",\"down_proj\"],\"layers_to_transform\":1,\"layers_pattern\":\"layers\"}");
    CHECK(loss() == expected);
    tiny_write(path("adapter"), "adapter_config.json",
               "{" ADAPTER ",\"target_modules\":[\"q_proj\",\"down_proj\"],\"layers_to_transform\":[0]}");
    CHECK_FAILS(open_model(), ERR_USAGE, text("reading the adapters: model.lora.targets is 1.self_attn.q_proj, 1.mlp.down_proj here, "
                                              "target_modules is q_proj, down_proj of layers_to_transform in "
                                              "%s/adapter/adapter_config.json", test_dir()));
    tiny_write(path("adapter"), "adapter_config.json", /* whole names are meant whatever the layers */
               "{" ADAPTER ",\"target_modules\":[\"model.layers.1.self_attn.q_proj\",\"model.layers.1.mlp.down_proj\"],"
               "\"layers_to_transform\":[0]}");
    CHECK(loss() == expected);
    tiny_write(path("adapter"), "adapter_config.json", "{" ADAPTER ",\"target_modules\":\".*q_proj\",\"layers_to_transform\":[0]}");
    CHECK_FAILS(open_model(), ERR_DATA, text("reading the adapters: %s/adapter/adapter_config.json:1:92: layers_to_transform cannot stand "
                                             "beside a target_modules that is no list", test_dir()));
}

TEST(a_tensor_of_an_adapter_that_nothing_reads_is_refused)
{
    start_adapter();
    adapter("{" ADAPTER ",\"target_modules\":[\"q_proj\",\"down_proj\",\"embed_tokens\"]}", "base_model.model.model.", F32);
    tiny_add(&TENSORS, "base_model.model.model.embed_tokens.lora_embedding_A", 2, 4, 320, 0, 0);
    tiny_save(&TENSORS, path("adapter/adapter_model.safetensors"), 3000);
    CHECK_FAILS(open_model(), ERR_DATA, text("reading the adapters: %s/adapter/adapter_model.safetensors: 1 tensor is no part of this "
                                             "model, and nothing would read it: base_model.model.model.embed_tokens.lora_embedding_A",
                                             test_dir()));
}
