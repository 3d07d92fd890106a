/* manifest.h: every single flipped bit, missing byte and missing file is found. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"
#include "train/store/manifest.h"

static const char *make_folder(void)
{
    static char folder[PATH_MAX];
    char path[PATH_MAX];
    file_join(folder, test_dir(), "checkpoint");
    REQUIRE_OK(file_remove(folder));
    REQUIRE_OK(file_make_folders(folder));
    REQUIRE_OK(file_make_folders(file_join(path, folder, "llm")));
    REQUIRE_OK(file_replace(file_join(path, folder, "a.txt"), "some bytes"));
    REQUIRE_OK(file_save(file_join(path, folder, "llm/empty"), "", 0));
    REQUIRE_OK(file_save(file_join(path, folder, "llm/zeros"), (char[16]){0}, 16));
    REQUIRE_OK(manifest_write(folder, NULL, 0));
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

TEST(manifest_takes_the_hash_of_whoever_wrote_a_file_and_looks_whether_it_is_there)
{
    const char *folder = make_folder();
    char path[PATH_MAX];
    ManifestFile known;
    REQUIRE_OK(manifest_hash(&known, folder, "a.txt"));
    REQUIRE(!unlink(file_join(path, folder, "MANIFEST.json")));
    REQUIRE_OK(manifest_write(folder, &known, 1));
    CHECK_OK(manifest_verify(folder));
    known.xxh3[0] = known.xxh3[0] == '0' ? '1' : '0'; /* it is not read again */
    REQUIRE(!unlink(path));
    REQUIRE_OK(manifest_write(folder, &known, 1));
    CHECK(manifest_verify(folder) == ERR_DATA && strstr(status_message(), "a.txt: damaged"));
    known.bytes++;
    CHECK(manifest_write(folder, &known, 1) == ERR_IO && strstr(status_message(), "a.txt: another rank has written 12 bytes"));
    REQUIRE(!unlink(file_join(path, folder, "a.txt")));
    CHECK(manifest_write(folder, &known, 1) == ERR_IO && strstr(status_message(), "a.txt: was written by another rank, but is not there"));
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

/* Rewrites the manifest with one piece of text in place of another, and the right hash at its end: as one who means harm would. */
static void reseal(const char *folder, const char *from, const char *to)
{
    char path[PATH_MAX], *text;
    size_t n;
    REQUIRE_OK(file_read(&text, &n, file_join(path, folder, "MANIFEST.json"), 1 << 20));
    char *at = strstr(text, from), *tail = strstr(text, ",\n\"manifest_xxh3\"");
    REQUIRE(at && tail && at < tail);
    FILE *f = fopen(path, "w");
    REQUIRE(f);
    char *body;
    size_t length;
    FILE *made = open_memstream(&body, &length);
    fprintf(made, "%.*s%s%.*s", (int)(at - text), text, to, (int)(tail - at - (ptrdiff_t)strlen(from)), at + strlen(from));
    REQUIRE(!fclose(made));
    XXH128_hash_t h = XXH3_128bits(body, length);
    fprintf(f, "%s,\n\"manifest_xxh3\": \"%016llx%016llx\"}\n", body, (unsigned long long)h.high64, (unsigned long long)h.low64);
    REQUIRE(!fclose(f));
    free(body);
    mem_free(text);
}

TEST(manifest_names_plain_files_inside)
{
    static const char *const BAD[] = {"../a.txt", "/etc/passwd", "llm/../a.txt", "./a.txt", "llm//zeros", "a.txt/", ""};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        char to[64], wanted[PATH_MAX + 128];
        const char *folder = make_folder();
        snprintf(to, sizeof to, "\"%s\"", BAD[i]);
        reseal(folder, "\"a.txt\"", to);
        snprintf(wanted, sizeof wanted, "%s/MANIFEST.json: names the file \"%s\", which does not lie in its folder", folder, BAD[i]);
        CHECK_FAILS(manifest_verify(folder), ERR_DATA, wanted);
    }
}

TEST(manifest_follows_no_link_and_knows_every_file_of_its_folders)
{
    char path[PATH_MAX], other[PATH_MAX], wanted[PATH_MAX + 128];
    const char *folder = make_folder();
    REQUIRE(!rename(file_join(path, folder, "a.txt"), file_join(other, test_dir(), "a.txt")) && !symlink(other, path));
    snprintf(wanted, sizeof wanted, "%s: is a link, expected a file", path);
    CHECK_FAILS(manifest_verify(folder), ERR_DATA, wanted);
    REQUIRE(!rename(other, path));
    REQUIRE_OK(manifest_verify(folder));
    REQUIRE(!rename(file_join(path, folder, "llm"), file_join(other, test_dir(), "llm")) && !symlink(other, path));
    snprintf(wanted, sizeof wanted, "%s: is a link, expected a folder", path);
    CHECK_FAILS(manifest_verify(folder), ERR_DATA, wanted);
    REQUIRE(!unlink(path) && !rename(other, path));
    REQUIRE_OK(file_save(file_join(path, folder, "notes"), "", 0));
    CHECK_OK(manifest_verify(folder));
    REQUIRE_OK(file_save(file_join(path, folder, "llm/model.safetensors.index.json"), "", 0));
    snprintf(wanted, sizeof wanted, "%s: is not named by the manifest", path);
    CHECK_FAILS(manifest_verify(folder), ERR_DATA, wanted);
    CHECK_OK(manifest_require(folder, "llm/zeros"));
    snprintf(wanted, sizeof wanted, "%s/MANIFEST.json: does not name state.json, which a checkpoint must have", folder);
    CHECK_FAILS(manifest_require(folder, "state.json"), ERR_DATA, wanted);
}
