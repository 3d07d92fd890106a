/* scenes: draws the picture world. */
#include <stdio.h>
#include <string.h>

#include "tools/worlds/scenes.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"

static Status parse_kinds(SceneSet *set, const char *list)
{
    const char *names[SCENE_KINDS];
    for (int k = 0; k < SCENE_KINDS; k++)
        names[k] = scene_kind_name((SceneKind)k);
    for (const char *at = list; at;) {
        size_t n = strcspn(at, ",");
        char word[64];
        snprintf(word, sizeof word, "%.*s", (int)(n < sizeof word ? n : sizeof word - 1), at);
        int k = 0;
        while (k < SCENE_KINDS && strcmp(word, names[k]))
            k++;
        if (k == SCENE_KINDS) {
            const char *near = cli_nearest(word, names, SCENE_KINDS);
            return fail(ERR_USAGE, "--kinds: there is no kind \"%s\"%s%s%s; `scenes --help` lists them", word,
                        near ? "; did you mean \"" : "", near ? near : "", near ? "\"" : "");
        }
        set->kinds[k] = true;
        at = at[n] ? at + n + 1 : NULL;
    }
    return OK;
}

static const char NOTES[] = "kinds:\n"
#define KIND_LINE(kind, name, example) "  " name ": " example "\n"
    SCENE_KIND_LIST(KIND_LINE)
#undef KIND_LINE
        "\nwrites FOLDER/train.json and FOLDER/heldout.json (LLaVA's form; `kind` is an extra key) and the JPEG files beside them. The "
        "same options give the same bytes. Eight combinations of shape and color never occur in the training split; each held-out question "
        "is about one of them.";

int main(int argc, char **argv)
{
    SceneSet set = {.count = 4000, .heldout = 500, .size = 64, .seed = 42, .turns = 1, .objects = SCENE_MAX_OBJECTS};
    const char *kinds = "color,shape,count,exists,side,height,relation,size,larger,background";
    bool quiet = false, done = false;
    const CliOption options[] = {
        {.name = "--out", .kind = CLI_STRING, .value = &set.out, .argument = "FOLDER", .help = "where to write (required)"},
        {.name = "--count", .kind = CLI_INT, .value = &set.count, .argument = "N", .help = "training records (4000)", .low = 1,
         .high = 999999},
        {.name = "--heldout", .kind = CLI_INT, .value = &set.heldout, .argument = "M", .help = "held-out records (500)", .low = 0,
         .high = 999999},
        {.name = "--size", .kind = CLI_INT, .value = &set.size, .argument = "PIXELS", .help = "side of a picture (64)", .low = 32,
         .high = 1024},
        {.name = "--seed", .kind = CLI_INT, .value = &set.seed, .argument = "S", .help = "of all random choices (42)", .low = 0,
         .high = 1e15},
        {.name = "--kinds", .kind = CLI_STRING, .value = &kinds, .argument = "LIST",
         .help = "kinds of questions, separated by commas (all but refer and caption)"},
        {.name = "--turns", .kind = CLI_INT, .value = &set.turns, .argument = "N",
         .help = "questions about one training picture at most (1); held-out pictures have one", .low = 1, .high = SCENE_KINDS},
        {.name = "--objects", .kind = CLI_INT, .value = &set.objects, .argument = "N", .help = "shapes in one picture at most (4)",
         .low = 1, .high = SCENE_MAX_OBJECTS},
        {.name = "--quiet", .kind = CLI_FLAG, .value = &quiet, .help = "only errors"},
        {.name = NULL},
    };
    const CliProgram program = {.name = "scenes",
                                .summary = "Draws pictures of a few colored shapes and writes questions about them with their answers.",
                                .usage = "scenes --out FOLDER [options]",
                                .options = options,
                                .notes = NOTES};
    cli_start();
    Status s = cli_parse(&program, argc, argv, &done);
    if (s || done)
        return cli_finish(s);
    log_level(quiet ? LOG_ERROR : LOG_INFO);
    if (!set.out)
        return cli_finish(fail(ERR_USAGE, "--out FOLDER is missing"));
    s = parse_kinds(&set, kinds);
    if (!s && set.objects == 1 && (set.kinds[SCENE_RELATION] || set.kinds[SCENE_LARGER]))
        s = fail(ERR_USAGE, "scenes: --objects is 1, but the kinds relation and larger compare two shapes; raise it or leave them out "
                            "with --kinds");
    if (!s)
        s = scenes_write(&set);
    return cli_finish(s);
}
