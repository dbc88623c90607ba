package ledgertest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"testing"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/zone"
)

func testEmpty(t *testing.T, b *bench) {
	b.commit(t)
	if h := b.l.Height(); h != 0 {
		t.Errorf("a commit of nothing made %d blocks", h)
	}
	if _, err := b.l.Block(t.Context(), 0); err == nil {
		t.Error("there is a block 0")
	}
	if _, err := b.l.Prove(t.Context(), 0, 0); err == nil {
		t.Error("there is a proof")
	}
	b.refused(t, Tx(t, 1, 1, "early"), contract.CodeZone)
	b.submit(t, Genesis(t))
	b.commit(t)
	b.commit(t)
	if h := b.l.Height(); h != 1 {
		t.Errorf("height %d after one transaction and three commits, want 1", h)
	}
}

func testOrder(t *testing.T, b *bench) {
	txs := some(t)
	b.submit(t, txs[:5]...)
	b.commit(t)
	b.submit(t, txs[5:]...)
	b.commit(t)
	b.want(t, txs...)
}

func testReopen(t *testing.T, b *bench) {
	txs := some(t)
	for i, tx := range txs {
		b.submit(t, tx)
		if i%4 == 0 {
			b.commit(t)
			before := b.blocks(t)
			b.reopen(t)
			after := b.blocks(t)
			if len(before) != len(after) {
				t.Fatalf("%d blocks, %d after reopening", len(before), len(after))
			}
			for n := range before {
				if !bytes.Equal(before[n].Bytes(), after[n].Bytes()) {
					t.Fatalf("block %d changed by reopening", n)
				}
			}
		}
	}
	b.commit(t)
	b.want(t, txs...)
}

// testUncommitted: without a commit a transaction may be lost, but then wholly,
// and its number is free.
func testUncommitted(t *testing.T, b *bench) {
	txs := some(t)
	b.submit(t, txs[:4]...)
	b.commit(t)
	b.submit(t, txs[4:]...)
	b.reopen(t)
	kept := b.committed(t)
	if len(kept) < 4 || len(kept) > len(txs) {
		t.Fatalf("%d transactions after reopening", len(kept))
	}
	b.want(t, txs[:len(kept)]...)
	b.submit(t, txs...)
	b.commit(t)
	b.want(t, txs...)
}

// testResubmit: the same bytes again are acknowledged, and stand there once.
func testResubmit(t *testing.T, b *bench) {
	txs := some(t)
	for _, tx := range txs {
		b.submit(t, tx, tx)
	}
	b.submit(t, txs...)
	b.commit(t)
	b.want(t, txs...)
	b.submit(t, txs...)
	b.commit(t)
	b.reopen(t)
	b.submit(t, txs...)
	b.commit(t)
	b.want(t, txs...)
	b.refused(t, Tx(t, 0, 4, "not the one"), contract.CodeOrder)
	b.refused(t, Tx(t, 0, 2, "not the one either"), contract.CodeOrder)
	b.refused(t, Tx(t, 0, 6, "too early"), contract.CodeOrder)
}

func testRejects(t *testing.T, b *bench) {
	txs := some(t)
	b.submit(t, txs[:4]...)
	forged := Tx(t, 1, 2, "forged")
	forged[len(forged)-1] ^= 1
	refuse := func() {
		b.refused(t, []byte("no transaction"), contract.CodeMalformed)
		b.refused(t, forged, contract.CodeSignature)
		b.refused(t, Tx(t, 9, 2, "never seen"), contract.CodeOrder)
	}
	refuse()
	b.commit(t)
	height, digest := b.l.Height(), b.digest(t)
	refuse()
	b.commit(t)
	if b.l.Height() != height || b.digest(t) != digest {
		t.Error("refused transactions left a trace")
	}
	b.reopen(t)
	if b.l.Height() != height || b.digest(t) != digest {
		t.Error("refused transactions left a trace that shows after reopening")
	}
	b.want(t, txs[:4]...)
	b.submit(t, txs[4:]...)
	b.commit(t)
	b.want(t, txs...)
}

