/* normalise.c: see normalise.h. Called by VQAv2, VizWiz and TextVQA. */
#include "eval/bench/normalise.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "kernels/base/utf8.h"

typedef struct Pair {
    const char *from, *to;
} Pair;

static const Pair NUMBERS[] = {{"none", "0"}, {"zero", "0"}, {"one", "1"}, {"two", "2"}, {"three", "3"}, {"four", "4"},
                               {"five", "5"}, {"six", "6"}, {"seven", "7"}, {"eight", "8"}, {"nine", "9"}, {"ten", "10"}};

/* Sorted by bytes. The official list as it is: its keys with capitals are never met, and "somebody'd" loses its apostrophe. */
static const Pair CONTRACTIONS[] = {
    {"'ow'sat", "'ow's'at"}, {"'ows'at", "'ow's'at"}, {"I'dve", "I'd've"}, {"Id've", "I'd've"}, {"Im", "I'm"}, {"Ive", "I've"},
    {"aint", "ain't"}, {"arent", "aren't"}, {"cant", "can't"}, {"couldn'tve", "couldn't've"}, {"couldnt", "couldn't"},
    {"couldnt've", "couldn't've"}, {"couldve", "could've"}, {"didnt", "didn't"}, {"doesnt", "doesn't"}, {"dont", "don't"},
    {"hadn'tve", "hadn't've"}, {"hadnt", "hadn't"}, {"hadnt've", "hadn't've"}, {"hasnt", "hasn't"}, {"havent", "haven't"},
    {"he'dve", "he'd've"}, {"hed", "he'd"}, {"hed've", "he'd've"}, {"hes", "he's"}, {"howd", "how'd"}, {"howll", "how'll"},
    {"hows", "how's"}, {"isnt", "isn't"}, {"it'dve", "it'd've"}, {"itd", "it'd"}, {"itd've", "it'd've"}, {"itll", "it'll"},
    {"let's", "let's"}, {"maam", "ma'am"}, {"mightn'tve", "mightn't've"}, {"mightnt", "mightn't"}, {"mightnt've", "mightn't've"},
    {"mightve", "might've"}, {"mustnt", "mustn't"}, {"mustve", "must've"}, {"neednt", "needn't"}, {"notve", "not've"},
    {"oclock", "o'clock"}, {"oughtnt", "oughtn't"}, {"ow's'at", "'ow's'at"}, {"shant", "shan't"}, {"she'dve", "she'd've"},
    {"she's", "she's"}, {"shed've", "she'd've"}, {"shouldn'tve", "shouldn't've"}, {"shouldnt", "shouldn't"},
    {"shouldnt've", "shouldn't've"}, {"shouldve", "should've"}, {"somebody'd", "somebodyd"}, {"somebody'dve", "somebody'd've"},
    {"somebodyd've", "somebody'd've"}, {"somebodyll", "somebody'll"}, {"somebodys", "somebody's"}, {"someone'dve", "someone'd've"},
    {"someoned", "someone'd"}, {"someoned've", "someone'd've"}, {"someonell", "someone'll"}, {"someones", "someone's"},
    {"something'dve", "something'd've"}, {"somethingd", "something'd"}, {"somethingd've", "something'd've"},
    {"somethingll", "something'll"}, {"thats", "that's"}, {"there'dve", "there'd've"}, {"thered", "there'd"}, {"thered've", "there'd've"},
    {"therere", "there're"}, {"theres", "there's"}, {"they'dve", "they'd've"}, {"theyd", "they'd"}, {"theyd've", "they'd've"},
    {"theyll", "they'll"}, {"theyre", "they're"}, {"theyve", "they've"}, {"twas", "'twas"}, {"wasnt", "wasn't"}, {"we'dve", "we'd've"},
    {"wed've", "we'd've"}, {"werent", "weren't"}, {"weve", "we've"}, {"whatll", "what'll"}, {"whatre", "what're"}, {"whats", "what's"},
    {"whatve", "what've"}, {"whens", "when's"}, {"whered", "where'd"}, {"wheres", "where's"}, {"whereve", "where've"},
    {"who'dve", "who'd've"}, {"whod", "who'd"}, {"whod've", "who'd've"}, {"wholl", "who'll"}, {"whos", "who's"}, {"whove", "who've"},
    {"whyll", "why'll"}, {"whyre", "why're"}, {"whys", "why's"}, {"wont", "won't"}, {"wouldn'tve", "wouldn't've"},
    {"wouldnt", "wouldn't"}, {"wouldnt've", "wouldn't've"}, {"wouldve", "would've"}, {"y'all'dve", "y'all'd've"},
    {"y'alld've", "y'all'd've"}, {"y'allll", "y'all'll"}, {"yall", "y'all"}, {"yall'd've", "y'all'd've"}, {"yall'll", "y'all'll"},
    {"you'dve", "you'd've"}, {"youd", "you'd"}, {"youd've", "you'd've"}, {"youll", "you'll"}, {"youre", "you're"}, {"youve", "you've"}};

