package alert

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// File appends events to a file of JSON lines, each once: an event whose ID is
// in the file already is not written again, so a run that was stopped may be repeated.
type File struct {
	f    *os.File
	have map[string]bool
}

// OpenFile opens or makes a file of JSON lines. An unfinished last line, as
// a crash leaves it, is cut off.
func OpenFile(path string) (*File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("alerts file: %w", err)
	}
	a := &File{f: f, have: map[string]bool{}}
	if err := a.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("alerts file %s: %w", path, err), f.Close())
	}
	return a, nil
}

// read collects the IDs of the complete lines and leaves the file at their end.
func (a *File) read() error {
	in := bufio.NewReader(a.f)
	end := int64(0)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		var e struct {
			Bellwether struct{ ID string }
		}
		if err := json.Unmarshal(bytes.TrimSpace(line), &e); err != nil {
			return fmt.Errorf("line %d is not an event: %w; give another file", n, err)
		}
		a.have[e.Bellwether.ID] = true
		end += int64(len(line))
	}
	if err := a.f.Truncate(end); err != nil {
		return err
	}
	_, err := a.f.Seek(end, io.SeekStart)
	return err
}

// Add writes the event, unless it is there, and flushes it to the disk.
func (a *File) Add(e *Event) error {
	if a.have[e.Bellwether.ID] {
		return nil
	}
	line, err := e.Line()
	if err != nil {
		return err
	}
	if _, err := a.f.Write(line); err != nil {
		return fmt.Errorf("alerts file: %w", err)
	}
	a.have[e.Bellwether.ID] = true
	return a.f.Sync()
}

// Close closes the file.
func (a *File) Close() error { return a.f.Close() }
