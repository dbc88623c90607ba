package novelty

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"bellwether/internal/detect"
	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

var device = zone.MAC{0, 0, 0x5e, 0, 0x53, 1}

func addr(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}) }

// rows numbers snapshots as they are made.
type rows struct{ next zone.SeqID }

func (r *rows) row(at time.Duration, dst netip.Addr, proto, src, port uint16, flags uint8) *zone.Snapshot {
	r.next++
	return &zone.Snapshot{Seq: r.next, Time: zone.Time(at), Device: device, SrcMAC: device, Dst: dst,
		Proto: proto, SrcPort: src, DstPort: port, TCPFlags: flags, Length: 60}
}

func (r *rows) syn(at time.Duration, dst int, port uint16) *zone.Snapshot {
	return r.row(at, addr(dst), protoTCP, 40000, port, tcpSYN)
}

func all(string) bool  { return true }
func none(string) bool { return false }

// tracker makes one that has seen the device for long.
func tracker(p detect.Profile) *Tracker {
	t := NewTracker(&p, NewHeard(), none)
	t.Add(&zone.Snapshot{Device: device, SrcMAC: device, Time: zone.Time(-time.Hour)}, false)
	return t
}

func telnet(known ...int) detect.Profile {
	p := detect.Profile{Ports: []detect.PortUse{{Proto: protoTCP, Port: 23}}}
	for _, k := range known {
		p.Known = append(p.Known, addr(k))
	}
	return p
}

