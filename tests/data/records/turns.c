/* turns: rows in the spellings of other programs: ShareGPT's, and "messages" as transformers, TRL, LLaMA-Factory and axolotl write them. */
#include "data/records/turns.h"

#include <stdio.h>
#include <string.h>

#include "tests/harness.h"

static Record rec;
static RowRoom room;
static JsonDoc *doc;

static void read_row(const char *row)
{
    static const MixtureSource NO_SOURCE = {.name = NULL};
    const char *uid;
    json_free(&doc);
    row_room_free(&rec, &room);
    rec = (Record){.id = ""};
    REQUIRE_OK(json_parse(&doc, row, strlen(row), "row"));
    REQUIRE_OK(row_fields(&rec, &room, json_root(doc), &NO_SOURCE, &uid));
}

/* "h:TEXT|g:TEXT|": the turns in short. */
static const char *turns(void)
{
    static char out[512];
    size_t n = 0;
    for (int i = 0; i < rec.n_turns; i++)
        n += (size_t)snprintf(out + n, sizeof out - n, "%c:%.*s|", rec.turns[i].human ? 'h' : 'g', (int)rec.turns[i].length,
                              rec.turns[i].text);
    out[n] = 0;
    return out;
}

static const char *pictures(void)
{
    static char out[512];
    size_t n = 0;
    for (int i = 0; i < rec.n_images; i++)
        n += (size_t)snprintf(out + n, sizeof out - n, "%s ", rec.images[i].path);
    out[n] = 0;
    return out;
}

#define USER(content) "{\"role\":\"user\",\"content\":" content "}"
#define ASSISTANT(content) "{\"role\":\"assistant\",\"content\":" content "}"
#define TEXT(text) "{\"type\":\"text\",\"text\":\"" text "\"}"
#define PICTURE "{\"type\":\"image\"}"

