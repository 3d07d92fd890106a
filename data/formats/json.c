/* json.c: the strict JSON reader: a document becomes nodes that know their line and column (json.h). */
#include "data/formats/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

enum { MAX_DEPTH = 64, MAX_VALUES = 1 << 24, MAX_ROW_VALUES = 1 << 20, BLOCK_BYTES = 32 << 10, NUMBER_BYTES = 64 };
#define MAX_DOCUMENT ((size_t)1 << 30)

/* Values and strings of a document lie in blocks that are freed together. */
typedef struct Block {
    struct Block *next;
    size_t used, capacity;
    _Alignas(16) char bytes[];
} Block;

struct JsonDoc {
    Json *root;
    Block *blocks;
    int64_t replaced_surrogates;
};

/* Every key of the document so far, to find duplicates: open addressing, keyed by the object and the key's text. */
typedef struct KeySlot {
    const Json *object;
    const char *key;
} KeySlot;

typedef enum Habits { STRICT, OF_SETTINGS, OF_STRANGERS, OF_PYTHON } Habits; /* what is forgiven: equal keys, twice; Infinity */

typedef struct Parser {
    JsonDoc *doc;
    const char *name;
    const char *at, *end;
    const char *counted; /* line and column are known here; only ever moves forward */
    int line, column;
    int depth, n_values, max_values;
    Habits habits;
    KeySlot *keys;
    size_t n_keys, key_capacity;
} Parser;

/* ---------------------------------------------------------------- positions and messages */

static void locate(Parser *p, const char *at)
{
    for (const char *line; p->counted < at && (line = memchr(p->counted, '\n', (size_t)(at - p->counted))); p->counted = line + 1) {
        p->line++;
        p->column = 1;
    }
    int characters = 0; /* a loop of its own: many bytes at a time */
    for (const char *q = p->counted; q < at; q++)
        characters += ((unsigned char)*q & 0xC0) != 0x80;
    p->column += characters;
    p->counted = p->counted < at ? at : p->counted;
}

/* Puts the position of p->at before the sentence. */
static Status fail_here(Parser *p, const char *sentence)
{
    locate(p, p->at);
    return fail(ERR_DATA, "%s:%d:%d: %s", p->name, p->line, p->column, sentence);
}

/* What stands at p->at, for people. */
static const char *found(const Parser *p, char buf[64])
{
    if (p->at >= p->end)
        return "the end of the file";
    int n = utf8_decode(p->at, (size_t)(p->end - p->at), NULL);
    unsigned char c = (unsigned char)*p->at;
    if (!n)
        snprintf(buf, 64, "the byte 0x%02x, which is not UTF-8", c);
    else if (c == '\n')
        return "the end of the line";
    else if (c < 0x20 || c == 0x7F)
        snprintf(buf, 64, "the control character 0x%02x", c);
    else
        snprintf(buf, 64, "'%.*s'", n, p->at);
    return buf;
}

static bool at_word(const Parser *p, const char *word)
{
    size_t n = strlen(word);
    return (size_t)(p->end - p->at) >= n && !memcmp(p->at, word, n);
}

static Status fail_expected(Parser *p, const char *expected)
{
    char here[64], sentence[512];
    if (at_word(p, "//") || at_word(p, "/*") || at_word(p, "#"))
        return fail_here(p, "JSON has no comments: use a key that begins with //");
    snprintf(sentence, sizeof sentence, "expected %s, found %s", expected, found(p, here));
    return fail_here(p, sentence);
}

/* ---------------------------------------------------------------- memory */

static void *take(Parser *p, size_t n, size_t align)
{
    Block *b = p->doc->blocks;
    size_t start = b ? (b->used + align - 1) & ~(align - 1) : 0;
    if (!b || start > b->capacity || n > b->capacity - start) {
        size_t capacity = n > BLOCK_BYTES / 4 ? n : BLOCK_BYTES;
        Block *fresh = mem_grow(NULL, sizeof *fresh + capacity);
        if (!fresh)
            return NULL;
        fresh->capacity = capacity;
        fresh->used = 0;
        if (b && capacity == n) { /* a long string gets its own block; keep filling the present one */
            fresh->next = b->next;
            b->next = fresh;
        } else {
            fresh->next = b;
            p->doc->blocks = fresh;
        }
        b = fresh;
        start = 0;
    }
    b->used = start + n;
    return b->bytes + start;
}

