/* meeting.h and pulse.h through dist.h: strangers at the ranks' port, ranks that do not belong together, do not come or do not go on. */
#include "train/dist/meeting.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/base/log.h"
#include "tests/harness.h"
#include "tests/train/dist/ranks.h"
#include "train/dist/dist.h"

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
static void ask_for_a_page(void)
{
    static const char REQUEST[400] = "GET / HTTP/1.1\r\nHost: node1\r\n\r\n";
    speak(call(), REQUEST, sizeof REQUEST);
    pause();
}
static void say_half_and_hang(void)
{
    speak(call(), "GENLLAVA", 8);
    pause();
}
static void say_half_and_go(void)
{
    int fd = call();
    speak(fd, "GENLLAVA", 8);
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
    void (*const strangers[])(void) = {say_nothing,     crowd,        ask_for_a_page,    say_half_and_hang,
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
    fail_to_open(rank ? ERR_USAGE : ERR_DEVICE, rank ? "it turns rank 1 away: its GENLLAVA_JOB_TOKEN is not that of the others"
                                                     : "rank 1 has not come to 127.0.0.2:");
}
static void count_otherwise(int rank)
{
    if (rank == 1)
        setenv("WORLD_SIZE", "3", 1);
    fail_to_open(rank ? ERR_USAGE : ERR_DEVICE, rank ? "it counts another number of ranks" : "rank 1 has not come to ");
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
    on_ranks(2, LOCAL, know_another_token);
    on_ranks(2, LOCAL, count_otherwise);
    on_ranks(3, NULL, be_the_same);
    on_ranks(4, NULL, stay_away);
    on_ranks(2, LOCAL, wait_for_the_first);
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

/* Somebody else listens there, and says what rank 0 says, but does not know the token. */
static void meet_an_impostor(int rank)
{
    if (rank == 1) {
        fail_to_open(ERR_DEVICE, "rank 0 at 127.0.0.2:");
        CHECK_MSG(strstr(status_message(), ": it does not know GENLLAVA_JOB_TOKEN"), "says %s", status_message());
        return;
    }
    struct sockaddr_in a = place_to_meet();
    char bytes[1000] = "GENLLAVA";
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(!bind(fd, (const struct sockaddr *)&a, sizeof a) && !listen(fd, 1));
    fd = accept(fd, NULL, NULL);
    speak(fd, bytes, 24);
    CHECK(recv(fd, bytes, sizeof bytes, 0) > 0);
    memset(bytes, 0, sizeof bytes);
    speak(fd, bytes, sizeof bytes);
    CHECK(recv(fd, bytes, sizeof bytes, 0) <= 0);
}
TEST(meeting_knows_an_impostor) { on_ranks(2, LOCAL, meet_an_impostor); }

/* ---------------------------------------------------------------- ranks that do not go on */

static Status sleep_long(void *arg)
{
    (void)arg;
    sleep(3);
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
        sleep(4);
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
    if (rank == 1) {
        usleep(500000); /* until the others have opened too */
        _exit(0);
    }
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
