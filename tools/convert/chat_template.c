/* chat_template.c: Jinja templates of prompts (chat_template.h): the texts of data/text/template.h as settings, and what is done with them.
 * Called by the writers of folders for Hugging Face and of GGUF. */
#include "tools/convert/chat_template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_fields.h"
#include "data/text/template.h"
#include "kernels/base/arena.h"

enum { TEMPLATE_BYTES_MAX = 1 << 24 };

/* ---------------------------------------------------------------- settings */

static void put_literal(FILE *out, const char *text, size_t n)
{
    fputc('\'', out);
    for (const char *at = text; at < text + n; at++)
        if (*at == '\n')
            fputs("\\n", out);
        else if (*at == '\'' || *at == '\\')
            fprintf(out, "\\%c", *at);
        else
            fputc(*at, out);
    fputc('\'', out);
}

static void set_text(FILE *out, const char *name, const char *text)
{
    fprintf(out, "{%%- set %s = ", name);
    if (text)
        put_literal(out, text, strlen(text));
    else
        fputs("none", out);
    fputs(" -%}\n", out);
}

static void set_bool(FILE *out, const char *name, bool value) { fprintf(out, "{%%- set %s = %s -%%}\n", name, value ? "true" : "false"); }

/* A text as it stands directly before a task token, which takes one blank before it, in transformers all white space. */
static void set_text_before_task(FILE *out, const char *name, const char *text, bool for_llama_cpp)
{
    size_t n = strlen(text);
    n -= n && text[n - 1] == ' ';
    size_t kept = n;
    while (!for_llama_cpp && kept && text[kept - 1] == '\n')
        kept--;
    fprintf(out, "{%%- set %s = ", name);
    put_literal(out, text, kept);
    for (; kept < n; kept++)
        fputs(" ~ line_break", out);
    fputs(" -%}\n", out);
}

/* ---------------------------------------------------------------- what all templates do */

/* said: the text of a content, which is a string or a list of parts. pictures: a line for each picture of it, be it a part, the image
 * token in the text, or a marker of llama-server there. words: the text without these. */
static const char MACROS[] =
    "{%- macro said(content) -%}\n"
    "  {%- if content is string -%}\n"
    "    {{- content -}}\n"
    "  {%- else -%}\n"
    "    {%- for part in (content or []) -%}\n"
    "      {%- if part['type'] == 'text' -%}{{- part['text'] -}}{%- endif -%}\n"
    "    {%- endfor -%}\n"
    "  {%- endif -%}\n"
    "{%- endmacro -%}\n"
    "{%- macro pictures(content) -%}\n"
    "  {%- if content is not string -%}\n"
    "    {%- for part in (content or []) -%}\n"
    "      {%- if part['type'] in ['image', 'image_url'] -%}\n"
    "        {%- if not image -%}{{- raise_exception('this model, as it was exported, is not shown pictures') -}}{%- endif -%}\n"
    "        {{- image ~ '\\n' -}}\n"
    "      {%- elif part['type'] != 'text' -%}\n"
    "        {{- raise_exception('a content is made of parts of type text and image, not ' ~ part['type']) -}}\n"
    "      {%- endif -%}\n"
    "    {%- endfor -%}\n"
    "  {%- endif -%}\n"
    "  {%- set text = said(content) -%}\n"
    "  {%- if image -%}\n"
    "    {%- for piece in text.split(image) -%}{%- if not loop.first -%}{{- image ~ '\\n' -}}{%- endif -%}{%- endfor -%}\n"
    "  {%- endif -%}\n"
    "  {%- for piece in text.split('<__media') -%}\n"
    "    {%- if not loop.first and '__>' in piece -%}{{- '<__media' ~ piece.split('__>')[0] ~ '__>\\n' -}}{%- endif -%}\n"
    "  {%- endfor -%}\n"
    "{%- endmacro -%}\n"
    "{%- macro words(content) -%}\n"
    "  {%- set text = said(content) -%}\n"
    "  {%- if image -%}{%- set text = text.replace(image, '') -%}{%- endif -%}\n"
    "  {%- for piece in text.split('<__media') -%}\n"
    "    {%- if loop.first -%}\n"
    "      {{- piece -}}\n"
    "    {%- elif '__>' in piece -%}\n"
    "      {{- piece.split('__>')[1:] | join('__>') -}}\n"
    "    {%- else -%}\n"
    "      {{- '<__media' ~ piece -}}\n"
    "    {%- endif -%}\n"
    "  {%- endfor -%}\n"
    "{%- endmacro -%}\n";

