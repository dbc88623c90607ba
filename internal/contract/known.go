package contract

import "bytes"

// known is a state with what was decoded from it before: the zone, the roll, and each
// member, for which most transactions ask again. A value counts for exactly the bytes
// that it was decoded from, so it changes no answer.
type known struct {
	State
	values map[string]value
}

type value struct {
	raw     []byte
	decoded any // a ZoneState, RollState or MemberState, which share nothing when they are copied
}

// keep notes what was written, if it is such a value.
func (k *known) keep(key string, raw []byte, v any) {
	switch v.(type) {
	case ZoneState, RollState, MemberState:
		k.values[key] = value{raw, v}
	}
}

// readKnown is read of such a value.
func readKnown[T ZoneState | RollState | MemberState](s Reader, key string) (v T, ok bool, err error) {
	k, knows := s.(*known)
	if !knows {
		return read[T](s, key)
	}
	raw, err := k.Get(key)
	if before, there := k.values[key]; there && err == nil && bytes.Equal(before.raw, raw) {
		return before.decoded.(T), true, nil
	}
	if v, ok, err = read[T](s, key); ok && err == nil {
		k.keep(key, raw, v)
	}
	return v, ok, err
}
