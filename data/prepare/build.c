/* The second pass: shards from a scan, each by one of several processes. Called by prepare.c. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "data/formats/json_write.h"
#include "data/prepare/parts.h"
#include "data/formats/sha256.h"
#include "data/shards/shard_writer.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

enum { SPARE_BYTES = 1 << 20 };

typedef struct BuildState {
    _Atomic int64_t next, done; /* the shard that nobody works on yet; how many are finished */
} BuildState;

typedef struct Build {
    const PrepareOptions *o;
    const ScanFiles *scan;
    const Journal *journal;
    char *tok_added, tok_sha256[65];
    BuildState *state; /* shared by the processes */
} Build;

/* ---------------------------------------------------------------- one shard, in a worker */

static void fill_attributes(const Build *b, ShardAttributes *a)
{
    const EncoderOptions *e = &b->o->encoder;
    a->shard_count = b->journal->n_shards;
    a->n_visual_tokens = e->n_visual;
    a->model_max_length = e->max_tokens;
    a->vocab_size = e->vocab_size;
    a->patches = e->patches;
    a->created_unix = b->journal->newest_unix;
    memcpy(a->config_sha256, b->journal->config, sizeof a->config_sha256);
    memcpy(a->tok_sha256, b->tok_sha256, sizeof a->tok_sha256);
    snprintf(a->template_name, sizeof a->template_name, "%s", prepare_template_name(e->chat));
    snprintf(a->aspect, sizeof a->aspect, "%s", !b->o->vision_folder ? "none" : b->o->pad ? "pad" : "stretch");
    a->inputs = b->journal->inputs;
    a->tok_added = b->tok_added;
}

/* After gather_shard: what the shard borrows, or has for itself alone, is not gather_free's. */
static void drop_attributes(ShardAttributes *a)
{
    mem_free(a->licenses);
    a->inputs = a->tok_added = a->licenses = NULL;
}

static Status check_space(const Build *b, const Gathered *g, const char *file)
{
    struct statvfs v;
    const Shard *s = &g->shard;
    uint64_t need = s->image_off[s->attr.n_images] + SPARE_BYTES; /* tokens and text shrink too much to tell beforehand */
    if (statvfs(b->o->out, &v) || (uint64_t)v.f_bavail * v.f_frsize >= need)
        return OK;
    return fail(ERR_IO, "%s: needs %" PRIu64 " bytes, %s has %" PRIu64 " left: %s", file, need, b->o->out,
                (uint64_t)v.f_bavail * v.f_frsize, strerror(ENOSPC));
}

typedef struct ImageSource {
    const ScanFiles *scan;
    const Gathered *g;
} ImageSource;

static Status image_bytes(void *context, int64_t i, uint8_t *buf)
{
    const ImageSource *src = context;
    char root[PATH_MAX], path[PATH_MAX];
    ScanPicture p;
    TRY(scan_picture(src->scan, src->g->picture[i], &p));
    TRY(scan_name(src->scan, src->g->picture[i], &p, root, path));
    return picture_read(&p.info, root, path, buf);
}

/* Whether the journal's shard has this content and lies there undamaged. */
static bool stands(const Build *b, const Gathered *g, int64_t k, const char *path)
{
    const JournalShard *j = journal_shard(b->journal, k);
    char sha[65];
    int64_t bytes;
    return j && *g->content && !strcmp(j->content, g->content) && !sha256_file(path, sha, &bytes) && bytes == j->bytes &&
           !strcmp(sha, j->sha256);
}

static Status write_shard(const Build *b, const Gathered *g, const char *path, JournalShard *out)
{
    char tmp[PATH_MAX];
    if ((size_t)snprintf(tmp, sizeof tmp, "%s.tmp.%d", path, (int)getpid()) >= sizeof tmp)
        return fail(ERR_CREATE, "%s: the name is too long", path);
    TRY(check_space(b, g, tmp));
    ImageSource src = {b->scan, g};
    TRY(shard_write(tmp, &g->shard, g->text, image_bytes, &src));
    Status s = file_rename(tmp, path);
    if (!s)
        s = file_sync_folder(b->o->out);
    if (!s)
        s = sha256_file(path, out->sha256, &out->bytes);
    if (s)
        unlink(tmp);
    return s;
}

Status build_check_place(const char *path)
{
    struct stat st;
    if (!lstat(path, &st) && S_ISDIR(st.st_mode))
        return fail(ERR_DATA, "%s: is a folder, expected a shard of this set; move it away", path);
    return OK;
}

/* The journal names a shard only once it stands. */
static Status build_one(const Build *b, int64_t k)
{
    char path[PATH_MAX];
    const int64_t per = b->o->shard_samples, first = k * per;
    int64_t n = b->journal->good - first < per ? b->journal->good - first : per;
    JournalShard made = {.index = k};
    shard_file_name(made.file, sizeof made.file, k, b->journal->n_shards);
    TRY(build_check_place(file_join(path, b->o->out, made.file)));
    Gathered g;
    TRY(gather_shard(&g, b->scan, k, first, n));
    fill_attributes(b, &g.shard.attr);
    made.samples = n;
    made.images = g.shard.attr.n_images;
    made.tokens = g.shard.attr.n_tokens;
    memcpy(made.content, g.content, sizeof made.content);
    Status s = OK;
    if (!stands(b, &g, k, path)) {
        s = prepare_licenses(&g, b->o->mixture, &g.shard.attr.licenses);
        if (!s)
            s = write_shard(b, &g, path, &made);
        if (!s)
            s = journal_append(b->o->out, &made);
    }
    drop_attributes(&g.shard.attr);
    gather_free(&g);
    return s;
}

static Status work_on_build(void *build, int number)
{
    const Build *b = build;
    (void)number;
    for (int64_t k; (k = atomic_fetch_add(&b->state->next, 1)) < b->journal->n_shards; atomic_fetch_add(&b->state->done, 1))
        TRY(build_one(b, k));
    return OK;
}

/* ---------------------------------------------------------------- all of them */

static void say_shards(const void *build)
{
    const Build *b = build;
    log_progress("writing shards: %lld of %lld", (long long)b->state->done, (long long)b->journal->n_shards);
}

static Status describe_added(char **text, const EncoderOptions *e)
{
    cJSON *o = cJSON_CreateObject();
    char buf[32];
    for (int k = 0; k < encoder_added_count(e); k++)
        json_add_int(o, encoder_added_text(e, k, buf, sizeof buf), (int64_t)e->vocab_size + k);
    return json_to_text(text, &o, JSON_INLINE, "the added tokens");
}

Status build_shards(const PrepareOptions *o, const ScanFiles *scan, const Journal *m)
{
    Build b = {.o = o, .scan = scan, .journal = m};
    TRY(sha256_file(o->tokenizer_path, b.tok_sha256, NULL));
    TRY(describe_added(&b.tok_added, &o->encoder));
    b.state = mmap(NULL, sizeof *b.state, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    Status s = b.state == MAP_FAILED ? fail(ERR_NOMEM, "no memory to start writing shards") : OK;
    int n = jobs_wanted(o);
    if (!s)
        s = jobs_run(m->n_shards < n ? (int)m->n_shards : n, work_on_build, say_shards, &b);
    if (b.state != MAP_FAILED)
        munmap(b.state, sizeof *b.state);
    mem_free(b.tok_added);
    return s;
}
