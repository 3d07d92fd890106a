/* tokenizer.cc: SentencePiece behind a C interface; no other file includes its headers (tokenizer.h). */
#include "data/text/tokenizer.h"

#include <openssl/sha.h>
#include <sentencepiece_processor.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "data/formats/file.h"
#include "data/text/words.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

/* SentencePiece writes to stderr what its statuses say as well; the library exports this switch without a header. */
namespace sentencepiece {
namespace logging {
void SetMinLogLevel(int level);
}
}

namespace {

constexpr size_t MAX_MODEL_BYTES = size_t{256} << 20;
constexpr int LOG_FATAL_ONLY = 3;
constexpr const char SPACE_MARK[] = "\xE2\x96\x81"; /* U+2581 */
constexpr int NOT_A_BYTE = -1;

/* Of a text, and where each ends in it. */
struct Pieces {
    std::vector<int32_t> ids;
    std::vector<uint32_t> ends;
};

} // namespace

struct Tokenizer {
    sentencepiece::SentencePieceProcessor sp;
    TokenizerInfo info;
    std::vector<int16_t> byte; /* of byte pieces, else NOT_A_BYTE */
    std::vector<PieceKind> kinds;
    Words *words = nullptr;  /* that were met before; nullptr: words cannot be encoded one by one (words_stand_alone) */
    mutable std::mutex lock; /* of words */

    Tokenizer() = default;
    ~Tokenizer() { words_free(words); }
    Tokenizer(const Tokenizer &) = delete;
    Tokenizer &operator=(const Tokenizer &) = delete;
};

namespace {

/* ---------------------------------------------------------------- the model file's settings */

/* What decides whether the model works as Mistral's does. Defaults are those of sentencepiece_model.proto. */
struct ModelSettings {
    uint64_t model_type = 1;
    bool byte_fallback = false, suffix_space = false, collapses_spaces = true, escapes_spaces = true;
    bool dummy_prefix = true;
    size_t character_map = 0; /* bytes of the normaliser's table */
    std::string normaliser;
    std::vector<PieceKind> kinds; /* of the pieces; the library tells all but PIECE_USER */
};

/* A protobuf message, field after field. */
struct Message {
    const char *at, *end;

    bool varint(uint64_t *value)
    {
        *value = 0;
        for (int shift = 0; shift < 64 && at < end; shift += 7) {
            uint64_t byte = (unsigned char)*at++;
            *value |= (byte & 0x7F) << shift;
            if (byte < 0x80)
                return true;
        }
        return false;
    }

    bool skip(uint64_t n)
    {
        if (n > (uint64_t)(end - at))
            return false;
        at += n;
        return true;
    }

