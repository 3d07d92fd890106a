#include "data/records.h"

const char *reject_name(Reject r)
{
    static const char *const NAMES[] = {
#define REJECT_TEXT(name, text) text,
        REJECT_LIST(REJECT_TEXT)
#undef REJECT_TEXT
    };
    return NAMES[r];
}
