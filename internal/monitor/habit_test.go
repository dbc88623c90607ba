package monitor

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"bellwether/internal/novelty"
	"bellwether/internal/zone"
)

const (
	tcp, udp       = 6, 17
	tcpSYN, tcpACK = 0x02, 0x10
)

func host(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}) }

func row(at time.Duration, dst netip.Addr, proto, src, port uint16, flags uint8, length uint32) *zone.Snapshot {
	return &zone.Snapshot{Time: zone.Time(at), Device: camera, SrcMAC: camera, Src: cameraA, Dst: dst, Proto: proto, SrcPort: src, DstPort: port, TCPFlags: flags, Length: length}
}

// counted is what a habit says, counted anew from all rows.
func counted(rows []*zone.Snapshot, now zone.Time) (hosts, packets int, bytes int64) {
	seen := map[netip.Addr]bool{}
	for _, r := range rows {
		age := now.Sub(r.Time)
		if age <= hostSpan && novelty.Opens(r) {
			seen[r.Dst] = true
		}
		if age <= rateSpan {
			packets++
			bytes += int64(r.Length)
		}
	}
	return len(seen), packets, bytes
}

func TestHabitCountsTheLastMinute(t *testing.T) {
	noise := rand.New(rand.NewPCG(3, 4))
	h := newHabit()
	var rows []*zone.Snapshot
	at := time.Duration(0)
	for i := range 4000 {
		at += time.Duration(noise.Int64N(int64(400 * time.Millisecond)))
		if noise.IntN(300) == 0 {
			at += 3 * time.Minute
		}
		r := row(at, host(noise.IntN(200)), tcp, 40000, uint16(20+noise.IntN(4)), []uint8{tcpSYN, tcpACK}[noise.IntN(2)], uint32(60+noise.IntN(1000)))
		rows = append(rows, r)
		h.add(r)
		hosts, packets, bytes := counted(rows, r.Time)
		if len(h.all) != hosts || h.packets != packets || h.bytes != bytes {
			t.Fatalf("row %d: %d hosts, %d packets, %d bytes; want %d, %d, %d", i, len(h.all), h.packets, h.bytes, hosts, packets, bytes)
		}
	}
}

func TestHabitIsBounded(t *testing.T) {
	h := newHabit()
	for i := range 5 * maxHabit {
		h.add(row(time.Duration(i)*time.Microsecond, host(i), tcp, 40000, 23, tcpSYN, 60))
	}
	if len(h.contacts) > maxHabit || len(h.all) > maxHabit || h.packets > maxHabit || h.packets != len(h.contacts) || h.bytes != int64(60*h.packets) {
		t.Errorf("%d contacts, %d hosts, %d packets, %d bytes; want at most %d, and to agree", len(h.contacts), len(h.all), h.packets, h.bytes, maxHabit)
	}
	h.add(row(time.Hour, host(1), tcp, 40000, 23, tcpSYN, 60))
	if len(h.contacts) != 1 || len(h.all) != 1 || len(h.hosts) != 1 || h.packets != 1 {
		t.Errorf("an hour later %d contacts are left, want the newest alone", len(h.contacts))
	}
}

func TestProfile(t *testing.T) {
	p := newProfiler()
	for i := range 5 {
		p.add(row(time.Duration(i)*time.Second, host(i), tcp, 40000, 443, tcpSYN, 100))
	}
	for i := range 3 {
		p.add(row(2*time.Minute+time.Duration(i)*time.Second, host(i), udp, 40000, 53, 0, 1000))
	}
	own := row(3*time.Minute, host(1), udp, 40000, 53, 0, 70)
	own.Src = netip.MustParseAddr("2001:db8:1:2:3:4:5:6")
	p.add(own)
	misused := row(3*time.Minute, host(9), tcp, 40000, 23, tcpSYN, 60)
	misused.SrcMAC = stranger
	p.add(misused)
	got := p.result()
	if len(got.Known) != 5 || got.MaxPackets != 5 || got.MaxBytes != 3000 {
		t.Errorf("got %d hosts, %d packets, %d bytes; want 5, 5, 3000", len(got.Known), got.MaxPackets, got.MaxBytes)
	}
	if len(got.Ports) != 2 || got.Ports[0].Port != 443 || got.Ports[0].MaxHosts != 5 || got.Ports[1].Port != 53 || got.Ports[1].MaxHosts != 3 {
		t.Errorf("ports are %+v", got.Ports)
	}
	if !slices.Equal(got.Addresses, []netip.Addr{cameraA, own.Src}) || len(got.Prefixes) != 1 || !got.Prefixes[0].Contains(own.Src) {
		t.Errorf("addresses are %v, networks %v", got.Addresses, got.Prefixes)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

// A device that does everything at once still has a profile within its bounds.
func TestProfileIsBounded(t *testing.T) {
	p := newProfiler()
	for i := range 20_000 {
		r := row(time.Duration(i)*time.Millisecond, host(i), tcp, 40000, uint16(i), tcpSYN, 60)
		r.Src = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		p.add(r)
	}
	got := p.result()
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

func TestLearnerThins(t *testing.T) {
	l := newLearner(&device{})
	const n = 5*maxLearn + 3
	for i := range n {
		l.add(&zone.Snapshot{Seq: zone.SeqID(i + 1), Time: zone.Time(i), Device: camera, SrcMAC: camera})
	}
	if l.seen != n || l.first != 1 || l.last != n {
		t.Errorf("saw %d, SEQ %d to %d; want %d, 1 to %d", l.seen, l.first, l.last, n, n)
	}
	if len(l.rows) > 2*maxLearn || len(l.rows) < maxLearn/2 || len(l.rows) != len(l.times) {
		t.Errorf("%d rows and %d times are kept, want at most %d", len(l.rows), len(l.times), 2*maxLearn)
	}
	for i := 0; i < len(l.times); i++ {
		if i%learnBlock != 0 && l.times[i] != l.times[i-1]+1 {
			t.Fatalf("row %d is not its neighbour's neighbour any more", i)
		}
		if i > 0 && l.times[i] <= l.times[i-1] {
			t.Fatalf("row %d is out of order", i)
		}
	}
}
