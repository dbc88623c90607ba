package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"bellwether/internal/packet"
)

func testLiveCounts(t *testing.T) {
	const count = 20_000
	l, send := cable(t, LiveOptions{Promiscuous: true})
	var fr Frame
	if err := l.Next(&fr); !errors.Is(err, ErrTimeout) {
		t.Fatalf("Next on a silent cable: %v, want ErrTimeout", err)
	}
	before := time.Now()
	go func() {
		for i := range uint32(count) {
			send(numbered(i, 18+int(i%1400)))
			if i%64 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	}()
	for i := range uint32(count) {
		receive(t, l, &fr)
		if want := numbered(i, 18+int(i%1400)); !bytes.Equal(fr.Data, want) || fr.Length != len(want) {
			t.Fatalf("frame %d: %d bytes of %d, % x…", i, len(fr.Data), fr.Length, fr.Data[:18])
		}
		if fr.Link != packet.LinkEthernet {
			t.Fatalf("link type %v", fr.Link)
		}
		if at := fr.Time.Std(); at.Before(before.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
			t.Fatalf("frame %d has time %v", i, at)
		}
	}
	stats, err := l.Stats()
	if want := (LiveStats{Received: count, Delivered: count}); err != nil || stats != want {
		t.Errorf("stats %+v, %v; want %+v", stats, err, want)
	}
}

func testLiveVLAN(t *testing.T) {
	l, send := cable(t, LiveOptions{})
	tag := func(b []byte, tpid, tci uint16) []byte {
		var four [4]byte
		binary.BigEndian.PutUint16(four[:], tpid)
		binary.BigEndian.PutUint16(four[2:], tci)
		return slices.Insert(b, 12, four[:]...)
	}
	frames := [][]byte{
		tag(numbered(1, 100), 0x8100, 3<<13|101),
		tag(numbered(2, 100), 0x88a8, 42),
		tag(tag(numbered(3, 100), 0x8100, 7), 0x88a8, 600),
		numbered(4, 100),
	}
	for _, want := range frames {
		send(want)
		var fr Frame
		receive(t, l, &fr)
		if !bytes.Equal(fr.Data, want) || fr.Length != len(want) {
			t.Errorf("got  % x (%d)\nwant % x (%d)", fr.Data[:26], fr.Length, want[:26], len(want))
		}
	}
}

func testLiveSnap(t *testing.T) {
	l, send := cable(t, LiveOptions{SnapLen: 60})
	send(numbered(1, 1000))
	send(numbered(2, 30))
	var fr Frame
	for _, want := range []struct{ captured, length int }{{60, 1000}, {30, 30}} {
		if receive(t, l, &fr); len(fr.Data) != want.captured || fr.Length != want.length {
			t.Errorf("got %d of %d bytes, want %d of %d", len(fr.Data), fr.Length, want.captured, want.length)
		}
	}
}

func testLiveDrops(t *testing.T) {
	const count = 5000
	l, send := cable(t, LiveOptions{RingBytes: 1})
	for i := range uint32(count) {
		send(numbered(i, 1400))
	}
	var fr Frame
	n := uint64(0)
	for l.Next(&fr) == nil {
		n++
	}
	stats, err := l.Stats()
	if err != nil || stats.Received != count || stats.Delivered != n || stats.KernelDrops != count-n {
		t.Errorf("%d frames delivered of %d; stats %+v, %v", n, count, stats, err)
	}
	if stats.KernelDrops == 0 || stats.RingFreezes == 0 || n == 0 {
		t.Errorf("a ring of two blocks took 7 MB: %+v", stats)
	}
	send(numbered(9, 100))
	if receive(t, l, &fr); binary.BigEndian.Uint32(fr.Data[14:]) != 9 {
		t.Errorf("after drops got frame % x", fr.Data[:18])
	}
}

func testLiveOutgoing(t *testing.T) {
	l, send := cable(t, LiveOptions{})
	sender(t, "near")(numbered(1, 64))
	var fr Frame
	if receive(t, l, &fr); !bytes.Equal(fr.Data, numbered(1, 64)) {
		t.Errorf("own frame: % x", fr.Data)
	}
	send(numbered(2, 64))
	if receive(t, l, &fr); !bytes.Equal(fr.Data, numbered(2, 64)) {
		t.Errorf("the other's frame: % x", fr.Data)
	}
}

func testLiveLoopback(t *testing.T) {
	l := openLive(t, "lo", LiveOptions{})
	conn, err := net.Dial("udp", "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("once")); err != nil {
		t.Fatal(err)
	}
	sent := 0
	var fr Frame
	var p packet.Packet
	for l.Next(&fr) == nil {
		packet.Decode(fr.Link, fr.Data, &p)
		if p.Proto == packet.ProtoUDP && p.DstPort == 9 && string(p.Payload) == "once" {
			sent++
		}
	}
	if sent != 1 {
		t.Errorf("a datagram on the loopback interface was seen %d times", sent)
	}
}
