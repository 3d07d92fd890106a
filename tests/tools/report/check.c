/* check.c: see check.h. Called by the tests of report. */
#include "tests/tools/report/check.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"
#include "tests/harness.h"

/* ---------------------------------------------------------------- runs */

const char *run_folder(const char *name)
{
    static char paths[8][PATH_MAX];
    static int next;
    char *path = file_join(paths[next++ % 8], test_dir(), name);
    REQUIRE_OK(file_make_folders(path));
    return path;
}

void put_file(const char *folder, const char *name, const char *text)
{
    char path[PATH_MAX], around[PATH_MAX];
    REQUIRE_OK(file_make_folders(file_folder(around, file_join(path, folder, name))));
    REQUIRE_OK(file_write(path, text, strlen(text)));
}

void put_steps(const char *folder, int first, int last, double loss)
{
    char path[PATH_MAX];
    FILE *f;
    REQUIRE_OK(file_append(&f, file_join(path, folder, "train.jsonl")));
    for (int k = first; k <= last; k++)
        fprintf(f,
                "{\"step\":%d,\"loss\":%.9g,\"loss_text\":%.9g,\"lr\":0.001,\"lr_lora\":0.001,\"grad_norm\":1.5,"
                "\"samples\":4,\"tokens\":200,"
                "\"images\":2,\"seconds\":0.5,\"skipped_steps\":0,\"skipped_samples\":0}\n",
                k, loss / k, loss / k);
    REQUIRE(!fclose(f));
}

static char *show(const char *const *folders, int n, int columns, bool utf8, bool page)
{
    ReportRun *runs = mem_alloc((size_t)n * sizeof *runs);
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    REQUIRE(runs && out);
    const ReportShow all = {.runs = runs, .n = n, .prefix = "build", .columns = columns, .utf8 = utf8};
    for (int i = 0; i < n; i++)
        REQUIRE_OK(report_read(&runs[i], folders[i]));
    CHECK_OK(page ? report_page(&all, out) : report_terminal(&all, out));
    for (int i = 0; i < n; i++)
        report_free(&runs[i]);
    mem_free(runs);
    REQUIRE(!fclose(out));
    return text;
}

char *page_of(const char *const *folders, int n)
{
    char *html = show(folders, n, 0, true, true);
    check_page(html);
    return html;
}

char *text_of(const char *const *folders, int n, int columns, bool utf8) { return show(folders, n, columns, utf8, false); }

/* ---------------------------------------------------------------- pages */

bool holds(const char *text, const char *part) { return strstr(text, part) != NULL; }

int count_of(const char *text, const char *part)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, part)); p += strlen(part))
        n++;
    return n;
}

static void check_characters(const char *html)
{
    uint32_t c;
    const size_t n = strlen(html);
    for (size_t i = 0; i < n;) {
        const int length = utf8_decode(html + i, n - i, &c);
        REQUIRE(length > 0);
        const bool control = (c < 0x20 && c != '\n') || (c >= 0x7f && c < 0xa0);
        const bool obeyed = control || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
        CHECK_MSG(!obeyed, "the page holds U+%04X at byte %zu", c, i);
        i += (size_t)length;
    }
}

/* Nothing but these, and none left open: "&" begins nothing else. */
static void check_entities(const char *html)
{
    static const char *const ENTITIES[] = {"&lt;", "&gt;", "&amp;", "&quot;", "&#39;"};
    for (const char *p = html; (p = strchr(p, '&')); p++) {
        bool known = false;
        for (size_t i = 0; i < sizeof ENTITIES / sizeof *ENTITIES; i++)
            known |= !strncmp(p, ENTITIES[i], strlen(ENTITIES[i]));
        CHECK_MSG(known, "an entity that is none: %.20s", p);
    }
}

enum { DEPTH = 64, NAME = 16 };

static bool is_void(const char *name) { return !strcmp(name, "meta") || !strcmp(name, "img") || !strcmp(name, "br"); }

/* The attributes of a tag, from its name on; returns where it ends. Each value is quoted, and none is fetched or does something. */
static const char *check_attributes(const char *p)
{
    for (;;) {
        p += strspn(p, " \n");
        if (*p == '>' || !strncmp(p, "/>", 2))
            return p;
        const size_t n = strcspn(p, "= \n/>");
        REQUIRE(n);
        CHECK_MSG(strncmp(p, "on", 2), "an attribute that does something: %.30s", p);
        CHECK_MSG(strncmp(p, "href=", 5) || p[6] == '#', "a link that leads away: %.40s", p);
        CHECK_MSG(strncmp(p, "src=", 4) || !strncmp(p + 5, "data:image/", 11), "a picture from elsewhere: %.40s", p);
        p += n;
        if (*p != '=')
            continue;
        REQUIRE(p[1] == '"');
        p = strchr(p + 2, '"');
        REQUIRE(p != NULL);
        p++;
    }
}

static void check_tags(const char *html)
{
    char open[DEPTH][NAME];
    int depth = 0;
    for (const char *p = strchr(html, '<'); p; p = strchr(p, '<')) {
        char name[NAME] = "";
        const bool closes = p[1] == '/';
        p += 1 + closes;
        if (*p == '!')
            continue;
        const size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789");
        CHECK_MSG(n && n < NAME, "a tag that is none: %.20s", p - 1);
        REQUIRE(n && n < NAME);
        memcpy(name, p, n);
        p = check_attributes(p + n);
        if (closes) {
            REQUIRE(depth > 0);
            CHECK_STR(open[--depth], name);
        } else if (!is_void(name) && *p != '/') {
            REQUIRE(depth < DEPTH);
            memcpy(open[depth++], name, NAME);
        }
        if (!closes && (!strcmp(name, "script") || !strcmp(name, "style"))) { /* their text is no markup */
            p = strstr(p, name[1] == 'c' ? "</script>" : "</style>");
            REQUIRE(p != NULL);
        }
    }
    CHECK_INT(depth, 0);
}

static void check_ids(const char *html)
{
    for (const char *p = html; (p = strstr(p, " id=\"")); p++) {
        char id[64];
        snprintf(id, sizeof id, "%.*s", (int)strcspn(p + 5, "\"") + 6, p);
        CHECK_MSG(count_of(html, id) == 1, "the page has%s more than once", id);
    }
}

void check_page(const char *html)
{
    char *text = mem_strdup(html);
    REQUIRE(text != NULL);
    char *script = strstr(text, REPORT_SCRIPT), *style = strstr(text, REPORT_STYLE);
    REQUIRE(script && style);
    memset(script, ' ', strlen(REPORT_SCRIPT));
    memset(style, ' ', strlen(REPORT_STYLE));
    check_characters(text);
    check_entities(text);
    check_tags(text);
    check_ids(text);
    CHECK_INT(count_of(text, "<script"), 1);
    CHECK_INT(count_of(text, "<style"), 1);
    CHECK(!holds(REPORT_STYLE, "url(") && !holds(REPORT_STYLE, "@import") && !holds(REPORT_SCRIPT, "fetch") &&
          !holds(REPORT_SCRIPT, "eval"));
    mem_free(text);
}
