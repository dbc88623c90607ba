package alert

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"bellwether/internal/durable"
)

// maxLine bounds a line of a file of events in bytes.
const maxLine = 1 << 20

// File appends events to a file of JSON lines, each once: an event whose ID is
// in the file already is not written again, so a run that was stopped may be
// repeated. It is not safe for concurrent use.
type File struct {
	f    *os.File
	end  int64 // of the last whole line
	have map[string]bool
}

// OpenFile opens or makes a file of JSON lines. An unfinished last line, as
// a crash leaves it, is cut off. A file that holds anything but events is refused
// and stays as it is.
func OpenFile(path string) (*File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("alerts file: %w", err)
	}
	a := &File{f: f, have: map[string]bool{}}
	if err := a.load(filepath.Dir(path)); err != nil {
		return nil, errors.Join(fmt.Errorf("alerts file %s: %w", path, err), f.Close())
	}
	return a, nil
}

func (a *File) load(dir string) error {
	info, err := a.f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is not a regular file; give another file")
	}
	if err := a.read(); err != nil {
		return err
	}
	if err := a.cut(); err != nil {
		return err
	}
	return durable.SyncDir(dir)
}

// read collects the IDs of the complete lines and finds their end.
func (a *File) read() error {
	in := bufio.NewReaderSize(a.f, maxLine)
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("line %d is longer than %d bytes and no event; give another file", n, maxLine)
		case errors.Is(err, io.EOF) && torn(line):
			return nil
		case err != nil && !errors.Is(err, io.EOF):
			return err
		}
		id := eventID(line)
		if id == "" {
			return fmt.Errorf("line %d is no event of Bellwether; give another file", n)
		}
		a.have[id] = true
		a.end += int64(len(line))
		if err != nil { // whole but for its line feed
			_, err := a.f.Write([]byte{'\n'})
			a.end++
			return err
		}
	}
}

// eventID is the ID in a line, empty if it is no event.
func eventID(line []byte) string {
	var e struct {
		Bellwether struct {
			ID string `json:"id"`
		} `json:"bellwether"`
	}
	if json.Unmarshal(line, &e) != nil {
		return ""
	}
	return e.Bellwether.ID
}

// torn reports that a crash may have left this of an event's line: a beginning,
// or zeros where the data did not reach the disk.
func torn(line []byte) bool {
	const head = `{"timestamp":"`
	text := bytes.TrimRight(line, "\x00")
	if len(text) < len(head) {
		return bytes.HasPrefix([]byte(head), text)
	}
	return bytes.HasPrefix(text, []byte(head)) && !json.Valid(line)
}

// cut leaves the file at the end of its last whole line.
func (a *File) cut() error {
	if err := a.f.Truncate(a.end); err != nil {
		return err
	}
	_, err := a.f.Seek(a.end, io.SeekStart)
	return err
}

// Add writes the event, unless it is there. It is on the disk on return; an
// error leaves no part of it.
func (a *File) Add(e *Event) error {
	if a.have[e.Bellwether.ID] {
		return nil
	}
	line, err := e.Line()
	if err != nil {
		return fmt.Errorf("alerts file: event %s: %w", e.Bellwether.ID, err)
	}
	_, err = a.f.Write(line)
	if err == nil {
		err = a.f.Sync()
	}
	if err != nil {
		return fmt.Errorf("alerts file: %w", errors.Join(err, a.cut()))
	}
	a.have[e.Bellwether.ID] = true
	a.end += int64(len(line))
	return nil
}

// Close closes the file.
func (a *File) Close() error { return a.f.Close() }
