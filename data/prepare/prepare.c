/* prepare.c: from a mixture to shards: what is fresh, what goes on, what begins anew (prepare.h). Called by `prepare` and `train`. */
#include "data/prepare/prepare.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/formats/lock.h"
#include "data/prepare/parts.h"
#include "data/formats/sha256.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

/* Order of events, so that a kill at any point leaves something the next run can go on from:
 *   .scan filled; manifest.jsonl with its head and the bad rows; pictures.list; .scan/complete;
 *   each shard: temporary name, fsync, rename, its line in the manifest;
 *   the manifest once more, in order; .scan removed. */

/* ---------------------------------------------------------------- is it fresh? */

static _Thread_local char why_text[PATH_MAX + 256];

/* Every shard of the journal is there. Whether its bytes are right is seen when it is opened. */
static Status shards_are_there(const Journal *m, const char *folder, bool *fresh)
{
    for (int64_t i = 0; i < m->n_shards; i++) {
        char path[PATH_MAX];
        const JournalShard *s = journal_shard(m, i);
        *fresh = s != NULL;
        if (!s) {
            snprintf(why_text, sizeof why_text, "shard %" PRId64 " of %" PRId64 " was not finished", i, m->n_shards);
            return OK;
        }
        struct stat st;
        TRY(build_check_place(file_join(path, folder, s->file)));
        bool there = !stat(path, &st);
        *fresh = there && st.st_size == s->bytes;
        if (!*fresh) {
            snprintf(why_text, sizeof why_text, "%s is %s", s->file, there ? "of another size than it was made with" : "missing");
            return OK;
        }
    }
    return OK;
}

static Status compare(const PrepareOptions *o, const Journal *m, bool found, const char *config, const char *made_from, bool *fresh)
{
    char changed[PATH_MAX + 64];
    *fresh = false;
    if (!found) {
        bool damaged = journal_exists(o->out);
        snprintf(why_text, sizeof why_text, damaged ? "%s/manifest.jsonl is damaged" : "there are none yet", o->out);
        return OK;
    }
    if (strcmp(m->config, config)) {
        made_difference(m->made_from, made_from, why_text, sizeof why_text);
        return OK;
    }
    TRY(pictures_check(o->out, changed, sizeof changed));
    if (*changed) {
        snprintf(why_text, sizeof why_text, "%s", changed);
        return OK;
    }
    if (m->n_shards != shards_for(o, m->good)) {
        snprintf(why_text, sizeof why_text, "%s/manifest.jsonl is damaged", o->out);
        return OK;
    }
    if (m->good == 0) {
        snprintf(why_text, sizeof why_text, "no row could be used");
        return OK;
    }
    return shards_are_there(m, o->out, fresh);
}

static Status describe(const PrepareOptions *o, char config[65], char **made_from)
{
    uint8_t digest[32];
    TRY(made_describe(o, made_from));
    sha256_of(*made_from, strlen(*made_from), digest);
    sha256_hex(digest, config);
    return OK;
}

Status prepare_hash(const PrepareOptions *o, char hex[65])
{
    char *made_from;
    TRY(describe(o, hex, &made_from));
    mem_free(made_from);
    return OK;
}

static void sum_up(const Journal *m, PrepareResult *r)
{
    *r = (PrepareResult){.good = m->good, .bad = m->bad, .shards = m->n_shards};
    outcome_sum_up(&m->outcome, r);
    for (int64_t i = 0; i < m->n_shards; i++) {
        r->images += m->shards[i].images;
        r->tokens += m->shards[i].tokens;
    }
}

Status prepare_is_fresh(const PrepareOptions *o, bool *fresh, const char **why, PrepareResult *result)
{
    Journal m;
    bool found;
    char config[65], *made_from;
    *fresh = false;
    *why_text = 0;
    *why = why_text;
    TRY(describe(o, config, &made_from));
    Status s = journal_read(&m, o->out, &found);
    if (!s) {
        s = compare(o, &m, found, config, made_from, fresh);
        if (!s && *fresh)
            s = outcome_judge(&m.outcome, o);
        sum_up(&m, result);
        journal_free(&m);
    }
    mem_free(made_from);
    return s;
}

