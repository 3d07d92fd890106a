/* config_reader.h: what the two halves of reading a config share: config.c walks the file, config_values.c takes a value for its key. */
#ifndef GENLLAVA_TRAIN_CONFIG_CONFIG_READER_H
#define GENLLAVA_TRAIN_CONFIG_CONFIG_READER_H

#include "data/formats/json.h"
#include "data/formats/mistakes.h"
#include "train/config/options.h"

typedef struct ConfigReader {
    RunConfig *cfg;
    const char *source;  /* as messages name it: the file, or "--set KEY" */
    const char *base;    /* absolute folder that relative paths start from */
    bool from_file;      /* positions are meaningful */
    ConfigPlace *places; /* [N_OPTIONS] */
    Mistakes mistakes;
} ConfigReader;

/* A mistake at the key of `at`, whose position means something in a file alone. */
#define config_mistake(r, at, ...) mistakes_add(&(r)->mistakes, (r)->source, (r)->from_file ? (at)->key_line : 0, (at)->key_column, \
                                                __VA_ARGS__)

/* Puts a value where its key's goes; mistakes are listed. at: the node whose key stands for the position. */
void config_take_value(ConfigReader *r, const Option *o, const Json *at, const Json *v);
/* The value null: nothing there. */
void config_set_null(ConfigReader *r, const Option *o);
void config_set_string(ConfigReader *r, char **where, const char *text);
void config_clear_list(StringList *l);
void config_clear_mixture(MixtureSetting *m);
#endif
