package embedded

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"bellwether/internal/contract"
	"bellwether/internal/journal"
	"bellwether/internal/ledger"
	"bellwether/internal/zone"
)

// Finding is one thing that is not as it should be.
type Finding struct {
	Block  int   // -1: the file itself
	Tx     int   // within the block; -1: the block as a whole
	Offset int64 // of the block's record in the file, in bytes
	Reason string
}

// String says where, and what.
func (f Finding) String() string {
	switch {
	case f.Block < 0:
		return fmt.Sprintf("byte %d: %s", f.Offset, f.Reason)
	case f.Tx < 0:
		return fmt.Sprintf("block %d, at byte %d: %s", f.Block, f.Offset, f.Reason)
	}
	return fmt.Sprintf("block %d, at byte %d, transaction %d: %s", f.Block, f.Offset, f.Tx, f.Reason)
}

// Report is what Verify saw. The ledger is sound if there are no findings.
type Report struct {
	Zone     zone.Hash         // the group ID
	Master   ed25519.PublicKey // the key that the signatures were checked with
	Blocks   uint64            // read and checked
	Txs      uint64            // in them
	Replayed uint64            // blocks whose transactions were applied to the state, from block 0 on
	State    zone.Hash         // digest of the state after those
	Root     zone.Hash         // of the tree of headers, as far as it could be followed
	Findings []Finding
}

// Verify checks the ledger in dir from block 0: every checksum, hash, link,
// Merkle root, signature and checkpoint, and the state by applying the contract
// anew. It changes nothing and needs no secret.
//
// The master's key is pub, or, when that is nil, the one that the ledger itself
// names: then a ledger that was made up as a whole verifies too. Behind damage
// it goes on with all that does not rest on what was lost: the state is not
// followed further, and the headers only over single missing blocks.
//
// Progress, if not nil, is called with the bytes done and in all. The error is
// for what kept Verify from looking; what it saw is in the report.
func Verify(ctx context.Context, dir string, pub ed25519.PublicKey, progress func(done, total int64)) (*Report, error) {
	path := filepath.Join(dir, fileName)
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("verify ledger: %w", err)
	}
	c := &checker{given: pub, whole: true, linked: true}
	c.report.Master = pub
	for rec, err := range journal.Scan(path, kind) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err := c.record(rec, err); err != nil {
			return nil, fmt.Errorf("verify ledger: %w", err)
		}
		if progress != nil {
			progress(min(rec.Offset+int64(len(rec.Payload)), info.Size()), info.Size())
		}
	}
	if progress != nil {
		progress(info.Size(), info.Size())
	}
	return c.finish()
}

// checker goes through the blocks in order.
type checker struct {
	given     ed25519.PublicKey
	state     contract.World
	validator contract.Validator
	whole     bool // the state is that after the block before
	tree      ledger.Tree
	linked    bool           // the tree holds every header before
	previous  *ledger.Header // nil: unknown, or there is none
	at        Finding        // where the checker is
	report    Report
}

// record takes what a scan yields.
func (c *checker) record(rec journal.Record, err error) error {
	var damage *journal.DamageError
	var torn *journal.TornError
	switch {
	case err == nil:
		c.at = Finding{Block: rec.Number, Tx: -1, Offset: rec.Offset}
		c.block(rec.Payload)
	case errors.As(err, &damage):
		c.at = Finding{Block: damage.Record, Tx: -1, Offset: damage.Offset}
		c.damaged(damage.Reason, rec.Payload)
	case errors.As(err, &torn):
		c.at = Finding{Block: torn.Record, Tx: -1, Offset: torn.Offset}
		c.found("the file ends within it; opening the ledger cuts off its %d bytes", torn.Bytes)
	default:
		return err
	}
	return nil
}

func (c *checker) found(format string, args ...any) {
	f := c.at
	f.Reason = fmt.Sprintf(format, args...)
	c.report.Findings = append(c.report.Findings, f)
}

// damaged notes a record that is not as it was written, and in which
// transaction that is, if the rest of it can be read.
func (c *checker) damaged(reason string, payload []byte) {
	if b, err := ledger.ParseBlock(payload); err == nil {
		for i, raw := range b.Txs {
			if c.genuine(raw) != nil {
				c.at.Tx = i
				break
			}
		}
	}
	c.found("%s", reason)
	c.lose()
}

// lose gives up what rests on the block at hand.
func (c *checker) lose() { c.whole, c.previous = false, nil }

