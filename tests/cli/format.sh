#!/bin/bash
# tools/format.sh: what it lays out, and what stays as its author wrote it.
set -u
here=$PWD
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
cp .clang-format "$tmp"
cd "$tmp" || exit 1
# Where clang-format is missing, or another one, the layout is skipped and said to be.
mkdir none other
printf '#!/bin/sh\necho "Debian clang-format version 16.0.6 (14.0)"\n' > other/clang-format
chmod +x other/clang-format
for path in none other; do
    said=$(PATH=$tmp/$path /bin/sh "$here/tools/format.sh" --check a.c)
    [ "$?: $said" = "0: layout: skipped: clang-format 14 is not installed (Debian: apt-get install clang-format-14)" ] ||
        { echo "without clang-format 14: $said" >&2; exit 1; }
done
clang-format-14 --version > /dev/null 2>&1 || clang-format --version 2> /dev/null | grep -q ' version 14\.' ||
    { echo "no clang-format 14"; exit 77; }
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