TEST(turns_in_every_spelling)
{
    static const struct {
        const char *row, *turns, *pictures, *system;
    } CASES[] = {
        /* ShareGPT */
        {"{\"conversations\":[{\"from\":\"user\",\"value\":\"Q\"},{\"from\":\"assistant\",\"value\":\"A\"}]}", "h:Q|g:A|", "", ""},
        {"{\"conversations\":[{\"from\":\"system\",\"value\":\"Be\"},{\"from\":\"human\",\"value\":\"Q\"},{\"from\":\"gpt\","
         "\"value\":\"A\"}]}",
         "h:Q|g:A|", "", "Be"},
        {"{\"conversations\":[{\"role\":\"system\",\"content\":\"Be\"}," USER("\"Q\"") "," ASSISTANT("\"A\"") "]}", "h:Q|g:A|", "", "Be"},
        /* LLaMA-Factory: markers in texts, pictures beside */
        {"{\"messages\":[" USER("\"<image>a<image>b\"") "," ASSISTANT("\"A\"") "],\"images\":[\"1.jpg\",\"2.jpg\"]}",
         "h:<image>a<image>b|g:A|", "1.jpg 2.jpg ", ""},
        {"{\"conversations\":[{\"from\":\"human\",\"value\":\"<image>a\"},{\"from\":\"gpt\",\"value\":\"A\"}],\"images\":[\"1.jpg\"]}",
         "h:<image>a|g:A|", "1.jpg ", ""},
        {"{\"messages\":[{\"from\":\"human\",\"value\":\"Q\"},{\"from\":\"gpt\",\"value\":\"A\"}],\"conversations\":null}", "h:Q|g:A|", "",
         ""},
        /* TRL: parts, pictures beside; a text without parts has them first */
        {"{\"messages\":[" USER("[" PICTURE "," TEXT("Q") "]") "," ASSISTANT("[" TEXT("A") "]") "],\"images\":[\"1.jpg\"]}",
         "h:<image>\nQ|g:A|", "1.jpg ", ""},
        {"{\"messages\":[" USER("\"Q\"") "," ASSISTANT("\"A\"") "," USER("\"R\"") "],\"images\":[\"1.jpg\",{\"path\":\"2.jpg\"}]}",
         "h:<image>\n<image>\nQ|g:A|h:R|", "1.jpg 2.jpg ", ""},
        {"{\"messages\":[{\"role\":\"system\",\"content\":[" TEXT("Be") "," TEXT(" brief") "]}," USER("\"Q\"") "],\"image\":\"1.jpg\"}",
         "h:<image>\nQ|", "1.jpg ", "Be brief"},
        /* what Hugging Face's tables add: every part has every key */
        {"{\"messages\":[" USER("[{\"type\":\"image\",\"text\":null,\"image\":null},{\"type\":\"text\",\"text\":\"Q\",\"image\":null}]")
         "],\"images\":[{\"bytes\":null,\"path\":\"1.jpg\"}],\"tool_calls\":null}", "h:<image>\nQ|", "1.jpg ", ""},
        /* parts that name their pictures, among some that do not: in the order of the parts */
        {"{\"messages\":[" USER("[" TEXT("a") "," PICTURE "," TEXT("b") ",{\"type\":\"image\",\"image\":\"2.jpg\"}]") ","
         ASSISTANT("\"A\"") "," USER("[{\"type\":\"image_url\",\"image_url\":{\"url\":\"file:///x/3.jpg\"}},{\"type\":\"image_url\","
         "\"image_url\":\"4.jpg\"},{\"type\":\"image\",\"path\":\"5.jpg\"},{\"type\":\"image\",\"url\":\"6.jpg\"}," TEXT("c") "]") ","
         USER("\"<image>d\"") "],\"images\":[\"1.jpg\",\"7.jpg\",\"8.jpg\"]}",
         "h:a<image>\nb<image>\n|g:A|h:<image>\n<image>\n<image>\n<image>\nc|h:<image>d|",
         "1.jpg 2.jpg /x/3.jpg 4.jpg 5.jpg 6.jpg 7.jpg 8.jpg ", ""},
        /* a marker that is an answer's text takes no picture; pictures without a place are the encoder's to refuse */
        {"{\"messages\":[" ASSISTANT("\"<image>\"") "," USER("[" PICTURE "]") "," ASSISTANT("\"\"") "],\"images\":[\"1.jpg\"]}",
         "g:<image>|h:<image>\n|g:|", "1.jpg ", ""},
        {"{\"conversations\":[{\"from\":\"human\",\"value\":\"Q\"}],\"images\":[\"1.jpg\"]}", "h:Q|", "1.jpg ", ""},
        {"{\"messages\":[" USER("\"Q\\u0000\"") "],\"images\":[]}", "h:Q|", "", ""},
        {"{\"messages\":[" ASSISTANT("\"A\"") "],\"images\":[\"1.jpg\"]}", "g:A|", "1.jpg ", ""},
        {"{\"messages\":[" USER("[]") "]}", "h:|", "", ""},
        /* marks of turns: those of questions, and of answers that are to be learned */
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"Q\",\"weight\":0,\"train\":false},{\"role\":\"assistant\",\"content\":\"A\","
         "\"weight\":1,\"train\":true}]}", "h:Q|g:A|", "", ""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        read_row(CASES[i].row);
        CHECK_MSG(!rec.reject, "%s: %s", CASES[i].row, rec.message);
        CHECK_STR(turns(), CASES[i].turns);
        CHECK_STR(pictures(), CASES[i].pictures);
        CHECK_MSG(rec.system.length == strlen(CASES[i].system) &&
                      !memcmp(rec.system.text ? rec.system.text : "", CASES[i].system, rec.system.length),
                  "%s", CASES[i].row);
        for (int k = 0; k < rec.n_images; k++)
            CHECK_INT(rec.images[k].role, ROLE_INPUT);
    }
}

#define LIST "\"conversations\":[{\"from\":\"human\",\"value\":\"Q\"},{\"from\":\"gpt\",\"value\":\"A\"}]"
#define TASKS "its \"task\" is none of understand, generate and edit, and is passed over; did you mean "