static const char ROUNDS[] =
    "{%- set has = namespace(turns=messages, system=system, pictures=false) -%}\n"
    "{%- if messages[0]['role'] == 'system' -%}\n"
    "  {%- set has.turns = messages[1:] -%}\n"
    "  {%- if said(messages[0]['content']) -%}{%- set has.system = said(messages[0]['content']) -%}{%- endif -%}\n"
    "{%- endif -%}\n"
    "{%- for message in has.turns -%}\n"
    "  {%- if message['role'] == 'user' and pictures(message['content']) -%}{%- set has.pictures = true -%}{%- endif -%}\n"
    "{%- endfor -%}\n"
    "{%- for message in has.turns -%}\n"
    "  {%- if message['role'] != ('user' if loop.index0 % 2 == 0 else 'assistant') -%}\n"
    "    {{- raise_exception('turns are from user and assistant by turns, after a system text if there is one') -}}\n"
    "  {%- endif -%}\n"
    "  {%- if message['role'] == 'user' -%}\n"
    "    {%- set has_task = loop.first and has.pictures and task -%}\n"
    "    {%- set has_system = loop.first and has.system -%}\n"
    "    {%- if loop.first or bos_each_round -%}{{- bos_token -}}{%- endif -%}\n"
    "    {%- if has_system and system_first -%}{{- system_open ~ has.system ~ system_close -}}{%- endif -%}\n"
    "    {%- if has_system and not system_first -%}\n"
    "      {{- human_open ~ system_open ~ has.system ~ (system_close_task if has_task else system_close) -}}\n"
    "    {%- else -%}\n"
    "      {{- human_open_task if has_task else human_open -}}\n"
    "    {%- endif -%}\n"
    "    {%- if has_task -%}{{- task -}}{%- endif -%}\n"
    "    {%- set shown = pictures(message['content']) -%}\n"
    "    {%- set text = words(message['content']) -%}\n"
    "    {%- if shown -%}{%- set text = (shown ~ (text | trim)) | trim -%}{%- endif -%}\n"
    "    {{- text ~ human_close -}}\n"
    "  {%- else -%}\n"
    "    {{- answer_open ~ (said(message['content']) | trim) ~ answer_close ~ eos_token -}}\n"
    "  {%- endif -%}\n"
    "{%- endfor -%}\n";

/* A question is dropped but for its pictures, which stand without line breaks. */
static const char PICTURES_ONLY[] = "{%- for message in messages -%}\n"
                                    "  {%- if loop.index0 > 1 or message['role'] != ['user', 'assistant'][loop.index0] -%}\n"
                                    "    {{- raise_exception('this model takes one user and one assistant turn, and no system text') -}}\n"
                                    "  {%- endif -%}\n"
                                    "  {%- if message['role'] == 'user' -%}\n"
                                    "    {{- bos_token ~ pictures(message['content']).replace('\\n', '') -}}\n"
                                    "  {%- else -%}\n"
                                    "    {{- (said(message['content']) | trim) ~ answer_close -}}\n"
                                    "  {%- endif -%}\n"
                                    "{%- endfor -%}\n";

/* ---------------------------------------------------------------- the file */

static const char FIRST_LINE[] = "{#- Prompts as they were trained: GenLLaVA, data.template %s. -#}\n";

static void write_template(FILE *out, const ChatTemplateOptions *o)
{
    const ChatFormat *f = chat_format(o->chat);
    fprintf(out, FIRST_LINE, f->name);
    set_text(out, "image", o->image);
    set_text(out, "answer_close", f->answer_close);
    if (!f->pictures_only) {
        set_text(out, "task", o->task);
        set_text(out, "human_open", f->human_open);
        set_text(out, "human_close", f->human_close);
        set_text(out, "answer_open", f->answer_open);
        set_bool(out, "bos_each_round", f->bos_each_round);
        set_text(out, "system", f->system);
        set_text(out, "system_open", f->system_open);
        set_text(out, "system_close", f->system_close);
        set_bool(out, "system_first", f->system_first);
        if (!o->for_llama_cpp)
            fputs("{#- Stands for a line break where the task token would take it away; the tokenizer makes it one. -#}\n"
                  "{%- set line_break = '\\ufdd0' -%}\n",
                  out);
        set_text_before_task(out, "human_open_task", f->human_open, o->for_llama_cpp);
        set_text_before_task(out, "system_close_task", f->system_close, o->for_llama_cpp);
    }
    fputs(MACROS, out);
    fputs(f->pictures_only ? PICTURES_ONLY : ROUNDS, out);
}

Status chat_template_text(char **text, const ChatTemplateOptions *o)
{
    size_t n;
    *text = NULL;
    FILE *out = open_memstream(text, &n);
    if (out)
        write_template(out, o);
    const bool failed = !out || ferror(out);
    if ((out && fclose(out)) || failed) {
        mem_free(*text);
        *text = NULL;
        return fail(ERR_NOMEM, "no memory for a chat template");
    }
    return OK;
}

/* ---------------------------------------------------------------- templates that are there */

static Status read_from_json(char **text, const char *folder, const char *name)
{
    JsonFields f;
    TRY(fields_open(&f, folder, name));
    const Json *found = fields_get(f.top, "chat_template"); /* a list is of several, by name */
    if (found && found->kind == JSON_STRING && !(*text = mem_strdup(found->string)))
        f.status = fail(ERR_NOMEM, "%s: no memory for its chat template", f.file);
    Status s = f.status;
    fields_close(&f);
    return s;
}

Status chat_template_read(char **text, const char *folder)
{
    static const char *const JSON_FILES[] = {"chat_template.json", "tokenizer_config.json"};
    char path[PATH_MAX];
    size_t n;
    *text = NULL;
    if (file_exists(file_join(path, folder, "chat_template.jinja")))
        return file_read(text, &n, path, TEMPLATE_BYTES_MAX);
    for (size_t i = 0; i < sizeof JSON_FILES / sizeof *JSON_FILES && !*text; i++)
        if (file_exists(file_join(path, folder, JSON_FILES[i])))
            TRY(read_from_json(text, folder, JSON_FILES[i]));
    return OK;
}

bool chat_template_is_ours(ChatTemplate *chat, const char *text)
{
    for (int i = CHAT_MISTRAL_INSTRUCT; i <= CHAT_PLAIN; i++) {
        char line[160];
        const int n = snprintf(line, sizeof line, FIRST_LINE, chat_format((ChatTemplate)i)->name);
        if (!strncmp(text, line, (size_t)n)) {
            *chat = (ChatTemplate)i;
            return true;
        }
    }
    return false;
}
