package pkcs11

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"bellwether/internal/ledger/fabric/softhsm"
)

// place is a token with an Ed25519 key "ed" and a P-256 key "ec" in it.
type place struct {
	*softhsm.Token
	program string
	ed      ed25519.PrivateKey
	ec      *ecdsa.PrivateKey
}

func newPlace(t testing.TB) *place {
	t.Helper()
	p := &place{Token: softhsm.New(t), program: softhsm.Program(t)}
	p.ed, p.ec = newEd25519(t), newP256(t)
	p.Import(t, "ed", "01", p.ed)
	p.Import(t, "ec", "02", p.ec)
	return p
}

func newEd25519(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newP256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (p *place) options(t testing.TB, name string, public crypto.PublicKey) Options {
	t.Helper()
	u, err := Parse(p.URI(name))
	if err != nil {
		t.Fatal(err)
	}
	return Options{URI: u, Program: p.program, Public: public}
}

func opened(t testing.TB, o Options) *Key {
	t.Helper()
	k, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

// both are the kinds of keys that Fabric takes.
func (p *place) both() map[string]crypto.PublicKey {
	return map[string]crypto.PublicKey{"ed": p.ed.Public(), "ec": p.ec.Public()}
}

// data gives something to sign, as the driver does for that kind of key.
func data(public crypto.PublicKey, n int) []byte {
	if _, ok := public.(ed25519.PublicKey); ok {
		return fmt.Appendf(nil, "message %d of %s", n, strings.Repeat("any length ", n%50))
	}
	digest := sha256.Sum256(fmt.Append(nil, n))
	return digest[:]
}

// lowS reports whether Fabric takes an ECDSA signature.
func lowS(t testing.TB, public crypto.PublicKey, signature []byte) bool {
	t.Helper()
	key, ok := public.(*ecdsa.PublicKey)
	if !ok {
		return true
	}
	var v struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(signature, &v); err != nil {
		t.Fatal(err)
	}
	return v.S.Cmp(new(big.Int).Rsh(key.Params().N, 1)) <= 0
}

// TestToken: 64 goroutines sign at the same time, and every signature holds.
func TestToken(t *testing.T) {
	p := newPlace(t)
	for name, public := range p.both() {
		t.Run(name, func(t *testing.T) {
			k := opened(t, p.options(t, name, public))
			sign64(t, k, public, nil)
			if _, ok := public.(ed25519.PublicKey); ok { // as long as a block of the zone makes it
				long := bytes.Repeat([]byte("0123456789abcdef"), 8<<16)
				if s, err := k.Sign(long); err != nil || !holds(public, long, s) {
					t.Errorf("%d bytes: %v", len(long), err)
				}
				if _, err := k.Sign(make([]byte, maxMessage+1)); err == nil || !strings.Contains(err.Error(), "too many") {
					t.Errorf("a message that is too long: %v", err)
				}
			}
			if err := k.Close(); err != nil {
				t.Error(err)
			}
			if _, err := k.Sign(data(public, 0)); !errors.Is(err, errClosed) {
				t.Errorf("after Close: %v", err)
			}
		})
	}
}

// sign64 signs from 64 goroutines; disturb, if not nil, is called meanwhile.
func sign64(t *testing.T, k *Key, public crypto.PublicKey, disturb func()) {
	t.Helper()
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			for n := range 20 {
				d := data(public, i*20+n)
				s, err := k.Sign(d)
				for errors.Is(err, ErrAway) { // as the driver does
					s, err = k.Sign(d)
				}
				switch {
				case err != nil:
					t.Error(err)
				case !holds(public, d, s):
					t.Errorf("signature %d of goroutine %d does not hold", n, i)
				case !lowS(t, public, s):
					t.Errorf("Fabric would not take %x", s)
				}
			}
		})
	}
	if disturb != nil {
		disturb()
	}
	group.Wait()
}

// pid is the process that signs.
func (k *Key) pid() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.program == nil {
		return 0
	}
	return k.program.cmd.Process.Pid
}

