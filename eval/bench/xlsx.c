/* xlsx.c: see xlsx.h. Called by mmbench.c.
 * Source: ECMA-376 part 1 (SpreadsheetML) and PKWARE's APPNOTE. */
#include "eval/bench/xlsx.h"

#include <inttypes.h>
#include <string.h>
#include <zlib.h>

#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

#define XML "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n"
#define OFFICE "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
#define PACKAGE "http://schemas.openxmlformats.org/package/2006/"
#define MAIN "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
#define RELATION(type, target)                                                                                                  \
    XML "<Relationships xmlns=\"" PACKAGE "relationships\"><Relationship Id=\"rId1\" Type=\"" OFFICE type "\" Target=\"" target \
        "\"/></Relationships>"
#define CONTENT "application/vnd.openxmlformats-officedocument.spreadsheetml."

enum { N_FILES = 5, MOST_CHARACTERS = 32767, DOS_DATE = 33 /* 1 January 1980 */, VERSION = 20 };

typedef struct ZipFile {
    const char *name, *text;
    size_t n;
    uint32_t crc, offset;
} ZipFile;

Status xlsx_begin(Xlsx *x)
{
    *x = (Xlsx){0};
    x->sheet = open_memstream(&x->bytes, &x->n);
    if (!x->sheet)
        return fail(ERR_NOMEM, "no memory for a sheet");
    fputs(XML "<worksheet xmlns=\"" MAIN "\"><sheetData>", x->sheet);
    return OK;
}

static void put_character(FILE *out, const char *s, int bytes)
{
    const unsigned char c = (unsigned char)*s;
    if (bytes == 1 && (c == '&' || c == '<' || c == '>'))
        fputs(c == '&' ? "&amp;" : c == '<' ? "&lt;" : "&gt;", out);
    else if (c == '\r')
        fputs("&#13;", out); /* else it would be read as a line feed */
    else if (c >= ' ' || c == '\t' || c == '\n')
        fwrite(s, 1, (size_t)bytes, out);
}

static void put_text(FILE *out, Span text)
{
    int n = 0;
    for (size_t i = 0; i < text.n && n < MOST_CHARACTERS; n++) {
        uint32_t c;
        const int bytes = utf8_decode(text.s + i, text.n - i, &c);
        if (!bytes)
            fputs("\xEF\xBF\xBD", out);
        else if (c != 0xFFFE && c != 0xFFFF)
            put_character(out, text.s + i, bytes);
        i += bytes ? (size_t)bytes : 1;
    }
}

void xlsx_row(Xlsx *x, const XlsxCell *cells, int n)
{
    fprintf(x->sheet, "<row r=\"%" PRId64 "\">", ++x->n_rows);
    for (int i = 0; i < n; i++) {
        if (!cells[i].text.n)
            continue;
        const char first[2] = {i < 26 ? 0 : (char)('A' + i / 26 - 1)}; /* of a column's name: A to Z, AA to ZZ */
        fprintf(x->sheet, "<c r=\"%s%c%" PRId64 "\"%s", first, 'A' + i % 26, x->n_rows,
                cells[i].number ? "><v>" : " t=\"inlineStr\"><is><t xml:space=\"preserve\">");
        put_text(x->sheet, cells[i].text);
        fputs(cells[i].number ? "</v></c>" : "</t></is></c>", x->sheet);
    }
    fputs("</row>", x->sheet);
}

/* ---------------------------------------------------------------- ZIP */

static void put_le(FILE *out, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++, value >>= 8)
        fputc((int)(value & 0xFF), out);
}

/* What a local header and an entry of the directory have in common, from the version that is needed on. */
static void put_common(FILE *out, const ZipFile *f)
{
    put_le(out, VERSION, 2);
    put_le(out, 0, 2); /* flags */
    put_le(out, 0, 2); /* stored */
    put_le(out, 0, 2); /* time */
    put_le(out, DOS_DATE, 2);
    put_le(out, f->crc, 4);
    put_le(out, (uint32_t)f->n, 4);
    put_le(out, (uint32_t)f->n, 4);
    put_le(out, (uint32_t)strlen(f->name), 2);
    put_le(out, 0, 2); /* extra */
}

