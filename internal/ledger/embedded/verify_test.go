package embedded

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bellwether/internal/journal"
	"bellwether/internal/ledger"
	"bellwether/internal/ledger/ledgertest"
)

func verify(tb testing.TB, dir string, key ed25519.PublicKey) *Report {
	tb.Helper()
	r, err := Verify(tb.Context(), dir, key, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestVerifySound(t *testing.T) {
	dir, file := written(t, 95)
	last := int64(-1)
	for name, key := range map[string]ed25519.PublicKey{"given key": pub(), "its own key": nil} {
		r, err := Verify(t.Context(), dir, key, func(done, total int64) {
			if done < last && done != total && last != total || total != int64(len(file)) {
				t.Errorf("progress %d after %d of %d", done, last, total)
			}
			last = done
		})
		if err != nil || len(r.Findings) != 0 || last != int64(len(file)) {
			t.Fatalf("%s: %v, %v, progress up to %d", name, r, err, last)
		}
		l := open(t, dir, Options{})
		newest, err := l.Block(t.Context(), l.Height()-1)
		if err != nil {
			t.Fatal(err)
		}
		if r.Blocks != 10 || r.Replayed != 10 || r.Txs != 95 || r.State != newest.Header.State || r.Root != l.producer.Chain().Root() ||
			r.Zone != newest.Header.Zone || !r.Master.Equal(pub()) {
			t.Errorf("%s: %+v", name, r)
		}
		l.Close()
	}
}

func TestVerifyAnotherKey(t *testing.T) {
	dir, _ := written(t, 5)
	other := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	for _, key := range []ed25519.PublicKey{other, other[:31]} {
		if r := verify(t, dir, key); len(r.Findings) == 0 {
			t.Errorf("sound with the key %x", []byte(key))
		}
	}
}

func TestVerifyErrors(t *testing.T) {
	if _, err := Verify(t.Context(), t.TempDir(), nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no ledger: %v", err)
	}
	dir, _ := written(t, 5)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Verify(ctx, dir, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// layout says where the records of a sound file are.
func layout(tb testing.TB, dir string) (recs []journal.Record) {
	tb.Helper()
	for rec, err := range journal.Scan(filepath.Join(dir, fileName), kind) {
		if err != nil {
			tb.Fatal(err)
		}
		recs = append(recs, rec)
	}
	return recs
}

// TestEveryFlipIsFound changes 300 random bytes, one at a time: the finding must
// name the block, and the transaction if it is in one.
func TestEveryFlipIsFound(t *testing.T) {
	dir, file := written(t, 90)
	recs := layout(t, dir)
	rng := rand.New(rand.NewPCG(3, 4))
	inTx := 0
	for range 300 {
		at := rng.IntN(len(file))
		block, tx := locate(t, recs, file, at)
		changed := bytes.Clone(file)
		changed[at] ^= byte(1 + rng.IntN(255))
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, fileName), changed, 0o600); err != nil {
			t.Fatal(err)
		}
		r := verify(t, dir, pub())
		found := false
		for _, f := range r.Findings {
			found = found || f.Block == block && (tx < 0 || f.Tx == tx)
		}
		if !found {
			t.Errorf("byte %d, in block %d, transaction %d: found %v", at, block, tx, r.Findings)
		}
		if tx >= 0 {
			inTx++
		}
		if _, err := Open(dir, ledgertest.Master(), Options{}); err == nil {
			t.Errorf("byte %d: opened", at)
		}
	}
	if inTx < 100 {
		t.Errorf("only %d changes were in transactions", inTx)
	}
}

// locate says in which block a byte is, and in which transaction's signature or
// payload; -1 for what is in none.
func locate(t *testing.T, recs []journal.Record, file []byte, at int) (block, tx int) {
	t.Helper()
	block, tx = -1, -1
	for _, rec := range recs {
		if int64(at) >= rec.Offset {
			block = rec.Number
		}
	}
	if block < 0 {
		return block, tx
	}
	b, err := ledger.ParseBlock(recs[block].Payload)
	if err != nil {
		t.Fatal(err)
	}
	for i, raw := range b.Txs {
		start := int(recs[block].Offset) + bytes.Index(file[recs[block].Offset:], raw)
		if at >= start && at < start+len(raw) {
			return block, i
		}
	}
	return block, tx
}

// TestManyFlips changes many bytes at once: every block that was hit is named,
// and no other.
func TestManyFlips(t *testing.T) {
	dir, file := written(t, 600)
	recs := layout(t, dir)
	rng := rand.New(rand.NewPCG(5, 6))
	for round := range 10 {
		changed, hit := bytes.Clone(file), map[int]bool{}
		for range 12 {
			at := int(recs[0].Offset) + rng.IntN(len(file)-int(recs[0].Offset))
			changed[at] ^= 0x55
			if changed[at] == file[at] {
				continue
			}
			block, _ := locate(t, recs, file, at)
			hit[block] = true
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, fileName), changed, 0o600); err != nil {
			t.Fatal(err)
		}
		named := map[int]bool{}
		for _, f := range verify(t, dir, pub()).Findings {
			named[f.Block] = true
		}
		for block := range recs {
			if named[block] != hit[block] {
				t.Errorf("round %d, block %d: changed %v, named %v", round, block, hit[block], named[block])
			}
		}
	}
}

// TestVerifyTruncated cuts the file at many lengths.
func TestVerifyTruncated(t *testing.T) {
	dir, file := written(t, 60)
	recs := layout(t, dir)
	for n := 0; n < len(file); n += 151 {
		path := filepath.Join(t.TempDir(), fileName)
		if err := os.WriteFile(path, file[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		whole := 0
		for whole+1 < len(recs) && recs[whole+1].Offset <= int64(n) {
			whole++
		}
		r := verify(t, filepath.Dir(path), pub())
		edge := int64(n) == recs[whole].Offset
		if (len(r.Findings) == 0) != edge {
			t.Errorf("cut at %d: %v", n, r.Findings)
		}
		l := open(t, filepath.Dir(path), Options{BlockTxs: 10, BlockAge: -1})
		if l.Height() != uint64(whole) {
			t.Errorf("cut at %d: opened with %d blocks, want %d", n, l.Height(), whole)
		}
		submit(t, l, history(t, 60)[whole*10:]...)
		commit(t, l)
		l.Close()
		if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, file) {
			t.Errorf("cut at %d: what was lost could not be written again (%v)", n, err)
		}
	}
}

// rewrite makes a ledger of blocks changed by someone who can compute every
// checksum, and even sign.
func rewrite(tb testing.TB, dir string, change func([]*ledger.Block) []*ledger.Block) string {
	tb.Helper()
	var blocks []*ledger.Block
	for b, err := range Scan(dir) {
		if err != nil {
			tb.Fatal(err)
		}
		blocks = append(blocks, b)
	}
	out := tb.TempDir()
	j, err := journal.Open(filepath.Join(out, fileName), kind, nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer j.Close()
	for _, b := range change(blocks) {
		if err := j.Append(b.Bytes()); err != nil {
			tb.Fatal(err)
		}
	}
	return out
}

// resign signs a changed header as the master.
func resign(tb testing.TB, b *ledger.Block) {
	tb.Helper()
	sig, err := b.Header.Sign(ledgertest.Master())
	if err != nil {
		tb.Fatal(err)
	}
	b.Signature = sig
}

// TestVerifyForged: changes behind which all checksums are right.
func TestVerifyForged(t *testing.T) {
	dir, _ := written(t, 60)
	one := func(change func(*ledger.Block)) func([]*ledger.Block) []*ledger.Block {
		return func(b []*ledger.Block) []*ledger.Block { change(b[2]); return b }
	}
	signed := func(change func(*ledger.Block)) func([]*ledger.Block) []*ledger.Block {
		return one(func(b *ledger.Block) { change(b); resign(t, b) })
	}
	retx := func(b *ledger.Block) { b.Header.TxRoot, b.Header.Txs = ledger.RootOf(b.Txs), uint32(len(b.Txs)) }
	tests := []struct {
		name   string
		change func([]*ledger.Block) []*ledger.Block
		block  int
		tx     int
		reason string
	}{
		{"transaction byte", one(func(b *ledger.Block) { b.Txs[4][len(b.Txs[4])-1] ^= 1 }), 2, 4, "signature"},
		{"transaction left out", one(func(b *ledger.Block) { b.Txs = b.Txs[1:] }), 2, -1, "transactions"},
		{"transactions swapped", signed(func(b *ledger.Block) { b.Txs[0], b.Txs[4] = b.Txs[4], b.Txs[0]; retx(b) }), 2, 0, "order"},
		{"transaction no transaction", signed(func(b *ledger.Block) { b.Txs[3] = []byte("x"); retx(b) }), 2, 3, "malformed"},
		{"root", signed(func(b *ledger.Block) { b.Header.TxRoot[0] ^= 1 }), 2, -1, "root"},
		{"state", signed(func(b *ledger.Block) { b.Header.State[0] ^= 1 }), 2, -1, "state"},
		{"time", signed(func(b *ledger.Block) { b.Header.Time++ }), 2, -1, "time"},
		{"previous", signed(func(b *ledger.Block) { b.Header.Previous[0] ^= 1 }), 2, -1, "follows"},
		{"number", signed(func(b *ledger.Block) { b.Header.Number++ }), 2, -1, "block 3"},
		{"zone", signed(func(b *ledger.Block) { b.Header.Zone[0] ^= 1 }), 2, -1, "zone"},
		{"header signature", one(func(b *ledger.Block) { b.Signature[0] ^= 1 }), 2, -1, "signed"},
		{"header", one(func(b *ledger.Block) { b.Header.Time++ }), 2, -1, "signed"},
		{"checkpoint byte", one(func(b *ledger.Block) { b.Checkpoint[100] ^= 1 }), 2, -1, "checkpoint"},
		{"checkpoint of before", func(b []*ledger.Block) []*ledger.Block { b[2].Checkpoint = b[1].Checkpoint; return b }, 2, -1, "checkpoint"},
		{"block left out", func(b []*ledger.Block) []*ledger.Block { return append(b[:2:2], b[3:]...) }, 2, -1, "block 3"},
		{"block twice", func(b []*ledger.Block) []*ledger.Block { return append(b[:3:3], b[2:]...) }, 3, -1, "block 2"},
		{"first block left out", func(b []*ledger.Block) []*ledger.Block { return b[1:] }, 0, -1, "block 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			forged := rewrite(t, dir, tt.change)
			r := verify(t, forged, pub())
			found := false
			for _, f := range r.Findings {
				found = found || f.Block == tt.block && f.Tx == tt.tx && strings.Contains(f.String(), tt.reason)
			}
			if !found {
				t.Errorf("found %v; want block %d, transaction %d, %q", r.Findings, tt.block, tt.tx, tt.reason)
			}
		})
	}
}

// TestVerifyMadeUp: a ledger made up as a whole, by another key, is sound by
// its own key and not by ours.
func TestVerifyMadeUp(t *testing.T) {
	dir, _ := written(t, 20)
	other := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	var chain ledger.Chain
	forged := rewrite(t, dir, func(blocks []*ledger.Block) []*ledger.Block {
		for i, b := range blocks {
			made, err := chain.Seal(other, ledger.Content{Zone: b.Header.Zone, Txs: b.Txs, State: b.Header.State, Time: b.Header.Time})
			if err != nil {
				t.Fatal(err)
			}
			blocks[i] = made
		}
		return blocks
	})
	if r := verify(t, forged, pub()); len(r.Findings) == 0 {
		t.Error("blocks signed by another key are sound")
	}
	if r := verify(t, forged, nil); len(r.Findings) == 0 {
		t.Error("blocks signed by another key than the zone's master are sound")
	}
}

// TestNoKey: with the first block gone and no key given, Verify says that no
// signature could be checked.
func TestNoKey(t *testing.T) {
	dir, file := written(t, 30)
	file[layout(t, dir)[0].Offset+40] ^= 1
	if err := os.WriteFile(filepath.Join(dir, fileName), file, 0o600); err != nil {
		t.Fatal(err)
	}
	r := verify(t, dir, nil)
	if len(r.Findings) != 2 || r.Findings[0].Block != 0 || !strings.Contains(r.Findings[1].Reason, "give the key") || r.Blocks != 2 || r.Replayed != 0 {
		t.Errorf("got %+v", r)
	}
}