// kill ends the process that signs, and gives its ID.
func (k *Key) kill(t testing.TB) int {
	t.Helper()
	pid := k.pid()
	if pid != 0 {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
	}
	return pid
}

// TestKilled: the program is killed again and again while 64 goroutines sign.
func TestKilled(t *testing.T) {
	p := newPlace(t)
	k := opened(t, p.options(t, "ec", p.ec.Public()))
	killed := map[int]bool{}
	sign64(t, k, p.ec.Public(), func() {
		for range 10 {
			time.Sleep(30 * time.Millisecond)
			killed[k.kill(t)] = true
		}
	})
	killed[k.kill(t)] = true
	if _, err := k.Sign(data(p.ec.Public(), 1)); err != nil {
		t.Error(err)
	}
	if delete(killed, 0); len(killed) < 2 {
		t.Errorf("%d processes were killed, want several", len(killed))
	}
}

// TestSignals: what a terminal or a service manager sends to all processes does
// not end the program before the gateway has done its last work.
func TestSignals(t *testing.T) {
	p := newPlace(t)
	k := opened(t, p.options(t, "ed", p.ed.Public()))
	before := k.pid()
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if err := syscall.Kill(before, s); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k.Sign([]byte("x")); err != nil || k.pid() != before {
		t.Errorf("process %d is %d now, %v", before, k.pid(), err)
	}
	if err := k.Close(); err != nil || !errors.Is(syscall.Kill(before, 0), syscall.ESRCH) {
		t.Errorf("the process is there after Close (%v)", err)
	}
}

// TestTaken: while the token is out signing fails for the moment, and goes on when
// it is back.
func TestTaken(t *testing.T) {
	p := newPlace(t)
	k := opened(t, p.options(t, "ed", p.ed.Public()))
	p.Take(t)
	k.kill(t)
	if _, err := k.Sign([]byte("x")); !errors.Is(err, ErrAway) || !strings.Contains(err.Error(), "sees no token") {
		t.Errorf("without the token: %v", err)
	}
	p.Give(t)
	if s, err := k.Sign([]byte("x")); err != nil || !holds(p.ed.Public(), []byte("x"), s) {
		t.Errorf("with it again: %v", err)
	}
	// Another token of the same name, with another key of the same name.
	p.Take(t)
	k.kill(t)
	other := softhsm.New(t)
	other.Import(t, "ed", "01", newEd25519(t))
	for range 2 {
		if _, err := k.Sign([]byte("x")); !errors.Is(err, errOther) || errors.Is(err, ErrAway) {
			t.Errorf("with another token: %v", err)
		}
	}
}

// counting gives a program that notes in a file that it was started.
func (p *place) counting(t *testing.T) (program string, starts func() int) {
	t.Helper()
	file, script := filepath.Join(t.TempDir(), "starts"), filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(script, fmt.Appendf(nil, "#!/bin/sh\necho start >> %s\nexec %s\n", file, p.program), 0o700); err != nil {
		t.Fatal(err)
	}
	return script, func() int {
		b, _ := os.ReadFile(file)
		return bytes.Count(b, []byte("\n"))
	}
}

