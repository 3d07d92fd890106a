/* request.c: `curate request`: records or pictures and a recipe to request files (commands.h). */
#include "data/curate/commands.h"
#include "data/curate/recipe.h"
#include "kernels/base/cli.h"

Status curate_request(int argc, char **argv, FILE *out)
{
    const char *recipe = NULL;
    bool done;
    const CliOption options[] = {
        {"--recipe", CLI_STRING, &recipe, "NAME|FILE", "What is asked: a built-in recipe, or a file.", 0, 0, NULL, false},
        {0},
    };
    const CliProgram program = {
        .name = "curate request",
        .summary = "Writes the files that a batch service takes: a request for each record or picture.",
        .usage = "curate request --recipe NAME|FILE.json",
        .options = options,
    };
    TRY(cli_parse(&program, argc, argv, &done));
    if (done)
        return OK;
    if (!recipe)
        return fail(ERR_USAGE, "--recipe NAME|FILE is needed; curate request --help lists all options");
    Recipe r;
    TRY(recipe_load(&r, recipe));
    fprintf(out, "%s\n", r.template_sha256);
    recipe_free(&r);
    return OK;
}
