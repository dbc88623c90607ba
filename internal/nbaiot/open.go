package nbaiot

import (
	"archive/zip"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/nwaples/rardecode/v2"
)

// Open starts reading the table. Close the Reader after use.
func (t Table) Open() (*Reader, error) {
	stream, err := t.stream()
	if err != nil {
		return nil, fmt.Errorf("opening %v: %w", t, err)
	}
	r, err := NewReader(stream, t.String())
	if err != nil {
		return nil, errors.Join(err, stream.Close())
	}
	r.closer = stream
	return r, nil
}

// stream opens the table's text.
func (t Table) stream() (io.ReadCloser, error) {
	name := strings.ToLower(t.Path)
	switch {
	case t.Entry != "":
		return openRAR(t.Path, t.Entry)
	case strings.HasSuffix(name, ".gz"):
		return openGzip(t.Path)
	case strings.HasSuffix(name, ".zip"):
		return openZip(t.Path)
	}
	return os.Open(t.Path)
}

// layered is text within a file; closing it closes all layers.
type layered struct {
	io.Reader
	layers []io.Closer // inner first
}

func (l *layered) Close() error {
	var err error
	for _, c := range l.layers {
		err = errors.Join(err, c.Close())
	}
	return err
}

// Read marks what goes wrong below as the archive's fault.
func (l *layered) Read(b []byte) (int, error) {
	n, err := l.Reader.Read(b)
	if err != nil && err != io.EOF {
		err = damaged(err)
	}
	return n, err
}

func openRAR(path, entry string) (io.ReadCloser, error) {
	r, err := rardecode.OpenReader(path)
	if err != nil {
		return nil, damaged(err)
	}
	for {
		h, err := r.Next()
		if err == io.EOF {
			err = fmt.Errorf("there is no %s in it any more", entry)
		}
		if err != nil {
			return nil, errors.Join(damaged(err), r.Close())
		}
		if h.Name == entry {
			return &layered{r, []io.Closer{r}}, nil
		}
	}
}

func openGzip(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, errors.Join(damaged(err), f.Close())
	}
	return &layered{z, []io.Closer{z, f}}, nil
}

// openZip takes the only .csv of a .zip.
func openZip(path string) (io.ReadCloser, error) {
	z, err := zip.OpenReader(path)
	if err != nil {
		return nil, damaged(err)
	}
	var tables []*zip.File
	for _, f := range z.File {
		if _, ok := bare(f.Name); ok {
			tables = append(tables, f)
		}
	}
	if len(tables) != 1 {
		return nil, errors.Join(fmt.Errorf("there are %d tables in it, want one: unpack it", len(tables)), z.Close())
	}
	f, err := tables[0].Open()
	if err != nil {
		return nil, errors.Join(damaged(err), z.Close())
	}
	return &layered{f, []io.Closer{f, z}}, nil
}
