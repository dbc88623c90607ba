package capture

import (
	"fmt"
	"io"
	"sync/atomic"
)

// counter counts the bytes of the file itself and keeps its read error, so
// that a failing disk is not taken for a damaged capture.
type counter struct {
	r   io.Reader
	n   atomic.Int64
	err error
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n.Add(int64(n))
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

// source gives a stream in contiguous pieces out of one buffer, which grows
// with what has really been read, not with what a length field announces.
type source struct {
	r          io.Reader
	buf        []byte
	pos, end   int   // buf[pos:end] is read and not yet taken
	off        int64 // stream offset of buf[pos]
	err        error // what ended the stream, io.EOF at its end
	compressed bool
}

// readAhead is the first size of the buffer: some dozens of full frames.
const readAhead = 64 << 10

func newSource(r io.Reader) *source {
	return &source{r: r, buf: make([]byte, readAhead)}
}

// need gives the next n bytes without taking them. They are valid until the
// next call. With fewer than n left it gives those, and what ended the stream.
func (s *source) need(n int) ([]byte, error) {
	for s.end-s.pos < n && s.err == nil {
		s.fill(n)
	}
	if s.end-s.pos >= n {
		return s.buf[s.pos : s.pos+n], nil
	}
	return s.buf[s.pos:s.end], s.err
}

// fill reads once, after making room: by moving what is left to the front, and
// when n bytes do not fit and the buffer is full, by doubling it.
func (s *source) fill(n int) {
	if s.pos > 0 && s.pos+n > len(s.buf) {
		s.end = copy(s.buf, s.buf[s.pos:s.end])
		s.pos = 0
	}
	if s.end == len(s.buf) {
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	for range 100 {
		m, err := s.r.Read(s.buf[s.end:])
		s.end += m
		if err != nil {
			s.err = err
			return
		}
		if m > 0 {
			return
		}
	}
	s.err = io.ErrNoProgress
}

// take moves on by n bytes, which need has given.
func (s *source) take(n int) {
	s.pos += n
	s.off += int64(n)
}

// record gives n bytes of one record of the capture. A stream that ends or
// breaks within them is a DamageError at the source's position, where the
// record must start; at its very start the clean end is io.EOF.
func (s *source) record(n int, what string) ([]byte, error) {
	b, err := s.need(n)
	switch {
	case err == nil:
		return b, nil
	case err == io.EOF && len(b) == 0:
		return nil, io.EOF
	case err == io.EOF:
		return nil, s.damage(nil, "%s is cut off: %d of its %d bytes are there", what, len(b), n)
	case err == io.ErrUnexpectedEOF:
		return nil, s.damage(err, "the compressed stream is cut off within %s", what)
	}
	return nil, s.damage(err, "reading %s: %v", what, err)
}

func (s *source) damage(cause error, format string, args ...any) error {
	return &DamageError{Offset: s.off, Reason: fmt.Sprintf(format, args...), Err: cause}
}
