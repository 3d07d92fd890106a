/* config.h: every kind of mistake with its exact sentence, the defaults, paths, overrides, the round trip. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "data/formats/json.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"
#include "train/config/config.h"
#include "train/config/options.h"

static const char *write_file(const char *name, const char *text)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", test_dir(), name);
    FILE *f = fopen(path, "w");
    REQUIRE(f);
    fputs(text, f);
    fclose(f);
    return path;
}

#define BASE "\"model\":{\"llm\":{\"path\":\"llm\"}},\"data\":{\"mixture\":\"m.json\"}"

static const struct {
    const char *text, *wanted; /* each line is completed with the file's name in front */
} MISTAKES[] = {
    {"{" BASE ",\n \"optim\":{\"lrr\":1}}",
     ":2:11: unknown key \"optim.lrr\"; did you mean \"optim.lr\"? optim takes lr, lr_projector, lr_gen_head, lr_tokens, lr_vision, "
     "lr_unet, beta1, beta2, eps, weight_decay, moments, max_grad_norm, schedule, warmup"},
    {"{" BASE ",\n\"lora\":{}}",
     ":2:1: unknown key \"lora\"; did you mean \"model.lora\"? the file takes name, seed, device, model, loss, data, train, optim, save, "
     "eval, sample, log, debug"},
    {"{" BASE ",\n \"optim\":{\"learning_rate\":1}}",
     ":2:11: unknown key \"optim.learning_rate\"; did you mean \"optim.lr\"? optim takes lr, lr_projector, lr_gen_head, lr_tokens, "
     "lr_vision, lr_unet, beta1, beta2, eps, weight_decay, moments, max_grad_norm, schedule, warmup"},
    {"{" BASE ",\n\"log\":{\"zzzzzzz\":1}}", ":2:8: unknown key \"log.zzzzzzz\"; log takes every, tensorboard"},
    {"{" BASE ",\n\"save.dir\":\"x\"}",
     ":2:1: save.dir: a dotted key is for --set; in a file \"dir\" stands inside the object \"save\""},
    {"{" BASE ",\n  \"optim\":{\"schedule\":\"cosin\"}}",
     ":2:12: optim.schedule must be \"cosine\", \"linear\" or \"constant\", found \"cosin\"; did you mean \"cosine\"?"},
    {"{" BASE ",\"train\":{\n\"batch\":0}}", ":2:1: train.batch must be an integer from 1 to 1048576, found 0"},
    {"{" BASE ",\"train\":{\n\"batch\":1.5}}", ":2:1: train.batch must be an integer from 1 to 1048576, found 1.5"},
    {"{" BASE ",\"train\":{\n\"batch\":null}}", ":2:1: train.batch must be an integer from 1 to 1048576, found null"},
    {"{" BASE ",\"optim\":{\n\"lr\":\"high\"}}", ":2:1: optim.lr must be a number of at least 0, found \"high\""},
    {"{" BASE ",\"optim\":{\n\"beta1\":1}}", ":2:1: optim.beta1 must be a number from 0 and below 1, found 1"},
    {"{" BASE ",\n\"optim\":3}", ":2:1: optim must be an object, found 3"},
    {"{" BASE ",\n\"optim\":null}", ":2:1: optim must be an object, found null"},
    {"{\"data\":{\"mixture\":\"m.json\"},\"model\":{\"llm\":{\"path\":\"llm\"},\n\"diffusion\":null}}",
     ":2:1: model.diffusion must be an object, found null; leave it out, or set model.diffusion.path to null"},
    {"{" BASE ",\n\"name\":\"\"}", ":2:1: name must be a string that is not empty, found \"\""},
    {"{" BASE ",\n\"name\":\"a/b\"}", ":2:1: name must be the name of a folder without \"/\", found \"a/b\""},
    {"{" BASE ",\"train\":{\n\"steps\":5,\n\"epochs\":2}}",
     ":3:1: train.steps and train.epochs are both set; they exclude each other, take one out (or set it to null)"},
    {"{" BASE ",\n\"seed\":1,\n\"seed\":2}", ":3:1: seed stands a second time; keep one"},
    {"{" BASE ",\n\"model\":{\"projector\":{\"type\":\"mlp0x_gelu\"}}}", ":2:1: model stands a second time; keep one"},
    {"{\"data\":{\"mixture\":\"m\"},\"model\":{\"llm\":{\"path\":\"l\"},\n\"projector\":{\"type\":\"mlp0x_gelu\"}}}",
     ":2:14: model.projector.type must be \"linear\" or \"mlpKx_gelu\" with K from 1 to 99, found \"mlp0x_gelu\""},
    {"{\"data\":{\"mixture\":\"m\"},\"model\":{\"llm\":{\"path\":\"l\"},\n\"lora\":{\"targets\":[\"q_prj\"]}}}",
     ":2:9: model.lora.targets must be a list of \"q_proj\", \"k_proj\", \"v_proj\", \"o_proj\", \"gate_proj\", \"up_proj\" or "
     "\"down_proj\", none twice, at least one, or \"all-linear\", found \"q_prj\"; did you mean \"q_proj\"?"},
    {"{\"data\":{\"mixture\":\"m\"},\"model\":{\"llm\":{\"path\":\"l\"},\n\"lora\":{\"targets\":[\"q_proj\",\"q_proj\"]}}}",
     ":2:9: model.lora.targets names \"q_proj\" twice"},
    {"{\"data\":{\"mixture\":\"m\"},\"model\":{\"llm\":{\"path\":\"l\"},\n\"tokens\":{\"task\":{\"edit\":\"X\",\"generate\":\"X\"}}}}",
     ":2:19: model.tokens.task.generate and model.tokens.task.edit are both \"X\"; added tokens must differ"},
    {"{\"data\":{\"mixture\":\"m\"},\"model\":{\"llm\":{\"path\":\"l\",\n\"train\":\"rows\"}}}",
     ":2:1: model.llm.train must be \"frozen\", \"lora\" or \"full\", found \"rows\""},
    {"{\"data\":{\"mixture\":[]},\n\"model\":{\"llm\":{\"path\":\"l\"}}}",
     ":1:10: data.mixture must be a path or a list of sources, found an array"},
    {"{\"model\":{\"llm\":{\"path\":\"l\"}},\"data\":{\"mixture\":[{\"files\":\"a\"},\n {\"fils\":[\"b\"],\n  "
     "\"weight\":-1}]},\n\"seed\":\"x\"}",
     ":2:3: unknown key \"fils\"; did you mean \"files\"?\n:2:2: this source has no \"files\"\n:3:12: weight must be a number from 0, "
     "found -1\n:4:1: seed must be an integer, found \"x\""},
    {"{\"data\":{},\"model\":{}}",
     ": model.llm.path is missing: Hugging Face folder of a language model of the Mistral or Llama 2 family; also holds tokenizer.model\n"
     ": data.mixture is missing: Mixture file or list of sources; prepared into data.shards when those are missing or stale"},
    {"{" BASE ",\n\"device\":\"gpus\"}", ":2:1: device must be \"auto\", \"cpu\" or \"cuda\", found \"gpus\"; did you mean \"cpu\"?"},
    {"{\"model\":{\"llm\":{\"path\":\"llm\"}},\n\"data\":{\"mixture\":\"m.json\",\"cache\":[\"latent\"]}}",
     ":2:28: data.cache must be a list of \"latents\" or \"clip_text\", none twice, found \"latent\"; did you mean \"latents\"?"},
    {"{" BASE ",\n\"loss\":{\"condition_dropout\":0.5}}",
     ":2:9: loss.condition_dropout must be a number from 0 to 0.333333333333333, found 0.5"},
    {"{\"model\":{\"llm\":{\"path\":\"llm\"},\n\"diffusion\":{\"path\":\"sd\",\n\"edit\":\"train_conv_in\"}},\"data\":"
     "{\"mixture\":\"m.json\"}}",
     ":3:1: model.diffusion.edit is \"train_conv_in\", which adds input channels to the UNet that see nothing until they are trained: "
     "model.diffusion.unet must be \"conv_in\" or \"full\""},
    {"{\"model\":{\"llm\":{\"path\":\"llm\"},\n\"diffusion\":{\"path\":\"sd\",\n\"unet\":\"full\"}},\"data\":{\"mixture\":\"m.json\"},"
     "\"loss\":{\"edit\":\"mse\"}}",
     ":3:1: model.diffusion.unet is \"full\", but nothing would train it: neither loss.generate nor loss.edit is \"noise\""},
    {"{\"model\":{\"llm\":{\"path\":\"llm\"},\n\"diffusion\":{\"unet\":\"conv_in\"}},\"data\":{\"mixture\":\"m.json\"}}",
     ":2:14: model.diffusion.unet is \"conv_in\", but nothing would train it: model.diffusion.path is null"},
    {"{\"model\":{\"llm\":{\"path\":\"llm\",\n\"train\":\"full\",\n\"store\":\"nf4\"}},\"data\":{\"mixture\":\"m.json\"}}",
     ":3:1: model.llm.store is for frozen weights, but model.llm.train is \"full\": train \"lora\", or take model.llm.store out"},
    {"{\"model\":{\"llm\":{\"path\":\"llm\",\"train\":\"full\",\n\"multiply\":\"fp8\"}},\"data\":{\"mixture\":\"m.json\"}}",
     ":2:1: model.llm.multiply is \"fp8\", which is for frozen weights, but model.llm.train is \"full\": set it to \"compute\", or "
     "model.llm.train to \"lora\" or \"frozen\""},
    {"{\"model\":{\"llm\":{\"path\":\"llm\",\"store\":\"nf4\",\n\"multiply\":\"fp8\"}},\"data\":{\"mixture\":\"m.json\"}}",
     ":2:1: model.llm.multiply is \"fp8\", but model.llm.store holds the weights in other codes: take one of the two out"},
    {"{" BASE ",\n\"debug\":{\"cach\":1}}", ":2:10: unknown key \"debug.cach\"; debug takes replay"},
    {"[1]", ":1:1: the settings must be an object, found an array"},
    {"{" BASE ",}", ":1:60: trailing comma: remove the ',' before '}'"},
    {"{" BASE ",\n\"\xc3\xa4\":1, \"seed\":\"x\",\n\"optim\":{\"lr\":-1}}",
     ":2:1: unknown key \"\xc3\xa4\"; the file takes name, seed, device, model, loss, data, train, optim, save, eval, sample, log, debug\n"
     ":2:8: seed must be an integer, found \"x\"\n"
     ":3:10: optim.lr must be a number of at least 0, found -1"},
};

