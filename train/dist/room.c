/* room.c: reads the limits of memory from /proc and the control groups (room.h). Called by train/measure, train/infer and doctor. */
#include "train/dist/room.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "data/formats/file.h"
#include "kernels/base/log.h"

/* The number after `key` at the beginning of a line; -1: there is none. A file of one number has key "". */
static int64_t number_in(const char *path, const char *key)
{
    char line[256];
    long long value = -1;
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, key, strlen(key)) && sscanf(line + strlen(key), "%lld", &value) == 1)
            break;
    if (f)
        fclose(f);
    return value;
}

static int64_t number_at(const char *folder, const char *file, const char *key)
{
    char path[PATH_MAX];
    return number_in(file_join(path, folder, file), key);
}

static void take_least(Room *out, int64_t bytes, const char *name, const char *of)
{
    if (bytes >= out->bytes)
        return;
    out->bytes = bytes > 0 ? bytes : 0;
    snprintf(out->name, sizeof out->name, "%s%s%s", name, of ? " of " : "", of ? of : "");
}

/* ---------------------------------------------------------------- control groups */

/* How a version of control groups spells things. */
typedef struct GroupVersion {
    const char *type, *controller; /* of its mount; what its line in /proc/self/cgroup lists */
    const char *limits[2], *used, *dropped[2];
} GroupVersion;

static const GroupVersion VERSIONS[] = {
    {"cgroup2", "", {"memory.max", "memory.high"}, "memory.current", {"inactive_file ", "active_file "}},
    {"cgroup", "memory", {"memory.limit_in_bytes", NULL}, "memory.usage_in_bytes", {"total_inactive_file ", "total_active_file "}},
};
enum { N_VERSIONS = sizeof VERSIONS / sizeof *VERSIONS };

/* Whether `word` is one of a list with commas. */
static bool lists(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = list;; at++) {
        size_t length = strcspn(at, ",\n");
        if (length == n && !strncmp(at, word, n))
            return true;
        if (at[length] != ',')
            return false;
        at += length;
    }
}

/* The path that /proc/self/cgroup gives; "" when there is none. */
static void find_group(char group[PATH_MAX], const GroupVersion *v, const char *root)
{
    char path[PATH_MAX], line[PATH_MAX + 256];
    *group = 0;
    FILE *f = fopen(file_join(path, root, "proc/self/cgroup"), "re");
    while (f && !*group && fgets(line, sizeof line, f)) {
        char *controllers = strchr(line, ':'), *at = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!at)
            continue;
        *at++ = 0;
        at[strcspn(at, "\n")] = 0;
        if (lists(controllers + 1, v->controller))
            snprintf(group, PATH_MAX, "%s", at);
    }
    if (f)
        fclose(f);
}

/* Where the version is mounted, and which group is seen there. */
static bool find_mount(char mount[PATH_MAX], char seen[PATH_MAX], const GroupVersion *v, const char *root)
{
    char path[PATH_MAX], line[2 * PATH_MAX + 512], type[32], options[512];
    bool found = false;
    FILE *f = fopen(file_join(path, root, "proc/self/mountinfo"), "re");
    while (f && !found && fgets(line, sizeof line, f)) {
        const char *rest = strstr(line, " - ");
        found = rest && sscanf(line, "%*s %*s %*s %4095s %4095s", seen, mount) == 2 &&
                sscanf(rest, " - %31s %*s %511s", type, options) == 2 && !strcmp(type, v->type) &&
                (!*v->controller || lists(options, v->controller));
    }
    if (f)
        fclose(f);
    return found;
}

/* What a group's limits leave. Pages of files are charged to it, but it can drop them. */
static void take_group(void *arg, const GroupVersion *v, const char *folder, const char *name)
{
    Room *out = arg;
    int64_t used = number_at(folder, v->used, "");
    for (int i = 0; i < 2 && used >= 0; i++) {
        int64_t dropped = number_at(folder, "memory.stat", v->dropped[i]);
        used -= dropped > 0 ? dropped : 0;
    }
    for (int i = 0; i < 2 && v->limits[i]; i++) {
        int64_t limit = number_at(folder, v->limits[i], "");
        if (limit >= 0 && used >= 0)
            take_least(out, limit - used, v->limits[i], name);
    }
}

