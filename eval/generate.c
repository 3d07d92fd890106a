/* generate: asks a model: for an answer, a picture, a changed picture; one of them, a batch file, or a conversation. Here are the command
 * line and the model; what is done with it is in chat.c, draw.c and batch.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/formats/file.h"
#include "eval/batch.h"
#include "eval/chat.h"
#include "eval/draw.h"
#include "eval/drawing.h"
#include "eval/opening.h"
#include "kernels/base/log.h"
#include "kernels/base/utf8.h"

static struct {
    Opening model;
    const char *ask, *draw, *edit, *system, *batch, *image_root, *out;
    CliList images;
    bool chat, quiet;
    int64_t seed, max_new_tokens, grid;
    double temperature, top_p;
    DrawingArgs drawing;
} args = {.model = {.program = "generate"}, .seed = 42, .max_new_tokens = NOT_GIVEN, .grid = NOT_GIVEN,
          .temperature = NOT_GIVEN, .top_p = NOT_GIVEN, .drawing = DRAWING_NOT_GIVEN};

static const CliOption FLAGS[] = {
    {.kind = CLI_HEADING, .help = "The model:"},
    OPENING_OPTIONS(args.model),
    {.kind = CLI_HEADING, .help = "What to do:"},
    {"--ask", CLI_STRING, &args.ask, "TEXT", "answer a question", 0, 0, NULL, false},
    {"--draw", CLI_STRING, &args.draw, "TEXT", "draw a picture", 0, 0, NULL, false},
    {"--edit", CLI_STRING, &args.edit, "TEXT", "change a picture", 0, 0, NULL, false},
    {"--chat", CLI_FLAG, &args.chat, NULL, "a conversation: a question a line on standard input; /draw TEXT draws, /edit TEXT changes the "
                                           "picture last shown or drawn", 0, 0, NULL, false},
    {"--batch", CLI_STRING, &args.batch, "FILE", "{\"ask\", \"draw\" or \"edit\": text, \"image\": path or list of paths} a line, or "
                                                 "records, of which every question is asked; paths are relative to the file", 0, 0, NULL,
     false},
    {"--image", CLI_STRINGS, &args.images, "FILE…", "the pictures that a question is about; the first is the one to change", 0, 0, NULL,
     true},
    {"--image-root", CLI_STRING, &args.image_root, "DIR", "for --batch: where relative paths of pictures start instead, as a source's "
                                                          "image_root", 0, 0, NULL, false},
    {"--system", CLI_STRING, &args.system, "TEXT", "what the model is told first, in place of the template's own system text (a row of "
                                                   "--batch may bring its own)", 0, 0, NULL, false},
    {"--out", CLI_STRING, &args.out, "FILE|DIR", "of --draw and --edit the PNG file (-: standard output), of --ask the same for a picture "
                                                 "that the answer draws; of --batch the folder for answers.jsonl and pictures, of --chat "
                                                 "that for pictures (the working folder)", 0, 0, NULL, false},
    {.kind = CLI_HEADING, .help = "How to answer:"},
    {"--max-new-tokens", CLI_INT, &args.max_new_tokens, "N", "the longest answer (default 256)", 1, 1e6, NULL, false},
    {"--temperature", CLI_REAL, &args.temperature, "T", "0 is greedy, the default", 0, 1e6, NULL, false},
    {"--top-p", CLI_REAL, &args.top_p, "P", "keep the likeliest tokens that together reach P (default 1)", 1e-9, 1, NULL, false},
    {.kind = CLI_HEADING, .help = "How to draw:"},
    DRAWING_OPTIONS(args.drawing),
    {"--grid", CLI_INT, &args.grid, "N", "one sheet of N pictures, of the seeds from --seed on", 1, 256, NULL, false},
    {.kind = CLI_HEADING, .help = "In general:"},
    {"--seed", CLI_INT, &args.seed, "N", "of all randomness (default 42): the same seed, the same bytes", 0, 9e18, NULL, false},
    {"--quiet", CLI_FLAG, &args.quiet, NULL, "only results and errors", 0, 0, NULL, false},
    {0}};

static const CliProgram PROGRAM = {
    .name = "generate",
    .summary = "Asks a model: answers questions about pictures, draws and changes pictures, one at a time, from a batch file, or in a "
               "conversation.",
    .usage = "generate MODEL --ask TEXT [--image FILE…] [--out FILE]\n"
             "       generate MODEL --draw TEXT --out FILE [--grid N]\n"
             "       generate MODEL --edit TEXT --image FILE --out FILE [--grid N]\n"
             "       generate MODEL --batch FILE --out DIR\n"
             "       generate MODEL --chat [--image FILE…] [--out DIR]\n"
             "       where MODEL is --config RUN.json or --checkpoint DIR",
    .options = FLAGS};

/* ---------------------------------------------------------------- the command line */

