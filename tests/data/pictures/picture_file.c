/* picture_file: which file a row's path means, and what is no picture file. */
#include "data/pictures/picture_file.h"

#include <limits.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"

static char root[PATH_MAX / 2];

/* A picture `width` pixels wide, so that it is known which one was found. */
static void put_picture(const char *name, int32_t width)
{
    char path[PATH_MAX];
    uint8_t *jpeg, *rgb = mem_alloc((size_t)width * 3);
    size_t n;
    REQUIRE_OK(image_encode_jpeg(rgb, width, 1, 90, &jpeg, &n));
    REQUIRE_OK(file_write(file_join(path, root, name), jpeg, n));
    mem_free(jpeg);
    mem_free(rgb);
}

static PictureInfo checked(const char *path)
{
    static PictureBuffer buffer;
    PictureInfo info;
    REQUIRE_OK(picture_check(&info, &buffer, root, path, IMAGE_MAX_PIXELS));
    return info;
}

static void check_is(const char *path, int width, bool renamed)
{
    PictureInfo info = checked(path);
    CHECK_MSG(info.width == width && !info.reject && info.renamed == renamed, "%s: the picture %d pixels wide, wanted %d (%s, %s)", path,
              info.width, width, info.renamed ? "under another ending" : "as named", info.reject ? info.message : "good");
}

static void check_says(const char *path, Reject why, const char *format)
{
    char wanted[PATH_MAX];
    PictureInfo info = checked(path);
    snprintf(wanted, sizeof wanted, format, root);
    CHECK_INT(info.reject, why);
    CHECK_STR(info.message, wanted);
}

static void make_root(void)
{
    char path[PATH_MAX];
    snprintf(root, sizeof root, "%s/images", test_dir());
    REQUIRE_OK(file_make_folders(file_join(path, root, "sub.jpg")));
}

TEST(picture_endings_are_replaced_only_when_they_are_known)
{
    make_root();
    put_picture("fig1.png", 11); /* what "fig1.2" is not */
    put_picture("fig2.2.jpg", 12);
    put_picture("fig2.png", 13);
    put_picture("cat.JPEG", 14);
    put_picture("v1.0.gif", 15);
    put_picture("v1", 16);
    put_picture("v1.png", 17);
    put_picture("bare.webp", 18);
    put_picture(".jpg.png", 19);
    check_says("a\\b.jpg", REJECT_MISSING,
               "there is no such file in %s, nor one with another picture ending; folders are parted by / and not by \\");
    check_says("a%20b.jpg", REJECT_MISSING, "there is no such file in %s, nor one with another picture ending; %%20 stays as it is");
    check_says("fig1.2", REJECT_MISSING, "there is no such file in %s, nor one with another picture ending");
    check_is("fig2.2", 12, true);
    check_is("fig2.2.png", 12, true);
    check_is("fig2.jpg", 13, true);
    check_is("fig2.png", 13, false);
    check_is("cat.jpg", 14, true);
    check_is("cat.JpG", 14, true);
    check_is("v1.0", 15, true);
    check_is("v1.0.jpeg", 15, true);
    check_is("v1", 16, false);
    check_is("v1.jpg", 17, true);
    check_is("bare", 18, true);
    check_is(".jpg", 19, true);
    check_says("cat.bmp", REJECT_MISSING, "there is no such file in %s, nor one with another picture ending");
    check_says("sub.jpg/fig1.jpg", REJECT_MISSING, "there is no such file in %s, nor one with another picture ending");
    check_says("none/fig1.jpg", REJECT_MISSING, "there is no such file in %s, nor one with another picture ending");
}

TEST(picture_paths_stay_inside_the_root)
{
    char path[PATH_MAX];
    make_root();
    put_picture("good.jpg", 20);
    snprintf(path, sizeof path, "%s/good.jpg", root);
    check_is(path, 20, false);
    snprintf(path, sizeof path, "%s/good.png", root);
    check_is(path, 20, true);
    snprintf(path, sizeof path, "%s/gone.png", root);
    check_says(path, REJECT_MISSING, "there is no such file in %s, nor one with another picture ending");
    check_says("/etc/passwd", REJECT_OUTSIDE_ROOT, "is an absolute path outside of the image root %s");
    check_says("../images/good.jpg", REJECT_OUTSIDE_ROOT, "leads by \"..\" out of the image root %s");
    REQUIRE(!symlink("/etc/passwd", file_join(path, root, "link.jpg")));
    check_says("link.jpg", REJECT_OUTSIDE_ROOT, "leads by a link out of the image root %s");
}