static Status no_memory(const Parser *p) { return fail(ERR_NOMEM, "%s: no memory to hold this document", p->name); }

static Json *new_value(Parser *p)
{
    Json *v = take(p, sizeof *v, _Alignof(Json));
    if (v) {
        memset(v, 0, sizeof *v);
        locate(p, p->at);
        v->line = p->line;
        v->column = p->column;
    }
    return v;
}

/* Whether `object` already has `key`; remembers it otherwise. */
static Status remember_key(Parser *p, const Json *object, const char *key, size_t length, bool *seen)
{
    if (p->n_keys * 2 >= p->key_capacity) {
        size_t capacity = p->key_capacity ? p->key_capacity * 2 : 64;
        KeySlot *slots = mem_alloc(capacity * sizeof *slots);
        if (!slots)
            return no_memory(p);
        for (size_t i = 0; i < p->key_capacity; i++) {
            if (!p->keys[i].key)
                continue;
            size_t h = (size_t)XXH3_64bits_withSeed(p->keys[i].key, strlen(p->keys[i].key), (uintptr_t)p->keys[i].object);
            while (slots[h & (capacity - 1)].key)
                h++;
            slots[h & (capacity - 1)] = p->keys[i];
        }
        mem_free(p->keys);
        p->keys = slots;
        p->key_capacity = capacity;
    }
    size_t h = (size_t)XXH3_64bits_withSeed(key, length, (uintptr_t)object), mask = p->key_capacity - 1;
    for (; p->keys[h & mask].key; h++) {
        const KeySlot *k = &p->keys[h & mask];
        if (k->object == object && !strcmp(k->key, key)) {
            *seen = true;
            return OK;
        }
    }
    p->keys[h & mask] = (KeySlot){object, key};
    p->n_keys++;
    *seen = false;
    return OK;
}

/* ---------------------------------------------------------------- tokens */

static void skip_space(Parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\r' || *p->at == '\t'))
        p->at++;
}

static bool at_char(const Parser *p, char c) { return p->at < p->end && *p->at == c; }

static bool hex4(const Parser *p, const char *at, uint32_t *value)
{
    *value = 0;
    if (p->end - at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0)
            return false;
        *value = *value << 4 | (uint32_t)digit;
    }
    return true;
}

/* \uXXXX, p->at on the backslash; a pair of surrogates makes one character, a lone one U+FFFD. */
static Status parse_unicode_escape(Parser *p, char **out)
{
    uint32_t c, low;
    if (!hex4(p, p->at + 2, &c))
        return fail_here(p, "'\\u' needs four hexadecimal digits");
    p->at += 6;
    if (c >= 0xD800 && c <= 0xDBFF && at_word(p, "\\u") && hex4(p, p->at + 2, &low) && low >= 0xDC00 && low <= 0xDFFF) {
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        p->at += 6;
    } else if (c >= 0xD800 && c <= 0xDFFF) {
        c = 0xFFFD;
        p->doc->replaced_surrogates++;
    }
    *out += utf8_encode(c, *out);
    return OK;
}

static Status parse_escape(Parser *p, char **out)
{
    static const char ESCAPES[] = "\"\\/bfnrt", MEANINGS[] = "\"\\/\b\f\n\r\t";
    if (p->end - p->at < 2) {
        p->at = p->end;
        return fail_expected(p, "the rest of a string");
    }
    if (p->at[1] == 'u')
        return parse_unicode_escape(p, out);
    const char *e = p->at[1] ? strchr(ESCAPES, p->at[1]) : NULL;
    if (!e) {
        char here[64], sentence[128];
        Parser next = *p;
        next.at++;
        snprintf(sentence, sizeof sentence, "unknown escape: a backslash before %s", found(&next, here));
        return fail_here(p, sentence);
    }
    *(*out)++ = MEANINGS[e - ESCAPES];
    p->at += 2;
    return OK;
}

