/* A model of 16 M weights, runs over it, and their plan beside the peak that the kernel measured (base.h). */
#include "tests/train/measure/base.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "data/formats/safetensors.h"
#include "kernels/base/arena.h"
#include "kernels/ops/dequantize.h"

extern char **environ;

enum { D = BASE_D, F = BASE_F, KV = BASE_KV, MOST = 512, NAME = 128, STATE = 128 };
static const char FIXTURES[] = "tests/fixtures/parity";

/* ---------------------------------------------------------------- a model */

typedef struct Base {
    StSpec spec[MOST];
    char name[MOST][NAME], state[MOST][STATE]; /* state: what a tensor of text says */
    int n;
} Base;

static void add(Base *b, DType type, const char *name, int64_t rows, int64_t cols)
{
    REQUIRE(b->n < MOST);
    snprintf(b->name[b->n], NAME, "%s", name);
    StSpec *s = &b->spec[b->n];
    *s = (StSpec){.name = b->name[b->n++], .type = type, .n_dims = cols ? 2 : 1, .shape = {rows, cols}};
}

/* In codes it is what bitsandbytes has in 4 bits. */
static void add_linear(Base *b, const BaseModel *m, const char *what, int layer, int64_t rows, int64_t cols)
{
    static const char *const PARTS[] = {"", ".absmax", ".quant_map", ".quant_state.bitsandbytes__nf4"};
    char name[4][NAME], *state = b->state[b->n + 3];
    for (int i = 0; i < 4; i++)
        snprintf(name[i], NAME, "model.layers.%d.%s.weight%s", layer, what, PARTS[i]);
    if (!m->nf4) {
        add(b, m->type, name[0], rows, cols);
        return;
    }
    snprintf(state, STATE, "{\"blocksize\": %d, \"quant_type\": \"nf4\", \"shape\": [%lld, %lld]}", NF4_BLOCK, (long long)rows,
             (long long)cols);
    add(b, U8, name[0], rows * cols / 2, 1);
    add(b, F32, name[1], rows * cols / NF4_BLOCK, 0);
    add(b, F32, name[2], NF4_CODES, 0);
    add(b, U8, name[3], (int64_t)strlen(state), 0);
}

static void list_tensors(Base *b, const BaseModel *m)
{
    add(b, m->type, "model.embed_tokens.weight", m->vocab, D);
    add(b, m->type, "lm_head.weight", m->vocab, D);
    add(b, m->type, "model.norm.weight", D, 0);
    for (int i = 0; i < m->layers; i++) {
        char name[NAME];
        add_linear(b, m, "self_attn.q_proj", i, D, D);
        add_linear(b, m, "self_attn.k_proj", i, KV, D);
        add_linear(b, m, "self_attn.v_proj", i, KV, D);
        add_linear(b, m, "self_attn.o_proj", i, D, D);
        add_linear(b, m, "mlp.gate_proj", i, F, D);
        add_linear(b, m, "mlp.up_proj", i, F, D);
        add_linear(b, m, "mlp.down_proj", i, D, F);
        snprintf(name, sizeof name, "model.layers.%d.input_layernorm.weight", i);
        add(b, m->type, name, D, 0);
        snprintf(name, sizeof name, "model.layers.%d.post_attention_layernorm.weight", i);
        add(b, m->type, name, D, 0);
    }
}

/* Values that are small and no two alike, so that no page of the file is a hole. */
static void fill_numbers(void *bytes, DType type, int64_t n)
{
    float *values = mem_alloc((size_t)n * sizeof *values);
    REQUIRE(values);
    for (int64_t i = 0; i < n; i++)
        values[i] = 1e-2f * ((float)((uint32_t)(i * 2654435761u) >> 16) / 65536.0f - 0.5f);
    dtype_convert(bytes, type, values, F32, (size_t)n);
    mem_free(values);
}

