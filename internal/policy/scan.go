package policy

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// token is a piece of the text as the engine's scanner cuts it. Comments and
// white space are none.
type token struct {
	at   Position
	text string // "" at the end of the text
}

// isString reports a string literal.
func (t token) isString() bool { return strings.HasPrefix(t.text, `"`) }

// isNumber reports an integer literal, without its sign.
func (t token) isNumber() bool { return t.text != "" && t.text[0] >= '0' && t.text[0] <= '9' }

// isName reports an identifier or a keyword.
func (t token) isName() bool { return t.text != "" && nameByte(t.text[0]) && !t.isNumber() }

func nameByte(c byte) bool {
	return c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
}

// scan cuts a text into tokens, the last of them the empty one at its end, and
// holds it against the limits: the parser, which is recursive, only sees text
// that cannot exhaust a stack.
func scan(text string) ([]token, *Problem) {
	if len(text) > MaxText {
		return nil, &Problem{Position: Position{1, 1}, Message: fmt.Sprintf("%d bytes of policy, and at most %d fit a transaction", len(text), MaxText), Hint: "shorten the comments, or say it with fewer policies"}
	}
	at := Position{1, 1}
	var tokens []token
	depth, inPolicy := 0, 0
	for text != "" {
		n := tokenLength(text)
		piece := text[:n]
		if !blank(piece) {
			tokens = append(tokens, token{at, piece})
			inPolicy++
		}
		switch piece {
		case "(", "[", "{":
			depth++
		case ")", "]", "}":
			depth--
		case ";":
			inPolicy = 0
		}
		if depth > MaxNesting {
			return nil, &Problem{Position: at, Message: fmt.Sprintf("brackets nested deeper than %d", MaxNesting)}
		}
		if inPolicy > MaxTokens {
			return nil, &Problem{Position: at, Message: fmt.Sprintf("a policy of more than %d words and signs", MaxTokens), Hint: "make several policies of it"}
		}
		at = at.after(piece)
		text = text[n:]
	}
	return append(tokens, token{at: at}), nil
}

// after gives the place behind a piece of text.
func (p Position) after(piece string) Position {
	if i := strings.LastIndexByte(piece, '\n'); i >= 0 {
		return Position{p.Line + strings.Count(piece, "\n"), 1 + utf8.RuneCountInString(piece[i+1:])}
	}
	return Position{p.Line, p.Column + utf8.RuneCountInString(piece)}
}

// blank reports white space and comments.
func blank(piece string) bool {
	return strings.ContainsAny(piece[:1], " \t\r\n") || strings.HasPrefix(piece, "//") || strings.HasPrefix(piece, "/*")
}

// tokenLength gives the length of the token, comment or white space that a text
// starts with, at least 1.
func tokenLength(s string) int {
	switch {
	case strings.HasPrefix(s, "//"):
		return until(s, "\n", 2)
	case strings.HasPrefix(s, "/*"):
		return until(s, "*/", 2)
	case s[0] == '"':
		return stringLength(s)
	case nameByte(s[0]):
		n := 1
		for n < len(s) && nameByte(s[n]) {
			n++
		}
		return n
	}
	for _, sign := range []string{"::", "==", "!=", "<=", ">=", "&&", "||"} {
		if strings.HasPrefix(s, sign) {
			return 2
		}
	}
	_, n := utf8.DecodeRuneInString(s)
	return n
}

// until gives the length up to and including end, which is looked for from an
// offset on; the whole length where there is none.
func until(s, end string, from int) int {
	i := strings.Index(s[from:], end)
	if i < 0 {
		return len(s)
	}
	return from + i + len(end)
}

// stringLength gives the length of a string literal, up to its closing
// quotation mark or the end of the line.
func stringLength(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		case '\n':
			return i
		}
	}
	return len(s)
}
