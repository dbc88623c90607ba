package fabric

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"bellwether/internal/canonical"
	"bellwether/internal/durable"
	"bellwether/internal/journal"
	"bellwether/internal/ledger"
	"bellwether/internal/ledger/fabric/chaincode"
	"bellwether/internal/zone"
)

// Migration is what Migrate did, or would do.
type Migration struct {
	Zone     zone.Hash `json:"zone"`
	Blocks   uint64    `json:"blocks"`         // of the zone, in the directory
	Head     zone.Hash `json:"head"`           // hash of the newest one's header
	Found    uint64    `json:"on_channel"`     // of them on the channel before, each or by a handover
	Handover int       `json:"handover_bytes"` // of the handover that has to be made; 0: none
	Devices  int       `json:"devices"`        // in it
	Append   uint64    `json:"append"`         // blocks that have to be appended one by one
	More     uint64    `json:"take_over"`      // blocks that the channel has and the directory lacks
	Done     bool      `json:"done"`
}

// Migrating says how Migrate works.
type Migrating struct {
	Options
	Dry      bool                    // only look
	Progress func(done, total int64) // blocks appended one by one
	// Ready is called when the channel has everything, before the directory changes.
	Ready func() error
}

// Migrate carries the embedded ledger in dir over to a channel: the newest block
// is handed over, and those before stay in dir alone. It may be stopped at any
// moment, and then be repeated: until the channel has all of it, dir holds an
// embedded ledger that can be used as such, and blocks that it got meanwhile are
// appended behind the handover. One file, durable, then makes it a ledger of this
// driver. A local copy that was lost and is back from a copy of blocks.log becomes
// one again in the same way. A directory that is on that channel already stays as
// it is. Nobody else may use dir meanwhile.
func Migrate(ctx context.Context, dir string, signer crypto.Signer, o Migrating) (*Migration, error) {
	o.fill()
	l := &Ledger{signer: signer, o: o.Options, dir: dir, confirmed: &ledger.Chain{}}
	work := l.migrate
	if Here(dir) {
		work = l.already
	}
	m, now, err := work(ctx, o)
	if err = errors.Join(err, l.release()); err != nil || o.Dry {
		return m, err
	}
	if err := o.Ready(); err != nil {
		return m, err
	}
	if !Here(dir) {
		if err := durable.WriteFile(filepath.Join(dir, placesFile), journal.Bytes(placesKind, canonical.MustMarshal(now)), 0o600); err != nil {
			return m, err
		}
	}
	// The places of the blocks are noted by whoever opens it first.
	after, err := Open(ctx, dir, signer, o.Options)
	if err != nil {
		return m, err
	}
	m.Done = true
	return m, after.Close()
}

// already looks whether a directory of this driver is on this channel.
func (l *Ledger) already(ctx context.Context, _ Migrating) (m *Migration, now origin, err error) {
	if l.places, err = journal.View(filepath.Join(l.dir, placesFile), placesKind, nil); err != nil {
		return nil, now, err
	}
	if err := l.view(journal.View); err != nil {
		return nil, now, err
	}
	found := uint64(0)
	if _, err = l.reach(ctx); err == nil {
		m, found, now, err = l.plan(ctx)
	}
	if err == nil && found < l.stored() {
		err = fmt.Errorf("the channel does not have blocks %d to %d", found, l.stored()-1)
	}
	if err != nil {
		return m, now, fmt.Errorf("the ledger is on Fabric already: %w", err)
	}
	return m, now, nil
}

// view reads the directory's blocks and makes the connection.
func (l *Ledger) view(open func(path, kind string, read func(int, []byte) error) (*journal.Journal, error)) (err error) {
	path := filepath.Join(l.dir, blocksFile)
	if _, err := os.Stat(path); err != nil { // it is not made here
		return fmt.Errorf("there is no ledger to carry over: %w", err)
	}
	if l.blocks, err = open(path, blocksKind, nil); err != nil {
		return err
	}
	if l.stored() == 0 {
		return fmt.Errorf("%s holds no block: there is nothing to carry over", path)
	}
	if err := l.fresh(); err != nil {
		return err
	}
	l.client, err = connect(l.o)
	return err
}

// migrate brings everything to the channel. It gives what there was to do, and
// which channel it is.
func (l *Ledger) migrate(ctx context.Context, o Migrating) (m *Migration, now origin, err error) {
	open := journal.Open
	if o.Dry {
		open = journal.View
	}
	if err := l.view(open); err != nil {
		return nil, now, err
	}
	m, found, now, err := l.plan(ctx)
	for err == nil && !o.Dry && found < l.stored() {
		before, failed := found, l.carry(ctx, found, o.Progress)
		// What an earlier attempt had under way may have come first.
		if _, found, _, err = l.plan(ctx); found <= before {
			return m, now, errors.Join(failed, err, fmt.Errorf("the channel has %d of %d blocks; the same command goes on", found, l.stored()))
		}
	}
	return m, now, err
}

