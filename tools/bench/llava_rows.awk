# llava_rows.awk: rows in LLaVA's form, as many as one likes, for tools/bench/bench.sh: awk -v rows=N -v pictures=P -f llava_rows.awk TEXT...
# Their words stand together as in the texts, so that frequent ones are as frequent as in English; every 33rd is made up, as names are.
# Of ten rows four are talks of up to four rounds, four hold up to twelve short questions, two have one long answer.

function below(n) {
    state = (state * 69069 + 1) % 4294967296
    return int(state / 65536) % n
}

function invented(    word, i) {
    for (i = 2 + below(3); i > 0; i--)
        word = word syllable[1 + below(n_syllables)]
    return below(3) ? word : toupper(substr(word, 1, 1)) substr(word, 2)
}

function said(n,    text, at, i) {
    while (n > 0) {
        at = 1 + (below(32768) * 32768 + below(32768)) % n_words
        for (i = 4 + below(9); i > 0 && n > 0; i--) {
            text = text (text == "" ? "" : " ") (below(33) ? word[at] : invented())
            at = at % n_words + 1
            n--
        }
    }
    return text
}

function turn(from, text) {
    return "{\"from\": \"" from "\", \"value\": \"" text "\"}"
}

BEGIN {
    n_syllables = split("ka ne to ri mo sa lu be cha von el ar in th er st qu ing ph il", syllable, " ")
}

{
    for (i = 1; i <= NF; i++)
        if ($i !~ /["\\|<>{}]/)
            word[++n_words] = $i
}

END {
    for (row = 0; row < rows; row++) {
        kind = below(10)
        short = kind >= 4 && kind < 8
        talk = ""
        for (round = (kind < 4 ? 1 + below(4) : short ? 4 + below(9) : 1); round > 0; round--) {
            question = (talk == "" ? "<image>\\n" : "") said(5 + below(10)) "?"
            question = question (short ? "\\nAnswer the question using a single word or phrase." : "")
            answer = said(short ? 1 + below(3) : kind < 4 ? 15 + below(50) : 80 + below(120)) "."
            talk = talk (talk == "" ? "" : ", ") turn("human", question) ", " turn("gpt", answer)
        }
        printf "%s{\"id\": \"%012d\", \"image\": \"train/%06d.jpg\", \"conversations\": [%s]}", (row ? ",\n" : "["), row, below(pictures), talk
    }
    print "]"
}
