package fabric

import (
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/ledger/embedded"
	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/ledgertest"
)

// embeddedWith makes an embedded ledger, or goes on with it, one block for each
// transaction.
func embeddedWith(t testing.TB, dir string, txs ...[]byte) {
	t.Helper()
	l, err := embedded.Open(dir, ledgertest.Master(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, tx := range txs {
		if err := errors.Join(l.Submit(t.Context(), tx), l.Commit(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
}

// migrated carries a directory over.
func migrated(t testing.TB, dir string, c Connection, dry bool) *Migration {
	t.Helper()
	m, err := Migrate(t.Context(), dir, ledgertest.Master(), migrating(c, dry))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func migrating(c Connection, dry bool) Migrating {
	return Migrating{Options: Options{Connection: c, Patience: calmPatience}, Dry: dry, Progress: func(int64, int64) {}, Ready: func() error { return nil }}
}

// copied copies a directory, or only the blocks.
func copied(t testing.TB, dir string, only ...string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(to)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if len(only) > 0 && e.Name() != only[0] {
			os.Remove(filepath.Join(to, e.Name()))
		}
	}
	return to
}

func contentOf(t testing.TB, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(raw)
	}
	return all
}

// sound checks a directory's blocks from the first on, and that every one of
// them is proven under the newest checkpoint.
func sound(t testing.TB, l *Ledger, blocks uint64) {
	t.Helper()
	r, err := embedded.Verify(t.Context(), l.dir, nil, nil)
	if err != nil || len(r.Findings) > 0 || r.Blocks != blocks || r.Replayed != blocks {
		t.Fatalf("%+v, %v", r, err)
	}
	for n := range blocks {
		b, err := l.Block(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		in, err := l.Prove(t.Context(), n, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := in.Verify(b.Txs[0], l.pub()); err != nil {
			t.Fatalf("block %d: %v", n, err)
		}
		if head, err := ledger.ParseCheckpoint(in.Checkpoint, b.Header.Zone, l.pub()); err != nil || head.Size != blocks {
			t.Fatalf("block %d is proven in a tree of %+v, %v", n, head, err)
		}
	}
	if digest, err := contract.Digest(l.State()); err != nil || digest != r.State {
		t.Fatalf("the state is %s, want %s, %v", digest, r.State, err)
	}
	if found := Damage(l.dir); len(found) > 0 {
		t.Error(found)
	}
}

// TestMigrate: a ledger of 300 blocks is handed over in one transaction of Fabric
// and goes on with the blocks that the embedded one would have made.
func TestMigrate(t *testing.T) {
	t.Parallel()
	n := up(t, network.Options{})
	c, dir := connection(n, 0), filepath.Join(t.TempDir(), "ledger")
	txs := history(t, 306)
	embeddedWith(t, dir, txs[:300]...)
	old, twin := copied(t, dir), copied(t, dir)
	before := contentOf(t, dir)

	m := migrated(t, dir, c, true)
	if m.Done || m.Blocks != 300 || m.Found != 0 || m.Handover == 0 || m.Devices != 1 || m.Append != 0 {
		t.Errorf("what would be done: %+v", m)
	}
	if after := contentOf(t, dir); len(after) != 1 || after[blocksFile] != before[blocksFile] {
		t.Fatal("looking changed the directory")
	}
	if m = migrated(t, dir, c, false); !m.Done || m.Handover == 0 {
		t.Errorf("what was done: %+v", m)
	}
	if after := contentOf(t, dir); after[blocksFile] != before[blocksFile] {
		t.Fatal("the blocks were changed")
	}

	o := Options{Connection: c, Patience: calmPatience}
	l := opened(t, dir, ledgertest.Master(), o)
	sound(t, l, 300)
	for _, tx := range txs[300:305] {
		submit(t, l, tx)
		commit(t, l)
	}
	sound(t, l, 305)
	embeddedWith(t, twin, txs[300:305]...)
	if contentOf(t, dir)[blocksFile] != contentOf(t, twin)[blocksFile] {
		t.Error("the blocks are not those that the embedded ledger makes")
	}
	var functions []string
	for f, err := range l.client.read(t.Context(), 0, height(t, l), calmPatience) {
		if err != nil {
			t.Fatal(err)
		}
		functions = append(functions, f.function)
	}
	if got := strings.Join(functions, " "); got != "adopt append append append append append" {
		t.Errorf("the channel has %s", got)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, dry := range []bool{true, false} { // again: nothing to do
		if m = migrated(t, dir, c, dry); m.Found != 305 || m.Handover != 0 || m.Append != 0 || m.Done == dry {
			t.Errorf("given again: %+v", m)
		}
	}
	t.Run("evidence", func(t *testing.T) { carriedEvidence(t, n, dir, o) })
	t.Run("lost", func(t *testing.T) { lostAfterMigration(t, n, dir, old, txs) })
	t.Run("refused", func(t *testing.T) { notMigrated(t, n, old, txs) })
}

func height(t testing.TB, l *Ledger) uint64 {
	t.Helper()
	h, err := l.client.height(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// carriedEvidence: the handover is what there is of blocks from before.
func carriedEvidence(t *testing.T, n *network.Network, dir string, o Options) {
	all, carried, err := Evidence(t.Context(), dir, o, []uint64{0, 7, 299, 300, 304})
	if err != nil || len(all) != 3 || carried != 300 {
		t.Fatalf("%d pieces of evidence, %d blocks carried over: %v", len(all), carried, err)
	}
	c := channelOf(t, n)
	for i, want := range []uint64{299, 300, 304} {
		s, err := all[i].Verify(c)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && s.Block.Header.Number != want || i == 0 && s.Handover.Header.Number != want {
			t.Errorf("piece %d is %+v, want block %d", i, s, want)
		}
	}
	changeEach(t, all[0], c)
	if _, carried, err := Evidence(t.Context(), dir, o, []uint64{301}); err != nil || carried != 300 {
		t.Errorf("%d, %v", carried, err)
	}
}

// lostAfterMigration: the channel alone does not give the old blocks back, and a
// copy of them does.
func lostAfterMigration(t *testing.T, n *network.Network, dir, old string, txs [][]byte) {
	c := connection(n, 0)
	o := Options{Connection: c, Patience: calmPatience}
	empty := t.TempDir()
	missing := (*MissingError)(nil)
	_, err := Open(t.Context(), empty, ledgertest.Master(), o)
	if !errors.As(err, &missing) || missing.Have != 0 || missing.Newest.Number != 299 || !strings.Contains(err.Error(), "ledger migrate") {
		t.Fatalf("from the channel alone: %v", err)
	}
	if _, err := Migrate(t.Context(), empty, ledgertest.Master(), migrating(c, false)); err == nil || !strings.Contains(err.Error(), "holds no block") {
		t.Errorf("migrating it: %v", err)
	}
	// The old file is put where opening left its own: both ways lead on.
	if err := os.WriteFile(filepath.Join(empty, blocksFile), []byte(contentOf(t, old)[blocksFile]), 0o600); err != nil {
		t.Fatal(err)
	}
	again := copied(t, empty)
	l := opened(t, empty, ledgertest.Master(), o)
	sound(t, l, 305)
	l.Close()
	if m := migrated(t, again, c, false); !m.Done || m.Found != 300 || m.More != 5 {
		t.Errorf("%+v", m)
	}
	for name, from := range map[string]string{"the old blocks": old, "all blocks": copied(t, dir, blocksFile)} {
		back := copied(t, from)
		if _, err := Open(t.Context(), back, ledgertest.Master(), o); err == nil || !strings.Contains(err.Error(), "ledger migrate") {
			t.Errorf("%s, opened as they are: %v", name, err)
		}
		migrated(t, back, c, false)
		l := opened(t, back, ledgertest.Master(), o)
		sound(t, l, 305)
		l.Close()
		if a, b := contentOf(t, back), contentOf(t, dir); a[blocksFile] != b[blocksFile] || a[placesFile] != b[placesFile] {
			t.Errorf("%s: the copy made anew is another one", name)
		}
	}
	// A channel that is lost for ever: the blocks alone go to another.
	anew := defined(t, n, "anew")
	moved := copied(t, dir, blocksFile)
	if m := migrated(t, moved, anew, false); m.Handover == 0 || m.Blocks != 305 {
		t.Errorf("to another channel: %+v", m)
	}
	older := t.TempDir()
	embeddedWith(t, older, txs[:298]...)
	if _, err := Migrate(t.Context(), older, ledgertest.Master(), migrating(c, false)); !errors.As(err, &missing) || missing.Have != 298 {
		t.Errorf("with too old a copy: %v", err)
	}
	other := t.TempDir()
	embeddedWith(t, other, txs[:299]...)
	embeddedWith(t, other, ledgertest.Tx(t, 0, 299, "another name"), ledgertest.Tx(t, 0, 300, "and more"))
	if _, err := Migrate(t.Context(), other, ledgertest.Master(), migrating(c, false)); err == nil || !strings.Contains(err.Error(), "another history") {
		t.Errorf("with another history: %v", err)
	}
	for _, d := range []string{older, other} {
		if Here(d) {
			t.Error("a refused migration left a ledger on Fabric")
		}
	}
	// What is there behind the handover is cut off: it comes from the channel.
	torn := copied(t, dir)
	for _, keep := range []int{len(contentOf(t, dir)[blocksFile]) - 1, len(contentOf(t, old)[blocksFile]) + 10} {
		if err := os.Truncate(filepath.Join(torn, blocksFile), int64(keep)); err != nil {
			t.Fatal(err)
		}
		l := opened(t, torn, ledgertest.Master(), o)
		sound(t, l, 305)
		l.Close()
	}
	if err := os.Truncate(filepath.Join(torn, blocksFile), 20_000); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), torn, ledgertest.Master(), o); !errors.As(err, &missing) || missing.Have == 0 {
		t.Errorf("cut off before the handover: %v", err)
	}
}

// notMigrated: what cannot be is refused with a reason, and changes nothing.
func notMigrated(t *testing.T, n *network.Network, old string, txs [][]byte) {
	c, stranger := connection(n, 0), ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	away, unknown, other := c, c, c
	away.Peer, unknown.Chaincode = "127.0.0.1:1", "unknown"
	other.Chaincode = "taken"
	taken(t, n, other, stranger)
	onFabric := t.TempDir()
	first := opened(t, onFabric, ledgertest.Master(), Options{Connection: defined(t, n, "own"), Patience: calmPatience})
	submit(t, first, txs[0])
	commit(t, first)
	first.Close()
	for _, tt := range []struct {
		name, dir string
		master    ed25519.PrivateKey
		c         Connection
		reason    string
	}{
		{"no ledger", t.TempDir(), ledgertest.Master(), c, "no ledger to carry over"},
		{"another key", copied(t, old), stranger, c, "not signed by that key"},
		{"no peer", copied(t, old), ledgertest.Master(), away, "127.0.0.1:1"},
		{"no such chaincode", copied(t, old), ledgertest.Master(), unknown, "is fabric.chaincode right"},
		{"a channel with another zone", copied(t, old), ledgertest.Master(), other, "it has another zone"},
		{"a ledger on another channel", onFabric, ledgertest.Master(), c, "is on Fabric already"},
	} {
		m := migrating(tt.c, false)
		if tt.c == away {
			m.Patience = time.Second
		}
		here := Here(tt.dir)
		if _, err := Migrate(t.Context(), tt.dir, tt.master, m); err == nil || !strings.Contains(err.Error(), tt.reason) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.reason)
		}
		if Here(tt.dir) != here {
			t.Errorf("%s: the directory is a ledger on Fabric now", tt.name)
		}
	}
}

// taken puts another master's zone on a channel.
func taken(t *testing.T, n *network.Network, c Connection, master ed25519.PrivateKey) {
	t.Helper()
	defined(t, n, c.Chaincode)
	pub := master.Public().(ed25519.PublicKey)
	raw, err := (&contract.Tx{Zone: contract.GroupID(pub, ledgertest.Created, "other"), Time: ledgertest.Created, N: 1,
		Body: &contract.ZoneCreated{Name: "other", Master: [32]byte(pub)}}).Sign(master)
	if err != nil {
		t.Fatal(err)
	}
	l := opened(t, t.TempDir(), master, Options{Connection: c, Patience: calmPatience})
	submit(t, l, raw)
	commit(t, l)
	l.Close()
}

// TestMigrationStopped: an embedded ledger that went on after its migration was
// stopped is carried over with what it got meanwhile, also by two at a time.
func TestMigrationStopped(t *testing.T) {
	t.Parallel()
	n := up(t, network.Options{})
	c, dir := connection(n, 0), t.TempDir()
	txs := history(t, 12)
	embeddedWith(t, dir, txs[:5]...)
	stop := errors.New("stopped")
	stopped := migrating(c, false)
	stopped.Ready = func() error { return stop }
	for _, have := range []int{5, 8} {
		embeddedWith(t, dir, txs[:have]...)
		if _, err := Migrate(t.Context(), dir, ledgertest.Master(), stopped); !errors.Is(err, stop) || Here(dir) {
			t.Fatalf("not stopped: %v", err)
		}
	}
	embeddedWith(t, dir, txs[:10]...)
	if m := migrated(t, dir, c, true); m.Found != 8 || m.Append != 2 || m.Handover != 0 {
		t.Errorf("what would be done: %+v", m)
	}
	twin := copied(t, dir)
	failed := make(chan error)
	for _, d := range []string{dir, twin} {
		go func() {
			_, err := Migrate(t.Context(), d, ledgertest.Master(), migrating(c, false))
			failed <- err
		}()
	}
	for range 2 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	for i, d := range []string{dir, twin} {
		l := opened(t, d, ledgertest.Master(), Options{Connection: c, Patience: calmPatience})
		sound(t, l, uint64(10+i))
		submit(t, l, txs[10+i])
		commit(t, l)
		l.Close()
	}
}

// TestMigrateUnreachable: also a directory that is on the channel already is not
// waited for longer than asked.
func TestMigrateUnreachable(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), connection(up(t, network.Options{}), 0)
	embeddedWith(t, dir, history(t, 3)...)
	migrated(t, dir, c, false)
	o := migrating(c, false)
	o.Connection.Peer, o.Patience = "127.0.0.1:1", time.Second
	ctx, cancel := context.WithTimeout(t.Context(), calmPatience)
	defer cancel()
	if _, err := Migrate(ctx, dir, ledgertest.Master(), o); err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "is the peer running") {
		t.Errorf("got %v, %v", err, ctx.Err())
	}
}

// TestMigrateOneBlock: a zone of one block is appended as it is.
func TestMigrateOneBlock(t *testing.T) {
	t.Parallel()
	c, dir := connection(up(t, network.Options{}), 0), t.TempDir()
	txs := history(t, 2)
	embeddedWith(t, dir, txs[0])
	if m := migrated(t, dir, c, false); !m.Done || m.Handover != 0 || m.Append != 1 {
		t.Errorf("%+v", m)
	}
	l := opened(t, t.TempDir(), ledgertest.Master(), Options{Connection: c, Patience: calmPatience})
	submit(t, l, txs[1])
	commit(t, l)
	sound(t, l, 2)
}

// TestMigrateManyDevices: a state near the bound passes a channel whose orderers take
// Fabric's usual 10 MB, and one above it is refused before anything is sent.
func TestMigrateManyDevices(t *testing.T) {
	t.Parallel()
	n := up(t, network.Options{})
	c, dir := connection(n, 0), t.TempDir()
	txs := [][]byte{ledgertest.Genesis(t)}
	for i := range 16_500 {
		txs = append(txs, ledgertest.Tx(t, i, 1, strings.Repeat("n", 128)))
	}
	l, err := embedded.Open(dir, ledgertest.Master(), embedded.Options{BlockTxs: 1 << 13, BlockAge: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i, tx := range txs {
		if err := l.Submit(t.Context(), tx); err != nil {
			t.Fatal(err)
		}
		if i == 12_500 {
			fits(t, l, dir, c)
		}
	}
	if err := l.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := Migrate(t.Context(), copied(t, dir), ledgertest.Master(), migrating(defined(t, n, "large"), false)); err == nil || !strings.Contains(err.Error(), "can be handed over") {
		t.Errorf("with %d devices: %v", len(txs)-1, err)
	}
}

func fits(t *testing.T, l *embedded.Ledger, dir string, c Connection) {
	t.Helper()
	if err := l.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir = copied(t, dir)
	m := migrated(t, dir, c, false)
	all, _, err := Evidence(t.Context(), dir, Options{Connection: c, Patience: calmPatience}, []uint64{0})
	if err != nil {
		t.Fatal(err)
	}
	if size := len(all[0].Data[0]); size > 10<<20 || m.Handover < 3<<20 {
		t.Errorf("a handover of %d bytes makes a transaction of %d", m.Handover, size)
	} else {
		t.Logf("%d devices: a handover of %d bytes, a transaction of %d", m.Devices, m.Handover, size)
	}
}

// TestHandoverEvidence: two organisations endorse a handover and what comes after
// it; with -update that becomes the samples of packages evidence and proof.
func TestHandoverEvidence(t *testing.T) {
	t.Parallel()
	n, dir := up(t, network.Options{Orgs: 2}), t.TempDir()
	o := Options{Connection: connection(n, 0), Patience: calmPatience}
	txs := history(t, 4)
	embeddedWith(t, dir, txs[:3]...)
	migrated(t, dir, o.Connection, false)
	l := opened(t, dir, ledgertest.Master(), o)
	submit(t, l, txs[3])
	commit(t, l)
	all, carried, err := Evidence(t.Context(), dir, o, []uint64{0, 1, 3})
	if err != nil || len(all) != 2 || carried != 3 {
		t.Fatalf("%d pieces of evidence, %d blocks carried over: %v", len(all), carried, err)
	}
	c := channelOf(t, n)
	for i, name := range []string{"handover", "behind"} {
		s, err := all[i].Verify(c)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(s.Endorsers, []string{"org1MSP", "org2MSP"}) || (s.Handover == nil) != (i > 0) {
			t.Errorf("%s: %+v", name, s)
		}
		if *update {
			write(t, name+".evidence", all[i].Bytes())
		}
	}
	if *update {
		write(t, "handover.channel", firstBlockOf(t, n))
	}
}

// write keeps a sample.
func write(t *testing.T, name string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join("evidence", "testdata", name), raw, 0o644); err != nil {
		t.Fatal(err)
	}
}
