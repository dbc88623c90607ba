package nodes

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// module writes a module whose programs are tiny, and named like the real ones.
func module(t *testing.T, peer string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", `module bellwether/tools/fabric

go 1.26

require github.com/hyperledger/fabric v1.0.0

replace github.com/hyperledger/fabric => ./fabric

tool (
	github.com/hyperledger/fabric/cmd/configtxgen
	github.com/hyperledger/fabric/cmd/orderer
	github.com/hyperledger/fabric/cmd/osnadmin
	github.com/hyperledger/fabric/cmd/peer
)
`)
	write("go.sum", "")
	write("fabric/go.mod", "module github.com/hyperledger/fabric\n\ngo 1.26\n")
	for _, name := range []string{Peer, Orderer, Configtxgen, Osnadmin} {
		text := "package main\n\nfunc main() { println(\"" + name + "\") }\n"
		if name == Peer {
			text = peer
		}
		write("fabric/cmd/"+name+"/main.go", text)
	}
	write("fabric/sampleconfig/core.yaml", "peer: {}\n")
	write("fabric/sampleconfig/orderer.yaml", "General: {}\n")
	return dir
}

func TestBuild(t *testing.T) {
	mod, cache := module(t, "package main\n\nfunc main() {}\n"), t.TempDir()
	var stages []string
	dir, err := Build(t.Context(), mod, cache, func(stage string, done, total int64) {
		if done > total || total == 0 {
			t.Errorf("%s: %d of %d", stage, done, total)
		}
		stages = append(stages, stage)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(dir); err != nil || len(stages) == 0 {
		t.Errorf("%v, after stages %q", err, stages)
	}
	before := stat(t, dir)
	again, err := Build(t.Context(), mod, cache, func(string, int64, int64) { t.Error("built again") })
	if err != nil || again != dir || !os.SameFile(before, stat(t, dir)) {
		t.Errorf("the second build gave %s, %v", again, err)
	}
	if err := os.Remove(filepath.Join(dir, Peer)); err != nil {
		t.Fatal(err)
	}
	if err := Check(dir); err == nil {
		t.Error("a directory without a peer is complete")
	}
	if _, err := Build(t.Context(), mod, cache, nil); err != nil || Check(dir) != nil {
		t.Errorf("a directory that lost a program was not built again: %v", err)
	}
	entries, err := os.ReadDir(cache)
	if err != nil || len(entries) != 2 {
		t.Errorf("the cache holds %v, want the programs and the lock (%v)", entries, err)
	}
}

func stat(t *testing.T, dir string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// TestBuildFails: what the compiler says is in the error, and nothing is left
// that looks like programs.
func TestBuildFails(t *testing.T) {
	mod, cache := module(t, "package main\n\nfunc main() { nowhere() }\n"), t.TempDir()
	_, err := Build(t.Context(), mod, cache, nil)
	if err == nil || !strings.Contains(err.Error(), "nowhere") || errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	entries, _ := os.ReadDir(cache)
	if len(entries) != 1 {
		t.Errorf("the cache holds %v, want the lock alone", entries)
	}
}

// TestUnavailable: without Go, or without the modules, the error says so.
func TestUnavailable(t *testing.T) {
	mod := module(t, "package main\n\nfunc main() {}\n")
	if err := os.RemoveAll(filepath.Join(mod, "fabric")); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(t.Context(), mod, t.TempDir(), nil); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without the module: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := Build(t.Context(), mod, t.TempDir(), nil); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "PATH") {
		t.Errorf("without go: %v", err)
	}
}

func TestFind(t *testing.T) {
	found, err := Find(".")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(found, "go.mod"))
	if err != nil || !strings.Contains(string(text), fabric) {
		t.Errorf("%s: %v", found, err)
	}
	for _, name := range []string{Peer, Orderer, Configtxgen, Osnadmin} {
		if !strings.Contains(string(text), fabric+"/cmd/"+name+"\n") {
			t.Errorf("tools/fabric does not build %s", name)
		}
	}
	if _, err := Find(t.TempDir()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("outside: %v", err)
	}
}

// TestKey: another go.sum is another outcome.
func TestKey(t *testing.T) {
	mod := module(t, "package main\n\nfunc main() {}\n")
	one, err := Key(mod)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(mod, "go.sum"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if two, err := Key(mod); err != nil || one == two {
		t.Errorf("%s and %s, %v", one, two, err)
	}
}

// TestWaits: while another process builds, Build waits, and no longer than it is
// wanted.
func TestWaits(t *testing.T) {
	mod, cache := module(t, "package main\n\nfunc main() {}\n"), t.TempDir()
	unlock, err := lock(t.Context(), cache, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waited := false
	if _, err := Build(ctx, mod, cache, func(stage string, _, _ int64) { waited = true; cancel() }); !errors.Is(err, context.Canceled) || !waited {
		t.Errorf("while another builds: %v, waited %v", err, waited)
	}
	unlock()
	if dir, err := Build(t.Context(), mod, cache, nil); err != nil || Check(dir) != nil {
		t.Errorf("after it: %v", err)
	}
}
