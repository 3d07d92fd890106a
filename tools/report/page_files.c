/* page_files.c: the page's style and script, taken in by the assembler (report.h). Called by page.c. */
#include "tools/report/report.h"

#define TAKE_IN(symbol, path)                                                                     \
    __asm__(".section .rodata\n.globl " #symbol "\n" #symbol ":\n.incbin \"tools/report/" path "\"\n" \
            ".byte 0\n.previous\n")

TAKE_IN(REPORT_STYLE, "page.css");
TAKE_IN(REPORT_SCRIPT, "page.js");
