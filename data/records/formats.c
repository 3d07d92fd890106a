/* formats.c: the table of public layouts (format.h). Called by mixture.c and records.c. */
#include "data/records/format.h"

#include <string.h>

enum {
    ROWS = KEY_FILES | KEY_IMAGE_ROOT,
    CAPTIONED = ROWS | KEY_AS | KEY_REQUESTS,
    CAPTIONED_ROOT = KEY_ROOT | KEY_AS | KEY_REQUESTS,
};

const Format FORMATS[] = {
    {"llava", ROWS | KEY_TASK, TASK_UNDERSTAND, {0}},
    {"unified", ROWS | KEY_TASK, TASK_UNDERSTAND, {0}},
    {"lvis-instruct4v", ROWS, TASK_UNDERSTAND, {0}},
    {"sharegpt4v", CAPTIONED, TASK_UNDERSTAND, {[TASK_GENERATE] = &REVERSED_FEED}},
    {"llava-reversed", ROWS | KEY_REQUESTS, TASK_GENERATE, {[TASK_GENERATE] = &REVERSED_FEED}},
    {"captions", CAPTIONED | KEY_EACH, TASK_GENERATE, {[TASK_UNDERSTAND] = &CAPTIONS_FEED, [TASK_GENERATE] = &CAPTIONS_FEED}},
    {"laion-gpt4v", CAPTIONED, TASK_GENERATE, {[TASK_UNDERSTAND] = &LAION_FEED, [TASK_GENERATE] = &LAION_FEED}},
    {"folder", CAPTIONED_ROOT | KEY_EACH, TASK_GENERATE, {[TASK_UNDERSTAND] = &FOLDER_FEED, [TASK_GENERATE] = &FOLDER_FEED}},
    {"instructpix2pix", KEY_ROOT | KEY_SPLIT | KEY_EACH, TASK_EDIT, {[TASK_EDIT] = &INSTRUCTPIX2PIX_FEED}},
    {"magicbrush", KEY_ROOT | KEY_SPLIT, TASK_EDIT, {[TASK_EDIT] = &MAGICBRUSH_FEED}},
};

int format_count(void) { return (int)(sizeof FORMATS / sizeof *FORMATS); }

const Format *format_named(const char *name)
{
    for (int i = 0; i < format_count(); i++)
        if (!strcmp(FORMATS[i].name, name))
            return &FORMATS[i];
    return NULL;
}
