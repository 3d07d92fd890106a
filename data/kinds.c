/* kinds.c: how files and reports spell the kinds. */
#include "data/kinds.h"

const char *const TASK_NAMES[N_TASKS] = {"understand", "generate", "edit"};
const char *const ROLE_NAMES[N_ROLES] = {"input", "target", "mask"};
const char *const KIND_NAMES[N_KINDS] = {"text", "visual", "task", "image"};
const char *const CACHE_NAMES[N_CACHES] = {"latents", "clip_text"};

const char *reject_name(Reject r)
{
    static const char *const NAMES[] = {
#define REJECT_TEXT(name, text) text,
        REJECT_LIST(REJECT_TEXT)
#undef REJECT_TEXT
    };
    return NAMES[r];
}

bool reject_is_choice(Reject r) { return r == REJECT_FILTERED || r == REJECT_NEAR || r == REJECT_LISTED; }
