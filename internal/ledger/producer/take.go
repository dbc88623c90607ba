package producer

import (
	"crypto"
	"errors"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
	"bellwether/internal/zone"
)

// Valid is a transaction that the contract allows next. It is valid until
// another one is taken.
type Valid struct {
	raw    []byte
	time   zone.Time
	writes []write
}

// staged is the state with one transaction that may yet come to nothing.
type staged struct {
	contract.Reader
	writes []write
}

// write is a key with its value, nil to take it away.
type write struct {
	key   string
	value []byte
}

// Put keeps what a transaction writes.
func (s *staged) Put(key string, value []byte) error {
	s.writes = append(s.writes, write{key, value})
	return nil
}

// Validate holds a transaction against the state and leaves that as it is. A
// transaction that the chain or the open block has already gives nil and no
// error; to find it, block gives the chain's blocks. The refusals are
// [*contract.RejectError]; a zone that another key than master's creates is
// refused, since its blocks could not be signed.
func (p *Producer) Validate(c *contract.Checked, master crypto.PublicKey, block func(n uint64) (*ledger.Block, error)) (*Valid, error) {
	next, tx, raw := staged{Reader: &p.state}, c.Tx(), c.Raw()
	height := p.chain.Height()
	if p.closesFor(tx.Time, len(raw)) {
		height++
	}
	if err := p.validator.ApplyChecked(&next, height, c); err != nil {
		return nil, p.known(tx, err, block)
	}
	if tx.Kind == contract.KindZoneCreated && !tx.Key.Equal(master) {
		return nil, &contract.RejectError{Code: contract.CodeAuthority, Reason: "the zone's master is not the key of this ledger"}
	}
	return &Valid{raw: raw, time: tx.Time, writes: next.writes}, nil
}

// known turns the refusal of a transaction that is there already into nil.
func (p *Producer) known(tx *contract.Signed, err error, block func(uint64) (*ledger.Block, error)) error {
	r := (*contract.RejectError)(nil)
	if errors.As(err, &r) && r.Code == contract.CodeDuplicate {
		return nil
	}
	if r != nil && r.Code == contract.CodeOrder {
		return p.search(tx, err, block)
	}
	return err
}

// search looks, from the newest transaction back, for the one that has tx's
// subject and number. It gives nil if that is tx itself, and else the refusal.
func (p *Producer) search(tx *contract.Signed, refusal error, block func(uint64) (*ledger.Block, error)) error {
	if found, same := searchIn(p.open.txs, tx); found {
		return orNil(same, refusal)
	}
	for n := p.chain.Height(); n > 0; n-- {
		b, err := block(n - 1)
		if err != nil {
			return err
		}
		if found, same := searchIn(b.Txs, tx); found {
			return orNil(same, refusal)
		}
	}
	return refusal
}

func orNil(same bool, refusal error) error {
	if same {
		return nil
	}
	return refusal
}

// searchIn ends the search as soon as the subject has a number that is not
// above tx's.
func searchIn(txs [][]byte, tx *contract.Signed) (found, same bool) {
	for i := len(txs) - 1; i >= 0; i-- {
		have, err := contract.Parse(txs[i])
		if err == nil && have.Subject() == tx.Subject() && have.N <= tx.N {
			return true, have.ID == tx.ID
		}
	}
	return false, false
}

// ClosesFor reports whether the open block closes before that transaction.
func (p *Producer) ClosesFor(v *Valid) bool { return p.closesFor(v.time, len(v.raw)) }

func (p *Producer) closesFor(at zone.Time, size int) bool {
	return p.Ripe(at) || len(p.open.txs) > 0 && p.open.bytes+size > p.o.Bytes
}

// Ripe reports whether the open block is too old for a transaction at that time.
func (p *Producer) Ripe(at zone.Time) bool {
	return len(p.open.txs) > 0 && p.o.Age > 0 && at.Sub(p.open.first) >= p.o.Age
}

// Full reports whether the open block closes by itself.
func (p *Producer) Full() bool { return len(p.open.txs) >= p.o.Txs }

// Take puts a valid transaction into the open block and the state.
func (p *Producer) Take(v *Valid) error {
	for _, w := range v.writes {
		if err := p.state.Put(w.key, w.value); err != nil {
			return err
		}
	}
	if len(p.open.txs) == 0 {
		p.open.first, p.open.newest = v.time, v.time
	}
	p.open.newest = max(p.open.newest, v.time)
	p.open.txs = append(p.open.txs, v.raw)
	p.open.bytes += len(v.raw)
	return nil
}
