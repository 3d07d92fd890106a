#!/bin/bash
# tools/format.sh: what it lays out, and what stays as its author wrote it.
set -u
here=$PWD
command -v clang-format > /dev/null || { echo "no clang-format"; exit 77; }
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
cp .clang-format "$tmp"
cd "$tmp" || exit 1
cat > a.c <<'END'
/* a table, a macro, members side by side, text of several lines */
static const struct { int a; const char *b; } TABLE[] = {
    {   1, "x"},
    {1000, "y"},
};
#define PAIR(a,b) {a,b}
static struct {
    struct { int a, b; } inner;
} both = {.inner = {.a = 1,
                    .b = 2}};
static const char TEXT[] = "one "
                  "two";
int f(int x){
  if(x) return 1;
    return TABLE[0].a+x;
}
END
sed 's/^int f(int x){/int f(int x)\n{/; s/^  if(x) return 1;/    if (x)\n        return 1;/; s/a+x/a + x/' a.c > wanted.c
sh "$here/tools/format.sh" --check a.c 2> err && { echo "--check accepts what is not laid out" >&2; exit 1; }
grep -q '^a.c: its layout is not that of .clang-format; make format$' err || { cat err >&2; exit 1; }
sh "$here/tools/format.sh" a.c
diff wanted.c a.c >&2 || exit 1
sh "$here/tools/format.sh" --check a.c