TEST(config_names_every_mistake)
{
    for (size_t i = 0; i < sizeof MISTAKES / sizeof *MISTAKES; i++) {
        const char *path = write_file("run.json", MISTAKES[i].text);
        char wanted[4096] = "";
        for (const char *p = MISTAKES[i].wanted; *p;) {
            int n = (int)strcspn(p, "\n");
            snprintf(wanted + strlen(wanted), sizeof wanted - strlen(wanted), "%s%s%.*s", p == MISTAKES[i].wanted ? "" : "\n", path, n, p);
            p += n + (p[n] == '\n');
        }
        RunConfig cfg;
        CHECK_FAILS(config_load(&cfg, path, NULL, 0), ERR_USAGE, wanted);
    }
}

TEST(config_fills_in_defaults_and_paths)
{
    const char *path = write_file("a.b.json", "\xEF\xBB\xBF{\"$schema\":\"s\",\"//\":1,\"model\":{\"llm\":{\"path\":\"../x/llm/\",\"// "
                                              "c\":[]},\"projector\":{\"type\":\"mlp3x_gelu\"}},\"data\":{\"mixture\":\"./m.json\"},"
                                              "\"train\":{\"micro_tokens\":1e4}}");
    RunConfig c;
    REQUIRE_OK(config_load(&c, path, NULL, 0));
    CHECK_STR(c.name, "a.b");
    CHECK_INT(c.seed, 42);
    CHECK_STR(c.model.llm.path, "/tmp/x/llm");
    char wanted[512], cwd[256];
    snprintf(wanted, sizeof wanted, "%s/m.json", test_dir());
    CHECK_STR(c.data.mixture.file, wanted);
    REQUIRE(getcwd(cwd, sizeof cwd));
    CHECK(!c.data.shards);
    CHECK(!c.model.vision.path && !c.model.lora.init);
    CHECK_INT(c.model.projector.depth, 3);
    CHECK_INT(c.model.lora.targets.n, 7);
    CHECK_STR(c.model.tokens.task_edit, "[I2I]");
    CHECK_INT(c.train.micro_tokens, 10000);
    CHECK(c.train.epochs == 1 && c.train.steps == 0 && c.optim.lr == 2e-4 && c.data.workers == -1);
    CHECK_INT(c.model.tokens.train, TRAIN_ROWS);
    config_free(&c);
}