static bool draws_alone(void) { return args.draw || args.edit; }

/* A flag that was given, and where it has no meaning. */
typedef struct Misplaced {
    bool given, meant;
    const char *flag, *why;
} Misplaced;

static Status check_flags(void)
{
    const bool pictures = draws_alone() || args.batch || args.chat || (args.ask && args.out), edits = pictures && !args.draw;
    static const char DRAWS[] = "is for pictures (--draw, --edit, --batch, --chat, or --ask with --out)",
                      EDITS[] = "is for changing pictures; --draw begins without one", TEXT[] = "is for answers in text";
    const Misplaced flags[] = {
        {args.image_root, args.batch, "--image-root", "is for --batch; --image takes paths as they are"},
        {args.images.n, !args.batch, "--image", "is for --ask, --edit and --chat; the rows of --batch name their own pictures"},
        {args.images.n, !args.draw, "--image", "is not for --draw, which begins without a picture; --edit TEXT --image FILE changes one"},
        {args.drawing.steps != NOT_GIVEN, pictures, "--steps", DRAWS},
        {args.drawing.guidance != NOT_GIVEN, pictures, "--guidance", DRAWS},
        {args.drawing.sampler != NOT_GIVEN, pictures, "--sampler", DRAWS},
        {args.drawing.image_guidance != NOT_GIVEN, pictures, "--image-guidance", DRAWS},
        {args.drawing.image_guidance != NOT_GIVEN, edits, "--image-guidance", EDITS},
        {args.drawing.strength != NOT_GIVEN, pictures, "--strength", DRAWS},
        {args.drawing.strength != NOT_GIVEN, edits, "--strength", EDITS},
        {args.drawing.captions, draws_alone() || args.batch, "--captions", "is for --draw, --edit and --batch"},
        {args.grid != NOT_GIVEN, draws_alone(), "--grid", "is for --draw and --edit"},
        {args.max_new_tokens != NOT_GIVEN, !draws_alone(), "--max-new-tokens", TEXT},
        {args.temperature != NOT_GIVEN, !draws_alone(), "--temperature", TEXT},
        {args.top_p != NOT_GIVEN, !draws_alone(), "--top-p", TEXT},
    };
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (flags[i].given && !flags[i].meant)
            return fail(ERR_USAGE, "generate: %s %s", flags[i].flag, flags[i].why);
    return OK;
}

static Status check_text(const char *flag, const char *text)
{
    size_t n = text ? strlen(text) : 0, at = 0;
    for (int k; at < n && (k = utf8_decode(text + at, n - at, NULL)); at += (size_t)k)
        ;
    if (at < n)
        return fail(ERR_USAGE, "generate: %s: byte %zu of its text is 0x%02x, where UTF-8 has none", flag, at, (unsigned char)text[at]);
    utf8_strip(&text, &n);
    return n || !text || !strcmp(flag, "--system") ? OK : fail(ERR_USAGE, "generate: %s: its text is empty", flag);
}

static Status check_texts(void)
{
    TRY(check_text("--ask", args.ask));
    TRY(check_text("--draw", args.draw));
    TRY(check_text("--edit", args.edit));
    TRY(check_text("--system", args.system));
    for (int i = 0; i < args.images.n; i++)
        if (!*args.images.items[i])
            return fail(ERR_USAGE, "generate: --image: the name of a picture is empty");
        else if (args.chat && !strcmp(args.images.items[i], "-"))
            return fail(ERR_USAGE, "generate: --image -: standard input has the questions of --chat; name a file");
    return OK;
}