static void write_tensor(StWriter *w, const StSpec *s, const char *state)
{
    static const float VALUES[NF4_CODES] = {NF4_VALUES};
    const int64_t n = s->shape[0] * (s->n_dims > 1 ? s->shape[1] : 1);
    const size_t n_bytes = (size_t)n * dtype_size(s->type);
    uint8_t *bytes = mem_alloc(n_bytes);
    REQUIRE(bytes);
    if (*state)
        memcpy(bytes, state, n_bytes);
    else if (s->type != U8)
        fill_numbers(bytes, s->type, n);
    else
        for (int64_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)((uint32_t)(i * 2654435761u) >> 16);
    if (strstr(s->name, ".quant_map"))
        memcpy(bytes, VALUES, sizeof VALUES);
    REQUIRE_OK(stwriter_write(w, bytes, n_bytes));
    mem_free(bytes);
}

void base_path(char path[512], const char *name) { snprintf(path, 512, "%s/%s", test_dir(), name); }

void base_write(const BaseModel *m)
{
    static const char NF4[] = ", \"quantization_config\": {\"load_in_4bit\": true, \"bnb_4bit_quant_type\": \"nf4\"}";
    char path[512], from[512], text[1024];
    Base *b = mem_alloc(sizeof *b);
    StWriter *w;
    REQUIRE(b);
    base_path(path, "base");
    REQUIRE_OK(file_make_folders(path));
    snprintf(from, sizeof from, "%s/bases/llm-gqa/tokenizer.model", FIXTURES);
    base_path(path, "base/tokenizer.model");
    REQUIRE_OK(file_copy(from, path));
    snprintf(text, sizeof text,
             "{\"architectures\": [\"MistralForCausalLM\"], \"hidden_act\": \"silu\", \"hidden_size\": %d, \"intermediate_size\": %d, "
             "\"num_hidden_layers\": %d, \"num_attention_heads\": 8, \"num_key_value_heads\": 4, \"head_dim\": 64, \"vocab_size\": %d, "
             "\"rms_norm_eps\": 1e-5, \"sliding_window\": null, \"tie_word_embeddings\": false, \"initializer_range\": 0.02, "
             "\"model_type\": \"mistral\", \"bos_token_id\": 1, \"eos_token_id\": 2%s}",
             D, F, m->layers, m->vocab, m->nf4 ? NF4 : "");
    base_path(path, "base/config.json");
    REQUIRE_OK(file_write(path, text, strlen(text)));
    if (m->type != N_DTYPES) {
        list_tensors(b, m);
        base_path(path, "base/model.safetensors");
        REQUIRE_OK(stwriter_open(&w, path, b->spec, b->n));
        for (int i = 0; i < b->n; i++)
            write_tensor(w, &b->spec[i], b->state[i]);
        REQUIRE_OK(stwriter_close(&w));
    }
    mem_free(b);
}

/* ---------------------------------------------------------------- a run */

void base_write_run(const char *train, const char *compute, bool drawn)
{
    char path[512], here[512], text[4096];
    REQUIRE(getcwd(here, sizeof here));
    snprintf(text, sizeof text,
             "{\"name\": \"r\", \"device\": \"cpu\", \"model\": {\"llm\": {\"path\": \"%s/base\", \"train\": \"%s\", \"init\": \"%s\"},\n"
             "\"vision\": {\"path\": \"%s/%s/bases/vision-only\"}, \"lora\": {\"r\": 16, \"alpha\": 16}, \"tokens\": {\"image\": 2}},\n"
             "\"data\": {\"mixture\": [{\"name\": \"rows\", \"files\": [\"%s/%s/visual_tokens/rows.jsonl\"],\n"
             "\"image_root\": \"%s/%s/visual_tokens/images\"}]},\n"
             "\"train\": {\"steps\": 2, \"batch\": 3, \"micro_tokens\": 90, \"compute\": \"%s\"},\n"
             "\"save\": {\"dir\": \"%s/runs\", \"every\": 1, \"keep\": 1}, \"log\": {\"tensorboard\": false}}",
             test_dir(), train, drawn ? "random" : "weights", here, FIXTURES, here, FIXTURES, here, FIXTURES, compute, test_dir());
    base_path(path, "run.json");
    REQUIRE_OK(file_write(path, text, strlen(text)));
}

