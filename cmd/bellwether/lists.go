package main

import "strings"

// listFlags take every argument up to the next flag, as a shell leaves them
// when it expands a glob.
var listFlags = map[string]bool{"--learn": true, "--watch": true, "--benign": true, "--names": true}

// spreadLists writes "--learn a b" as "--learn a --learn b".
func spreadLists(args []string) []string {
	var out []string
	list := ""
	first := false
	for _, a := range args {
		switch {
		case listFlags[a]:
			list, first = a, true
			continue
		case strings.HasPrefix(a, "-") && a != "-":
			if first { // a flag without value: the parser says so
				out = append(out, list)
			}
			list, first = "", false
		}
		if list != "" {
			out = append(out, list)
			first = false
		}
		out = append(out, a)
	}
	if first {
		out = append(out, list)
	}
	return out
}
