package contract

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"bellwether/internal/canonical"
	"bellwether/internal/zone"
)

// Reader reads the world state. Get gives nil for a key that is not there, and
// the caller leaves the value as it is. Keys gives those with the prefix, sorted
// by their bytes.
type Reader interface {
	Get(key string) ([]byte, error)
	Keys(prefix string) ([]string, error)
}

// State is the world state that transactions are applied to. Apply reads
// before it writes, and never reads a key it wrote.
type State interface {
	Reader
	// Put with a nil value takes the key away.
	Put(key string, value []byte) error
}

const (
	zoneKey      = "zone"
	devicePrefix = "device/"
)

func deviceKey(mac zone.MAC) string { return devicePrefix + mac.String() }

// ZoneState is what the ledger says of the zone. Its bytes are CBOR like a
// transaction's.
type ZoneState struct {
	ID            zone.Hash `cbor:"1,keyasint"` // the group ID
	Name          string    `cbor:"2,keyasint"`
	UseCase       string    `cbor:"3,keyasint"`
	Master        [32]byte  `cbor:"4,keyasint"`
	Created       zone.Time `cbor:"5,keyasint"`
	N             uint64    `cbor:"6,keyasint"` // of the zone's newest transaction
	Newest        zone.HID  `cbor:"7,keyasint"` // and its H-ID
	SilencedUntil zone.Time `cbor:"8,keyasint"` // 0: not silenced
	SilencedFrom  zone.Time `cbor:"9,keyasint,omitempty"`
}

// DeviceState is what the ledger says of one device. Its bytes are CBOR like a
// transaction's.
type DeviceState struct {
	MAC           zone.MAC   `cbor:"1,keyasint"`
	Name          string     `cbor:"2,keyasint"`
	State         zone.State `cbor:"3,keyasint"`
	Since         zone.Time  `cbor:"4,keyasint"` // of the transaction that led to State
	N             uint64     `cbor:"5,keyasint"` // of the device's newest transaction
	Newest        zone.HID   `cbor:"6,keyasint"` // and its H-ID
	FirstSeen     zone.Time  `cbor:"7,keyasint"`
	LastSeq       zone.SeqID `cbor:"8,keyasint"`  // newest row in a recorded segment; 0: none
	Model         zone.Hash  `cbor:"9,keyasint"`  // zero while learning
	Threshold     float64    `cbor:"10,keyasint"` // of that model
	Rows          uint64     `cbor:"11,keyasint"` // in recorded segments
	Normal        uint64     `cbor:"12,keyasint"`
	Malicious     uint64     `cbor:"13,keyasint"` // Rows-Normal-Malicious were not judged
	SilencedUntil zone.Time  `cbor:"14,keyasint"` // 0: not silenced
	SilencedFrom  zone.Time  `cbor:"15,keyasint,omitempty"`
	Network       zone.Hash  `cbor:"16,keyasint,omitzero"` // of its network policy; zeros: none
}

// ReadZone gives the zone, and whether it was created yet.
func ReadZone(s Reader) (ZoneState, bool, error) {
	return readKnown[ZoneState](s, zoneKey)
}

// ReadDevice gives a device, and whether it was ever seen.
func ReadDevice(s Reader, mac zone.MAC) (DeviceState, bool, error) {
	return read[DeviceState](s, deviceKey(mac))
}

// Devices gives every device that was ever seen, by address.
func Devices(s Reader) ([]DeviceState, error) {
	keys, err := s.Keys(devicePrefix)
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	devices := make([]DeviceState, len(keys))
	for i, key := range keys {
		if devices[i], _, err = read[DeviceState](s, key); err != nil {
			return nil, err
		}
	}
	return devices, nil
}

// CheckState holds a state that comes from elsewhere against its own form: one
// zone, whose ID follows from its content, everything else under the key that it
// says, every value as it is written, and nothing more. It gives the zone. That
// transactions led to this state is for whoever signed its digest.
func CheckState(s Reader) (ZoneState, error) {
	z := ZoneState{}
	keys, err := s.Keys("")
	if err != nil {
		return z, fmt.Errorf("check state: %w", err)
	}
	for _, key := range keys {
		raw, err := s.Get(key)
		if err == nil && key == zoneKey {
			err = decoding.Parse(raw, &z)
		} else if err == nil {
			err = checkValue(key, raw)
		}
		if err != nil {
			return z, fmt.Errorf("check state: %q: %w", key, err)
		}
	}
	if z.ID != GroupID(z.Master[:], z.Created, z.Name) {
		return z, fmt.Errorf("check state: it names no zone, or one whose ID %s does not follow from its content", z.ID.Short())
	}
	return z, nil
}

