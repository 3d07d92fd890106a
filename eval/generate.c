/* generate: asks a model. One question, a batch file, or a conversation. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/rows.h"
#include "eval/batch.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"
#include "kernels/base/utf8.h"
#include "train/infer/answer.h"
#include "train/store/checkpoint.h"

static struct {
    const char *config, *checkpoint, *ask, *system, *batch, *image_root, *out;
    CliList images, sets;
    bool chat, quiet, base_changed;
    Sampling sampling;
    int64_t seed;
} args = {.sampling = {.top_p = 1, .max_new_tokens = ANSWER_TOKENS}, .seed = 42};

static const char CANNOT_DRAW[] = "this version answers questions about pictures; it does not draw or edit them yet";

static const CliOption OPTIONS[] = {
    {.kind = CLI_HEADING, .help = "The model:"},
    {"--config", CLI_STRING, &args.config, "RUN.json", "a run's config: its newest checkpoint if it has one, else the starting point", 0,
     0, NULL, false},
    {"--checkpoint", CLI_STRING, &args.checkpoint, "DIR", "a checkpoint folder, or a run folder for its newest; it knows its base models",
     0, 0, NULL, false},
    {"--set", CLI_STRINGS, &args.sets, "KEY=VALUE", "override a key of the config (repeatable)", 0, 0, NULL, false},
    {"--base-changed", CLI_FLAG, &args.base_changed, NULL, "go on although a base model is not the one that the checkpoint was trained on",
     0,
     0, NULL, false},
    {.kind = CLI_HEADING, .help = "What to do:"},
    {"--ask", CLI_STRING, &args.ask, "TEXT", "answer a question", 0, 0, NULL, false},
    {"--image", CLI_STRINGS, &args.images, "FILE…", "the pictures it is about", 0, 0, NULL, true},
    {"--system", CLI_STRING, &args.system, "TEXT", "what the model is told first, in place of the template's own system text (a row of "
                                                   "--batch may bring its own)", 0, 0, NULL, false},
    {"--chat", CLI_FLAG, &args.chat, NULL, "a conversation: a question a line on standard input", 0, 0, NULL, false},
    {"--batch", CLI_STRING, &args.batch, "FILE", "questions, {\"ask\": text, \"image\": path or list of paths} a line, or records, of "
                                                 "which every question is asked; paths are relative to the file", 0, 0, NULL, false},
    {"--image-root", CLI_STRING, &args.image_root, "DIR", "for --batch: where relative paths of pictures start instead, as a source's "
                                                          "image_root", 0, 0, NULL, false},
    {"--out", CLI_STRING, &args.out, "DIR", "for --batch: the folder that receives answers.jsonl", 0, 0, NULL, false},
    {.kind = CLI_HEADING, .help = "How:"},
    {"--max-new-tokens", CLI_INT, &args.sampling.max_new_tokens, "N", "the longest answer (default 256)", 1, 1e6, NULL, false},
    {"--temperature", CLI_REAL, &args.sampling.temperature, "T", "0 is greedy, the default", 0, 1e6, NULL, false},
    {"--top-p", CLI_REAL, &args.sampling.top_p, "P", "keep the likeliest tokens that together reach P (default 1)", 1e-9, 1, NULL, false},
    {"--seed", CLI_INT, &args.seed, "N", "of all randomness (default 42)", 0, 9e18, NULL, false},
    {"--quiet", CLI_FLAG, &args.quiet, NULL, "only results and errors", 0, 0, NULL, false},
    {.name = "--draw", CLI_LATER, .help = CANNOT_DRAW},
    {.name = "--edit", CLI_LATER, .help = CANNOT_DRAW},
    {.name = "--steps", CLI_LATER, .help = CANNOT_DRAW},
    {.name = "--guidance", CLI_LATER, .help = CANNOT_DRAW},
    {.name = "--image-guidance", CLI_LATER, .help = CANNOT_DRAW},
    {.name = "--sampler", CLI_LATER, .help = CANNOT_DRAW},
    {0}};

static const CliProgram PROGRAM = {
    .name = "generate",
    .summary = "Asks a model: answers questions about pictures, one at a time, from a batch file, or in a conversation.",
    .usage = "generate --config RUN.json | --checkpoint DIR  --ask TEXT [--image FILE…]\n"
             "       generate --config RUN.json | --checkpoint DIR  --batch FILE --out DIR\n"
             "       generate --config RUN.json | --checkpoint DIR  --chat [--image FILE…]",
    .options = OPTIONS};

static Status check_arguments(void)
{
    if (!!args.ask + !!args.batch + args.chat != 1)
        return fail(ERR_USAGE, "generate: say one thing to do: --ask, --batch or --chat");
    if (!!args.config == !!args.checkpoint)
        return fail(ERR_USAGE, "generate: say which model, with --config RUN.json or --checkpoint DIR (one of them)");
    if (args.image_root && !args.batch)
        return fail(ERR_USAGE, "generate: --image-root is for --batch; --image takes paths as they are");
    if (args.images.n && args.batch)
        return fail(ERR_USAGE, "generate: --image is for --ask and --chat; the rows of --batch name their own pictures");
    if (args.batch && !args.out)
        return fail(ERR_USAGE, "generate: --batch needs --out DIR, the folder for answers.jsonl");
    if (args.out && !args.batch)
        return fail(ERR_USAGE, "generate: --out is for --batch; an answer to --ask or --chat goes to standard output");
    args.sampling.seed = (uint64_t)args.seed;
    return OK;
}

/* A checkpoint's settings stand as they are, but for where it is asked: its bases may have moved, and the device be another. */
static Status check_sets(void)
{
    static const char *const FREE[] = {"device", "train.compute", "train.memory", "data.max_pixels", "model.llm.path", "model.vision.path"};
    for (int i = 0; i < args.sets.n; i++) {
        bool is_free = false;
        for (size_t k = 0; k < sizeof FREE / sizeof *FREE; k++)
            is_free |= strcspn(args.sets.items[i], "=") == strlen(FREE[k]) && !strncmp(args.sets.items[i], FREE[k], strlen(FREE[k]));
        if (!is_free)
            return fail(ERR_USAGE, "generate: --set %s: a checkpoint's own settings stand as they are; only device, train.compute, "
                                   "train.memory, data.max_pixels, model.llm.path and model.vision.path can be set with --checkpoint (use "
                                   "--config for others)", args.sets.items[i]);
    }
    return OK;
}