TEST(config_set_overrides)
{
    const char *path = write_file("run.json", "{" BASE ",\"train\":{\"epochs\":2}}");
    const char *sets[] = {"optim.lr=1e-3", "name=other", "model.tokens.task={\"understand\":\"[Q]\"}", "model.tokens.task.edit=[E]",
                          "model.vision.path=2026", "train.epochs=null", "train.steps=7", "model.lora={\"r\":4}",
                          "name=2026", "//optim.lr=7", "optim.//lr=x", "$schema=x",
                                  "model={\"//\":0,\"$schema\":0,\"tokens\":{\"//a\":1}}"};
    RunConfig c;
    REQUIRE_OK(config_load(&c, path, sets, sizeof sets / sizeof *sets));
    char cwd[256], wanted[512];
    REQUIRE(getcwd(cwd, sizeof cwd));
    snprintf(wanted, sizeof wanted, "%s/2026", cwd);
    CHECK_STR(c.model.vision.path, wanted);
    CHECK_STR(c.name, "2026");
    CHECK(c.optim.lr == 1e-3 && c.train.steps == 7 && c.train.epochs == 0 && c.model.lora.r == 4 && c.model.lora.alpha == 256);
    CHECK_STR(c.model.tokens.task_understand, "[Q]");
    CHECK(!c.model.tokens.task_generate);
    CHECK_STR(c.model.tokens.task_edit, "[E]");
    config_free(&c);
    const char *bad[] = {"optim.lrate=1", "train.batch=x", "seed", "train.steps=3", "name=[12]"};
    wanted[0] = 0;
    char all[2048];
    snprintf(all, sizeof all,
             "--set optim.lrate: unknown key \"optim.lrate\"; did you mean \"optim.lr\"? optim takes lr, lr_projector, lr_gen_head, "
             "lr_tokens, lr_vision, lr_unet, beta1, beta2, eps, weight_decay, moments, max_grad_norm, schedule, warmup\n"
             "--set train.batch: train.batch must be an integer from 1 to 1048576, found \"x\"\n"
             "--set: \"seed\" must be KEY=VALUE, as in optim.lr=1e-4\n"
             "--set name: name must be a string that is not empty, found an array\n"
             "%s: train.steps and train.epochs are both set; they exclude each other, take one out (or set it to null)",
             path);
    CHECK_FAILS(config_load(&c, path, bad, 5), ERR_USAGE, all);
}

