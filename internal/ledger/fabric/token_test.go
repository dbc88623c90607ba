package fabric

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/fabric/softhsm"
	"bellwether/internal/ledger/ledgertest"
)

// inToken makes a key of that kind in a token, and an identity of the network
// with it. The key is nowhere else.
func inToken(t testing.TB, n *network.Network, kind string) (Connection, *softhsm.Token) {
	t.Helper()
	token, key := softhsm.New(t), newKey(t, kind)
	token.Import(t, "fabric", "01", key)
	c := connection(n, 0)
	c.Key, c.Signer, c.Cert = token.URI("fabric"), softhsm.Program(t), certify(t, n, key)
	return c, token
}

func newKey(t testing.TB, kind string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	if kind == "Ed25519" {
		_, key, err = ed25519.GenerateKey(rand.Reader)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// certify writes a certificate of the first organisation.
func certify(t testing.TB, n *network.Network, key crypto.Signer) (file string) {
	t.Helper()
	cert, err := n.Certify(0, "token", key.Public(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(file, cert, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// signers are the processes of a program.
func signers(program string) (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if exe, err := os.Readlink(filepath.Join("/proc", e.Name(), "exe")); err == nil && exe == program {
			pids = append(pids, pid)
		}
	}
	return pids
}

func killSigner(t testing.TB, program string) (killed int) {
	t.Helper()
	for _, pid := range signers(program) {
		if syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
	}
	return killed
}

// TestKeyInToken: blocks are committed with a key in a token, while the program
// that signs is killed (kill -9) for each. Every block is on the channel
// once, and a copy made anew with the key in the token is the same.
func TestKeyInToken(t *testing.T) {
	for _, kind := range []string{"Ed25519", "P-256"} {
		t.Run(kind, func(t *testing.T) {
			n := up(t, network.Options{})
			c, _ := inToken(t, n, kind)
			o := Options{Connection: c, Patience: calmPatience}
			l := opened(t, t.TempDir(), ledgertest.Master(), o)
			txs, killed := history(t, 20), 0
			for _, tx := range txs {
				submit(t, l, tx)
				// Before the commit's first signature, when it is logged in: killed while SoftHSM
				// logs in and writes the token's file, the token itself can be lost.
				killed += killSigner(t, c.Signer)
				commit(t, l)
			}
			if killed < len(txs) {
				t.Errorf("only %d kills", killed)
			}
			t.Logf("20 blocks, and %d kills of the program that signs", killed)
			want(t, l, txs...)
			if got := onChannel(t, l); len(got) != len(txs) {
				t.Errorf("the channel has %d blocks of the zone, want %d", len(got), len(txs))
			}
			want(t, opened(t, t.TempDir(), ledgertest.Master(), o), txs...)
		})
	}
}

// TestTokenAway: a commit waits while the token is out, and fails at once, with
// nothing lost, when the token does not take the PIN any more.
func TestTokenAway(t *testing.T) {
	n := up(t, network.Options{})
	c, token := inToken(t, n, "P-256")
	o, dir := Options{Connection: c, Patience: calmPatience}, t.TempDir()
	l := opened(t, dir, ledgertest.Master(), o)
	txs := history(t, 4)
	submit(t, l, txs[:2]...)
	commit(t, l)

	token.Take(t)
	if killSigner(t, c.Signer) == 0 {
		t.Fatal("nothing signs")
	}
	submit(t, l, txs[2])
	back := make(chan struct{})
	go func() {
		defer close(back)
		time.Sleep(time.Second)
		token.Give(t)
	}()
	commit(t, l)
	<-back
	want(t, l, txs[:3]...)

	if err := os.WriteFile(token.PINFile, []byte("000000"), 0o600); err != nil {
		t.Fatal(err)
	}
	killSigner(t, c.Signer)
	submit(t, l, txs[3])
	for range 3 {
		if err := l.Commit(t.Context()); err == nil || !strings.Contains(err.Error(), "does not take the PIN") {
			t.Fatalf("with a wrong PIN: %v", err)
		}
	}
	l.Close()
	if left := signers(c.Signer); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
	if err := os.WriteFile(token.PINFile, []byte(softhsm.PIN), 0o600); err != nil {
		t.Fatal(err)
	}
	l = opened(t, dir, ledgertest.Master(), o)
	submit(t, l, txs[3])
	commit(t, l)
	want(t, l, txs...)
}

// TestRequest: an identity whose key never left its token asks for its certificate
// itself, and one with a key in a file likewise.
func TestRequest(t *testing.T) {
	n := up(t, network.Options{})
	for _, kind := range []string{"Ed25519", "P-256", "file"} {
		c := connection(n, 0)
		if kind != "file" {
			c, _ = inToken(t, n, kind)
		}
		c.Cert = filepath.Join(t.TempDir(), "cert.pem")
		request, err := c.Request("porch")
		if err != nil {
			t.Fatal(err)
		}
		cert, err := n.CertifyRequest(0, request, time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(c.Cert, cert, 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := Check(t.Context(), Options{Connection: c, Patience: calmPatience})
		if err != nil || r.Subject != "CN=porch,OU=client" || r.Token != (kind != "file") {
			t.Errorf("%s: %+v, %v", kind, r, err)
		}
		request[len(request)/2] ^= 1
		if _, err := n.CertifyRequest(0, request, time.Now().Add(time.Hour)); err == nil {
			t.Error("a changed request was signed")
		}
	}
}

// TestOtherCertificate: the token's key has to be the certificate's.
func TestOtherCertificate(t *testing.T) {
	n := up(t, network.Options{})
	c, _ := inToken(t, n, "Ed25519")
	for _, kind := range []string{"Ed25519", "P-256"} {
		c.Cert = certify(t, n, newKey(t, kind))
		_, err := Check(t.Context(), Options{Connection: c, Patience: calmPatience})
		if err == nil || !strings.Contains(err.Error(), "fabric.key: ") || !strings.Contains(err.Error(), "not the key of the certificate") {
			t.Errorf("with a certificate for another %s key: %v", kind, err)
		}
	}
}

// TestTokenConnection: what is wrong with the URI is said before anything is started.
func TestTokenConnection(t *testing.T) {
	good := Connection{Peer: "p:1", TLSCA: "ca", MSP: "M", Cert: "c", Key: "pkcs11:object=k?module-path=/m", Channel: "c", Chaincode: "b", Signer: "s"}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	bad := good
	bad.Key = "pkcs11:object=k?module-path=/m&pin-value=271828"
	if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), "fabric.key: pin-value") || strings.Contains(err.Error(), "271828") {
		t.Errorf("got %v", err)
	}
	bad.Key = "key.pem"
	if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), "fabric.signer is given") {
		t.Errorf("got %v", err)
	}
}

// BenchmarkKey measures what a key in a token costs beside one in a file.
func BenchmarkKey(b *testing.B) {
	n := up(b, network.Options{})
	edwards, token := inToken(b, n, "Ed25519")
	p256, key := edwards, newKey(b, "P-256")
	token.Import(b, "p256", "02", key)
	p256.Key, p256.Cert = token.URI("p256"), certify(b, n, key)
	for _, k := range []struct {
		name string
		c    Connection
	}{{"file", connection(n, 0)}, {"token-Ed25519", edwards}, {"token-P256", p256}} {
		for _, submitters := range []int{1, 64} {
			b.Run(fmt.Sprintf("key=%s/submitters=%d", k.name, submitters), func(b *testing.B) {
				k.c.Chaincode = defined(b, n, fmt.Sprintf("%s-%d-%d", strings.ToLower(k.name), submitters, b.N)).Chaincode
				benchmarkRecord(b, k.c, submitters)
			})
		}
	}
}

// TestByProfile: the profile that comes with a network leads to it.
func TestByProfile(t *testing.T) {
	t.Parallel()
	n := up(t, network.Options{Orgs: 2})
	for i, msp := range []string{"org1MSP", "org2MSP"} {
		g := n.Gateway(i)
		c := Connection{Profile: g.Profile, Cert: g.Cert, Key: g.Key, Channel: g.Channel, Chaincode: g.Chaincode}
		r, err := Check(t.Context(), Options{Connection: c, Patience: calmPatience})
		if err != nil || r.MSP != msp || r.Peer != g.Peer || r.Token {
			t.Errorf("organisation %d: %+v, %v", i, r, err)
		}
	}
}

// TestResolve: a connection's own fields go before the profile's, and a peer's TLS
// goes with the peer.
func TestResolve(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "profile.yaml")
	text := []byte(`
client: {organization: A}
organizations: {A: {mspid: AMSP, peers: [p1, p2]}, B: {mspid: BMSP, peers: [p1]}}
peers:
  p1: {url: "grpcs://p1:7051", tlsCACerts: {path: ca1.pem}, grpcOptions: {ssl-target-name-override: one}}
  p2: {url: "grpcs://p2:7051", tlsCACerts: {pem: "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"}}
`)
	if err := os.WriteFile(path, bytes.TrimSpace(text), 0o644); err != nil {
		t.Fatal(err)
	}
	base := Connection{Profile: path, Cert: "cert", Key: "key", Channel: "channel", Chaincode: "chaincode"}
	ca1 := filepath.Join(dir, "ca1.pem")
	for name, tt := range map[string]struct {
		change func(*Connection)
		want   Connection // Peer, ServerName, TLSCA, MSP
		says   string
	}{
		"nothing":          {func(*Connection) {}, Connection{Peer: "p1:7051", ServerName: "one", TLSCA: ca1, MSP: "AMSP"}, ""},
		"organisation":     {func(c *Connection) { c.Organization = "B" }, Connection{Peer: "p1:7051", ServerName: "one", TLSCA: ca1, MSP: "BMSP"}, ""},
		"second peer":      {func(c *Connection) { c.Peer = "p2:7051" }, Connection{Peer: "p2:7051", TLSCA: "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----", MSP: "AMSP"}, ""},
		"all but the peer": {func(c *Connection) { c.ServerName, c.TLSCA, c.MSP = "n", "ca", "M" }, Connection{Peer: "p1:7051", ServerName: "n", TLSCA: "ca", MSP: "M"}, ""},
		"foreign peer":     {func(c *Connection) { c.Peer, c.TLSCA = "x:1", "ca" }, Connection{Peer: "x:1", TLSCA: "ca", MSP: "AMSP"}, ""},
		"bare peer":        {func(c *Connection) { c.Peer = "x:1" }, Connection{}, `fabric.peer is "x:1", which is no peer of the organization`},
		"no organisation":  {func(c *Connection) { c.Organization = "C" }, Connection{}, path + `: organizations has no "C": it has A, B`},
		"no profile":       {func(c *Connection) { c.Profile = filepath.Join(dir, "none") }, Connection{}, "fabric.profile: open "},
		"no key":           {func(c *Connection) { c.Key = "" }, Connection{}, "fabric.key is missing"},
		"organisation of none": {func(c *Connection) { c.Profile, c.Organization = "", "A" }, Connection{},
			"fabric.organization is given"},
	} {
		c := base
		tt.change(&c)
		got, err := c.resolve()
		if tt.says != "" {
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s: %v, want %q", name, err, tt.says)
			}
			continue
		}
		if err != nil || got.Peer != tt.want.Peer || got.ServerName != tt.want.ServerName || got.TLSCA != tt.want.TLSCA || got.MSP != tt.want.MSP {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
