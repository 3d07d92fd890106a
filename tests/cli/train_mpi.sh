#!/bin/bash
# Bytes between ranks by Open MPI: the same bits as over sockets; a rank that is killed or stopped inside a sum, and errors, end all.
. tests/cli/_train.sh
command -v mpirun > /dev/null || { echo "no mpirun (Debian package openmpi-bin)"; exit 77; }
mpirun --version 2>&1 | grep -q 'Open MPI' || { echo "mpirun is not that of Open MPI"; exit 77; }
# root, more ranks than processors, and time to see the end of ranks whose launcher has begun to kill them: only here
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_odls_base_sigkill_timeout=6 OMP_NUM_THREADS=1
export ASAN_OPTIONS=detect_leaks=0 # Open MPI's own
sed -i 's/"every": 1,/"every": 0,/' "$dir/run.json"

# The real library with deliberate faults: its K-th MPI_Isend fails (MPI_FAULT=fail:K), or a signal (kill:K, stop:K) comes before it. alone:
# as in the library of another mpirun, the ranks do not find one another.
cat > "$dir/faults.c" <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
int MPI_Isend(const void *from, int n, void *type, int rank, int tag, void *comm, void **request)
{
    static int calls;
    int (*real)(const void *, int, void *, int, int, void *, void **) = dlsym(RTLD_NEXT, "MPI_Isend");
    const char *fault = getenv("MPI_FAULT"), *at = fault ? strchr(fault, ':') : NULL;
    if (at && ++calls == atoi(at + 1)) {
        if (*fault == 'f')
            return 16; /* MPI_ERR_OTHER */
        raise(*fault == 'k' ? SIGKILL : SIGSTOP);
    }
    return real(from, n, type, rank, tag, comm, request);
}
int MPI_Comm_size(void *comm, int *n)
{
    int (*real)(void *, int *) = dlsym(RTLD_NEXT, "MPI_Comm_size");
    const char *fault = getenv("MPI_FAULT");
    int error = real(comm, n);
    *n = fault && !strcmp(fault, "alone") ? 1 : *n;
    return error;
}
END
cc -shared -fPIC -w -o "$dir/libfaults.so" "$dir/faults.c" -Wl,--no-as-needed -l:libmpi.so.40 || { echo "libmpi.so.40 cannot be linked"; exit 77; }

# A rank: RANK_1=NAME=VALUE sets a variable of rank 1 alone; its number is left in $RANKS_DIR/pid.1, its exit code in $RANKS_DIR/code.1.
program=$train
cat > "$dir/rank" <<END
#!/bin/bash
trap : TERM
own=RANK_\$OMPI_COMM_WORLD_RANK
(echo \$BASHPID > "\$RANKS_DIR/pid.\$OMPI_COMM_WORLD_RANK"; exec env \${!own} "$program" "\$@")
code=\$?
echo \$code > "\$RANKS_DIR/code.\$OMPI_COMM_WORLD_RANK"
exit \$code
END
train=$dir/mpirun
printf '#!/bin/sh\nexec mpirun --oversubscribe -n $RANKS "%s" "$@"\n' "$dir/rank" > "$train"
chmod +x "$dir/rank" "$train"
# run CODES ARGUMENTS...: … anew, with one of these codes; $codes are then the ranks' exit codes.
run() {
    rm -rf "$dir/runs" "$dir"/code.*
    local wanted=$1 code
    shift
    RANKS_DIR=$dir "$train" --config "$dir/run.json" "$@" > "$dir/out" 2> "$dir/err"
    code=$?
    [[ " $wanted " == *" $code "* ]] || { fail "mpirun $*: exit $code, wanted $wanted"; sed 's/^/    /' "$dir/err" >&2; }
    codes=$(cat "$dir"/code.* | sort -n | tr '\n' ' ')
}
errors() { [ "$(grep -c 'error: ' "$dir/err")" -eq 1 ] || { fail "not one error is told"; sed 's/^/    /' "$dir/err" >&2; }; }