    /* The next field: its number, its value if it is a varint, its bytes if it has a length. False at the end and when damaged. */
    bool next(uint64_t *field, uint64_t *value, Message *bytes)
    {
        uint64_t tag, n;
        *bytes = Message{nullptr, nullptr};
        *value = 0;
        if (at == end || !varint(&tag))
            return false;
        *field = tag >> 3;
        switch (tag & 7) {
        case 0: return varint(value);
        case 1: return skip(8);
        case 2:
            if (!varint(&n) || n > (uint64_t)(end - at))
                return false;
            *bytes = Message{at, at + n};
            return skip(n);
        case 5: return skip(4);
        default: return false;
        }
    }
};

bool read_trainer_spec(Message m, ModelSettings *s)
{
    enum { MODEL_TYPE = 3, TREAT_WHITESPACE_AS_SUFFIX = 24, BYTE_FALLBACK = 35 };
    uint64_t field, value;
    Message bytes;
    while (m.next(&field, &value, &bytes)) {
        if (field == MODEL_TYPE)
            s->model_type = value;
        else if (field == TREAT_WHITESPACE_AS_SUFFIX)
            s->suffix_space = value;
        else if (field == BYTE_FALLBACK)
            s->byte_fallback = value;
    }
    return m.at == m.end;
}

bool read_normalizer_spec(Message m, ModelSettings *s)
{
    enum { NAME = 1, PRECOMPILED_CHARSMAP = 2, ADD_DUMMY_PREFIX = 3, REMOVE_EXTRA_WHITESPACES = 4, ESCAPE_WHITESPACES = 5 };
    uint64_t field, value;
    Message bytes;
    while (m.next(&field, &value, &bytes)) {
        if (field == NAME && bytes.at)
            s->normaliser.assign(bytes.at, bytes.end);
        else if (field == PRECOMPILED_CHARSMAP)
            s->character_map = (size_t)(bytes.end - bytes.at);
        else if (field == ADD_DUMMY_PREFIX)
            s->dummy_prefix = value;
        else if (field == REMOVE_EXTRA_WHITESPACES)
            s->collapses_spaces = value;
        else if (field == ESCAPE_WHITESPACES)
            s->escapes_spaces = value;
    }
    return m.at == m.end;
}

bool read_piece(Message m, ModelSettings *s)
{
    enum { TYPE = 3 };
    uint64_t field, value;
    Message bytes;
    s->kinds.push_back(PIECE_NORMAL);
    while (m.next(&field, &value, &bytes))
        if (field == TYPE && value >= PIECE_NORMAL && value <= PIECE_BYTE)
            s->kinds.back() = (PieceKind)value;
    return m.at == m.end;
}

bool read_settings(Message m, ModelSettings *s)
{
    enum { PIECES = 1, TRAINER_SPEC = 2, NORMALIZER_SPEC = 3 };
    uint64_t field, value;
    Message bytes;
    while (m.next(&field, &value, &bytes)) {
        if (field == PIECES && bytes.at && !read_piece(bytes, s))
            return false;
        if (field == TRAINER_SPEC && !read_trainer_spec(bytes, s))
            return false;
        if (field == NORMALIZER_SPEC && !read_normalizer_spec(bytes, s))
            return false;
    }
    return m.at == m.end && !s->kinds.empty();
}

Status check_settings(const ModelSettings &s, const char *path)
{
    static const char *const TYPES[] = {"of type 0", "unigram", "BPE", "word", "character"};
    if (s.model_type != 2)
        return fail(ERR_DATA, "%s: a %s model, and only SentencePiece BPE (as Mistral's) is supported", path,
                    s.model_type < 5 ? TYPES[s.model_type] : "foreign");
    if (!s.byte_fallback)
        return fail(ERR_DATA, "%s: a BPE model without byte fallback, which is not supported (train it with byte_fallback=true)", path);
    if (s.character_map)
        return fail(ERR_DATA, "%s: it normalises text (%.40s), which is not supported (train it with normalization_rule_name=identity)",
                    path, s.normaliser.empty() ? "by its own rules" : s.normaliser.c_str());
    if (s.collapses_spaces)
        return fail(ERR_DATA, "%s: it collapses runs of spaces, which is not supported (train it with remove_extra_whitespaces=false)",
                    path);
    if (!s.escapes_spaces || s.suffix_space)
        return fail(ERR_DATA, "%s: it does not write spaces as a mark before words, which is not supported", path);
    return OK;
}

/* ---------------------------------------------------------------- words */

/* Bytes of the space, or of the mark for one, that stands here; 0: none does. */
size_t space_at(const char *text, size_t n)
{
    constexpr size_t MARK_BYTES = sizeof SPACE_MARK - 1;
    return n && *text == ' ' ? 1 : n >= MARK_BYTES && !memcmp(text, SPACE_MARK, MARK_BYTES) ? MARK_BYTES : 0;
}

/* A word is a run of spaces and what follows, up to the next space. Its length. */
size_t word_length(const char *text, size_t n)
{
    size_t i = 0;
    while (size_t space = space_at(text + i, n - i))
        i += space;
    while (i < n && !space_at(text + i, n - i))
        i++;
    return i;
}

/* Whole characters, and no space among them. */
bool lies_in_word(const std::string &piece)
{
    int length = 0;
    for (size_t i = 0; i < piece.size(); i += (size_t)length) {
        length = utf8_decode(piece.data() + i, piece.size() - i, nullptr);
        if (!length || space_at(piece.data() + i, piece.size() - i))
            return false;
    }
    return true;
}

/* Whether a text's pieces are those of its words, each encoded by itself. A merge of two pieces is a piece, so none crosses the start of a
 * word when no piece does; the order of merges, by score and then by place, is the same inside a word with and without its neighbours, and
 * everything that the normaliser does (spaces to marks, malformed bytes to U+FFFD) stops at spaces. What would not hold:
 *   user-defined pieces with spaces: they are found in a text before it is cut into characters, the longest first;
 *   unused pieces, which are taken apart again as they were merged last anywhere in the text;
 *   a mark that is no piece: its bytes end before the space, and those of the prefix that stands for it behind;
 *   scores without an order. */
bool words_stand_alone(const Tokenizer *t)
{
    bool has_mark = false;
    for (int id = 0; id < t->info.n_pieces; id++) {
        const PieceKind kind = t->kinds[(size_t)id];
        const std::string &piece = t->sp.IdToPiece(id);
        if (kind == PIECE_UNUSED || (kind == PIECE_USER && !lies_in_word(piece)))
            return false;
        if (kind != PIECE_NORMAL) /* never merged */
            continue;
        if (word_length(piece.data(), piece.size()) < piece.size() || std::isnan(t->sp.GetScore(id)))
            return false;
        has_mark |= piece == SPACE_MARK;
    }
    return has_mark && t->info.dummy_prefix;
}

/* ---------------------------------------------------------------- opening */

/* "<0x0A>" to 10. */
int byte_of(const std::string &piece)
{
    unsigned value;
    char close;
    return piece.size() == 6 && sscanf(piece.c_str(), "<0x%2X%c", &value, &close) == 2 && close == '>' ? (int)value : NOT_A_BYTE;
}

Status load(Tokenizer *t, const char *path, const char *bytes, size_t n)
{
    ModelSettings settings;
    if (!read_settings(Message{bytes, bytes + n}, &settings))
        return fail(ERR_DATA, "%s: not a SentencePiece model, or damaged", path);
    TRY(check_settings(settings, path));
    sentencepiece::logging::SetMinLogLevel(LOG_FATAL_ONLY);
    const auto status = t->sp.LoadFromSerializedProto({bytes, n});
    if (!status.ok())
        return fail(ERR_DATA, "%s: not a SentencePiece model, or damaged: %s", path, status.ToString().c_str());
    const int n_pieces = t->sp.GetPieceSize();
    if ((size_t)n_pieces != settings.kinds.size())
        return fail(ERR_DATA, "%s: not a SentencePiece model, or damaged: %zu pieces, of which %d are read", path, settings.kinds.size(),
                    n_pieces);
    t->kinds = std::move(settings.kinds);
    t->info.n_pieces = n_pieces;
    t->info.bos = t->sp.bos_id();
    t->info.eos = t->sp.eos_id();
    t->info.unk = t->sp.unk_id();
    if (t->info.bos < 0 || t->info.eos < 0 || t->info.unk < 0)
        return fail(ERR_DATA, "%s: it has no %s piece", path, t->info.bos < 0 ? "<s>" : t->info.eos < 0 ? "</s>" : "<unk>");
    t->info.dummy_prefix = settings.dummy_prefix;
    if (words_stand_alone(t) && !(t->words = words_create()))
        throw std::bad_alloc();
    SHA256((const unsigned char *)bytes, n, t->info.sha256);
    t->byte.resize((size_t)n_pieces);
    for (int id = 0; id < n_pieces; id++)
        t->byte[(size_t)id] = (int16_t)(t->sp.IsByte(id) ? byte_of(t->sp.IdToPiece(id)) : NOT_A_BYTE);
    return OK;
}

struct TooLong {}; /* thrown for a word of more than TOKENIZER_WORD_BYTES */

void encode_whole(const Tokenizer *t, const char *text, size_t n, Pieces *out)
{
    sentencepiece::ImmutableSentencePieceText pieces;
    if (n > TOKENIZER_WORD_BYTES)
        throw TooLong();
    if (!t->sp.Encode({text, n}, pieces.mutable_proto()).ok())
        throw std::bad_alloc();
    out->ids.clear();
    out->ends.clear();
    for (size_t i = 0; i < pieces.pieces_size(); i++) {
        out->ids.push_back((int32_t)pieces.pieces((int)i).id());
        out->ends.push_back(pieces.pieces((int)i).end());
    }
}

/* Where pieces go: counted all, written as far as there is room. */
struct Sink {
    int32_t *ids;
    uint32_t *end;
    int64_t cap, after, count, n_after;

