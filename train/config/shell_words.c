/* shell_words.c: the words of a command in a shell script (shell_words.h). For from_llava.c. */
#include "train/config/shell_words.h"

#include <ctype.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"

enum { SCRIPT_MAX = 1 << 20, WORDS_MAX = 2 * SCRIPT_MAX, VARIABLES_MAX = 64 };

typedef struct Variable {
    const char *name, *value; /* value NULL: only the shell knows it */
} Variable;

typedef struct Script {
    const char *path, *at;
    int line;
    char *out, *room_end; /* where the next word is written: values of variables make words longer than the script */
    Variable variables[VARIABLES_MAX];
    int n_variables;
    int depth;                    /* of if, loops and cases */
    bool conditional;             /* the present command stands behind && or || */
    char trouble[PATH_MAX + 256]; /* of the present command: what only the shell can read of it; it matters if that is the one wanted */
} Script;

/* Remembers the first trouble of a command. */
static void note(Script *s, const char *what, size_t n, const char *why)
{
    if (!*s->trouble)
        snprintf(s->trouble, sizeof s->trouble, "%s:%d: %.*s %s", s->path, s->line, (int)(n < 40 ? n : 40), what, why);
}

static Status put(Script *s, char c)
{
    if (s->out == s->room_end)
        return fail(ERR_DATA, "%s:%d: the words become longer than %d bytes", s->path, s->line, WORDS_MAX);
    *s->out++ = c;
    return OK;
}

/* $NAME or ${NAME}; s->at stands behind the dollar sign. */
static Status put_variable(Script *s)
{
    bool braces = *s->at == '{';
    const char *name = s->at + braces;
    size_t n = 0;
    while (isalnum((unsigned char)name[n]) || name[n] == '_')
        n++;
    if (!n || (braces && name[n] != '}')) {
        note(s, s->at - 1, strcspn(s->at, "\r\n") + 1, "is computed when the script runs; put its value there");
        return OK;
    }
    for (int i = 0; i < s->n_variables; i++)
        if (s->variables[i].value && strlen(s->variables[i].name) == n && !strncmp(s->variables[i].name, name, n)) {
            for (const char *c = s->variables[i].value; *c; c++)
                TRY(put(s, *c));
            s->at = name + n + braces;
            return OK;
        }
    note(s, s->at - 1, n + 1 + 2 * braces, "is not set to a plain text by the script; put its value there");
    s->at = name + n + braces;
    return OK;
}

/* Blanks, comments and lines that go on. */
static void skip_blanks(Script *s)
{
    for (;; s->at++) {
        if (s->at[0] == '\\' && (s->at[1] == '\n' || (s->at[1] == '\r' && s->at[2] == '\n')))
            s->at += s->at[1] == '\r' ? 2 : 1, s->line++;
        else if (*s->at != ' ' && *s->at != '\t' && *s->at != '\r')
            break;
    }
    if (*s->at == '#')
        s->at += strcspn(s->at, "\n");
}

static bool ends_word(char c) { return !c || strchr(" \t\r\n;&|<>", c); }

/* The next word of the command; *word is NULL at its end. */
static Status next_word(Script *s, char **word)
{
    skip_blanks(s);
    *word = NULL;
    if (ends_word(*s->at))
        return OK;
    *word = s->out;
    int line = s->line;
    for (char quote = 0; quote || !ends_word(*s->at);) {
        char c = *s->at;
        if (!c)
            return fail(ERR_DATA, "%s:%d: a quote is not closed", s->path, line);
        if (c == '\n')
            s->line++;
        s->at++;
        if (c == '`' && quote != '\'')
            note(s, s->at - 1, strcspn(s->at, "\r\n") + 1, "is computed when the script runs; put its value there");
        if (quote ? c == quote : c == '"' || c == '\'')
            quote = quote ? 0 : c;
        else if (c == '$' && quote != '\'')
            TRY(put_variable(s));
        else if (c == '\\' && quote != '\'' && *s->at == '\n')
            s->at++, s->line++;
        else if (c == '\\' && quote != '\'' && *s->at && (!quote || strchr("\"\\$`", *s->at)))
            TRY(put(s, *s->at++));
        else
            TRY(put(s, c));
    }
    return put(s, 0);
}

