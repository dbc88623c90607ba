package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Position is a place in a policy text: line and column, counted from 1, the
// column in characters.
type Position struct {
	Line   int `json:"line"`
	Column int `json:"column"`
}

// Problem is one thing that is wrong with a policy text.
type Problem struct {
	Position
	Policy  string `json:"policy,omitempty"` // its identifier, once there is one
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what to do, or what exists instead
}

// String gives line:column: message; hint.
func (p Problem) String() string {
	s := fmt.Sprintf("%d:%d: %s", p.Line, p.Column, p.Message)
	if p.Hint != "" {
		s += "; " + p.Hint
	}
	return s
}

// maxProblems is how many problems one error names.
const maxProblems = 20

// Error says what is wrong with a policy text: at least one problem, at most
// 20, in the order of the text.
type Error struct {
	Problems []Problem
}

// Error gives the first problem, and how many more there are.
func (e *Error) Error() string {
	s := "policy: " + e.Problems[0].String()
	if n := len(e.Problems) - 1; n > 0 {
		s += fmt.Sprintf(" (and %d more)", n)
	}
	return s
}

// add takes the problems of one policy, one for each place.
func (e *Error) add(id string, problems []Problem) {
	for i := range problems {
		problems[i].Policy = id
	}
	slices.SortFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
	e.Problems = append(e.Problems, slices.CompactFunc(problems, func(a, b Problem) bool { return a.Position == b.Position })...)
	e.Problems = e.Problems[:min(len(e.Problems), maxProblems)]
}

// syntaxProblem tells what the engine's parser says in words of ours, at the
// token that it stumbled over.
func syntaxProblem(text string, tokens []token) *Problem {
	text = strings.TrimPrefix(text, "parser error: ")
	end := tokens[len(tokens)-1].at
	p := &Problem{Position: end, Message: text}
	_, place, ok := strings.Cut(text, "<input>:")
	if !ok {
		return p
	}
	if _, err := fmt.Sscanf(place, "%d:%d", &p.Line, &p.Column); err != nil {
		return p
	}
	_, p.Message, _ = strings.Cut(place, ": ")
	// The message is behind the token's text, which may hold anything.
	for _, known := range []string{"exact got ", "unexpected effect: ", "got ", "expected ", "invalid primary", "unexpected token", "duplicate "} {
		if i := strings.LastIndex(place, ": "+known); i >= 0 {
			p.Message = place[i+2:]
			break
		}
	}
	got, want, exact := strings.Cut(strings.TrimPrefix(p.Message, "exact "), " want ")
	if exact {
		got = strings.TrimPrefix(got, "got ")
		p.Message = fmt.Sprintf("want %s here, not %s", want, quote(got))
		if got == "" {
			p.Message = fmt.Sprintf("the text ends where it wants %s", want)
			return p
		}
	}
	if strings.HasPrefix(text, "parse error") && !strings.HasPrefix(p.Message, "got ") {
		p.Position = before(tokens, p.Position) // the parser has gone past what it names
	}
	if e, ok := strings.CutPrefix(p.Message, "unexpected effect: "); ok {
		p.Message, p.Hint = fmt.Sprintf("a policy starts with permit or forbid, not with %s", quote(e)), ""
	}
	return p
}

// before gives the place of the token before the one at p.
func before(tokens []token, p Position) Position {
	i := slices.IndexFunc(tokens, func(t token) bool { return t.at == p })
	if i <= 0 {
		return p
	}
	return tokens[i-1].at
}
