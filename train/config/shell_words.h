/* shell_words.h: the words of a command that stands in a shell script: enough of the shell's language for the scripts that start trainings.
 */
#ifndef GENLLAVA_TRAIN_CONFIG_SHELL_WORDS_H
#define GENLLAVA_TRAIN_CONFIG_SHELL_WORDS_H

#include "kernels/base/status.h"

enum { SHELL_WORDS_MAX = 512 };

/* The words of the first command of the script that has a word ending in `marker` (".py"). Quotes, backslashes, lines that go on, comments,
 * and variables that the script itself sets (NAME=value, ${NAME}, $NAME) are understood; redirections are left out. A variable that is set
 * elsewhere or not in every case, a command that computes a word, or no such command: ERR_DATA with FILE:line. words[0 … *n-1] lie in
 * *memory (mem_free). */
MUST_USE Status shell_words(const char *words[SHELL_WORDS_MAX], int *n, char **memory, const char *path, const char *marker);
#endif
