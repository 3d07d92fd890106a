/* recipe.c: reads a recipe and says all its mistakes at once (recipe.h). */
#include "data/curate/recipe.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "data/built_in.h"
#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/formats/mistakes.h"
#include "data/formats/sha256.h"
#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "kernels/base/utf8.h"

static const char SCHEMA[] = "genllava.recipe/1";
enum { DEFAULT_MAX_TOKENS = 700, MOST_TOKENS = 1 << 20, MOST_WORDS = 1 << 20, NAME_BYTES = 64 };

#define QUESTION {"question", 2, 60, false}
#define ANSWER {"answer", 1, 300, false}
const KindRule RECIPE_KINDS[N_RECIPE_KINDS] = {
    [RECIPE_CONVERSATION] = {"conversation", TASK_UNDERSTAND, "turns", {QUESTION, ANSWER}},
    [RECIPE_DETAIL] = {"detail", TASK_UNDERSTAND, NULL, {{"description", 5, 400, false}}},
    [RECIPE_REASONING] = {"reasoning", TASK_UNDERSTAND, NULL, {QUESTION, ANSWER}},
    [RECIPE_DRAW] = {"draw", TASK_GENERATE, NULL, {{"request", 3, 60, false}, {"caption", 5, 200, false}}},
    [RECIPE_EDIT] = {"edit", TASK_EDIT, NULL, {{"instruction", 3, 60, false}, {"output", 5, 200, false}, {"expressive", 3, 120, true}}},
};

bool recipe_has_role(RecipeKind kind, ImageRole role)
{
    switch (RECIPE_KINDS[kind].task) {
    case TASK_UNDERSTAND: return role == ROLE_INPUT;
    case TASK_GENERATE: return role == ROLE_TARGET;
    default: return true;
    }
}

static const char *const IMAGES[N_RECIPE_IMAGES] = {"all", "input", "target", "none"};

/* ---------------------------------------------------------------- the built-in ones */

/* The name of the i-th built-in recipe, of at most NAME_BYTES; NULL behind the last. */
static const char *next_builtin(int *i, char name[NAME_BYTES])
{
    const char *path;
    while ((path = built_in_name((*i)++)))
        if (sscanf(path, "curate/%63[^.].json", name) == 1)
            return name;
    return NULL;
}

/* ---------------------------------------------------------------- values */

typedef struct Reader {
    const char *name; /* what messages call the text */
    Mistakes mistakes;
} Reader;

#define mistake(r, v, ...) mistakes_add(&(r)->mistakes, (r)->name, (v)->line, (v)->column, __VA_ARGS__)
#define key_mistake(r, v, ...) mistakes_add(&(r)->mistakes, (r)->name, (v)->key_line, (v)->key_column, __VA_ARGS__)

static void wrong(Reader *r, const Json *v, const char *allowed)
{
    char text[96];
    mistake(r, v, "%s must be %s, found %s", v->key, allowed, json_show(v, text, sizeof text));
}

