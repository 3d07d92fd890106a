/* run_clip_score.c: evaluate clip-score: how well pictures fit their texts, from features of both (commands.h). Called by evaluate. */
#include <inttypes.h>
#include <stdio.h>

#include "data/formats/json_write.h"
#include "eval/metrics/commands.h"
#include "eval/metrics/cosine.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"

static CliList words;
static int format;
static const char *const FORMATS[] = {"text", "json", NULL};
static const CliOption OPTIONS[] = {{"--format", CLI_CHOICE, &format, "text|json", "a line, or one JSON object", 0, 0, FORMATS, false},
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

Status metrics_clip_score(int argc, char **argv)
{
    const CliProgram program = {.name = "evaluate",
                                .summary = "Cosines of pictures and texts, from files of CLIP's projected features (.npy [n, d]; .h5 "
                                           "with /feat [n, d]), paired by name where both have names (FILE.txt beside FILE.npy, or "
                                           "/name), else by row. Means of 100·max(cos, 0) and, as CLIPScore, 2.5·max(cos, 0).",
                                .usage = "evaluate clip-score IMAGES TEXTS [--format json]",
                                .options = OPTIONS,
                                .positional = "FILE",
                                .words = &words};
    bool done;
    TRY(cli_parse(&program, argc, argv, &done));
    if (done)
        return OK;
    if (words.n != 2)
        return fail(ERR_USAGE, "evaluate clip-score needs two files: features of pictures and of texts, has %d; evaluate clip-score "
                               "--help shows all options", words.n);
    FeatureSet images, texts;
    CosineScore score;
    TRY(feature_set_open(&images, words.items[0]));
    Status s = feature_set_open(&texts, words.items[1]);
    if (!s) {
        s = cosine_score(&score, &images, &texts);
        feature_set_close(&texts);
    }
    feature_set_close(&images);
    return s ? s : tell(&score);
}