int64_t base_run(const char *program, const char *const *words, int wanted)
{
    char path[512], config[512], out[512], err[512], *said;
    size_t n_said;
    snprintf(path, sizeof path, "%s/%s", test_build_dir(), program);
    base_path(config, "run.json");
    base_path(out, "stdout");
    base_path(err, "stderr");
    const char *argv[16] = {path, "--config", config, "--quiet"};
    for (int n = 4; *words; words++)
        argv[n++] = *words;
    posix_spawn_file_actions_t to_files;
    posix_spawn_file_actions_init(&to_files);
    posix_spawn_file_actions_addopen(&to_files, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    posix_spawn_file_actions_addopen(&to_files, 2, err, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    pid_t pid;
    int status = -1;
    struct rusage used = {0};
    setenv("OMP_NUM_THREADS", "2", 1);
    REQUIRE(!posix_spawn(&pid, path, &to_files, NULL, (char *const *)(void *)argv, environ));
    REQUIRE(wait4(pid, &status, 0, &used) == pid);
    posix_spawn_file_actions_destroy(&to_files);
    REQUIRE_OK(file_read(&said, &n_said, err, 1 << 20));
    CHECK_MSG(WIFEXITED(status) && WEXITSTATUS(status) == wanted, "%s ends with %d: %s", program, WEXITSTATUS(status), said);
    mem_free(said);
    return (int64_t)used.ru_maxrss * 1024;
}

void base_check_plan(const char *name, int64_t planned, int64_t peak)
{
#ifndef __SANITIZE_ADDRESS__ /* whose own memory is not ours to know */
    double off = (double)(planned - peak) / (double)peak;
    CHECK_MSG(off > -0.02 && off < 0.05, "%s: planned %lld bytes, measured %lld: off by %.1f %%", name, (long long)planned, (long long)peak,
              100 * off);
#else
    (void)name, (void)planned, (void)peak;
#endif
}

typedef struct Planned {
    int64_t total, mapped, needed, weights;
} Planned;

static Planned read_plan(void)
{
    char path[512], *text;
    size_t n;
    JsonDoc *doc;
    Planned p = {0};
    base_path(path, "stdout");
    REQUIRE_OK(file_read(&text, &n, path, 1 << 20));
    REQUIRE_OK(json_parse(&doc, text, n, path));
    const Json *memory = json_get(json_root(doc), "memory");
    const char *const names[] = {"total", "mapped", "needed", "weights"};
    int64_t *const to[] = {&p.total, &p.mapped, &p.needed, &p.weights};
    for (int i = 0; i < 4; i++) {
        const Json *v = json_get(memory, names[i]);
        REQUIRE(v && v->kind == JSON_INT);
        *to[i] = v->integer;
    }
    json_free(&doc);
    mem_free(text);
    return p;
}

void base_check_run(const char *name, const char *const *words, int64_t least_mapped, int64_t most_mapped)
{
    const char *plan[8] = {"--log-format", "json", "--dry-run"};
    for (int i = 0; words[i]; i++)
        plan[i + 3] = words[i];
    base_run("train", plan, 0);
    Planned p = read_plan();
    CHECK_INT(p.needed + p.mapped, p.total);
    CHECK_MSG(p.mapped >= least_mapped && p.mapped <= most_mapped, "%s: %lld bytes are said to be mapped, wanted %lld to %lld", name,
              (long long)p.mapped, (long long)least_mapped, (long long)most_mapped);
    base_check_plan(name, p.total, base_run("train", words, 0));
}
