package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// both is a byte order that reads and appends.
type both interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// sample is n frames of different lengths, a second and a bit apart.
func sample(n int) (frames []Frame) {
	for i := range n {
		data := bytes.Repeat([]byte{byte(i + 1)}, 14+i*7%60)
		frames = append(frames, Frame{
			Time:   zone.Time(1_684_999_999_123_456_000 + int64(i)*1_000_001_000),
			Link:   packet.LinkEthernet,
			Length: len(data) + i%2*100,
			Data:   data,
		})
	}
	return frames
}

// pcapFile builds a pcap file; ends gives the offset after its header and after
// each record.
func pcapFile(order both, magic uint32, link uint32, frames []Frame) (b []byte, ends []int) {
	b = order.AppendUint32(nil, magic)
	b = order.AppendUint16(order.AppendUint16(b, 2), 4)
	b = append(b, make([]byte, 8)...)
	b = order.AppendUint32(order.AppendUint32(b, 65535), link)
	ends = append(ends, len(b))
	for _, fr := range frames {
		unit := zone.Time(1000)
		if magic == 0xa1b23c4d {
			unit = 1
		}
		for _, v := range []int64{int64(fr.Time / 1e9), int64(fr.Time % 1e9 / unit), int64(len(fr.Data)), int64(fr.Length)} {
			b = order.AppendUint32(b, uint32(v))
		}
		if magic == 0xa1b2cd34 {
			b = append(b, 1, 2, 3, 4, 5, 6, 7, 8)
		}
		b = append(b, fr.Data...)
		ends = append(ends, len(b))
	}
	return b, ends
}

// block builds a pcapng block.
func block(order both, kind uint32, body ...[]byte) []byte {
	content := bytes.Join(body, nil)
	content = append(content, make([]byte, -len(content)&3)...)
	total := uint32(12 + len(content))
	b := order.AppendUint32(order.AppendUint32(nil, kind), total)
	return order.AppendUint32(append(b, content...), total)
}

func words(order both, values ...uint32) (b []byte) {
	for _, v := range values {
		b = order.AppendUint32(b, v)
	}
	return b
}

func section(order both) []byte {
	body := order.AppendUint32(nil, 0x1a2b3c4d)
	body = order.AppendUint16(order.AppendUint16(body, 1), 0)
	return block(order, blockSection, order.AppendUint64(body, 1<<64-1))
}

// option builds an option of a block.
func option(order both, code uint16, value ...byte) []byte {
	b := order.AppendUint16(order.AppendUint16(nil, code), uint16(len(value)))
	return append(append(b, value...), make([]byte, -len(value)&3)...)
}

func iface(order both, link uint16, snap uint32, options ...[]byte) []byte {
	body := order.AppendUint16(order.AppendUint16(nil, link), 0)
	return block(order, blockInterface, order.AppendUint32(body, snap), bytes.Join(options, nil))
}

func enhanced(order both, iface uint32, stamp uint64, length uint32, data []byte) []byte {
	h := words(order, iface, uint32(stamp>>32), uint32(stamp), uint32(len(data)), length)
	return block(order, blockEnhanced, h, data)
}

// readAll reads to the end and copies the frames. err is what ended it, nil at
// the clean end.
func readAll(tb testing.TB, f *File) (frames []Frame, err error) {
	tb.Helper()
	var fr Frame
	for {
		if err = f.Next(&fr); err != nil {
			break
		}
		fr.Data = bytes.Clone(fr.Data)
		frames = append(frames, fr)
	}
	if again := f.Next(&fr); again != err {
		tb.Errorf("Next after %v: %v", err, again)
	}
	if got := f.Frames(); got != uint64(len(frames)) {
		tb.Errorf("Frames() = %d after %d", got, len(frames))
	}
	if err == io.EOF {
		err = nil
	}
	return frames, err
}

func mustRead(tb testing.TB, b []byte) []Frame {
	tb.Helper()
	f, err := NewReader(bytes.NewReader(b), "test")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	frames, err := readAll(tb, f)
	if err != nil {
		tb.Fatal(err)
	}
	return frames
}

// differ says how two lists of frames differ; empty if they do not.
func differ(got, want []Frame) string {
	for i := range min(len(got), len(want)) {
		g, w := got[i], want[i]
		if g.Time != w.Time || g.Link != w.Link || g.Length != w.Length || !bytes.Equal(g.Data, w.Data) {
			return fmt.Sprintf("frame %d:\ngot  %+v\nwant %+v", i, g, w)
		}
	}
	if len(got) != len(want) {
		return fmt.Sprintf("got %d frames, want %d", len(got), len(want))
	}
	return ""
}

// damageOf gives the DamageError that err must be.
func damageOf(tb testing.TB, err error) *DamageError {
	tb.Helper()
	var d *DamageError
	if !errors.As(err, &d) {
		tb.Fatalf("got error %v, want a DamageError", err)
	}
	return d
}
