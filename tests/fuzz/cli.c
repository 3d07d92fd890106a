/* cli.c: command lines; the words of the input end with newlines. */
#include "kernels/base/cli.h"

#include <string.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    enum { MOST_WORDS = 40 };
    static const char *const colours[] = {"red", "green", "blue", NULL};
    char text[4096], *argv[MOST_WORDS + 2] = {(char[]){"program"}};
    bool flag = false, done = false;
    const char *string = NULL, *optional = NULL;
    CliList strings = {0}, many = {0}, words = {0};
    int64_t integer = 0;
    double real = 0;
    int choice = 0, argc = 1;
    const CliOption options[] = {{"--config", CLI_STRING, &string, .argument = "FILE", .help = "One."},
                                 {"--set", CLI_STRINGS, &strings, .argument = "KEY=VALUE", .help = "Two."},
                                 {"--image", CLI_STRINGS, &many, .argument = "FILE", .help = "Three.", .many = true},
                                 {"", CLI_HEADING, .help = "More:"},
                                 {"--steps", CLI_INT, &integer, .argument = "N", .help = "Four.", .low = 1, .high = 1000},
                                 {"--temperature", CLI_REAL, &real, .argument = "X", .help = "Five.", .low = 0, .high = 2},
                                 {"--colour", CLI_CHOICE, &choice, .names = colours, .argument = "NAME", .help = "Six."},
                                 {"--resume", CLI_OPTIONAL, &optional, .argument = "[DIR]", .help = "Seven."},
                                 {"--dry-run", CLI_FLAG, &flag, .help = "Eight."},
                                 {0}};
    const CliProgram program = {
        .name = "program", .summary = "Reads words.", .usage = "program", .options = options, .positional = "FILE", .words = &words};
    n = n < sizeof text - 1 ? n : sizeof text - 1;
    memcpy(text, data, n);
    text[n] = 0;
    for (char *w = strtok(text, "\n"); w && argc <= MOST_WORDS; w = strtok(NULL, "\n"))
        argv[argc++] = w;
    fuzz_check(cli_parse(&program, argc, argv, &done));
    return 0;
}
