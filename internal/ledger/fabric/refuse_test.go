package fabric

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"bellwether/internal/ledger"
	"bellwether/internal/ledger/embedded"
	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/ledgertest"
)

// TestBadConnection: what is wrong with a connection is said, with what to do
// about it, and nothing is left in the directory that looks like a ledger.
func TestBadConnection(t *testing.T) {
	t.Parallel()
	n := up(t, network.Options{})
	issue := func(name string, until time.Time) (cert, key string) {
		dir := t.TempDir()
		if err := n.Issue(0, name, dir, until); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	}
	_, otherKey := issue("other", time.Now().Add(time.Hour))
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(*Connection)
		says   string
	}{
		"nothing":          {func(c *Connection) { *c = Connection{} }, "fabric.chaincode is missing"},
		"channel":          {func(c *Connection) { c.Channel = "other" }, "is fabric.channel right"},
		"chaincode":        {func(c *Connection) { c.Chaincode = "other" }, "is fabric.chaincode right"},
		"organisation":     {func(c *Connection) { c.MSP = "otherMSP" }, "does not take fabric.cert for a member"},
		"authority":        {func(c *Connection) { c.TLSCA = filepath.Join(filepath.Dir(c.TLSCA), "ca.pem") }, "not by fabric.tls_ca"},
		"no authority":     {func(c *Connection) { c.TLSCA = text }, "no PEM certificate"},
		"peer that is off": {func(c *Connection) { c.Peer = "127.0.0.1:1" }, "is the peer running"},
		"server's name":    {func(c *Connection) { c.ServerName = "other.example" }, "fabric.server_name"},
		"expired":          {func(c *Connection) { c.Cert, c.Key = issue("late", time.Now().Add(-time.Minute)) }, "expired at"},
		"another key":      {func(c *Connection) { c.Key = otherKey }, "not the key of the certificate"},
		"no key":           {func(c *Connection) { c.Key = text }, "fabric.key"},
		"no certificate":   {func(c *Connection) { c.Cert = text }, "fabric.cert"},
		"key for others": {func(c *Connection) {
			c.Cert, c.Key = issue("open", time.Now().Add(time.Hour))
			if err := os.Chmod(c.Key, 0o644); err != nil {
				t.Error(err)
			}
		}, "chmod 600"},
	} {
		t.Run(name, func(t *testing.T) {
			c, dir := connection(n, 0), t.TempDir()
			tt.change(&c)
			l, err := Open(t.Context(), dir, ledgertest.Master(), Options{Connection: c, Patience: time.Second})
			if err == nil {
				l.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want an error that says %q", err, tt.says)
			}
			good := opened(t, dir, ledgertest.Master(), Options{Connection: connection(n, 0), Patience: calmPatience})
			if h := good.Height(); h != 0 {
				t.Errorf("height %d after it", h)
			}
		})
	}
}

