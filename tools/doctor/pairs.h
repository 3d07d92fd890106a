/* pairs.h: things that are known not to work together, or slowly, and what to do about each. Called by doctor. */
#ifndef GENLLAVA_TOOLS_DOCTOR_PAIRS_H
#define GENLLAVA_TOOLS_DOCTOR_PAIRS_H

#include "tools/doctor/facts.h"

enum { PAIRS_MOST = 16 };
typedef struct Finding {
    bool fatal;      /* what was found does not work; else it works, but slowly or with less */
    char text[2048]; /* what, and what to do */
} Finding;

/* Returns how many there are. */
int pairs_judge(Finding out[PAIRS_MOST], const Facts *f);
#endif
