/* meeting.h and pulse.h through dist.h: strangers at the ranks' port, ranks that do not belong together, do not come or do not go on. */
#include "train/dist/meeting.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/base/cli.h"
#include "kernels/base/log.h"
#include "tests/harness.h"
#include "tests/train/dist/ranks.h"
#include "train/dist/dist.h"
#include "train/dist/hello.h"
#include "train/dist/wire.h"

static const char LOCAL[] = "127.0.0.2"; /* for 127.0.0.1 sockets inside the machine are taken */

/* n ranks that meet at an address; each does test(rank). */
static void on_ranks(int n, const char *address, void (*test)(int rank))
{
    int codes[RANKS_MOST], rank = ranks_start(n, address, codes);
    if (rank >= 0) {
        log_level(LOG_QUIET);
        test(rank);
        test_end();
    }
    for (int r = 0; r < n; r++)
        CHECK_MSG(codes[r] == 0, "rank %d ended with %d", r, codes[r]);
}

/* … beside others, in a process of its own, of which join_all knows. */
static void on_ranks_beside(int n, const char *address, void (*test)(int rank))
{
    fflush(NULL);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid)
        return;
    on_ranks(n, address, test);
    test_end();
}
static void join_all(void)
{
    for (int status; wait(&status) > 0;)
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void meet(int rank)
{
    Dist d;
    if (rank > 0)
        usleep(300000); /* whoever else there is comes first */
    CHECK_OK(dist_open(&d));
    int32_t x = rank;
    CHECK_OK(dist_agree(&d, &x, 1));
    CHECK_INT(x, d.n_ranks - 1);
    CHECK_OK(dist_close(&d, OK));
}

/* ---------------------------------------------------------------- strangers */

static struct sockaddr_in place_to_meet(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(getenv("MASTER_PORT")))};
    inet_pton(AF_INET, LOCAL, &a.sin_addr);
    return a;
}

/* Once there is somebody. */
static int call(void)
{
    struct sockaddr_in a = place_to_meet();
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    while (connect(fd, (const struct sockaddr *)&a, sizeof a)) {
        close(fd);
        usleep(1000);
        fd = socket(AF_INET, SOCK_STREAM, 0);
    }
    return fd;
}

static void speak(int fd, const char *text, size_t n)
{
    ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);
    (void)sent;
}

static void say_nothing(void)
{
    call();
    pause();
}
static void crowd(void)
{
    for (int i = 0; i < 200; i++)
        call();
    pause();
}
/* Always the latest 200 of them, as fast as it can. */
static void flood(void)
{
    struct sockaddr_in a = place_to_meet();
    int fds[200];
    for (int i = 0; i < 200; i++)
        fds[i] = call();
    for (int i = 0;; i = (i + 1) % 200) {
        close(fds[i]);
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        int pending = connect(fds[i], (const struct sockaddr *)&a, sizeof a);
        (void)pending;
    }
}
static void ask_for_a_page(void)
{
    static const char REQUEST[400] = "GET / HTTP/1.1\r\nHost: node1\r\n\r\n";
    speak(call(), REQUEST, sizeof REQUEST);
    pause();
}
static void say_half_and_hang(void)
{
    speak(call(), HELLO_MAGIC, sizeof HELLO_MAGIC);
    pause();
}
static void say_half_and_go(void)
{
    int fd = call();
    speak(fd, HELLO_MAGIC, sizeof HELLO_MAGIC);
    close(fd);
    pause();
}
static void speak_slowly(void)
{
    for (int fd = call();; usleep(10000))
        speak(fd, "G", 1);
}
static void say_more_than_fits(void)
{
    static char much[100000];
    for (int fd = call();; usleep(1000))
        speak(fd, much, sizeof much);
}

TEST(meeting_turns_strangers_away)
{
    void (*const strangers[])(void) = {say_nothing,     crowd,        flood,             ask_for_a_page, say_half_and_hang,
                                       say_half_and_go, speak_slowly, say_more_than_fits};
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        char port[16];
        snprintf(port, sizeof port, "%d", 20000 + (int)(getpid() % 10000)); /* as ranks.c says */
        setenv("MASTER_PORT", port, 1);
        pid_t stranger = fork();
        if (!stranger) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            signal(SIGPIPE, SIG_IGN);
            strangers[i]();
            _exit(0);
        }
        on_ranks(2, LOCAL, meet);
        kill(stranger, SIGKILL);
        waitpid(stranger, NULL, 0);
    }
}

