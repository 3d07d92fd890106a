/* adapter_alpha.c: scales of single modules, by regular expressions as PEFT writes them (adapter.h). */
#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "tools/convert/adapter.h"

enum { PATTERN_MAX = 2048 };

/* One element of Python's expression as POSIX has it, from *at on; false: it has none. */
static bool translate(const char **at, bool *in_class, char out[8])
{
    const char *p = *at;
    size_t n = 1;
    snprintf(out, 8, "%c", *p);
    if (*in_class) {
        *in_class = *p != ']';
        *at = p + 1;
        return *p != '\\' && *p != '[';
    }
    if (p[0] == '(' && p[1] == '?') {
        *at = p + 3;
        return p[2] == ':';
    }
    if (p[0] == '\\') {
        n = 2;
        snprintf(out, 8, p[1] == 'd' ? "[0-9]" : "\\%c", p[1]);
        if (!p[1] || (strchr("ABDGSWZabfnrstuvx0123456789", p[1]) != NULL))
            return false;
    } else if (strchr("*+?}", *p) && p[1] == '?') {
        n = 2; /* as few as fit: whether it matches is the same */
    } else if (p[0] == '[') {
        *in_class = true;
        n = p[1] == '^' ? 2 : 1;
        snprintf(out, 8, n == 2 ? "[^" : "[");
    }
    *at = p + n;
    return true;
}

/* re.match(r"(.*\.)?(KEY)$", module) */
static Status matches(const PeftAdapter *a, const Json *pattern, const char *module, bool *out)
{
    char text[PATTERN_MAX] = "^(.*\\.)?(", one[8];
    size_t at = strlen(text);
    bool known = true, in_class = false;
    regex_t regex;
    for (const char *p = pattern->key; *p && known && at < PATTERN_MAX - 16;) {
        known = translate(&p, &in_class, one);
        at += (size_t)snprintf(text + at, PATTERN_MAX - at, "%s", one);
        known &= *p == 0 || at < PATTERN_MAX - 16;
    }
    snprintf(text + at, PATTERN_MAX - at, ")$");
    if (!known || regcomp(&regex, text, REG_EXTENDED | REG_NOSUB))
        return fail(ERR_DATA, "%s:%d:%d: alpha_pattern: \"%.200s\" is an expression that is not supported", a->fields.file,
                    pattern->key_line, pattern->key_column, pattern->key);
    *out = !regexec(&regex, module, 0, NULL, 0);
    regfree(&regex);
    return OK;
}

Status adapter_alpha(const PeftAdapter *a, const char *key, double *out)
{
    static const char BEFORE[] = "base_model.model.";
    char module[WEIGHT_NAME_MAX];
    const char *path = key + strlen(BEFORE), *end = strstr(path, ".lora_A");
    snprintf(module, sizeof module, "%.*s", end ? (int)(end - path) : 0, path);
    *out = a->alpha;
    for (const Json *p = a->alphas ? a->alphas->child : NULL; p; p = p->next) {
        bool found = false;
        TRY(matches(a, p, module, &found));
        if (!found)
            continue;
        if (p->kind != JSON_INT && p->kind != JSON_REAL)
            return fail(ERR_DATA, "%s:%d:%d: alpha_pattern: expected a number", a->fields.file, p->line, p->column);
        *out = p->real;
        break;
    }
    return OK;
}
