package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
)

// Record is one record as [Scan] finds it.
type Record struct {
	Number  int
	Offset  int64 // of the record's first byte in the file
	Payload []byte
}

// DamageError says that a record is not as it was written.
type DamageError struct {
	Path   string
	Record int   // -1: the file's first line
	Offset int64 // where the record starts; in the first line, the first wrong byte
	Reason string
}

func (e *DamageError) Error() string {
	if e.Record < 0 {
		return fmt.Sprintf("%s is damaged at byte %d: %s", e.Path, e.Offset, e.Reason)
	}
	return fmt.Sprintf("%s is damaged in record %d, at byte %d: %s; restore the file from a copy", e.Path, e.Record, e.Offset, e.Reason)
}

// TornError says that the last record's end is missing, as a crash within
// Append leaves it. Open repairs that.
type TornError struct {
	Path   string
	Record int   // -1: the file's first line
	Offset int64 // where the unfinished record starts
	Bytes  int64 // how much of it is there
}

func (e *TornError) Error() string {
	return fmt.Sprintf("%s ends within record %d: %d bytes from byte %d on are unfinished", e.Path, e.Record, e.Bytes, e.Offset)
}

// Scan reads a journal from its first record to the end it has at that moment,
// and changes nothing. For a damaged record it yields a [*DamageError], with what
// stands in the payload's place if the header is sound; a loop that goes on then
// gets the next record that can be recognised, so that one pass lists all damage, the
// first line's too.
// An unfinished end is a [*TornError] and the last yield, as is any other error.
// Each payload is the loop's to keep.
func Scan(path, kind string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(Record{}, fmt.Errorf("scan journal: %w", err))
			return
		}
		defer f.Close()
		s, err := newScanner(f, path, kind)
		if err != nil && (!yield(Record{}, err) || s == nil) {
			return
		}
		s.all(yield)
	}
}