// plan says what is to be done, how many blocks the channel has, and which
// channel it is.
func (l *Ledger) plan(ctx context.Context) (m *Migration, found uint64, now origin, err error) {
	now, height, err := l.look(ctx)
	if err != nil {
		return nil, 0, now, err
	}
	if found, err = l.survey(ctx, height); err != nil {
		return nil, 0, now, fmt.Errorf("channel %q, chaincode %q: %w", now.Channel, now.Chaincode, err)
	}
	newest := l.confirmed.Newest()
	m = &Migration{Zone: newest.Zone, Blocks: l.stored(), Head: newest.Hash(), Found: min(found, l.stored()), More: max(found, l.stored()) - l.stored()}
	m.Append = m.Blocks - m.Found
	if found == 0 && m.Blocks > 1 {
		h, err := l.handOver()
		if err != nil {
			return nil, 0, now, err
		}
		m.Handover, m.Devices, m.Append = len(h.Bytes()), len(h.State)-1, 0
	}
	return m, found, now, nil
}

// look says which channel it is, and how many blocks of Fabric that has.
func (l *Ledger) look(ctx context.Context) (now origin, height uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.o.Patience)
	defer cancel()
	if err := l.client.check(ctx, l.o); err != nil {
		return now, 0, err
	}
	if now, err = l.client.origin(ctx); err != nil {
		return now, 0, err
	}
	height, err = l.client.height(ctx)
	return now, height, err
}

// survey gives the number behind the newest block that the channel, of that height,
// has of the zone, 0 without any, after holding each against the directory's.
func (l *Ledger) survey(ctx context.Context, height uint64) (found uint64, err error) {
	for f, err := range l.client.read(ctx, 0, height, l.o.Patience) {
		if err != nil {
			return 0, err
		}
		n, err := l.compare(f)
		if err != nil {
			return 0, fmt.Errorf("block %d of Fabric: %w", f.at.At, err)
		}
		found = n + 1
	}
	return found, nil
}

// compare holds a call on the channel against the directory's block. It gives its
// number.
func (l *Ledger) compare(f found) (uint64, error) {
	h, err := f.header()
	if err != nil {
		return 0, err
	}
	if err := sameZone(l.confirmed.Newest(), h); err != nil {
		return 0, err
	}
	n := h.Number
	if n >= l.stored() {
		if f.function == chaincode.FunctionAdopt {
			return 0, &MissingError{Have: l.stored(), Newest: *h, File: filepath.Join(l.dir, blocksFile)}
		}
		return n, nil // the next Open takes it over, with every check
	}
	have, err := l.block(n)
	if err != nil {
		return 0, err
	}
	return n, same(&have.Header, h)
}

// handOver makes the handover of the directory's newest block.
func (l *Ledger) handOver() (*ledger.Handover, error) {
	return l.confirmed.HandOver(l.producer.State(), l.block)
}

// carry brings to the channel what it lacks.
func (l *Ledger) carry(ctx context.Context, found uint64, progress func(done, total int64)) error {
	if n := l.stored(); found == 0 && n > 1 {
		h, err := l.handOver()
		if err != nil {
			return err
		}
		return l.call(ctx, chaincode.FunctionAdopt, n-1, h.Bytes())
	}
	for n := found; n < l.stored(); n++ {
		raw, err := l.blocks.Read(int(n))
		if err != nil {
			return err
		}
		if err := l.call(ctx, chaincode.FunctionAppend, n, raw); err != nil {
			return err
		}
		progress(int64(n+1-found), int64(l.stored()-found))
	}
	return nil
}

// call has the chaincode take something, and returns when it counts. It needs no
// outbox: what is handed in again after a crash is the same, and the channel
// takes one of both.
func (l *Ledger) call(ctx context.Context, function string, n uint64, arg []byte) error {
	if err := l.client.valid(l.o, time.Now()); err != nil {
		return err
	}
	out, err := l.endorse(ctx, function, n, arg)
	if err != nil {
		return fmt.Errorf("block %d was not endorsed: %w", n, err)
	}
	if _, err := l.settle(ctx, out); err != nil {
		return fmt.Errorf("block %d: %w; the same command goes on", n, err)
	}
	return nil
}
