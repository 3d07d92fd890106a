/* checkpoint.h: what state.json may say, and what it tells of the data. */
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"
#include "train/models/model.h"
#include "train/store/checkpoint.h"

static const char *make_state(const char *name, const char *members)
{
    static char folder[PATH_MAX];
    char path[PATH_MAX], text[1024];
    REQUIRE_OK(file_make_folders(file_join(folder, test_dir(), name)));
    snprintf(text, sizeof text, "{\"schema\":\"genllava.state/1\",%s}", members);
    REQUIRE_OK(file_replace(file_join(path, folder, "state.json"), text));
    return folder;
}

static Status resume(const char *name, long long step, long long skipped)
{
    GenLlava model = {0};
    RunConfig cfg = {0};
    TrainState state = {0};
    char members[256];
    snprintf(members, sizeof members, "\"step\":%lld,\"skipped_steps\":%lld,\"skipped_samples\":0,\"samples\":9,\"tokens\":9,\"images\":0",
             step, skipped);
    return checkpoint_resume(make_state(name, members), &model, &cfg, true, &state);
}

TEST(checkpoint_counts_as_far_as_runs_do)
{
    CHECK_INT(resume("checkpoint-1000000000000000000", 1000000000000000000, 0), ERR_DATA);
    CHECK(strstr(status_message(), "state.json"));
    CHECK_INT(resume("other", 1000000000000001, 0), ERR_DATA);
    CHECK(strstr(status_message(), "step is 1000000000000001"));
    CHECK_INT(resume("other", -1, 0), ERR_DATA);
    CHECK_INT(resume("other", 3, 4), ERR_DATA);
    CHECK_INT(resume("checkpoint-000004", 3, 0), ERR_DATA);
    CHECK(strstr(status_message(), "step is 3, but the folder is that of step 4"));
}

TEST(checkpoint_tells_how_its_data_differs)
{
    static const char HERE[] = "{\"files\":{\"/a\":{\"bytes\":2}},\"shards\":\"y\"}";
    bool known;
    char *lines;
    const char *folder = make_state("a", "\"step\":1");
    CHECK_OK(checkpoint_compare_data(folder, HERE, &known, &lines));
    CHECK(!known && !lines); /* of an earlier version */
    folder = make_state("a", "\"data\":{\"files\":{\"/a\":{\"bytes\":2}},\"shards\":null}");
    CHECK_OK(checkpoint_compare_data(folder, HERE, &known, &lines));
    CHECK(known && !lines); /* whose shards are not made yet */
    folder = make_state("a", "\"data\":{\"files\":{\"/a\":{\"bytes\":2}},\"shards\":\"x\"}");
    CHECK_OK(checkpoint_compare_data(folder, HERE, &known, &lines));
    CHECK_STR(lines, "the pictures, or the rows made from these files, are others");
    mem_free(lines);
    folder = make_state("a", "\"data\":{\"files\":{\"/a\":{\"bytes\":1}},\"shards\":\"x\"}");
    CHECK_OK(checkpoint_compare_data(folder, HERE, &known, &lines));
    CHECK_STR(lines, "files./a.bytes: 1 there, 2 here");
    mem_free(lines);
}
