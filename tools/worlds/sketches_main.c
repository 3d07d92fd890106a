/* sketches: draws the world of drawing, and judges pictures of it. */
#include <stdio.h>

#include "kernels/base/cli.h"
#include "kernels/base/log.h"
#include "tools/worlds/sketches.h"

int main(int argc, char **argv)
{
    SketchSet set = {.count = 4000, .heldout = 128, .size = 32, .seed = 42};
    const char *rows = NULL, *pictures = NULL, *sheet = NULL;
    bool quiet = false, each = false, done = false;
    const CliOption options[] = {
        {.name = "--out", .kind = CLI_STRING, .value = &set.out, .argument = "FOLDER", .help = "where to write a set"},
        {.name = "--count", .kind = CLI_INT, .value = &set.count, .argument = "N", .help = "training rows (4000)", .low = 0,
         .high = 999999},
        {.name = "--heldout", .kind = CLI_INT, .value = &set.heldout, .argument = "M", .help = "held-out rows (128)", .low = 0,
         .high = 999999},
        {.name = "--size", .kind = CLI_INT, .value = &set.size, .argument = "PIXELS", .help = "side of a picture (32)", .low = 16,
         .high = SKETCH_SIDE_MAX},
        {.name = "--seed", .kind = CLI_INT, .value = &set.seed, .argument = "S", .help = "of all random choices (42)", .low = 0,
         .high = 1e15},
        {.name = "--all", .kind = CLI_FLAG, .value = &set.all, .help = "hold no combination of shape and color out"},
        {.name = "--check", .kind = CLI_STRING, .value = &rows, .argument = "FILE",
         .help = "judge pictures by what the rows of a set's heldout.jsonl or train.jsonl want"},
        {.name = "--pictures", .kind = CLI_STRING, .value = &pictures, .argument = "FOLDER",
         .help = "where they lie, with the names that the rows' targets have"},
        {.name = "--each", .kind = CLI_FLAG, .value = &each, .help = "with --check: also say what is wrong with each"},
        {.name = "--sheet", .kind = CLI_STRING, .value = &sheet, .argument = "FILE",
         .help = "with --check: a PNG of the first pictures drawn, and of pictures changed beside what they were"},
        {.name = "--quiet", .kind = CLI_FLAG, .value = &quiet, .help = "only errors"},
        {.name = NULL},
    };
    const CliProgram program = {
        .name = "sketches",
        .summary = "Writes requests to draw a colored shape or to change one, with the pictures, and judges pictures drawn for them.",
        .usage = "sketches --out FOLDER [options]\nsketches --check FILE --pictures FOLDER [--each] [--sheet FILE]",
        .options = options,
        .notes = "writes FOLDER/train.jsonl and FOLDER/heldout.jsonl (rows for `train`; `want` and `change` are extra keys) and PNG files "
                 "beside them. The same options give the same bytes. Six combinations of shape and color never occur in the training "
                 "split; each held-out drawing, and the result of each held-out change, has one of them."};
    cli_start();
    Status s = cli_parse(&program, argc, argv, &done);
    if (s || done)
        return cli_finish(s);
    log_level(quiet ? LOG_ERROR : LOG_INFO);
    if (!rows == !set.out)
        return cli_finish(fail(ERR_USAGE, "give --out FOLDER to write a set, or --check FILE to judge pictures"));
    if (rows && !pictures)
        return cli_finish(fail(ERR_USAGE, "--check needs --pictures FOLDER"));
    if (!rows && (each || sheet))
        return cli_finish(fail(ERR_USAGE, "%s belongs to --check FILE", each ? "--each" : "--sheet"));
    return cli_finish(rows ? sketches_check(stdout, rows, pictures, each, sheet) : sketches_write(&set));
}