    template <typename End> void add(const int32_t *piece, const End *end_in_it, size_t n, size_t from)
    {
        for (size_t i = 0; i < n; i++, count++) {
            const int64_t ends = (int64_t)from + end_in_it[i];
            n_after += ends > after;
            if (count < cap) {
                ids[count] = piece[i];
                end[count] = (uint32_t)ends;
            }
        }
    }
};

/* The same pieces from words that were met before. SentencePiece puts a mark before a text, so a word goes to it without the first of its
 * spaces; the first word of all has its mark from there too. */
void encode_words(const Tokenizer *t, const char *text, size_t n, Sink *out)
{
    std::lock_guard<std::mutex> hold(t->lock);
    Pieces fresh;
    for (size_t at = 0; at < n;) {
        const size_t from = at + (at ? space_at(text + at, n - at) : 0);
        at += word_length(text + at, n - at);
        if (at + space_at(text + at, n - at) == n) /* a last space alone would be no text at all */
            at = n;
        if (const Word *known = words_find(t->words, text + from, at - from)) {
            out->add(known->ids, known->ends, known->n_pieces, from);
            continue;
        }
        encode_whole(t, text + from, at - from, &fresh);
        out->add(fresh.ids.data(), fresh.ends.data(), fresh.ids.size(), from);
        words_keep(t->words, text + from, at - from, fresh.ids.data(), fresh.ends.data(), fresh.ids.size());
    }
}

/* Text of ids, still with marks for spaces and bytes that need not be UTF-8. */
std::string raw_text(const Tokenizer *t, const int32_t *ids, int64_t n)
{
    std::string text;
    for (int64_t i = 0; i < n; i++) {
        const int32_t id = ids[i];
        if (id < 0 || id >= t->info.n_pieces || t->sp.IsControl(id) || t->sp.IsUnknown(id))
            continue;
        if (t->byte[(size_t)id] != NOT_A_BYTE)
            text.push_back((char)t->byte[(size_t)id]);
        else
            text += t->sp.IdToPiece(id);
    }
    return text;
}

std::string spelled(const std::string &raw)
{
    constexpr size_t MARK_BYTES = sizeof SPACE_MARK - 1;
    std::string text;
    for (size_t i = 0; i < raw.size();) {
        const int length = utf8_decode(raw.data() + i, raw.size() - i, nullptr);
        if (!raw.compare(i, MARK_BYTES, SPACE_MARK)) {
            text.append(i ? " " : "");
            i += MARK_BYTES;
        } else if (length) {
            text.append(raw, i, (size_t)length);
            i += (size_t)length;
        } else {
            text += UTF8_REPLACEMENT;
            i++;
        }
    }
    return text;
}

} // namespace

