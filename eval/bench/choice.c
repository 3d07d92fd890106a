/* choice.c: see choice.h. Called by mmbench.c.
 * Source: VLMEvalKit, vlmeval/utils/matching_util.py (can_infer_option, can_infer_text). */
#include "eval/bench/choice.h"

#include <string.h>

#include "kernels/base/utf8.h"

enum { LAST_TOKENS = 5 };

static bool refuses(Span answer)
{
    static const char *const SENTENCES[] = {"Sorry, I can't help with images of people yet.", "I can't process this file.",
                                            "I'm sorry, but without the image provided", "Cannot determine the answer"};
    for (size_t i = 0; i < sizeof SENTENCES / sizeof *SENTENCES; i++)
        if (py_contains(answer, span_of(SENTENCES[i])))
            return true;
    return false;
}

/* Where the first of these tokens stands; -1: nowhere. */
static int token_at(Spans tokens, char letter)
{
    for (int i = 0; i < tokens.n; i++)
        if (tokens.item[i].n == 1 && tokens.item[i].s[0] == letter)
            return i;
    return -1;
}

static Spans tokens_of(Pool *pool, Span answer)
{
    Span text = span_copy(pool, answer);
    for (size_t i = 0; i < text.n; i++)
        if (strchr(".()[],:;!*#{}", text.s[i]) && text.s[i])
            ((char *)(uintptr_t)text.s)[i] = ' ';
    return py_split(pool, text);
}

/* Bytes of the word at the start of a text, in any case. */
static size_t pass_word(Span a, const char *word)
{
    const size_t n = strlen(word);
    return a.n >= n && !strncasecmp(a.s, word, n) ? n : 0;
}

/* Bytes of white space at the start. */
static size_t pass_blanks(Span a)
{
    size_t n = 0;
    uint32_t c;
    for (int k; n < a.n && (k = utf8_decode(a.s + n, a.n - n, &c)) && py_is_space(c);)
        n += (size_t)k;
    return n;
}

static Span rest(Span a, size_t n) { return (Span){a.s + n, a.n - n}; }

/* The letter of `answer\s+is\s+\**([ABCD])` at the start of a text, in any case; 0: it does not match. */
static char letter_of_sentence_at(Span a)
{
    static const char *const WORDS[] = {"answer", "is"};
    for (int i = 0; i < 2; i++) {
        size_t n = pass_word(a, WORDS[i]);
        a = rest(a, n);
        const size_t blanks = pass_blanks(a);
        if (!n || !blanks)
            return 0;
        a = rest(a, blanks);
    }
    while (a.n && *a.s == '*')
        a = rest(a, 1);
    const char upper = a.n ? (char)(*a.s & ~0x20) : 0;
    return upper >= 'A' && upper <= 'D' ? upper : 0;
}

static char letter_of_sentence(Span answer)
{
    for (size_t i = 0; i < answer.n; i++) {
        const char letter = letter_of_sentence_at(rest(answer, i));
        if (letter)
            return letter;
    }
    return 0;
}

static char by_letter(Pool *pool, Span answer, const Span option[CHOICES])
{
    if (py_contains(answer, SPAN("Failed to obtain answer via API")))
        return 0;
    if (refuses(answer))
        return 'Z';
    const Spans tokens = tokens_of(pool, answer);
    int there = 0, last = -1;
    for (int i = 0; i < CHOICES; i++)
        if (option[i].s && token_at(tokens, (char)('A' + i)) >= 0) {
            there++;
            last = i;
        }
    if (there == 1 && token_at(tokens, (char)('A' + last)) > tokens.n - LAST_TOKENS)
        return (char)('A' + last);
    if (there == 0 && token_at(tokens, 'Z') >= 0)
        return 'Z';
    const char letter = letter_of_sentence(answer);
    return letter && option[letter - 'A'].s ? letter : 0;
}

static char by_text(Pool *pool, Span answer, const Span option[CHOICES])
{
    size_t total = 0;
    char found = 0;
    int n = 0;
    answer = py_lower(pool, answer);
    for (int i = 0; i < CHOICES; i++)
        total += option[i].s ? span_chars(option[i]) : 0;
    if (span_chars(answer) > 2 * total)
        return 0;
    for (int i = 0; i < CHOICES; i++)
        if (option[i].s && py_contains(answer, py_lower(pool, option[i]))) {
            found = (char)('A' + i);
            n++;
        }
    return n == 1 ? found : 0;
}

char choice_of(Pool *pool, Span answer, const Span option[CHOICES])
{
    const char letter = by_letter(pool, answer, option);
    return letter ? letter : by_text(pool, answer, option);
}