static int by_from(const void *key, const void *pair) { return span_compare(*(const Span *)key, span_of(((const Pair *)pair)->from)); }

/* What a word becomes; n 0: it is left out. */
static Span word_of(Span word)
{
    for (size_t i = 0; i < sizeof NUMBERS / sizeof *NUMBERS; i++)
        if (span_is(word, NUMBERS[i].from))
            return span_of(NUMBERS[i].to);
    if (span_is(word, "a") || span_is(word, "an") || span_is(word, "the"))
        return SPAN("");
    const Pair *c = bsearch(&word, CONTRACTIONS, sizeof CONTRACTIONS / sizeof *CONTRACTIONS, sizeof *CONTRACTIONS, by_from);
    return c ? span_of(c->to) : word;
}

/* Whether a digit of any script begins at a place, or ends before it. */
static bool digit_at(Span a, size_t at)
{
    uint32_t c;
    return at < a.n && utf8_decode(a.s + at, a.n - at, &c) && utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_ND;
}

static bool digit_before(Span a, size_t at)
{
    while (at > 0 && ((unsigned char)a.s[--at] & 0xC0) == 0x80)
        continue;
    return digit_at(a, at);
}

static bool has_comma_in_number(Span a)
{
    for (size_t i = 1; i + 1 < a.n; i++)
        if (a.s[i] == ',' && digit_before(a, i) && digit_at(a, i + 1))
            return true;
    return false;
}

/* Full stops that no digit follows go: the first 32 of them, since the official call passes a flag where the count stands. */
static Span without_stops(Pool *p, Span a)
{
    enum { MOST = 32 };
    char *out = pool_push(p, a.n + 1);
    size_t n = 0;
    int gone = 0;
    for (size_t i = 0; i < a.n && out; i++) {
        bool goes = a.s[i] == '.' && gone < MOST && !digit_at(a, i + 1);
        gone += goes;
        if (!goes)
            out[n++] = a.s[i];
    }
    return out ? (Span){out, n} : SPAN("");
}

/* A mark beside a blank goes; any other becomes a blank. Where a number has a comma all marks go. */
static Span without_marks(Pool *p, Span a)
{
    static const char MARKS[] = ";/[]\"{}()=+\\_-><@`,?!";
    const bool number = has_comma_in_number(a);
    bool goes[256] = {false}, is_mark[256] = {false};
    for (const char *mark = MARKS; *mark; mark++) {
        const char before[2] = {' ', *mark}, behind[2] = {*mark, ' '};
        is_mark[(unsigned char)*mark] = true;
        goes[(unsigned char)*mark] = number || py_contains(a, (Span){before, 2}) || py_contains(a, (Span){behind, 2});
    }
    char *out = pool_push(p, a.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < a.n && out; i++) {
        const unsigned char c = (unsigned char)a.s[i];
        if (!goes[c])
            out[n++] = is_mark[c] ? ' ' : a.s[i];
    }
    return out ? (Span){out, n} : SPAN("");
}

Span answer_words(Pool *p, Span text)
{
    Spans words = py_split(p, py_lower(p, without_stops(p, without_marks(p, text))));
    int n = 0;
    for (int i = 0; i < words.n; i++) {
        Span word = word_of(words.item[i]);
        if (word.n)
            words.item[n++] = word;
    }
    return span_join(p, words.item, n, " ");
}

Span answer_trim(Pool *p, Span text) { return py_strip(py_replace(p, py_replace(p, text, "\n", " "), "\t", " ")); }

Span answer_m4c(Pool *p, Span text)
{
    text = py_replace(p, py_replace(p, py_lower(p, text), ",", ""), "?", "");
    return answer_words(p, answer_trim(p, py_replace(p, text, "'s", " 's")));
}
