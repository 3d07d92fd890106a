/* curate: a vision model of others as the author of instructions. It writes requests for a batch service and turns the replies into
 * records; the files are carried there and back by hand, there is no network code. Each command is a file of this folder. */
#include <stdio.h>
#include <string.h>

#include "data/curate/commands.h"
#include "kernels/base/cli.h"

static const struct {
    const char *name, *help;
    Command *run;
} COMMANDS[] = {
    {"request", "Records or pictures and a recipe to request files.", curate_request},
    {"ingest", "The replies to records, rejects, and requests to send again.", curate_ingest},
    {"filter", "Records without what is excluded, does not fit its picture, or comes again.", curate_filter},
    {"stats", "How many records there are of each task, source, licence and instruction.", curate_stats},
};
enum { N_COMMANDS = sizeof COMMANDS / sizeof *COMMANDS };

/* The program without a command: --help, --version, mistakes. */
static Status answer_without_command(int argc, char **argv)
{
    CliOption options[N_COMMANDS + 2] = {{.kind = CLI_HEADING, .help = "commands (curate COMMAND --help lists their options):"}};
    const char *names[N_COMMANDS];
    CliList words = {.n = 0};
    bool done;
    for (int i = 0; i < N_COMMANDS; i++) {
        options[i + 1] = (CliOption){.name = COMMANDS[i].name, .kind = CLI_COMMAND, .help = COMMANDS[i].help};
        names[i] = COMMANDS[i].name;
    }
    const CliProgram program = {
        .name = "curate",
        .summary = "Lets a vision model of others write instructions: requests for its batch service, and its replies to records.",
        .usage = "curate COMMAND [OPTIONS]",
        .options = options,
        .positional = "COMMAND",
        .words = &words,
    };
    TRY(cli_parse(&program, argc, argv, &done));
    if (done)
        return OK;
    if (!words.n)
        return fail(ERR_USAGE, "curate: a command is missing; curate --help lists them");
    const char *near = cli_nearest(words.items[0], names, N_COMMANDS);
    return fail(ERR_USAGE, "curate: unknown command \"%s\"%s%s%s; curate --help lists them", words.items[0], near ? " (did you mean " : "",
                near ? near : "", near ? "?)" : "");
}

int main(int argc, char **argv)
{
    cli_start();
    for (int i = 0; i < N_COMMANDS; i++)
        if (argc > 1 && !strcmp(argv[1], COMMANDS[i].name))
            return cli_finish(COMMANDS[i].run(argc - 1, argv + 1, stdout));
    return cli_finish(answer_without_command(argc, argv));
}