/* Where the string that begins at p->at ends (its closing quote), or NULL; an upper bound of its decoded bytes is the distance. */
static const char *closing_quote(const Parser *p)
{
    const char *start = p->at + 1;
    for (const char *q = start; q < p->end && (q = memchr(q, '"', (size_t)(p->end - q))); q++) {
        const char *before = q; /* an odd number of backslashes makes it one of the text */
        while (before > start && before[-1] == '\\')
            before--;
        if ((q - before) % 2 == 0)
            return q;
    }
    return NULL;
}

/* How many bytes of ASCII stand at p->at that mean themselves in a string. */
static size_t plain_bytes(const Parser *p)
{
    const char *q = p->at;
    while (q < p->end && (signed char)*q >= 0x20 && *q != '"' && *q != '\\')
        q++;
    return (size_t)(q - p->at);
}

/* p->at on the opening quote; leaves it after the closing one. */
static Status parse_string(Parser *p, const char **text, size_t *length)
{
    const char *close = closing_quote(p);
    locate(p, p->at);
    int line = p->line, column = p->column;
    /* Without a closing quote the scan below meets the line break or the end first; an escape never writes more bytes than it has. */
    char *out = take(p, (size_t)((close ? close : p->end) - p->at), 1), *start = out;
    if (!out)
        return no_memory(p);
    p->at++;
    for (;;) {
        if (p->at >= p->end)
            return fail(ERR_DATA, "%s:%d:%d: this string has no closing quote", p->name, line, column);
        unsigned char c = (unsigned char)*p->at;
        if (c == '"')
            break;
        if (c == '\\') {
            TRY(parse_escape(p, &out));
        } else if (c == '\n' || c == '\r') {
            return fail(ERR_DATA, "%s:%d:%d: this string has no closing quote on its line (a line break inside is written \\n)", p->name,
                        line, column);
        } else if (c < 0x20) {
            char sentence[96];
            snprintf(sentence, sizeof sentence, "the control character 0x%02x inside a string is written \\u%04x", c, c);
            return fail_here(p, sentence);
        } else {
            size_t n = c < 0x80 ? plain_bytes(p) : (size_t)utf8_decode(p->at, (size_t)(p->end - p->at), NULL);
            if (!n)
                return fail_expected(p, "UTF-8 text");
            memcpy(out, p->at, n);
            out += n;
            p->at += n;
        }
    }
    p->at++;
    *out = 0;
    *text = start;
    *length = (size_t)(out - start);
    return OK;
}

static const char *digits(const Parser *p, const char *q)
{
    while (q < p->end && *q >= '0' && *q <= '9')
        q++;
    return q;
}

static Status parse_number(Parser *p, Json *v)
{
    const char *start = p->at, *q = start + (*start == '-'), *after = digits(p, q);
    bool whole = true;
    p->at = after;
    if (after == q)
        return fail_expected(p, "a digit");
    if (*q == '0' && after > q + 1) {
        p->at = q;
        return fail_here(p, "a number may not begin with 0");
    }
    if (at_char(p, '.')) {
        whole = false;
        p->at = digits(p, after + 1);
        if (p->at == after + 1)
            return fail_expected(p, "a digit after the decimal point");
    }
    if (at_char(p, 'e') || at_char(p, 'E')) {
        whole = false;
        q = p->at + 1;
        q += q < p->end && (*q == '+' || *q == '-');
        p->at = digits(p, q);
        if (p->at == q)
            return fail_expected(p, "a digit of the exponent");
    }
    size_t n = (size_t)(p->at - start);
    char buf[NUMBER_BYTES], *text = n < sizeof buf ? buf : take(p, n + 1, 1);
    if (!text)
        return no_memory(p);
    memcpy(text, start, n);
    text[n] = 0;
    v->real = strtod(text, NULL);
    if (!isfinite(v->real)) {
        p->at = start;
        return fail(ERR_DATA, "%s:%d:%d: this number is larger than a double can hold", p->name, v->line, v->column);
    }
    errno = 0;
    v->integer = whole ? strtoll(text, NULL, 10) : 0;
    v->kind = whole && !errno ? JSON_INT : JSON_REAL;
    if (v->kind == JSON_REAL)
        v->integer = 0;
    return OK;
}