static uint32_t put_file(FILE *out, ZipFile *f, uint32_t offset)
{
    f->offset = offset;
    f->crc = (uint32_t)crc32(0, (const Bytef *)f->text, (uInt)f->n);
    put_le(out, 0x04034b50, 4);
    put_common(out, f);
    fputs(f->name, out);
    fwrite(f->text, 1, f->n, out);
    return offset + 30 + (uint32_t)(strlen(f->name) + f->n);
}

static uint32_t put_entry(FILE *out, const ZipFile *f)
{
    put_le(out, 0x02014b50, 4);
    put_le(out, VERSION, 2); /* made by */
    put_common(out, f);
    put_le(out, 0, 2); /* comment */
    put_le(out, 0, 2); /* disk */
    put_le(out, 0, 2);
    put_le(out, 0, 4); /* attributes */
    put_le(out, f->offset, 4);
    fputs(f->name, out);
    return 46 + (uint32_t)strlen(f->name);
}

static void put_zip(FILE *out, ZipFile *files, int n)
{
    uint32_t offset = 0, size = 0;
    for (int i = 0; i < n; i++)
        offset = put_file(out, &files[i], offset);
    for (int i = 0; i < n; i++)
        size += put_entry(out, &files[i]);
    put_le(out, 0x06054b50, 4);
    put_le(out, 0, 4); /* disks */
    put_le(out, (uint32_t)n, 2);
    put_le(out, (uint32_t)n, 2);
    put_le(out, size, 4);
    put_le(out, offset, 4);
    put_le(out, 0, 2); /* comment */
}

Status xlsx_end(Xlsx *x, FILE *out, Status s)
{
    static const char TYPES[] =
        XML "<Types xmlns=\"" PACKAGE "content-types\"><Default Extension=\"rels\" ContentType=\"application/"
            "vnd.openxmlformats-package.relationships+xml\"/><Default Extension=\"xml\" ContentType="
            "\"application/xml\"/><Override PartName=\"/xl/workbook.xml\" ContentType=\"" CONTENT
            "sheet.main+xml\"/><Override PartName=\"/xl/worksheets/sheet1.xml\" ContentType=\"" CONTENT "worksheet+xml\"/></Types>";
    static const char WORKBOOK[] = XML "<workbook xmlns=\"" MAIN "\" xmlns:r=\"" OFFICE "\"><sheets><sheet name=\"Sheet1\" sheetId="
                                       "\"1\" r:id=\"rId1\"/></sheets></workbook>";
    static const char ROOT[] = RELATION("/officeDocument", "xl/workbook.xml"), BOOK[] = RELATION("/worksheet", "worksheets/sheet1.xml");
    fputs("</sheetData></worksheet>", x->sheet);
    if (fclose(x->sheet) && !s)
        s = fail(ERR_NOMEM, "no memory for a sheet");
    if (!s && x->n > UINT32_MAX / 2)
        s = fail(ERR_DATA, "a sheet of %zu bytes is too large for an .xlsx file", x->n);
    ZipFile files[N_FILES] = {{"[Content_Types].xml", TYPES, sizeof TYPES - 1, 0, 0},
                              {"_rels/.rels", ROOT, sizeof ROOT - 1, 0, 0},
                              {"xl/workbook.xml", WORKBOOK, sizeof WORKBOOK - 1, 0, 0},
                              {"xl/_rels/workbook.xml.rels", BOOK, sizeof BOOK - 1, 0, 0},
                              {"xl/worksheets/sheet1.xml", x->bytes, x->n, 0, 0}};
    if (!s)
        put_zip(out, files, N_FILES);
    mem_free(x->bytes);
    *x = (Xlsx){0};
    return s;
}