static void find_the_port_closed(int rank)
{
    Dist d;
    struct sockaddr_in a = place_to_meet();
    CHECK_OK(dist_open(&d));
    CHECK(connect(socket(AF_INET, SOCK_STREAM, 0), (const struct sockaddr *)&a, sizeof a) != 0);
    int32_t x = rank;
    CHECK_OK(dist_agree(&d, &x, 1));
    CHECK_OK(dist_close(&d, OK));
}
TEST(meeting_listens_until_all_are_in_and_no_longer) { on_ranks(2, LOCAL, find_the_port_closed); }

/* ---------------------------------------------------------------- ranks that do not belong together */

static void fail_to_open(Status kind, const char *wanted)
{
    Dist d;
    Status s = dist_open(&d);
    CHECK_MSG(s == kind && strstr(status_message(), wanted), "status %d, wanted %d; says %s", s, kind, s ? status_message() : "nothing");
    CHECK_INT(dist_close(&d, s), s);
}

static void know_another_token(int rank)
{
    if (rank == 1)
        setenv("GENLLAVA_JOB_TOKEN", "what was the word again?", 1);
    fail_to_open(rank ? ERR_USAGE : ERR_DEVICE, rank ? ": what answers does not know the GENLLAVA_JOB_TOKEN of rank 1; set it to the same "
                                                       "on all ranks, and MASTER_PORT to one that this run has alone"
                                                     : "rank 1 has not come to 127.0.0.2:");
}
static void count_otherwise(int rank)
{
    if (rank == 1)
        setenv("WORLD_SIZE", "3", 1);
    fail_to_open(rank ? ERR_USAGE : ERR_DEVICE,
                 rank ? "it turns rank 1 away: it counts another number of ranks" : "rank 1 has not come to ");
}
static void be_the_same(int rank)
{
    if (rank > 0)
        setenv("RANK", "1", 1);
    Dist d;
    Status s = dist_open(&d);
    if (rank == 0)
        CHECK_FAILS(s, ERR_DEVICE, strstr(status_message(), "rank 2 has not come to ") ? status_message() : "");
    else
        CHECK_MSG(strstr(status_message(), s == ERR_USAGE ? "its number is taken: two ranks have the same" : "rank 0 has ended before all"),
                  "says %s", status_message());
    CHECK_INT(dist_close(&d, s), s);
}
static void stay_away(int rank)
{
    if (rank == 0 || rank == 2)
        fail_to_open(ERR_DEVICE, rank ? "rank 0 has ended before all ranks were there" : "ranks 1, 3 have not come to socket @");
}
static void wait_for_the_first(int rank)
{
    if (rank > 0)
        fail_to_open(ERR_DEVICE, "rank 0 cannot be reached at 127.0.0.2:");
}

TEST(meeting_names_who_does_not_belong_or_does_not_come)
{
    setenv("GENLLAVA_RANKS_JOIN", "2", 1);
    on_ranks_beside(2, LOCAL, know_another_token);
    on_ranks_beside(2, LOCAL, count_otherwise);
    on_ranks_beside(3, NULL, be_the_same);
    on_ranks_beside(4, NULL, stay_away);
    on_ranks_beside(2, LOCAL, wait_for_the_first);
    join_all();
}

static void find_the_port_taken(int rank)
{
    if (rank == 0)
        fail_to_open(ERR_DEVICE, "Address already in use; set MASTER_PORT to one that no other program uses, on all ranks");
}
TEST(meeting_needs_a_port_of_its_own)
{
    setenv("MASTER_PORT", "0", 1);
    struct sockaddr_in a = place_to_meet();
    a.sin_port = htons((uint16_t)(20000 + getpid() % 10000));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(!bind(fd, (const struct sockaddr *)&a, sizeof a) && !listen(fd, 1));
    on_ranks(2, LOCAL, find_the_port_taken);
    close(fd);
}

static int listen_at_the_place(void)
{
    struct sockaddr_in a = place_to_meet();
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    REQUIRE(!bind(fd, (const struct sockaddr *)&a, sizeof a) && !listen(fd, 1));
    return fd;
}

static atomic_int *n_failed; /* of the other run; memory that all of them share */