/* ---------------------------------------------------------------- values */

static Status parse_value(Parser *p, Json **out);

/* After a value: a comma goes on (*more), `close` ends. A comma before it is named as what it is. */
static Status parse_separator(Parser *p, char close, bool *more)
{
    skip_space(p);
    *more = at_char(p, ',');
    if (!*more && !at_char(p, close))
        return fail_expected(p, close == '}' ? "',' or '}' after a value" : "',' or ']' after an element");
    const char *comma = p->at++;
    if (!*more)
        return OK;
    Parser ahead = *p;
    skip_space(&ahead);
    if (at_char(&ahead, '}') || at_char(&ahead, ']')) {
        char sentence[64];
        snprintf(sentence, sizeof sentence, "trailing comma: remove the ',' before '%c'", *ahead.at);
        p->at = comma;
        return fail_here(p, sentence);
    }
    return OK;
}

static Status parse_member(Parser *p, Json *object, Json **out)
{
    const char *key;
    size_t length;
    bool seen;
    skip_space(p);
    if (!at_char(p, '"'))
        return fail_expected(p, object->length ? "a key in double quotes" : "a key in double quotes or '}'");
    locate(p, p->at);
    int line = p->line, column = p->column;
    TRY(parse_string(p, &key, &length));
    if (strlen(key) != length)
        return fail(ERR_DATA, "%s:%d:%d: a key may not hold \\u0000", p->name, line, column);
    TRY(remember_key(p, object, key, length, &seen));
    if (seen && p->habits != OF_SETTINGS && p->habits != OF_STRANGERS)
        return fail(ERR_DATA, "%s:%d:%d: the key \"%.200s\" stands twice in this object", p->name, line, column, key);
    skip_space(p);
    if (!at_char(p, ':'))
        return fail_expected(p, "':' after a key");
    p->at++;
    TRY(parse_value(p, out));
    (*out)->key = key;
    (*out)->key_line = line;
    (*out)->key_column = column;
    (*out)->repeated = seen;
    return OK;
}

/* The elements of an array, the members of an object. */
static Status parse_parts(Parser *p, Json *whole, char close)
{
    Json **tail = &whole->child;
    bool more = true;
    p->at++;
    skip_space(p);
    if (at_char(p, close)) {
        p->at++;
        return OK;
    }
    while (more) {
        TRY(close == '}' ? parse_member(p, whole, tail) : parse_value(p, tail));
        tail = &(*tail)->next;
        whole->length++;
        TRY(parse_separator(p, close, &more));
    }
    return OK;
}

/* What people write instead of JSON, and what they should write. */
static Status fail_value(Parser *p)
{
    static const char *const HABITS[][2] = {{"NaN", "NaN is not JSON: numbers are finite"},
                                            {"Infinity", "Infinity is not JSON: numbers are finite"},
                                            {"-Infinity", "-Infinity is not JSON: numbers are finite"},
                                            {"True", "'True' is not JSON: write true"},
                                            {"False", "'False' is not JSON: write false"},
                                            {"None", "'None' is not JSON: write null"},
                                            {"'", "a string needs double quotes, found a single one"}};
    for (size_t i = 0; i < sizeof HABITS / sizeof *HABITS; i++)
        if (at_word(p, HABITS[i][0]))
            return fail_here(p, HABITS[i][1]);
    return fail_expected(p, "a value");
}

