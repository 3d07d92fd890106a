/* captions.h: the kinds of files of the layout "captions", each with its feed. */
#ifndef GENLLAVA_DATA_RECORDS_CAPTIONS_H
#define GENLLAVA_DATA_RECORDS_CAPTIONS_H

#include "data/records/format.h"

extern const Feed COCO_FEED, TSV_FEED;
#endif
