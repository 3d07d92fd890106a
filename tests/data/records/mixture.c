/* mixture: what a file or list of sources means; all mistakes at once, with their places. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "data/formats/json.h"
#include "data/records/format.h"
#include "data/records/records.h"
#include "data/records/requests.h"
#include "kernels/base/arena.h"
#include "tests/data/mutate.h"
#include "tests/harness.h"

static const char *written(const char *text)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/mixture.json", test_dir());
    FILE *f = fopen(path, "w");
    REQUIRE(f && fputs(text, f) >= 0 && !fclose(f));
    return path;
}

TEST(mixture_file_with_everything)
{
    Mixture m;
    char wanted[600];
    REQUIRE_OK(mixture_load(&m, "data.mixture",
                            written("{\"$schema\":\"x\",\"schema\":\"genllava.mixture/1\",\"seed\":7,\"epoch\":1000,\"//\":\"why\","
                                        "\"exclude_image_ids\":\"sub/ids.txt\","
                                        "\"sources\":[{\"name\":\"a\",\"files\":[\"a.json\",\"/b/c.jsonl\"],\"image_root\":\"./images\","
                                        "\"task\":\"edit\",\"weight\":0.48,\"max\":5,\"filter\":{\"$schema\":\"y\",\"//\":0,\"clip\":[0.2,"
                                        "null],\"dir\":[null,1]}},{\"files\":\"sub/d.x.json\"}]}"),
                            NULL, NULL));
    CHECK(m.seed == 7 && m.epoch == 1000 && m.n_sources == 2);
    const MixtureSource *a = &m.sources[0], *b = &m.sources[1];
    snprintf(wanted, sizeof wanted, "%s/sub/ids.txt", test_dir());
    CHECK_STR(m.exclude_file, wanted);
    CHECK_OK(mixture_exclude(&m, NULL));
    CHECK_STR(m.exclude_file, wanted);
    CHECK_OK(mixture_exclude(&m, "/gone/ids.txt"));
    CHECK_STR(m.exclude_file, "/gone/ids.txt");
    CHECK_STR(a->name, "a");
    snprintf(wanted, sizeof wanted, "%s/a.json", test_dir());
    CHECK(a->n_files == 2);
    CHECK_STR(a->files[0], wanted);
    CHECK_STR(a->files[1], "/b/c.jsonl");
    snprintf(wanted, sizeof wanted, "%s/images", test_dir());
    CHECK_STR(a->image_root, wanted);
    CHECK(a->task == TASK_EDIT && a->weight == 0.48 && a->max == 5 && a->n_filters == 2);
    CHECK(a->filters[0].least == 0.2 && a->filters[0].most == INFINITY && a->filters[1].least == -INFINITY && a->filters[1].most == 1);
    CHECK_STR(b->name, "d.x");
    CHECK(!b->image_root && b->task == TASK_UNDERSTAND && b->weight == 1 && b->max == 0 && b->n_filters == 0);
    mixture_free(&m);
    CHECK(!m.sources);
}

TEST(mixture_as_a_list)
{
    Mixture m;
    char wanted[600];
    REQUIRE_OK(mixture_load(&m, "data.mixture", NULL, "[{\"files\":[\"a.json\"],\"image_root\":\".\"}]", test_dir()));
    CHECK(m.seed == 42 && m.epoch == 0 && m.n_sources == 1);
    snprintf(wanted, sizeof wanted, "%s/a.json", test_dir());
    CHECK_STR(m.sources[0].files[0], wanted);
    CHECK_STR(m.sources[0].image_root, test_dir());
    mixture_free(&m);
    REQUIRE_OK(mixture_load(&m, "data.mixture", written("[{\"files\":\"a.json\"}]"), NULL, NULL));
    CHECK_INT(m.n_sources, 1);
    mixture_free(&m);
}

TEST(mixture_lists_all_mistakes)
{
    Mixture m;
    char wanted[4096];
    const char *f = written("{\"schema\":\"genllava.mixture/2\",\"sed\":1,\"epoch\":0,\"seed\":1.5,\n"
                            "\"sources\":[{\"file\":[\"a.json\"],\"weigth\":1},\n"
                            "{\"name\":\"\",\"files\":[],\"task\":\"draw\",\"weight\":-1,\"max\":-1,\"image_root\":5,"
                            "\"filter\":{\"a\":[1]}},\n{\"files\":[1],\"files\":[\"x\"],\"filter\":{\"a\":[\"x\",1]}}, 3]}");
    snprintf(wanted, sizeof wanted,
             "%1$s:1:32: unknown key \"sed\"; did you mean \"seed\"?\n"
             "%1$s:1:11: schema must be \"genllava.mixture/1\", found \"genllava.mixture/2\"\n"
             "%1$s:1:57: seed must be a whole number, found 1.5\n"
             "%1$s:1:48: epoch must be \"natural\" or a number of rows, found 0\n"
             "%1$s:2:13: unknown key \"file\"; did you mean \"files\"?\n"
             "%1$s:2:31: unknown key \"weigth\"; did you mean \"weight\"?\n"
             "%1$s:2:12: this source has no \"files\"\n"
             "%1$s:3:20: files is an empty list, expected at least one file name\n"
             "%1$s:3:71: image_root must be a folder or null, found 5\n"
             "%1$s:3:9: name must be a string, found \"\"\n"
             "%1$s:3:30: task must be understand, generate or edit, found \"draw\"\n"
             "%1$s:3:46: weight must be a number from 0, found -1\n"
             "%1$s:3:55: max must be a whole number from 0 (0: all rows), found -1\n"
             "%1$s:3:87: each score of filter must be [least, most] with null for no bound, found an array\n"
             "%1$s:4:14: the key \"files\" stands twice in this object\n"
             "%1$s:4:11: files must be file names, found 1\n"
             "%1$s:4:43: a bound of filter must be a number or null, found \"x\"\n"
             "%1$s:4:53: a source must be an object, found 3",
             f);
    CHECK_FAILS(mixture_load(&m, "data.mixture", f, NULL, NULL), ERR_USAGE, wanted);
    CHECK(!m.sources);
    CHECK_FAILS(mixture_load(&m, "data.mixture", NULL, "[]", "."), ERR_USAGE,
                "data.mixture:1:1: sources is an empty list, expected at least one source");
    CHECK_FAILS(mixture_load(&m, "data.mixture", NULL, "[{\"files\":\"a\",\"filter\":{\"clip\":[0.4,0.2]}}]", "."), ERR_USAGE,
                "data.mixture:1:32: the bounds of \"clip\" are [0.4, 0.2], expected [least, most]");
    CHECK_FAILS(mixture_load(&m, "data.mixture", NULL, "[{\"files\":\"a\",\"format\":\"sharegpt\"}]", "."), ERR_USAGE,
                "data.mixture:1:24: format is \"sharegpt\": rows of \"conversations\" or \"messages\" are told by their content; leave "
                "\"format\" out");
    CHECK_FAILS(mixture_load(&m, "data.mixture", NULL, "[{\"files\":\"a.tsv\"}]", "."), ERR_USAGE,
                "data.mixture:1:11: a table of captions (.tsv) has \"format\": \"captions\", found \"llava\"");
    CHECK_FAILS(mixture_load(&m, "data.mixture", NULL, "{}", "."), ERR_USAGE, "data.mixture:1:1: this mixture has no \"sources\"");
    CHECK_FAILS(mixture_load(&m, "data.mixture", NULL, "7", "."), ERR_USAGE,
                "data.mixture:1:1: a mixture must be an object with \"sources\", or a list of sources, found 7");
    static const char DATA[] = ": this is a data file, a mixture is expected: name it in the \"files\" of a source, as in [{\"files\": "
                               "[\"FILE\"], \"image_root\": \"DIR\"}]";
    static const char *const ROWS[] = {"[{\"id\":1,\"conversations\":[]},{\"id\":2,\"conversations\":[]}]", "{\"uid\":\"a\",\"turns\":[]}",
                                       "[{\"messages\":[]}]"};
    for (int i = 0; i < 3; i++) {
        f = written(ROWS[i]);
        snprintf(wanted, sizeof wanted, "%s:1:1%s", f, DATA);
        CHECK_FAILS(mixture_load(&m, "data.mixture", f, NULL, NULL), ERR_USAGE, wanted);
    }
    CHECK_FAILS(mixture_load(&m, "data.mixture", NULL, "[{},]", "."), ERR_USAGE,
                "data.mixture:1:4: trailing comma: remove the ',' before ']'");
    snprintf(wanted, sizeof wanted, "%s/absent.json: cannot be opened: No such file or directory", test_dir());
    char absent[600];
    snprintf(absent, sizeof absent, "%s/absent.json", test_dir());
    CHECK_FAILS(mixture_load(&m, "data.mixture", absent, NULL, NULL), ERR_MISSING, wanted);
}

TEST(mixture_damaged_lists_end_with_a_status)
{
    static const char LIST[] = "{\"schema\":\"genllava.mixture/1\",\"seed\":7,\"epoch\":\"natural\",\"sources\":[{\"name\":\"a\","
                               "\"files\":[\"a.json\"],\"image_root\":\".\",\"task\":\"edit\",\"weight\":0.48,\"max\":0,"
                               "\"filter\":{\"clip\":[0.2,null]}}]}";
    for (uint32_t round = 0; round < 5000; round++) {
        char text[sizeof LIST + 64];
        memcpy(text, LIST, sizeof LIST);
        text[mutate(text, sizeof LIST - 1, round)] = 0;
        Mixture m;
        Status s = mixture_load(&m, "data.mixture", NULL, text, ".");
        CHECK(s == OK || (s == ERR_USAGE && !m.sources && !strncmp(status_message(), "data.mixture:", 13)));
        mixture_free(&m);
    }
}

TEST(mixture_of_public_layouts)
{
    Mixture m;
    char wanted[600];
    REQUIRE_OK(mixture_load(&m, "data.validation", NULL,
                            "[{\"format\":\"captions\",\"files\":[\"a.tsv\",\"b.jsonl\",\"c.json\"],\"each\":2,\"as\":\"understand\"},"
                            "{\"format\":\"sharegpt4v\",\"files\":\"d.json\",\"as\":\"generate\",\"license\":\"cc-by-nc-4.0\"},"
                            "{\"format\":\"llava-reversed\",\"files\":\"e.json\",\"license\":null},{\"format\":\"laion-gpt4v\","
                            "\"files\":\"f\"},"
                            "{\"format\":\"unified\",\"files\":\"g.jsonl\",\"task\":\"edit\"},"
                            "{\"format\":\"instructpix2pix\",\"root\":\"./r\",\"split\":\"val\",\"each\":1}]", test_dir()));
    const MixtureSource *s = m.sources;
    CHECK(s[0].as == TASK_UNDERSTAND && s[0].each == 2 && s[0].requests && s[0].requests->n[TASK_GENERATE] >= 8);
    CHECK(s[0].requests->n[TASK_UNDERSTAND] >= 8);
    CHECK(s[1].as == TASK_GENERATE && s[2].as == TASK_GENERATE && s[3].as == TASK_GENERATE && s[4].task == TASK_EDIT && !s[4].requests);
    CHECK_STR(s[1].license, "cc-by-nc-4.0");
    CHECK(!s[2].license && !s[3].split && s[0].n_files == 3);
    snprintf(wanted, sizeof wanted, "%s/r", test_dir());
    CHECK_STR(s[5].files[0], wanted);
    CHECK_STR(s[5].image_root, wanted);
    CHECK_STR(s[5].split, "val");
    mixture_free(&m);
}

TEST(mixture_names_what_a_layout_does_not_have)
{
    static const char *const CASES[][2] = {
        {"{\"format\":\"caption\",\"files\":\"a.tsv\"}",
         "2:11: format is \"caption\", expected one of llava, unified, lvis-instruct4v, sharegpt4v, llava-reversed, captions, laion-gpt4v, "
         "folder, instructpix2pix, magicbrush; did you mean \"captions\"?"},
        {"{\"format\":7,\"files\":\"a.tsv\"}",
         "2:11: format is 7, expected one of llava, unified, lvis-instruct4v, sharegpt4v, llava-reversed, captions, laion-gpt4v, "
         "folder, instructpix2pix, magicbrush"},
        {"{\"format\":\"captions\",\"files\":[\"a.json\",\"b.csv\"]}",
         "2:40: the ending of a file says what is in it: files of the format \"captions\" end in .json, .tsv or .jsonl, found \"b.csv\""},
        {"{\"format\":\"captions\",\"files\":\"a.tsv\",\"task\":\"generate\"}", "2:38: sources of the format \"captions\" have no "
         "\"task\""},
        {"{\"format\":\"llava-reversed\",\"files\":\"a.json\",\"as\":\"generate\"}",
         "2:45: sources of the format \"llava-reversed\" have no \"as\""},
        {"{\"format\":\"laion-gpt4v\",\"files\":\"a\",\"each\":1}", "2:37: sources of the format \"laion-gpt4v\" have no \"each\""},
        {"{\"files\":\"a.json\",\"as\":\"generate\"}", "2:19: sources of the format \"llava\" have no \"as\""},
        {"{\"files\":\"a.json\",\"requests\":\"r.json\"}", "2:19: sources of the format \"llava\" have no \"requests\""},
        {"{\"files\":\"a.json\",\"split\":\"val\"}", "2:19: sources of the format \"llava\" have no \"split\""},
        {"{\"format\":\"magicbrush\",\"files\":\"a.json\",\"root\":\"r\"}", "2:24: sources of the format \"magicbrush\" have no \"files\""},
        {"{\"format\":\"magicbrush\"}", "2:1: this source has no \"root\""},
        {"{\"format\":\"instructpix2pix\",\"root\":7}", "2:36: root must be a folder, found 7"},
        {"{\"format\":\"sharegpt4v\",\"files\":\"a\",\"as\":\"edit\"}", "2:41: as must be understand or generate, found \"edit\""},
        {"{\"format\":\"captions\",\"files\":\"a.tsv\",\"each\":-1}", "2:45: each must be a whole number from 0 (0: all rows), found -1"},
        {"{\"format\":\"magicbrush\",\"root\":\"r\",\"split\":\"dev\"}", "2:43: split must be train or val, found \"dev\""},
        {"{\"format\":\"magicbrush\",\"root\":\"r\",\"split\":\"test\"}",
         "2:43: split is \"test\": rows to test with are never trained on; expected train or val"},
        {"{\"format\":\"captions\",\"files\":\"a.tsv\",\"requests\":[]}", "2:49: requests must be a file of request templates, found "
         "an array"},
        {"{\"format\":\"captions\",\"files\":\"a.tsv\",\"licence\":\"x\"}", "2:38: unknown key \"licence\"; did you mean \"license\"?"},
        {"{\"files\":\"a.json\",\"license\":[]}", "2:29: license must be a string or null, found an array"},
    };
    char list[512], wanted[512];
    Mixture m;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        snprintf(list, sizeof list, "[\n%s]", CASES[i][0]);
        snprintf(wanted, sizeof wanted, "data.mixture:%s", CASES[i][1]);
        CHECK_FAILS(mixture_load(&m, "data.mixture", NULL, list, test_dir()), ERR_USAGE, wanted);
    }
}

TEST(mixture_says_all_mistakes_of_request_templates)
{
    Mixture m;
    char wanted[2048], path[512];
    static const char LIST[] = "[{\"format\":\"captions\",\"files\":\"a.tsv\",\"requests\":\"r.json\"}]";
    static const struct {
        const char *text, *says; /* with the file's name for each %1$s */
    } CASES[] = {
        {"{\"schema\":\"genllava.requests/1\",\"generate\":[\"Draw\",\"{caption} {caption}\",7,\"{caption}\"],\n\"understand\":[],"
         "\"understood\":0}",
         "%1$s:2:17: unknown key \"understood\", expected schema, generate, understand\n"
         "%1$s:1:45: this template of \"generate\" holds {caption} 0 times, expected once\n"
         "%1$s:1:52: this template of \"generate\" holds {caption} 2 times, expected once\n"
         "%1$s:1:74: a request template is 7, expected a text\n"
         "%1$s:2:14: \"understand\" is an array, expected a list of templates"},
        {"{\"generate\":[\"{caption}\"]}", "%1$s:1:1: \"understand\" is absent, expected a list of templates"},
        {"[]", "%1$s:1:1: request templates are an array, expected an object"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        snprintf(path, sizeof path, "%s/r.json", test_dir());
        FILE *f = fopen(path, "w");
        REQUIRE(f && fputs(CASES[i].text, f) >= 0 && !fclose(f));
        const Status s = mixture_load(&m, "data.mixture", NULL, LIST, test_dir());
        snprintf(wanted, sizeof wanted, CASES[i].says, path);
        CHECK_INT(s, ERR_USAGE);
        const char *line = strtok(wanted, "\n");
        for (; line; line = strtok(NULL, "\n"))
            CHECK_MSG(strstr(status_message(), line) != NULL, "%s\nlacks %s", status_message(), line);
    }
    REQUIRE_OK(mixture_load(&m, "data.mixture", NULL, "[{\"format\":\"captions\",\"files\":\"/dev/null.tsv\",\"requests\":\"gone.json\"}]",
                            test_dir()));
    snprintf(wanted, sizeof wanted,
             "%s/gone.json: cannot be opened: No such file or directory (the requests of source \"null\" of the mixture)", test_dir());
    CHECK_INT(mixture_check_files(&m, true), ERR_MISSING);
    CHECK_MSG(strstr(status_message(), wanted) != NULL, "%s", status_message());
    mixture_free(&m);
}

