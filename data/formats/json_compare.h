/* json_compare.h: where two JSON documents differ. A run that resumes asks it, and shards that may be stale. */
#ifndef GENLLAVA_DATA_FORMATS_JSON_COMPARE_H
#define GENLLAVA_DATA_FORMATS_JSON_COMPARE_H

#include <stdio.h>

#include "data/formats/json.h"

/* path: "sources[0].name"; there, here: what stands in each, NULL where nothing does. */
typedef Status (*JsonDifference)(void *arg, const char *path, const Json *there, const Json *here);
/* Calls `found` for every value that differs, in the order of `here`; lists of other lengths differ as wholes. Ends with the first call
 * that fails. */
MUST_USE Status json_compare(const Json *there, const Json *here, JsonDifference found, void *arg);
/* NULL: "nothing". */
MUST_USE Status json_value_print(FILE *out, const Json *v);
/* One difference as a line for people: "path: 2 there, 3 here". A line that follows another begins with a newline. */
MUST_USE Status json_difference_print(FILE *out, const char *path, const Json *there, const Json *here);
#endif
