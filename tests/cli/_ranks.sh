# To be sourced after _train.sh: a program as several ranks that a launcher like torchrun has started.
# as_ranks PROGRAM: from here on $train is RANKS processes of it that end as all of them end, or with 99 when they end differently.
#   RANK_1=NAME=VALUE   a variable for rank 1 alone (so for the others)      $dir/pids   their process ids, a line each
as_ranks() {
    train=$dir/as_ranks
    cat > "$train" <<END
#!/bin/bash
export WORLD_SIZE=\$RANKS MASTER_ADDR=\${MASTER_ADDR:-localhost} MASTER_PORT=\$((20000 + \$\$ % 10000))
for ((r = 0; r < RANKS; r++)); do
    own=RANK_\$r
    env RANK=\$r LOCAL_RANK=\$r \${!own} "$1" "\$@" &
    pids[r]=\$!
done
printf '%s\n' "\${pids[@]}" > "$dir/pids"
for ((r = 0; r < RANKS; r++)); do
    wait \${pids[r]}
    codes[r]=\$?
done
for code in "\${codes[@]}"; do
    [ "\$code" -eq "\${codes[0]}" ] || { echo "the ranks ended with \${codes[*]}" >&2; exit 99; }
done
exit "\${codes[0]}"
END
    chmod +x "$train"
}
