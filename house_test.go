package bellwether_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// clocks are the rooms that may ask for the time. Everywhere else time is data.
// A network, a token and a master are waited for, certificates expire, and tests
// kill processes after a while.
var clocks = []string{"bus", "follower", "gateway", "ledger/fabric", "ledger/fabric/network", "ledger/fabric/pkcs11", "processtest", "cmd/bellwether"}

// pure rooms do no input or output of their own.
var pure = []string{"canonical", "contract", "detect", "feature", "ledger", "mud", "nn", "packet", "policy", "proof", "simulate", "trust", "zone"}

// drawers are names that do not say what is inside.
var drawers = []string{"base", "common", "core", "helper", "helpers", "lib", "misc", "shared", "tools", "util", "utils"}

// pkg is a package of this module: its files for every operating system,
// without tests.
type pkg struct {
	name  string // its room
	fset  *token.FileSet
	files []*ast.File
}

// packages reads the whole tree.
func packages(t *testing.T) []*pkg {
	t.Helper()
	found := map[string]*pkg{}
	tree := os.DirFS(".")
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		base := d.Name()
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(base, ".") || base == "testdata" || otherModule(tree, name)):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go"):
			return nil
		}
		dir := strings.TrimPrefix(path.Dir(name), "internal/")
		if found[dir] == nil {
			found[dir] = &pkg{name: dir, fset: token.NewFileSet()}
		}
		file, err := parser.ParseFile(found[dir].fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		found[dir].files = append(found[dir].files, file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 20 {
		t.Fatalf("only %d packages were found: this is not the whole tree", len(found))
	}
	return slices.SortedFunc(maps.Values(found), func(a, b *pkg) int { return strings.Compare(a.name, b.name) })
}

// otherModule reports a directory whose code is not linked into this module's.
func otherModule(tree fs.FS, dir string) bool {
	_, err := fs.Stat(tree, path.Join(dir, "go.mod"))
	return err == nil
}

// at says where a piece of syntax is.
func (p *pkg) at(n ast.Node) string { return p.fset.Position(n.Pos()).String() }

func (p *pkg) inspect(f func(ast.Node)) {
	for _, file := range p.files {
		ast.Inspect(file, func(n ast.Node) bool { f(n); return true })
	}
}

// TestPackageDocs: a package says what it is for, and its name is a noun of the
// field.
func TestPackageDocs(t *testing.T) {
	for _, p := range packages(t) {
		documented := slices.ContainsFunc(p.files, func(f *ast.File) bool { return len(f.Doc.Text()) > 40 })
		if !documented {
			t.Errorf("package %s has no package comment that says what it is for", p.name)
		}
		for part := range strings.SplitSeq(p.name, "/") {
			if slices.Contains(drawers, part) {
				t.Errorf("package %s is a drawer: put what is in it into the room that uses it", p.name)
			}
		}
	}
}

// TestTimeIsData: only the wiring has a clock, nobody draws from the global
// generator, and pure rooms leave the machine alone.
func TestTimeIsData(t *testing.T) {
	for _, p := range packages(t) {
		if strings.HasPrefix(p.name, beside) {
			continue
		}
		p.imports(func(file, imported string) {
			if slices.Contains([]string{"os", "os/exec", "net/http", "syscall", "golang.org/x/sys/unix"}, imported) && slices.Contains(pure, p.name) {
				t.Errorf("%s: %s does no input or output, so it does not import %s", file, p.name, imported)
			}
			if imported == "math/rand" {
				t.Errorf("%s: %s has a global state: take math/rand/v2 with a seed", file, imported)
			}
		})
		p.inspect(func(n ast.Node) {
			switch from, name := selection(n); {
			case from == "time" && readsClock(name) && !slices.Contains(clocks, p.name):
				t.Errorf("%s: time.%s: time is data here", p.at(n), name)
			case from == "rand" && drawsUnseeded(name):
				t.Errorf("%s: rand.%s draws from a generator without a seed", p.at(n), name)
			}
		})
	}
}

// selection gives package and name of something like time.Now.
func selection(n ast.Node) (from, name string) {
	if s, ok := n.(*ast.SelectorExpr); ok {
		if id, ok := s.X.(*ast.Ident); ok {
			return id.Name, s.Sel.Name
		}
	}
	return "", ""
}

func readsClock(name string) bool {
	return slices.Contains([]string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker"}, name)
}

// drawsUnseeded reports the functions of math/rand/v2 that use its global generator.
func drawsUnseeded(name string) bool {
	return slices.Contains([]string{"ExpFloat64", "Float32", "Float64", "Int", "Int32", "Int32N", "Int64", "Int64N", "IntN", "N",
		"NormFloat64", "Perm", "Shuffle", "Uint", "Uint32", "Uint32N", "Uint64", "Uint64N", "UintN"}, name)
}

// TestNoHiddenState: no init functions, and nothing at package level that
// changes. What stands there is made once, from what its declaration says.
func TestNoHiddenState(t *testing.T) {
	seen := 0
	for _, p := range packages(t) {
		vars := map[string]bool{}
		for _, file := range p.files {
			for _, d := range file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
					t.Errorf("%s: an init function: let the caller call what it needs", p.at(f))
				}
				for _, v := range variables(d) {
					seen++
					if len(v.Values) == 0 {
						t.Errorf("%s: variable %s of the package has no value, so something changes it", p.at(v), v.Names[0].Name)
					}
					for _, name := range v.Names {
						vars[name.Name] = name.Name != "_"
					}
				}
			}
		}
		p.inspect(func(n ast.Node) {
			for _, name := range changed(n) {
				if vars[name] {
					t.Errorf("%s: %s is a variable of the package and is changed here, or a local one hides it", p.at(n), name)
				}
			}
		})
	}
	if seen < 10 {
		t.Errorf("only %d variables were looked at: this test sees too little", seen)
	}
}

