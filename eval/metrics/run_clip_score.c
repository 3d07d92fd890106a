/* run_clip_score.c: evaluate clip-score: how well pictures fit their texts, from both or from features of both (commands.h). Called by
 * evaluate. */
#include <inttypes.h>
#include <stdio.h>

#include "data/formats/json_write.h"
#include "eval/metrics/commands.h"
#include "eval/metrics/cosine.h"
#include "eval/metrics/sets.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"

static CliList words;
static SetNetwork network = {.command = "evaluate clip-score", .flag = "--model DIR", .reads_texts = true};
static int format;
static const char *const FORMATS[] = {"text", "json", NULL};
static const CliOption OPTIONS[] = {
    {"--model", CLI_STRING, &network.weights, "DIR", "transformers' CLIPModel, where pictures or texts are given", 0, 0, NULL, false},
    {"--prefix", CLI_STRING, &network.prefix, "TEXT", "stands before each text; CLIPScore has \"A photo depicts \"", 0, 0, NULL, false},
    SET_DEVICE(network),
    {"--format", CLI_CHOICE, &format, "text|json", "a line, or one JSON object", 0, 0, FORMATS, false},
    {0}};

static Status tell(const CosineScore *c)
{
    if (format == 0 && !log_is_json()) {
        fprintf(stdout, "%" PRId64 " pairs: CLIP score %.2f, CLIPScore %.4f\n", c->n, c->score, c->clipscore);
        return OK;
    }
    cJSON *o = cJSON_CreateObject();
    json_add_text(o, "metric", "clip-score");
    json_add_int(o, "n", c->n);
    json_add_real(o, "score", c->score);
    json_add_real(o, "clipscore", c->clipscore);
    return json_print(stdout, &o, JSON_LINE, "evaluate");
}

static Status compare(CosineScore *score, char paths[SETS][PATH_MAX])
{
    FeatureSet images, texts;
    TRY(feature_set_open(&images, paths[0]));
    images.path = words.items[0];
    Status s = feature_set_open(&texts, paths[1]);
    if (!s) {
        texts.path = words.items[1];
        s = cosine_score(score, &images, &texts);
        feature_set_close(&texts);
    }
    feature_set_close(&images);
    return s;
}

static Status measure(void)
{
    char paths[SETS][PATH_MAX];
    CosineScore score;
    Status s = sets_open(paths, &words, &network);
    if (!s)
        s = compare(&score, paths);
    sets_remove();
    return s ? s : tell(&score);
}

Status metrics_clip_score(int argc, char **argv)
{
    const CliProgram program = {.name = "evaluate",
                                .summary = "Cosines of pictures (a folder) and texts ({\"id\", \"text\"} a line of FILE.jsonl; an id is "
                                           "the name of the picture), or of CLIP's projected features of them (.npy [n, d]; .h5 with "
                                           "/feat [n, d]); paired by name where both have names (FILE.txt beside FILE.npy, or /name), "
                                           "else by row. Means of 100·max(cos, 0) and, as CLIPScore, 2.5·max(cos, 0).",
                                .usage = "evaluate clip-score IMAGES TEXTS [--model DIR] [--format json]",
                                .options = OPTIONS,
                                .positional = "SET",
                                .words = &words};
    bool done;
    TRY(cli_parse(&program, argc, argv, &done));
    if (done)
        return OK;
    if (words.n != 2)
        return fail(ERR_USAGE, "evaluate clip-score needs two sets, pictures and texts or features of them, has %d; evaluate clip-score "
                               "--help shows all options", words.n);
    return measure();
}