/* Of ranks 0 and 1; 2 and 3 are another run's, which begins once the first listens and has failed before rank 1 comes. */
static void find_another_run(int rank)
{
    char number[16];
    snprintf(number, sizeof number, "%d", rank % 2);
    setenv("RANK", number, 1);
    setenv("LOCAL_RANK", number, 1);
    setenv("WORLD_SIZE", "2", 1);
    if (rank == 1) {
        while (*n_failed < 2)
            usleep(10000);
    } else if (rank > 1) {
        close(call());
        setenv("GENLLAVA_JOB_TOKEN", "this is that of another run", 1);
    }
    if (rank < 2)
        meet(rank);
    else if (rank == 2)
        fail_to_open(ERR_DEVICE, "Address already in use; set MASTER_PORT to one that no other program uses, on all ranks");
    else
        fail_to_open(ERR_USAGE, "what answers does not know the GENLLAVA_JOB_TOKEN of rank 1");
    *n_failed += rank > 1;
}
TEST(meeting_keeps_two_runs_apart_at_one_port)
{
    n_failed = mmap(NULL, sizeof *n_failed, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(n_failed != MAP_FAILED);
    on_ranks(4, LOCAL, find_another_run);
}

/* Cut off as a rank is for which there was no room. */
static void be_cut_off(int rank)
{
    if (rank == 0) {
        int fd = listen_at_the_place();
        for (int i = 0; i < 3; i++)
            close(accept(fd, NULL, NULL));
        close(fd);
    }
    Dist d;
    CHECK_OK(dist_open(&d));
    CHECK_OK(dist_close(&d, OK));
}
TEST(meeting_is_called_again_by_a_rank_that_was_cut_off) { on_ranks(2, LOCAL, be_cut_off); }

static void leave(int number)
{
    (void)number;
    _exit(0);
}
static void leave_early(int rank)
{
    if (rank == 0)
        fail_to_open(ERR_DEVICE, "rank 1 has ended before all ranks were there");
    if (rank == 1) {
        signal(SIGALRM, leave);
        alarm(1);
        fail_to_open(OK, "");
    }
}
TEST(meeting_notices_a_rank_that_ends_before_all_are_there) { on_ranks(3, LOCAL, leave_early); }

/* ---------------------------------------------------------------- those that claim to be ranks */

/* Listens where rank 0 should, and answers rank 1. */
static int answer_rank(int listener, const char *token, Answer answer, Hello *h)
{
    Challenge c = {.nonce = "sixteen bytes.."};
    int fd = accept(listener, NULL, NULL);
    memcpy(c.magic, HELLO_MAGIC, sizeof c.magic);
    CHECK_OK(wire_send(fd, &c, sizeof c, wire_now() + 10000));
    CHECK_OK(wire_receive(fd, h, sizeof *h, wire_now() + 10000));
    Welcome w = {.rank = 0, .answer = answer};
    welcome_prove(&w, token, h->nonce);
    CHECK_OK(wire_send(fd, &w, sizeof w, wire_now() + 10000));
    return fd;
}

static void meet_an_impostor(int rank)
{
    Hello h;
    if (rank == 1)
        fail_to_open(ERR_USAGE, ": what answers does not know the GENLLAVA_JOB_TOKEN of rank 1");
    else
        answer_rank(listen_at_the_place(), "a guess", ANSWER_WELCOME, &h);
}
static void be_refused_by_an_impostor(int rank)
{
    Hello h;
    if (rank == 1)
        fail_to_open(ERR_USAGE, ": what answers does not know the GENLLAVA_JOB_TOKEN of rank 1");
    else
        answer_rank(listen_at_the_place(), "a guess", ANSWER_COUNT, &h);
}
static void find_another_program(int rank)
{
    static const char BANNER[] = "SSH-2.0-OpenSSH_9.2 \033[31m the rest of a banner";
    if (rank == 1)
        fail_to_open(ERR_USAGE, ": another program answers, or another version of this one; look at MASTER_ADDR and MASTER_PORT");
    else
        speak(accept(listen_at_the_place(), NULL, NULL), BANNER, sizeof BANNER);
}

/* Rank 0 is one, but what listens where the other is sent then does not know the token. */
static void find_an_impostor_next(int rank)
{
    if (rank == 1) {
        fail_to_open(ERR_USAGE, "rank 0 does not answer rank 1: what answers does not know the GENLLAVA_JOB_TOKEN of rank 1");
        return;
    }
    struct { /* as meeting.c sends it */
        uint8_t session[HELLO_NONCE_BYTES];
        Address door[2];
    } table = {.door[0] = {.n = sizeof(struct sockaddr_in)}};
    Hello h, own = {.rank = 0, .to = 1, .n_ranks = 2};
    struct sockaddr_in a = place_to_meet();
    const char *token = getenv("GENLLAVA_JOB_TOKEN");
    int listener = listen_at_the_place(), control = answer_rank(listener, token, ANSWER_WELCOME, &h);
    memcpy(&table.door[0].at, &a, sizeof a);
    CHECK_OK(wire_send(control, &table, sizeof table, wire_now() + 10000));
    memcpy(&a, h.door, sizeof a);
    int to = socket(AF_INET, SOCK_STREAM, 0), from = accept(listener, NULL, NULL);
    CHECK(!connect(to, (const struct sockaddr *)&a, sizeof a));
    memcpy(own.magic, HELLO_MAGIC, sizeof own.magic);
    snprintf(own.version, sizeof own.version, "%s", GENLLAVA_VERSION);
    hello_prove(&own, token, table.session);
    CHECK_OK(wire_send(to, &own, sizeof own, wire_now() + 10000));
    CHECK_OK(wire_receive(from, &h, sizeof h, wire_now() + 10000));
    CHECK(hello_is_proven(&h, token, table.session));
    Welcome w = {.rank = 0};
    welcome_prove(&w, "a guess", h.nonce);
    CHECK_OK(wire_send(from, &w, sizeof w, wire_now() + 10000));
    CHECK(recv(control, &h, 1, 0) <= 0);
}
TEST(meeting_knows_an_impostor)
{
    on_ranks(2, LOCAL, meet_an_impostor);
    on_ranks(2, LOCAL, be_refused_by_an_impostor);
    on_ranks(2, LOCAL, find_another_program);
    on_ranks(2, LOCAL, find_an_impostor_next);
}

TEST(hello_proves_the_token_the_side_and_what_is_said)
{
    static const uint8_t NONCE[HELLO_NONCE_BYTES] = {1, 2, 3}, OTHER[HELLO_NONCE_BYTES] = {1, 2, 4};
    Hello h = {.rank = 1}, changed;
    Welcome w = {.rank = 1};
    hello_prove(&h, "the token", NONCE);
    welcome_prove(&w, "the token", NONCE);
    CHECK(hello_is_proven(&h, "the token", NONCE) && welcome_is_proven(&w, "the token", NONCE));
    CHECK(!hello_is_proven(&h, "the tokem", NONCE) && !welcome_is_proven(&w, "the tokem", NONCE));
    CHECK(!hello_is_proven(&h, "the token", OTHER) && !welcome_is_proven(&w, "the token", OTHER));
    changed = h;
    changed.to++;
    w.answer++;
    CHECK(!hello_is_proven(&changed, "the token", NONCE) && !welcome_is_proven(&w, "the token", NONCE));
}

/* ---------------------------------------------------------------- ranks that do not go on */

static Status sleep_long(void *arg)
{
    (void)arg;
    sleep(2);
    return OK;
}

static void be_slow(int rank)
{
    Dist d;
    int32_t x = 0;
    REQUIRE_OK(dist_open(&d));
    CHECK_OK(dist_first(&d, sleep_long, NULL, NULL, 0)); /* which may take as long as it likes */
    d.step = 7;
    CHECK_OK(dist_agree(&d, &x, 1));
    d.step = 8;
    if (rank == 2)
        sleep(3);
    Status s = dist_agree(&d, &x, 1);
    CHECK_FAILS(s, ERR_DEVICE, "rank 2 has not come to step 8, an agreement for 1 s, and others wait for it");
    CHECK_INT(dist_close(&d, s), ERR_DEVICE);
}
TEST(ranks_that_keep_others_waiting_are_named)
{
    setenv("GENLLAVA_RANKS_PATIENCE", "1", 1);
    on_ranks(3, NULL, be_slow);
}

/* One that others do not wait for is ended where it is. */
static void be_busy(int rank)
{
    Dist d;
    REQUIRE_OK(dist_open(&d));
    int32_t x = 0;
    Status all_have_opened = dist_agree(&d, &x, 1); /* fails where rank 1 has ended before a rank has its result */
    (void)all_have_opened;
    if (rank == 1)
        _exit(0);
    sleep(60);
}
TEST(ranks_that_are_busy_end_when_another_has_ended)
{
    int codes[RANKS_MOST], rank = ranks_start(3, NULL, codes);
    if (rank >= 0) {
        log_level(LOG_QUIET);
        be_busy(rank);
        _exit(1);
    }
    CHECK_INT(codes[0], status_exit_code(ERR_DEVICE));
    CHECK_INT(codes[1], 0);
    CHECK_INT(codes[2], status_exit_code(ERR_DEVICE));
}
