/* sets.c: see sets.h. */
#include "eval/metrics/sets.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "eval/features/feature_file.h"
#include "eval/features/make_features.h"
#include "eval/metrics/feature_set.h"

static const char *const FILES[SETS] = {"1.h5", "2.h5"};
static char temporary[PATH_MAX]; /* the folder of these; "": there is none */

void sets_remove(void)
{
    feature_file_abandon();
    const int folder = *temporary ? open(temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    for (int i = 0; folder >= 0 && i < SETS; i++)
        unlinkat(folder, FILES[i], 0);
    if (folder >= 0) {
        close(folder);
        rmdir(temporary);
    }
    *temporary = 0;
}

static bool is_folder(const char *word)
{
    struct stat st;
    return !stat(word, &st) && S_ISDIR(st.st_mode);
}

static bool is_texts(const char *word, const SetNetwork *n) { return n->reads_texts && feature_set_ends(word, ".jsonl"); }

static Status make_set(char path[PATH_MAX], const char *word, int which, const SetNetwork *n)
{
    FeaturesMade made;
    FeatureRequest r = {.model = n->weights, .out = path, .device = (DeviceChoice)n->device};
    if (!n->weights)
        return fail(ERR_USAGE, "%s: %s is %s, and no file of features: give the network, %s", n->command, word,
                    is_folder(word) ? "a folder of pictures" : "a list of texts", n->flag);
    if (!*temporary)
        TRY(file_make_temporary(temporary, "features"));
    file_join(path, temporary, FILES[which]);
    if (is_folder(word))
        r.images = word;
    else
        r.texts = word;
    r.prefix = r.texts ? n->prefix : NULL;
    return features_make(&r, &made);
}

/* What would change nothing is a mistake. */
static Status check_prefix(const CliList *words, const SetNetwork *n)
{
    for (int i = 0; n->prefix && i < SETS; i++)
        if (is_texts(words->items[i], n))
            return OK;
    return n->prefix ? fail(ERR_USAGE, "%s: --prefix stands before texts, expected a FILE.jsonl of them", n->command) : OK;
}

Status sets_open(char paths[SETS][PATH_MAX], const CliList *words, const SetNetwork *n)
{
    TRY(check_prefix(words, n));
    for (int i = 0; i < SETS; i++) {
        if (is_folder(words->items[i]) || is_texts(words->items[i], n))
            TRY(make_set(paths[i], words->items[i], i, n));
        else
            snprintf(paths[i], PATH_MAX, "%s", words->items[i]);
    }
    return OK;
}