static Status parse_value(Parser *p, Json **out)
{
    skip_space(p);
    if (p->n_values++ == p->max_values) { /* each takes some 130 bytes, and may be one byte long */
        char sentence[64];
        snprintf(sentence, sizeof sentence, "more than %d values in one %s", p->max_values,
                 p->max_values == MAX_VALUES ? "document" : "row");
        return fail_here(p, sentence);
    }
    Json *v = new_value(p);
    if (!v)
        return no_memory(p);
    *out = v;
    char c = p->at < p->end ? *p->at : 0;
    if (c == '{' || c == '[') {
        if (p->depth == MAX_DEPTH)
            return fail_here(p, "nested deeper than 64 levels");
        v->kind = c == '{' ? JSON_OBJECT : JSON_ARRAY;
        p->depth++;
        TRY(parse_parts(p, v, c == '{' ? '}' : ']'));
        p->depth--;
    } else if (c == '"') {
        v->kind = JSON_STRING;
        TRY(parse_string(p, &v->string, &v->length));
    } else if (at_word(p, "true") || at_word(p, "false")) {
        v->kind = JSON_BOOL;
        v->boolean = c == 't';
        p->at += v->boolean ? 4 : 5;
    } else if (at_word(p, "null")) {
        p->at += 4;
    } else if (p->habits == OF_PYTHON && (at_word(p, "Infinity") || at_word(p, "-Infinity"))) {
        v->kind = JSON_REAL;
        v->real = c == '-' ? -INFINITY : INFINITY;
        p->at += c == '-' ? 9 : 8;
    } else if ((c >= '0' && c <= '9') || (c == '-' && !at_word(p, "-I"))) {
        TRY(parse_number(p, v));
    } else {
        return fail_value(p);
    }
    return OK;
}

static Status parse_document(Parser *p, size_t n)
{
    char size[32];
    if (n > MAX_DOCUMENT)
        return fail(ERR_DATA, "%s: %s, and a JSON document may have 1 GiB", p->name, file_size_text(size, sizeof size, n));
    if (at_word(p, "\xFF\xFE") || at_word(p, "\xFE\xFF"))
        return fail(ERR_DATA, "%s:1:1: this is UTF-16; JSON is UTF-8", p->name);
    if (at_word(p, "\xEF\xBB\xBF"))
        p->counted = p->at += 3;
    TRY(parse_value(p, &p->doc->root));
    skip_space(p);
    if (p->at < p->end)
        return fail_expected(p, "nothing after the value");
    return OK;
}

static Status parse_text(JsonDoc **out, const char *text, size_t n, const char *name, int line, int column, Habits habits, int max_values)
{
    *out = NULL;
    JsonDoc *doc = mem_alloc(sizeof *doc);
    if (!doc)
        return fail(ERR_NOMEM, "%s: no memory to hold this document", name);
    Parser p = {.doc = doc, .name = name, .at = text, .end = text + n, .counted = text, .line = line, .column = column,
                .habits = habits, .max_values = max_values};
    Status s = parse_document(&p, n);
    mem_free(p.keys);
    if (s)
        json_free(&doc);
    *out = doc;
    return s;
}

Status json_parse(JsonDoc **out, const char *text, size_t n, const char *name)
{
    return parse_text(out, text, n, name, 1, 1, STRICT, MAX_VALUES);
}

Status json_parse_at(JsonDoc **out, const char *text, size_t n, const char *name, int line, int column)
{
    return parse_text(out, text, n, name, line, column, STRICT, MAX_ROW_VALUES);
}

Status json_parse_loose(JsonDoc **out, const char *text, size_t n, const char *name, int line, int column)
{
    return parse_text(out, text, n, name, line, column, OF_STRANGERS, MAX_ROW_VALUES);
}

static Status read_text(JsonDoc **out, const char *path, Habits habits)
{
    char *text;
    size_t n;
    *out = NULL;
    TRY((habits == OF_SETTINGS ? file_read_pipe : file_read)(&text, &n, path, MAX_DOCUMENT));
    Status s = parse_text(out, text, n, file_name(path), 1, 1, habits, MAX_VALUES);
    mem_free(text);
    return s;
}

Status json_read_file(JsonDoc **out, const char *path) { return read_text(out, path, STRICT); }
Status json_read_settings(JsonDoc **out, const char *path) { return read_text(out, path, OF_SETTINGS); }
Status json_read_python(JsonDoc **out, const char *path) { return read_text(out, path, OF_PYTHON); }

void json_free(JsonDoc **d)
{
    if (!d || !*d)
        return;
    for (Block *b = (*d)->blocks, *next; b; b = next) {
        next = b->next;
        mem_free(b);
    }
    mem_free(*d);
    *d = NULL;
}

const Json *json_root(const JsonDoc *d) { return d->root; }
int64_t json_replaced_surrogates(const JsonDoc *d) { return d->replaced_surrogates; }
