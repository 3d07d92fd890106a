#!/bin/bash
# Ranks that Open MPI starts on one machine: as those that train starts itself.
. tests/cli/_train.sh
command -v mpirun > /dev/null || { echo "no mpirun (Debian package openmpi-bin)"; exit 77; }
mpirun --version 2>&1 | grep -q 'Open MPI' || { echo "mpirun is not that of Open MPI"; exit 77; }
# root, and more ranks than processors: only here
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1
sed -i 's/"every": 1,/"every": 0,/' "$dir/run.json"
expect 0 --config "$dir/run.json" --ranks 3
mv "$dir/runs/r" "$dir/straight"
program=$train
train=$dir/mpirun
printf '#!/bin/sh\nexec mpirun --oversubscribe -n 3 "%s" "$@"\n' "$program" > "$train"
chmod +x "$train"
expect 0 --config "$dir/run.json"
same_end "$dir/straight" "under mpirun"
rm -rf "$dir/runs/r"
# The exit code is that of the ranks, and their mistake is told once.
expect 66 --config "$dir/run.json" --set model.llm.path="$dir/nothing"
[ "$(grep -c 'error: ' "$dir/err")" -eq 1 ] || { fail "not one error is told"; cat "$dir/err" >&2; }
exit $failed
