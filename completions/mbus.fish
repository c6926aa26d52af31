# fish completion for mbus. The program itself knows what can come next; this
# only asks it. To try it: mbus --completion fish | source

function __mbus_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in ($words[1] --complete $words[2..-1] "$current" 2>/dev/null)
        if test "$line" = :file
            # "--file=na": the name stays in front.
            set -l option (string match -r '^--[^=]*=' -- "$current")
            for path in (__fish_complete_path (string replace -r '^--[^=]*=' '' -- "$current"))
                echo "$option$path"
            end
        else
            echo $line
        end
    end
end

complete -c mbus -f -a '(__mbus_complete)'
