/* reversed.c: filled in by its own change */
#include "data/records/format.h"
const Feed REVERSED_FEED = {0};