static bool file_is_same(const char *a, const char *b)
{
    struct stat first, second;
    return strcmp(a, "-") != 0 && !stat(a, &first) && !stat(b, &second) && first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

static Status check_arguments(void)
{
    if (!!args.ask + !!args.draw + !!args.edit + !!args.batch + args.chat != 1)
        return fail(ERR_USAGE, "generate: say one thing to do: --ask, --draw, --edit, --batch or --chat");
    TRY(opening_check(&args.model));
    TRY(check_flags());
    TRY(check_texts());
    if (args.edit && !args.images.n)
        return fail(ERR_USAGE, "generate: --edit needs --image FILE, the picture to change");
    if (draws_alone() && !args.out)
        return fail(ERR_USAGE, "generate: %s needs --out FILE, the PNG file for the picture", args.draw ? "--draw" : "--edit");
    if (args.batch && !args.out)
        return fail(ERR_USAGE, "generate: --batch needs --out DIR, the folder for answers.jsonl");
    if (args.ask && args.out && !strcmp(args.out, "-"))
        return fail(ERR_USAGE, "generate: --out -: standard output is for the answer; name a file for the picture that it may draw");
    if (!args.out || args.batch || args.chat)
        return OK;
    for (int i = 0; i < args.images.n; i++)
        if (file_is_same(args.out, args.images.items[i]))
            return fail(ERR_USAGE, "generate: --out %s: is the picture of --image, which it would take the place of; give another name",
                        args.out);
    return draw_check_out(args.out);
}

static double or_usual(double given, double usual) { return given == NOT_GIVEN ? usual : given; }

static Sampling sampling(void)
{
    return (Sampling){.temperature = or_usual(args.temperature, 0), .top_p = or_usual(args.top_p, 1), .seed = (uint64_t)args.seed,
                      .max_new_tokens = args.max_new_tokens == NOT_GIVEN ? ANSWER_TOKENS : args.max_new_tokens};
}

/* ---------------------------------------------------------------- the model */

/* cfg->draws, and *absent: why no pictures can be drawn, where that is no error; NULL: they can. */
static Status choose_drawing(RunConfig *cfg, const char **absent)
{
    const char *flag = args.draw ? "--draw" : args.edit ? "--edit" : args.ask && args.out ? "--out" : NULL;
    bool wanted = flag || args.chat;
    *absent = painter_absent(cfg);
    if (args.batch)
        TRY(batch_draws(args.batch, &wanted));
    if (flag || (wanted && !*absent))
        TRY(drawing_check(&args.drawing, cfg, "generate", flag, *absent));
    cfg->draws = wanted && !*absent;
    cfg->captions = args.drawing.captions && cfg->draws;
    return OK;
}

static Status work(const Session *s)
{
    const char *const *images = args.images.items;
    const int n = args.images.n;
    if (draws_alone())
        return draw_once(s, args.draw ? TASK_GENERATE : TASK_EDIT, args.draw ? args.draw : args.edit, images, n, args.grid, args.out);
    if (args.ask)
        return chat_ask(s, args.ask, images, n, args.out);
    return args.chat ? chat_run(s, images, n, args.out ? args.out : ".") : batch_answer(s, args.batch, args.image_root, args.out);
}

static Status run_with(const RunConfig *cfg, const char *checkpoint, const char *absent)
{
    char name[PATH_MAX];
    const DrawOptions how = drawing_options(&args.drawing);
    Session s = {.absent = absent, .system = {args.system, args.system ? strlen(args.system) : 0}, .sampling = sampling(),
                 .seed = (uint64_t)args.seed, .captions = args.drawing.captions, .results = stdout};
    opening_name(name, sizeof name, cfg, checkpoint);
    Status status = answerer_open(&s.answerer, cfg, *checkpoint ? checkpoint : NULL);
    if (!status && cfg->draws)
        status = painter_open(&s.painter, s.answerer, cfg, &how, name);
    if (!status)
        status = work(&s);
    painter_close(&s.painter);
    answerer_close(&s.answerer);
    return status;
}

static Status run(int argc, char **argv)
{
    bool done;
    TRY(cli_parse(&PROGRAM, argc, argv, &done));
    if (done)
        return OK;
    cli_settle_threads(argv); /* may begin anew: nothing is said before */
    log_level(args.quiet ? LOG_WARN : LOG_INFO);
    TRY(check_arguments());
    RunConfig cfg = {0};
    char checkpoint[PATH_MAX] = "";
    const char *absent = NULL;
    Status s = opening_read(&args.model, &cfg, checkpoint);
    if (!s)
        s = choose_drawing(&cfg, &absent);
    const char *const read[] = {"model.llm.path", "model.vision.path", cfg.draws ? "model.diffusion.path" : NULL, NULL};
    if (!s)
        s = config_check_paths(&cfg, read, NULL);
    if (!s)
        s = opening_check_bases(&args.model, &cfg, checkpoint);
    if (!s)
        drawing_warn_random(&cfg, *checkpoint && cfg.model.gen_head.train != TRAIN_FROZEN);
    if (!s)
        s = run_with(&cfg, checkpoint, absent);
    config_free(&cfg);
    return s;
}

int main(int argc, char **argv)
{
    cli_start();
    return cli_finish(run(argc, argv));
}
