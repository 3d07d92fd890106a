/* inception_weights.h: random weights of a small Inception-v3, for tests of what it sees. */
#ifndef GENLLAVA_TESTS_EVAL_FEATURES_INCEPTION_WEIGHTS_H
#define GENLLAVA_TESTS_EVAL_FEATURES_INCEPTION_WEIGHTS_H

#include <limits.h>

/* Those that tests/fixtures/features/inception/weights.txt describes, as a file in the folder of this test; `without`: but for this tensor,
 * or NULL. Returns path. */
const char *inception_weights(char path[PATH_MAX], const char *without);
#endif
