/* picture_file.c: finds the file that a row's path means inside its source's folder and verifies it (picture_file.h). Called by prepare
 * and generate. */
#include "data/pictures/picture_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/crc32c.h"
#include "data/formats/sha256.h"
#include "kernels/base/arena.h"

enum { LARGEST_FILE = 1 << 30, DHASH_WIDTH = 9, DHASH_HEIGHT = 8 };

static const char *const ENDINGS[] = {"jpg", "jpeg", "png", "gif", "webp"};

/* ---------------------------------------------------------------- finding the file */

/* By its text alone; a folder on the way that is a link is seen by below(). */
static bool leaves_root(const char *path)
{
    if (path[0] == '/')
        return true;
    int depth = 0;
    for (const char *p = path; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && p[0] == '.' && p[1] == '.')
            depth--;
        else if (n && !(n == 1 && p[0] == '.'))
            depth++;
        if (depth < 0)
            return true;
        p += n + (p[n] == '/');
    }
    return false;
}

/* The same name with each ending, in every mixture of cases; the first that exists is left in `full`. */
static bool other_ending(char full[PATH_MAX], struct stat *st)
{
    char *slash = strrchr(full, '/'), *dot = strrchr(full, '.');
    char *stem = dot && slash && dot > slash + 1 ? dot : full + strlen(full);
    *slash = 0;
    bool folder = !stat(full, st);
    *slash = '/';
    for (size_t e = 0; folder && e < sizeof ENDINGS / sizeof *ENDINGS; e++) {
        size_t n = strlen(ENDINGS[e]);
        if ((size_t)(stem - full) + n + 2 > PATH_MAX)
            return false;
        for (unsigned upper = 0; upper < 1u << n; upper++) {
            *stem = '.';
            for (size_t i = 0; i <= n; i++)
                stem[1 + i] = (char)(ENDINGS[e][i] - (upper >> i & 1 ? 'a' - 'A' : 0));
            if (!stat(full, st))
                return true;
        }
    }
    return false;
}

/* The file's full name. 0, or the errno of what is in the way. */
static int find(char full[PATH_MAX], struct stat *st, const char *root, const char *path)
{
    if ((size_t)snprintf(full, PATH_MAX, "%s/%s", root, path) >= PATH_MAX)
        return ENAMETOOLONG;
    if (!stat(full, st))
        return 0;
    int cause = errno;
    if (cause != ENOENT && cause != ENOTDIR)
        return cause;
    return other_ending(full, st) ? 0 : ENOENT;
}

static bool below(const char *full, const char *root)
{
    char real[PATH_MAX], real_root[PATH_MAX];
    if (!realpath(full, real) || !realpath(root, real_root))
        return false;
    size_t n = strlen(real_root);
    return !strncmp(real, real_root, n) && (real[n] == '/' || real[n] == 0 || n == 1);
}

static int64_t mtime_of(const struct stat *st) { return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec; }

