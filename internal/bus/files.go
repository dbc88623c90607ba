package bus

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"bellwether/internal/canonical"
	"bellwether/internal/contract"
	"bellwether/internal/journal"
)

// Files are the names of what a hub keeps in its directory beside payloads.
func Files() []string { return []string{certificateFile, DeskFile, cursorFile, objectFile} }

// IsPayloadFile reports the name of a segment of payloads.
func IsPayloadFile(name string) bool {
	var n uint64
	_, err := fmt.Sscanf(name, segmentName, &n)
	return err == nil && fmt.Sprintf(segmentName, n) == name
}

// Damage gives what is wrong with the files in dir. What is missing is not: a
// hub makes it.
func Damage(dir string) []error {
	var errs []error
	if _, err := ReadCertificate(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	errs = append(errs, damage(filepath.Join(dir, DeskFile), deskKind, func(_ int, raw []byte) error {
		n, err := parseNote(raw)
		if err == nil && n.Ticket != nil {
			_, _, err = contract.ParseTicket(n.Ticket)
		}
		return err
	})...)
	errs = append(errs, damage(filepath.Join(dir, cursorFile), cursorKind, func(_ int, raw []byte) error {
		_, err := parseCursors(raw)
		return err
	})...)
	errs = append(errs, damage(filepath.Join(dir, objectFile), objectKind, func(_ int, raw []byte) error { return checkVersion(raw) })...)
	segments, err := filepath.Glob(filepath.Join(dir, segmentGlob))
	if err != nil {
		return append(errs, err)
	}
	for _, path := range segments {
		errs = append(errs, damage(path, payloadKind, checkPayload)...)
	}
	return errs
}

// damage reads a journal and checks each record.
func damage(path, kind string, check func(rec int, raw []byte) error) []error {
	var errs []error
	var torn *journal.TornError
	for rec, err := range journal.Scan(path, kind) {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case errors.As(err, &torn): // as a crash leaves it; the next start cuts it off
			return errs
		case err != nil:
			errs = append(errs, err)
			continue
		}
		if err := check(rec.Number, rec.Payload); err != nil {
			errs = append(errs, fmt.Errorf("%s: record %d: %w", path, rec.Number, err))
		}
	}
	return errs
}

// checkPayload holds a record of a segment against its form. Whether the payload is
// the one that was signed, its recipient sees by the hash.
func checkPayload(rec int, raw []byte) error {
	if rec == 0 {
		_, err := parseHead(raw)
		return err
	}
	one, err := parseStored(raw)
	if n := len(one.payload); err == nil && (n < contract.PayloadSalt || n > contract.MaxPayload) {
		err = fmt.Errorf("%d bytes are no payload", n)
	}
	return err
}

// checkVersion holds a version of an object against what was signed.
func checkVersion(raw []byte) error {
	var v version
	if err := canonical.Unmarshal(raw, &v); err != nil {
		return err
	}
	received, err := contract.Receive(v.Object, 0)
	if err != nil {
		return err
	}
	tx, err := contract.Parse(received)
	if err != nil {
		return err
	}
	b, ok := tx.Body.(*contract.Message)
	if !ok || tx.ID != v.ID || b.To != v.Owner || b.Object != v.Name || b.Hash != contract.PayloadHash(v.Payload) {
		return errors.New("the object is not the one that was signed")
	}
	return nil
}

// appender fills a journal that is written anew, with few writes.
type appender struct {
	journal *journal.Journal
	raws    [][]byte
	bytes   int
}

// appendBytes are written at once.
const appendBytes = 4 << 20

func (a *appender) add(raw []byte) error {
	a.raws, a.bytes = append(a.raws, raw), a.bytes+len(raw)
	if a.bytes < appendBytes {
		return nil
	}
	return a.flush()
}

func (a *appender) flush() error {
	err := a.journal.Append(a.raws...)
	a.raws, a.bytes = nil, 0
	return err
}
