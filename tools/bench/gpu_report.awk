# gpu_report.awk: the table of what was measured against tools/bench/gpu/targets.txt, for gpu_check.sh and tests.
# usage: awk -f gpu_report.awk [-v rows=1] targets.txt LOG…   rows=1: lines for kernels/RESULTS.md in place of the table. Of each row the last
# line of the logs counts: "ROW NUMBER UNIT: …". What stands below a device line with --tiny measures nothing, and stays out of the rows.
function trim(s) { gsub(/^[ \t]+|[ \t]+$/, "", s); return s }
function reaches(value, goal, better) { return better == "less" ? value + 0 <= goal + 0 : value + 0 >= goal + 0 }
function verdict(i,    v) {
    if (!(id[i] in found)) return "not measured"
    if (unreal[id[i]]) return "emulated"
    if (hold[i] == "-") return ""
    v = found[id[i]]
    return reaches(v, stretch[i], better[i]) ? "stretch reached" : reaches(v, hold[i], better[i]) ? "reached" : "MISSED"
}
FNR == 1 { file++ }
file == 1 {
    if ($0 ~ /^#/ || split($0, field, "|") != 6) next
    n++
    id[n] = trim(field[1]); what[n] = trim(field[2]); unit[n] = trim(field[3])
    better[n] = trim(field[4]); hold[n] = trim(field[5]); stretch[n] = trim(field[6])
    known[id[n]] = n
    next
}
/^device: / {
    device = $0
    sub(/^device: /, "", device)
    tiny = device ~ /--tiny/
    sub(/; --tiny.*/, "", device)
}
($1 in known) && $2 ~ /^[0-9.]+$/ {
    text = unit[known[$1]] ":"
    if (index($0, " " text)) { found[$1] = $2; by[$1] = device; unreal[$1] = tiny }
}
END {
    if (rows) {
        print "| row | what | hold | stretch | result | device, driver, date |"
        print "|---|---|---|---|---|---|"
    } else
        printf "%-5s %-90s %9s %9s %9s  %-15s %s\n", "row", "what", "hold", "stretch", "measured", "", "unit"
    for (i = 1; i <= n; i++) {
        has = (id[i] in found) && !(rows && unreal[id[i]])
        if (rows)
            printf "| %s | %s | %s | %s | %s | %s |\n", id[i], what[i], hold[i] == "-" ? "–" : hold[i] " " unit[i],
                stretch[i] == "-" ? "–" : stretch[i] " " unit[i], has ? found[id[i]] " " unit[i] : "not measured", has ? by[id[i]] : "–"
        else
            printf "%-5s %-90s %9s %9s %9s  %-15s %s\n", id[i], what[i], hold[i], stretch[i], has ? found[id[i]] : "-", verdict(i), unit[i]
    }
}
