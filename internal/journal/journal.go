// Package journal keeps an append-only file of checksummed records in which
// every byte of the file is covered: a changed byte anywhere is found and
// located by record number and offset.
//
// # Guarantees
//
// Append returns once its records are durable: one write, one fdatasync. The
// only thing a crash can leave behind is a torn tail, a last record whose end
// is missing; Open cuts it off and says how many bytes went ([Journal.Torn]).
// A complete record that does not match its checksum is never repaired and
// never skipped: it is a [DamageError], and the file stays as it was found. So
// is a tail that a file system filled with anything but a beginning of a
// record, zeros for instance: the journal drops nothing that it cannot prove to
// be unfinished.
//
// What it cannot see is a file cut exactly between two records, or cut anywhere
// and then opened; whoever must notice that keeps the number of records
// elsewhere.
//
// It does not lock the file. One process writes it at a time, and others may
// [Scan] it meanwhile.
//
// # Format
//
// The first line is "bellwether journal 1 KIND\n", compared exactly. Then, with
// no gap, records numbered from 0; integers are big-endian:
//
//	offset  bytes  field
//	0       4      magic "BJR\x01"
//	4       8      record number
//	12      4      payload length n, at most MaxPayload
//	16      4      CRC-32C of the 16 bytes before
//	20      n      payload
//	20+n    4      CRC-32C of the whole record before (header, its checksum, payload)
//
// The header has a checksum of its own so that a damaged length is told from a
// torn tail. CRC-32C (Castagnoli, RFC 3720 section 12.1) finds every change
// confined to 32 neighbouring bits with certainty, and any other but one in
// 2^32. It is no protection against someone who computes it anew; signatures
// over the payloads are.
package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"bellwether/internal/durable"
)

// MaxPayload is the largest payload of one record in bytes.
const MaxPayload = 64 << 20

// ErrClosed is the error of every call on a closed journal.
var ErrClosed = errors.New("the journal is closed")

// Journal is an open journal. Its methods may be called concurrently.
type Journal struct {
	path     string
	file     *os.File
	torn     int64
	readOnly bool // nothing in the file is changed

	mu      sync.RWMutex // guards what follows
	offsets []int64      // where each record starts
	end     int64        // where the next one will
	failed  error        // why nothing can be appended any more
}

// Open opens the journal at path and creates it if there is none. It gives
// every record to read, in order; the payload is read's to keep, and an error
// from read ends Open with that error. A nil read is allowed.
//
// A torn tail is cut off after read has seen every complete record. When Open
// returns, everything that read was given is durable, even if the process that
// wrote it died before it could make sure. Damage is a [*DamageError], and
// nothing in the file is changed then.
func Open(path, kind string, read func(rec int, payload []byte) error) (*Journal, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j := &Journal{path: path, file: f}
	if err := j.recover(kind, read); err != nil {
		f.Close()
		return nil, err
	}
	return j, nil
}

// ErrReadOnly is the error of Append on a journal opened by View.
var ErrReadOnly = errors.New("the journal was opened for reading only")

// View opens an existing journal for reading only, as beside a process that
// appends to it: what that process has not finished yet is left out.
func View(path, kind string, read func(rec int, payload []byte) error) (*Journal, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j := &Journal{path: path, file: f, readOnly: true, failed: ErrReadOnly}
	if err := j.recover(kind, read); err != nil {
		f.Close()
		return nil, err
	}
	return j, nil
}

// Salvage is View of a journal that may be damaged. Lost is told of the damage, as
// [Scan] finds it, and read is not given those records; Read of one is a
// [*DamageError]. Any other error ends it.
func Salvage(path, kind string, read func(rec int, payload []byte) error, lost func(error)) (*Journal, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j := &Journal{path: path, file: f, readOnly: true, failed: ErrReadOnly}
	if err := j.salvage(kind, read, lost); err != nil {
		f.Close()
		return nil, err
	}
	return j, nil
}

func (j *Journal) salvage(kind string, read func(int, []byte) error, lost func(error)) error {
	s, err := newScanner(j.file, j.path, kind)
	if s == nil {
		return err
	}
	if err != nil {
		lost(err)
	}
	err = nil
	s.all(func(rec Record, bad error) bool {
		damage, torn := (*DamageError)(nil), (*TornError)(nil)
		switch {
		case errors.As(bad, &damage):
			rec.Number, rec.Offset = damage.Record, damage.Offset
			lost(bad)
		case errors.As(bad, &torn):
			return false
		case bad != nil:
			err = bad
		default:
			err = read(rec.Number, rec.Payload)
		}
		for len(j.offsets) <= rec.Number && err == nil {
			j.offsets = append(j.offsets, rec.Offset)
		}
		return err == nil
	})
	j.end = s.off
	return err
}