// TestPINOnce: a PIN that was refused is not tried again, however often the driver asks.
func TestPINOnce(t *testing.T) {
	p := newPlace(t)
	o := p.options(t, "ed", p.ed.Public())
	program, starts := p.counting(t)
	o.Program = program
	k := opened(t, o)
	if err := os.WriteFile(p.PINFile, []byte("0000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k.kill(t)
	for range 5 {
		if _, err := k.Sign([]byte("x")); err == nil || errors.Is(err, ErrAway) || !strings.Contains(err.Error(), "does not take the PIN") {
			t.Errorf("got %v", err)
		}
	}
	if n := starts(); n != 2 {
		t.Errorf("the program was started %d times, and each time a PIN was tried: want 2", n)
	}
}

// TestRefused: what cannot be used is said, and no PIN is ever in it.
func TestRefused(t *testing.T) {
	p := newPlace(t)
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(t.TempDir(), name)
		if err := errors.Join(os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, tt := range map[string]struct {
		change func(*Options)
		says   string
	}{
		"no program":      {func(o *Options) { o.Program = "/nowhere/bellwether-pkcs11" }, "no such file"},
		"default program": {func(o *Options) { o.Program = "" }, "make pkcs11"},
		"another program": {func(o *Options) { o.Program = write("p", "#!/bin/sh\necho hello\n", 0o700) }, "does not speak"},
		"silent program":  {func(o *Options) { o.Program = write("p", "#!/bin/sh\necho no luck >&2\nexit 3\n", 0o700) }, "exit status 3), saying: no luck"},
		"old program": {func(o *Options) {
			o.Program = write("p", "#!/bin/sh\necho '{\"protocol\":\"bellwether/pkcs11/0\"}'\ncat\n", 0o700)
		}, "build it anew"},
		"no module":    {func(o *Options) { o.URI.Module = "/nowhere/module.so" }, "module-path: stat /nowhere/module.so"},
		"no library":   {func(o *Options) { o.URI.Module = p.PINFile }, "cannot be loaded"},
		"other token":  {func(o *Options) { o.URI.Token = "other" }, `there are "gateway"`},
		"other serial": {func(o *Options) { o.URI.Serial = "0" }, `there are "gateway"`},
		"other slot":   {func(o *Options) { o.URI.Slot = new(uint32) }, `there are "gateway"`},
		"other object": {func(o *Options) { o.URI.Object = "other" }, "object=ec;id=%02"},
		"other id":     {func(o *Options) { o.URI.ID = []byte{2} }, "object=ec;id=%02"},
		"both keys":    {func(o *Options) { o.URI.Object = "" }, "2 private keys that fit"},
		"other kind":   {func(o *Options) { o.Public = p.ec.Public() }, "not the key of the certificate: that one is for ECDSA"},
		"other key":    {func(o *Options) { o.Public = newEd25519(t).Public() }, "not the key of the certificate"},
		"wrong PIN":    {func(o *Options) { o.URI.PINFile = write("pin", "0000", 0o600) }, "does not take the PIN"},
		"no PIN":       {func(o *Options) { o.URI.PINFile = "" }, "asks for a PIN"},
		"no PIN file":  {func(o *Options) { o.URI.PINFile = "/nowhere/pin" }, "pin-source: stat /nowhere/pin"},
		"PIN for all":  {func(o *Options) { o.URI.PINFile = write("pin", softhsm.PIN, 0o644) }, "chmod 600"},
		"PIN of lines": {func(o *Options) { o.URI.PINFile = write("pin", softhsm.PIN+"\nx", 0o600) }, "on one line"},
		"long PIN":     {func(o *Options) { o.URI.PINFile = write("pin", strings.Repeat("1", 300), 0o600) }, "300 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			o := p.options(t, "ed", p.ed.Public())
			tt.change(&o)
			t.Setenv("PATH", "/usr/bin:/bin")
			k, err := Open(o)
			if err == nil {
				k.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), softhsm.PIN) {
				t.Errorf("got %v, want an error that says %q", err, tt.says)
			}
		})
	}
}

// BenchmarkSign measures a token in software beside a key in memory.
func BenchmarkSign(b *testing.B) {
	p := newPlace(b)
	for name, public := range p.both() {
		k := opened(b, p.options(b, name, public))
		d := data(public, 1)
		for _, goroutines := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/token/%d", name, goroutines), func(b *testing.B) {
				b.SetParallelism(goroutines)
				if goroutines == 1 {
					for b.Loop() {
						if _, err := k.Sign(d); err != nil {
							b.Fatal(err)
						}
					}
					return
				}
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, err := k.Sign(d); err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
		b.Run(name+"/memory", func(b *testing.B) {
			for b.Loop() {
				if name == "ed" {
					ed25519.Sign(p.ed, d)
				} else if _, err := ecdsa.SignASN1(rand.Reader, p.ec, d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestWrapped: a program that is a script, and hangs in what the script started, is
// given up like any other.
func TestWrapped(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "signer")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nsleep 1000\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := Open(Options{Program: script, wait: 200 * time.Millisecond})
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "did not answer") {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it is waited for for ever")
	}
}