Status tokenizer_open(Tokenizer **out, const char *path)
{
    char *bytes;
    size_t n;
    *out = nullptr;
    TRY(file_read(&bytes, &n, path, MAX_MODEL_BYTES));
    std::unique_ptr<char, void (*)(void *)> hold(bytes, mem_free);
    try {
        auto t = std::make_unique<Tokenizer>();
        TRY(load(t.get(), path, bytes, n));
        *out = t.release();
        return OK;
    } catch (const std::bad_alloc &) {
        return fail(ERR_NOMEM, "%s: no memory to hold this tokenizer", path);
    } catch (...) {
        return fail(ERR_DATA, "%s: not a SentencePiece model, or damaged", path);
    }
}

void tokenizer_close(Tokenizer **t)
{
    if (!t)
        return;
    delete *t;
    *t = nullptr;
}

const TokenizerInfo *tokenizer_info(const Tokenizer *t) { return &t->info; }

int64_t tokenizer_encode(const Tokenizer *t, const char *text, size_t n, TokenizerOutput *out)
{
    try {
        Sink sink = {out->ids, out->end, out->cap, out->after, 0, 0};
        if (t->words) {
            encode_words(t, text, n, &sink);
        } else {
            Pieces all;
            encode_whole(t, text, n, &all);
            sink.add(all.ids.data(), all.ends.data(), all.ids.size(), 0);
        }
        out->n_after = sink.n_after;
        return sink.count;
    } catch (const TooLong &) {
        return TOKENIZER_TOO_LONG;
    } catch (...) {
        return TOKENIZER_NO_MEMORY;
    }
}

int64_t tokenizer_decode(const Tokenizer *t, const int32_t *ids, int64_t n, char *buf, int64_t cap)
{
    try {
        const std::string text = spelled(raw_text(t, ids, n));
        if (cap > 0) {
            const size_t copied = text.size() < (size_t)cap ? text.size() : (size_t)cap - 1;
            memcpy(buf, text.data(), copied);
            buf[copied] = 0;
        }
        return (int64_t)text.size();
    } catch (...) {
        return -1;
    }
}

PieceKind tokenizer_kind(const Tokenizer *t, int32_t id) { return t->kinds[(size_t)id]; }

float tokenizer_score(const Tokenizer *t, int32_t id) { return t->sp.GetScore(id); }

int32_t tokenizer_find(const Tokenizer *t, const char *piece, size_t n)
{
    const int32_t id = t->sp.PieceToId({piece, n}); /* that of the unknown piece where there is none */
    const std::string &found = t->sp.IdToPiece(id);
    return found.size() == n && !memcmp(found.data(), piece, n) ? id : -1;
}

int32_t tokenizer_control(const Tokenizer *t, const char *piece)
{
    const int32_t id = tokenizer_find(t, piece, strlen(piece));
    return id >= 0 && t->sp.IsControl(id) ? id : -1;
}

const char *tokenizer_piece(const Tokenizer *t, int32_t id) { return id < 0 || id >= t->info.n_pieces ? "" : t->sp.IdToPiece(id).c_str(); }
