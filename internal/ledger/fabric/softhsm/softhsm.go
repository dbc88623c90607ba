// Package softhsm makes PKCS #11 tokens in software, by SoftHSM 2, and builds the
// program that signs with them: what tests of keys in tokens need.
//
// Where SoftHSM, Go's tool or a C compiler is missing a test says so and skips
// itself; where CI=true it fails.
package softhsm

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// PIN is that of every token made here.
const PIN = "62-4711"

// label is the name of every token made here.
const label = "gateway"

// Token is a token of SoftHSM, in a directory that ends with the test.
type Token struct {
	Module  string // SoftHSM's shared library
	PINFile string
	dir     string
}

// New makes a token. The variable SOFTHSM2_CONF leads to it until the test ends, so
// the test can not be a parallel one.
func New(t testing.TB) *Token {
	t.Helper()
	module, err := find()
	if err != nil {
		unavailable(t, err)
	}
	dir := t.TempDir()
	k := &Token{Module: module, PINFile: filepath.Join(dir, "pin"), dir: dir}
	config := fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", k.tokens())
	for path, text := range map[string]string{k.PINFile: PIN + "\n", filepath.Join(dir, "softhsm2.conf"): config} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(k.tokens(), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", filepath.Join(dir, "softhsm2.conf"))
	k.util(t, "--init-token", "--free", "--label", label, "--so-pin", "11"+PIN)
	return k
}

func (k *Token) tokens() string { return filepath.Join(k.dir, "tokens") }

func (k *Token) util(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("softhsm2-util", append(args, "--pin", PIN)...).CombinedOutput(); err != nil {
		t.Fatalf("softhsm2-util %s: %v\n%s", args[0], err, out)
	}
}

// Import puts a private key into the token, from where it does not come out again.
func (k *Token) Import(t testing.TB, name, id string, key crypto.PrivateKey) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(k.dir, "import.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	k.util(t, "--import", file, "--token", label, "--label", name, "--id", id)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

// URI names a key of the token (RFC 7512).
func (k *Token) URI(name string) string {
	return fmt.Sprintf("pkcs11:token=%s;object=%s?module-path=%s&pin-source=file:%s", label, name, k.Module, k.PINFile)
}

// Take takes the token away, as one that is pulled out; a program that has it open
// goes on until it ends. Give puts it back.
func (k *Token) Take(t testing.TB) {
	t.Helper()
	k.move(t, k.tokens(), k.tokens()+".away")
	if err := os.Mkdir(k.tokens(), 0o700); err != nil { // SoftHSM does not start without it
		t.Fatal(err)
	}
}

// Give puts back what Take took.
func (k *Token) Give(t testing.TB) { k.move(t, k.tokens()+".away", k.tokens()) }

func (k *Token) move(t testing.TB, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// find looks for SoftHSM where distributions put it, or as SOFTHSM2_MODULE says.
func find() (module string, err error) {
	if _, err := exec.LookPath("softhsm2-util"); err != nil {
		return "", err
	}
	for _, path := range []string{os.Getenv("SOFTHSM2_MODULE"), "/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so",
		"/usr/lib64/pkcs11/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so"} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", errors.New("libsofthsm2.so is not where it was looked for; SOFTHSM2_MODULE may name it")
}

// Program builds the signing program, and gives its file.
func Program(t testing.TB) string {
	t.Helper()
	for _, tool := range []string{"go", "cc"} {
		if _, err := exec.LookPath(tool); err != nil {
			unavailable(t, err)
		}
	}
	source, err := source()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "bellwether-pkcs11")
	build := exec.Command("go", "build", "-o", out, ".")
	build.Dir = source
	build.Env = append(os.Environ(), "CGO_ENABLED=1", "GOWORK=off")
	if said, err := build.CombinedOutput(); err != nil {
		if strings.Contains(string(said), "dial tcp") { // the module cannot be downloaded
			unavailable(t, fmt.Errorf("%w: %s", err, said))
		}
		t.Fatalf("building %s: %v\n%s", source, err, said)
	}
	return out
}

// source is the directory tools/pkcs11 of the tree that the test runs in.
func source() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		at := filepath.Join(dir, "tools", "pkcs11")
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no directory above has tools/pkcs11")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

func unavailable(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("keys in a PKCS #11 token cannot be tested here: %v; install SoftHSM 2 (Debian: softhsm2) and a C compiler", err)
	}
	t.Skipf("keys in a PKCS #11 token are not tested, since they cannot be here: %v; install SoftHSM 2 (Debian: softhsm2) and a C compiler", err)
}
