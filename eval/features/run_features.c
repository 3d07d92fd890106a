/* run_features.c: the command line of evaluate features (commands.h). Called by evaluate. */
#include <inttypes.h>
#include <stdio.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "eval/features/commands.h"
#include "eval/features/make_features.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"

static FeatureRequest request;
static int device = DEVICE_AUTO;
static const CliOption OPTIONS[] = {
    {"--model", CLI_STRING, &request.model, "DIR",
     "the network: a folder of transformers' CLIPModel or ViTModel (DINO), or a file of FID's Inception-v3", 0, 0, NULL, false},
    {"--out", CLI_STRING, &request.out, "FILE.h5", "/feat [n, d] in f32 and /name; of records /uid, /image0, /image1, /text0, /text1", 0, 0,
     NULL, false},
    {"--images", CLI_STRING, &request.images, "DIR",
     "its JPEG, PNG and WebP pictures, sorted by name and named without their ending (a BMP, PNM or TIFF is refused by name); with "
     "--records the folder that their paths begin in (else that of the file)", 0, 0, NULL, false},
    {"--texts", CLI_STRING, &request.texts, "FILE.jsonl", "{\"id\", \"text\"} a line; an id is the name of the picture that it is of", 0, 0,
     NULL, false},
    {"--prefix", CLI_STRING, &request.prefix, "TEXT", "stands before each text; CLIPScore has \"A photo depicts \"", 0, 0, NULL, false},
    {"--records", CLI_STRING, &request.records, "FILE.jsonl", "unified records, for curate filter --features", 0, 0, NULL, false},
    {"--openai-crop", CLI_FLAG, &request.openai_crop, NULL,
     "begin CLIP's crop where OpenAI's code rounds to, as MagicBrush's scores do, not where transformers does", 0, 0, NULL, false},
    {"--device", CLI_CHOICE, &device, "auto|cpu|cuda", "where to compute", 0, 0, PICTURE_NET_DEVICES, false},
    {0}};

static Status tell(const FeaturesMade *made)
{
    if (!log_is_json()) {
        fprintf(stdout, "%s: %" PRId64 " rows of %" PRId64 " features of %s\n", request.out, made->n, made->width, made->model);
        return OK;
    }
    cJSON *o = cJSON_CreateObject();
    json_add_text(o, "features", request.out);
    json_add_text(o, "model", made->model);
    json_add_int(o, "n", made->n);
    json_add_int(o, "dim", made->width);
    json_add_int(o, "truncated", made->truncated);
    json_add_int(o, "passed_over", made->passed_over);
    return json_print(stdout, &o, JSON_LINE, "evaluate");
}

static Status check_flags(const FeatureRequest *r)
{
    if (!r->model || !r->out)
        return fail(ERR_USAGE, "evaluate features: %s", r->model ? "--out FILE.h5 is needed: where the features go"
                                                              : "--model DIR is needed: the folder of the network");
    if (!r->images && !r->texts && !r->records)
        return fail(ERR_USAGE, "evaluate features: --images DIR, --texts FILE.jsonl or --records FILE.jsonl is needed: what has features");
    if (r->texts && (r->images || r->records))
        return fail(ERR_USAGE, "evaluate features: --texts makes a file of its own, without --%s", r->images ? "images" : "records");
    if (r->prefix && !r->texts)
        return fail(ERR_USAGE, "evaluate features: --prefix stands before texts, expected --texts FILE.jsonl");
    return file_check_delivery(r->out);
}

Status features_command(int argc, char **argv)
{
    const CliProgram program = {.name = "evaluate",
                                .summary = "Writes what a network makes of pictures or texts into a file that evaluate fid, kid and "
                                           "clip-score, and curate filter read.",
                                .usage = "evaluate features --model DIR --images DIR --out FILE.h5\n"
                                         "       evaluate features --model DIR --texts FILE.jsonl --out FILE.h5\n"
                                         "       evaluate features --model DIR --records FILE.jsonl --out FILE.h5",
                                .options = OPTIONS};
    FeaturesMade made;
    bool done;
    TRY(cli_parse(&program, argc, argv, &done));
    if (done)
        return OK;
    request.device = (DeviceChoice)device;
    TRY(check_flags(&request));
    TRY(features_make(&request, &made));
    return tell(&made);
}