static RecordText system_text(void) { return (RecordText){args.system, args.system ? strlen(args.system) : 0}; }

static void print_piece(void *user, const char *text, size_t n)
{
    (void)user;
    utf8_put(stdout, text, n, UTF8_TEXT);
    fflush(stdout);
}

/* On a terminal the answer appears as it grows, without anything that the terminal would obey; elsewhere it is printed whole, as it is. */
static Status ask(Answerer *a, const Question *q, char **answer, size_t *n)
{
    bool live = isatty(STDOUT_FILENO);
    TRY(answerer_ask(a, q, &args.sampling, live ? &(AnswerSink){.text = print_piece} : NULL, answer, n));
    if (!live)
        fwrite(*answer, 1, *n, stdout);
    fputc('\n', stdout);
    return cli_flush();
}

static Status ask_once(Answerer *a)
{
    RecordTurn turn = {.human = true, .text = args.ask, .length = strlen(args.ask)};
    Question q = {.system = system_text(), .turns = &turn, .n_turns = 1, .images = args.images.items, .n_images = args.images.n};
    char *answer;
    size_t n_bytes;
    Status s = ask(a, &q, &answer, &n_bytes);
    mem_free(answer);
    return s;
}

enum { CHAT_TURNS = 256 };

static Status chat(Answerer *a)
{
    RecordTurn turns[CHAT_TURNS] = {0};
    char *owned[CHAT_TURNS] = {0};
    int n = 0;
    Rows *in;
    Row line;
    bool end = false;
    TRY(rows_open(&in, "-", ROWS_LINES));
    Status s = OK;
    while (!s && n + 2 <= CHAT_TURNS) {
        if (isatty(STDIN_FILENO))
            fputs("> ", stderr);
        s = rows_next(in, &line, &end);
        if (!s && line.error && !end)
            s = fail(ERR_DATA, "standard input:%s", line.error);
        if (!s && !end && !(owned[n] = mem_alloc(line.n + 1)))
            s = fail(ERR_NOMEM, "no memory for the conversation");
        if (s || end)
            break;
        memcpy(owned[n], line.text, line.n);
        turns[n] = (RecordTurn){.human = true, .text = owned[n], .length = line.n};
        n++;
        Question q = {.system = system_text(),
                      .turns = turns,
                      .n_turns = n,
                      .images = args.images.items,
                      .n_images = args.images.n,
                      .index = (uint64_t)n};
        size_t n_bytes;
        s = ask(a, &q, &owned[n], &n_bytes);
        if (!s) {
            turns[n] = (RecordTurn){.human = false, .text = owned[n], .length = n_bytes};
            n++;
        }
    }
    for (int i = 0; i < CHAT_TURNS; i++)
        mem_free(owned[i]);
    rows_close(&in);
    return s;
}

