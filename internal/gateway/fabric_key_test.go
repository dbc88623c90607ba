package gateway

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"bellwether/internal/ledger/fabric/softhsm"
)

// TestReplayWithKeyInToken: a replay comes to the same ledger, byte for byte, when
// the gateway's identity on Fabric has its key in a PKCS #11 token, is found by a
// connection profile, and the program that signs is killed again and again.
func TestReplayWithKeyInToken(t *testing.T) {
	embedded, report := finished(t)
	c, n := onFabric(t)
	g := n.Gateway(0)
	token := softhsm.New(t)
	token.Import(t, "fabric", "01", privateKey(t, g.Key))
	if err := os.Remove(g.Key); err != nil { // it is in the token, and nowhere else
		t.Fatal(err)
	}
	c.Ledger.Fabric = FabricConfig{Profile: g.Profile, Cert: g.Cert, Key: token.URI("fabric"), Signer: softhsm.Program(t), Channel: g.Channel, Chaincode: g.Chaincode}
	if r, err := CheckFabric(t.Context(), c, time.Minute); err != nil || !r.Token || r.MSP != g.MSP {
		t.Fatalf("%+v, %v", r, err)
	}
	r := whole(t, keyedDir(t))
	r.Config = c
	ctx, stop := context.WithCancel(t.Context())
	kills := make(chan int)
	go func() { // once for each block or more, when the program has signed and so is logged in
		all, last := 0, int64(0)
		for ctx.Err() == nil {
			time.Sleep(5 * time.Millisecond)
			if info, err := os.Stat(filepath.Join(r.StateDir, "ledger", "blocks.log")); err == nil && info.Size() > last {
				if last > 0 { // the file alone is there before anything was signed
					all += killAll(c.Ledger.Fabric.Signer)
				}
				last = info.Size()
			}
		}
		kills <- all
	}()
	got := mustRun(t, r)
	stop()
	if n := <-kills; n == 0 {
		t.Error("the program that signs was never killed")
	} else {
		t.Logf("the program that signs was killed %d times", n)
	}
	same(t, resultOf(t, r.StateDir, got), resultOf(t, embedded, report))
	verifies(t, r.StateDir)
	decided(t, r.StateDir) // with what the state directory remembers of the connection
	noSecret(t, r.StateDir)
}

func privateKey(t *testing.T, file string) ed25519.PrivateKey {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(ed25519.PrivateKey)
}

// killAll kills the processes of a program.
func killAll(program string) (killed int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		exe, err := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		if pid, bad := strconv.Atoi(e.Name()); err == nil && bad == nil && exe == program && syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
	}
	return killed
}

// noSecret looks for the token's PIN in a state directory.
func noSecret(t *testing.T, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), softhsm.PIN) {
			t.Errorf("the PIN is in %s", path)
		}
		return err
	})
	if err != nil || files < 5 {
		t.Errorf("%d files, %v", files, err)
	}
}

func TestFabricConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.yaml")
	text := `ledger:
  driver: fabric
  fabric:
    profile: connection.yaml
    organization: A
    cert: cert.pem
    key: pkcs11:object=k?module-path=/m.so&pin-source=file:/pin
    signer: bin/bellwether-pkcs11
    channel: c
    chaincode: b
    tls_ca: |
      -----BEGIN CERTIFICATE-----
      x
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	dir, f := filepath.Dir(path), c.Ledger.Fabric
	want := FabricConfig{Profile: filepath.Join(dir, "connection.yaml"), Organization: "A", Cert: filepath.Join(dir, "cert.pem"),
		Key: "pkcs11:object=k?module-path=/m.so&pin-source=file:/pin", Signer: filepath.Join(dir, "bin/bellwether-pkcs11"),
		TLSCA: "-----BEGIN CERTIFICATE-----\nx\n", Channel: "c", Chaincode: "b"}
	if f != want {
		t.Errorf("got %+v", f)
	}
	for text, says := range map[string]string{
		"{driver: fabric, fabric: {profile: p}}":                                                                        "fabric.chaincode is missing",
		"{driver: fabric, fabric: {organization: A}}":                                                                   "fabric.profile is not",
		"{driver: fabric, fabric: {key: 'pkcs11:object=k?module-path=/m&pin-value=271828'}}":                            "pin-value puts the PIN where others can read it",
		"{driver: fabric, fabric: {peer: x, tls_ca: x, msp: x, cert: x, key: x, channel: x, chaincode: x, signer: /x}}": "fabric.signer is given",
	} {
		if _, err := ParseConfig([]byte("ledger: " + text)); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "271828") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
