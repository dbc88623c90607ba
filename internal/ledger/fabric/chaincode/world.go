package chaincode

import (
	"errors"
	"maps"
	"slices"

	"bellwether/internal/contract"
)

// world is the channel's state with what one block writes to it: the peer gives
// the state from before the call, whatever was put meanwhile.
type world struct {
	store   store
	written map[string][]byte
}

var _ contract.State = (*world)(nil)

// Get gives what was written last, here or on the channel.
func (w *world) Get(key string) ([]byte, error) {
	if value, ok := w.written[key]; ok {
		return value, nil
	}
	value, err := w.store.GetState(key)
	if err != nil || len(value) == 0 {
		return nil, err // the peer gives no bytes for a key that is not there
	}
	return value, nil
}

// Put keeps value until flush, nil to take the key away.
func (w *world) Put(key string, value []byte) error {
	w.written[key] = slices.Clone(value)
	return nil
}

// Keys is not to be had: a range of keys read by one block would make it wait
// for all devices. The contract's rules ask for none.
func (w *world) Keys(string) ([]string, error) {
	return nil, errors.New("a chaincode lists no keys")
}

// flush writes everything in the order of keys, which every peer must share.
func (w *world) flush() error {
	for _, key := range slices.Sorted(maps.Keys(w.written)) {
		var err error
		if value := w.written[key]; value == nil {
			err = w.store.DelState(key)
		} else {
			err = w.store.PutState(key, value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
