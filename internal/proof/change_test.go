package proof

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestEveryField changes every value of a bundle, and every array, in several
// ways. Each change must be found, and the field named.
func TestEveryField(t *testing.T) {
	w := testWorld(t)
	for _, b := range w.bundles() {
		t.Run(b.Alert.Reason, func(t *testing.T) {
			t.Parallel()
			raw := marshal(t, b)
			tree := parseTree(t, raw)
			if !bytes.Equal(tree.render(t), raw) {
				t.Fatal("the unchanged tree does not give the bundle's bytes")
			}
			changed := 0
			tree.each(func(n *node) {
				all := changes(n)
				if laterFeature.MatchString(n.path) {
					return
				}
				if alike.MatchString(n.path) {
					all = all[:1]
				}
				for _, c := range all {
					if changed++; changed%sampled == 0 {
						checkNamed(t, n.path, c.what, n.with(t, raw, tree, c.to))
					}
				}
			})
			if least := 500; changed < least {
				t.Fatalf("only %d changes were made", changed)
			}
			t.Logf("%d changes", changed)
		})
	}
}

// TestEveryFeature changes each feature of each row by as little as can be.
func TestEveryFeature(t *testing.T) {
	t.Parallel()
	b := copyOf(t, testWorld(t).score)
	for i := range b.Segments {
		for k := range b.Segments[i].Rows {
			row := &b.Segments[i].Rows[k].Snapshot
			for j, v := range row.Features {
				if j%sampled != 0 {
					continue
				}
				row.Features[j] = math.Nextafter32(v, math.MaxFloat32)
				checkRefused(t, b, fmt.Sprintf("segments[%d].rows[%d]", i, k))
				row.Features[j] = v
			}
		}
	}
	if _, err := Verify(b, master(), nil); err != nil {
		t.Errorf("the bundle as it was: %v", err)
	}
}

type change struct {
	what string
	to   node
}

// changes gives the ways in which a node of the tree is changed.
func changes(n *node) []change {
	switch {
	case n.open == '[':
		return append(listChanges(n), change{"null", node{path: n.path, leaf: "null"}})
	case n.open == '{':
		return []change{{"null", node{path: n.path, leaf: "null"}}, {"field dropped", node{path: n.path, open: '{', keys: n.keys[1:], kids: n.kids[1:]}}}
	case n.leaf[0] == '"':
		return append(textChanges(n), leafChange(n, "null"), leafChange(n, "7"))
	}
	return append(numberChanges(n), leafChange(n, "null"), leafChange(n, `"7"`), leafChange(n, "true"))
}

// alike is what is one of many of its kind: one change of it will do.
var alike = regexp.MustCompile(`rows\[[1-9]`)

// laterFeature is left to TestEveryFeature, but for the first.
var laterFeature = regexp.MustCompile(`snapshot\.features\[[1-9]`)

func leafChange(n *node, to string) change {
	return change{fmt.Sprintf("%.40s to %.40s", n.leaf, to), node{path: n.path, leaf: to}}
}

// textChanges puts another letter or digit in some places of a string.
func textChanges(n *node) (out []change) {
	var places []int
	for i := 1; i < len(n.leaf)-1; i++ {
		if n.leaf[i-1] != '\\' && isAlphanumeric(n.leaf[i]) {
			places = append(places, i)
		}
	}
	for _, k := range []int{0, len(places) / 3, len(places) / 2, len(places) - 1} {
		if k < 0 || k >= len(places) {
			return append(out, leafChange(n, `"x"`)) // an empty string
		}
		b := []byte(n.leaf)
		if b[places[k]]++; strings.IndexByte(":[{g", b[places[k]]) >= 0 {
			b[places[k]] -= 2
		}
		out = append(out, leafChange(n, string(b)))
	}
	return out
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func numberChanges(n *node) (out []change) {
	v, err := strconv.ParseFloat(n.leaf, 64)
	switch {
	case err != nil:
	case strings.Contains(n.path, "snapshot.features["):
		out = append(out, leafChange(n, strconv.FormatFloat(float64(math.Nextafter32(float32(v), math.MaxFloat32)), 'g', -1, 32)))
	case !isInteger.MatchString(n.path):
		out = append(out, leafChange(n, strconv.FormatFloat(math.Nextafter(v, math.MaxFloat64), 'g', -1, 64)))
	}
	if i, err := strconv.ParseInt(n.leaf, 10, 64); err == nil {
		out = append(out, leafChange(n, strconv.FormatInt(i+1, 10)))
	}
	if !strings.ContainsAny(n.leaf, ".e") {
		out = append(out, leafChange(n, n.leaf+".0"))
	}
	return append(out, leafChange(n, "1e999"))
}

var isInteger = regexp.MustCompile(`(seq|time|packet|port|proto|flags|length|index|since|raised|window|span_ns|flagged|rows)$`)

// listChanges drops, doubles and swaps elements.
func listChanges(n *node) (out []change) {
	list := func(what string, kids []*node) {
		out = append(out, change{what, node{path: n.path, open: '[', kids: kids}})
	}
	last := len(n.kids) - 1
	if last < 0 {
		list("element added", []*node{{leaf: `"AA=="`}})
		return out
	}
	for _, i := range slices.Compact([]int{0, last / 2, last}) {
		list(fmt.Sprintf("element %d dropped", i), slices.Delete(slices.Clone(n.kids), i, i+1))
		list(fmt.Sprintf("element %d doubled", i), slices.Insert(slices.Clone(n.kids), i, n.kids[i]))
	}
	if i := differs(n.kids); i > 0 {
		swapped := slices.Clone(n.kids)
		swapped[0], swapped[i] = swapped[i], swapped[0]
		list(fmt.Sprintf("elements 0 and %d swapped", i), swapped)
	}
	return out
}

// differs finds an element that is not like the first, 0 if there is none.
func differs(kids []*node) int {
	var first, other bytes.Buffer
	kids[0].write(&first)
	for i, kid := range kids {
		other.Reset()
		kid.write(&other)
		if !bytes.Equal(first.Bytes(), other.Bytes()) {
			return i
		}
	}
	return 0
}

// checkNamed checks that a changed bundle is refused, even with no anchor but its
// own, and that the error names the field.
func checkNamed(t *testing.T, path, what string, raw []byte) {
	t.Helper()
	b, err := Parse(raw)
	if err == nil {
		_, err = Verify(b, nil, nil)
	}
	var field *FieldError
	if !errors.As(err, &field) {
		t.Errorf("%s: %s: the error is %v", path, what, err)
		return
	}
	for _, name := range regexp.MustCompile(`, | or `).Split(field.Field, -1) {
		if names(name, path) {
			return
		}
	}
	t.Errorf("%s: %s: the error names another field: %v", path, what, err)
}

// ofRow is the part of a path that a row's one hash covers.
var ofRow = regexp.MustCompile(`^segments\[\d+\]\.rows\[\d+\]`)

// names reports that a name is that of the field at path, of an element of it,
// of the list whose element it is, or of what is under one hash with it.
func names(name, path string) bool {
	if row := ofRow.FindString(path); row != "" && strings.HasPrefix(name, row) {
		return true
	}
	if name == "policy.names" && strings.HasPrefix(path, name) {
		return true // all under one hash
	}
	list, _, _ := strings.Cut(path, "[")
	return name == path || path == "" && name == "bundle" || strings.HasPrefix(name, path+"[") || strings.HasPrefix(name, path+".") ||
		strings.HasSuffix(path, "]") && name == path[:strings.LastIndex(path, "[")] || name == "alert.features" && list == name
}
