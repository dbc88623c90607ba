package proof

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

// node is a JSON value that can be changed anywhere: an object or array with
// its elements, or a leaf with its text.
type node struct {
	path string
	open byte // '{', '[' or 0
	keys []string
	kids []*node
	leaf string
	end  int64 // of the leaf, in the text that was read
}

func parseTree(tb testing.TB, raw []byte) *node {
	tb.Helper()
	in := json.NewDecoder(bytes.NewReader(raw))
	in.UseNumber()
	n, err := readNode(in, "")
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func readNode(in *json.Decoder, path string) (*node, error) {
	n := &node{path: path}
	tok, err := in.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		leaf, err := json.Marshal(tok)
		n.leaf, n.end = string(leaf), in.InputOffset()
		return n, err
	}
	n.open = byte(delim)
	for in.More() {
		at := fmt.Sprintf("%s[%d]", path, len(n.kids))
		if delim == '{' {
			key, err := in.Token()
			if err != nil {
				return nil, err
			}
			n.keys = append(n.keys, key.(string))
			at = join(path, key.(string))
		}
		kid, err := readNode(in, at)
		if err != nil {
			return nil, err
		}
		n.kids = append(n.kids, kid)
	}
	_, err = in.Token()
	return n, err
}

// render gives the tree's text in the white space of a bundle.
func (n *node) render(tb testing.TB) []byte {
	tb.Helper()
	var flat, out bytes.Buffer
	n.write(&flat)
	if err := json.Indent(&out, flat.Bytes(), "", "  "); err != nil {
		tb.Fatal(err)
	}
	return append(out.Bytes(), '\n')
}

func (n *node) write(w *bytes.Buffer) {
	if n.open == 0 {
		w.WriteString(n.leaf)
		return
	}
	w.WriteByte(n.open)
	for i, kid := range n.kids {
		if i > 0 {
			w.WriteByte(',')
		}
		if n.open == '{' {
			fmt.Fprintf(w, "%q:", n.keys[i])
		}
		kid.write(w)
	}
	w.WriteByte(n.open + 2) // '{' and '[' both stand two before what closes them
}

// with gives raw, which n was read from, with another node in n's place.
func (n *node) with(tb testing.TB, raw []byte, root *node, to node) []byte {
	if n.open == 0 && to.open == 0 {
		return slices.Concat(raw[:n.end-int64(len(n.leaf))], []byte(to.leaf), raw[n.end:])
	}
	before := *n
	*n = to
	defer func() { *n = before }()
	return root.render(tb)
}

// each calls f with n and everything in it.
func (n *node) each(f func(*node)) {
	f(n)
	for _, kid := range n.kids {
		kid.each(f)
	}
}
