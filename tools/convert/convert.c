/* convert: a model from one format into another, read back and compared before it is put in place. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/formats/file.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"
#include "tools/convert/card.h"
#include "tools/convert/from.h"
#include "tools/convert/from_gguf.h"
#include "tools/convert/out.h"
#include "tools/convert/to.h"
#include "tools/convert/verify.h"

const Writer WRITERS[] = {
    {
        .name = "peft",
        .holds = "the adapters, with the added rows as trainable tokens; the projector beside them",
        .read_by = "peft over the base model",
        .use = "Without added tokens (`added_tokens.json`) "
               "`PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(BASE), DIR)` is all. Else the base needs "
               "rows for them before the adapter is loaded:\n\n"
               "```python\n"
               "m = AutoModelForCausalLM.from_pretrained(BASE)\n"
               "m.resize_token_embeddings(m.config.vocab_size + R, mean_resizing=False)  # R: entries of added_tokens.json\n"
               "m = PeftModel.from_pretrained(m, DIR)\n"
               "```\n\n"
               "A base that ties head and embeddings has to be untied in between: "
               "`m.config.tie_word_embeddings = False; m.lm_head.weight = torch.nn.Parameter(m.lm_head.weight.clone())`.\n",
        .keeps_types = true,
        .takes_type = true,
        .check = to_peft_check,
        .write = to_peft,
        .reopen = from_adapter_reopen,
        .verified = true,
    },
    {
        .shards = true,
        .name = "hf",
        .holds = "the language model, adapters merged and added rows appended, with its tokenizer",
        .read_by = "transformers, vLLM",
        .use = "```python\nm = AutoModelForCausalLM.from_pretrained(DIR)\nt = AutoTokenizer.from_pretrained(DIR)\n```\n",
        .takes_type = true,
        .check = to_hf_check,
        .write = to_hf,
        .verified = true,
    },
    {
        .shards = true,
        .name = "hf-llava",
        .holds = "vision tower, projector and merged language model as one, with tokenizer and processor",
        .read_by = "transformers (LlavaForConditionalGeneration, AutoProcessor)",
        .use = "```python\n"
               "from PIL import Image\n"
               "from transformers import AutoProcessor, LlavaForConditionalGeneration\n"
               "m = LlavaForConditionalGeneration.from_pretrained(DIR)\n"
               "p = AutoProcessor.from_pretrained(DIR)\n"
               "i = Image.open(FILE).convert(\"RGB\")\n"
               "question = [{\"type\": \"image\", \"image\": i}, {\"type\": \"text\", \"text\": \"What is it?\"}]\n"
               "x = p.apply_chat_template([{\"role\": \"user\", \"content\": question}], add_generation_prompt=True, tokenize=True,\n"
               "                          return_dict=True, return_tensors=\"pt\")\n"
               "y = m.generate(**x, max_new_tokens=100)\n"
               "print(p.decode(y[0][x[\"input_ids\"].shape[1]:], skip_special_tokens=True))\n"
               "```\n\n"
               "The template's text begins with the token that begins every text: a tokenizer that is given it as text must not "
               "add another (`add_special_tokens=False`).\n\n"
               "The processor does not pad pictures. A model trained with `model.vision.aspect` \"pad\" wants them padded to a square "
               "first:\n\n"
               "```python\n"
               "side, color = max(i.size), tuple(int(255 * x) for x in p.image_processor.image_mean)\n"
               "square = Image.new(\"RGB\", (side, side), color)\n"
               "square.paste(i, ((side - i.width) // 2, (side - i.height) // 2))\n"
               "```\n",
        .takes_type = true,
        .check = to_hf_llava_check,
        .write = to_hf_llava,
        .verified = true,
    },
    {
        .shards = true,
        .name = "llava",
        .holds = "LLaVA's own layout: projector and merged language model in one, the tower in vision/",
        .read_by = "LLaVA's loaders",
        .takes_type = true,
        .check = to_llava_check,
        .write = to_llava,
        .verified = true,
    },
    {
        .name = "gguf",
        .holds = "model.gguf, the language model with its vocabulary, and mmproj.gguf, tower and projector",
        .read_by = "llama.cpp",
        .use = "```\n"
               "llama-cli -m DIR/model.gguf\n"
               "llama-mtmd-cli -m DIR/model.gguf --mmproj DIR/mmproj.gguf --image FILE -p TEXT\n"
               "llama-server -m DIR/model.gguf --mmproj DIR/mmproj.gguf --jinja\n"
               "```\n\n"
               "Where there is no mmproj.gguf the model answers in text alone.\n",
        .takes_type = true,
        .takes_q8_0 = true,
        .check = to_gguf_check,
        .write = to_gguf,
        .reopen = from_gguf,
        .verified = true,
    },
    {
        .name = "diffusers",
        .holds = "the generation head, and the UNet where it was trained",
        .read_by = "generate, loaders of GILL's kind; diffusers (the UNet)",
        .check = to_diffusers_check,
        .write = to_diffusers,
    },
    {
        .shards = true,
        .name = "parts",
        .holds = "base, tower and trained parts side by side, every tensor as it is, and run.json that names them",
        .read_by = "train, generate",
        .use = "```\ntrain --config DIR/run.json        # with a mixture.json beside it\ngenerate --config DIR/run.json --ask TEXT\n```\n",
        .check = to_parts_check,
        .write = to_parts,
        .verified = true,
    },
};
const int N_WRITERS = sizeof WRITERS / sizeof *WRITERS;
static const char *format_names[sizeof WRITERS / sizeof *WRITERS + 1];

static struct {
    const char *from, *to, *base, *out, *max_shard, *probe;
    int type;
    CliList sets;
    bool base_changed, no_verify, list, quiet;
} args = {.type = -1};

static const char *const TYPES[] = {[TYPE_BF16] = "bf16", [TYPE_F16] = "f16", [TYPE_F32] = "f32", [TYPE_Q8_0] = "q8_0", NULL};

static const CliOption FLAGS[] = {
    {"--from", CLI_STRING, &args.from, "PATH",
     "a run folder (its newest checkpoint), a checkpoint, parts, or a folder of Hugging Face, "
     "LLaVA or PEFT; recognised by its contents",
     0, 0, NULL, false},
    {"--to", CLI_STRING, &args.to, "FORMAT", "what to write; --list names them", 0, 0, format_names, false},
    {"--out", CLI_STRING, &args.out, "DIR", "a folder that is not there yet, or empty", 0, 0, NULL, false},
    {"--base", CLI_STRING, &args.base, "DIR", "of an adapter: the folder of the model that it was trained on", 0, 0, NULL, false},
    {"--set", CLI_STRINGS, &args.sets, "KEY=DIR",
     "of a run: where a base model lies now (model.llm.path, model.vision.path, "
     "model.diffusion.path; repeatable)",
     0, 0, NULL, false},
    {"--base-changed", CLI_FLAG, &args.base_changed, NULL, "go on although a base model is not the one that the run was trained on", 0, 0,
     NULL, false},
    {"--type", CLI_CHOICE, &args.type, "TYPE", "bf16 (default), f16, f32 or, for gguf, q8_0", 0, 0, TYPES, false},
    {"--max-shard-size", CLI_STRING, &args.max_shard, "N", "most bytes of tensors in a file, with K, M or G (default 5G)", 0, 0, NULL,
     false},
    {"--probe", CLI_STRING, &args.probe, "FILE.jsonl", "more prompts to compare, rows as for generate --batch", 0, 0, NULL, false},
    {"--no-verify", CLI_FLAG, &args.no_verify, NULL, "do not read back and compare", 0, 0, NULL, false},
    {"--list", CLI_FLAG, &args.list, NULL, "the formats, what each holds, and what reads it", 0, 0, NULL, false},
    {"--quiet", CLI_FLAG, &args.quiet, NULL, "only errors and warnings", 0, 0, NULL, false},
    {0}};

static const CliProgram PROGRAM = {
    .name = "convert",
    .summary =
        "Takes a model from one format into another: adapters merged, added tokens kept. What was written is read back and must give "
        "the same logits before it is put in place.",
    .usage = "convert --from PATH --to FORMAT --out DIR [--base DIR] [--type T]\n       convert --list",
    .options = FLAGS};

static void list_formats(void)
{
    for (const Writer *w = WRITERS; w < WRITERS + N_WRITERS; w++) {
        printf("%-10s ", w->name);
        cli_wrap(w->holds, 11, 11);
        printf("           read by ");
        cli_wrap(w->read_by, 11, 19);
    }
}

static Status find_writer(const char *name, const Writer **out)
{
    for (int i = 0; i < N_WRITERS; i++) {
        *out = &WRITERS[i];
        if (!strcmp(name, format_names[i]))
            return OK;
    }
    const char *near = cli_nearest(name, format_names, N_WRITERS);
    return near ? fail(ERR_USAGE, "convert: --to %s: there is no such format; did you mean \"%s\"? (--list names them)", name, near)
                : fail(ERR_USAGE, "convert: --to %s: there is no such format; --list names them", name);
}

/* "5G", "500M", "1000": decimal, as Hugging Face counts. */
static Status read_size(const char *text, int64_t *out)
{
    static const char UNITS[] = "KMG";
    char *end;
    double n = strtod(text, &end);
    const char *unit = *end ? strchr(UNITS, *end == 'k' ? 'K' : *end) : NULL;
    if (unit) {
        n *= pow(1000, (double)(unit - UNITS + 1));
        end++;
        end += *end == 'B';
    }
    if (end == text || *end || !(n >= 1) || n > 9e18)
        return fail(ERR_USAGE, "convert: --max-shard-size %s: expected a number of bytes, as 5G, 500M or 100K", text);
    *out = (int64_t)n;
    return OK;
}

