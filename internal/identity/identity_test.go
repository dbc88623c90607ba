package identity

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func keyFile(tb testing.TB) (path string, k *Key) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), "zone", "master.pem")
	k, err := LoadOrCreate(path)
	if err != nil {
		tb.Fatal(err)
	}
	return path, k
}

func TestCreateThenLoad(t *testing.T) {
	path, k := keyFile(t)
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	for name, load := range map[string]func(string) (*Key, error){"Load": Load, "LoadOrCreate": LoadOrCreate} {
		again, err := load(path)
		if err != nil || !again.Ed25519().Equal(k.Public()) {
			t.Errorf("%s: another key, or %v", name, err)
		}
	}
	message := []byte("a message")
	sig, err := k.Sign(nil, message, crypto.Hash(0))
	if err != nil || !ed25519.Verify(k.Ed25519(), message, sig) {
		t.Errorf("the signature does not verify (%v)", err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("%d files in the directory, %v", len(left), err)
	}
	if _, other := keyFile(t); other.Ed25519().Equal(k.Ed25519()) {
		t.Error("two new keys are the same")
	}
}

func TestLoadMissing(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// TestEveryByte flips every bit of the file.
func TestEveryByte(t *testing.T) {
	path, _ := keyFile(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range text {
		for mask := 1; mask < 256; mask <<= 1 {
			changed := bytes.Clone(text)
			changed[at] ^= byte(mask)
			if _, err := parse(changed); err == nil {
				t.Fatalf("byte %d changed to %#x passes as a key", at, changed[at])
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	path, _ := keyFile(t)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	otherPath, _ := keyFile(t)
	other, err := os.ReadFile(otherPath)
	if err != nil {
		t.Fatal(err)
	}
	otherPrivate := other[:bytes.Index(other, []byte("-----BEGIN PUBLIC"))]
	tests := map[string]struct {
		text []byte
		want string
	}{
		"empty":          {nil, "no PEM"},
		"private only":   {good[:bytes.Index(good, []byte("-----BEGIN PUBLIC"))], "public half"},
		"other private":  {append(otherPrivate, good[bytes.Index(good, []byte("-----BEGIN PUBLIC")):]...), "public half"},
		"text":           {[]byte("a key\n"), "no PEM"},
		"cut":            {good[:len(good)-1], fmt.Sprintf("byte %d", len(good)-1)},
		"line before":    {append([]byte("key\n"), good...), "byte 0"},
		"line behind":    {append(bytes.Clone(good), '\n'), fmt.Sprintf("byte %d", len(good))},
		"carriage":       {bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")), "byte"},
		"another type":   {bytes.ReplaceAll(good, []byte("PRIVATE KEY"), []byte("ANY KEY")), "no PEM"},
		"PEM header":     {bytes.Replace(good, []byte("KEY-----\n"), []byte("KEY-----\nA: b\n\n"), 1), "byte"},
		"RSA":            {pem.EncodeToMemory(&pem.Block{Type: privateType, Bytes: der}), "another kind"},
		"not PKCS #8":    {pem.EncodeToMemory(&pem.Block{Type: privateType, Bytes: []byte("x")}), "is not a key"},
		"huge":           {bytes.Repeat([]byte("x"), 1<<20), "longer"},
		"two keys":       {append(bytes.Clone(good), good...), "byte"},
		"base64 changed": {bytes.Replace(good, []byte("MC4C"), []byte("MC4D"), 1), "is not a key"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(path, tt.text, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, load := range []func(string) (*Key, error){Load, LoadOrCreate} {
				_, err := load(path)
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("got %v, want an error with %q", err, tt.want)
				}
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, tt.text) {
				t.Error("the refused file was changed")
			}
		})
	}
}

func TestRefusesOpenMode(t *testing.T) {
	path, _ := keyFile(t)
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o601, 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadOrCreate(path); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err != nil {
		t.Errorf("mode 400: %v", err)
	}
	if _, err := Load(filepath.Dir(path)); err == nil {
		t.Error("a directory was loaded")
	}
}

// TestCreateAtOnce: of many that make the key at the same time, all get one.
func TestCreateAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	keys := make([]*Key, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			k, err := LoadOrCreate(path)
			if err != nil {
				t.Error(err)
			}
			keys[i] = k
		})
	}
	wg.Wait()
	for _, k := range keys {
		if k == nil || !k.Ed25519().Equal(keys[0].Ed25519()) {
			t.Fatal("not all got the same key")
		}
	}
}

// TestNeverShown: no verb of package fmt prints the private half.
func TestNeverShown(t *testing.T) {
	_, k := keyFile(t)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, k); strings.Contains(text, fmt.Sprintf("%x", []byte(k.private[:8]))) || !strings.HasPrefix(text, "ed25519") {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

func TestAnchor(t *testing.T) {
	_, k := keyFile(t)
	text, err := Anchor("bellwether/0123456789abcdef", k.Ed25519())
	if err != nil {
		t.Fatal(err)
	}
	name, pub, err := ParseAnchor(text)
	if err != nil || name != "bellwether/0123456789abcdef" || !pub.Equal(k.Ed25519()) {
		t.Errorf("got %q, %x, %v", name, pub, err)
	}
	for at := range text {
		changed := []byte(text)
		changed[at] ^= 1
		if n, p, err := ParseAnchor(string(changed)); err == nil {
			t.Errorf("byte %d changed: read as %q, %x", at, n, p)
		}
	}
	for _, bad := range []string{"", "a b", "a+b", "\xff"} {
		if _, err := Anchor(bad, k.Ed25519()); err == nil {
			t.Errorf("name %q was taken", bad)
		}
	}
	if _, err := Anchor("short", k.Ed25519()[:31]); err == nil {
		t.Error("a short key was taken")
	}
}

// TestAnchorVector is the verifier key in the documentation of
// golang.org/x/mod/sumdb/note.
func TestAnchorVector(t *testing.T) {
	const text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
	name, pub, err := ParseAnchor(text)
	if err != nil || name != "PeterNeumann" {
		t.Fatal(name, err)
	}
	if again, err := Anchor(name, pub); err != nil || again != text {
		t.Errorf("got %q, %v", again, err)
	}
}

func FuzzParse(f *testing.F) {
	path, _ := keyFile(f)
	text, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		private, err := parse(text)
		if err != nil {
			return
		}
		if again, err := encode(private); err != nil || !bytes.Equal(again, text) {
			t.Fatalf("%q is taken, its canonical form is %q", text, again)
		}
	})
}

func FuzzParseAnchor(f *testing.F) {
	f.Add("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
	f.Add("a+00000000+AQ==")
	f.Fuzz(func(t *testing.T, text string) {
		name, pub, err := ParseAnchor(text)
		if err != nil {
			return
		}
		if again, err := Anchor(name, pub); err != nil || again != text {
			t.Fatalf("%q is taken, its canonical form is %q (%v)", text, again, err)
		}
	})
}