/* folder: of a group; name: the same without the root. */
typedef void GroupVisit(void *arg, const GroupVersion *v, const char *folder, const char *name);

/* The group and those above it, as far as they are seen here. */
static void visit_groups(GroupVisit *visit, void *arg, const GroupVersion *v, const char *root)
{
    char group[PATH_MAX], seen[PATH_MAX], mount[PATH_MAX], name[2 * PATH_MAX], folder[3 * PATH_MAX];
    find_group(group, v, root);
    if (!*group || !find_mount(mount, seen, v, root))
        return;
    size_t above = strcmp(seen, "/") ? strlen(seen) : 0; /* a container may see its own group as the topmost */
    const char *below = strncmp(group, seen, above) ? "" : group + above;
    snprintf(name, sizeof name, "%s%s", mount, below);
    for (size_t n = strlen(name); n >= strlen(mount); name[n] = 0) {
        snprintf(folder, sizeof folder, "%s%s", root, name);
        visit(arg, v, folder, name);
        while (n && name[--n] != '/')
            ;
        if (!n)
            break;
    }
}

/* ---------------------------------------------------------------- limits */

/* A system that promises no more than it has (vm.overcommit_memory 2) refuses what goes beyond its limit, used or not. */
static void take_commit_limit(Room *out, const char *root)
{
    enum { STRICT = 2 };
    char path[PATH_MAX];
    if (number_in(file_join(path, root, "proc/sys/vm/overcommit_memory"), "") != STRICT)
        return;
    int64_t limit = number_in(file_join(path, root, "proc/meminfo"), "CommitLimit:");
    int64_t promised = number_in(path, "Committed_AS:");
    if (limit >= 0 && promised >= 0)
        take_least(out, (limit - promised) * 1024, "CommitLimit (vm.overcommit_memory is 2)", NULL);
}

void room_of_machine(Room *out, const char *root)
{
    char path[PATH_MAX];
    *out = (Room){.bytes = INT64_MAX, .name = "no limit"};
    int64_t kib = number_in(file_join(path, root, "proc/meminfo"), "MemAvailable:");
    if (kib >= 0)
        take_least(out, kib * 1024, "MemAvailable", NULL);
    take_commit_limit(out, root);
    for (int i = 0; i < N_VERSIONS; i++)
        visit_groups(take_group, out, &VERSIONS[i], root);
}

/* A share of time that the group may use of all processors together: microseconds in so many. */
static void take_quota(void *arg, const GroupVersion *v, const char *folder, const char *name)
{
    double *least = arg;
    char path[PATH_MAX];
    long long quota = -1, period = -1;
    (void)name;
    if (*v->controller) {
        quota = number_at(folder, "cpu.cfs_quota_us", "");
        period = number_at(folder, "cpu.cfs_period_us", "");
    } else {
        FILE *f = fopen(file_join(path, folder, "cpu.max"), "re"); /* "max 100000": no limit */
        if (f && fscanf(f, "%lld %lld", &quota, &period) != 2)
            quota = -1;
        if (f)
            fclose(f);
    }
    if (quota > 0 && period > 0 && (double)quota / (double)period < *least)
        *least = (double)quota / (double)period;
}

double room_processors(const char *root)
{
    static const GroupVersion OF_TIME[] = {{.type = "cgroup2", .controller = ""}, {.type = "cgroup", .controller = "cpu"}};
    double least = INFINITY;
    for (int i = 0; i < 2; i++)
        visit_groups(take_quota, &least, &OF_TIME[i], root);
    return least;
}