static void hash_shards(const Journal *m, char hex[33])
{
    XXH128_hash_t h = {0};
    for (int64_t i = 0; i < m->n_shards; i++) {
        char text[2 * 33];
        int n = snprintf(text, sizeof text, "%016llx%016llx%s", (unsigned long long)h.high64, (unsigned long long)h.low64,
                         m->shards[i].content);
        h = XXH3_128bits(text, (size_t)n);
    }
    snprintf(hex, 33, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
}

Status prepare_identity(const PrepareOptions *o, char **json)
{
    Journal m;
    bool found, fresh;
    const char *why;
    char shards[33];
    int64_t newest;
    PrepareResult made;
    TRY(prepare_is_fresh(o, &fresh, &why, &made));
    TRY(journal_read(&m, o->out, &found));
    Status s = OK;
    if (fresh)
        hash_shards(&m, shards);
    else { /* the files as they are now */
        mem_free(m.inputs);
        m.inputs = NULL;
        s = made_inputs(o, &m.inputs, &newest);
    }
    if (!s)
        s = made_identity(o, m.inputs, fresh ? shards : NULL, json);
    journal_free(&m);
    return s;
}

/* ---------------------------------------------------------------- the scan, and where it lies */

static const char COMPLETE[] = SCAN_SCHEMA " %64s %" SCNd64 " %" SCNd64 " %" SCNd64 " %d\n";

/* A finished scan of exactly this, left by a run that was killed while it wrote shards. */
static bool scan_is_complete(const char *folder, const char *config, ScanTotals *t)
{
    char path[PATH_MAX], found[65] = "", *text;
    size_t n;
    if (file_read(&text, &n, file_join(path, folder, "complete"), 4096))
        return false;
    bool ok = sscanf(text, COMPLETE, found, &t->good, &t->bad, &t->pictures, &t->jobs) == 5 && !strcmp(found, config) && t->jobs >= 1 &&
              t->jobs <= PREPARE_MAX_JOBS;
    mem_free(text);
    return ok;
}

static Status mark_complete(const char *folder, const char *config, const ScanTotals *t)
{
    char path[PATH_MAX], text[192];
    snprintf(text, sizeof text, SCAN_SCHEMA " %s %" PRId64 " %" PRId64 " %" PRId64 " %d", config, t->good, t->bad, t->pictures, t->jobs);
    TRY(file_replace(file_join(path, folder, "complete"), text));
    return file_sync_folder(folder);
}

/* Reads the mixture anew. Shards in the journal are carried over: the second pass keeps those whose content is still the same. */
static Status scan_anew(const PrepareOptions *o, const char *folder, Journal *m, ScanFiles *scan)
{
    char bad[PATH_MAX];
    TRY(file_remove(folder));
    TRY(file_make_folders(folder));
    mem_free(m->inputs);
    m->inputs = NULL;
    TRY(made_inputs(o, &m->inputs, &m->newest_unix));
    TRY(scan_run(scan, o, folder, SCAN_SHARDS));
    TRY(scan_sync(scan));
    const ScanTotals *t = &scan->totals;
    m->good = t->good;
    m->bad = t->bad;
    outcome_free(&m->outcome);
    m->outcome = scan->outcome;
    scan->outcome = (Outcome){0};
    if (shards_for(o, t->good) > SHARDS_MOST)
        return fail(ERR_USAGE, "%" PRId64 " samples in shards of %" PRId64 " are more than %d shards; raise data.shard_samples", t->good,
                    o->shard_samples, SHARDS_MOST);
    if (shards_for(o, t->good) != m->n_shards) /* their names tell the number too: none can be kept */
        TRY(journal_size(m, shards_for(o, t->good)));
    TRY(journal_write(m, o->out, file_join(bad, folder, "bad.jsonl")));
    TRY(pictures_write(scan, o->out));
    return mark_complete(folder, m->config, t);
}

/* ---------------------------------------------------------------- tidying */

typedef struct Tidy {
    const char *folder;
    const Journal *m; /* NULL: whole shards stay */
} Tidy;

static Status tidy_name(void *arg, const char *name)
{
    const Tidy *t = arg;
    int64_t k, n;
    char path[PATH_MAX];
    const char *rest = shard_read_name(name, &k, &n);
    const JournalShard *j = rest && t->m ? journal_shard(t->m, k) : NULL;
    bool temporary = rest && !strncmp(rest, ".tmp.", 5), foreign = rest && !*rest && t->m && (!j || strcmp(j->file, name));
    if (!temporary && !foreign)
        return OK;
    TRY(build_check_place(file_join(path, t->folder, name)));
    return file_remove(path);
}

/* Removes temporary shards, and with a journal every shard that it does not name. Only names that prepare itself gives. */
static Status tidy(const char *folder, const Journal *m) { return file_list(folder, tidy_name, &(Tidy){folder, m}); }

/* ---------------------------------------------------------------- the whole */

/* All shards are there and undamaged to the last bit. */
static bool all_stand(const Journal *m, const char *folder)
{
    for (int64_t i = 0; i < m->n_shards; i++) {
        const JournalShard *s = journal_shard(m, i);
        char path[PATH_MAX], sha[65];
        int64_t bytes;
        if (!s)
            return false;
        if (sha256_file(file_join(path, folder, s->file), sha, &bytes) || bytes != s->bytes || strcmp(sha, s->sha256)) {
            log_info("%s is damaged and is made again", path);
            return false;
        }
    }
    return true;
}

/* What is half done goes away (`whole`: the folder itself); the sentence stays that of the failure. */
static Status after_failure(Status s, const char *folder, bool whole)
{
    char sentence[4096];
    snprintf(sentence, sizeof sentence, "%s", status_message());
    if (whole ? file_remove(folder) : tidy(folder, NULL))
        log_warn("%s", status_message());
    return fail(s, "%s", sentence);
}

/* The journal with the lines that the processes of the second pass appended. */
static Status read_back(Journal *m, const char *folder)
{
    bool found;
    journal_free(m);
    TRY(journal_read(m, folder, &found));
    return found ? OK : fail(ERR_IO, "%s/manifest.jsonl disappeared or was damaged while shards were written", folder);
}

static Status build(const PrepareOptions *o, Journal *m, const char *scan_at)
{
    ScanFiles scan = {0};
    ScanTotals t;
    char changed[PATH_MAX + 64] = "";
    Status s = OK;
    bool goes_on = scan_is_complete(scan_at, m->config, &t) && t.good == m->good && m->n_shards == shards_for(o, m->good);
    if (goes_on)
        s = pictures_check(o->out, changed, sizeof changed);
    goes_on = goes_on && !*changed;
    if (!s && goes_on)
        s = scan_open(&scan, scan_at, &t);
    if (!s && !goes_on) {
        s = scan_anew(o, scan_at, m, &scan);
        s = s ? after_failure(s, scan_at, true) : OK;
    }
    if (!s)
        s = journal_report(m, o);
    if (!s)
        s = outcome_judge(&m->outcome, o);
    if (!s) {
        s = tidy(o->out, m);
    }
    if (!s)
        s = build_shards(o, &scan, m);
    scan_close(&scan);
    if (!s)
        s = read_back(m, o->out);
    if (!s)
        s = journal_write(m, o->out, NULL);
    if (!s)
        s = file_remove(scan_at);
    return s;
}

static Status run_locked(const PrepareOptions *o, PrepareResult *result)
{
    Journal m;
    bool found, fresh = false;
    char config[65], *made_from = NULL, scan_at[PATH_MAX];
    file_join(scan_at, o->out, ".scan");
    TRY(describe(o, config, &made_from));
    Status s = journal_read(&m, o->out, &found);
    if (!s)
        s = compare(o, &m, found, config, made_from, &fresh);
    if (!s && !fresh)
        log_info("preparing %s: %s", o->out, why_text);
    if (!s && fresh && all_stand(&m, o->out)) {
        s = tidy(o->out, &m);
        if (!s && file_exists(scan_at)) /* a kill came before the last two events */
            s = journal_write(&m, o->out, NULL);
        if (!s)
            s = file_remove(scan_at);
        if (!s)
            s = journal_report(&m, o);
        if (!s)
            s = outcome_judge(&m.outcome, o);
    } else if (!s) {
        if (!found || strcmp(m.config, config)) {
            journal_free(&m);
            memcpy(m.config, config, sizeof m.config);
            m.made_from = made_from;
            made_from = NULL;
        }
        s = build(o, &m, scan_at);
        s = s ? after_failure(s, o->out, false) : OK;
    }
    sum_up(&m, result);
    journal_free(&m);
    mem_free(made_from);
    return s;
}

Status prepare_run(const PrepareOptions *o, PrepareResult *result)
{
    Lock lock;
    *result = (PrepareResult){0};
    if (o->shard_samples < 1)
        return fail(ERR_USAGE, "data.shard_samples is %" PRId64 ", must be at least 1", o->shard_samples);
    TRY(file_make_folders(o->out));
    TRY(lock_take(&lock, o->out, "prepared", true));
    Status s = run_locked(o, result);
    lock_release(&lock);
    return s;
}
