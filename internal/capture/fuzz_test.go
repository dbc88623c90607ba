package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"bellwether/internal/packet"
)

// FuzzReader reads hostile captures: it must end, with the clean end or one
// error; what it delivers must keep the limits; and what lies before a damage's
// offset must read cleanly with the same frames.
func FuzzReader(f *testing.F) {
	frames := sample(3)
	for _, order := range []both{binary.LittleEndian, binary.BigEndian} {
		for _, magic := range []uint32{0xa1b2c3d4, 0xa1b23c4d, 0xa1b2cd34} {
			b, _ := pcapFile(order, magic, 1, frames)
			f.Add(b)
		}
		b, _ := ngFile(order, frames)
		f.Add(b)
		f.Add(gzipped(f, b))
		f.Add(zstandard(f, b))
		f.Add(append(b, block(order, blockSimple, words(order, 4), []byte("data"))...))
		f.Add(append(b, block(order, blockPacket, words(order, 0, 1, 2, 3, 4), []byte("data"))...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := NewReader(bytes.NewReader(b), "fuzz")
		if err != nil {
			return
		}
		defer file.Close()
		var fr Frame
		var p packet.Packet
		frames := 0
		for ; err == nil; frames++ {
			if err = file.Next(&fr); err != nil {
				break
			}
			if len(fr.Data) > MaxFrame || fr.Length < len(fr.Data) || fr.Length > maxWire || !fr.Link.Supported() {
				t.Fatalf("frame %+v", fr)
			}
			packet.Decode(fr.Link, fr.Data, &p)
		}
		var damage *DamageError
		switch {
		case err == io.EOF:
		case !errors.As(err, &damage):
			t.Fatalf("ended with %v", err)
		case !damage.Compressed:
			repaired(t, b[:damage.Offset], frames)
		}
	})
}

// repaired reads what lies before damage.
func repaired(t *testing.T, b []byte, want int) {
	file, err := NewReader(bytes.NewReader(b), "repaired")
	if err != nil {
		t.Fatalf("before the damage: %v", err)
	}
	if got, err := readAll(t, file); len(got) != want || err != nil {
		t.Fatalf("before the damage: %d frames, %v; want %d", len(got), err, want)
	}
}
