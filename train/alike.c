/* alike.c: compares what the ranks see (alike.h). Called by setup.c. */
#include "train/alike.h"

#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <limits.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "data/formats/json_compare.h"
#include "data/formats/json_write.h"
#include "kernels/base/log.h"
#include "train/store/bases.h"

/* ---------------------------------------------------------------- comparing */

enum { MOST_LINES = 12 };

typedef struct Comparison {
    FILE *out;
    int rank, n_lines;
    bool missing; /* something that one rank sees and another does not */
} Comparison;

static bool is_nothing(const Json *v) { return !v || v->kind == JSON_NULL; }

static Status print_seen(FILE *out, const Json *v, const Json *other)
{
    if (is_nothing(v))
        fputs("nothing", out);
    else if (is_nothing(other) && v->kind == JSON_OBJECT)
        fputs("something", out);
    else
        return json_value_print(out, v);
    return OK;
}

static Status print_difference(void *arg, const char *path, const Json *there, const Json *here)
{
    Comparison *c = arg;
    c->missing |= is_nothing(there) || is_nothing(here);
    if (++c->n_lines > (int)MOST_LINES)
        return OK;
    fprintf(c->out, "%s%s: rank %d sees ", c->n_lines > 1 ? "\n" : "", path, c->rank);
    TRY(print_seen(c->out, there, here));
    fputs(", rank 0 sees ", c->out);
    return print_seen(c->out, here, there);
}

static Status compare_texts(Comparison *c, const char *there, const char *here)
{
    JsonDoc *a = NULL, *b = NULL;
    if (!strcmp(there, here))
        return OK;
    Status s = json_parse(&a, there, strlen(there), "what a rank sees");
    if (s == OK)
        s = json_parse(&b, here, strlen(here), "what rank 0 sees");
    if (s == OK)
        s = json_compare(json_root(a), json_root(b), print_difference, c);
    json_free(&a);
    json_free(&b);
    return s;
}

/* all: a text a rank, each with its NUL. */
static Status compare_all(Comparison *c, const char *all, int n_ranks)
{
    const char *text = all;
    for (c->rank = 1; c->rank < n_ranks; c->rank++) {
        text += strlen(text) + 1;
        TRY(compare_texts(c, text, all));
    }
    if (c->n_lines > (int)MOST_LINES)
        fprintf(c->out, "\nand %d more", c->n_lines - (int)MOST_LINES);
    return OK;
}

/* tree: what this rank sees; it is freed. *lines: of rank 0, mem_free; NULL where all see the same. */
static Status gather_differences(Dist *d, cJSON **tree, char **lines, bool *missing)
{
    char *text;
    void *all;
    size_t n;
    *lines = NULL;
    TRY(json_to_text(&text, tree, JSON_INLINE, "what a rank sees"));
    Status s = dist_gather(d, text, strlen(text) + 1, &all, &n);
    mem_free(text);
    if (s != OK || d->rank > 0)
        return s;
    Comparison c = {.out = open_memstream(lines, &n)};
    s = c.out ? compare_all(&c, all, d->n_ranks) : fail(ERR_NOMEM, "comparing what the ranks see: out of memory");
    mem_free(all);
    if (c.out && fclose(c.out) && s == OK)
        s = fail(ERR_NOMEM, "comparing what the ranks see: out of memory");
    if (s != OK || !c.n_lines) {
        mem_free(*lines);
        *lines = NULL;
    }
    *missing = c.missing;
    return s;
}

/* What differs is a failure. */
static Status compare(Dist *d, cJSON **tree, Status kind, const char *what)
{
    char *lines;
    bool missing;
    TRY(gather_differences(d, tree, &lines, &missing));
    if (!lines)
        return OK;
    Status s = fail(kind == ERR_DATA && missing ? ERR_MISSING : kind, "%s:\n%s", what, lines);
    mem_free(lines);
    return s;
}

/* ---------------------------------------------------------------- the program and its settings */

