/* check.h: what the tests of report share: run folders that they write, pages of them, and what holds of every page. */
#ifndef GENLLAVA_TESTS_TOOLS_REPORT_CHECK_H
#define GENLLAVA_TESTS_TOOLS_REPORT_CHECK_H

#include "tools/report/report.h"

/* A folder of the test with this name, made where it is not there; returns its path, valid until the next call but seven. */
const char *run_folder(const char *name);
/* "FOLDER/NAME" with this text, in a folder that is made where it is not there. */
void put_file(const char *folder, const char *name, const char *text);
/* Lines of steps `first` … `last` behind those that train.jsonl has: loss is `loss` divided by the step. */
void put_steps(const char *folder, int first, int last, double loss);

/* The page of these runs, or their text for a terminal; mem_free. Each page is checked. */
char *page_of(const char *const *folders, int n);
char *text_of(const char *const *folders, int n, int columns, bool utf8);

/* Fails the test where a page is not well-formed (tags and quotes closed, nothing but known entities, each id once), holds a character that
 * a reader would obey, more than one script, or anything that is fetched. */
void check_page(const char *html);
bool holds(const char *text, const char *part);
int count_of(const char *text, const char *part);
#endif
