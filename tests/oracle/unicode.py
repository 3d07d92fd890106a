"""What evaluate takes answers for: strings and their unicodedata.normalize("NFC", s).casefold(), after stripping, as Python computes them.

python3 tests/oracle/unicode.py > tests/fixtures/unicode.txt

A line each: both in UTF-8 as hexadecimal digits, "-" for nothing. --all: every character, and many strings of those that change.
"""

import random
import sys
import unicodedata


def normalised(s):
    """White space and full stops in any order at the end."""
    s = s.lstrip()
    while s != s.rstrip().rstrip("."):
        s = s.rstrip().rstrip(".")
    return unicodedata.normalize("NFC", s).casefold()


STRINGS = [
    "Yes.", " yes ", "NO", "É", "e\u0301", "E\u0301", "Д", "ДОМ", "Straße", "STRASSE", "ẞ", "İstanbul", "ısı", "ΣΊΣΥΦΟΣ", "ς", "ﬁne", "ŉ", "ǰ", "ΐ", "\u1fd3",
    "\u1fb4", "α\u0345\u0301", "α\u0301\u0345", "ᾳ", "ΑΙ", "\u212b", "Å", "a\u030a", "\u2126", "Ω", "\u212a", "K", "각", "\u1100\u1161\u11a8", "\u0958", "\u0915\u093c",
    "q\u0307\u0323", "q\u0323\u0307", "\u1e69", "s\u0323\u0307", "Ꭰ", "ꭰ", "\U00010400", "\U0001e900", "Ⅷ", "Ⓐ", "\ufb03", "㍿", "①", "漢字", "\uf900", "🙂", "a\0B",
    "\u3000Tokyo\u3000.", "x . . ", "...", ".5", "5.", "\u00a0a\u2003", "\x1fa\x1c", "\u200ba", "\ufeffA", "ª", "ſ", "ẛ\u0323", "\ufffd", "Ǆ", "ǅ", "ǆ", "Ա", "և", "Ⴀ",
    "\u0130\u0307", "i\u0307", "\U0001d15e", "\u2adc", "\u0340", "\u0344", "\u0374", "\u037e", "", " ",
]


def main():
    rng = random.Random(9)
    changing = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and unicodedata.normalize("NFC", chr(c)).casefold() != chr(c)]
    marks = [chr(c) for c in range(0x10000) if unicodedata.combining(chr(c))]
    if "--all" in sys.argv:
        strings = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and unicodedata.category(chr(c)) != "Cn"]
        strings += ["".join(rng.choice(changing + marks * 3) for _ in range(rng.randint(1, 8))) for _ in range(200000)]
    else:
        strings = STRINGS + rng.sample(changing, 150)
        strings += ["".join(rng.choice(changing + marks * 3) for _ in range(rng.randint(2, 6))) for _ in range(100)]
    for s in strings:
        print(s.encode().hex() or "-", normalised(s).encode().hex() or "-")


main()
