# bash completion for mbus. The program itself knows what can come next; this
# only asks it. To try it: source <(mbus --completion bash)

_mbus()
{
	local word last='' fixed part candidate
	local -a words=()

	# The words up to the cursor; bash splits them at = and : as well, which is
	# undone here.
	for word in "${COMP_WORDS[@]:1:COMP_CWORD}"; do
		if (( ${#words[@]} )) && [[ $word == [=:]* || $last == [=:]* ]]; then
			words[-1]+=$word
		else
			words+=("$word")
		fi
		last=$word
	done
	# What bash replaces begins behind the last = or :.
	part=${words[-1]##*[=:]}
	fixed=${words[-1]%"$part"}

	COMPREPLY=()
	while IFS=$'\t' read -r candidate _; do
		if [[ $candidate == :file ]]; then
			compopt -o filenames
			mapfile -t COMPREPLY < <(compgen -f -- "$part")
		else
			COMPREPLY+=("${candidate#"$fixed"}")
			[[ $candidate == *= ]] && compopt -o nospace
		fi
	done < <("$1" --complete "${words[@]}" 2>/dev/null)
}

complete -F _mbus mbus