/* Under another ending too, and whatever the root is called: itself, "/", a link to it. */
TEST(picture_paths_may_be_absolute_inside_the_root)
{
    char path[PATH_MAX], other[PATH_MAX], alias[PATH_MAX];
    make_root();
    put_picture("good.jpg", 20);
    snprintf(path, sizeof path, "%s/good.jpg", root);
    snprintf(other, sizeof other, "%s/good.png", root);
    snprintf(alias, sizeof alias, "%s/alias", test_dir());
    REQUIRE(!symlink("images", alias));
    const char *const roots[] = {"/", test_dir(), alias};
    for (int i = 0; i < 3; i++) {
        snprintf(root, sizeof root, "%s", roots[i]);
        check_is(path, 20, false);
        check_is(other, 20, true);
    }
}

/* What must not be read, or even opened: a pipe would wait for its writer. */
TEST(picture_files_are_files)
{
    char path[PATH_MAX];
    PictureBuffer buffer = {0};
    make_root();
    REQUIRE(!mkfifo(file_join(path, root, "pipe.jpg"), 0666));
    check_says("pipe.jpg", REJECT_MISSING, "is a pipe, expected a picture file");
    CHECK_INT(picture_load(&buffer, NULL, path), ERR_MISSING);
    CHECK(strstr(status_message(), "pipe.jpg: is a pipe, expected a picture file"));
    check_says("sub.jpg", REJECT_MISSING, "is a folder, expected a picture file");
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE((size_t)snprintf(name.sun_path, sizeof name.sun_path, "%s/socket.jpg", root) < sizeof name.sun_path);
    REQUIRE(s >= 0 && !bind(s, (struct sockaddr *)&name, sizeof name));
    close(s);
    check_says("socket.jpg", REJECT_MISSING, "is a socket, expected a picture file");
    CHECK_FAILS(picture_load(&buffer, NULL, "/dev/zero"), ERR_MISSING, "picture /dev/zero: is a device, expected a picture file");
    CHECK_FAILS(picture_load(&buffer, "/dev", "zero"), ERR_MISSING, "picture zero: is a device, expected a picture file");
    CHECK_FAILS(picture_load(&buffer, "/dev", "/dev/tty"), ERR_MISSING, "picture /dev/tty: is a device, expected a picture file");
    CHECK_FAILS(picture_load(&buffer, "/dev", "../etc/passwd"), ERR_DATA,
                "picture ../etc/passwd: leads by \"..\" out of the image root /dev");
    CHECK_FAILS(picture_load(&buffer, NULL, "/nowhere/x.jpg"), ERR_MISSING,
                "picture /nowhere/x.jpg: cannot be opened: No such file or directory");
    put_picture("huge.jpg", 21);
    file_join(path, root, "huge.jpg");
    REQUIRE(!truncate(path, ((off_t)1 << 30) + 1));
    check_says("huge.jpg", REJECT_TOO_LARGE, "has 1073741825 bytes, at most 1073741824 are read");
}

TEST(picture_changes_are_noticed)
{
    char path[PATH_MAX];
    uint8_t bytes[4096];
    make_root();
    put_picture("a.jpg", 22);
    PictureInfo info = checked("a.png"), gone = checked("b.png");
    CHECK(picture_unchanged(&info, root, "a.png") && picture_unchanged(&gone, root, "b.png") && info.bytes < 4096);
    REQUIRE_OK(picture_read(&info, root, "a.png", bytes));
    put_picture("b.jpg", 22);
    CHECK(!picture_unchanged(&gone, root, "b.png"));
    REQUIRE(!truncate(file_join(path, root, "a.jpg"), info.bytes - 1));
    CHECK(!picture_unchanged(&info, root, "a.png"));
    CHECK_INT(picture_read(&info, root, "a.png", bytes), ERR_DATA);
    unlink(path);
    CHECK(!picture_unchanged(&info, root, "a.png"));
    CHECK_INT(picture_read(&info, root, "a.png", bytes), ERR_DATA);
    PictureInfo outside = checked("../x.jpg");
    CHECK(picture_unchanged(&outside, root, "../x.jpg"));
}
