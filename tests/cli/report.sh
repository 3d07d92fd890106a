#!/bin/bash
# report on a run that train made, going on and finished: the page, the text, what is refused. BROWSER=1 (make test-long) also opens pages in headless Chromium.
STEPS=6
. tests/cli/_train.sh
report=$build/report
prompts=$dir/prompts.jsonl
printf '{"ask": "What is it?", "image": "%s", "expected": "x"}\n{"ask": "Why?"}\n' "$PWD/tests/fixtures/images/rgb.png" > "$prompts"
run=$dir/runs/r
page=$dir/page.html
holds() { grep -qF -- "$2" "$1" || fail "$1 does not hold: $2"; }
holds_not() { ! grep -qF -- "$2" "$1" || fail "$1 holds: $2"; }

expect 0 --config "$dir/run.json" --steps 4 --quiet --set data.shards=null --set sample.every=2 --set sample.prompts="$prompts"
flock "$run/.lock" "$report" "$run" --out "$page" --quiet || fail "going on: exit $?"
holds "$page" '>going on</span>'
rm -f "$run/.lock"
ends_with "$report" 0 "$run" --out "$page"
says "$page: open it in a browser"
for part in '>ended, saved</span>' 'of 6</dd>' '<dt>memory</dt>' '<h3>Loss</h3>' '<h3>Learning rate</h3>' 'What is it?' 'step 4</th>' '<code>model.lora.r</code>' '<dt>processor</dt>' \
    '<th scope="row"><bdi>rows</bdi></th>' "train --config $run/config.resolved.json --resume" "convert --from $run --to hf-llava"; do
    holds "$page" "$part"
done
holds_not "$page" '<code>seed'
# the command that it tells does go on, and then the run is finished
eval "$(sed -n 's/.*<code>\(.*--resume\)<\/code>.*/\1/p' "$page") --quiet" 2> "$dir/err" || fail "the command to go on: exit $?, $(cat "$dir/err")"
ends_with "$report" 0 "$run" --out - --quiet
holds "$dir/out" '>finished</span>'

# Commands are called as the report itself was.
"$build/genllava" report "$run" --out "$page" --quiet || fail "genllava report: exit $?"
holds "$page" "<code>genllava train --config $run/config.resolved.json"
ln -s "$(realpath "$build")" "$dir/a b"
"$dir/a b/report" "$run" --out "$page" --quiet || fail "from a folder with a blank: exit $?"
holds "$page" "<code>&#39;$dir/a b/train&#39; --config"

# As text, wide and narrow, with and without letters beyond ASCII.
LC_ALL=C COLUMNS=60 ends_with "$report" 0 "$run" --format text
holds "$dir/out" 'Learning rate'
! LC_ALL=C grep -q '[^ -~]' "$dir/out" || fail "not all is ASCII"
[ "$(grep -v "^  $build" "$dir/out" | wc -L)" -le 60 ] || fail "text is wider than 60 columns"
for columns in 40 80 200; do # names are whole, and nothing is wider but commands, which are copied
    for locale in C C.UTF-8; do
        LC_ALL=$locale COLUMNS=$columns ends_with "$report" 0 "$run" --format text
        [ "$(grep -vE "^  ($build|tensorboard)" "$dir/out" | LC_ALL=C.UTF-8 wc -L)" -le $columns ] || fail "$locale: text is wider than $columns columns"
        holds "$dir/out" 'time of the steps'
    done
done
LC_ALL=C.UTF-8 ends_with "$report" 0 "$run" --format text --out "$dir/text"
holds "$dir/text" '█'

# What cannot be done is said, and nothing is lost.
ends_with "$report" 2
says 'no run to look at'
ends_with "$report" 2 "$run"
says '--out FILE.html is missing'
cp "$run/train.jsonl" "$dir/before"
ends_with "$report" 2 "$run" --out "$run/train.jsonl"
cmp -s "$run/train.jsonl" "$dir/before" || fail "the log was written over"
ends_with "$report" 2 "$run" "$run" "$run" "$run" "$run" "$run" "$run" "$run" "$run" --out "$page"
says '9 runs were given, at most 8'
ends_with "$report" 66 "$dir/none" --out "$dir/other.html"
says "$dir/none: No such file or directory; expected a run folder"
ends_with "$report" 65 "$run/checkpoint-000006" --out "$dir/other.html"
says 'is a checkpoint, expected the run folder'
ends_with "$report" 65 "$dir" --out "$dir/other.html"
says 'is no run folder'
# Of all that lies beside a run, what is no run is left out and said.
ends_with "$report" 0 "$dir/none" "$run" "$dir/runs" "$page" "$run/checkpoint-000006" "$page" "$page" "$page" "$page" --out "$dir/beside.html"
says "left out: $dir/none: No such file or directory"
says "$dir/runs: is no run folder"
grep -q '<title>r ' "$dir/beside.html" || fail "what is left is not the page of one run"
ends_with "$report" 66 "$dir/none" "$dir/runs" --out "$dir/other.html"
says "$dir/runs: is no run folder"
ends_with "$report" 73 "$run" --out "$dir/none/page.html"
[ ! -e "$dir/other.html" ] || fail "a page was left"
[ -z "$(find "$dir" -maxdepth 1 -name '.*html*')" ] || fail "half a page was left"

