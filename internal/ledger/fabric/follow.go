package fabric

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"

	"bellwether/internal/canonical"
	"bellwether/internal/ledger"
	"bellwether/internal/ledger/fabric/chaincode"
)

// sameChannel notes which channel the directory belongs to, and holds it against
// that ever after.
func (l *Ledger) sameChannel(ctx context.Context) error {
	now, err := l.client.origin(ctx)
	if err != nil {
		return err
	}
	if l.places.Len() == 0 {
		return l.places.Append(canonical.MustMarshal(now))
	}
	raw, err := l.places.Read(0)
	if err != nil {
		return err
	}
	var then origin
	if err := canonical.Unmarshal(raw, &then); err != nil {
		return fmt.Errorf("%s: %w", placesFile, err)
	}
	if then != now {
		return fmt.Errorf("%s belongs to channel %q, chaincode %q, whose first block is %s; the connection leads to channel %q, chaincode %q, first block %s: connect to the right network, or give another state directory",
			l.dir, then.Channel, then.Chaincode, then.First.Short(), now.Channel, now.Chaincode, now.First.Short())
	}
	return nil
}

// catchUp reads the channel, of that height, on from the last place noted.
func (l *Ledger) catchUp(ctx context.Context, height uint64) error {
	from := uint64(0)
	if n := min(l.placed(), l.stored()); n > l.first {
		newest, _, err := l.placeOf(n - 1)
		if err != nil {
			return err
		}
		if newest.At >= height {
			return fmt.Errorf("the channel ends before block %d of Fabric, where block %d of the zone was seen: the peer lost blocks, or is behind; wait for it, or connect to another", newest.At, n-1)
		}
		from = newest.At
	}
	before := l.stored()
	for f, err := range l.client.read(ctx, from, height, l.o.Patience) {
		if err != nil {
			return err
		}
		if err := l.arrived(f); err != nil {
			return fmt.Errorf("block %d of Fabric: %w", f.at.At, err)
		}
	}
	if got := l.stored() - before; got > 0 {
		l.o.Log.Info("blocks of the zone taken over from the channel", "blocks", got, "height", l.stored())
	}
	return nil
}

// arrived takes a valid block of the zone from the channel, or holds it against
// the one that is there.
func (l *Ledger) arrived(f found) error {
	if f.function == chaincode.FunctionAdopt {
		return l.handedOver(f)
	}
	b, err := ledger.ParseBlock(f.arg)
	if err != nil {
		return err
	}
	n := b.Header.Number
	if n < l.stored() {
		return l.known(n, f)
	}
	l.mu.Lock()
	err = l.producer.Join(b, l.pub())
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return l.confirm(b, f.at)
}

// known holds what the channel says of block n against the local copy, and notes
// its place if a crash kept that from being done.
func (l *Ledger) known(n uint64, f found) error {
	have, err := l.blocks.Read(int(n))
	if err != nil {
		return err
	}
	if !bytes.Equal(have, f.arg) {
		return fmt.Errorf("block %d of the zone is another one in %s: one of the two was made up or is of another network", n, l.dir)
	}
	return l.note(n, f.at)
}

// handedOver holds the handover that the zone begins with on the channel against
// the block that it stands for.
func (l *Ledger) handedOver(f found) error {
	h, err := ledger.ParseHandover(f.arg)
	if err != nil {
		return err
	}
	n := h.Header.Number
	if n >= l.stored() {
		return &MissingError{Have: l.stored(), Newest: h.Header, File: filepath.Join(l.dir, blocksFile)}
	}
	b, err := l.block(n)
	if err != nil {
		return err
	}
	if err := same(&b.Header, &h.Header); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(l.dir, blocksFile), err)
	}
	return l.note(n, f.at)
}

// sameZone holds what the channel has against the zone of the directory.
func sameZone(have, channel *ledger.Header) error {
	if have.Zone != channel.Zone {
		return fmt.Errorf("it has another zone, %s: this one is %s; each takes a chaincode definition of its own (fabric.chaincode)", channel.Zone.Short(), have.Zone.Short())
	}
	return nil
}

// same holds a block on the channel against the directory's with that number.
func same(have, channel *ledger.Header) error {
	if a, b := have.Hash(), channel.Hash(); a != b {
		return fmt.Errorf("block %d here is %s, on the channel %s: here is another history of this zone", have.Number, a.Short(), b.Short())
	}
	return sameZone(have, channel)
}

// MissingError says that a zone was carried over to the channel and its blocks
// from before are not in the local copy. The channel has none of them.
type MissingError struct {
	Have   uint64        // blocks that are there
	Newest ledger.Header // of the missing ones
	File   string        // where they belong
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("the zone came to this channel with its block %d (%s); blocks %d to %d are on no channel and not in %s: put a copy of that file from before back there, and run `bellwether ledger migrate`",
		e.Newest.Number, e.Newest.Hash(), e.Have, e.Newest.Number, e.File)
}

// note writes down where a block stands, unless that is done.
func (l *Ledger) note(n uint64, at place) error {
	at.Block = n
	have, noted, err := l.placeOf(n)
	if err != nil {
		return err
	}
	if noted && have != at {
		return fmt.Errorf("block %d of the zone was seen in block %d of Fabric before", n, have.At)
	}
	if noted {
		return nil
	}
	if l.places.Len() == 1 {
		l.first = n
	}
	return l.places.Append(at.bytes())
}