/* Remembers NAME=value, in place of what the name meant before. */
static bool assigns(Script *s, char *word)
{
    size_t n = strcspn(word, "=");
    if (!word[n] || !n || isdigit((unsigned char)*word))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)word[i]) && word[i] != '_')
            return false;
    word[n] = 0;
    int at = 0;
    while (at < s->n_variables && strcmp(s->variables[at].name, word))
        at++;
    if (at < VARIABLES_MAX)
        s->variables[at] = (Variable){word, *s->trouble || s->depth || s->conditional ? NULL : word + n + 1};
    s->n_variables += at == s->n_variables && at < VARIABLES_MAX;
    return true;
}

static bool ends_in(const char *word, const char *end)
{
    size_t n = strlen(word), e = strlen(end);
    return n >= e && !strcmp(word + n - e, end);
}

static bool is_one_of(const char *word, const char *const *list)
{
    while (*list && strcmp(*list, word))
        list++;
    return *list;
}

/* What "for NAME in …" and "read NAME" set is known when the script runs. */
static void forget_set(Script *s, const char *const *words, int n)
{
    static const char *const SET[] = {"for", "read", NULL};
    for (int i = 0; n > 1 && is_one_of(words[0], SET) && i < s->n_variables; i++)
        if (!strcmp(s->variables[i].name, words[1]))
            s->variables[i].value = NULL;
}

/* A word that stands before a command and is none of it: export, or where a part begins or ends that need not run, or runs several times.
 */
static bool leads(Script *s, const char *word)
{
    static const char *const OPEN[] = {"if", "while", "until", "for", "case", NULL}, *const CLOSE[] = {"fi", "done", "esac", NULL};
    static const char *const WITHIN[] = {"export", "then", "else", "elif", "do", NULL};
    s->depth += is_one_of(word, OPEN);
    s->depth -= s->depth && is_one_of(word, CLOSE);
    return is_one_of(word, WITHIN) || ends_in(word, ")");
}

/* How long ">", "2>>", "2>&" or the like is; 0: none stands there. */
static size_t redirection(const char *at)
{
    size_t digits = strspn(at, "0123456789"), n = strspn(at + digits, "<>");
    return n ? digits + n + (at[digits + n] == '&') : 0;
}

/* One command, without where its output goes; *found: it has the marker. */
static Status command(Script *s, const char *words[SHELL_WORDS_MAX], int *n, const char *marker, bool *found)
{
    char *word;
    *n = 0;
    *found = false;
    *s->trouble = 0;
    for (;;) {
        skip_blanks(s);
        const size_t redirected = redirection(s->at);
        const bool clear = !*s->trouble;
        s->at += redirected;
        TRY(next_word(s, &word));
        if (redirected) {
            if (clear)
                *s->trouble = 0;
            continue;
        }
        if (!word)
            forget_set(s, words, *n);
        if (!word)
            return *found && *s->trouble ? fail(ERR_DATA, "%s", s->trouble) : OK;
        if (!*n && (assigns(s, word) || leads(s, word)))
            continue;
        if (*n < SHELL_WORDS_MAX)
            words[(*n)++] = word;
        else
            note(s, word, strlen(word), "is a word too many");
        *found |= ends_in(word, marker);
    }
}

Status shell_words(const char *words[SHELL_WORDS_MAX], int *n, char **memory, const char *path, const char *marker)
{
    char *text;
    size_t size;
    *memory = NULL;
    TRY(file_read(&text, &size, path, SCRIPT_MAX));
    Script s = {.path = path, .at = text, .line = 1};
    bool found = false;
    Status status = OK;
    if (strlen(text) != size)
        status = fail(ERR_DATA, "%s is no script: it holds a zero byte", path);
    else if (!(*memory = s.out = mem_alloc(WORDS_MAX)))
        status = fail(ERR_NOMEM, "no memory for the words of %s", path);
    s.room_end = s.out ? s.out + WORDS_MAX : NULL;
    while (!status && !found && *s.at) {
        status = command(&s, words, n, marker, &found);
        s.conditional = false;
        for (; !status && !found && *s.at && strchr("\n;&|", *s.at); s.at++) {
            s.line += *s.at == '\n';
            s.conditional |= (*s.at == '&' || *s.at == '|') && s.at[1] == *s.at;
        }
    }
    if (!status && !found)
        status = fail(ERR_DATA, "%s: no command in it runs a file that ends in \"%s\"", path, marker);
    mem_free(text);
    if (status) {
        mem_free(*memory);
        *memory = NULL;
    }
    return status;
}