func (b *bench) digest(tb testing.TB) zone.Hash {
	tb.Helper()
	d, err := contract.Digest(b.l.State())
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func testChain(t *testing.T, b *bench) {
	state := contract.Memory{}
	pub := Master().Public().(ed25519.PublicKey)
	for i, tx := range some(t) {
		b.submit(t, tx)
		if i%3 == 0 {
			b.commit(t)
		}
	}
	b.commit(t)
	var chain ledger.Chain
	for n, block := range b.blocks(t) {
		if err := chain.Follow(block); err != nil {
			t.Fatalf("block %d: %v", n, err)
		}
		if err := block.Header.Verify(pub, block.Signature); err != nil {
			t.Errorf("block %d: %v", n, err)
		}
		head, err := ledger.ParseCheckpoint(block.Checkpoint, group(), pub)
		if err != nil || head.Size != uint64(n)+1 || head.Root != chain.Root() {
			t.Errorf("block %d: checkpoint %+v, %v", n, head, err)
		}
		checkContent(t, state, block)
	}
	if digest, err := contract.Digest(state); err != nil || digest != b.digest(t) {
		t.Errorf("the state is not what the blocks lead to (%v)", err)
	}
}

// checkContent applies the block and holds its header against what comes of it.
func checkContent(t *testing.T, state contract.Memory, block *ledger.Block) {
	t.Helper()
	newest := zone.Time(0)
	var v contract.Validator
	for _, raw := range block.Txs {
		tx, err := v.Apply(state, block.Header.Number, raw)
		if err != nil {
			t.Fatalf("block %d: %v", block.Header.Number, err)
		}
		newest = max(newest, tx.Time)
	}
	digest, err := contract.Digest(state)
	if err != nil || digest != block.Header.State || newest != block.Header.Time || block.Header.Zone != group() {
		t.Errorf("block %d: header %+v; state %s, time %s", block.Header.Number, block.Header, digest, newest)
	}
}

func testProve(t *testing.T, b *bench) {
	pub := Master().Public().(ed25519.PublicKey)
	for _, tx := range some(t) {
		b.submit(t, tx)
		b.commit(t)
		for n, block := range b.blocks(t) {
			for i, tx := range block.Txs {
				in, err := b.l.Prove(t.Context(), uint64(n), uint32(i))
				if err != nil {
					t.Fatalf("Prove(%d, %d): %v", n, i, err)
				}
				if err := in.Verify(tx, pub); err != nil {
					t.Fatalf("the proof of %d, %d: %v", n, i, err)
				}
			}
			if _, err := b.l.Prove(t.Context(), uint64(n), uint32(len(block.Txs))); err == nil {
				t.Fatalf("block %d proves a transaction that it does not have", n)
			}
		}
	}
}

// testState: the state has what was submitted, before it is committed.
func testState(t *testing.T, b *bench) {
	b.submit(t, Genesis(t), Tx(t, 1, 1, "lamp"))
	for _, step := range []string{"submitted", "committed", "reopened"} {
		switch step {
		case "committed":
			b.commit(t)
		case "reopened":
			b.reopen(t)
		}
		d, ok, err := contract.ReadDevice(b.l.State(), Device(1))
		if err != nil || !ok || d.Name != "lamp" || d.N != 1 {
			t.Errorf("%s: %+v, %v, %v", step, d, ok, err)
		}
		if _, ok, err := contract.ReadDevice(b.l.State(), Device(2)); ok || err != nil {
			t.Errorf("%s: a device that was never seen: %v, %v", step, ok, err)
		}
		if devices, err := contract.Devices(b.l.State()); err != nil || len(devices) != 1 {
			t.Errorf("%s: %d devices, %v", step, len(devices), err)
		}
	}
}

// testRetention: the ledger keeps none of the caller's bytes, and gives none of
// its own.
func testRetention(t *testing.T, b *bench) {
	txs := some(t)
	for _, tx := range txs {
		mine := bytes.Clone(tx)
		b.submit(t, mine)
		clear(mine)
	}
	b.commit(t)
	for _, tx := range b.committed(t) {
		clear(tx)
	}
	b.want(t, txs...)
}

func testCancelled(t *testing.T, b *bench) {
	b.submit(t, Genesis(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.l.Submit(ctx, Tx(t, 1, 1, "x")); !errors.Is(err, context.Canceled) {
		t.Errorf("Submit: %v", err)
	}
	if err := b.l.Commit(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit: %v", err)
	}
	b.submit(t, Genesis(t), Tx(t, 1, 1, "x"))
	b.commit(t)
	b.want(t, Genesis(t), Tx(t, 1, 1, "x"))
}

// testReadWhileWriting reads all it can while four writers write.
func testReadWhileWriting(t *testing.T, b *bench) {
	const writers, each = 4, 20
	b.submit(t, Genesis(t))
	b.commit(t)
	errs := make(chan error, writers)
	for i := range writers {
		txs := make([][]byte, each)
		for n := range txs {
			txs[n] = Tx(t, i, uint64(n)+1, "x")
		}
		go func() { errs <- writeAll(t.Context(), b.l, txs) }()
	}
	for done := 0; done < writers; {
		select {
		case err := <-errs:
			if err != nil {
				t.Error(err)
			}
			done++
		default:
			readAll(t, b)
		}
	}
	if got := len(b.committed(t)); got != 1+writers*each {
		t.Errorf("%d transactions, want %d", got, 1+writers*each)
	}
}

func writeAll(ctx context.Context, l ledger.Ledger, txs [][]byte) error {
	for n, tx := range txs {
		if err := l.Submit(ctx, tx); err != nil {
			return fmt.Errorf("transaction %d: %w", n, err)
		}
		if n%7 == 0 || n == len(txs)-1 {
			if err := l.Commit(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func readAll(t *testing.T, b *bench) {
	t.Helper()
	height := b.l.Height()
	block, err := b.l.Block(t.Context(), height-1)
	if err != nil || block.Header.Number != height-1 {
		t.Errorf("block %d: %v", height-1, err)
		return
	}
	in, err := b.l.Prove(t.Context(), height-1, 0)
	if err != nil {
		t.Errorf("proof in block %d: %v", height-1, err)
	} else if err := in.Verify(block.Txs[0], Master().Public().(ed25519.PublicKey)); err != nil {
		t.Error(err)
	}
	if _, err := contract.Devices(b.l.State()); err != nil {
		t.Error(err)
	}
}

// testFault: whatever a failed commit did, the same bytes again lead to each
// transaction being there once, here and on a ledger opened anew.
func testFault(t *testing.T, b *bench, f Fault) {
	if b.place.Fail == nil {
		t.Skip("this place cannot be made to fail")
	}
	txs := some(t)
	b.submit(t, txs[:4]...)
	b.commit(t)
	for i, doubt := range [][][]byte{txs[4:8], txs[8:]} {
		b.submit(t, doubt...)
		b.place.Fail(f)
		if err := b.l.Commit(t.Context()); err == nil {
			t.Fatal("the commit did not fail")
		}
		kept := f == FailKept
		if i == 0 {
			b.reopen(t)
		}
		if got := len(b.committed(t)); i == 0 && (got == 8) != kept {
			t.Fatalf("%d transactions after the failed commit", got)
		}
		b.submit(t, doubt...)
		b.commit(t)
	}
	b.want(t, txs...)
}
