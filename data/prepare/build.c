#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "data/formats/json.h"
#include "data/prepare/parts.h"
#include "data/formats/sha256.h"
#include "data/shards/shard_writer.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

enum { SPARE_BYTES = 1 << 20 };

typedef struct Build {
    const PrepareOptions *o;
    const ScanFiles *scan;
    const Journal *journal;
    char *tok_added, tok_sha256[65];
    _Atomic int64_t *next; /* shared by the processes: the shard that nobody works on yet */
} Build;

typedef struct BuildAnswer {
    int32_t status, kept;
    JournalShard shard;
    char message[1024];
} BuildAnswer;
_Static_assert(sizeof(BuildAnswer) <= PIPE_BUF, "an answer must go whole");

void shard_file_name(char *out, size_t n, int64_t index, int64_t count)
{
    snprintf(out, n, "shard-%05" PRId64 "-of-%05" PRId64 ".h5", index, count);
}

/* ---------------------------------------------------------------- one shard, in a worker */

static void fill_attributes(const Build *b, ShardAttributes *a, int64_t k)
{
    const EncoderOptions *e = &b->o->encoder;
    a->shard_index = k;
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
    PictureInfo info;
    TRY(scan_picture(src->scan, src->g->picture[i], &info));
    TRY(scan_name(src->scan, src->g->picture[i], root, path));
    return picture_read(&info, root, path, buf);
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
    Status s = rename(tmp, path) ? fail(ERR_IO, "%s: renaming: %s", tmp, strerror(errno)) : OK;
    if (!s)
        s = file_sync_folder(b->o->out);
    if (!s)
        s = sha256_file(path, out->sha256, &out->bytes);
    if (s)
        unlink(tmp);
    return s;
}

static Status build_one(const Build *b, int64_t k, BuildAnswer *a)
{
    char path[PATH_MAX];
    const int64_t per = b->o->shard_samples, first = k * per;
    int64_t n = b->journal->good - first < per ? b->journal->good - first : per;
    a->shard.index = k;
    shard_file_name(a->shard.file, sizeof a->shard.file, k, b->journal->n_shards);
    if ((size_t)snprintf(path, sizeof path, "%s/%s", b->o->out, a->shard.file) >= sizeof path)
        return fail(ERR_CREATE, "%s: the name is too long", b->o->out);
    Gathered g;
    TRY(gather_shard(&g, b->scan, first, n));
    fill_attributes(b, &g.shard.attr, k);
    a->shard.samples = n;
    a->shard.images = g.shard.attr.n_images;
    a->shard.tokens = g.shard.attr.n_tokens;
    memcpy(a->shard.content, g.content, sizeof a->shard.content);
    Status s = OK;
    if (stands(b, &g, k, path)) {
        a->kept = 1;
        a->shard = *journal_shard(b->journal, k);
    } else {
        s = prepare_licenses(g.text, g.shard.text_off, n, &g.shard.attr.licenses);
        if (!s)
            s = write_shard(b, &g, path, &a->shard);
    }
    drop_attributes(&g.shard.attr);
    gather_free(&g);
    return s;
}

static int build_worker(void *build, int number, int from, int to)
{
    const Build *b = build;
    (void)number;
    (void)from;
    for (int64_t k; (k = atomic_fetch_add(b->next, 1)) < b->journal->n_shards;) {
        BuildAnswer a;
        memset(&a, 0, sizeof a);
        Status s = build_one(b, k, &a);
        a.status = (int32_t)s;
        if (s) {
            size_t n = strnlen(status_message(), sizeof a.message - 1);
            memcpy(a.message, status_message(), n);
        }
        if (write(to, &a, sizeof a) != (ssize_t)sizeof a || s)
            return s ? status_exit_code(s) : status_exit_code(ERR_INTERNAL);
    }
    return 0;
}

/* ---------------------------------------------------------------- the journal, in the parent */

/* OK with *over when the worker has no more shards. */
static Status take_answer(Job *jobs, int i, Journal *m, const char *folder, bool *over)
{
    BuildAnswer a;
    ssize_t n = read(jobs[i].from, &a, sizeof a);
    *over = n == 0;
    if (n == 0 || (n < 0 && errno == EINTR))
        return OK;
    if (n != (ssize_t)sizeof a)
        return jobs_lost(jobs, i);
    if (a.status)
        return fail((Status)a.status, "%s", a.message);
    return a.kept ? OK : journal_append(m, folder, &a.shard);
}

static Status collect(const PrepareOptions *o, Job *jobs, int n, Journal *m)
{
    bool over[SCAN_MAX_JOBS] = {false};
    for (int left = n; left;) {
        struct pollfd p[SCAN_MAX_JOBS];
        for (int i = 0; i < SCAN_MAX_JOBS; i++) /* poll passes over those with fd -1 */
            p[i] = (struct pollfd){.fd = i >= n || over[i] ? -1 : jobs[i].from, .events = POLLIN};
        if (poll(p, SCAN_MAX_JOBS, -1) < 0 && errno != EINTR)
            return fail(ERR_INTERNAL, "waiting for worker processes: %s", strerror(errno));
        for (int i = 0; i < n; i++) {
            if (over[i] || !p[i].revents)
                continue;
            TRY(take_answer(jobs, i, m, o->out, &over[i]));
            left -= over[i];
        }
        log_progress("writing shards: %d of %lld", m->n_done, (long long)m->n_shards);
    }
    return OK;
}

static char *describe_added(const EncoderOptions *e)
{
    JsonOut j = {0};
    char buf[32];
    jsonout_begin_object(&j, NULL);
    for (int k = 0; k < encoder_added_count(e); k++)
        jsonout_int(&j, encoder_added_text(e, k, buf, sizeof buf), (int64_t)e->vocab_size + k);
    jsonout_end_object(&j);
    if (!j.failed)
        return j.text;
    jsonout_free(&j);
    return NULL;
}

Status build_shards(const PrepareOptions *o, const ScanFiles *scan, Journal *m)
{
    Build b = {.o = o, .scan = scan, .journal = m};
    TRY(sha256_file(o->tokenizer_path, b.tok_sha256, NULL));
    b.next = mmap(NULL, sizeof *b.next, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    b.tok_added = describe_added(&o->encoder);
    Status s = b.next == MAP_FAILED || !b.tok_added ? fail(ERR_NOMEM, "no memory to start writing shards") : OK;
    int n = jobs_wanted(o);
    n = m->n_shards < n ? (int)m->n_shards : n;
    Job jobs[SCAN_MAX_JOBS];
    if (!s)
        s = jobs_start(jobs, n, build_worker, &b);
    if (!s) {
        s = collect(o, jobs, n, m);
        Status ended = jobs_end(jobs, n, s != OK);
        s = s ? s : ended;
    }
    if (b.next != MAP_FAILED)
        munmap(b.next, sizeof *b.next);
    mem_free(b.tok_added);
    return s;
}
