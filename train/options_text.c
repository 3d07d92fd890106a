/* options_text.c: what people are told about keys: what a key takes, what was probably meant, the pages of --help. */
#include <stdio.h>
#include <string.h>

#include "train/options.h"

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
    if (o->flags & OPTION_NULLABLE)
        append(buf, n, o->kind == OPTION_CHOICE ? ", or null" : " or null");
    return buf;
}

/* Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours. */
int text_distance(const char *a, const char *b)
{
    enum { MAX = 64 };
    int row[3][MAX];
    size_t n = strnlen(a, MAX - 1), m = strnlen(b, MAX - 1);
    for (size_t j = 0; j <= m; j++)
        row[0][j] = (int)j;
    int *two = row[2], *one = row[0], *now = row[1];
    for (size_t i = 1; i <= n; i++) {
        now[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int best = one[j - 1] + (a[i - 1] != b[j - 1]);
            best = one[j] + 1 < best ? one[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && two[j - 2] + 1 < best)
                best = two[j - 2] + 1;
            now[j] = best;
        }
        int *spare = two;
        two = one;
        one = now;
        now = spare;
    }
    return one[m];
}

/* Near means at most a third of the longer text is different (and one slip is always near). */
static bool near(int distance, const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    int limit = (int)((n > m ? n : m) / 3);
    return distance <= (limit > 1 ? limit : 1) && (size_t)distance < m;
}

const char *text_nearest(const char *text, const char *const *names)
{
    const char *best = NULL;
    int best_distance = 0;
    for (int i = 0; names[i]; i++) {
        int d = text_distance(text, names[i]);
        if (*names[i] && near(d, text, names[i]) && (!best || d < best_distance)) {
            best = names[i];
            best_distance = d;
        }
    }
    return best;
}

typedef struct Search {
    const char *leaf, *best;
    int distance;
} Search;

static void consider(void *arg, const char *key, const Option *o, const OptionSection *s)
{
    (void)o, (void)s;
    Search *search = arg;
    int d = text_distance(search->leaf, option_leaf(key));
    if (near(d, search->leaf, option_leaf(key)) && (!search->best || d < search->distance)) {
        search->best = key;
        search->distance = d;
    }
}

/* First a slip among the neighbours, then the same word in another section, then the nearest whole key. */
const char *option_suggest(const char *key)
{
    char section[128];
    snprintf(section, sizeof section, "%.*s", (int)(strrchr(key, '.') ? strrchr(key, '.') - key : 0), key);
    Search search = {.leaf = option_leaf(key)};
    if (option_section(section))
        option_members(section, consider, &search);
    for (int i = 0; i < N_OPTIONS && !search.best; i++)
        if (!strcmp(option_leaf(OPTIONS[i].key), search.leaf))
            search.best = OPTIONS[i].key;
    for (int i = 0; i < N_OPTION_SECTIONS && !search.best; i++)
        if (i && !strcmp(option_leaf(OPTION_SECTIONS[i].key), search.leaf))
            search.best = OPTION_SECTIONS[i].key;
    if (search.best)
        return search.best;
    int best = 0;
    for (int i = 0; i < N_OPTIONS; i++) {
        int d = text_distance(key, OPTIONS[i].key);
        if (near(d, key, OPTIONS[i].key) && (!search.best || d < best)) {
            search.best = OPTIONS[i].key;
            best = d;
        }
    }
    return search.best;
}

/* Words of `text` from column `at`, continued at column `indent`. */
static void print_wrapped(const char *text, int at, int indent, int width)
{
    for (const char *p = text; *p;) {
        int n = (int)strcspn(p, " ");
        if (at > indent && at + 1 + n > width) {
            printf("\n%*s", indent, "");
            at = indent;
        } else if (at > indent) {
            putchar(' ');
            at++;
        }
        fwrite(p, 1, (size_t)n, stdout);
        at += n;
        p += n;
        p += strspn(p, " ");
    }
    putchar('\n');
}

static void print_option(const Option *o, int width)
{
    char allowed[512], line[768];
    snprintf(line, sizeof line, "%s (%s)", option_allowed(o, allowed, sizeof allowed),
             o->flags & OPTION_REQUIRED ? "required" : o->fallback_text ? o->fallback_text : o->fallback);
    printf("%s\n    ", o->key);
    print_wrapped(line, 4, 4, width);
    printf("    ");
    print_wrapped(o->help, 4, 4, width);
}

bool options_print(const char *section, int width)
{
    bool any = false;
    size_t n = strlen(section);
    for (int i = 0; i < N_OPTIONS; i++)
        if (!n || !strcmp(OPTIONS[i].key, section) || (!strncmp(OPTIONS[i].key, section, n) && OPTIONS[i].key[n] == '.')) {
            print_option(&OPTIONS[i], width);
            any = true;
        }
    return any;
}
