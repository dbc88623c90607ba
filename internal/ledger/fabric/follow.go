package fabric

import (
	"bytes"
	"context"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"bellwether/internal/ledger"
)

// sameChannel notes which channel the directory belongs to, and holds it against
// that ever after.
func (l *Ledger) sameChannel(ctx context.Context) error {
	c := l.o.Connection
	first, err := l.client.firstBlock(ctx)
	if err != nil {
		return err
	}
	now := origin{Channel: c.Channel, Chaincode: c.Chaincode, First: first}
	if l.places.Len() == 0 {
		return l.places.Append(mustEncode(now))
	}
	raw, err := l.places.Read(0)
	if err != nil {
		return err
	}
	var then origin
	if err := cbor.Unmarshal(raw, &then); err != nil {
		return fmt.Errorf("%s: %w", placesFile, err)
	}
	if then != now {
		return fmt.Errorf("%s belongs to channel %q, chaincode %q, whose first block is %s; the connection leads to channel %q, chaincode %q, first block %s: connect to the right network, or give another state directory",
			l.dir, then.Channel, then.Chaincode, then.First.Short(), now.Channel, now.Chaincode, now.First.Short())
	}
	return nil
}

// catchUp reads the channel on from the last place noted.
func (l *Ledger) catchUp(ctx context.Context) error {
	height, err := l.client.height(ctx)
	if err != nil {
		return err
	}
	from := uint64(0)
	if n := min(uint64(l.places.Len())-1, l.Height()); n > 0 {
		newest, _, err := l.placeOf(n - 1)
		if err != nil {
			return err
		}
		if newest.Block >= height {
			return fmt.Errorf("the channel ends before block %d of Fabric, where block %d of the zone was seen: the peer lost blocks, or is behind; wait for it, or connect to another", newest.Block, n-1)
		}
		from = newest.Block
	}
	before := l.stored()
	for f, err := range l.client.read(ctx, from, height) {
		if err != nil {
			return err
		}
		if err := l.arrived(f); err != nil {
			return fmt.Errorf("block %d of Fabric: %w", f.at.Block, err)
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
	b, err := ledger.ParseBlock(f.block)
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
	if !bytes.Equal(have, f.block) {
		return fmt.Errorf("block %d of the zone is another one in %s: one of the two was made up or is of another network", n, l.dir)
	}
	return l.note(n, f.at)
}

// note writes down where a block stands, unless that is done.
func (l *Ledger) note(n uint64, at place) error {
	have, noted, err := l.placeOf(n)
	if err != nil {
		return err
	}
	if noted && have != at {
		return fmt.Errorf("block %d of the zone was seen in block %d of Fabric before", n, have.Block)
	}
	if noted {
		return nil
	}
	return l.places.Append(at.bytes())
}
