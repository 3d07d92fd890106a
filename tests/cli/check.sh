#!/bin/bash
# tools/check.sh: one small tree with every kind of finding, and the exact lines it must print.
set -u
tree=$(mktemp -d) || exit 1
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/build/tools" # where nothing is looked at
check=$tree/build/tools/check.sh
cp tools/check.sh "$check"
cat > "$tree/build/tools/rooms.txt" <<'END'
# room         | what it is for | may include
kernels/base   | x              |
kernels/ops    | x              | kernels/base
kernels/cpu    | x              | kernels/base kernels/ops
kernels/cuda   | x              | kernels/base
data           | x              |
data/formats   | x              | kernels/base
train          | x              |
train/nn       | x              | kernels/base
train/models   | x              | data/loader/batch.h data/pictures/resize.h train/nn
eval           | x              |
tests          | x              | *
END
mkdir -p "$tree"/{kernels/base,kernels/ops,kernels/cpu,kernels/new,data/formats,data/loader,train/nn,train/models,tests}
cd "$tree" || exit 1

cat > kernels/base/good.h <<'END'
/* exit(1), printf("x") and malloc( in comments or "strings" are nobody's business. */
#ifndef GOOD_H
#define GOOD_H
int good(void);
#endif
END
cat > kernels/base/good.c <<'END'
#include "kernels/base/good.h"
#include <stdio.h>
const char *text = "exit(1); \" abort(); #include \"data/loader/loader.h\""; // puts("x")
int good(void) { return fprintf(stderr, "%c", '"') + my_exit(2) + p->exit(3); }
END
cat > kernels/base/bad.c <<'END'
#include "kernels/ops/op.h"
#include <dnnl.h>
int bad(const char *s) { /* a comment
   over two lines: abort() */ exit(atoi(s)); }
void *worse(void) { printf("%d", 1); fputs("x", stdout); return malloc(3); }
END
echo 'size_t lonely(const char *class);' > kernels/ops/op.h
printf '#include <oneapi/dnnl/dnnl.h>\n#include "kernels/base/good.h"\n' > kernels/cpu/cpu.c
printf '#include "kernels/base/good.h"\n#include <stdlib.h>\nvoid *p(void) { return malloc(1); }\n' > data/formats/json.c
printf '#include "data/loader/batch.h"\n#include "data/loader/loader.h"\n#include "train/nn/tape.h"\n#include "eval/score.h"\n' > train/models/model.c
printf '#include "data/loader/batch.h"\n' > train/nn/tape.c
echo 'int homeless;' > kernels/new/room.c
printf '#include <hdf5.h>\n' > data/one.c
printf '#include <hdf5.h>\n' > data/two.c
printf '#include "eval/anything.h"\nint t(void) { exit(1); }\n' > tests/free.c
mkdir -p eval && printf 'int main(void) { printf("x"); return 0; }\n' > eval/generate.c
yes 'int x;' | head -601 > train/long.c
printf 'see /home/someone/notes\nnot /tmp/home/x\n' > README.md

printf '# what it is for\nx%0140d\n' 0 > tests/long.sh # the columns of characters are counted, not bytes
printf '#!/bin/sh\nx\ny\n' > tests/short.sh
printf '/* %s */\n' "$(printf 'ä%.0s' {1..134})" > tests/wide.h
found=$(sh "$check" gcc g++ "" "$tree" 2> stderr)
code=$?
wanted="README.md:1: a path of one machine
data/formats/json.c:1: the file does not begin with a comment that says what it is for
data/one.c:1: the file does not begin with a comment that says what it is for
data/two.c:1: hdf5.h is included by data/one.c already; one file may
data/two.c:1: the file does not begin with a comment that says what it is for
eval/generate.c:1: the file does not begin with a comment that says what it is for
kernels/base/bad.c:1: kernels/base may not include kernels/ops/op.h
kernels/base/bad.c:1: the file does not begin with a comment that says what it is for
kernels/base/bad.c:2: dnnl.h is included outside of kernels/cpu
kernels/base/bad.c:4: atoi() is banned below main
kernels/base/bad.c:4: exit() is banned below main
kernels/base/bad.c:5: malloc() belongs to kernels/base/arena.c and data/formats; use mem_alloc or an arena
kernels/base/bad.c:5: printf() is banned below main: log_* is for people, a FILE * from main for results
kernels/base/bad.c:5: writing to stdout is banned below main: log_* is for people, a FILE * from main for results
kernels/base/good.c:1: the file does not begin with a comment that says what it is for
kernels/cpu/cpu.c:1: the file does not begin with a comment that says what it is for
kernels/new/room.c:1: lies in no room of tools/rooms.txt
kernels/new/room.c:1: the file does not begin with a comment that says what it is for
kernels/ops/op.h:1: does not compile alone as C++: error: 'size_t' does not name a type
kernels/ops/op.h:1: does not compile alone as C: error: unknown type name 'size_t'
kernels/ops/op.h:1: the file does not begin with a comment that says what it is for
tests/free.c:1: the file does not begin with a comment that says what it is for
tests/long.sh:2: more than 140 columns
tests/short.sh:1: the file does not begin with a comment that says what it is for
tools/rooms.txt:3: kernels/ops may include kernels/base, and no file of it does
tools/rooms.txt:4: kernels/cpu may include kernels/ops, and no file of it does
tools/rooms.txt:9: train/nn may include kernels/base, and no file of it does
tools/rooms.txt:10: train/models may include data/pictures/resize.h, and no file of it does
train/long.c:1: the file does not begin with a comment that says what it is for
train/long.c:601: more than 600 lines; split the file
train/models/model.c:1: the file does not begin with a comment that says what it is for
train/models/model.c:2: train/models may not include data/loader/loader.h
train/models/model.c:4: train/models may not include eval/score.h
train/nn/tape.c:1: the file does not begin with a comment that says what it is for
train/nn/tape.c:1: train/nn may not include data/loader/batch.h"
if [ "$found" != "$wanted" ] || [ $code != 1 ] || [ "$(cat stderr)" != 'check: 35 findings' ]; then
    diff <(echo "$wanted") <(echo "$found")
    cat stderr
    exit 1
fi
rm -rf README.md data kernels/base/good.c kernels/base/bad.c kernels/cpu eval kernels/new kernels/ops train tests stderr
[ "$(sh "$check" gcc g++ "" "$tree")" = 'check: 1 sources, nothing found' ]
