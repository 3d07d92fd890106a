/* request_form.h: the line of a request file that asks one thing, for either API. Called by request. */
#ifndef GENLLAVA_DATA_CURATE_REQUEST_FORM_H
#define GENLLAVA_DATA_CURATE_REQUEST_FORM_H

#include "data/curate/line.h"
#include "data/curate/recipe.h"
#include "data/curate/sent_picture.h"

typedef enum Api { API_CHAT, API_RESPONSES, N_APIS } Api;

/* What all requests of a recipe have in common. */
typedef struct RequestForm {
    Api api;
    const char *detail; /* "low", "high", "auto" */
    Line head;          /* between the id and the user's text */
} RequestForm;

/* recipe: with a model. */
MUST_USE Status request_form_make(RequestForm *f, const Recipe *recipe, Api api, const char *detail);
void request_form_free(RequestForm *f);
/* A line is begun, given pictures, and ended. prompt: the user's text as the inside of a JSON string. */
void request_begin(const RequestForm *f, Line *out, const char *id, const Line *prompt);
void request_add_picture(const RequestForm *f, Line *out, const SentPicture *picture);
void request_end(Line *out); /* without a newline */
#endif
