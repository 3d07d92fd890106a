/* instructpix2pix.c: filled in by its own change */
#include "data/records/format.h"
const Feed INSTRUCTPIX2PIX_FEED = {0};