TEST(config_heads_of_the_generation_head_are_not_too_wide)
{
    const char *path = write_file("run.json", "{" BASE "}"), *good[] = {"model.gen_head.width=2048"},
               *bad[] = {"model.gen_head.width=4096"};
    RunConfig c;
    REQUIRE_OK(config_load(&c, path, good, 1));
    config_free(&c);
    char wanted[512];
    snprintf(wanted, sizeof wanted,
             "%s: model.gen_head.heads is 4 and model.gen_head.width 4096, which makes heads of 1024; at most 512 are supported: raise "
             "heads or lower width",
             path);
    CHECK_FAILS(config_load(&c, path, bad, 1), ERR_USAGE, wanted);
}

TEST(config_missing_file_is_66)
{
    RunConfig c;
    CHECK_FAILS(config_load(&c, "/nonexistent/run.json", NULL, 0), ERR_MISSING,
                "/nonexistent/run.json: cannot be opened: No such file or directory");
}

TEST(config_tasks_stand_and_fall_together)
{
    RunConfig c;
    REQUIRE_OK(config_load(&c, write_file("t.json", "{\"model\":{\"llm\":{\"path\":\"l\"},\"tokens\":{\"task\":{\"generate\":\"<d>\","
                                                    "\"edit\":null}}},\"data\":{\"mixture\":\"m\"}}"), NULL, 0));
    CHECK(!c.model.tokens.task_understand && !c.model.tokens.task_edit);
    CHECK_STR(c.model.tokens.task_generate, "<d>");
    config_free(&c);
    const char *none = "model.tokens.task=null";
    REQUIRE_OK(config_load(&c, write_file("t.json", "{" BASE "}"), &none, 1));
    CHECK(!c.model.tokens.task_understand && !c.model.tokens.task_edit && !c.model.tokens.task_generate);
    config_free(&c);
}