bool picture_unchanged(const PictureInfo *info, const char *root, const char *path)
{
    char full[PATH_MAX];
    struct stat st;
    if (leaves_root(path))
        return true;
    if (find(full, &st, root, path))
        return info->bytes < 0;
    return info->bytes == st.st_size && info->mtime_ns == mtime_of(&st);
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
    vsnprintf(info->message, sizeof info->message, format, args);
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

static Status load_file(PictureInfo *info, PictureBuffer *buf, const char *full)
{
    int fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) /* says nothing about the picture */
        return fail(ERR_NOMEM, "%s: cannot be opened: %s", full, strerror(errno));
    if (fd < 0 || fstat(fd, &st)) {
        refuse(info, REJECT_MISSING, "cannot be opened: %s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return OK;
    }
    Status s = OK;
    errno = 0;
    info->bytes = st.st_size;
    info->mtime_ns = mtime_of(&st);
    if (!S_ISREG(st.st_mode))
        refuse(info, REJECT_MISSING, "is not a file");
    else if (st.st_size > LARGEST_FILE)
        refuse(info, REJECT_TOO_LARGE, "has %lld bytes, at most %d are read", (long long)st.st_size, LARGEST_FILE);
    else {
        buf->n = (size_t)st.st_size;
        if (buf->n > buf->capacity) {
            mem_free(buf->bytes);
            buf->capacity = buf->n + buf->n / 2;
            buf->bytes = mem_alloc(buf->capacity);
        }
        if (buf->n && !buf->bytes) {
            buf->capacity = 0;
            s = fail(ERR_NOMEM, "%s: no memory for %zu bytes", full, buf->n);
        } else if (read_fully(fd, buf->bytes, buf->n) != (ssize_t)buf->n) {
            refuse(info, REJECT_MISSING, "cannot be read: %s", errno ? strerror(errno) : "it became shorter meanwhile");
        }
    }
    close(fd);
    return s;
}

/* ---------------------------------------------------------------- what it shows */

Status picture_dhash(uint64_t *out, const Image *im)
{
    size_t n = (size_t)im->width * (size_t)im->height;
    Image grey = {im->width, im->height, mem_alloc(n * 3)}, small = {0};
    if (!grey.rgb)
        return fail(ERR_NOMEM, "no memory for a picture of %dx%d", im->width, im->height);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = im->rgb + 3 * i; /* Pillow's L: ITU-R 601 in 16-bit fixed point */
        uint8_t l = (uint8_t)((19595u * p[0] + 38470u * p[1] + 7471u * p[2] + 0x8000u) >> 16);
        memset(grey.rgb + 3 * i, l, 3);
    }
    Status s = image_resize(&small, &grey, DHASH_WIDTH, DHASH_HEIGHT, FILTER_BILINEAR);
    uint64_t hash = 0;
    for (int y = 0; y < DHASH_HEIGHT && !s; y++)
        for (int x = 0; x + 1 < DHASH_WIDTH; x++) {
            const uint8_t *p = small.rgb + 3 * (y * DHASH_WIDTH + x);
            hash = hash << 1 | (p[3] > p[0]);
        }
    *out = hash;
    mem_free(grey.rgb);
    if (!s)
        image_free(&small);
    return s;
}

/* Everything that the bytes tell. A Status other than OK from the decoders is a bad picture, unless memory is short. */
static Status look(PictureInfo *info, const PictureBuffer *buf)
{
    ImageHeader h = {0};
    Image im = {0};
    Reject why = REJECT_CORRUPT;
    sha256_of(buf->bytes, buf->n, info->sha256);
    info->crc32c = crc32c(buf->bytes, buf->n);
    Status s = image_header(&h, buf->bytes, buf->n, &why);
    if (!s)
        s = image_decode(&im, buf->bytes, buf->n, &why);
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

Status picture_check(PictureInfo *info, PictureBuffer *buf, const char *root, const char *path)
{
    char full[PATH_MAX];
    struct stat st;
    memset(info, 0, sizeof *info);
    info->bytes = -1;
    if (leaves_root(path)) {
        refuse(info, REJECT_OUTSIDE_ROOT, "leads out of the image root %s", root);
        return OK;
    }
    int cause = find(full, &st, root, path);
    if (cause == ENOENT) {
        refuse(info, REJECT_MISSING, "there is no such file in %s, nor one with another picture ending", root);
    } else if (cause) {
        refuse(info, REJECT_MISSING, "cannot be opened in %s: %s", root, strerror(cause));
    } else if (!below(full, root)) {
        info->bytes = st.st_size;
        info->mtime_ns = mtime_of(&st);
        refuse(info, REJECT_OUTSIDE_ROOT, "is a link that leads out of the image root %s", root);
    } else {
        TRY(load_file(info, buf, full));
        if (!info->reject)
            return look(info, buf);
    }
    return OK;
}

Status picture_read(const PictureInfo *info, const char *root, const char *path, uint8_t *out)
{
    char full[PATH_MAX];
    struct stat st;
    int cause = find(full, &st, root, path);
    int fd = cause ? -1 : open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fail(ERR_DATA, "%s/%s disappeared while the shards were made: %s; run prepare again", root, path,
                    strerror(cause ? cause : errno));
    ssize_t n = st.st_size == info->bytes ? read_fully(fd, out, (size_t)info->bytes) : -1;
    close(fd);
    if (n != info->bytes)
        return fail(ERR_DATA, "%s/%s changed while the shards were made; run prepare again", root, path);
    return OK;
}
