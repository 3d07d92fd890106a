/* chat.h: generate --ask and --chat: a question, or a conversation that may draw. */
#ifndef GENLLAVA_EVAL_CHAT_H
#define GENLLAVA_EVAL_CHAT_H

#include "eval/session.h"

/* Prints the answer. out: the file of the picture that the answer may draw, whose name is printed where it stands; NULL: it is not drawn.
 */
MUST_USE Status chat_ask(const Session *s, const char *text, const char *const *images, int n_images, const char *out);
/* A question a line on standard input, until it ends. "/draw TEXT" draws, "/edit TEXT" edits the picture last shown or drawn; an answer may
 * draw by itself. Pictures become files of the folder out, and their names are printed. */
MUST_USE Status chat_run(const Session *s, const char *const *images, int n_images, const char *out);
#endif
