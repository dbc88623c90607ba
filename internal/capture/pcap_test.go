package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

func TestPcapVariants(t *testing.T) {
	want := sample(5)
	for _, order := range []both{binary.LittleEndian, binary.BigEndian} {
		for magic, format := range map[uint32]string{0xa1b2c3d4: "pcap", 0xa1b23c4d: "pcap-ns", 0xa1b2cd34: "pcap-modified"} {
			b, _ := pcapFile(order, magic, 0x1400_0001, want) // with a check sequence length in the upper half
			f, err := NewReader(iotest.OneByteReader(bytes.NewReader(b)), "test")
			if err != nil {
				t.Fatal(err)
			}
			got, err := readAll(t, f)
			if d := differ(got, want); d != "" || err != nil {
				t.Errorf("%v %s: %s, %v", order, format, d, err)
			}
			if f.Format() != format || f.Offset() != int64(len(b)) {
				t.Errorf("format %q, want %q; offset %d, want %d", f.Format(), format, f.Offset(), len(b))
			}
		}
	}
}

// TestPcapTruncated cuts a capture at every byte: the frames that are whole
// must come, then the end on a boundary, else damage where the cut frame starts.
func TestPcapTruncated(t *testing.T) {
	want := sample(4)
	b, ends := pcapFile(binary.LittleEndian, 0xa1b23c4d, 1, want)
	testTruncated(t, b, ends, want)
}

// testTruncated cuts b at every byte. ends[0] is where the header ends, ends[i]
// where the i-th frame ends.
func testTruncated(t *testing.T, b []byte, ends []int, want []Frame) {
	t.Helper()
	for n := range len(b) + 1 {
		f, err := NewReader(bytes.NewReader(b[:n]), "test")
		if n < ends[0] {
			if err == nil {
				t.Errorf("%d bytes: header is cut, and no error", n)
			}
			continue
		}
		if err != nil {
			t.Errorf("%d bytes: %v", n, err)
			continue
		}
		whole := 0
		for whole+1 < len(ends) && ends[whole+1] <= n {
			whole++
		}
		got, err := readAll(t, f)
		if d := differ(got, want[:whole]); d != "" {
			t.Errorf("%d bytes: %s", n, d)
		}
		if n == ends[whole] {
			if err != nil {
				t.Errorf("cut on a boundary at %d: %v", n, err)
			}
			continue
		}
		if d := damageOf(t, err); d.Offset != int64(ends[whole]) || !strings.Contains(d.Reason, "cut off") {
			t.Errorf("cut at %d: %v, want damage at %d", n, err, ends[whole])
		}
	}
}

func TestPcapDamage(t *testing.T) {
	le := binary.LittleEndian
	whole, ends := pcapFile(le, 0xa1b2c3d4, 1, sample(3))
	at := ends[2] // the third record
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"captured length", le.AppendUint32(bytes.Clone(whole[:at+8]), MaxFrame+1), "captured bytes"},
		{"wire length", le.AppendUint32(bytes.Clone(whole[:at+12]), 1<<31), "bytes on the wire"},
		{"zeros", append(bytes.Clone(whole[:at]), make([]byte, 400)...), "all zeros"},
	} {
		b := append(c.b, make([]byte, 64)...)
		f, err := NewReader(bytes.NewReader(b), "broken.pcap")
		if err != nil {
			t.Fatal(err)
		}
		got, err := readAll(t, f)
		if len(got) != 2 {
			t.Errorf("%s: %d frames before it, want 2", c.name, len(got))
		}
		d := damageOf(t, err)
		if d.Offset != int64(at) || d.Path != "broken.pcap" || !strings.Contains(d.Reason, c.want) {
			t.Errorf("%s: %+v, want %q at %d", c.name, d, c.want, at)
		}
	}
}

// TestPcapLengths reads a record that says that it captured more than there
// was: the larger counts.
func TestPcapLengths(t *testing.T) {
	frames := sample(1)
	frames[0].Length = 3
	b, _ := pcapFile(binary.BigEndian, 0xa1b2c3d4, 1, frames)
	if got := mustRead(t, b); len(got) != 1 || got[0].Length != len(frames[0].Data) {
		t.Errorf("got %+v", got)
	}
}

func TestReadError(t *testing.T) {
	disk := errors.New("the disk is gone")
	b, _ := pcapFile(binary.LittleEndian, 0xa1b2c3d4, 1, sample(3))
	for _, n := range []int{0, 10, 30, len(b)} {
		r := iotest.OneByteReader(&prefixed{bytes.Clone(b[:n]), iotest.ErrReader(disk)})
		f, err := NewReader(r, "x.pcap")
		if err == nil {
			_, err = readAll(t, f)
		}
		var damage *DamageError
		if !errors.Is(err, disk) || errors.As(err, &damage) || !strings.Contains(err.Error(), "x.pcap") {
			t.Errorf("after %d bytes: %v, want the disk's error", n, err)
		}
	}
}

func TestWriterRoundTrip(t *testing.T) {
	want := sample(6)
	want[0].Time, want[5].Time = 0, zone.Time(1<<32-1)*1e9+999_999_999
	want[1].Time += 123
	var buf bytes.Buffer
	w, err := NewWriter(&buf, packet.LinkEthernet)
	if err != nil {
		t.Fatal(err)
	}
	for _, fr := range want {
		if err := w.Write(fr); err != nil {
			t.Fatal(err)
		}
	}
	if d := differ(mustRead(t, buf.Bytes()), want); d != "" {
		t.Error(d)
	}
}

func TestWriterRefuses(t *testing.T) {
	var buf bytes.Buffer
	if _, err := NewWriter(&buf, 1<<16); err == nil {
		t.Error("link type 65536 was accepted")
	}
	w, err := NewWriter(&buf, packet.LinkRaw)
	if err != nil {
		t.Fatal(err)
	}
	before := buf.Len()
	for name, fr := range map[string]Frame{
		"link":     {Link: packet.LinkEthernet},
		"long":     {Link: packet.LinkRaw, Data: make([]byte, MaxFrame+1)},
		"longer":   {Link: packet.LinkRaw, Length: maxWire + 1},
		"too soon": {Link: packet.LinkRaw, Time: -1},
		"too late": {Link: packet.LinkRaw, Time: zone.Time(1<<32) * 1e9},
	} {
		if err := w.Write(fr); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if buf.Len() != before {
		t.Errorf("refused frames wrote %d bytes", buf.Len()-before)
	}
	full := errors.New("disk full")
	if _, err := NewWriter(failing{full}, packet.LinkRaw); !errors.Is(err, full) {
		t.Errorf("NewWriter: %v, want %v", err, full)
	}
}

// failing is a writer that fails.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
