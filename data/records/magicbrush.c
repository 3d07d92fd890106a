/* magicbrush.c: filled in by its own change */
#include "data/records/format.h"
const Feed MAGICBRUSH_FEED = {0};