static Status hash_program(char hex[33])
{
    enum { PIECE = 1 << 16 };
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    XXH3_state_t *state = XXH3_createState();
    char *piece = mem_grow(NULL, PIECE);
    ssize_t n = fd >= 0 && state && piece ? 1 : -1;
    if (n > 0)
        XXH3_128bits_reset(state);
    while (n > 0 && (n = read(fd, piece, PIECE)) > 0)
        XXH3_128bits_update(state, piece, (size_t)n);
    Status s = n < 0 ? fail(ERR_IO, "/proc/self/exe: cannot be read: %s", strerror(errno)) : OK;
    if (s == OK) {
        XXH128_hash_t h = XXH3_128bits_digest(state);
        snprintf(hex, 33, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
    }
    XXH3_freeState(state);
    mem_free(piece);
    if (fd >= 0)
        close(fd);
    return s;
}

Status alike_settings(Dist *d, const RunConfig *cfg)
{
    char hex[33], *settings;
    if (d->n_ranks == 1)
        return OK;
    TRY(hash_program(hex));
    cJSON *program = cJSON_CreateObject();
    cJSON_AddStringToObject(program, "hash of train", hex);
    TRY(compare(d, &program, ERR_USAGE, "the ranks run different programs; install the same on all machines"));
    TRY(config_to_json(cfg, &settings));
    cJSON *raw = cJSON_CreateRaw(settings);
    mem_free(settings);
    return compare(d, &raw, ERR_USAGE, "the ranks have different settings; start all of them with the same file and flags");
}

/* ---------------------------------------------------------------- machines */

/* "libjpeg.so.62.3.0", the file's own name, carries the version. */
static int add_library(struct dl_phdr_info *info, size_t size, void *out)
{
    static const char *const READ_NUMBERS[] = {"libjpeg", "libpng", "libwebp", "libgif", "libsentencepiece"};
    char path[PATH_MAX];
    (void)size;
    if (!info->dlpi_name || *info->dlpi_name != '/' || !realpath(info->dlpi_name, path))
        return 0;
    const char *name = strrchr(path, '/') + 1;
    for (size_t i = 0; i < sizeof READ_NUMBERS / sizeof *READ_NUMBERS; i++)
        if (!strncmp(name, READ_NUMBERS[i], strlen(READ_NUMBERS[i])))
            json_add_text(out, NULL, name);
    return 0;
}

Status alike_machines(Dist *d, const Backend *b, bool refuse)
{
    static const char WHAT[] = "the machines of the ranks compute differently, so that their copies of the weights may drift apart";
    if (d->n_ranks == 1)
        return OK;
    cJSON *o = cJSON_CreateObject();
    json_add_text(o, "device", b->kind);
    json_add_text(o, "C library", gnu_get_libc_version());
    dl_iterate_phdr(add_library, cJSON_AddArrayToObject(o, "libraries"));
    if (refuse)
        return compare(d, &o, ERR_USAGE, WHAT);
    char *lines;
    bool missing;
    TRY(gather_differences(d, &o, &lines, &missing));
    if (lines)
        log_warn("%s:\n%s", WHAT, lines);
    mem_free(lines);
    return OK;
}

/* ---------------------------------------------------------------- files */

/* The folder of the shards is named by what they are made from, if not by the settings. */
Status alike_files(Dist *d, const RunConfig *cfg)
{
    if (d->n_ranks == 1)
        return OK;
    cJSON *o = cJSON_CreateObject();
    if (!cfg->plan_only)
        json_add_text(o, "data.shards", cfg->data.shards);
    Status s = bases_outline(o, cfg);
    if (s == OK)
        return compare(d, &o, ERR_DATA, "the ranks see different files");
    cJSON_Delete(o);
    return s;
}

static Status add_data(cJSON *o, const RunData *data, bool contents)
{
    char *identity;
    if (!data->loader)
        return OK;
    const LoaderTotals *totals = loader_totals(data->loader);
    json_add_int(o, "samples", totals->samples);
    json_add_int(o, "steps", totals->steps);
    json_add_int(o, "tokens", totals->tokens);
    json_add_int(o, "longest sample", totals->longest);
    if (!contents)
        return OK;
    TRY(prepare_identity(&data->prepare, &identity));
    cJSON_AddRawToObject(o, "made from", identity);
    mem_free(identity);
    return OK;
}

Status alike_data(Dist *d, const RunData *rows, const RunData *held, bool contents)
{
    if (d->n_ranks == 1)
        return OK;
    cJSON *o = cJSON_CreateObject();
    Status s = add_data(cJSON_AddObjectToObject(o, "data"), rows, contents);
    if (s == OK)
        s = add_data(cJSON_AddObjectToObject(o, "validation"), held, contents);
    if (s == OK)
        return compare(d, &o, ERR_DATA, "the ranks see different data");
    cJSON_Delete(o);
    return s;
}
