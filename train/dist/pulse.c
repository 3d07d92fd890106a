/* pulse.c: signs of life between ranks, and the verdict on one that has ended or hangs (pulse.h). Called by sockets.c. */
#include "train/dist/pulse.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "kernels/base/arena.h"
#include "kernels/base/log.h"

enum {
    TICK_MS = 250,
    TICKS_A_SECOND = 1000 / TICK_MS,
    GRACE_TICKS = 5 * TICKS_A_SECOND,  /* to come to a call after a verdict */
    LINGER_TICKS = 2 * TICKS_A_SECOND, /* to hear that the others have heard */
    STACK_BYTES = 256 << 10,
    NOBODY = -1
};

typedef enum FrameKind { FRAME_BEAT = 1, FRAME_VERDICT, FRAME_FAREWELL } FrameKind;
typedef struct Frame {
    int32_t kind;
    int32_t status, rank;   /* of a verdict: what all end with; because of whom, or NOBODY */
    int32_t waits, patient; /* of a beat: is in a call; rank 0 may take hours to come to it */
    int64_t n_calls, step;  /* so many calls it has come to; the last was of this step */
    char text[192];         /* a verdict's sentence; the name of a beat's call */
} Frame;

typedef struct Peer {
    int rank, fd;
    int silent; /* ticks */
    bool left;  /* said farewell */
    bool gone;  /* its connection is closed */
    size_t n_bytes;
    Frame frame; /* being received */
    Frame last;  /* beat */
} Peer;

struct Pulse {
    pthread_t thread;
    pthread_mutex_t mutex; /* of what stands before `peers` */
    Frame own, verdict;
    Frame last_words; /* of a signal handler */
    bool stop, failed, judged;
    Peer *peers;
    int n_peers, rank;
    int silence, patience; /* ticks */
    int idle;              /* ticks in which no rank came to a call or left one */
    int64_t progress;
    bool leaving;
    int news, wake; /* eventfd: a verdict; to be looked at */
};

/* For the signal handler. */
static Pulse *the_pulse;

/* ---------------------------------------------------------------- telling */

/* A peer that does not read loses frames: it will be found silent. One that has left still waits for a farewell. */
static void send_frame(const Peer *peer, const Frame *f)
{
    const bool deaf = peer->gone || (peer->left && f->kind != FRAME_FAREWELL);
    ssize_t n = deaf ? 0 : send(peer->fd, f, sizeof *f, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)n;
}

static void send_to_all(const Pulse *p, const Frame *f)
{
    for (int i = 0; i < p->n_peers; i++)
        send_frame(&p->peers[i], f);
}

static void ring(int fd)
{
    const uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof one);
    (void)n;
}

/* The first verdict is that of all. */
static void give_verdict(Pulse *p, const Frame *verdict)
{
    pthread_mutex_lock(&p->mutex);
    bool first = !p->judged;
    if (first) {
        p->verdict = *verdict;
        p->judged = true;
    }
    pthread_mutex_unlock(&p->mutex);
    if (!first)
        return;
    send_to_all(p, verdict);
    ring(p->news);
}

static void judge(Pulse *p, int rank, Status status, const char *sentence)
{
    Frame f = {.kind = FRAME_VERDICT, .status = status, .rank = rank};
    snprintf(f.text, sizeof f.text, "%s", sentence);
    give_verdict(p, &f);
}

/* "step 8, the sum of the gradients". */
static const char *describe_call(char *out, size_t room, const Frame *beat)
{
    if (beat->step > 0)
        snprintf(out, room, "step %lld, %.64s", (long long)beat->step, beat->text);
    else
        snprintf(out, room, "%.64s before the first step", beat->text);
    return out;
}

/* ---------------------------------------------------------------- listening */

static void judge_peer(Pulse *p, const Peer *peer, const char *what)
{
    char sentence[192], call[96];
    int n = snprintf(sentence, sizeof sentence, "rank %d %s", peer->rank, what);
    if (peer->last.n_calls)
        snprintf(sentence + n, sizeof sentence - (size_t)n, " (last heard of at %s)", describe_call(call, sizeof call, &peer->last));
    judge(p, peer->rank, ERR_DEVICE, sentence);
}

static void take_frame(Pulse *p, Peer *peer)
{
    const Frame *f = &peer->frame;
    peer->silent = 0;
    if (f->kind == FRAME_BEAT)
        peer->last = *f;
    else if (f->kind == FRAME_FAREWELL)
        peer->left = true;
    else if (f->kind == FRAME_VERDICT)
        give_verdict(p, f);
}

static void listen_to(Pulse *p, Peer *peer)
{
    while (!peer->gone) {
        ssize_t n = recv(peer->fd, (char *)&peer->frame + peer->n_bytes, sizeof peer->frame - peer->n_bytes, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            if (!p->leaving && !peer->left)
                judge_peer(p, peer, "has ended");
            peer->gone = true;
            return;
        }
        peer->n_bytes += (size_t)n;
        if (peer->n_bytes < sizeof peer->frame)
            continue;
        peer->n_bytes = 0;
        peer->frame.text[sizeof peer->frame.text - 1] = 0;
        take_frame(p, peer);
    }
}

