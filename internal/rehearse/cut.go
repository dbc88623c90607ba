package rehearse

import (
	"bufio"
	"context"
	"errors"
	"os"

	"bellwether/internal/capture"
	"bellwether/internal/gateway"
	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// copied is a capture that is being written.
type copied struct {
	file   *os.File
	buffer *bufio.Writer
	writer *capture.Writer
	frames uint64
}

func create(path string) (*copied, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	c := &copied{file: f, buffer: bufio.NewWriterSize(f, 1<<20)}
	if c.writer, err = capture.NewWriter(c.buffer, packet.LinkEthernet); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return c, nil
}

// write adds a frame and gives its index.
func (c *copied) write(fr capture.Frame) (index uint64, err error) {
	index = c.frames
	c.frames++
	return index, c.writer.Write(fr)
}

func (c *copied) close() error { return errors.Join(c.buffer.Flush(), c.file.Close()) }

// part is a capture of the frames from a moment on, until before another.
type part struct {
	*copied
	from, until zone.Time
}

// cut writes the parts of the benign traffic.
func (s *stage) cut(ctx context.Context) (err error) {
	var parts []part
	defer func() {
		for _, p := range parts {
			err = errors.Join(err, p.close())
		}
	}()
	open := func(path string, from, until zone.Time) error {
		c, err := create(path)
		if err == nil {
			parts = append(parts, part{c, from, until})
		}
		return err
	}
	if len(s.Learn) == 0 {
		if err := open(s.learn[0], 0, s.later.start()); err != nil {
			return err
		}
	}
	if err := open(s.rest, s.later.start(), s.later.end()+1); err != nil {
		return err
	}
	for _, e := range s.excerpts {
		if e.path != s.rest {
			if err := open(e.path, e.time.start(), e.time.end()+1); err != nil {
				return err
			}
		}
	}
	_, err = gateway.Frames(ctx, s.Benign, func(fr *capture.Frame) error {
		if fr.Link != packet.LinkEthernet {
			return nil
		}
		for _, p := range parts {
			if fr.Time >= p.from && fr.Time < p.until {
				if _, err := p.write(*fr); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return err
}