// genuine checks a transaction by itself.
func (c *checker) genuine(raw []byte) error {
	tx, err := contract.Parse(raw)
	if err != nil {
		return err
	}
	return tx.Verify()
}

func (c *checker) block(payload []byte) {
	b, err := ledger.ParseBlock(payload)
	if err != nil {
		c.damaged(err.Error(), nil)
		return
	}
	c.report.Blocks++
	c.report.Txs += uint64(len(b.Txs))
	c.place(b)
	if err := b.Check(); err != nil {
		c.found("%v", err)
	}
	c.transactions(b)
	c.signatures(b)
	c.previous = &b.Header
}

// place holds the block's header against those before it.
func (c *checker) place(b *ledger.Block) {
	h := &b.Header
	if c.previous != nil || c.at.Block == 0 {
		if err := b.Follows(c.previous); err != nil {
			c.found("%v", err)
		}
	} else if h.Number != uint64(c.at.Block) {
		c.found("it says it is block %d", h.Number)
	}
	if c.tree.Size()+1 == uint64(c.at.Block) {
		c.tree.Append(h.Previous) // one header is lost, and this is its hash
	}
	c.linked = c.linked && c.tree.Size() == uint64(c.at.Block)
	if c.linked {
		c.tree.Append(h.Hash())
	}
}

// transactions applies the block's transactions, or at least checks each.
func (c *checker) transactions(b *ledger.Block) {
	newest := zone.Time(0)
	for i, raw := range b.Txs {
		c.at.Tx = i
		tx, err := contract.Parse(raw)
		if err != nil {
			c.found("%v", err)
			c.whole = false
			continue
		}
		newest = max(newest, tx.Time)
		c.transaction(tx, raw)
	}
	c.at.Tx = -1
	if newest != b.Header.Time {
		c.found("its time is %s, its newest transaction's %s", b.Header.Time, newest)
	}
	if !c.whole {
		return
	}
	c.digest(b)
}

func (c *checker) transaction(tx *contract.Signed, raw []byte) {
	if c.whole {
		if _, err := c.validator.Apply(&c.state, uint64(c.at.Block), raw); err != nil {
			c.found("%v", err)
			c.whole = false
		}
		return
	}
	if err := tx.Verify(); err != nil {
		c.found("%v", err)
	} else if c.report.Master != nil && tx.Member == "" && !tx.Key.Equal(c.report.Master) {
		c.found("it is signed by key %x, not by the zone's master", []byte(tx.Key[:4]))
	}
}

// digest holds the state after the block against its header, and learns from
// the first block whose ledger this is.
func (c *checker) digest(b *ledger.Block) {
	digest, err := contract.Digest(&c.state)
	if err != nil || digest != b.Header.State {
		c.found("its state is %s, applying the transactions gives %s", b.Header.State.Short(), digest.Short())
		c.whole = false
		return
	}
	c.report.Replayed++
	c.report.State = digest
	if c.at.Block > 0 {
		return
	}
	z, _, err := contract.ReadZone(&c.state)
	if err != nil || z.ID != b.Header.Zone {
		c.found("its header is of zone %s, the zone created in it is %s", b.Header.Zone.Short(), z.ID.Short())
	}
	c.report.Zone = z.ID
	if c.given == nil {
		c.report.Master = z.Master[:]
	} else if !c.given.Equal(ed25519.PublicKey(z.Master[:])) {
		c.found("the zone's master is key %x, not the given %x", z.Master[:4], []byte(c.given[:min(4, len(c.given))]))
	}
}

// signatures checks what the master signed about the block.
func (c *checker) signatures(b *ledger.Block) {
	if c.report.Master == nil {
		return
	}
	if err := b.Header.Verify(c.report.Master, b.Signature); err != nil {
		c.found("%v", err)
	}
	head, err := ledger.ParseCheckpoint(b.Checkpoint, b.Header.Zone, c.report.Master)
	if err != nil {
		c.found("%v", err)
		return
	}
	if head.Size != b.Header.Number+1 {
		c.found("its checkpoint is of %d headers", head.Size)
	}
	if c.linked && head.Root != c.tree.Root() {
		c.found("its checkpoint's root is %s, the headers have %s", head.Root.Short(), c.tree.Root().Short())
	}
}

func (c *checker) finish() (*Report, error) {
	if c.report.Master == nil && c.report.Blocks > 0 {
		c.at = Finding{Block: 0, Tx: -1}
		c.found("the zone's key is not to be had from it, so no block's signature was checked; give the key")
	}
	c.report.Root = c.tree.Root()
	return &c.report, nil
}