TEST(what_is_passed_over_is_told)
{
    static const struct {
        const char *row, *slip, *meant, *note; /* "": none */
    } CASES[] = {
        {"{\"imgae\":\"1.jpg\"," LIST "}", "imgae", "image", ""},
        {"{\"imags\":[\"1.jpg\"],\"messages\":[" USER("\"Q\"") "]}", "imags", "image", ""},
        {"{\"imgs\":[\"1.jpg\"]," LIST "}", "imgs", "image", ""},
        {"{\"sytem\":\"Be brief.\"," LIST "}", "sytem", "system", ""},
        {"{\"conversation\":[]}", "conversation", "conversations", ""},
        {"{\"message\":[]}", "message", "messages", ""},
        {"{\"task\":\"genrate\"," LIST "}", "", "", TASKS "\"generate\"?"},
        {"{\"task\":\"understanding\"," LIST "}", "", "", TASKS "\"understand\"?"},
        {"{\"weight\":2," LIST "}", "", "", "its \"weight\" is passed over: only that of unified rows (\"turns\") is read"},
        {"{\"messages\":[]," LIST "}", "", "", "it has \"conversations\" and \"messages\": only the former are read"},
        {"{\"turns\":[],\"sd\":{\"promt\":\"x\"}}", "promt", "prompt", ""},
        /* other people's keys, and keys of ours that are there */
        {"{\"page\":1,\"height\":3,\"width\":4,\"usage\":5,\"source\":\"x\",\"data_source\":\"x\",\"model\":\"\",\"mask\":1,\"tags\":1,"
         "\"bbox\":[],\"language\":\"en\",\"index\":1,\"score\":1,\"message\":1,\"conversation_id\":1,\"video\":null,\"task\":\"vqa\"," LIST
         "}", "", "", ""},
        {"{\"image\":\"1.jpg\",\"image_id\":3,\"imags\":[],\"task\":\"edit\",\"weight\":1," LIST "}", "", "", ""},
        {"{\"image\":null,\"imgae\":\"1.jpg\",\"task\":\"ocr\"," LIST "}", "", "", ""},
        {"{\"turns\":[],\"sd\":{\"prompt\":\"x\",\"seed\":1},\"imags\":[]}", "imags", "images", ""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        read_row(CASES[i].row);
        CHECK_STR(rec.slip ? rec.slip : "", CASES[i].slip);
        CHECK_STR(rec.meant ? rec.meant : "", CASES[i].meant);
        CHECK_STR(rec.note ? rec.note : "", CASES[i].note);
    }
}

TEST(turns_that_cannot_be_used)
{
    static const struct {
        const char *row;
        Reject why;
        const char *says;
    } CASES[] = {
        {"{\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}", REJECT_BAD_TURNS,
         "turn 0 is from \"tool\", expected human or gpt, or user or assistant"},
        {"{\"messages\":[" USER("\"Q\"") ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"1\"}]}]}", REJECT_BAD_TURNS,
         "turn 1 calls tools, which the model has none of"},
        {"{\"conversations\":[{\"from\":\"human\",\"value\":\"Q\"},{\"from\":\"function_call\",\"value\":\"x\"}]}", REJECT_BAD_TURNS,
         "turn 1 is from \"function_call\", expected human or gpt, or user or assistant"},
        {"{\"messages\":[" USER("\"Q\"") ",{\"role\":\"assistant\",\"content\":\"A\",\"weight\":0}]}", REJECT_BAD_TURNS,
         "turn 1 is marked as not to be trained, and every answer is: leave it out, or the mark"},
        {"{\"conversations\":[{\"from\":\"gpt\",\"value\":\"A\",\"train\":false}]}", REJECT_BAD_TURNS,
         "turn 0 is marked as not to be trained, and every answer is: leave it out, or the mark"},
        {"{\"video\":\"1.mp4\",\"conversations\":[{\"from\":\"human\",\"value\":\"Q\"}]}", REJECT_BAD_TURNS,
         "it is about a video (\"video\"), and only pictures are read"},
        {"{\"videos\":[\"1.mp4\"],\"messages\":[" USER("\"Q\"") "]}", REJECT_BAD_TURNS,
         "it is about a video (\"videos\"), and only pictures are read"},
        {"{\"caption\":\"x\",\"file\":\"a\"}", REJECT_BAD_TURNS,
         "no \"conversations\": a source whose rows are captions has \"format\": \"captions\""},
        {"{\"images\":[],\"annotations\":[]}", REJECT_BAD_TURNS,
         "no \"conversations\": a source whose rows are captions has \"format\": \"captions\""},
        {"{\"messages\":[" USER("null") "]}", REJECT_BAD_TURNS, "turn 0 has no text: its \"content\" is null"},
        {"{\"messages\":[{\"role\":\"user\"}]}", REJECT_BAD_TURNS, "turn 0 has no text: its \"content\" is absent"},
        {"{\"messages\":[" USER("5") "]}", REJECT_BAD_TURNS, "turn 0 has no text: its \"content\" is an integer"},
        {"{\"messages\":[{\"content\":\"x\"}]}", REJECT_BAD_TURNS, "turn 0 does not say from whom it is"},
        {"{\"messages\":{}}", REJECT_BAD_TURNS,
         "1:13: \"messages\" is an object, expected \"conversations\" or \"messages\" (\"turns\" in unified JSONL), a list of {\"from\": "
         "\"human\" or \"gpt\", \"value\": text} or {\"role\": \"user\" or \"assistant\", \"content\": text}"},
        {"{\"messages\":[" USER("[{\"type\":\"video\"}]") "]}", REJECT_BAD_TURNS,
         "1:48: a part of turn 0 is of the type \"video\", expected text or image"},
        {"{\"messages\":[" USER("[\"Q\"]") "]}", REJECT_BAD_TURNS, "1:40: a part of turn 0 has no \"type\", expected text or image"},
        {"{\"messages\":[" USER("[{\"type\":\"text\"}]") "]}", REJECT_BAD_TURNS, "1:40: a part of turn 0 has no \"text\""},
        {"{\"messages\":[" ASSISTANT("[" PICTURE "]") "]}", REJECT_BAD_TURNS,
         "turn 0: a picture that is not in a turn from human or user; pictures to draw are told by unified rows"},
        {"{\"messages\":[" USER("[{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://a/b.jpg\"}}]") "]}", REJECT_MISSING,
         "1:79: \"url\" is an address, expected the name of a file that was fetched from there"},
        {"{\"messages\":[" USER("[{\"type\":\"image\",\"image\":\"data:image/png;base64,AAAA\"}]") "]}", REJECT_MISSING,
         "1:64: \"image\" is the picture itself (data:), expected the name of a file that holds it"},
        {"{\"messages\":[" USER("[{\"type\":\"image\",\"image\":{\"bytes\":\"AA\"}}]") "]}", REJECT_BAD_JSON,
         "1:64: \"image\" is an object, expected a file name"},
        {"{\"messages\":[" USER("\"<image>\"") "],\"images\":[\"a\\u0000b\"]}", REJECT_BAD_JSON,
         "1:61: \"images\" is \"a\", expected a file name"},
        {"{\"turns\":[{\"from\":\"human\",\"value\":[]}]}", REJECT_BAD_TURNS, "turn 0 has no text: its \"value\" is an array"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        read_row(CASES[i].row);
        CHECK_MSG(rec.reject == CASES[i].why, "%s: %s", CASES[i].row, reject_name(rec.reject));
        CHECK_STR(rec.message, CASES[i].says);
    }
    read_row("{\"image\":\"http://a/b.jpg\",\"conversations\":[]}");
    CHECK_INT(rec.reject, REJECT_MISSING);
    CHECK_STR(rec.reject_path, "http://a/b.jpg");
}

TEST(turns_of_rows_that_follow_one_another_share_memory)
{
    char row[4096];
    for (int n = 1; n < 40; n++) {
        size_t at = (size_t)snprintf(row, sizeof row, "{\"messages\":[");
        for (int i = 0; i < n; i++)
            at += (size_t)snprintf(row + at, sizeof row - at, "%s%s", i ? "," : "", USER("[" PICTURE "," TEXT("Q") "]"));
        snprintf(row + at, sizeof row - at, "]}");
        json_free(&doc);
        static const MixtureSource NO_SOURCE = {.name = NULL};
        const char *uid;
        rec = (Record){.id = "", .images = rec.images, .turns = rec.turns, .scores = rec.scores};
        REQUIRE_OK(json_parse(&doc, row, strlen(row), "row"));
        REQUIRE_OK(row_fields(&rec, &room, json_root(doc), &NO_SOURCE, &uid));
        CHECK_INT(rec.n_turns, n);
        for (int i = 0; i < n; i++)
            CHECK(rec.turns[i].length == 9 && !memcmp(rec.turns[i].text, "<image>\nQ", 9));
    }
}