// checkValue holds a value against its key.
func checkValue(key string, raw []byte) error {
	kind, _, _ := strings.Cut(key, "/")
	var err error
	belongs := key
	switch kind + "/" {
	case devicePrefix:
		var d DeviceState
		err = decoding.Parse(raw, &d)
		belongs = deviceKey(d.MAC)
	case memberPrefix:
		var m MemberState
		err = decoding.Parse(raw, &m)
		belongs = memberKey(m.Member)
	case keyPrefix:
		var id zone.MemberID
		err = decoding.Parse(raw, &id)
	case askPrefix:
		var open OpenRequests
		if err = decoding.Parse(raw, &open); err == nil && (len(open) == 0 || len(open) > MaxOpen) {
			err = fmt.Errorf("%d requests are open: want 1 to %d", len(open), MaxOpen)
		}
	case dataPrefix:
		err = decoding.Parse(raw, &DataState{})
	case rollKey + "/":
		err = decoding.Parse(raw, &RollState{})
		belongs = rollKey
	case policyKey + "/":
		err = decoding.Parse(raw, &PolicyState{})
		belongs = policyKey
	default:
		err = errors.New("there is no such key")
	}
	if err == nil && key != belongs {
		err = fmt.Errorf("it holds what belongs under %q", belongs)
	}
	return err
}

// read gives the value under a key, and whether there is one. Of what is not there it
// allocates nothing.
func read[T any](s Reader, key string) (value T, there bool, err error) {
	raw, err := s.Get(key)
	if err == nil && raw != nil {
		v := new(T)
		if err = decoding.Unmarshal(raw, v); err == nil {
			return *v, true, nil
		}
	}
	if err != nil {
		err = fmt.Errorf("read state %q: %w", key, err)
	}
	return value, false, err
}

func write(s State, key string, v any) error {
	raw, err := canonical.Marshal(v)
	if err == nil {
		err = s.Put(key, raw)
	}
	if k, knows := s.(*known); knows && err == nil {
		k.keep(key, raw, v)
	}
	if err != nil {
		return fmt.Errorf("write state %q: %w", key, err)
	}
	return nil
}

const stateDomain = "bellwether/state/1\x00"

// digestChunk is how many bytes are hashed at once.
const digestChunk = 16 << 10

// Digest is the SHA-256 of "bellwether/state/1\x00" and, for every key in
// order, the key's and the value's length (4 bytes each, big-endian) and bytes:
// length, key, length, value.
func Digest(s Reader) (zone.Hash, error) {
	h := sha256.New()
	b := append(make([]byte, 0, 2*digestChunk), stateDomain...)
	add := func(key string, value []byte) {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(key))), key...)
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(value))), value...)
		if len(b) >= digestChunk {
			h.Write(b) // never fails
			b = b[:0]
		}
	}
	if w, ok := s.(*World); ok {
		w.pairs(add)
	} else if err := pairs(s, add); err != nil {
		return zone.Hash{}, fmt.Errorf("digest of the state: %w", err)
	}
	h.Write(b)
	return zone.Hash(h.Sum(nil)), nil
}

// pairs calls f for every key in order.
func pairs(s Reader, f func(key string, value []byte)) error {
	keys, err := s.Keys("")
	if err != nil {
		return err
	}
	for _, key := range keys {
		value, err := s.Get(key)
		if err != nil {
			return err
		}
		f(key, value)
	}
	return nil
}

// Memory is a State in memory. Its zero value can be read, and to be written it
// has to be made. It is not safe for concurrent use.
type Memory map[string][]byte

var _ State = Memory(nil)

// Get gives the value itself; the caller leaves it as it is.
func (m Memory) Get(key string) ([]byte, error) { return m[key], nil }

// Put keeps a copy of value.
func (m Memory) Put(key string, value []byte) error {
	if value == nil {
		delete(m, key)
		return nil
	}
	m[key] = bytes.Clone(value)
	return nil
}

// Keys sorts all keys with the prefix.
func (m Memory) Keys(prefix string) ([]string, error) {
	var keys []string
	for key := range maps.Keys(m) {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys, nil
}
