// Package nodes makes the programs of a Hyperledger Fabric network out of Go
// modules: peer, orderer, and the two tools that set them up. No container and
// no prebuilt image is used.
//
// Which versions are taken stands in a module of its own (tools/fabric in this
// tree), so that its 484 modules stay out of Bellwether's. Build needs Go, and
// once the Go module proxy (about 420 MB); it compiles for some minutes. The
// outcome is kept in a cache directory under the hash of go.mod and go.sum: the
// same sums are the same programs, and are built once.
package nodes

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// The programs.
const (
	Peer        = "peer"
	Orderer     = "orderer"
	Configtxgen = "configtxgen"
	Osnadmin    = "osnadmin"
)

// The configurations that the programs come with, beside them in one directory.
const (
	PeerConfig    = "core.yaml"
	OrdererConfig = "orderer.yaml"
)

// fabric is the module of the programs.
const fabric = "github.com/hyperledger/fabric"

// ErrUnavailable is matched by errors of Build when the programs cannot be had
// here: there is no Go, or the modules cannot be downloaded.
var ErrUnavailable = errors.New("the programs of Hyperledger Fabric are not to be had here")

// Progress is told what is done: packages compiled so far and in all. While
// modules are downloaded, total is 0 and done counts modules.
type Progress func(stage string, done, total int64)

// files are what a complete directory holds.
func files() []string {
	return []string{Peer, Orderer, Configtxgen, Osnadmin, PeerConfig, OrdererConfig}
}

// Check says what a directory of programs lacks, if anything.
func Check(dir string) error {
	for _, name := range files() {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("%s holds no %s: want a directory with %s", dir, name, strings.Join(files(), ", "))
		}
	}
	return nil
}

// Find looks for the module in tools/fabric of dir and of the directories above
// it, as from within a checkout of Bellwether.
func Find(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		module := filepath.Join(at, "tools", "fabric")
		if _, err := os.Stat(filepath.Join(module, "go.sum")); err == nil {
			return module, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("%w: neither %s nor a directory above it has a tools/fabric; call it from a checkout of Bellwether, or name a directory of built programs",
				ErrUnavailable, dir)
		}
	}
}

// Cache is the directory under which built programs are kept by default:
// bellwether/fabric in the user's cache directory.
func Cache() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cache of built programs: %w", err)
	}
	return filepath.Join(dir, "bellwether", "fabric"), nil
}

// Built gives the directory of the programs of the checkout around the working
// directory, built in the default cache.
func Built(ctx context.Context, progress Progress) (string, error) {
	module, err := Find(".")
	if err != nil {
		return "", err
	}
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	return Build(ctx, module, cache, progress)
}

// Build gives the directory that holds the programs of a module, and builds them
// first unless the cache has them. Several processes may build at the same time:
// one does, the others wait.
func Build(ctx context.Context, module, cache string, progress Progress) (string, error) {
	key, err := Key(module)
	if err != nil {
		return "", fmt.Errorf("build Fabric: %w", err)
	}
	dir := filepath.Join(cache, key)
	if Check(dir) == nil {
		return dir, nil
	}
	if progress == nil {
		progress = func(string, int64, int64) {}
	}
	unlock, err := lock(ctx, cache, progress)
	if err != nil {
		return "", fmt.Errorf("build Fabric: %w", err)
	}
	defer unlock()
	if Check(dir) == nil {
		return dir, nil // another process built it meanwhile
	}
	if err := build(ctx, module, dir, progress); err != nil {
		return "", fmt.Errorf("build Fabric: %w", err)
	}
	return dir, nil
}

// Key names the outcome of a build: the beginning of the SHA-256 of the module's
// go.mod and go.sum, with the machine's kind.
func Key(module string) (string, error) {
	h := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		b, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n", name, len(b))
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)[:8]) + "-" + runtime.GOOS + "-" + runtime.GOARCH, nil
}

// lock waits until no other process builds in cache.
func lock(ctx context.Context, cache string, progress Progress) (unlock func(), err error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		return func() { f.Close() }, nil
	}
	progress("wait for another process that builds", 0, 0)
	got := make(chan error, 1)
	go func() { got <- syscall.Flock(int(f.Fd()), syscall.LOCK_EX) }()
	select {
	case err = <-got:
	case <-ctx.Done(): // the system's call goes on until the lock is free
		go func() { <-got; f.Close() }()
		return nil, fmt.Errorf("waiting for %s: %w", cache, ctx.Err())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", cache, err)
	}
	return func() { f.Close() }, nil
}

// build puts the programs into a directory beside dir, which takes dir's name
// when all is there.
func build(ctx context.Context, module, dir string, progress Progress) error {
	if _, err := exec.LookPath("go"); err != nil {
		return fmt.Errorf("%w: no `go` is in the PATH; install Go, or name a directory of built programs", ErrUnavailable)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "unfinished-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	if err := os.Chmod(fresh, 0o755); err != nil {
		return err
	}
	source, total, err := load(ctx, module, progress)
	if err != nil {
		return err
	}
	done := int64(0)
	if err := goTool(ctx, module, nil, func(string) { done++; progress("compile", min(done, total), total) },
		"build", "-v", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", fresh, "tool"); err != nil {
		return fmt.Errorf("compiling: %w", err)
	}
	progress("compile", total, total)
	for _, name := range []string{PeerConfig, OrdererConfig} {
		b, err := os.ReadFile(filepath.Join(source, "sampleconfig", name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(fresh, name), b, 0o644); err != nil {
			return err
		}
	}
	if err := Check(fresh); err != nil {
		return err
	}
	os.RemoveAll(dir) // it is not complete
	return os.Rename(fresh, dir)
}

// load downloads the modules. It gives where the programs' source is, and how
// many packages there are to compile.
func load(ctx context.Context, module string, progress Progress) (source string, packages int64, err error) {
	var list, dir bytes.Buffer
	modules := int64(0)
	count := func(line string) {
		if strings.HasPrefix(line, "go: downloading") {
			modules++
			progress("download", modules, 0)
		}
	}
	if err := goTool(ctx, module, &list, count, "list", "-deps", "tool"); err != nil {
		return "", 0, fmt.Errorf("%w: downloading the modules: %w; it takes the Go module proxy, once", ErrUnavailable, err)
	}
	if err := goTool(ctx, module, &dir, nil, "list", "-m", "-f", "{{.Dir}}", fabric); err != nil {
		return "", 0, err
	}
	return strings.TrimSpace(dir.String()), int64(bytes.Count(list.Bytes(), []byte("\n"))), nil
}

// goTool runs go in the module. Each line of standard error goes to line; the
// last ones are in the error.
func goTool(ctx context.Context, module string, out io.Writer, line func(string), args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Stdout = module, out
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off", "CGO_ENABLED=0", "GOOS=", "GOARCH=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var last []string
	for s := bufio.NewScanner(stderr); s.Scan(); {
		last = append(last[max(0, len(last)-9):], s.Text())
		if line != nil {
			line(s.Text())
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("go %s: %w: %s", args[0], errors.Join(ctx.Err(), err), strings.Join(last, "\n"))
	}
	return nil
}
