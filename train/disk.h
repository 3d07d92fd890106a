/* disk.h has moved; this name stays until nothing includes it. */
#ifndef GENLLAVA_TRAIN_DISK_H
#define GENLLAVA_TRAIN_DISK_H

#include "data/formats/disk.h"

#endif