/* A flag that would do nothing is a mistake. */
static Status check_probe(const Writer *w)
{
    if (args.probe && args.no_verify)
        return fail(ERR_USAGE, "convert: --probe asks what was written, and --no-verify does not; leave one out");
    if (args.probe && !w->verified)
        return fail(ERR_USAGE, "convert: --probe is not for --to %s, which is not read back", w->name);
    return OK;
}

/* A run's other settings stand as they are. */
static Status check_sets(void)
{
    static const char *const KEYS[] = {"model.llm.path=", "model.vision.path=", "model.diffusion.path="};
    for (int i = 0; i < args.sets.n; i++) {
        bool known = false;
        for (size_t k = 0; k < sizeof KEYS / sizeof *KEYS; k++)
            known |= !strncmp(args.sets.items[i], KEYS[k], strlen(KEYS[k]));
        if (!known)
            return fail(ERR_USAGE, "convert: --set %s: only model.llm.path, model.vision.path and model.diffusion.path can be set",
                        args.sets.items[i]);
    }
    return OK;
}

static Status check_arguments(const Writer **w, WriteOptions *o)
{
    if (!args.from || !args.to || !args.out || !*args.out)
        return fail(ERR_USAGE, "convert: %s is missing; convert --help shows the usage",
                    !args.from ? "--from PATH"
                    : !args.to ? "--to FORMAT"
                               : "--out DIR");
    TRY(find_writer(args.to, w));
    TRY(check_sets());
    *o = (WriteOptions){.type = args.type < 0 ? TYPE_BF16 : (OutType)args.type, .type_given = args.type >= 0, .max_shard = 5000000000};
    if (args.max_shard)
        TRY(read_size(args.max_shard, &o->max_shard));
    if (args.max_shard && !(*w)->shards)
        return fail(ERR_USAGE, "convert: --max-shard-size is not for --to %s, whose tensors lie in one file", (*w)->name);
    if (o->type_given && !(*w)->takes_type)
        return fail(ERR_USAGE, "convert: --type is not for --to %s, which keeps types as they are", (*w)->name);
    if (o->type == TYPE_Q8_0 && !(*w)->takes_q8_0)
        return fail(ERR_USAGE, "convert: --type q8_0 is for --to gguf; %s takes bf16, f16 or f32", (*w)->name);
    return check_probe(*w);
}

