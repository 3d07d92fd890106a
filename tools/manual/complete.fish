# Completion of genllava in fish, made of what the programs say of themselves (tools/manual/fish.awk).

# Whether the words typed so far begin with these; each may be several, with | between.
function __genllava_at
    set -l typed (commandline -opc)
    test (count $typed) -gt (count $argv); or return 1
    for i in (seq (count $argv))
        contains -- $typed[(math $i + 1)] (string split '|' -- $argv[$i]); or return 1
    end
end

# As __genllava_at, where the next word is still to come.
function __genllava_next
    __genllava_at $argv; and test (count (commandline -opc)) -eq (math (count $argv) + 1)
end

function __genllava_behind
    test (commandline -opc)[-1] = $argv[1]
end

function __genllava_names
    string replace -r '\t.*' '' -- $__genllava_keys
end

# Keys of a run with = behind them; behind that, what the key takes.
function __genllava_sets
    set -l value (commandline -ct)
    for row in $__genllava_keys
        set -l part (string split \t -- $row)
        if string match -q -- "$part[1]=*" $value
            for word in (string split ' ' -- $part[3])
                switch $word
                    case FILE
                        __fish_complete_suffix ''
                    case DIR
                        for folder in (__fish_complete_directories (string replace -- "$part[1]=" '' $value) '')
                            echo "$part[1]=$folder"
                        end
                    case '*'
                        echo "$part[1]=$word"
                end
            end
        else
            printf '%s=\t%s\n' $part[1] $part[2]
        end
    end
end

complete -c genllava -f
