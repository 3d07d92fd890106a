"""What Python's str, float and int make of strings: for eval/bench/span.h.

python3 tests/oracle/bench_python.py [N] > tests/fixtures/bench/python.txt

A line each: operation, argument, result; texts in UTF-8 as hexadecimal digits, "-" for nothing, "!" where Python raises. N: how many strings
are drawn (130); the committed table is what N = 130 gives.
"""

import random
import struct
import sys

ALPHABET = list("aAbBzZ  \t\n\r.,?'\"09_-+eEiInNfF/()") + list("éÉßẞàÀÿŸñÑıİſŁłŒœΣσςΑΩωάΆϐДдЯяЁёЪԱաႠაⅣⓐＡａ\u00a0\u2003\u3000\u200b\u0085\u2028\u0301\u0307\u00ad\u02b0🙂漢٣𐐀")
NUMBERS = list("0123456789") * 2 + list("..__eE+-  ") + ["inf", "nan", "infinity", "\u00a0", "\t"]


def hexed(s):
    return s.encode().hex() or "-"


def listed(parts):
    return ",".join(hexed(p) for p in parts) or "[]"


def tried(f, s):
    try:
        return f(s)
    except (ValueError, OverflowError):
        return "!"


def as_int(s):
    value = int(s)
    if not -(2**63) <= value < 2**63:
        raise ValueError
    return str(value)


def main():
    rng = random.Random(5)
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 130
    strings = ["", " ", "ΣΊΣΥΦΟΣ", "Σ", "ΑΣ.", "ΑΣ'Β", "ΑΣ\u0301", "İ", "x\x1fy\x1c", "a\u200bb", "ⅣΣ", "ⓐΣΣⅣ", "ªΣ", "\U0001f130Σ", "1Σ", "ʰΣ"]
    strings += ["".join(rng.choice(ALPHABET) for _ in range(rng.randint(1, 9))) for _ in range(n)]
    for s in strings:
        print("lower", hexed(s), hexed(s.lower()))
        print("strip", hexed(s), hexed(s.strip()))
        print("rstrip", hexed(s), hexed(s.rstrip(".?")))
        print("stripset", hexed(s), hexed(s.strip("aA.")))
        print("split", hexed(s), listed(s.split()))
        print("splitat", hexed(s), listed(s.split(" ")))
        print("replace", hexed(s), hexed(s.replace("a", "-a-")))
        print("len", hexed(s), len(s))
    numbers = ["1_0", "_1", "1_", "1__0", ".5", "5.", ".", "1e5", "1e", "e5", "-inf", "+nan", "Infinity", "infin", "0x10", " 12 ", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "1_0.0_1", "1._0", "1_.0", "1e1_0", "1e_1", "1e400", "1e-400", "- 1"]
    numbers += ["".join(rng.choice(NUMBERS) for _ in range(rng.randint(1, 7))) for _ in range(2 * n)]
    for s in numbers:
        print("float", hexed(s), tried(lambda t: struct.pack(">d", float(t)).hex() if float(t) == float(t) else "nan", s))
        print("int", hexed(s), tried(as_int, s))
    reals = [0.0, -0.0, 1.0, 0.1, 1e16, 1e15, 123456789012345678.0, 1e-4, 1e-5, 9999999999999998.0, 5e-324, 1.7976931348623157e308, float("inf"), float("-inf"), 1 / 3, 2.5e-7, 1e22, 1e23]
    reals += [struct.unpack(">d", rng.randbytes(8))[0] for _ in range(n)] + [round(rng.uniform(-1000, 1000), rng.randint(0, 6)) for _ in range(n)]
    for v in reals:
        if v == v:
            print("repr", struct.pack(">d", v).hex(), hexed(repr(v)))


main()