/* ---------------------------------------------------------------- judging */

static void judge_silence(Pulse *p)
{
    char what[64];
    for (int i = 0; i < p->n_peers; i++) {
        Peer *peer = &p->peers[i];
        if (peer->left || peer->gone || ++peer->silent <= p->silence)
            continue;
        snprintf(what, sizeof what, "has given no sign of life for %d s", p->silence / TICKS_A_SECOND);
        judge_peer(p, peer, what);
    }
}

/* Of rank 0, which knows of all: some wait, and for long nobody has come to a call or left one. */
static void judge_progress(Pulse *p)
{
    pthread_mutex_lock(&p->mutex);
    const Frame own = p->own;
    pthread_mutex_unlock(&p->mutex);
    const Frame *most = &own, *least = &own;
    int last = 0;
    int64_t progress = 0;
    bool waits = false;
    for (int i = -1; i < p->n_peers; i++) {
        const Frame *f = i < 0 ? &own : &p->peers[i].last;
        most = f->n_calls > most->n_calls ? f : most;
        if (f->n_calls < least->n_calls) {
            least = f;
            last = p->peers[i].rank;
        }
        progress += 2 * f->n_calls - f->waits;
        waits = waits || f->waits;
    }
    bool allowed = !waits || (most->patient && least == &own && most != &own);
    p->idle = allowed || progress != p->progress ? 0 : p->idle + 1;
    p->progress = progress;
    if (p->idle <= p->patience)
        return;
    char sentence[192], call[96];
    describe_call(call, sizeof call, most);
    if (most == least)
        snprintf(sentence, sizeof sentence, "%s: all ranks are there, and it has not ended for %d s", call, p->patience / TICKS_A_SECOND);
    else
        snprintf(sentence, sizeof sentence, "rank %d has not come to %s for %d s, and others wait for it", last, call,
                 p->patience / TICKS_A_SECOND);
    judge(p, most == least ? NOBODY : last, ERR_DEVICE, sentence);
}

static bool tells(const Pulse *p) { return p->rank == (p->verdict.rank == 0 ? 1 : 0); }

/* The rank itself is busy with something that nobody waits for any more. */
static void end_process(const Pulse *p)
{
    if (p->verdict.status == ERR_PREEMPTED)
        log_info("%s", p->verdict.text);
    else if (tells(p))
        log_error("%s", p->verdict.text);
    _exit(status_exit_code((Status)p->verdict.status));
}

/* ---------------------------------------------------------------- the thread */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void wait_for_news(const Pulse *p, struct pollfd *fds)
{
    for (int i = 0; i < p->n_peers; i++)
        fds[i] = (struct pollfd){.fd = p->peers[i].gone ? -1 : p->peers[i].fd, .events = POLLIN};
    fds[p->n_peers] = (struct pollfd){.fd = p->wake, .events = POLLIN};
    poll(fds, (nfds_t)p->n_peers + 1, TICK_MS);
}

/* After a failure rank 0 keeps its connections until it has told of it and ended: a launcher ends all as soon as one rank has. */
static bool may_end(const Pulse *p)
{
    const bool until_end = p->failed && p->rank > 0;
    for (int i = 0; i < p->n_peers; i++)
        if (!p->peers[i].gone && (until_end || !p->peers[i].left))
            return false;
    return true;
}

/* What is sent and not read dies with a connection, so the last one to speak waits for the other's farewell. */
static void take_leave(Pulse *p, struct pollfd *fds)
{
    p->leaving = true;
    send_to_all(p, &(Frame){.kind = FRAME_FAREWELL});
    for (int64_t end = now_ms() + LINGER_TICKS * TICK_MS; !may_end(p) && now_ms() < end;) {
        uint64_t rung;
        ssize_t n = read(p->wake, &rung, sizeof rung);
        (void)n;
        wait_for_news(p, fds);
        for (int i = 0; i < p->n_peers; i++)
            listen_to(p, &p->peers[i]);
    }
}

/* Time is counted in ticks of this thread: while the whole machine or job is held, none pass. */
static void *watch(void *arg)
{
    Pulse *p = arg;
    struct pollfd *fds = (struct pollfd *)(void *)(p->peers + p->n_peers);
    int64_t last = now_ms();
    for (int ticks = 0, since = 0;;) {
        wait_for_news(p, fds);
        pthread_mutex_lock(&p->mutex);
        const Frame own = p->own;
        const bool stop = p->stop, judged = p->judged;
        pthread_mutex_unlock(&p->mutex);
        if (stop)
            break;
        for (int i = 0; i < p->n_peers; i++)
            listen_to(p, &p->peers[i]);
        if (now_ms() - last < TICK_MS)
            continue;
        last = now_ms();
        if (judged && ++since > GRACE_TICKS)
            end_process(p);
        if (judged)
            continue;
        if (++ticks % TICKS_A_SECOND == 0)
            send_to_all(p, &own);
        judge_silence(p);
        if (p->rank == 0)
            judge_progress(p);
    }
    take_leave(p, fds);
    return NULL;
}