/* An editor that knows the schema finds what mixture_load would refuse, in sources of data.mixture and of data.validation. */
TEST(config_schema_describes_sources_whole)
{
    char *text;
    JsonDoc *doc;
    static const char *const KEYS[] = {"name", "format", "files", "root", "image_root", "task", "as", "requests", "each", "split",
                                       "license", "weight", "max", "filter"};
    REQUIRE_OK(config_schema(&text));
    REQUIRE_OK(json_parse(&doc, text, strlen(text), "the schema"));
    const Json *data = json_get(json_get(json_get(json_get(json_root(doc), "properties"), "data"), "properties"), "mixture");
    const Json *items = json_get(json_get(data, "anyOf")->child->next, "items"), *of = json_get(items, "properties");
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++)
        CHECK_MSG(json_get(of, KEYS[i]), "no \"%s\"", KEYS[i]);
    CHECK_INT(of->length, sizeof KEYS / sizeof *KEYS + 1); /* and "$schema" */
    CHECK(json_get(items, "additionalProperties")->kind == JSON_BOOL && !json_get(items, "additionalProperties")->boolean);
    const Json *places = json_get(items, "anyOf");
    CHECK_STR(json_get(places->child, "required")->child->string, "files");
    CHECK_STR(json_get(places->child->next, "required")->child->string, "root");
    CHECK_INT(json_get(json_get(of, "weight"), "minimum")->integer, 0); /* weight: -1 is none */
    CHECK_INT(json_get(json_get(of, "max"), "minimum")->integer, 0);
    CHECK(strstr(text, "\"validation\"") != NULL);
    const Json *devices = json_get(json_get(json_get(json_root(doc), "properties"), "device"), "enum");
    CHECK_INT(devices->length, 4);
    CHECK_STR(devices->child->next->next->next->string, "gpu");
    json_free(&doc);
    mem_free(text);
}

/* Spellings that people bring from other programs. */
TEST(config_takes_lists_and_devices_as_others_write_them)
{
    static const struct {
        const char *targets;
        int n;
        const char *last;
    } CASES[] = {{"\"all-linear\"", 7, "down_proj"}, {"\"q_proj,v_proj\"", 2, "v_proj"}, {"\"q_proj, k_proj ,o_proj,\"", 3, "o_proj"},
                 {"[\"up_proj\"]", 1, "up_proj"}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        RunConfig c;
        char text[512], set[128];
        snprintf(text, sizeof text, "{\"device\":\"gpu\",\"data\":{\"mixture\":\"m\"},\"model\":{\"llm\":{\"path\":\"l\"},"
                                    "\"lora\":{\"targets\":%s}}}", CASES[i].targets);
        REQUIRE_OK(config_load(&c, write_file("r.json", text), NULL, 0));
        CHECK_INT(c.model.lora.targets.n, CASES[i].n);
        CHECK_STR(c.model.lora.targets.items[c.model.lora.targets.n - 1], CASES[i].last);
        CHECK_INT(c.device, DEVICE_CUDA);
        config_free(&c);
        snprintf(set, sizeof set, "model.lora.targets=%s", CASES[i].targets);
        REQUIRE_OK(config_load(&c, write_file("r.json", "{" BASE "}"), (const char *const[]){set}, 1));
        CHECK_INT(c.model.lora.targets.n, CASES[i].n);
        config_free(&c);
    }
    RunConfig c;
    CHECK_FAILS(config_load(&c, write_file("r.json", "{" BASE "}"), (const char *const[]){"data.cache=all-linear"}, 1), ERR_USAGE,
                "--set data.cache: data.cache must be a list of \"latents\" or \"clip_text\", none twice, found \"all-linear\"");
}

