package chaincode

import (
	"errors"
	"fmt"

	"bellwether/internal/contract"
	"bellwether/internal/ledger"
)

// adopt takes a zone from another ledger.
func adopt(s store, raw []byte) ([]byte, error) {
	h, err := ledger.ParseHandover(raw)
	if err != nil {
		return nil, err
	}
	w := &world{store: s, written: map[string][]byte{}}
	if _, created, err := contract.ReadZone(w); err != nil || created {
		return nil, errors.Join(errors.New("the channel has a zone already"), err)
	}
	if err := handedOver(h); err != nil {
		return nil, fmt.Errorf("handover of block %d: %w", h.Header.Number, err)
	}
	for _, p := range h.State {
		if err := w.Put(p.Key, p.Value); err != nil {
			return nil, err
		}
	}
	hash := h.Header.Hash()
	if err := w.Put(blockKey(h.Header.Number), hash[:]); err != nil {
		return nil, err
	}
	return hash[:], w.flush()
}

// handedOver checks everything about a handover that it shows by itself.
func handedOver(h *ledger.Handover) error {
	state := contract.Memory{}
	for _, p := range h.State {
		if err := state.Put(p.Key, p.Value); err != nil {
			return err
		}
	}
	z, err := contract.CheckState(state)
	if err != nil {
		return err
	}
	digest, err := contract.Digest(state)
	if err != nil {
		return err
	}
	if digest != h.Header.State {
		return fmt.Errorf("its state is %s, the header says %s", digest.Short(), h.Header.State.Short())
	}
	if h.Header.Zone != z.ID {
		return fmt.Errorf("it is of zone %s, its state of %s", h.Header.Zone.Short(), z.ID.Short())
	}
	_, err = h.Verify(z.Master[:])
	return err
}