static Status start_thread(Pulse *p)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the rank itself */
    int failed = pthread_create(&p->thread, &attributes, watch, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return failed ? fail(ERR_NOMEM, "the thread that watches over the ranks: %s", strerror(failed)) : OK;
}

/* ---------------------------------------------------------------- the rank */

static void free_pulse(Pulse *p)
{
    for (int i = 0; i < p->n_peers; i++)
        if (p->rank > 0 || !p->failed)
            close(p->peers[i].fd);
    close(p->news);
    close(p->wake);
    pthread_mutex_destroy(&p->mutex);
    mem_free(p->peers);
    mem_free(p);
}

Status pulse_start(Pulse **out, const Place *place, int *peers)
{
    int n = place->rank == 0 ? place->n_ranks - 1 : 1;
    Pulse *p = mem_alloc(sizeof *p);
    Peer *list = mem_alloc((size_t)n * sizeof *list + ((size_t)n + 1) * sizeof(struct pollfd));
    if (!p || !list) {
        mem_free(p);
        mem_free(list);
        for (int i = 0; i < n; i++)
            close(peers[place->rank == 0 ? i + 1 : i]);
        return fail(ERR_NOMEM, "watching over %d ranks: out of memory", place->n_ranks);
    }
    *p = (Pulse){.mutex = PTHREAD_MUTEX_INITIALIZER,
                 .own = {.kind = FRAME_BEAT, .text = "the start"},
                 .last_words = {.kind = FRAME_VERDICT, .status = ERR_PREEMPTED, .rank = place->rank},
                 .peers = list,
                 .n_peers = n,
                 .rank = place->rank,
                 .silence = place->silence_s * TICKS_A_SECOND,
                 .patience = place->patience_s * TICKS_A_SECOND,
                 .news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                 .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    snprintf(p->last_words.text, sizeof p->last_words.text,
             "rank %d was stopped by a signal before a step was taken; nothing is lost, run the same again", place->rank);
    for (int i = 0; i < n; i++)
        list[i] = (Peer){.rank = place->rank == 0 ? i + 1 : 0, .fd = peers[place->rank == 0 ? i + 1 : i]};
    Status s = p->news < 0 || p->wake < 0 ? fail(ERR_IO, "watching over the ranks: %s", strerror(errno)) : start_thread(p);
    if (s != OK)
        free_pulse(p);
    else
        the_pulse = *out = p;
    return s;
}

void pulse_enter(Pulse *p, const char *call, int64_t step, bool patient)
{
    pthread_mutex_lock(&p->mutex);
    p->own.step = step;
    p->own.patient = patient;
    snprintf(p->own.text, sizeof p->own.text, "%s", call);
    pthread_mutex_unlock(&p->mutex);
}

void pulse_wait(Pulse *p)
{
    pthread_mutex_lock(&p->mutex);
    p->own.n_calls++;
    p->own.waits = true;
    pthread_mutex_unlock(&p->mutex);
}

void pulse_go_on(Pulse *p)
{
    pthread_mutex_lock(&p->mutex);
    p->own.waits = false;
    pthread_mutex_unlock(&p->mutex);
}

int pulse_fd(const Pulse *p) { return p->news; }

Status pulse_verdict(Pulse *p)
{
    pthread_mutex_lock(&p->mutex);
    const bool judged = p->judged;
    const Frame verdict = p->verdict;
    pthread_mutex_unlock(&p->mutex);
    if (!judged)
        return OK;
    if (verdict.status == ERR_PREEMPTED)
        log_info("%s", verdict.text);
    else if (!tells(p))
        log_rank(p->rank, LOG_QUIET);
    return fail((Status)verdict.status, "%s", verdict.text);
}

Status pulse_accuse(Pulse *p, const char *sentence)
{
    judge(p, NOBODY, ERR_DEVICE, sentence);
    return pulse_verdict(p);
}

void pulse_stop(Pulse **pulse, bool failed)
{
    Pulse *p = *pulse;
    if (!p)
        return;
    the_pulse = NULL;
    *pulse = NULL;
    pthread_mutex_lock(&p->mutex);
    p->stop = true;
    p->failed = failed;
    pthread_mutex_unlock(&p->mutex);
    ring(p->wake);
    pthread_join(p->thread, NULL);
    free_pulse(p);
}

bool pulse_stop_now(void)
{
    Pulse *p = the_pulse;
    if (!p)
        return true;
    send_to_all(p, &p->last_words);
    return p->rank == 0;
}