// openFile opens or creates the file; a new one is in its directory for good.
func openFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if !errors.Is(err, os.ErrNotExist) {
		return f, err
	}
	f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := durable.SyncDir(filepath.Dir(path)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// recover reads what is there, cuts off what is unfinished and syncs.
func (j *Journal) recover(kind string, read func(int, []byte) error) error {
	s, err := newScanner(j.file, j.path, kind)
	if torn := (*TornError)(nil); errors.As(err, &torn) && torn.Record < 0 {
		return j.begin(kind, torn.Bytes)
	}
	if err != nil {
		return err
	}
	for {
		rec, err := s.next()
		if torn := (*TornError)(nil); errors.As(err, &torn) {
			return j.cut(s.off, torn.Bytes)
		}
		if err == errEnd {
			return j.cut(s.off, 0)
		}
		if err != nil {
			return err
		}
		if read != nil {
			if err := read(rec.Number, rec.Payload); err != nil {
				return fmt.Errorf("%s: record %d: %w", j.path, rec.Number, err)
			}
		}
		j.offsets = append(j.offsets, rec.Offset)
	}
}

// begin writes the first line over an empty file or one that a crash left with
// only a part of that line.
func (j *Journal) begin(kind string, torn int64) error {
	line := firstLine(kind)
	if j.readOnly {
		return j.cut(0, torn)
	}
	if _, err := j.file.WriteAt([]byte(line), 0); err != nil {
		return fmt.Errorf("begin journal: %w", err)
	}
	return j.cut(int64(len(line)), torn)
}

// cut ends the file at end and makes all before it durable.
func (j *Journal) cut(end, torn int64) error {
	j.end, j.torn = end, torn
	if j.readOnly {
		return nil
	}
	if torn > 0 {
		if err := j.file.Truncate(end); err != nil {
			return fmt.Errorf("cut off torn tail: %w", err)
		}
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	return nil
}

// Torn gives how many bytes of an unfinished record Open cut off, or View left out.
func (j *Journal) Torn() int64 { return j.torn }

// Len gives the number of records.
func (j *Journal) Len() int {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return len(j.offsets)
}

// Append adds one record for each payload and returns when all are durable.
// After a crash within Append, a leading part of them may be there, each whole.
//
// When a write or a sync fails, the records may or may not be there at the next
// Open, and this journal refuses every further Append with the same error: what
// the kernel kept of a failed sync is not known. A payload over [MaxPayload] is
// refused before anything is written.
func (j *Journal) Append(payloads ...[]byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed != nil {
		return j.failed
	}
	frames, offsets, err := j.frame(payloads)
	if err != nil || len(offsets) == 0 {
		return err
	}
	if _, err := j.file.WriteAt(frames, j.end); err != nil {
		j.failed = fmt.Errorf("append to journal: %w", err)
		return j.failed
	}
	if err := datasync(j.file); err != nil {
		j.failed = fmt.Errorf("append to journal: sync %s: %w", j.path, err)
		return j.failed
	}
	j.offsets = append(j.offsets, offsets...)
	j.end += int64(len(frames))
	return nil
}

// frame encodes payloads as the next records.
func (j *Journal) frame(payloads [][]byte) (frames []byte, offsets []int64, err error) {
	size := 0
	for _, p := range payloads {
		if len(p) > MaxPayload {
			return nil, nil, fmt.Errorf("append to journal: a payload of %d bytes is over the limit of %d", len(p), MaxPayload)
		}
		size += Overhead + len(p)
	}
	frames = make([]byte, 0, size)
	for i, p := range payloads {
		offsets = append(offsets, j.end+int64(len(frames)))
		frames = appendFrame(frames, uint64(len(j.offsets)+i), p)
	}
	return frames, offsets, nil
}

// Read gives the payload of record rec, checked against its checksums anew.
// A change since Open is a [*DamageError].
func (j *Journal) Read(rec int) ([]byte, error) {
	off, next, err := j.extent(rec)
	if err != nil {
		return nil, err
	}
	raw := make([]byte, next-off)
	if _, err := j.file.ReadAt(raw, off); err != nil {
		return nil, fmt.Errorf("read record %d of %s: %w", rec, j.path, err)
	}
	payload, reason := parseFrame(raw, uint64(rec))
	if reason != "" {
		return nil, &DamageError{Path: j.path, Record: rec, Offset: off, Reason: reason}
	}
	return payload, nil
}

func (j *Journal) extent(rec int) (off, next int64, err error) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	if j.failed == ErrClosed {
		return 0, 0, ErrClosed
	}
	if rec < 0 || rec >= len(j.offsets) {
		return 0, 0, fmt.Errorf("%s has no record %d: it has %d", j.path, rec, len(j.offsets))
	}
	if rec+1 < len(j.offsets) {
		return j.offsets[rec], j.offsets[rec+1], nil
	}
	return j.offsets[rec], j.end, nil
}

// Close closes the file. Everything appended is durable already.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed == ErrClosed {
		return nil
	}
	j.failed = ErrClosed
	return j.file.Close()
}
