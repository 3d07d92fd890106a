/* laion.c: filled in by its own change */
#include "data/records/format.h"
const Feed LAION_FEED = {0};
