/* manifest.h: every single flipped bit, missing byte and missing file is found. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"
#include "train/store/manifest.h"

static const char *make_folder(void)
{
    static char folder[PATH_MAX];
    char path[PATH_MAX];
    file_join(folder, test_dir(), "checkpoint");
    REQUIRE_OK(file_make_folders(folder));
    REQUIRE_OK(file_make_folders(file_join(path, folder, "llm")));
    REQUIRE_OK(file_replace(file_join(path, folder, "a.txt"), "some bytes"));
    REQUIRE_OK(file_save(file_join(path, folder, "llm/empty"), "", 0));
    REQUIRE_OK(file_save(file_join(path, folder, "llm/zeros"), (char[16]){0}, 16));
    REQUIRE_OK(manifest_write(folder));
    REQUIRE_OK(manifest_verify(folder));
    return folder;
}

static void flip_every_bit(const char *folder, const char *name)
{
    char path[PATH_MAX], *bytes;
    size_t n;
    REQUIRE_OK(file_read(&bytes, &n, file_join(path, folder, name), 1 << 20));
    for (size_t i = 0; i < 8 * n; i++) {
        bytes[i / 8] ^= (char)(1 << i % 8);
        FILE *f = fopen(path, "r+");
        REQUIRE(f && fwrite(bytes, 1, n, f) == n && !fclose(f));
        Status s = manifest_verify(folder);
        CHECK_MSG(s == ERR_DATA || s == ERR_MISSING, "%s: bit %zu flipped: status %d", name, i, (int)s);
        bytes[i / 8] ^= (char)(1 << i % 8);
    }
    FILE *f = fopen(path, "r+");
    REQUIRE(f && fwrite(bytes, 1, n, f) == n && !fclose(f));
    CHECK_OK(manifest_verify(folder));
    mem_free(bytes);
}

TEST(manifest_finds_every_flipped_bit)
{
    const char *folder = make_folder();
    flip_every_bit(folder, "a.txt");
    flip_every_bit(folder, "llm/zeros");
    flip_every_bit(folder, "MANIFEST.json");
}

TEST(manifest_names_the_file)
{
    const char *folder = make_folder();
    char path[PATH_MAX], wanted[PATH_MAX + 128];
    file_join(path, folder, "a.txt");
    REQUIRE(!truncate(path, 3));
    snprintf(wanted, sizeof wanted, "%s: damaged: it has 3 bytes, its manifest says 11", path);
    CHECK_FAILS(manifest_verify(folder), ERR_DATA, wanted);
    REQUIRE_OK(file_replace(path, "same Bytes"));
    snprintf(wanted, sizeof wanted, "%s: damaged: its bytes do not have the hash of its manifest", path);
    CHECK_FAILS(manifest_verify(folder), ERR_DATA, wanted);
    REQUIRE_OK(file_remove(path));
    snprintf(wanted, sizeof wanted, "%s: cannot be opened: No such file or directory", path);
    CHECK_FAILS(manifest_verify(folder), ERR_MISSING, wanted);
    file_join(path, folder, "MANIFEST.json");
    REQUIRE(!truncate(path, 60));
    snprintf(wanted, sizeof wanted, "%s: damaged: it does not end with the hash of what precedes", path);
    CHECK_FAILS(manifest_verify(folder), ERR_DATA, wanted);
}