TEST(mixture_says_what_becomes_of_near_duplicates)
{
    Mixture m;
    REQUIRE_OK(
        mixture_load(&m, "data.mixture", written("{\"near_duplicates\":\"drop\",\"sources\":[{\"files\":\"a.json\"}]}"), NULL, NULL));
    CHECK(m.drop_near);
    mixture_free(&m);
    REQUIRE_OK(
        mixture_load(&m, "data.mixture", written("{\"near_duplicates\":\"keep\",\"sources\":[{\"files\":\"a.json\"}]}"), NULL, NULL));
    CHECK(!m.drop_near);
    mixture_free(&m);
    CHECK_FAILS(mixture_load(&m, "data.mixture", NULL, "{\"near_duplicates\":true,\"sources\":[{\"files\":\"a.json\"}]}", "."), ERR_USAGE,
                "data.mixture:1:20: near_duplicates must be \"keep\" or \"drop\", found true");
}

/* The mixture that comes with the repository says where each part is from and under which license. */
TEST(mixture_of_the_real_recipe)
{
    char file[512];
    snprintf(file, sizeof file, "%s", test_fixture("../../configs/mixture-genllava.json"));
    Mixture m;
    JsonDoc *doc;
    REQUIRE_OK(mixture_load(&m, "data.mixture", file, NULL, NULL));
    REQUIRE_OK(json_read_file(&doc, file));
    int tasks[N_TASKS] = {0};
    const Json *s = json_get(json_root(doc), "sources")->child;
    for (int i = 0; i < m.n_sources; i++, s = s->next) {
        CHECK_MSG(json_get(s, "//") && json_get(s, "license"), "%s says where it is from, and its license", m.sources[i].name);
        tasks[m.sources[i].as]++;
    }
    CHECK(m.n_sources == 9 && tasks[TASK_UNDERSTAND] == 3 && tasks[TASK_GENERATE] == 4 && tasks[TASK_EDIT] == 2);
    json_free(&doc);
    mixture_free(&m);
}
