/* names.c: names of weights, theirs and ours (names.h). Called by weights.c and by the networks whose adapters or layers are named in
 * files. */
#include "train/models/names.h"

#include <stdio.h>
#include <string.h>

#include "kernels/base/utf8.h"

/* How many bytes of name the pattern takes, -1: it does not fit. *k: the number that stands in it. */
static int match(const char *pattern, const char *name, long *k)
{
    const char *at = name;
    for (; *pattern; pattern++) {
        if (*pattern != '#' && *pattern != '@') {
            if (*at++ != *pattern)
                return -1;
            continue;
        }
        size_t digits = strspn(at, "0123456789");
        if (!digits || digits > 9 || (*at == '0' && digits > 1) || sscanf(at, "%ld", k) != 1 || (*pattern == '@' && *k % 2))
            return -1;
        *k = *pattern == '@' ? *k / 2 + 1 : *k;
        at += digits;
    }
    return (int)(at - name);
}

static void write_pattern(char out[WEIGHT_NAME_MAX], const char *pattern, long k, const char *rest, int n_rest, const char *ending)
{
    int before = (int)strcspn(pattern, "#@");
    if (pattern[before])
        snprintf(out, WEIGHT_NAME_MAX, "%.*s%ld%s%.*s%s", before, pattern, pattern[before] == '@' ? 2 * (k - 1) : k, pattern + before + 1,
                 n_rest, rest, ending);
    else
        snprintf(out, WEIGHT_NAME_MAX, "%s%.*s%s", pattern, n_rest, rest, ending);
}

static bool convert(char out[WEIGHT_NAME_MAX], const Spelling *s, const char *name, bool to_ours)
{
    const char *ending = to_ours ? s->ending.theirs : s->ending.ours, *target = NULL;
    int longest = -1;
    long k = 0;
    if (ending && !utf8_ends(name, ending))
        return false;
    for (const NameRule *r = s->rules; r < s->rules + NAME_RULES_MAX && r->ours; r++) {
        long number = 0;
        int n = match(to_ours ? r->theirs : r->ours, name, &number);
        if (n <= longest)
            continue;
        longest = n;
        k = number;
        target = to_ours ? r->ours : r->theirs;
    }
    if (!target)
        return false;
    const char *rest = name + longest;
    if (ending && strlen(rest) < strlen(ending)) /* the rule took some of the ending: no rule fits */
        return false;
    write_pattern(out, target, k, rest, (int)(strlen(rest) - (ending ? strlen(ending) : 0)),
                  !ending   ? ""
                  : to_ours ? s->ending.ours
                            : s->ending.theirs);
    return true;
}

bool name_to_theirs(char out[WEIGHT_NAME_MAX], const Spelling *s, const char *ours) { return convert(out, s, ours, false); }
bool name_to_ours(char out[WEIGHT_NAME_MAX], const Spelling *s, const char *theirs) { return convert(out, s, theirs, true); }

/* Finds a tensor that is called `name`, or ends so after a dot; the part before becomes the wrapper. */
static bool find_wrapped(FileNames *f, const SafeTensors *st, const char *name)
{
    for (int i = 0; i < safetensors_count(st); i++) {
        const char *theirs = safetensors_at(st, i)->name;
        size_t before = strlen(theirs) - strlen(name);
        if (!utf8_ends(theirs, name) || before >= sizeof f->wrapper || (before && theirs[before - 1] != '.'))
            continue;
        snprintf(f->wrapper, sizeof f->wrapper, "%.*s", (int)before, theirs);
        return true;
    }
    return false;
}

FileNames names_find(const NameTable *table, const SafeTensors *st, const char *ours)
{
    FileNames f = {.table = table};
    char name[WEIGHT_NAME_MAX];
    for (int i = 0; table && i < table->n; i++) {
        f.spelling = &table->spellings[i];
        if (name_to_theirs(name, f.spelling, ours) && (table->wrapped ? find_wrapped(&f, st, name) : safetensors_find(st, name) != NULL))
            return f;
    }
    f.spelling = table ? table->spellings : NULL;
    return f;
}

const char *names_in_file(char out[WEIGHT_NAME_MAX], const FileNames *f, const char *ours)
{
    char theirs[WEIGHT_NAME_MAX];
    bool spelled = f->spelling && name_to_theirs(theirs, f->spelling, ours);
    size_t n = spelled ? strlen(f->wrapper) : 0;
    memcpy(out, f->wrapper, n);
    snprintf(out + n, WEIGHT_NAME_MAX - n, "%s", spelled ? theirs : ours);
    return out;
}

bool names_ours(char out[WEIGHT_NAME_MAX], const FileNames *f, const char *theirs)
{
    size_t n = strlen(f->wrapper);
    if (strncmp(theirs, f->wrapper, n) || strlen(theirs) >= WEIGHT_NAME_MAX)
        return false;
    if (f->spelling)
        return name_to_ours(out, f->spelling, theirs + n);
    snprintf(out, WEIGHT_NAME_MAX, "%s", theirs);
    return true;
}

static const char *find_pattern(const char *const *quiet, const char *name)
{
    for (; *quiet; quiet++)
        if (**quiet == '*' ? utf8_ends(name, *quiet + 1) : !strncmp(name, *quiet, strlen(*quiet)))
            return *quiet;
    return NULL;
}

const char *names_quiet(const FileNames *f, const char *theirs)
{
    char ours[WEIGHT_NAME_MAX];
    if (!f->table || !f->table->quiet)
        return NULL;
    const char *pattern = find_pattern(f->table->quiet, theirs);
    return pattern || !name_to_ours(ours, f->spelling, theirs) ? pattern : find_pattern(f->table->quiet, ours);
}
