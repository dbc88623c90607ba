// Package capture reads frames from capture files and from network interfaces.
//
// [Open] reads pcap (micro- and nanoseconds, both byte orders, and the modified
// variant of old Linux systems) and pcapng (any number of sections and
// interfaces), each plain, gzip or zstd compressed. What a file is shows in its
// first bytes; its name does not matter. [OpenLive] captures from an interface
// of a Linux machine. [Writer] writes nanosecond pcap.
//
// A frame costs no allocation. Everything before a damaged place is delivered,
// then a [DamageError] says where the damage starts and what it is. Lengths are
// limited before they are believed: 256 KiB for a frame, 16 MiB for a pcapng
// block, 128 MiB for a zstd window. The package reassembles nothing, filters
// nothing and does not skip over damage.
package capture

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// MaxFrame is the largest number of captured bytes that a frame may have, the
// largest snap length of libpcap.
const MaxFrame = 256 << 10

// Frame is one captured frame.
type Frame struct {
	Time   zone.Time
	Link   packet.LinkType
	Length int    // bytes on the wire, at least len(Data)
	Data   []byte // bytes captured; valid until the next call
}

// File is an open capture. Next and Close are for one goroutine; Frames,
// Skipped and Offset may be called from any.
type File struct {
	name   string
	format string
	size   int64
	raw    *counter
	src    *source
	dec    decoder
	close  []func() error
	err    error // what every further Next returns

	frames  atomic.Uint64
	skipped atomic.Uint64
}

// decoder is a capture format: next reads the record at the source's position.
type decoder interface {
	next(fr *Frame) error
}

// Open opens a capture file. The error, which names the path, is about a file
// that is missing, a directory, empty, of no known format, cut off in its first
// header, or whose frames are all of link types that are not supported.
func Open(path string) (*File, error) {
	osFile, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open capture: %w", err)
	}
	info, err := osFile.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a directory: name the captures in it", path)
	}
	if err != nil {
		osFile.Close()
		return nil, err
	}
	f, err := NewReader(osFile, path)
	if err != nil {
		osFile.Close()
		return nil, err
	}
	if info.Mode().IsRegular() {
		f.size = info.Size()
	}
	f.close = append(f.close, osFile.Close)
	return f, nil
}

// NewReader reads a capture from r; name stands for it in errors. It reads up
// to the first frame, and does not close r.
func NewReader(r io.Reader, name string) (*File, error) {
	f := &File{name: name, raw: &counter{r: r}}
	f.src = newSource(f.raw)
	err := f.decompress()
	if err == nil {
		err = f.detect()
	}
	if err != nil {
		f.Close()
		return nil, f.located(err)
	}
	return f, nil
}

// detect chooses the format by the first four bytes.
func (f *File) detect() error {
	b, err := f.src.need(4)
	switch {
	case err == nil:
	case err != io.EOF:
		return f.src.damage(err, "reading the first bytes: %v", err)
	case len(b) == 0:
		return fmt.Errorf("%s is empty: nothing was captured, or it was never written", f.name)
	default:
		return unknownFormat(f.name, b)
	}
	magic := [4]byte(b[:4])
	compression := f.format
	switch order, v := pcapMagic(magic); {
	case magic == pcapngMagic:
		f.format = "pcapng"
		f.dec, err = newPcapng(f.src, f.name)
	case v != nil:
		f.format = v.name
		f.dec, err = newPcap(f.src, f.name, order, v)
	default:
		return unknownFormat(f.name, b)
	}
	f.format += compression
	return err
}

func unknownFormat(name string, b []byte) error {
	return fmt.Errorf("%s is not a capture: it starts with % x; want pcap or pcapng, plain or compressed with gzip or zstd", name, b[:min(len(b), 4)])
}

// Next reads the next frame. It returns io.EOF at the clean end, a
// [*DamageError] where the capture is cut off or broken, and after either the
// same again. Frames of link types that are not supported are skipped and
// counted.
func (f *File) Next(fr *Frame) error {
	for f.err == nil {
		if f.err = f.located(f.dec.next(fr)); f.err != nil {
			break
		}
		if fr.Link.Supported() {
			f.frames.Add(1)
			return nil
		}
		f.skipped.Add(1)
	}
	*fr = Frame{}
	return f.err
}

// located completes a DamageError with the file's name and compression, or
// replaces it where it was the file itself that could not be read.
func (f *File) located(err error) error {
	damage, ok := err.(*DamageError)
	if !ok {
		return err
	}
	if damage.Err != nil && f.raw.err != nil {
		return fmt.Errorf("read %s at byte %d: %w", f.name, f.raw.n.Load(), f.raw.err)
	}
	damage.Path, damage.Compressed = f.name, f.src.compressed
	return err
}

// Format names the format and the compression, such as "pcap", "pcap-ns",
// "pcap-modified" or "pcapng+zstd".
func (f *File) Format() string { return f.format }

// Frames is the number of frames that Next has delivered.
func (f *File) Frames() uint64 { return f.frames.Load() }

// Skipped is the number of frames of link types that are not supported.
func (f *File) Skipped() uint64 { return f.skipped.Load() }

// Offset is the number of bytes read so far from the file itself, compressed
// or not, with what is read ahead: for showing progress against Size.
func (f *File) Offset() int64 { return f.raw.n.Load() }

// Size is the length of the file itself in bytes, 0 if it is not known.
func (f *File) Size() int64 { return f.size }

// Close releases what reading needs. Frames read before are no longer valid.
func (f *File) Close() error {
	var errs []error
	for _, c := range f.close {
		errs = append(errs, c())
	}
	f.close = nil
	if f.err == nil {
		f.err = fmt.Errorf("read %s: %w", f.name, os.ErrClosed)
	}
	return errors.Join(errs...)
}