static Status run_with(const RunConfig *cfg, const char *checkpoint)
{
    Answerer *a = NULL;
    Status s = answerer_open(&a, cfg, checkpoint);
    if (!s)
        s = args.ask    ? ask_once(a)
            : args.chat ? chat(a)
                        : batch_answer(a, args.batch, args.image_root, args.out, system_text(), &args.sampling);
    answerer_close(&a);
    return s;
}

/* A checkpoint folder brings its own config; of a run folder the newest is meant. */
static Status open_checkpoint(RunConfig *cfg, char checkpoint[PATH_MAX])
{
    TRY(check_sets());
    if (!file_exists(args.checkpoint))
        return fail(ERR_MISSING, "--checkpoint %s: there is no such folder", args.checkpoint);
    bool any = false;
    char manifest[PATH_MAX];
    snprintf(checkpoint, PATH_MAX, "%s", args.checkpoint);
    if (!file_exists(file_join(manifest, checkpoint, "MANIFEST.json")))
        TRY_IN(checkpoint_any(checkpoint, &any), "--checkpoint");
    if (any) { /* a run folder */
        TRY_IN(checkpoint_newest(args.checkpoint, checkpoint), "--checkpoint");
        log_info("using %s", checkpoint);
    } else if (file_exists(manifest)) {
        TRY_IN(checkpoint_verify(checkpoint), "--checkpoint");
    } else {
        return fail(ERR_MISSING, "--checkpoint %s: is neither a checkpoint, which has a MANIFEST.json, nor a run folder (save.dir/name of "
                                 "its config), which has checkpoint-NNNNNN folders", args.checkpoint);
    }
    return checkpoint_config(checkpoint, args.sets.items, args.sets.n, cfg);
}

static Status check_bases(const RunConfig *cfg, const char *checkpoint)
{
    Status s = *checkpoint ? checkpoint_check_bases(checkpoint, cfg) : OK;
    if (s != ERR_DATA || !args.base_changed)
        return s;
    log_warn("%s", status_message());
    return OK;
}

/* A run's newest whole checkpoint, or nothing: the starting point. */
static Status open_run(RunConfig *cfg, char checkpoint[PATH_MAX])
{
    char folder[PATH_MAX];
    bool any = false;
    TRY(config_load(cfg, args.config, args.sets.items, args.sets.n));
    file_join(folder, cfg->save.dir, cfg->name);
    if (file_exists(folder))
        TRY(checkpoint_any(folder, &any));
    if (any)
        TRY(checkpoint_newest(folder, checkpoint));
    if (*checkpoint)
        log_info("using %s", checkpoint);
    else
        log_info("no checkpoint in %s: using the starting point of %s", folder, args.config);
    return OK;
}

static Status run(int argc, char **argv)
{
    bool done;
    TRY(cli_parse(&PROGRAM, argc, argv, &done));
    if (done)
        return OK;
    TRY(check_arguments());
    cli_settle_threads(argv);
    log_set(args.quiet ? LOG_WARN : LOG_INFO, false);
    RunConfig cfg = {0};
    char checkpoint[PATH_MAX] = "";
    static const char *const READ[] = {"model.llm.path", "model.vision.path", NULL};
    Status s = args.checkpoint ? open_checkpoint(&cfg, checkpoint) : open_run(&cfg, checkpoint);
    if (!s)
        s = config_check_paths(&cfg, READ, NULL);
    if (!s)
        s = check_bases(&cfg, checkpoint);
    if (!s)
        s = run_with(&cfg, *checkpoint ? checkpoint : NULL);
    config_free(&cfg);
    return s;
}

int main(int argc, char **argv)
{
    cli_start();
    return cli_finish(run(argc, argv));
}