static Status refuse_name(void *arg, const char *name)
{
    (void)arg;
    return fail(ERR_CREATE, "--out %s: is there already, and holds %s; give a folder that is not there yet, or an empty one", args.out,
                name);
}

/* Where the folder will stand: --out without slashes behind it, of an empty folder the place that it is at. */
static Status check_out(char out[PATH_MAX])
{
    struct stat st;
    if (stat(args.out, &st)) {
        int n = snprintf(out, PATH_MAX, "%s", args.out);
        if (n >= PATH_MAX)
            return fail(ERR_CREATE, "--out %s: is too long a name", args.out);
        while (n > 1 && out[n - 1] == '/')
            out[--n] = 0;
        return file_check_folders(out);
    }
    if (!S_ISDIR(st.st_mode))
        return fail(ERR_CREATE, "--out %s: is there already, and is %s; give a folder that is not there yet, or an empty one", args.out,
                    file_kind(st.st_mode));
    TRY(file_list(args.out, refuse_name, NULL));
    return realpath(args.out, out) ? OK : fail(ERR_CREATE, "--out %s: %s", args.out, strerror(errno));
}

static void stop(int signal)
{
    (void)signal;
    out_stop();
}

static void install_signals(void)
{
    struct sigaction a = {.sa_handler = stop};
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

static Status verify(Model *m, const Writer *w, const WriteOptions *o, const Probe *probe, const char *folder)
{
    Model out;
    if (!w->verified || args.no_verify)
        return OK;
    Status s = w->reopen ? w->reopen(&out, m, folder) : model_open(&out, folder, NULL);
    if (s == ERR_DATA || s == ERR_MISSING || s == ERR_USAGE) /* of our own writing */
        s = fail(ERR_INTERNAL, "%s", status_message());
    TRY_IN(s, "reading back what was written");
    s = verify_output(m, &out, w, o, probe);
    model_close(&out);
    return s;
}

static Status write_folder(Model *m, const Writer *w, const WriteOptions *o, const Probe *probe, const char *out)
{
    char parent[PATH_MAX], partial[PATH_MAX + sizeof ".partial"], still[PATH_MAX];
    snprintf(partial, sizeof partial, "%s.partial", out);
    TRY(file_make_folders(file_folder(parent, out)));
    TRY(file_stage_folder(partial));
    Status s = w->write(m, o, partial);
    if (!s)
        s = card_write(m, w, o, partial);
    if (!s)
        s = verify(m, w, o, probe, partial);
    if (!s)
        s = out_go_on();
    if (!s)
        s = check_out(still); /* what somebody has put there in the meantime stays too */
    if (!s)
        s = file_publish_folder(partial, out);
    return s ? file_discard_folder(partial, s) : OK;
}

static Status convert(void)
{
    const Writer *w = NULL;
    WriteOptions o;
    Model m;
    Probe probe = {0};
    char out[PATH_MAX];
    TRY(check_arguments(&w, &o));
    TRY(check_out(out));
    const ModelOptions from = {.base = args.base, .sets = args.sets.items, .n_sets = args.sets.n, .base_changed = args.base_changed};
    TRY(model_open(&m, args.from, &from));
    Status s = w->check(&m, &o);
    if (!s && args.probe)
        s = probe_read(&probe, &m, args.probe);
    if (!s)
        s = write_folder(&m, w, &o, &probe, out);
    probe_free(&probe);
    model_close(&m);
    return s;
}

int main(int argc, char **argv)
{
    bool done = false;
    cli_start();
    for (int i = 0; i < N_WRITERS; i++)
        format_names[i] = WRITERS[i].name;
    Status s = cli_parse(&PROGRAM, argc, argv, &done);
    if (s || done)
        return cli_finish(s);
    cli_settle_threads(argv);
    log_level(args.quiet ? LOG_WARN : LOG_INFO);
    install_signals();
    if (args.list)
        list_formats();
    else
        s = convert();
    if (s == ERR_PREEMPTED)
        log_info("%s", status_message());
    return cli_finish(s);
}
