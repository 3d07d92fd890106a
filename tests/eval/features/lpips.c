/* eval/features/lpips.h against the lpips package (tests/oracle/features.py wrote the numbers): sizes that differ from pair to pair, a
 * picture that takes its goal's size, equal pictures, what cannot be opened or compared. */
#include "eval/features/lpips.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"

static char *fixture(char path[PATH_MAX], const char *name, const char *ending)
{
    char below[64];
    snprintf(below, sizeof below, "features/lpips/%s%s", name, ending);
    snprintf(path, PATH_MAX, "%s", test_fixture(below));
    return path;
}

TEST(lpips_is_that_of_its_package)
{
    char names[2][8], paths[2][PATH_MAX], path[PATH_MAX];
    double wanted, found;
    Lpips *l;
    int n = 0;
    FILE *f = fopen(fixture(path, "distances", ".txt"), "r");
    REQUIRE(f);
    REQUIRE_OK(lpips_open(&l, fixture(path, "alex", ".safetensors"), DEVICE_CPU));
    for (; fscanf(f, "%7s %7s %lf", names[0], names[1], &wanted) == 3; n++) {
        REQUIRE_OK(lpips_files(l, fixture(paths[0], names[0], ".jpg"), fixture(paths[1], names[1], ".jpg"), &found));
        CHECK_MSG(fabs(found - wanted) <= 1e-5 * wanted, "%s %s: %.9g, wanted %.9g", names[0], names[1], found, wanted);
    }
    CHECK_INT(n, 5);
    fclose(f);
    lpips_close(&l);
}

TEST(lpips_says_what_it_cannot_use)
{
    char path[PATH_MAX], small[PATH_MAX], expected[PATH_MAX + 96], *bytes;
    size_t n;
    double found;
    Lpips *l;
    REQUIRE_OK(lpips_open(&l, fixture(path, "alex", ".safetensors"), DEVICE_CPU));
    snprintf(small, sizeof small, "%s", test_fixture("images/rgb.jpg"));
    snprintf(expected, sizeof expected, "%s: LPIPS of pictures of 21x13: expected sides of 31 pixels or more", small);
    CHECK_FAILS(lpips_files(l, small, small, &found), ERR_DATA, expected);
    lpips_close(&l);
    CHECK_INT(lpips_open(&l, test_fixture("features/vit/model.safetensors"), DEVICE_CPU), ERR_DATA);
    CHECK_MSG(
        strstr(status_message(), "no tensor net.slice1.0.weight in it, expected the state of the lpips package's LPIPS(net=\"alex\")"),
        "%s", status_message());
    CHECK_INT(lpips_open(&l, "/nowhere.safetensors", DEVICE_CPU), ERR_MISSING);
    REQUIRE_OK(file_read(&bytes, &n, fixture(path, "alex", ".safetensors"), 1 << 20));
    REQUIRE_OK(file_write(file_join(path, test_dir(), "half.safetensors"), bytes, n / 2));
    mem_free(bytes);
    CHECK_INT(lpips_open(&l, path, DEVICE_CPU), ERR_DATA);
    CHECK(!l);
}
