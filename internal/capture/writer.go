package capture

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"bellwether/internal/packet"
)

// Writer writes a pcap file with nanosecond time stamps, little-endian.
type Writer struct {
	w    io.Writer
	link packet.LinkType
	buf  []byte // one record, so that a frame is one call of w
}

// NewWriter writes the file header. All frames are of the one link type.
func NewWriter(w io.Writer, link packet.LinkType) (*Writer, error) {
	if link > math.MaxUint16 {
		return nil, fmt.Errorf("write capture: link type %d does not fit in pcap", uint32(link))
	}
	le := binary.LittleEndian
	h := le.AppendUint32(nil, 0xa1b23c4d)
	h = le.AppendUint16(le.AppendUint16(h, 2), 4)
	h = append(h, make([]byte, 8)...)
	h = le.AppendUint32(h, MaxFrame)
	h = le.AppendUint32(h, uint32(link))
	if _, err := w.Write(h); err != nil {
		return nil, fmt.Errorf("write capture header: %w", err)
	}
	return &Writer{w: w, link: link}, nil
}

// Write writes one frame, in one call of the underlying writer. A Length less
// than len(Data) counts as len(Data). Frames of another link type, longer than
// [MaxFrame], or before 1970 or after 2106 are refused, and nothing is written.
func (w *Writer) Write(fr Frame) error {
	sec := int64(fr.Time) / 1e9
	switch {
	case fr.Link != w.link:
		return fmt.Errorf("write frame: link type is %v, the capture's is %v", fr.Link, w.link)
	case len(fr.Data) > MaxFrame || fr.Length > maxWire:
		return fmt.Errorf("write frame: %d bytes captured, %d on the wire: the limits are %d and %d", len(fr.Data), fr.Length, MaxFrame, maxWire)
	case fr.Time < 0 || sec > math.MaxUint32:
		return fmt.Errorf("write frame: time %v does not fit in pcap", fr.Time)
	}
	le := binary.LittleEndian
	b := le.AppendUint32(w.buf[:0], uint32(sec))
	b = le.AppendUint32(b, uint32(int64(fr.Time)%1e9))
	b = le.AppendUint32(b, uint32(len(fr.Data)))
	b = le.AppendUint32(b, uint32(max(fr.Length, len(fr.Data))))
	w.buf = append(b, fr.Data...)
	if _, err := w.w.Write(w.buf); err != nil {
		return fmt.Errorf("write frame: %w", err)
	}
	return nil
}