// variables gives the variables that a declaration at package level makes.
func variables(d ast.Decl) []*ast.ValueSpec {
	g, ok := d.(*ast.GenDecl)
	if !ok || g.Tok != token.VAR {
		return nil
	}
	var out []*ast.ValueSpec
	for _, s := range g.Specs {
		out = append(out, s.(*ast.ValueSpec))
	}
	return out
}

// changed names the variables that a statement writes to. A change through a
// pointer is not seen.
func changed(n ast.Node) []string {
	var targets []ast.Expr
	switch s := n.(type) {
	case *ast.AssignStmt:
		if s.Tok != token.DEFINE {
			targets = s.Lhs
		}
	case *ast.IncDecStmt:
		targets = []ast.Expr{s.X}
	}
	var names []string
	for _, x := range targets {
		if name := base(x); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// base is the variable at the bottom of an expression like a.b[c].
func base(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.IndexExpr:
		return base(x.X)
	case *ast.SelectorExpr:
		return base(x.X)
	case *ast.ParenExpr:
		return base(x.X)
	case *ast.StarExpr:
		return base(x.X)
	}
	return ""
}

// TestHouseTests shows that the checks above see what they are for.
func TestHouseTests(t *testing.T) {
	const source = `package p
import "time"
var a, table = 1, map[int]int{}
func f() { a = 2; table[3]++; b := time.Now(); b.Year() }`
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "p.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	p := &pkg{name: "p", fset: fset, files: []*ast.File{file}}
	var writes []string
	clock := 0
	p.inspect(func(n ast.Node) {
		writes = append(writes, changed(n)...)
		if from, name := selection(n); from == "time" && readsClock(name) {
			clock++
		}
	})
	if want := []string{"a", "table"}; !slices.Equal(writes, want) || clock != 1 {
		t.Errorf("writes to %q and %d looks at the clock, want %q and 1", writes, clock, want)
	}
	if got := len(variables(file.Decls[1])); got != 1 {
		t.Errorf("%d declarations of variables, want 1", got)
	}
}