static void take_limit(Room *out, int which, const char *used, const char *name)
{
    struct rlimit limit;
    *out = (Room){.bytes = INT64_MAX, .name = "no limit"};
    int64_t kib = number_in("/proc/self/status", used);
    if (!getrlimit(which, &limit) && limit.rlim_cur < INT64_MAX && kib >= 0)
        take_least(out, (int64_t)limit.rlim_cur - kib * 1024, name, NULL);
}

static void read_addresses(Room *out) { take_limit(out, RLIMIT_AS, "VmSize:", "ulimit -v"); }
static void read_data(Room *out) { take_limit(out, RLIMIT_DATA, "VmData:", "ulimit -d"); }

int64_t room_least(int processes)
{
    Room machine, addresses, data;
    room_of_machine(&machine, "");
    read_addresses(&addresses);
    read_data(&data);
    int64_t least = addresses.bytes < data.bytes ? addresses.bytes : data.bytes;
    return machine.bytes / processes < least ? machine.bytes / processes : least;
}

void room_footprint(Footprint *out)
{
    const int64_t touched = (2 << 20) + (64 << 10); /* of a thread's workspace a huge page, and of its stack */
    const int64_t unlimited = 8 << 20;
    struct rlimit stack;
    int64_t threads = omp_get_max_threads(), there = number_in("/proc/self/status", "Threads:");
    int64_t one = !getrlimit(RLIMIT_STACK, &stack) && stack.rlim_cur < INT32_MAX ? (int64_t)stack.rlim_cur : unlimited;
    *out = (Footprint){.resident = number_in("/proc/self/status", "VmRSS:") * 1024,
                       .addresses = number_in("/proc/self/status", "VmSize:") * 1024,
                       .thread_pages = touched * threads,
                       .thread_addresses = threads > there ? one * (threads - there) : 0};
}

/* ---------------------------------------------------------------- checking */

/* addresses: as many as are asked of that limit; 0: it is a limit of memory. */
static Status refuse(const RoomNeed *n, const Room *room, int64_t addresses)
{
    char sizes[4][32], text[2 * PATH_MAX], also[96] = "";
    const int64_t values[] = {n->needed, n->mapped, addresses, room->bytes};
    for (int i = 0; i < 4; i++)
        file_size_text(sizes[i], sizeof sizes[i], (size_t)values[i]);
    if (addresses)
        snprintf(also, sizeof also, ", which with files and stacks is %s of addresses", sizes[2]);
    else if (n->processes > 1)
        snprintf(also, sizeof also, ", in each of %d processes", n->processes);
    snprintf(text, sizeof text, "%s needs %s of memory besides what it has now, and %s in files that it uses in place (%s)%s; %s leaves %s",
             n->who, sizes[0], sizes[1], n->plan, also, room->name, sizes[3]);
    if (!n->ignore)
        return fail(ERR_NOMEM, "%s: %s%s; train.memory = \"ignore\" starts all the same", text, addresses ? "raise it, or " : "",
                    n->change);
    log_warn("%s; train.memory is \"ignore\"", text);
    return OK;
}

Status room_check(const RoomNeed *n)
{
    Room machine, addresses, data;
    int64_t all = n->needed * n->processes, private = n->needed + n->stacks;
    room_of_machine(&machine, "");
    read_addresses(&addresses);
    read_data(&data);
    if (all > machine.bytes)
        return refuse(n, &machine, 0);
    if (private + n->files > addresses.bytes)
        return refuse(n, &addresses, private + n->files);
    if (private > data.bytes)
        return refuse(n, &data, private);
    if (all + n->mapped > machine.bytes) {
        char sizes[3][32];
        file_size_text(sizes[0], sizeof sizes[0], (size_t)n->mapped);
        file_size_text(sizes[1], sizeof sizes[1], (size_t)all);
        file_size_text(sizes[2], sizeof sizes[2], (size_t)machine.bytes);
        log_warn("%s of weights are used where they lie in their files; beside %s that are needed they do not fit into %s (%s), so parts "
                 "of them will be read again and again, slowly", sizes[0], sizes[1], sizes[2], machine.name);
    }
    return OK;
}
