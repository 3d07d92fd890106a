/* config_reader.h: what the two halves of reading a config share: config.c walks the file, config_values.c takes a value for its key. */
#ifndef GENLLAVA_TRAIN_CONFIG_CONFIG_READER_H
#define GENLLAVA_TRAIN_CONFIG_CONFIG_READER_H

#include "data/formats/json.h"
#include "train/config/options.h"

typedef struct ConfigReader {
    RunConfig *cfg;
    const char *source;   /* as messages name it: the file, or "--set KEY" */
    const char *base;     /* absolute folder that relative paths start from */
    bool from_file;       /* positions are meaningful */
    ConfigPlace *places;        /* [N_OPTIONS] */
    char *mistakes;       /* lines */
    size_t n_mistakes, length;
    bool no_memory;
} ConfigReader;

/* Adds a line to the list. line 0: no position (a value given by --set, or a default). */
void config_mistake(ConfigReader *r, int line, int column, const char *format, ...) PRINTF_LIKE(4, 5);
/* What a value looks like, in short, into buf; returns buf. */
const char *config_found(const Json *v, char *buf, size_t n);
/* Puts a value where its key's goes; mistakes are listed. at: the node whose key stands for the position. */
void config_take_value(ConfigReader *r, const Option *o, const Json *at, const Json *v);
/* The value null: nothing there. */
void config_set_null(ConfigReader *r, const Option *o);
void config_set_string(ConfigReader *r, char **where, const char *text);
void config_clear_list(StringList *l);
#endif
