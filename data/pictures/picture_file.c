/* picture_file.c: finds the file that a row's path means inside its source's folder and verifies it (picture_file.h). Called by prepare. */
#include "data/pictures/picture_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/beneath.h"
#include "data/formats/crc32c.h"
#include "data/formats/file.h"
#include "data/formats/sha256.h"
#include "kernels/base/arena.h"

enum { LARGEST_FILE = 1 << 30, DHASH_WIDTH = 9, DHASH_HEIGHT = 8 };

static const char *const ENDINGS[] = {"jpg", "jpeg", "png", "gif", "webp"};
enum { N_ENDINGS = sizeof ENDINGS / sizeof *ENDINGS };

/* ---------------------------------------------------------------- finding the file */

/* The dot of an ending that pictures have, or the end of the path. */
static char *known_ending(char *path)
{
    char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    for (size_t e = 0; dot && dot > (slash ? slash + 1 : path) && e < N_ENDINGS; e++)
        if (!strcasecmp(dot + 1, ENDINGS[e]))
            return dot;
    return path + strlen(path);
}

static bool has_folder(const char *root, const char *path)
{
    char folder[PATH_MAX];
    int fd = beneath_find(root, strchr(path, '/') ? file_folder(folder, path) : ".");
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* The same name with each ending, in every mixture of cases, in place of its own when that is one of them, else behind it: the first that
 * is there. */
static int find_other_ending(const char *root, const char *path, char other[PATH_MAX])
{
    snprintf(other, PATH_MAX, "%s", path);
    char *ending = known_ending(other);
    if (strlen(path) >= PATH_MAX || !has_folder(root, path))
        return -1;
    for (size_t e = 0; e < N_ENDINGS; e++) {
        size_t n = strlen(ENDINGS[e]);
        if ((size_t)(ending - other) + n + 2 > PATH_MAX)
            return -1;
        for (unsigned upper = 0; upper < 1u << n; upper++) {
            *ending = '.';
            for (size_t i = 0; i <= n; i++)
                ending[1 + i] = (char)(ENDINGS[e][i] - (upper >> i & 1 ? 'a' - 'A' : 0));
            int fd = beneath_find(root, other);
            if (fd >= 0)
                return fd;
        }
    }
    return -1;
}

/* A descriptor that stands for the file (O_PATH), -1 with errno when there is none. root NULL: path is from anywhere and means what it
 * says. */
static int find(const char *root, const char *path, bool *renamed)
{
    char other[PATH_MAX];
    int fd = root ? beneath_find(root, path) : open(path, O_PATH | O_CLOEXEC);
    *renamed = false;
    if (fd >= 0 || !root || (errno != ENOENT && errno != ENOTDIR))
        return fd;
    fd = find_other_ending(root, path, other);
    *renamed = fd >= 0;
    errno = ENOENT;
    return fd;
}

bool picture_renamed(const char *root, const char *path, char other[PATH_MAX])
{
    int fd = beneath_find(root, path);
    const bool renamed = fd < 0 && (errno == ENOENT || errno == ENOTDIR) && (fd = find_other_ending(root, path, other)) >= 0;
    if (fd >= 0)
        close(fd);
    return renamed;
}

/* The name by which a descriptor of find() is opened: the very file that it stands for. */
static const char *name_of(int found, char name[32])
{
    snprintf(name, 32, "/proc/self/fd/%d", found);
    return name;
}

static int64_t mtime_of(const struct stat *st) { return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec; }

bool picture_unchanged(const PictureInfo *info, const char *root, const char *path)
{
    struct stat st;
    char name[32];
    bool renamed;
    int found = find(root, path, &renamed);
    bool readable = found >= 0 && !fstat(found, &st) && !access(name_of(found, name), R_OK);
    if (found >= 0)
        close(found);
    return readable ? info->bytes == st.st_size && info->mtime_ns == mtime_of(&st) : info->bytes < 0;
}

/* ---------------------------------------------------------------- reading it */

void picture_buffer_free(PictureBuffer *b)
{
    mem_free(b->bytes);
    *b = (PictureBuffer){0};
}

__attribute__((format(printf, 3, 4))) static void refuse(PictureInfo *info, Reject why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    status_text_of(info->message, sizeof info->message, format, args);
    va_end(args);
    info->reject = (uint8_t)why;
}

/* The number of bytes read, less than n only at the end of the file; -1 with errno. */
static ssize_t read_fully(int fd, uint8_t *out, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t got = read(fd, out + done, n - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static Status refuse_absent(PictureInfo *info, const char *root, const char *path, int error)
{
    if (error == EMFILE || error == ENFILE || error == ENOMEM) /* says nothing about the picture */
        return fail(ERR_NOMEM, "%s: cannot be opened: %s", path, strerror(error));
    if (error == EXDEV)
        refuse(info, REJECT_OUTSIDE_ROOT, "%s the image root %s", beneath_way_out(root, path), root);
    else if (root && error == ENOENT)
        refuse(info, REJECT_MISSING, "there is no such file in %s, nor one with another picture ending%s", root,
               strchr(path, '\\')   ? "; folders are parted by / and not by \\"
               : strstr(path, "%20") ? "; %20 stays as it is"
                                     : "");
    else
        refuse(info, REJECT_MISSING, "cannot be opened%s%s: %s", root ? " in " : "", root ? root : "", strerror(error));
    return OK;
}

/* Opens it if it is a file, so that nothing happens to a device and nobody waits for a pipe. *fd is -1 when the info says why not. */
static Status open_picture(int *fd, PictureInfo *info, const char *root, const char *path)
{
    struct stat st;
    char name[32];
    bool renamed;
    *fd = -1;
    *info = (PictureInfo){.bytes = -1};
    int found = find(root, path, &renamed);
    if (found < 0 || fstat(found, &st))
        return refuse_absent(info, root, path, errno);
    if (S_ISREG(st.st_mode))
        *fd = open(name_of(found, name), O_RDONLY | O_CLOEXEC);
    int error = errno;
    close(found);
    if (!S_ISREG(st.st_mode))
        refuse(info, REJECT_MISSING, "is %s, expected a picture file", file_kind(st.st_mode));
    else if (*fd < 0)
        return refuse_absent(info, NULL, path, error);
    else
        *info = (PictureInfo){.bytes = st.st_size, .mtime_ns = mtime_of(&st), .renamed = renamed};
    return OK;
}

static Status read_open_file(PictureInfo *info, PictureBuffer *buf, const char *path, int fd)
{
    if (info->bytes > LARGEST_FILE) {
        refuse(info, REJECT_TOO_LARGE, "has %lld bytes, at most %d are read", (long long)info->bytes, LARGEST_FILE);
        return OK;
    }
    buf->n = (size_t)info->bytes;
    if (buf->n > buf->capacity) {
        mem_free(buf->bytes);
        buf->capacity = buf->n + buf->n / 2;
        buf->bytes = mem_alloc(buf->capacity);
    }
    if (buf->n && !buf->bytes) {
        buf->capacity = 0;
        return fail(ERR_NOMEM, "%s: no memory for %zu bytes", path, buf->n);
    }
    errno = 0;
    if (read_fully(fd, buf->bytes, buf->n) != (ssize_t)buf->n)
        refuse(info, REJECT_MISSING, "cannot be read: %s", errno ? strerror(errno) : "it became shorter meanwhile");
    return OK;
}

static Status load_file(PictureInfo *info, PictureBuffer *buf, const char *root, const char *path)
{
    int fd;
    TRY(open_picture(&fd, info, root, path));
    if (fd < 0)
        return OK;
    Status s = read_open_file(info, buf, path, fd);
    close(fd);
    return s;
}

/* Standard input is read once, and is the same picture whenever it is asked for again. */
static Status load_standard_input(PictureBuffer *buf)
{
    static char *bytes;
    static size_t n;
    if (!bytes)
        TRY(file_read(&bytes, &n, "-", LARGEST_FILE));
    picture_buffer_free(buf);
    *buf = (PictureBuffer){mem_alloc(n + 1), n, n + 1};
    if (!buf->bytes)
        return fail(ERR_NOMEM, "standard input: no memory for %zu bytes", n);
    memcpy(buf->bytes, bytes, n);
    return OK;
}

Status picture_load(PictureBuffer *buf, const char *root, const char *path)
{
    PictureInfo info;
    if (!root && !strcmp(path, "-"))
        return load_standard_input(buf);
    TRY(load_file(&info, buf, root, path));
    return info.reject ? fail(info.reject == REJECT_MISSING ? ERR_MISSING : ERR_DATA, "picture %s: %s", path, info.message) : OK;
}

Status picture_decode(Image *out, PictureBuffer *buf, const char *path)
{
    Reject reject;
    TRY(picture_load(buf, NULL, path));
    TRY_IN(image_decode(out, buf->bytes, buf->n, IMAGE_MAX_PIXELS, &reject), "%s", path);
    return OK;
}

/* ---------------------------------------------------------------- what it shows */

Status picture_dhash(uint64_t *out, Image *im)
{
    Image small = {0};
    size_t n = (size_t)im->width * (size_t)im->height;
    for (size_t i = 0; i < n; i++) {
        uint8_t *p = im->rgb + 3 * i; /* Pillow's L: ITU-R 601 in 16-bit fixed point */
        p[0] = p[1] = p[2] = (uint8_t)((19595u * p[0] + 38470u * p[1] + 7471u * p[2] + 0x8000u) >> 16);
    }
    TRY(image_resize(&small, im, DHASH_WIDTH, DHASH_HEIGHT, FILTER_BILINEAR));
    uint64_t hash = 0;
    for (int y = 0; y < DHASH_HEIGHT; y++)
        for (int x = 0; x + 1 < DHASH_WIDTH; x++) {
            const uint8_t *p = small.rgb + 3 * (y * DHASH_WIDTH + x);
            hash = hash << 1 | (p[3] > p[0]);
        }
    *out = hash;
    image_free(&small);
    return OK;
}

/* Everything that the bytes tell. A Status other than OK from the decoders is a bad picture, unless memory is short. */
static Status look(PictureInfo *info, const PictureBuffer *buf, int64_t max_pixels)
{
    ImageHeader h = {0};
    Image im = {0};
    Reject why = REJECT_CORRUPT;
    sha256_of(buf->bytes, buf->n, info->sha256);
    info->crc32c = crc32c(buf->bytes, buf->n);
    Status s = image_header(&h, buf->bytes, buf->n, max_pixels, &why);
    if (!s)
        s = image_decode(&im, buf->bytes, buf->n, max_pixels, &why);
    if (s == ERR_NOMEM)
        return s;
    if (s) {
        refuse(info, why == REJECT_NONE ? REJECT_CORRUPT : why, "%s", status_message());
        return OK;
    }
    info->width = (uint16_t)im.width;
    info->height = (uint16_t)im.height;
    info->format = (uint8_t)h.format;
    info->orientation = (uint8_t)h.orientation;
    s = picture_dhash(&info->dhash, &im);
    image_free(&im);
    return s;
}

Status picture_check(PictureInfo *info, PictureBuffer *buf, const char *root, const char *path, int64_t max_pixels)
{
    TRY(load_file(info, buf, root, path));
    return info->reject ? OK : look(info, buf, max_pixels);
}

Status picture_read(const PictureInfo *info, const char *root, const char *path, uint8_t *out)
{
    PictureInfo now;
    int fd;
    TRY(open_picture(&fd, &now, root, path));
    if (fd < 0)
        return fail(ERR_DATA, "%s/%s disappeared while the shards were made: %s; run prepare again", root, path, now.message);
    bool same = now.bytes == info->bytes && now.mtime_ns == info->mtime_ns && read_fully(fd, out, (size_t)info->bytes) == info->bytes;
    close(fd);
    return same ? OK : fail(ERR_DATA, "%s/%s changed while the shards were made; run prepare again", root, path);
}
