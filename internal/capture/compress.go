package capture

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow is the largest zstd window that is accepted, that of zstd --long.
const maxWindow = 128 << 20

// decompress puts a decompressor between file and format if the first bytes
// call for one, and notes it in the format's name.
func (f *File) decompress() error {
	b, err := f.src.need(4)
	if err != nil {
		return nil // too short to be compressed: detect says what it is
	}
	switch {
	case b[0] == 0x1f && b[1] == 0x8b: // RFC 1952, section 2.3.1
		err = f.gunzip()
	case [4]byte(b) == [4]byte{0x28, 0xb5, 0x2f, 0xfd}: // RFC 8878, section 3.1.1
		err = f.unzstd()
	}
	return err
}

// rest is the file from its first byte: what was read ahead, then what was not.
func (f *File) rest() io.Reader { return &prefixed{f.src.buf[f.src.pos:f.src.end], f.raw} }

func (f *File) gunzip() error {
	z, err := gzip.NewReader(f.rest())
	if err != nil {
		return fmt.Errorf("%s starts like gzip, but its header is damaged: %w", f.name, err)
	}
	f.close = append(f.close, z.Close)
	f.uncompressed(z, "+gzip")
	return nil
}

func (f *File) unzstd() error {
	z, err := zstd.NewReader(f.rest(), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return fmt.Errorf("%s starts like zstd, but its header is damaged: %w", f.name, err)
	}
	f.close = append(f.close, func() error { z.Close(); return nil })
	f.uncompressed(z, "+zstd")
	return nil
}

func (f *File) uncompressed(r io.Reader, suffix string) {
	f.src = newSource(r)
	f.src.compressed = true
	f.format = suffix
}

// prefixed reads b, then r.
type prefixed struct {
	b []byte
	r io.Reader
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.b) > 0 {
		n := copy(b, p.b)
		p.b = p.b[n:]
		return n, nil
	}
	return p.r.Read(b)
}