// TestOtherNetwork: a directory is held against the channel it was made on.
func TestOtherNetwork(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 2 {
		o := Options{Connection: connection(up(t, network.Options{}), 0), Patience: calmPatience}
		l, err := Open(t.Context(), dir, ledgertest.Master(), o)
		if i == 1 {
			if err == nil || !strings.Contains(err.Error(), "connect to the right network") {
				t.Errorf("on another network with the same names: %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		submit(t, l, ledgertest.Genesis(t))
		commit(t, l)
		l.Close()
	}
}

// TestEmbeddedDirectory: the directory of another driver is refused.
func TestEmbeddedDirectory(t *testing.T) {
	dir := t.TempDir()
	l, err := embedded.Open(dir, ledgertest.Master(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := Open(t.Context(), dir, ledgertest.Master(), Options{}); err == nil || !strings.Contains(err.Error(), "embedded ledger") {
		t.Errorf("got %v", err)
	}
	if key, err := rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Error(err)
	} else if _, err := Open(t.Context(), t.TempDir(), key, Options{}); err == nil || !strings.Contains(err.Error(), "Ed25519") {
		t.Errorf("with an RSA key: %v", err)
	}
}

// TestOtherRules: a channel whose chaincode goes by other rules is refused.
func TestOtherRules(t *testing.T) {
	t.Parallel()
	n := up(t, network.Options{Chaincode: []string{os.Args[0], withOtherRules}})
	_, err := Open(t.Context(), t.TempDir(), ledgertest.Master(), Options{Connection: connection(n, 0), Patience: calmPatience})
	if err == nil || !strings.Contains(err.Error(), `"bellwether/chaincode/other"`) || !strings.Contains(err.Error(), "same version") {
		t.Errorf("got %v", err)
	}
}

// TestNoOrderer: without an orderer a commit fails in doubt, says why, and what
// was submitted is there once when the orderer is back.
func TestNoOrderer(t *testing.T) {
	t.Parallel()
	o := network.Options{Dir: t.TempDir()}
	n := up(t, o)
	l := opened(t, t.TempDir(), ledgertest.Master(), Options{Connection: connection(n, 0), Patience: 2 * time.Second})
	txs := history(t, 4)
	submit(t, l, txs[:2]...)
	commit(t, l)
	if err := n.Kill("orderer1"); err != nil {
		t.Fatal(err)
	}
	submit(t, l, txs[2])
	if err := l.Commit(t.Context()); !errors.Is(err, ledger.ErrUnknown) || !strings.Contains(err.Error(), "are the orderers running?") {
		t.Fatalf("without an orderer: %v", err)
	}
	if err := l.Commit(t.Context()); err == nil || !strings.Contains(err.Error(), "are the orderers running?") {
		t.Errorf("again without an orderer: %v", err)
	}
	up(t, o)
	l.o.Patience = calmPatience
	submit(t, l, txs[2:]...)
	commit(t, l)
	want(t, l, txs...)
	if got := onChannel(t, l); len(got) != 3 {
		t.Errorf("the channel has %d blocks of the zone, want 3", len(got))
	}
}

// TestExpiry: a certificate that expires soon is warned about once a day, and one
// that expired keeps a commit from being tried.
func TestExpiry(t *testing.T) {
	t.Parallel()
	n, dir := up(t, network.Options{}), t.TempDir()
	if err := n.Issue(0, "soon", dir, time.Now().Add(10*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	c := connection(n, 0)
	c.Cert, c.Key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	var said strings.Builder
	o := Options{Connection: c, Patience: calmPatience, Log: slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	l, err := Open(t.Context(), t.TempDir(), ledgertest.Master(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, tx := range history(t, 3) {
		submit(t, l, tx)
		commit(t, l)
	}
	if strings.Count(said.String(), "expires soon") != 1 || !strings.Contains(said.String(), "days_left=9") {
		t.Errorf("it says %q", said.String())
	}
	expired := (*ExpiryError)(nil)
	if err := l.client.valid(l.o, time.Now().Add(11*24*time.Hour)); !errors.As(err, &expired) || !strings.Contains(err.Error(), "expired at") {
		t.Errorf("in eleven days: %v", err)
	}
	if err := l.client.valid(l.o, time.Now().Add(-24*time.Hour)); err == nil || !strings.Contains(err.Error(), "is the clock right?") {
		t.Errorf("a day ago: %v", err)
	}
}

// TestDamagedOutbox: what may hold a block is not passed over.
func TestDamagedOutbox(t *testing.T) {
	path := filepath.Join(t.TempDir(), outboxFile)
	o := &outbox{Block: 7, ID: [32]byte{1}, Prepared: []byte("bytes")}
	if err := o.write(path); err != nil {
		t.Fatal(err)
	}
	got, err := readOutbox(path)
	if err != nil || got.Block != 7 || got.ID != o.ID || string(got.Prepared) != "bytes" {
		t.Fatalf("%+v, %v", got, err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for _, other := range [][]byte{append(append([]byte{}, raw[:i]...), append([]byte{raw[i] ^ 1}, raw[i+1:]...)...), raw[:i]} {
			if err := os.WriteFile(path, other, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := readOutbox(path); err == nil || !strings.Contains(err.Error(), "damaged") {
				t.Fatalf("byte %d changed or the end cut there: %v", i, err)
			}
		}
	}
}

// TestDiagnose: what Fabric says and what it means, in words that its programs
// were seen to use. The last column says whether asking again may help.
func TestDiagnose(t *testing.T) {
	c := &client{connection: Connection{Peer: "peer:7051"}}
	for _, tt := range []struct {
		code  codes.Code
		text  string
		hint  string
		again bool
	}{
		{codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`, "is the peer running", true},
		{codes.Unavailable, "name resolver error: produced zero addresses", "names no machine", true},
		{codes.Unavailable, `connection error: desc = "transport: authentication handshake failed: tls: failed to verify certificate: x509: certificate signed by unknown authority"`, "fabric.tls_ca", false},
		{codes.Unavailable, "no orderers could successfully process transaction", "are the orderers running?", true},
		{codes.Unavailable, "failed to get config for channel [other]: could not get last config for channel other", "fabric.channel", false},
		{codes.Unknown, "too many requests for /gateway.Gateway, exceeding concurrency limit (500)", "", true},
		{codes.Unknown, "request unauthorized due to incorrect timestamp 2026-11-26T16:37:06Z, peer time 2026-11-26T17:37:06Z, peer.authentication.timewindow 15m0s", "set the clock", false},
		{codes.Aborted, "chaincode response 500, block 3: the channel has a block of that number already", "another gateway", false},
		{codes.Aborted, "chaincode response 500, block 3: the channel has no block 2 before it", "is behind", true},
		{codes.Aborted, "error in simulation: failed to execute transaction 1: could not launch chaincode bellwether_1:70: connection refused", "the chaincode service does not run", true},
		{codes.FailedPrecondition, "no combination of peers can be derived which satisfy the endorsement policy: no peer combination can satisfy the endorsement policy", "more organisations", true},
		{codes.Aborted, "failed to collect enough transaction endorsements, see attached details for more info; 127.0.0.1:2 (org2MSP): connection refused", "another organisation's peer", true},
		{codes.FailedPrecondition, "no peers available to evaluate chaincode other in channel bellwether", "fabric.chaincode", false},
		{codes.Internal, "something else", "", false},
	} {
		err := c.explain(status.Error(tt.code, tt.text))
		if !strings.Contains(err.Error(), tt.text) || !strings.Contains(err.Error(), tt.hint) || transient(err) != tt.again {
			t.Errorf("%s: %v, again %v; want %q and %v", tt.code, err, transient(err), tt.hint, tt.again)
		}
	}
	if transient(context.Canceled) || transient(errors.New("x")) {
		t.Error("what is not the peer's answer is asked again")
	}
}