/* The keys of an object: those n known ones alone, each once; comments pass. */
static void check_keys(Reader *r, const Json *object, const char *const *keys, int n)
{
    for (const Json *m = object->child; m; m = m->next) {
        bool known = json_is_comment(m->key);
        for (int i = 0; i < n && !known; i++)
            known = !strcmp(m->key, keys[i]);
        if (m->repeated) {
            key_mistake(r, m, "the key \"%.200s\" stands twice in this object", m->key);
        } else if (!known) {
            const char *near = cli_nearest(m->key, keys, n);
            key_mistake(r, m, "unknown key \"%.100s\"%s%s%s", m->key, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
        }
    }
}

static char *copied(Reader *r, const char *text)
{
    char *copy = mem_strdup(text);
    r->mistakes.no_memory |= !copy;
    return copy;
}

static bool is_text(const Json *v) { return v->kind == JSON_STRING && v->length && strlen(v->string) == v->length; }

/* A text that is not empty; NULL when the key is absent or null, or empty and not required. */
static char *read_text(Reader *r, const Json *root, const char *key, bool required)
{
    const Json *v = json_get(root, key);
    if (v && is_text(v))
        return copied(r, v->string);
    if (v && v->kind != JSON_NULL && (required || v->kind != JSON_STRING || v->length))
        wrong(r, v, "a text");
    else if (required)
        mistake(r, root, "this recipe has no \"%s\"", key);
    return NULL;
}

/* The number of a name; -1 when it is none of them. */
static int read_choice(Reader *r, const Json *v, const char *const *names, int n)
{
    char allowed[128] = "";
    for (int i = 0; i < n; i++) {
        if (v->kind == JSON_STRING && !strcmp(v->string, names[i]))
            return i;
        size_t used = strlen(allowed);
        snprintf(allowed + used, sizeof allowed - used, "%s%s", !i ? "" : i == n - 1 ? " or " : ", ", names[i]);
    }
    const char *near = v->kind == JSON_STRING ? cli_nearest(v->string, names, n) : NULL;
    char text[96];
    mistake(r, v, "%s must be %s, found %s%s%s%s", v->key, allowed, json_show(v, text, sizeof text), near ? "; did you mean \"" : "",
            near ? near : "", near ? "\"?" : "");
    return -1;
}

static bool is_whole(const Json *v, int64_t low, int64_t high) { return v->kind == JSON_INT && v->integer >= low && v->integer <= high; }

static void read_words(Reader *r, Recipe *recipe, const Json *v)
{
    const ReplyKey *keys = RECIPE_KINDS[recipe->kind].keys;
    const char *names[REPLY_MOST_KEYS];
    int n = 0;
    while (n < REPLY_MOST_KEYS && keys[n].key) {
        recipe->words[n] = (WordBounds){keys[n].least, keys[n].most};
        names[n] = keys[n].key;
        n++;
    }
    if (!v || v->kind == JSON_NULL)
        return;
    if (v->kind != JSON_OBJECT) {
        wrong(r, v, "an object of {key of the reply: [least, most]}");
        return;
    }
    check_keys(r, v, names, n);
    for (int i = 0; i < n; i++) {
        const Json *b = json_get(v, names[i]);
        const Json *least = b && b->kind == JSON_ARRAY && b->length == 2 ? b->child : NULL;
        if (b && (!least || !is_whole(least, 0, MOST_WORDS) || !is_whole(least->next, least->integer, MOST_WORDS)))
            wrong(r, b, "[least, most], whole numbers of words");
        else if (b)
            recipe->words[i] = (WordBounds){least->integer, least->next->integer};
    }
}

/* Members that a request gets from elsewhere. */
static void read_body(Reader *r, Recipe *recipe, const Json *v)
{
    static const char *const OURS[] = {"model",           "temperature", "max_tokens",   "max_completion_tokens", "max_output_tokens",
                                       "response_format", "messages",    "instructions", "input",                 "text"};
    if (!v || v->kind == JSON_NULL)
        return;
    if (v->kind != JSON_OBJECT) {
        wrong(r, v, "an object: more members of the request's body");
        return;
    }
    for (const Json *m = v->child; m; m = m->next) {
        if (m->repeated)
            key_mistake(r, m, "the key \"%.200s\" stands twice in this object", m->key);
        for (size_t i = 0; i < sizeof OURS / sizeof *OURS; i++)
            if (!strcmp(m->key, OURS[i]))
                key_mistake(r, m, "body may not have \"%s\", which is made from the other keys of the recipe", m->key);
    }
    cJSON *copy = json_copy(v);
    r->mistakes.no_memory |= json_to_text(&recipe->body, &copy, JSON_INLINE, r->name) != OK;
}

static bool says_json(const char *text) { return text && strcasestr(text, "json"); }

static Status hash_template(Recipe *r)
{
    const char *system = r->system ? r->system : "";
    size_t n = strlen(system) + 1, n_user = strlen(r->user);
    uint8_t digest[32];
    char *both = mem_alloc(n + n_user);
    if (!both)
        return fail(ERR_NOMEM, "no memory for the texts of a recipe");
    memcpy(both, system, n);
    memcpy(both + n, r->user, n_user);
    sha256_of(both, n + n_user, digest);
    sha256_hex(digest, r->template_sha256);
    mem_free(both);
    return OK;
}

/* ---------------------------------------------------------------- the whole */

static const char *const KEYS[] = {"schema",      "name",   "kind",  "system",   "user", "model",          "max_tokens",
                                   "temperature", "images", "words", "question", "body", "template_sha256"};
enum { N_KEYS = sizeof KEYS / sizeof *KEYS, N_HAND_KEYS = N_KEYS - 1 }; /* the last is written by request alone */

static void read_numbers(Reader *r, Recipe *recipe, const Json *root)
{
    const Json *tokens = json_get(root, "max_tokens"), *temperature = json_get(root, "temperature");
    recipe->max_tokens = DEFAULT_MAX_TOKENS;
    if (tokens && is_whole(tokens, 1, MOST_TOKENS))
        recipe->max_tokens = tokens->integer;
    else if (tokens && tokens->kind != JSON_NULL)
        wrong(r, tokens, "a whole number from 1 to 1048576");
    recipe->has_temperature = temperature && temperature->kind != JSON_NULL;
    if (!recipe->has_temperature)
        return;
    recipe->temperature = temperature->real;
    if ((temperature->kind != JSON_INT && temperature->kind != JSON_REAL) || !(temperature->real >= 0 && temperature->real <= 2))
        wrong(r, temperature, "a number from 0 to 2, or null");
}

static void read_texts(Reader *r, Recipe *recipe, const Json *root, bool kind_known)
{
    const Json *name = json_get(root, "name"), *question = json_get(root, "question");
    recipe->name = read_text(r, root, "name", true);
    if (recipe->name && (strlen(recipe->name) > NAME_BYTES || strpbrk(recipe->name, " /\t\r\n")))
        wrong(r, name, "a word of at most 64 bytes without '/'");
    recipe->system = read_text(r, root, "system", false);
    recipe->user = read_text(r, root, "user", true);
    recipe->model = read_text(r, root, "model", false);
    recipe->question = read_text(r, root, "question", kind_known && recipe->kind == RECIPE_DETAIL);
    if (recipe->question && kind_known && recipe->kind != RECIPE_DETAIL)
        key_mistake(r, question, "question belongs to recipes of the kind \"detail\"; the author writes the questions of this one");
    if (recipe->user && !says_json(recipe->user) && !says_json(recipe->system))
        mistake(r, json_get(root, "user"), "neither system nor user says \"JSON\"; the service then refuses to answer in it");
}

static void read_recipe(Reader *r, Recipe *recipe, const Json *root, bool of_requests)
{
    const char *kinds[N_RECIPE_KINDS];
    const Json *schema = json_get(root, "schema"), *kind = json_get(root, "kind"), *images = json_get(root, "images");
    if (root->kind != JSON_OBJECT) {
        mistake(r, root, "a recipe is an object, found %s", json_kind_name(root->kind));
        return;
    }
    check_keys(r, root, KEYS, of_requests ? N_KEYS : N_HAND_KEYS);
    if (!schema)
        mistake(r, root, "this recipe has no \"schema\": \"%s\"", SCHEMA);
    else if (schema->kind != JSON_STRING || strcmp(schema->string, SCHEMA))
        wrong(r, schema, "\"genllava.recipe/1\"");
    for (int i = 0; i < N_RECIPE_KINDS; i++)
        kinds[i] = RECIPE_KINDS[i].name;
    int which = kind ? read_choice(r, kind, kinds, N_RECIPE_KINDS) : -1;
    if (!kind)
        mistake(r, root, "this recipe has no \"kind\"");
    recipe->kind = which < 0 ? RECIPE_CONVERSATION : (RecipeKind)which;
    int sent = images && images->kind != JSON_NULL ? read_choice(r, images, IMAGES, N_RECIPE_IMAGES) : RECIPE_ALL;
    recipe->images = sent < 0 ? RECIPE_ALL : (RecipeImages)sent;
    read_texts(r, recipe, root, which >= 0);
    read_numbers(r, recipe, root);
    if (which >= 0)
        read_words(r, recipe, json_get(root, "words"));
    read_body(r, recipe, json_get(root, "body"));
}

/* kind: of the failure when it has mistakes. Takes the document. */
static Status take_document(Recipe *recipe, JsonDoc *doc, const char *name, Status kind, bool of_requests)
{
    Reader r = {.name = name};
    read_recipe(&r, recipe, json_root(doc), of_requests);
    Status s = mistakes_end(&r.mistakes, kind, name);
    if (!s)
        s = hash_template(recipe);
    const Json *sha = json_get(json_root(doc), "template_sha256");
    if (!s && of_requests && (!sha || sha->kind != JSON_STRING || strcmp(sha->string, recipe->template_sha256)))
        s = fail(ERR_DATA, "%s: template_sha256 is not that of its texts: the file was changed after the requests were made", name);
    json_free(&doc);
    if (s)
        recipe_free(recipe);
    return s;
}

static Status fail_unknown(const char *wanted)
{
    enum { MOST = 32 };
    char all[512] = "", names[MOST][NAME_BYTES];
    const char *list[MOST];
    int n = 0;
    for (int i = 0; n < MOST && next_builtin(&i, names[n]); n++) {
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", n ? ", " : "", names[n]);
        list[n] = names[n];
    }
    const char *near = cli_nearest(wanted, list, n);
    return fail(ERR_USAGE, "--recipe is \"%s\"; it takes one of %s, or a file (with a '/', or ending in .json)%s%s%s", wanted, all,
                near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
}

Status recipe_load(Recipe *r, const char *name_or_file)
{
    JsonDoc *doc;
    char path[PATH_MAX];
    *r = (Recipe){.name = NULL};
    bool is_file = strchr(name_or_file, '/') || utf8_ends(name_or_file, ".json") || !strcmp(name_or_file, "-");
    if (is_file) {
        Status s = json_read_settings(&doc, name_or_file);
        TRY(s == ERR_DATA ? fail(ERR_USAGE, "%s", status_message()) : s);
        return take_document(r, doc, file_name(name_or_file), ERR_USAGE, false);
    }
    size_t n;
    snprintf(path, sizeof path, "curate/%s.json", name_or_file);
    const char *text = built_in(path, &n);
    if (!text)
        return fail_unknown(name_or_file);
    TRY(json_parse(&doc, text, n, path));
    return take_document(r, doc, path, ERR_INTERNAL, false);
}

Status recipe_load_requests(Recipe *r, const char *folder)
{
    JsonDoc *doc;
    char path[PATH_MAX];
    *r = (Recipe){.name = NULL};
    TRY(json_read_settings(&doc, file_join(path, folder, "recipe.json")));
    return take_document(r, doc, path, ERR_DATA, true);
}

Status recipe_save(const Recipe *r, const char *path)
{
    const KindRule *kind = &RECIPE_KINDS[r->kind];
    JsonDoc *body = NULL;
    if (r->body)
        TRY(json_parse(&body, r->body, strlen(r->body), path));
    cJSON *o = cJSON_CreateObject();
    json_add_text(o, "schema", SCHEMA);
    json_add_text(o, "name", r->name);
    json_add_text(o, "kind", kind->name);
    if (r->system)
        json_add_text(o, "system", r->system);
    json_add_text(o, "user", r->user);
    if (r->model)
        json_add_text(o, "model", r->model);
    json_add_int(o, "max_tokens", r->max_tokens);
    if (r->has_temperature)
        json_add_real(o, "temperature", r->temperature);
    json_add_text(o, "images", IMAGES[r->images]);
    cJSON *words = json_add(o, "words", cJSON_CreateObject());
    for (int i = 0; i < REPLY_MOST_KEYS && kind->keys[i].key; i++) {
        cJSON *bounds = json_add(words, kind->keys[i].key, cJSON_CreateArray());
        json_add_int(bounds, NULL, r->words[i].least);
        json_add_int(bounds, NULL, r->words[i].most);
    }
    if (r->question)
        json_add_text(o, "question", r->question);
    if (body)
        json_add_value(o, "body", json_root(body));
    json_add_text(o, "template_sha256", r->template_sha256);
    json_free(&body);
    return json_save(path, &o);
}

void recipe_free(Recipe *r)
{
    mem_free(r->name);
    mem_free(r->system);
    mem_free(r->user);
    mem_free(r->model);
    mem_free(r->question);
    mem_free(r->body);
    *r = (Recipe){.name = NULL};
}
