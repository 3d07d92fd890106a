/* inspect: what lies in a file or folder. */
#include "tools/inspect/inspect.h"

#include <inttypes.h>
#include <string.h>

#include "data/formats/mistakes.h"
#include "kernels/base/cli.h"
#include "kernels/base/utf8.h"

/* A folder of weights, and what it is to a run. */
static Status inspect_model(const InspectOptions *o)
{
    char role[160] = "";
    TRY(inspect_weights(o, inspect_stem(o->path)));
    inspect_role(o->path, role, sizeof role);
    if (*role && !o->json) {
        utf8_cell(o->out, o->path, 0);
        fprintf(o->out, ": %s\n", role);
    }
    return OK;
}

static Status inspect_one(const InspectOptions *o)
{
    PathKind kind;
    TRY(inspect_identify(o->path, &kind));
    bool shard = kind == PATH_SHARD || kind == PATH_SHARD_FOLDER;
    if (o->sample >= 0 && !shard)
        return fail(ERR_USAGE, "--sample looks into shards; %s is none", o->path);
    if (o->show && kind != PATH_PICTURE && o->sample < 0)
        return fail(ERR_USAGE, "--show draws a picture, or with --sample N those of a shard's sample; %s is %s", o->path,
                    shard ? "a shard or a folder of them" : "neither");
    switch (kind) {
    case PATH_SHARD: return inspect_shard(o);
    case PATH_WEIGHTS: return inspect_weights(o, NULL);
    case PATH_TORCH: return inspect_torch(o);
    case PATH_GGUF: return inspect_gguf(o);
    case PATH_SHARD_FOLDER: return inspect_shard_folder(o);
    case PATH_CHECKPOINT: return inspect_checkpoint(o);
    case PATH_RUN: return inspect_run(o);
    case PATH_DIFFUSERS: return inspect_diffusers(o);
    case PATH_PICTURE: return inspect_picture(o);
    case PATH_JSON: return inspect_json(o);
    case PATH_VOCABULARY: return inspect_vocabulary(o);
    case PATH_DATA_FOLDER: return inspect_data_folder(o);
    case PATH_FOLDER: return inspect_folder(o);
    case PATH_FEATURES: return inspect_features(o);
    case PATH_TEXT: return inspect_lines(o);
    case PATH_WEIGHTS_FOLDER: break;
    }
    return inspect_model(o);
}

static Status check(const InspectOptions *o, int n_words)
{
    if (n_words == 0)
        return fail(ERR_USAGE, "nothing to look at: give a file or folder; inspect --help says which");
    if (o->sample < 0 && (o->image >= 0 || o->pixels))
        return fail(ERR_USAGE, "%s needs --sample N: which sample of the shard is meant", o->pixels ? "--pixels" : "--image");
    if (o->show && (o->json || o->pixels))
        return fail(ERR_USAGE, "--show draws in the terminal; it does not go with %s", o->json ? "--format json" : "--pixels");
    if (n_words > 1 && (o->sample >= 0 || o->json))
        return fail(ERR_USAGE, "%s takes one file or folder, %d were given", o->sample >= 0 ? "--sample" : "--format json", n_words);
    return OK;
}

/* Each, whatever is wrong with others; how the first one ended that could not be looked at. */
static Status inspect_all(InspectOptions *o, const CliList *paths)
{
    Mistakes m = {.n = 0};
    Status first = OK;
    for (int i = 0; i < paths->n; i++) {
        o->path = paths->items[i];
        const Status s = inspect_one(o);
        first = first ? first : s;
        if (s)
            mistakes_add_line(&m, status_message());
        if (s && s != ERR_DATA && s != ERR_MISSING)
            break; /* nothing to do with the path */
    }
    return mistakes_end(&m, first, "inspect");
}

int main(int argc, char **argv)
{
    static const char *const FORMATS[] = {"text", "json", NULL};
    InspectOptions o = {.sample = -1, .image = -1, .out = stdout};
    CliList words = {.n = 0};
    int format = 0;
    bool done = false;
    const CliOption options[] = {
        {"--format", CLI_CHOICE, &format, "text|json", "Text for people, or one JSON object.", 0, 0, FORMATS, false},
        {"--verify", CLI_FLAG, &o.verify, NULL, "Of a shard or a folder of shards: read the bytes of all pictures too, also of more than "
                                                "256 MiB.", 0, 0, NULL, false},
        {"--sample", CLI_INT, &o.sample, "N", "Of a shard or a folder of shards: tokens, label mask (* is trained), images and the "
                                              "original line of sample N, from 0.", 0, 9e15, NULL, false},
        {"--image", CLI_INT, &o.image, "K", "Only image K of the sample, from 0.", 0, 9e15, NULL, false},
        {"--show", CLI_FLAG, &o.show, NULL, "Draws a picture, or those of the sample, in the terminal.", 0, 0, NULL, false},
        {"--pixels", CLI_STRING, &o.pixels, "FILE.ppm", "Writes image K (default 0) as the vision tower gets it, or a target as "
                                                        "the diffusion model does (\"-\": standard output). Needs --config.",
         0, 0, NULL, false},
        {"--config", CLI_STRING, &o.config, "RUN.json", "The run whose tokenizer names the tokens, whose loss.image_tokens "
                                                        "says which [IMG] tokens are trained and whose networks size the "
                                                        "picture.", 0,
         0, NULL, false},
        {0},
    };
    const CliProgram program = {
        .name = "inspect",
        .summary = "Shows what lies in files and folders of weights, shards, checkpoints and runs. Files of weights may be safetensors, "
                   "GGUF or torch's .bin, of which nothing is executed; folders Hugging Face's or diffusers'. Of a picture, a JSON "
                   "file or a tokenizer.model it says what it is.",
        .usage = "inspect PATH … [--format json] [--verify]\n       inspect PICTURE … --show\n"
                 "       inspect SHARD --sample N [--image K] [--show] [--config RUN.json]\n"
                 "       inspect SHARD --sample N [--image K] --pixels FILE.ppm --config RUN.json",
        .options = options,
        .positional = "PATH",
        .words = &words,
        .notes = "Checkpoints and shards are verified on the way, the bytes of more than 256 MiB of pictures only with --verify (--sample "
                 "reads the pictures of its sample): exit code 65 when something is damaged, 66 when it is not there.",
    };
    cli_start();
    Status s = cli_parse(&program, argc, argv, &done);
    if (s || done)
        return cli_finish(s);
    o.json = format == 1;
    s = check(&o, words.n);
    return cli_finish(s ? s : inspect_all(&o, &words));
}
