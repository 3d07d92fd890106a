/* options.h: every key does something. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness.h"
#include "train/config/options.h"

/* Where the struct of a key is named as in the table (model.lora.r, data.template_, model.tokens.task_edit) by those whom the settings are
 * for. */
#define READERS "kernels data train/*.c train/config/plan.c train/[!c]* eval tools"

TEST(every_key_has_a_reader)
{
    for (int i = 0; i < N_OPTIONS; i++) {
        char command[512];
        const char *member = OPTIONS[i].kind == OPTION_PROJECTOR ? "model.projector.depth" : OPTIONS[i].key;
        snprintf(command, sizeof command, "grep -rqE --include='*.[ch]' '([>.]|KEY\\()%s_?([^A-Za-z0-9_]|$)' " READERS, member);
        CHECK_MSG(system(command) == 0, "nothing reads RunConfig.%s", member);
    }
}