// Whole gives how many of the first size bytes of a journal of any kind are whole
// records and what stands before them: a copy that ends there is a journal, also
// when a record is being appended meanwhile. Damage is a [*DamageError].
func Whole(f *os.File, size int64) (int64, error) {
	s, err := newScanner(f, f.Name(), kindOf(f))
	if torn := (*TornError)(nil); errors.As(err, &torn) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if size < s.off {
		return 0, nil
	}
	s.size = min(s.size, size)
	for {
		_, err := s.next()
		if torn := (*TornError)(nil); err == errEnd || errors.As(err, &torn) {
			return s.off, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// kindOf reads the kind in a journal's first line, as far as there is one.
func kindOf(f *os.File) string {
	line := make([]byte, 64)
	n, _ := f.ReadAt(line, 0) // newScanner says what is wrong
	first, _, _ := bytes.Cut(line[:n], []byte("\n"))
	return string(bytes.TrimPrefix(first, []byte(firstWords)))
}

// errEnd ends a scan in good order.
var errEnd = errors.New("end of journal")

// scanner reads the records of a file in order.
type scanner struct {
	file *os.File
	path string
	size int64
	off  int64  // of the record that next will read
	rec  uint64 // its number
	// past is where to go on when that record proves damaged: behind it when
	// its header is sound, else 0.
	past int64

	ahead   []byte // of the file, from aheadAt on: records are small
	aheadAt int64
}

// aheadBytes are read at once.
const aheadBytes = 64 << 10

// newScanner checks the first line. A line that the file ends within is a
// TornError for record -1; beside a DamageError there is a scanner of what follows.
func newScanner(f *os.File, path, kind string) (*scanner, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	s := &scanner{file: f, path: path, size: info.Size()}
	line := []byte(firstLine(kind))
	got := make([]byte, min(int64(len(line)), s.size))
	if _, err := f.ReadAt(got, 0); err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	s.off = int64(len(got))
	if n := len(got); !bytes.Equal(got, line[:n]) {
		return s, &DamageError{Path: path, Record: -1, Offset: firstDifference(got, line), Reason: fmt.Sprintf("its first line is %q, not %q", got, line)}
	}
	if len(got) < len(line) {
		return nil, &TornError{Path: path, Record: -1, Bytes: s.size}
	}
	return s, nil
}

func firstDifference(a, b []byte) int64 {
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	return int64(i)
}

// all yields every record and every damage.
func (s *scanner) all(yield func(Record, error) bool) {
	for {
		rec, err := s.next()
		if err == errEnd || !yield(rec, err) {
			return
		}
		if err == nil {
			continue
		}
		if damage := (*DamageError)(nil); !errors.As(err, &damage) {
			return
		}
		if err := s.resume(); err != nil {
			if err != errEnd {
				yield(Record{}, err)
			}
			return
		}
	}
}

// next reads the record at s.off. The error is errEnd, a TornError, a
// DamageError or what reading gave; s.off moves on only without one.
func (s *scanner) next() (Record, error) {
	s.past = 0
	left := s.size - s.off
	if left == 0 {
		return Record{}, errEnd
	}
	header := make([]byte, min(left, headerBytes))
	if err := s.readAt(header, s.off); err != nil {
		return Record{}, err
	}
	if left < headerBytes {
		if headerBegins(header, s.rec) {
			return Record{}, s.tornAt(left)
		}
		return Record{}, s.damage("what the file ends with is no beginning of a record")
	}
	length, reason := parseNumbered(header, s.rec)
	if reason != "" {
		return Record{}, s.damage(reason)
	}
	if left < int64(length)+Overhead {
		return Record{}, s.tornAt(left)
	}
	return s.body(length)
}

// body reads the whole record at s.off, whose header is sound.
func (s *scanner) body(length int) (Record, error) {
	raw := make([]byte, Overhead+length)
	if err := s.readAt(raw, s.off); err != nil {
		return Record{}, err
	}
	rec := Record{Number: int(s.rec), Offset: s.off, Payload: raw[headerBytes : headerBytes+length : headerBytes+length]}
	next := s.off + int64(len(raw))
	if !payloadSound(raw) {
		s.past = next
		return rec, s.damage(payloadDamaged)
	}
	s.off, s.rec = next, s.rec+1
	return rec, nil
}

// resume moves behind a damaged record: by its length if the header is sound,
// else to the next header that is, or to errEnd.
func (s *scanner) resume() error {
	if s.past > 0 {
		s.off, s.rec = s.past, s.rec+1
		return nil
	}
	const window = 1 << 20
	buf := make([]byte, window)
	for at := s.off + 1; s.size-at >= headerBytes; at += window - headerBytes + 1 {
		part := buf[:min(window, s.size-at)]
		if err := s.readAt(part, at); err != nil {
			return err
		}
		if i, rec := findHeader(part, s.rec, at-s.off); i >= 0 {
			s.off, s.rec = at+int64(i), rec
			return nil
		}
	}
	return errEnd
}

// findHeader looks for the first sound header of a record after number rec, which
// begins so many bytes before b: as many records as have room in between.
func findHeader(b []byte, rec uint64, before int64) (int, uint64) {
	for i := 0; i+headerBytes <= len(b); i++ {
		j := bytes.Index(b[i:], []byte(magic))
		if j < 0 || i+j+headerBytes > len(b) {
			break
		}
		i += j
		if n, _, reason := parseHeader(b[i : i+headerBytes]); reason == "" && n > rec && n-rec <= uint64(before+int64(i))/Overhead {
			return i, n
		}
	}
	return -1, 0
}

// readAt fills b, whose end is not behind the file's, with what stands there.
func (s *scanner) readAt(b []byte, off int64) error {
	if len(b) >= aheadBytes {
		return s.read(b, off)
	}
	if end := s.aheadAt + int64(len(s.ahead)); off < s.aheadAt || off+int64(len(b)) > end {
		ahead := append(s.ahead[:0], make([]byte, min(aheadBytes, max(int64(len(b)), s.size-off)))...)
		if err := s.read(ahead, off); err != nil {
			return err
		}
		s.ahead, s.aheadAt = ahead, off
	}
	copy(b, s.ahead[off-s.aheadAt:])
	return nil
}

func (s *scanner) read(b []byte, off int64) error {
	_, err := s.file.ReadAt(b, off)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("read journal %s at byte %d: %w", s.path, off, err)
	}
	return nil
}

func (s *scanner) damage(reason string) error {
	return &DamageError{Path: s.path, Record: int(s.rec), Offset: s.off, Reason: reason}
}

func (s *scanner) tornAt(bytes int64) error {
	return &TornError{Path: s.path, Record: int(s.rec), Offset: s.off, Bytes: bytes}
}
