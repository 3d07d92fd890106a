#!/bin/bash
# configs/slurm/train.sbatch with stand-ins of srun and scontrol: three tasks get the variables that SLURM sets, on one node or as if on several.
. tests/cli/_train.sh
bin=$dir/bin
mkdir "$bin"
cat > "$bin/srun" <<'END'
#!/bin/bash
# The tasks of a step. The last of them sends itself a signal if asked to.
[ "$1" = --kill-on-bad-exit=1 ] && [ "$SRUN_CPUS_PER_TASK" = 8 ] || exit 99
shift
export SLURM_STEP_NUM_TASKS=3 SLURM_STEP_ID=0
for ((r = 0; r < 3; r++)); do
    SLURM_PROCID=$r SLURM_LOCALID=$r "$@" &
    pids[r]=$!
done
[ -z "${SIGNAL_AT:-}" ] || { until [ -e "$SIGNAL_AT" ]; do sleep 0.02; done; kill -USR1 "${pids[2]}"; }
for pid in "${pids[@]}"; do
    wait "$pid"
    code=$?
    [ $code -eq 0 ] || failed=$code
done
exit ${failed:-0}
END
printf '#!/bin/sh\necho "$@" >> "%s"\n' "$dir/scontrol" > "$bin/scontrol"
chmod +x "$bin"/*
export PATH=$bin:$PATH TRAIN=$train SLURM_JOB_ID=$$ SLURM_CPUS_PER_TASK=8 SLURM_STEP_NUM_NODES=1 OMP_NUM_THREADS=1
# submit CODE ARGUMENTS...: what SLURM does with the script.
submit() {
    local wanted=$1 code
    shift
    bash configs/slurm/train.sbatch "$dir/run.json" "$@" > "$dir/out" 2> "$dir/err"
    code=$?
    [ $code -eq "$wanted" ] || { fail "sbatch $*: exit $code, wanted $wanted"; sed 's/^/    /' "$dir/err" >&2; }
}

# On one node.
submit 0
grep -q '"ranks": 3' "$dir/runs/r/environment.json" || fail "it did not run as three ranks"
[ ! -e "$dir/scontrol" ] || fail "a finished job was put back"
mv "$dir/runs/r" "$dir/straight"

# A signal before the end: saved, put back into the queue, and gone on with; over a network this time.
export SLURM_STEP_NUM_NODES=3 SLURM_STEP_NODELIST='127.0.0.[2,3-4]'
SIGNAL_AT=$dir/runs/r/checkpoint-000002 submit 75
[ "$(cat "$dir/scontrol")" = "requeue $$" ] || fail "a stopped job was not put back: $(cat "$dir/scontrol")"
submit 0
same_end "$dir/straight" "after pre-emption"

# A mistake does not go round for ever.
rm "$dir/scontrol"
submit 2 --set train.steps=-1
[ ! -e "$dir/scontrol" ] || fail "a job with a mistake was put back"
exit $failed