func TestOpens(t *testing.T) {
	var r rows
	for _, c := range []struct {
		name string
		row  *zone.Snapshot
		want bool
	}{
		{"SYN", r.syn(0, 1, 23), true},
		{"SYN and ACK", r.row(0, addr(1), protoTCP, 80, 40000, tcpSYN|tcpACK), false},
		{"ACK", r.row(0, addr(1), protoTCP, 40000, 443, tcpACK), false},
		{"DNS question", r.row(0, addr(1), protoUDP, 40000, 53, 0), true},
		{"DNS answer", r.row(0, addr(1), protoUDP, 53, 40000, 0), false},
		{"NTP", r.row(0, addr(1), protoUDP, 123, 123, 0), true},
		{"mDNS", r.row(0, netip.MustParseAddr("224.0.0.251"), protoUDP, 5353, 5353, 0), false},
		{"ping", r.row(0, addr(1), protoICMP, 0, 8<<8, 0), true},
		{"no address", r.row(0, netip.Addr{}, 0x88cc, 0, 0, 0), false},
	} {
		if got := Opens(c.row); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestServiceNames(t *testing.T) {
	for want, s := range map[string]Service{
		"on TCP port 2323": {protoTCP, 2323}, "on UDP port 53": {protoUDP, 53}, "by ARP": {protoARP, 0},
		"by ICMP type 8": {1, 8 << 8}, "by ICMP type 135": {58, 135 << 8}, "by protocol 47": {47, 0},
	} {
		if got := s.String(); got != want {
			t.Errorf("%v: %q, want %q", s, got, want)
		}
	}
}

// A scan of one host a minute is found with the eighth, and every further host
// is cause for alarm.
func TestSlowScan(t *testing.T) {
	var r rows
	tr := tracker(telnet())
	for i := range 30 {
		s := r.syn(time.Duration(i)*time.Minute, i, 23)
		f := tr.Add(s, i > hostFloor)
		if got, want := f.Reason == zone.ReasonHosts, i >= hostFloor; got != want {
			t.Fatalf("host %d: found %v, want %v", i+1, got, want)
		}
		if i == hostFloor && (len(f.Contacts) != hostFloor+1 || f.Contacts[hostFloor] != s.Seq || f.First != f.Contacts[0]) {
			t.Fatalf("host %d: %+v", i+1, f)
		}
	}
}

// No alarm for hosts that were learned, that answer, that come slowly enough or
// that are turned to again.
func TestUsualContacts(t *testing.T) {
	var r rows
	for name, give := range map[string]func(i int) []*zone.Snapshot{
		"known": func(i int) []*zone.Snapshot { return []*zone.Snapshot{r.syn(time.Duration(i)*time.Second, i%20, 23)} },
		"answers to whoever asks": func(i int) []*zone.Snapshot {
			at := time.Duration(i) * time.Second
			arp := r.row(at, addr(100+i), protoARP, 0, 0, 0)
			return []*zone.Snapshot{r.row(at, addr(100+i), protoICMP, 0, 0, 0), r.row(at, addr(100+i), protoICMPv6, 0, 136<<8, 0), arp}
		},
		"broadcast": func(i int) []*zone.Snapshot {
			s := r.row(time.Duration(i)*time.Second, addr(100+i), protoUDP, 40000, 9999, 0)
			s.DstMAC = zone.MAC{255, 255, 255, 255, 255, 255}
			return []*zone.Snapshot{s}
		},
		"slow": func(i int) []*zone.Snapshot {
			return []*zone.Snapshot{r.syn(time.Duration(i)*90*time.Second, 100+i, 23)}
		},
		"again": func(i int) []*zone.Snapshot {
			return []*zone.Snapshot{r.syn(time.Duration(i)*time.Second, 100+i%hostFloor, 23)}
		},
		"asked by others": func(i int) []*zone.Snapshot {
			return []*zone.Snapshot{r.row(time.Duration(i)*time.Second, addr(100+i), protoTCP, 80, 50000, tcpSYN|tcpACK)}
		},
		"groups": func(i int) []*zone.Snapshot {
			return []*zone.Snapshot{r.row(time.Duration(i)*time.Second, netip.AddrFrom4([4]byte{239, 1, 1, byte(i)}), protoUDP, 40000, 9, 0)}
		},
	} {
		known := make([]int, 20)
		for i := range known {
			known[i] = i
		}
		tr := tracker(telnet(known...))
		for i := range 100 {
			for _, s := range give(i) {
				if f := tr.Add(s, false); f.Reason != "" {
					t.Fatalf("%s: row %d gives %+v", name, i, f)
				}
			}
		}
	}
}

// A host that answers is known, whatever it was asked; a reset is no answer.
func TestAnswers(t *testing.T) {
	device := zone.MAC{0, 0, 0x5e, 0, 0x53, 1}
	var r rows
	from := func(i int, p packet.Packet) *packet.Packet {
		p.DstMAC, p.Src = device, addr(i)
		return &p
	}
	for _, c := range []struct {
		name  string
		asks  func(i int) *zone.Snapshot
		reply packet.Packet
		want  bool // an answer
	}{
		{"SYN and ACK", func(i int) *zone.Snapshot { return r.syn(0, i, 443) }, packet.Packet{Kind: packet.KindIPv4, Proto: protoTCP, SrcPort: 443, TCPFlags: tcpSYN | tcpACK}, true},
		{"RST and ACK", func(i int) *zone.Snapshot { return r.syn(0, i, 443) }, packet.Packet{Kind: packet.KindIPv4, Proto: protoTCP, SrcPort: 443, TCPFlags: tcpRST | tcpACK}, false},
		{"NTP", func(i int) *zone.Snapshot { return r.row(0, addr(i), protoUDP, 123, 123, 0) }, packet.Packet{Kind: packet.KindIPv4, Proto: protoUDP, SrcPort: 123}, true},
		{"echo reply", func(i int) *zone.Snapshot { return r.row(0, addr(i), protoICMP, 0, 8<<8, 0) }, packet.Packet{Kind: packet.KindIPv4, Proto: protoICMP}, true},
		{"unreachable", func(i int) *zone.Snapshot { return r.row(0, addr(i), protoICMP, 0, 8<<8, 0) }, packet.Packet{Kind: packet.KindIPv4, Proto: protoICMP, ICMPType: 3}, false},
		{"ARP reply", func(i int) *zone.Snapshot {
			s := r.row(0, addr(i), protoARP, 0, 0, 0)
			s.DstMAC = zone.MAC{255, 255, 255, 255, 255, 255}
			return s
		}, packet.Packet{Kind: packet.KindARP}, true},
	} {
		tr, found := tracker(telnet()), false
		for i := range 3 * hostFloor {
			found = tr.Add(c.asks(i), false).Reason == zone.ReasonHosts || found
			if a, ok := AnswerOf(from(i, c.reply)); ok != c.want {
				t.Errorf("%s: an answer %v", c.name, ok)
			} else if ok {
				tr.Answered(a, false)
			}
		}
		if found == c.want {
			t.Errorf("%s: found %v", c.name, found)
		}
	}
}

// After the clock was set nothing counts that is too old, or in the future.
func TestClockIsSet(t *testing.T) {
	var r rows
	p := telnet()
	tr := tracker(p)
	var all []zone.Snapshot
	at := time.Hour
	for i, step := range []time.Duration{0, 1, 1, -580, 1, 1, 1000, 1, 1, 1, 1, 1, 1, 1, 1} {
		at += step * time.Second
		s := r.syn(at, i, 23)
		all = append(all, *s)
		f := tr.Add(s, false)
		if f.Reason == "" {
			continue
		}
		var named []zone.Snapshot
		for _, seq := range f.Contacts {
			named = append(named, all[seq-1])
		}
		if _, err := Check(&p, f.Reason, named); err != nil {
			t.Errorf("contact %d: %v", i, err)
		}
	}
}

// What became known without alarm stays so; what was part of an alarm does not.
func TestKnownAfterwards(t *testing.T) {
	var r rows
	tr := tracker(telnet())
	for i := range 5 {
		tr.Add(r.syn(0, i, 23), false)
	}
	for i := range 20 { // later, the five are known
		if f := tr.Add(r.syn(time.Hour+time.Duration(i)*time.Second, i%5, 23), false); f.Reason != "" {
			t.Fatalf("a host that was contacted before: %+v", f)
		}
	}
	scan := func(at time.Duration) (found int) {
		for i := range 20 {
			if tr.Add(r.syn(at+time.Duration(i)*time.Second, 100+i, 23), false).Reason != "" {
				found++
			}
		}
		return found
	}
	if first, again := scan(2*time.Hour), scan(4*time.Hour); first != 20-hostFloor || again != first {
		t.Errorf("a scan was found at %d hosts, the same again at %d, want %d", first, again, 20-hostFloor)
	}
}

func TestPorts(t *testing.T) {
	var r rows
	tr := tracker(telnet(1))
	for i := range portFloor + 5 {
		f := tr.Add(r.syn(time.Duration(i)*time.Second, 1, uint16(1000+i)), false)
		if got, want := f.Reason == zone.ReasonPorts, i >= portFloor; got != want {
			t.Fatalf("port %d: %+v", i+1, f)
		}
	}
	tr = tracker(telnet(1))
	for i := range 100 { // answers to a client go to one port of its after the other
		if f := tr.Add(r.row(time.Duration(i)*time.Second, addr(1), protoUDP, 60000, uint16(40000+i), 0), false); f.Reason != "" {
			t.Fatalf("answer %d: %+v", i, f)
		}
	}
}

// Connections from ever new ports to hosts that the device knows, and answers.
func TestFlows(t *testing.T) {
	var r rows
	p := detect.Profile{Known: []netip.Addr{addr(1)}, Ports: []detect.PortUse{{Proto: protoTCP, Port: 80}}, MaxBurst: 60, MaxFlows: 500}
	open := func(at time.Duration, port uint16) *zone.Snapshot {
		return r.row(at, addr(1), protoTCP, port, 80, tcpSYN)
	}
	tr := tracker(p)
	for i := range 300 { // 20 a second
		if f := tr.Add(open(time.Duration(i)*50*time.Millisecond, uint16(20000+i)), false); f.Reason != "" {
			t.Fatalf("connection %d: %+v", i+1, f)
		}
	}
	for i := range 180 {
		at := time.Minute + time.Duration(i)*5*time.Millisecond
		f := tr.Add(open(at, uint16(30000+i)), false)
		if got, want := f.Reason == zone.ReasonBurst, i >= 120; got != want {
			t.Fatalf("fast connection %d: %+v", i+1, f)
		}
		if f := tr.Add(r.row(at, addr(1), protoTCP, uint16(30000+i), 80, tcpACK), false); f.Reason != "" {
			t.Fatalf("its ACK: %+v", f)
		}
	}
	for i := range 100 { // questions to one server, each from a port of its own
		if f := tr.Add(r.row(30*time.Minute+time.Duration(i)*50*time.Millisecond, addr(1), protoUDP, uint16(50000+i), 53, 0), false); f.Reason != "" {
			t.Fatalf("question %d: %+v", i+1, f)
		}
	}
	slow := tracker(detect.Profile{Known: []netip.Addr{addr(1)}, Ports: p.Ports})
	for i := range 100 { // 10 a second
		f := slow.Add(open(time.Duration(i)*100*time.Millisecond, uint16(20000+i)), false)
		if got, want := f.Reason == zone.ReasonFlows, i >= flowFloor; got != want {
			t.Fatalf("slow connection %d: %+v", i+1, f)
		}
	}
	for i := range 60 { // one flow, however many datagrams
		if f := tr.Add(r.row(time.Hour+time.Duration(i)*time.Millisecond, addr(1), protoUDP, 50000, 5000, 0), false); f.Reason != "" {
			t.Fatalf("datagram %d: %+v", i+1, f)
		}
	}
}

func TestRate(t *testing.T) {
	var r rows
	tr := tracker(detect.Profile{Known: []netip.Addr{addr(1)}, MaxRate: 400})
	for i := range 5000 { // 1,000 a second
		if f := tr.Add(r.row(time.Duration(i)*time.Millisecond, addr(1), protoTCP, 40000, 443, tcpACK), false); f.Reason != "" {
			t.Fatalf("row %d: %+v", i, f)
		}
	}
	found := 0
	for i := range 2500 {
		s := r.row(time.Minute+time.Duration(i)*400*time.Microsecond, addr(1), protoTCP, 40000, 443, tcpACK)
		if f := tr.Add(s, false); f.Reason == zone.ReasonRate {
			found++
			if s.Seq-f.First != 2000 {
				t.Fatalf("row %d: %+v", i, f)
			}
		}
	}
	if found != 500 {
		t.Errorf("found %d times, want 500", found)
	}
	if f := tr.Add(r.row(time.Second, addr(1), protoTCP, 40000, 443, tcpACK), false); f.Reason != "" {
		t.Errorf("the clock was set back: %+v", f)
	}
}

// What is found is within the span also where times are out of order.
func TestRateOutOfOrder(t *testing.T) {
	var r rows
	tr := NewTracker(&detect.Profile{}, NewHeard(), none)
	tr.Add(r.row(-time.Hour, addr(1), protoTCP, 1, 2, tcpACK), false)
	ms := []int{0, 2500, 1600, 700}
	for i := range 40 {
		ms = append(ms, 701+i)
	}
	var all []zone.Snapshot
	for _, at := range ms {
		s := r.row(time.Duration(at)*time.Millisecond, addr(9), protoTCP, 1000, 2000, tcpACK)
		all = append(all, *s)
		f := tr.Add(s, false)
		if f.Reason != zone.ReasonSilent {
			continue
		}
		var evidence []zone.Snapshot
		for _, s := range all {
			if slices.Contains(f.Contacts, s.Seq) {
				evidence = append(evidence, s)
			}
		}
		if _, err := Check(&detect.Profile{}, f.Reason, evidence); err != nil {
			t.Fatalf("a finding does not hold: %v", err)
		}
		return
	}
	t.Error("nothing was found")
}

func TestSwitchedOff(t *testing.T) {
	var r rows
	p := telnet()
	tr := NewTracker(&p, NewHeard(), all)
	for i := range 5000 {
		if f := tr.Add(r.syn(time.Duration(i)*time.Microsecond, i, uint16(i)), false); f.Reason != "" {
			t.Fatalf("row %d: %+v", i, f)
		}
	}
	if n := len(tr.hosts.pending) + len(tr.hosts.known.keys) + len(tr.ports.known.keys) + cap(tr.rate.ring); n != 0 {
		t.Errorf("%d things are remembered for nothing", n)
	}
}

func TestTrackerIsBounded(t *testing.T) {
	var r rows
	tr := tracker(telnet())
	for i := range 50_000 {
		at := time.Duration(i) * 2 * time.Minute
		tr.Add(r.syn(at, i, uint16(i)), false)
		tr.Add(r.row(at, addr(i+9), protoTCP, 80, 4000, tcpSYN|tcpACK), false)
	}
	if k, m := len(tr.hosts.known.keys), len(tr.hosts.known.met); k > maxMet || m > maxMet {
		t.Errorf("%d known, %d met, want at most %d", k, m, maxMet)
	}
}

func TestForeignSnapshotsDoNotCount(t *testing.T) {
	var r rows
	tr := tracker(telnet())
	for i := range 100 {
		s := r.syn(0, i, 23)
		s.SrcMAC[5]++
		if f := tr.Add(s, false); f.Reason != "" {
			t.Fatalf("%+v", f)
		}
	}
}

// learned is the profile of a device that turns to 3 hosts every 5 minutes
// without an answer, after it booted with 12.
func learned() detect.Profile {
	var r rows
	l := NewLearner()
	for i := range 12 {
		l.Add(r.syn(time.Duration(i)*time.Millisecond, i, 443))
	}
	for i := range 200 {
		at := 20*time.Minute + time.Duration(i)*5*time.Minute
		for k := range 3 {
			l.Add(r.syn(at, 1000+3*i+k, 443))
		}
	}
	p := detect.Profile{Ports: []detect.PortUse{{Proto: protoTCP, Port: 443}}}
	l.Fill(&p)
	return p
}

func TestLearner(t *testing.T) {
	p := learned()
	if len(p.Known) != 612 || !slices.IsSortedFunc(p.Known, netip.Addr.Compare) {
		t.Errorf("%d known hosts, want 612, sorted", len(p.Known))
	}
	if p.NewHosts != 9 || p.NewPorts != 0 || p.MaxFlows != 12 || p.MaxBurst != 12 || p.MaxRate != 12 {
		t.Errorf("%d hosts, %d ports, %d flows, %d and %d packets a second; want 9, 0, 12, 12, 12", p.NewHosts, p.NewPorts, p.MaxFlows, p.MaxBurst, p.MaxRate)
	}
	if got := Limit(&p, zone.ReasonHosts); got != 18 {
		t.Errorf("the limit is %d hosts, want 18", got)
	}
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
	l := NewLearner()
	var r rows
	for i := range 30_000 {
		l.Add(r.syn(time.Duration(i)*time.Microsecond, i, uint16(i)))
	}
	p = detect.Profile{}
	l.Fill(&p)
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
	if Limit(&p, zone.ReasonHosts) != 0 || Limit(&p, zone.ReasonPorts) != 0 || Limit(&p, zone.ReasonRate) != 0 {
		t.Errorf("a device that scans while it is learned is judged by its counts: %+v", p.NewHosts)
	}
}

func TestCheck(t *testing.T) {
	var r rows
	p := telnet(500)
	scan := func(n int, change func(rows []zone.Snapshot)) []zone.Snapshot {
		var out []zone.Snapshot
		for i := range n {
			out = append(out, *r.syn(time.Duration(i)*time.Minute, i, uint16(100+i)))
		}
		change(out)
		return out
	}
	same := func([]zone.Snapshot) {}
	if n, err := Check(&p, zone.ReasonHosts, scan(8, same)); n != 8 || err != nil {
		t.Errorf("8 hosts: %d, %v", n, err)
	}
	for want, c := range map[string]struct {
		reason string
		rows   []zone.Snapshot
	}{
		"do not exceed":   {zone.ReasonHosts, scan(7, same)},
		"counted twice":   {zone.ReasonHosts, scan(8, func(s []zone.Snapshot) { s[3].Dst = s[2].Dst })},
		"the device knew": {zone.ReasonHosts, scan(8, func(s []zone.Snapshot) { s[3].Dst = addr(500) })},
		"does not turn":   {zone.ReasonHosts, scan(8, func(s []zone.Snapshot) { s[3].TCPFlags = tcpACK })},
		"from the last":   {zone.ReasonHosts, scan(12, same)},
		"flow or packet is counted": {zone.ReasonBurst, scan(100, func(s []zone.Snapshot) {
			for i := range s {
				s[i].Time = 0
			}
			s[3].Dst, s[3].DstPort = s[2].Dst, s[2].DstPort
		})},
		"1s from the last": {zone.ReasonRate, scan(401, func(s []zone.Snapshot) {})},
		"device used": {zone.ReasonPorts, scan(16, func(s []zone.Snapshot) {
			for i := range s {
				s[i].Time = 0
			}
			s[3].DstPort = 23
		})},
		"no count": {"score", scan(8, same)},
	} {
		if _, err := Check(&p, c.reason, c.rows); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

func TestDescribe(t *testing.T) {
	var r rows
	p := telnet()
	p.NewHosts, p.MaxRate = 2, 12
	var scan []zone.Snapshot
	for i := range 8 {
		scan = append(scan, *r.syn(time.Duration(i)*time.Minute, i, []uint16{23, 23, 23, 2323}[i%4]))
	}
	text, f := Describe(&p, zone.ReasonHosts, scan)
	if want := "turns to 8 hosts it never contacted before in 7m0s, with no answer, 6 of them on TCP port 23; at most 2 in 10 min before"; text != want {
		t.Errorf("got %q\nwant %q", text, want)
	}
	if f.Observed != 8 || f.High != 2 || f.Name != "new_hosts_10min" {
		t.Errorf("%+v", f)
	}
	for _, reason := range []string{zone.ReasonPorts, zone.ReasonFlows, zone.ReasonBurst, zone.ReasonRate} {
		if text, f := Describe(&p, reason, scan); text == "" || f.Name == "" || !strings.Contains(text, fmt.Sprint(len(scan))) {
			t.Errorf("%s: %q, %+v", reason, text, f)
		}
	}
}

// The packets of a device that does what it always did cost no allocation.
func TestAddAllocatesNothing(t *testing.T) {
	var r rows
	tr := tracker(telnet(1, 2, 3))
	s := r.syn(0, 2, 23)
	if n := testing.AllocsPerRun(1000, func() { s.Time += 1e6; tr.Add(s, false) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAdd(b *testing.B) {
	var r rows
	wide := telnet(1, 2, 3)
	wide.NewHosts = maxContacts / 2
	for name, c := range map[string]struct {
		p    detect.Profile
		scan bool
	}{"known": {telnet(1, 2, 3), false}, "scan": {telnet(1, 2, 3), true}, "scan of a wide limit": {wide, true}} {
		b.Run(name, func(b *testing.B) {
			tr := tracker(c.p)
			s := r.row(0, addr(2), protoTCP, 40000, 23, tcpSYN)
			for i := range b.N {
				s.Time += 1e5
				if c.scan {
					s.Dst = addr(i)
				}
				tr.Add(s, c.scan)
			}
		})
	}
}
