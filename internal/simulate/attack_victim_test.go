package simulate

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

// TestVictims: over some seeds victims are silent, fall silent soon, and answer
// all along; and what they say fits what they were sent.
func TestVictims(t *testing.T) {
	for _, kind := range []string{MiraiSYN, MiraiACK, MiraiUDP, MiraiUDPPlain, BashliteUDP} {
		var silent, choked, steady int
		for seed := range uint64(24) {
			o := testOverlay(kind)
			o.Seed, o.Duration, o.Rate = seed, 3*time.Second, 200
			up, all := strike(t, o)
			last := time.Duration(-1)
			for _, s := range all {
				if !s.up {
					last = s.Time.Sub(o.Start)
				}
			}
			switch {
			case last < 0:
				silent++
			case last < time.Second:
				choked++
			default:
				steady++
			}
			checkVictim(t, kind, up, all)
		}
		if silent < 3 || choked < 3 || steady < 3 {
			t.Errorf("%s: %d victims are silent, %d soon, %d never", kind, silent, choked, steady)
		}
	}
}

func checkVictim(t *testing.T, kind string, up, all []shot) {
	t.Helper()
	sent := map[uint32]bool{} // what a reset has to name
	for _, s := range up {
		number := s.TCPSeq + 1
		if kind == MiraiACK {
			number = binary.BigEndian.Uint32(s.data[42:])
		}
		sent[number] = true
	}
	errors := 0
	for _, s := range all {
		switch {
		case s.up:
		case s.Proto == protoICMP:
			errors++
			if s.data[34] != 3 || s.data[35] != 3 || !quotes(up, s.data[42:]) {
				t.Fatalf("%s: ICMP %x", kind, s.data[34:])
			}
		case kind == MiraiSYN && s.TCPFlags == rst|ack && s.TCPSeq == 0 && sent[binary.BigEndian.Uint32(s.data[42:])]:
		case kind == MiraiACK && s.TCPFlags == rst && sent[s.TCPSeq]:
		default:
			t.Fatalf("%s: answer with flags %x, number %d", kind, s.TCPFlags, s.TCPSeq)
		}
	}
	if errors > 9 {
		t.Errorf("%s: %d ICMP messages in three seconds", kind, errors)
	}
}

// quotes says whether a quotation is the start of one of the packets.
func quotes(up []shot, quote []byte) bool {
	for _, s := range up {
		if bytes.HasPrefix(s.data[14:], quote) {
			return len(quote) == 548 || len(quote) == len(s.data)-14
		}
	}
	return false
}

// TestBeaconIsPunctual: after the first, beats are a minute and a round trip
// apart.
func TestBeaconIsPunctual(t *testing.T) {
	o := testOverlay(Beacon)
	o.Duration = 10 * time.Minute
	up, _ := strike(t, o)
	last := o.Start
	beats := 0
	for _, s := range up {
		if len(s.Payload) != 2 {
			continue
		}
		gap := s.Time.Sub(last)
		if last = s.Time; beats > 0 && (gap < time.Minute || gap > time.Minute+100*time.Millisecond) {
			t.Errorf("beat %d comes after %v", beats, gap)
		}
		beats++
	}
	if beats != 10 {
		t.Errorf("%d beats in ten minutes", beats)
	}
}

// TestHTTPRequest: the request has the size that the published one has with this
// host name and user agent.
func TestHTTPRequest(t *testing.T) {
	up, _ := strike(t, testOverlay(MiraiHTTP))
	for _, s := range up {
		if n := len(s.Payload); n > 0 && n != 305 {
			t.Fatalf("request of %d bytes", n)
		}
	}
}