# The same bits over either, for 2, 3 and 4 ranks: those of the ranks that train starts itself.
for n in 2 3 4; do
    rm -rf "$dir/runs"
    ends_with "$program" 0 --config "$dir/run.json" --ranks $n
    mv "$dir/runs/r" "$dir/straight$n"
    RANKS=$n run 0
    says "$n ranks sum by Open MPI v"
    same_end "$dir/straight$n" "$n ranks by MPI"
    ! grep -qi mpirun "$dir/err" || fail "mpirun complains: $(cat "$dir/err")"
done
export RANKS=3
GENLLAVA_MPI=none run 0
says "Open MPI (libmpi.so.40, or what GENLLAVA_MPI names) is not found: sums over the ranks go over sockets"
same_end "$dir/straight3" "3 ranks without MPI"
RANK_1=GENLLAVA_MPI=$dir/nothing run 0
says "warning: some ranks do not find Open MPI (libmpi.so.40, or what GENLLAVA_MPI names): sums over the ranks go over sockets"
same_end "$dir/straight3" "one rank without MPI"
export GENLLAVA_MPI=$dir/libfaults.so
MPI_FAULT=alone run 0
says "warning: Open MPI v"
says " (libmpi.so.40, or what GENLLAVA_MPI names) is not that of the mpirun that has started the ranks: it is not used"
same_end "$dir/straight3" "the library of another mpirun"
# What has nothing to do ends without a complaint of mpirun, too.
run 0 --dry-run
! grep -qi mpirun "$dir/err" || fail "mpirun complains of a dry run: $(cat "$dir/err")"

# A mistake, and an error of MPI: one sentence, and the exit code is that of the ranks.
mistaken() {
    run 66 --set model.llm.path="$dir/nothing"
    errors
}
failing() {
    RANK_1=MPI_FAULT=fail:20 run 69
    says "error: MPI: bytes to or from another rank: MPI_ERR_OTHER: known error not in list; GENLLAVA_MPI=none goes without it"
    errors
    [ "$codes" = "69 69 69 " ] || fail "after an error of MPI the ranks end with $codes"
}
# A rank that is killed or stopped inside a sum of step 5, in either half of it. mpirun gives the code of the rank whose end it sees first.
lost() { # FAULT RANK
    SECONDS=0
    export RANK_$2=MPI_FAULT=$1 GENLLAVA_RANKS_SILENCE=3
    if [[ $1 == kill* ]]; then
        run "69 137"
        says "error: rank $2 has ended"
        [ "$codes" = "69 69 137 " ] || fail "$1: the ranks end with $codes"
    else
        run 69
        says "error: rank $2 has given no sign of life for 3 s"
    fi
    grep -q '^step 4/16' "$dir/err" && ! grep -q '^step 5/16' "$dir/err" || fail "$1: not in step 5: $(cat "$dir/err")"
    ! grep -q 'Read -1' "$dir/err" || fail "$1: a rank reads out of one that has died: $(cat "$dir/err")"
    [ $SECONDS -lt 60 ] || fail "$1: only after $SECONDS s"
}
# A signal to a rank: the step is finished and saved, and mpirun hands on that code.
asked() {
    RANKS_DIR=$dir "$train" --config "$dir/run.json" --set train.steps=100000 > /dev/null 2> "$dir/err" &
    local pid=$! code
    await $pid steps_past 2
    kill -TERM "$(cat "$dir/pid.2")"
    wait $pid
    code=$?
    [ $code -eq 75 ] || fail "SIGTERM to rank 2: exit $code, wanted 75"
    says "SIGTERM: stopped after step $(wc -l < "$dir/runs/r/train.jsonl") of 100000; go on with --resume"
}
# All of these mostly wait: side by side, each mpirun with a folder of its own, which it makes and removes.
apart() {
    OMPI_MCA_orte_tmpdir_base=$(mktemp -d -p /tmp)
    export OMPI_MCA_orte_tmpdir_base
    "$@"
    rm -rf "$OMPI_MCA_orte_tmpdir_base"
}
beside mistaken apart mistaken
beside failing apart failing
beside asked apart asked
for case in kill:18:1 kill:19:0 stop:18:0 stop:19:2; do beside "$case" apart lost "${case%:*}" "${case##*:}"; done
together
exit $failed
