package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"

	"bellwether/internal/canonical"
	"bellwether/internal/contract"
	"bellwether/internal/durable"
	"bellwether/internal/journal"
	"bellwether/internal/ledger"
	"bellwether/internal/zone"
)

// objectKind is the kind of the journal that members' data is kept in. A record
// holds one version of an object, the newest record of a key counts if the
// ledger says so.
const objectKind = "objects"

const (
	objectFile = "objects.log"
	objectDead = 64 << 20 // bytes of versions that are gone; more, and more than live ones, are cleared away
)

// version is one version of an object.
type version struct {
	_       struct{} `cbor:",toarray"`
	Owner   zone.MemberID
	Name    string
	ID      zone.HID // the transaction that made it
	Object  []byte   // its COSE_Sign1
	Payload []byte
}

type objectKey struct {
	owner zone.MemberID
	name  string
}

// objects keeps the newest version of everything that members keep in the zone.
type objects struct {
	path string
	log  *slog.Logger

	mu         sync.Mutex // guards what follows
	journal    *journal.Journal
	records    map[zone.HID]int // versions that are live, or not on the ledger yet
	current    map[objectKey]zone.HID
	size       map[zone.HID]int64
	live, dead int64 // bytes
}

func openObjects(dir string, state ledger.Reader, log *slog.Logger) (*objects, error) {
	o := &objects{path: filepath.Join(dir, objectFile), log: log}
	err := o.read(state)
	if damage := (*journal.DamageError)(nil); errors.As(err, &damage) && damage.Record >= 0 {
		if err = o.mend(); err == nil {
			err = o.read(state)
		}
	}
	if err != nil {
		return nil, err
	}
	return o, o.clear()
}

// read opens the journal.
func (o *objects) read(state ledger.Reader) (err error) {
	o.records, o.current, o.size = map[zone.HID]int{}, map[objectKey]zone.HID{}, map[zone.HID]int64{}
	o.live, o.dead = 0, 0
	o.journal, err = journal.Open(o.path, objectKind, func(rec int, raw []byte) error {
		var v version
		if err := canonical.Unmarshal(raw, &v); err != nil {
			return err
		}
		d, there, err := contract.ReadData(state, v.Owner, v.Name)
		if err != nil {
			return err
		}
		if !there || d.ID != v.ID {
			o.dead += int64(len(raw))
			return nil
		}
		o.put(v.ID, rec, int64(len(raw)))
		o.current[objectKey{v.Owner, v.Name}] = v.ID
		return nil
	})
	return err
}

// mend writes the journal anew without what cannot be read.
func (o *objects) mend() error {
	j, err := renew(o.path, objectKind, durable.SyncDir, func(j *journal.Journal) error {
		to := appender{journal: j}
		for rec, err := range journal.Scan(o.path, objectKind) {
			damage, torn := (*journal.DamageError)(nil), (*journal.TornError)(nil)
			switch {
			case errors.As(err, &torn):
				return to.flush()
			case errors.As(err, &damage):
				o.log.Error("data of members cannot be read, and is lost", "error", err)
				continue
			case err == nil:
				err = to.add(rec.Payload)
			}
			if err != nil {
				return err
			}
		}
		return to.flush()
	})
	if j != nil {
		err = errors.Join(err, j.Close())
	}
	if err != nil {
		return fmt.Errorf("mending %s: %w", o.path, err)
	}
	return nil
}

func (o *objects) put(id zone.HID, rec int, size int64) {
	if _, twice := o.records[id]; twice { // stored again after a crash
		o.drop(id)
	}
	o.records[id], o.size[id] = rec, size
	o.live += size
}

func (o *objects) drop(id zone.HID) {
	size := o.size[id]
	o.live -= size
	o.dead += size
	delete(o.records, id)
	delete(o.size, id)
}

// add stores versions durably that are about to be submitted.
func (o *objects) add(all []version) error {
	raws := make([][]byte, len(all))
	for i := range all {
		raw, err := canonical.Marshal(&all[i])
		if err != nil {
			return err
		}
		raws[i] = raw
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	first := o.journal.Len()
	if err := o.journal.Append(raws...); err != nil {
		return err
	}
	for i := range all {
		o.put(all[i].ID, first+i, int64(len(raws[i])))
	}
	return nil
}

// refused takes a version back, if there is one, that was added for a transaction
// which the ledger did not take.
func (o *objects) refused(id zone.HID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drop(id)
}

// took follows a transaction on an object that stands on the ledger.
func (o *objects) took(b *contract.Message, id zone.HID) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := objectKey{b.To, b.Object}
	old, had := o.current[key]
	switch b.Op {
	case contract.OpCreate, contract.OpUpdate:
		o.current[key] = id
	case contract.OpDelete:
		delete(o.current, key)
	default:
		return nil
	}
	if had && old != id {
		o.drop(old)
	}
	return o.clear()
}

// newest gives an object's newest version, and whether there is one.
func (o *objects) newest(owner zone.MemberID, name string) (v version, ok bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	id := o.current[objectKey{owner, name}]
	if _, ok := o.records[id]; !ok {
		return v, false, nil
	}
	raw, err := o.sound(id)
	if raw == nil || err != nil {
		return v, false, err
	}
	err = canonical.Unmarshal(raw, &v)
	return v, err == nil, err
}

// sound reads a version. One that is damaged is lost: it is nil, and dropped.
func (o *objects) sound(id zone.HID) ([]byte, error) {
	raw, err := o.journal.Read(o.records[id])
	if damage := (*journal.DamageError)(nil); errors.As(err, &damage) {
		o.log.Error("data of members cannot be read, and is lost", "error", err)
		o.drop(id)
		return nil, nil
	}
	return raw, err
}

// clear writes the journal anew without the versions that are gone, once they are
// too many: a temporary journal, then a rename. A crash in between leaves the old
// one.
func (o *objects) clear() error {
	if o.dead <= objectDead || o.dead <= o.live {
		return nil
	}
	records := map[zone.HID]int{}
	j, err := renew(o.path, objectKind, durable.SyncDir, func(j *journal.Journal) error {
		to := appender{journal: j}
		for id := range o.records {
			raw, err := o.sound(id)
			if raw == nil && err == nil {
				continue
			}
			if err == nil {
				err = to.add(raw)
			}
			if err != nil {
				return err
			}
			records[id] = len(records)
		}
		return to.flush()
	})
	if j != nil {
		err = errors.Join(err, o.journal.Close())
		o.journal, o.records, o.dead = j, records, 0
	}
	if err != nil {
		return fmt.Errorf("clearing %s: %w", o.path, err)
	}
	return nil
}

func (o *objects) close() error { return o.journal.Close() }