# What the disk does not give is said, the page is made of the rest, and the exit code tells.
cat > "$dir/eio.c" <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
ssize_t read(int fd, void *to, size_t n) /* of the file that EIO names, its content is an error of the disk */
{
    char link[64], path[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t length = readlink(link, path, sizeof path - 1);
    const char *name = getenv("EIO");
    if (length > 0 && name && strstr(path, name))
        return errno = EIO, -1;
    return ((ssize_t(*)(int, void *, size_t))dlsym(RTLD_NEXT, "read"))(fd, to, n);
}
END
${CC:-cc} -shared -fPIC -o "$dir/eio.so" "$dir/eio.c" -ldl || fail "the disk that fails is not built"
for file in train.jsonl config.resolved.json history.jsonl; do
    [ -e "$run/$file" ] || continue
    EIO=/r/$file LD_PRELOAD=$dir/eio.so ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0 "$report" "$run" --out "$dir/eio.html" 2> "$dir/err"
    [ $? = 74 ] || fail "$file cannot be read: not 74: $(cat "$dir/err")"
    says "$run/$file: cannot be read: Input/output error; the report lacks what is in it"
    holds "$dir/eio.html" "$file cannot be read to its end: Input/output error"
    rm "$dir/eio.html"
done

# A pipe where a file should be does not hang it.
rm "$run/environment.json" && mkfifo "$run/environment.json"
timeout 60 "$report" "$run" --out "$page" --quiet || fail "a pipe: exit $?"
holds "$page" 'environment.json is no ordinary file'

[ -n "${BROWSER:-}" ] || exit $failed
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || { echo "there is no Chromium (apt-get install chromium)"; exit $((failed ? failed : 77)); }
see() { # FILE FLAGS…: its page as it stands in the browser, in $dir/dom; what the console says, in $dir/console
    local file=$1
    shift
    timeout 120 "$browser" --headless --no-sandbox --disable-gpu --allow-file-access-from-files --user-data-dir="$dir/profile" --enable-logging=stderr "$@" --dump-dom "file://$file" \
        > "$dir/dom" 2> "$dir/chromium"
    grep CONSOLE "$dir/chromium" > "$dir/console" && { fail "the browser complains of $file"; cat "$dir/console" >&2; }
}
cp -r "$run" "$dir/runs/second"
rm "$dir/runs/second/environment.json"
"$report" "$run" "$dir/runs/second" --out "$dir/two.html" --quiet || fail "two runs: exit $?"
for file in "$page" "$dir/two.html"; do
    see "$file"
    for width in 360 375 768 1280; do # nothing stands out of the page to the right, and the keyboard shows numbers (by the page's script, which its policy lets run)
        cat > "$dir/frame.html" <<END
<body><iframe id="f" src="file://$file" style="border:0;width:${width}px;height:900px"></iframe><p id="result"></p><script>
document.getElementById('f').onload = function () {
  var d = this.contentDocument, svg = d.querySelector('.plot>svg');
  svg.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft'}));
  document.getElementById('result').textContent = 'wide=' + (d.documentElement.scrollWidth - $width) + ' tip=' + d.getElementById('tip').textContent.split('\n')[0] +
    ' pictures=' + [].every.call(d.images, function (i) { return i.complete && i.naturalWidth > 0; });
};</script></body>
END
        see "$dir/frame.html"
        grep -qE 'wide=(0|-[0-9]+) tip=step [0-9]+ pictures=true' "$dir/dom" || fail "${file##*/}, $width wide: $(grep -oE '<p id="result">[^<]*' "$dir/dom")"
    done
done
exit $failed