/* What is written out reads back as the same, from another folder. */
TEST(config_round_trip)
{
    const char *text = "{\"model\":{\"llm\":{\"path\":\"l\"},\"tokens\":{\"task\":null}},\"optim\":{\"lr\":0.1},\"data\":{\"mixture\":"
                       "[{\"name\":\"a\",\"files\":[\"x.json\",\"/y.json\"],\"image_root\":\"pics\",\"weight\":0.5,\"filter\":{\"s\":[0.2,"
                       "null]}},{\"files\":\"z.json\"},{\"format\":\"captions\",\"files\":[\"t.tsv\"],\"requests\":\"r/q.json\"},"
                       "{\"format\":\"instructpix2pix\",\"root\":\"pairs\"}]}}";
    RunConfig a, b;
    char *json, *again, *difference, wanted[512];
    REQUIRE_OK(config_load(&a, write_file("r.json", text), NULL, 0));
    REQUIRE_OK(config_to_json(&a, &json));
    snprintf(wanted, sizeof wanted,
             "[{\"name\":\"a\",\"files\":[\"%s/x.json\",\"/y.json\"],\"image_root\":\"%s/pics\",\"weight\":0.5,\"filter\":{\"s\":[0.2,"
             "null]}},{\"files\":\"%s/z.json\"},{\"format\":\"captions\",\"files\":[\"%s/t.tsv\"],\"requests\":\"%s/r/q.json\"},"
             "{\"format\":\"instructpix2pix\",\"root\":\"%s/pairs\"}]", test_dir(),
             test_dir(), test_dir(), test_dir(), test_dir(), test_dir());
    CHECK_STR(a.data.mixture.json, wanted);
    char path[256];
    snprintf(path, sizeof path, "%s/sub", test_dir());
    REQUIRE_OK(config_load(&b, write_file("resolved.json", json), NULL, 0));
    REQUIRE_OK(config_to_json(&b, &again));
    CHECK_STR(again, json);
    REQUIRE_OK(config_difference(&a, &b, &difference));
    CHECK(!difference);
    b.optim.lr = 0.25;
    b.save.every = 7;
    b.data.workers = 3;
    b.model.vision.layer = -1;
    REQUIRE_OK(config_difference(&a, &b, &difference));
    CHECK_STR(difference, "model.vision.layer: -2 there, -1 here\noptim.lr: 0.1 there, 0.25 here");
    mem_free(difference);
    mem_free(json);
    mem_free(again);
    config_free(&a);
    config_free(&b);
}

TEST(config_schema_describes_every_key)
{
    char *text;
    JsonDoc *doc;
    REQUIRE_OK(config_schema(&text));
    REQUIRE_OK(json_parse(&doc, text, strlen(text), "schema"));
    for (int i = 0; i < N_OPTIONS; i++) {
        const Json *at = json_root(doc);
        char key[128], *part = key;
        snprintf(key, sizeof key, "%s", OPTIONS[i].key);
        for (char *dot; at && part; part = dot ? dot + 1 : NULL) {
            dot = strchr(part, '.');
            if (dot)
                *dot = 0;
            const Json *closed = json_get(at, "additionalProperties");
            CHECK_MSG(closed && closed->kind == JSON_BOOL && !closed->boolean, "%s: above it, unknown keys are allowed", OPTIONS[i].key);
            at = json_get(json_get(at, "properties"), part);
        }
        const Json *description = json_get(at, "description");
        CHECK_MSG(description && description->length > 10, "%s has no description in the schema", OPTIONS[i].key);
    }
    json_free(&doc);
    mem_free(text);
}

TEST(config_paths_are_checked_at_the_start)
{
    RunConfig c;
    char wanted[2048], file[256];
    const char *sets[] = {"model.vision.path=/nowhere/v"};
    snprintf(file, sizeof file, "%s", write_file("run.json", "{\n" BASE ",\n\"sample\":{\"prompts\":\"p.jsonl\"}}"));
    REQUIRE_OK(config_load(&c, file, sets, 1));
    snprintf(wanted, sizeof wanted,
             "%1$s:2:17: model.llm.path: %2$s/llm: there is no such file or folder\n"
             "--set: model.vision.path: /nowhere/v: there is no such file or folder\n"
             "%1$s:2:40: data.mixture: %2$s/m.json: there is no such file or folder\n"
             "%1$s:3:11: sample.prompts: %2$s/p.jsonl: there is no such file or folder",
             file, test_dir());
    CHECK_FAILS(config_check_paths(&c, NULL, NULL), ERR_MISSING, wanted);
    config_free(&c);
    REQUIRE_OK(config_load(&c, file, NULL, 0));
    write_file("llm", "x");
    write_file("m.json", "x");
    write_file("p.jsonl", "x");
    snprintf(wanted, sizeof wanted, "%s:2:17: model.llm.path: %s/llm is a file; a folder is expected", file, test_dir());
    CHECK_FAILS(config_check_paths(&c, NULL, NULL), ERR_MISSING, wanted);
    config_free(&c);
}
