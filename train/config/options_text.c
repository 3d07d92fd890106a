/* options_text.c: what people are told about keys: what a key takes, what was probably meant, the pages of --help. */
#include <stdio.h>
#include <string.h>

#include "kernels/base/cli.h"
#include "train/config/from_llava.h"
#include "train/config/options.h"

static void append(char *buf, size_t n, const char *text)
{
    size_t used = strlen(buf);
    snprintf(buf + used, n - used, "%s", text);
}

/* "a", "b" or "c" */
static void append_names(char *buf, size_t n, const char *const *names)
{
    int count = 0, k = 0;
    for (int i = 0; names[i]; i++)
        count += *names[i] != 0;
    for (int i = 0; names[i]; i++) {
        if (!*names[i])
            continue;
        append(buf, n, k == 0 ? "" : k == count - 1 ? " or " : ", ");
        append(buf, n, "\"");
        append(buf, n, names[i]);
        append(buf, n, "\"");
        k++;
    }
}

static void append_range(char *buf, size_t n, const Option *o)
{
    char text[128] = "";
    bool from = o->low > -OPTION_UNBOUNDED, to = o->high < OPTION_UNBOUNDED;
    if (from && o->flags & OPTION_ABOVE)
        snprintf(text, sizeof text, " above %.15g", o->low);
    else if (from)
        snprintf(text, sizeof text, to ? " from %.15g" : " of at least %.15g", o->low);
    append(buf, n, text);
    if (to) {
        const char *format = o->flags & OPTION_BELOW ? " and below %.15g" : o->flags & OPTION_ABOVE ? " and at most %.15g" : " to %.15g";
        snprintf(text, sizeof text, format, o->high);
        append(buf, n, text);
    }
}

char *option_allowed(const Option *o, char *buf, size_t n)
{
    static const char *const PLAIN[] = {
        [OPTION_STRING] = "a string that is not empty",
        [OPTION_PATH] = "a path",
        [OPTION_INIT] = "\"default\" or a path",
        [OPTION_INT] = "an integer",
        [OPTION_AUTO_INT] = "\"auto\" or an integer",
        [OPTION_REAL] = "a number",
        [OPTION_BOOL] = "true or false",
        [OPTION_CHOICE] = "",
        [OPTION_LIST] = "a list of ",
        [OPTION_PROJECTOR] = "\"linear\" or \"mlpKx_gelu\" with K from 1 to 99",
        [OPTION_MIXTURE] = "a path or a list of sources",
    };
    buf[0] = 0;
    append(buf, n, PLAIN[o->kind]);
    if (o->kind == OPTION_INT || o->kind == OPTION_REAL || o->kind == OPTION_AUTO_INT)
        append_range(buf, n, o);
    if (o->names)
        append_names(buf, n, o->names);
    if (o->kind == OPTION_LIST)
        append(buf, n, o->flags & OPTION_NOT_EMPTY ? ", none twice, at least one" : ", none twice");
    if (o->flags & OPTION_ALL_LINEAR)
        append(buf, n, ", or \"all-linear\"");
    if (o->flags & OPTION_NULLABLE)
        append(buf, n, o->kind == OPTION_CHOICE ? ", or null" : " or null");
    return buf;
}

typedef struct Leaves {
    const char *key[128], *leaf[128];
    int n;
} Leaves;

static void add_leaf(void *arg, const char *key, const Option *o, const OptionSection *s)
{
    (void)o, (void)s;
    Leaves *l = arg;
    l->key[l->n] = key;
    l->leaf[l->n++] = option_leaf(key);
}

/* First the same word in another section, then a slip among the neighbours, then the nearest whole key. */
const char *option_suggest(const char *key)
{
    char section[128];
    const char *dot = strrchr(key, '.'), *leaf = option_leaf(key), *whole[128];
    int n_whole = 0;
    for (int i = 0; i < N_OPTIONS; i++)
        whole[n_whole++] = OPTIONS[i].key;
    for (int i = 0; i < n_whole; i++)
        if (!strcmp(option_leaf(whole[i]), leaf))
            return whole[i];
    for (int i = 1; i < N_OPTION_SECTIONS; i++)
        if (!strcmp(option_leaf(OPTION_SECTIONS[i].key), leaf))
            return OPTION_SECTIONS[i].key;
    snprintf(section, sizeof section, "%.*s", dot ? (int)(dot - key) : 0, key);
    Leaves l = {.n = 0};
    if (option_section(section))
        option_members(section, add_leaf, &l);
    const char *near = cli_nearest(leaf, l.leaf, l.n);
    for (int i = 0; near && i < l.n; i++)
        if (l.leaf[i] == near)
            return l.key[i];
    const char *theirs = from_llava_key(leaf);
    return theirs ? theirs : cli_nearest(key, whole, n_whole);
}

static const char *explain_default(const Option *o)
{
    return o->flags & OPTION_REQUIRED ? "required" : o->fallback_text ? o->fallback_text : o->fallback;
}

static void print_option(const Option *o)
{
    char allowed[512], line[768];
    snprintf(line, sizeof line, "%s (%s)", option_allowed(o, allowed, sizeof allowed), explain_default(o));
    puts(o->key);
    cli_wrap(line, 4, 0);
    cli_wrap(o->help, 4, 0);
}

bool options_print(const char *section)
{
    bool any = false;
    size_t n = strlen(section);
    for (int i = 0; i < N_OPTIONS; i++) {
        const char *key = OPTIONS[i].key;
        bool inside = !n || !strcmp(key, section) || (!strncmp(key, section, n) && key[n] == '.');
        if (inside) {
            print_option(&OPTIONS[i]);
            any = true;
        }
    }
    return any;
}

/* What completion may offer for a value, with blanks between; FILE and DIR stand for names of files and folders. */
static void print_values(FILE *out, const Option *o)
{
    const char *sep = "";
    for (int i = 0; o->names && o->names[i]; i++)
        if (*o->names[i])
            sep = (fprintf(out, "%s%s", sep, o->names[i]), " ");
    if (o->kind == OPTION_BOOL)
        sep = (fputs("true false", out), " ");
    if (o->kind == OPTION_INIT)
        sep = (fputs("default", out), " ");
    if (o->kind == OPTION_AUTO_INT)
        sep = (fputs("auto", out), " ");
    if (o->flags & OPTION_ALL_LINEAR)
        sep = (fprintf(out, "%sall-linear", sep), " ");
    if (o->kind == OPTION_PATH || o->kind == OPTION_INIT || o->kind == OPTION_MIXTURE)
        sep = (fprintf(out, "%s%s", sep, o->flags & OPTION_FILE ? "FILE" : "DIR"), " ");
    if (o->flags & OPTION_NULLABLE)
        fprintf(out, "%snull", sep);
}

void options_describe(FILE *out)
{
    char allowed[512];
    for (int i = 0; i < N_OPTION_SECTIONS; i++)
        if (*OPTION_SECTIONS[i].key)
            fprintf(out, "section\t%s\t%s\n", OPTION_SECTIONS[i].key, OPTION_SECTIONS[i].help);
    for (const Option *o = OPTIONS; o < OPTIONS + N_OPTIONS; o++) {
        fprintf(out, "key\t%s\t%s\t%s\t%s\t", o->key, option_allowed(o, allowed, sizeof allowed), explain_default(o), o->help);
        print_values(out, o);
        fputc('\n', out);
    }
}
