/* genllava: one name for all programs. `genllava train …` becomes the program train that lies beside this one, with the rest of
 * the words. Which there are, with their sentences, is a file that the Makefile writes from the programs themselves
 * (tools/front/programs.sh). */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/cli.h"

/* A line each: name, tab, sentence. */
__asm__(".section .rodata\nfront_programs:\n.incbin \"" GENLLAVA_PROGRAMS "\"\n.byte 0\n.previous\n");
extern const char front_programs[] __attribute__((visibility("hidden")));

enum { MOST = 64, TEXT_BYTES = 16384 };
static const char HELP[] = "help";
#define EXIT_CODE(name, code, text) " " #code " (" text ")"
static const char NOTES[] = "Exit codes of all programs:" STATUS_LIST(EXIT_CODE);

typedef struct Front {
    char text[TEXT_BYTES]; /* the file, cut into names and sentences */
    CliOption options[MOST + 2];
    const char *names[MOST]; /* of programs; the last is HELP */
    int n;                   /* without it */
} Front;

static void read_programs(Front *f)
{
    CliOption *o = f->options;
    *o++ = (CliOption){.kind = CLI_HEADING, .help = "programs (genllava PROGRAM --help lists their options):"};
    snprintf(f->text, sizeof f->text, "%s", front_programs);
    for (char *at = strtok(f->text, "\n"); at && f->n < MOST - 1; at = strtok(NULL, "\n")) {
        char *tab = strchr(at, '\t');
        *tab = 0;
        f->names[f->n++] = at;
        *o++ = (CliOption){.name = at, .kind = CLI_COMMAND, .help = tab + 1};
    }
    f->names[f->n] = HELP;
    *o = (CliOption){.name = HELP, .kind = CLI_COMMAND, .argument = "PROGRAM", .help = "The manual page of a program, else its --help."};
}

static bool is_program(const Front *f, const char *word)
{
    int i = 0;
    while (i < f->n && strcmp(f->names[i], word))
        i++;
    return i < f->n;
}

static Status no_such(const Front *f, const char *word)
{
    const char *near = cli_nearest(word, f->names, f->n + 1);
    return fail(ERR_USAGE, "genllava: there is no program \"%s\"%s%s%s; genllava --help lists them", word, near ? " (did you mean " : "",
                near ? near : "", near ? "?)" : "");
}

/* The folder of this program, links followed, with a slash at its end. */
static void find_folder(char out[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    while (n > 0 && out[n - 1] != '/')
        n--;
    out[n > 0 ? n : 0] = 0;
}

/* argv[0]: the program's name. Returns only when it could not be started. */
static Status become(char **argv)
{
    char folder[PATH_MAX], path[PATH_MAX + NAME_MAX];
    find_folder(folder);
    snprintf(path, sizeof path, "%s%s", folder, argv[0]);
    execv(path, argv);
    return fail(ERR_MISSING, "genllava: %s: %s; it belongs beside genllava, where `make` and `make install` put it", path, strerror(errno));
}

/* Where `make install` has put the manual page, and whether it is there. */
static bool find_page(char *out, size_t n, const char *program)
{
    static const char *const ENDS[] = {"", ".gz"};
    char folder[PATH_MAX];
    find_folder(folder);
    for (int i = 0; i < 2; i++) {
        snprintf(out, n, "%s../../share/man/man1/genllava-%s.1%s", folder, program, ENDS[i]);
        if (!access(out, R_OK))
            return true;
    }
    return false;
}

/* word NULL: of genllava itself. */
static Status show_help(const Front *f, char *word)
{
    char page[PATH_MAX + NAME_MAX], self[] = "genllava", help[] = "--help";
    if (word && !is_program(f, word))
        return no_such(f, word);
    if (word && find_page(page, sizeof page, word))
        execlp("man", "man", "-l", page, (char *)NULL); /* returns where there is no man */
    return become((char *[]){word ? word : self, help, NULL});
}

static Status run(const Front *f, int argc, char **argv)
{
    bool done;
    const CliProgram program = {
        .name = "genllava",
        .summary = "Finetunes a language model with a vision tower, so that it answers questions about pictures, draws and changes them.",
        .usage = "genllava PROGRAM [OPTIONS]\n       genllava help PROGRAM",
        .options = f->options,
        .notes = NOTES,
    };
    /* Before cli_start: the program starts as if it had been called. */
    if (argc > 1 && is_program(f, argv[1]))
        return become(argv + 1);
    if (argc > 1 && !strcmp(argv[1], HELP))
        return show_help(f, argv[2]);
    cli_start();
    if (argc < 2)
        return fail(ERR_USAGE, "genllava: a program is missing; genllava --help lists them");
    return *argv[1] == '-' ? cli_parse(&program, argc, argv, &done) : no_such(f, argv[1]);
}

int main(int argc, char **argv)
{
    static Front front;
    read_programs(&front);
    return cli_finish(run(&front, argc, argv));
}
