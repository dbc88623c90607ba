package bus

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"bellwether/internal/canonical"
	"bellwether/internal/durable"
	"bellwether/internal/journal"
	"bellwether/internal/zone"
)

// cursorKind is the kind of the journal of what members have acknowledged. A record
// is a list of names with positions; the newest of a name counts.
const cursorKind = "cursors"

const (
	cursorFile    = "cursors.log"
	cursorEvery   = time.Second // how long an acknowledgement may wait to be kept
	cursorChunk   = 512         // names in a record
	cursorRecords = 20_000      // are written anew as few
)

// cursor is how far a member has acknowledged.
type cursor struct {
	_      struct{} `cbor:",toarray"`
	Member zone.MemberID
	At     position
}

// cursors keeps what members acknowledged. What a crash takes of it is delivered
// once more, which the position tells the member.
type cursors struct {
	path    string
	journal *journal.Journal
	at      map[zone.MemberID]position // as it is on the disk

	mu    sync.Mutex
	dirty map[zone.MemberID]position
}

func openCursors(dir string) (*cursors, error) {
	c := &cursors{path: filepath.Join(dir, cursorFile), at: map[zone.MemberID]position{}, dirty: map[zone.MemberID]position{}}
	var err error
	c.journal, err = journal.Open(c.path, cursorKind, func(_ int, raw []byte) error {
		list, err := parseCursors(raw)
		maps.Copy(c.at, list)
		return err
	})
	return c, err
}

// parseCursors reads a record of the cursors' journal.
func parseCursors(raw []byte) (map[zone.MemberID]position, error) {
	var list []cursor
	err := canonical.Unmarshal(raw, &list)
	out := map[zone.MemberID]position{}
	for _, c := range list {
		out[c.Member] = c.At
	}
	return out, err
}

// set notes an acknowledgement, to be kept soon.
func (c *cursors) set(name zone.MemberID, at position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dirty[name] = at
}

// flush makes what was noted durable.
func (c *cursors) flush() error {
	c.mu.Lock()
	dirty := c.dirty
	c.dirty = map[zone.MemberID]position{}
	c.mu.Unlock()
	if len(dirty) == 0 {
		return nil
	}
	maps.Copy(c.at, dirty)
	if c.journal.Len() > cursorRecords {
		return c.renew()
	}
	return c.append(c.journal, dirty)
}

func (c *cursors) append(j *journal.Journal, all map[zone.MemberID]position) error {
	var raws [][]byte
	for names := range slices.Chunk(slices.Sorted(maps.Keys(all)), cursorChunk) {
		list := make([]cursor, len(names))
		for i, name := range names {
			list[i] = cursor{Member: name, At: all[name]}
		}
		raw, err := canonical.Marshal(list)
		if err != nil {
			return err
		}
		raws = append(raws, raw)
	}
	return j.Append(raws...)
}

// renew writes the journal anew with what counts.
func (c *cursors) renew() error {
	j, err := renew(c.path, cursorKind, durable.SyncDir, func(j *journal.Journal) error { return c.append(j, c.at) })
	if j == nil {
		return err
	}
	old := c.journal
	c.journal = j
	return errors.Join(err, old.Close())
}

// renew puts another journal in the place of the one at path: a crash leaves the
// one or the other. Where there is a journal beside an error, it has that place, and
// a power cut may still bring the former back: nothing may be kept in either.
func renew(path, kind string, syncDir func(string) error, fill func(*journal.Journal) error) (*journal.Journal, error) {
	dir, name := filepath.Split(path)
	tmp := filepath.Join(dir, ".new-"+name)
	if err := os.RemoveAll(tmp); err != nil {
		return nil, err
	}
	j, err := journal.Open(tmp, kind, nil)
	if err != nil {
		return nil, err
	}
	if err = fill(j); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return j, syncDir(dir)
}

// keepCursors keeps acknowledgements until ctx ends.
func (h *Hub) keepCursors(ctx context.Context) error {
	tick := time.NewTicker(cursorEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return h.cursors.flush()
		case <-tick.C:
			if err := h.cursors.flush(); err != nil {
				return err
			}
		}
	}
}

func (c *cursors) close() error { return errors.Join(c.flush(), c.journal.Close()) }
