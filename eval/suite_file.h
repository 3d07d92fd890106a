/* suite_file.h: a suite as people write it. Called by suite.c. */
#ifndef GENLLAVA_EVAL_SUITE_FILE_H
#define GENLLAVA_EVAL_SUITE_FILE_H

#include "eval/network_files.h"

enum { SUITE_MOST = 64, SUITE_REPLIES = 16 };

typedef struct SuiteEntry {
    const Bench *bench;
    BenchData data;                     /* its folder is absolute, or relative to the working directory as the suite's file is */
    const char *replies[SUITE_REPLIES]; /* of its judge */
    int n_replies;
    NetworkFolders networks; /* of a benchmark of pictures */
} SuiteEntry;

typedef struct Suite {
    Pool pool; /* of its texts */
    SuiteEntry entry[SUITE_MOST];
    int n;
} Suite;

/* {"schema":"genllava.suite/1","benchmarks":[{"bench":"pope","data":"DIR","split":"val","limit":100,"replies":["FILE"]}]}, paths relative
 * to the file. All mistakes at once, ERR_USAGE, a line each with file:line:column. */
MUST_USE Status suite_read(Suite *s, const char *file);
void suite_free(Suite *s);
#endif
