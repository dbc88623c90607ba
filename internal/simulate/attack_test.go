package simulate

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

func testOverlay(kind string) Overlay {
	return Overlay{
		MAC: documentationMAC(0x42), IP: netip.MustParseAddr("192.168.77.66"), GatewayMAC: documentationMAC(1),
		Kind: kind, Start: testStart(), Duration: 20 * time.Second, Seed: 7,
	}
}

// shot is one frame of an attack, decoded.
type shot struct {
	packet.Packet
	up   bool
	data []byte
}

// strike decodes a whole attack, and fails on whatever no attack may do.
func strike(t *testing.T, o Overlay) (up, all []shot) {
	t.Helper()
	last := o.Start
	for f := range o.Frames() {
		if err := checkFrame(f.Data); err != nil {
			t.Fatalf("%s: %v: %x", o.Kind, err, f.Data)
		}
		if f.Time < last || f.Attack != o.Kind || f.Device != o.MAC {
			t.Fatalf("%s: frame at %v after %v, attack %q, device %v", o.Kind, f.Time, last, f.Attack, f.Device)
		}
		last = f.Time
		s := shot{data: append([]byte{}, f.Data...)}
		s.Time, s.Length = f.Time, len(f.Data)
		packet.Decode(packet.LinkEthernet, s.data, &s.Packet)
		if s.Truncated {
			t.Fatalf("%s: does not decode: %x", o.Kind, f.Data)
		}
		s.up = s.SrcMAC != o.GatewayMAC
		if s.up {
			up = append(up, s)
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		t.Fatalf("%s: no frames", o.Kind)
	}
	return up, all
}

func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Kinds() {
		if seen[k.Name] || k.About == "" || strings.Contains(k.About, "\n") || k.Rate <= 0 {
			t.Errorf("kind %+v", k)
		}
		seen[k.Name] = true
		o := testOverlay(k.Name)
		if k.Rate < 0.1 {
			o.Duration = 5 * time.Minute
		}
		up, _ := strike(t, o)
		for _, s := range up {
			if s.SrcMAC != o.MAC && k.Name != AddressMisuse {
				t.Fatalf("%s: sent by %v", k.Name, s.SrcMAC)
			}
			if s.Kind == packet.KindIPv4 && s.Src != o.IP && k.Name != SpoofedFlood {
				t.Fatalf("%s: sent from %v", k.Name, s.Src)
			}
		}
	}
	if len(seen) < 26 {
		t.Errorf("%d kinds", len(seen))
	}
}

func TestOverlayIsAFunctionOfItsSeed(t *testing.T) {
	for _, k := range Kinds() {
		frames := func(seed uint64) string {
			o := testOverlay(k.Name)
			o.Seed, o.Duration = seed, 3*time.Second
			var b strings.Builder
			for f := range o.Frames() {
				b.WriteString(f.Time.String())
				b.Write(f.Data)
			}
			return b.String()
		}
		once := frames(1)
		if once != frames(1) {
			t.Errorf("%s: same seed, other frames", k.Name)
		}
		if once == frames(2) && k.Name != ARPScan && k.Name != ARPSpoof {
			t.Errorf("%s: other seed, same frames", k.Name)
		}
	}
}

func TestFloodRates(t *testing.T) {
	for _, k := range Kinds() {
		if k.Rate < 100 || k.Name == MiraiScan {
			continue
		}
		for _, rate := range []float64{0, 300} {
			o := testOverlay(k.Name)
			o.Rate = rate
			up, _ := strike(t, o)
			want := rate
			if want == 0 {
				want = k.Rate
			}
			got := float64(len(up)) / o.Duration.Seconds()
			if math.Abs(got-want) > 0.05*want+1 {
				t.Errorf("%s: %.0f packets/s, want %.0f", k.Name, got, want)
			}
		}
	}
}

func TestMiraiScan(t *testing.T) {
	up, all := strike(t, testOverlay(MiraiScan))
	ports, sources, windows := map[uint16]int{}, map[uint16]int{}, map[uint16]bool{}
	raw, seconds := 0, map[zone.Time]int{}
	for _, s := range up {
		if len(s.data) != 54 || s.TCPFlags != syn {
			continue // the logins' own packets have options
		}
		raw++
		ports[s.DstPort]++
		sources[s.SrcPort]++
		if s.SrcPort < 1024 {
			t.Fatalf("source port %d", s.SrcPort)
		}
		windows[binary.BigEndian.Uint16(s.data[48:])] = true
		seconds[s.Time.Add(-time.Duration(testStart()))/1e9]++
		to := s.Dst.As4()
		if s.TCPSeq != binary.BigEndian.Uint32(to[:]) {
			t.Fatalf("sequence number %#x to %v", s.TCPSeq, s.Dst)
		}
		if !isPublic(to) || to[0] == 3 || to[0] == 56 || to[0] == 214 {
			t.Fatalf("scans %v", s.Dst)
		}
	}
	if raw != 20*160 || ports[2323] != raw/10 || ports[23] != raw-raw/10 || len(ports) != 2 {
		t.Errorf("%d SYNs to ports %v", raw, ports)
	}
	if len(sources) != 1 || len(windows) != 1 {
		t.Errorf("source ports %v, windows %v: both are chosen once", sources, windows)
	}
	for s, n := range seconds {
		if n != 160 {
			t.Errorf("second %d: %d SYNs", s, n)
		}
	}
	refused, accepted := 0, 0
	for _, s := range all {
		if !s.up && s.TCPFlags&rst != 0 {
			refused++
		}
		if !s.up && s.TCPFlags == syn|ack && len(s.data) == 54 {
			accepted++ // the logins' have options
		}
	}
	if refused < 40 || refused > 250 || accepted < 10 || accepted > 100 {
		t.Errorf("%d refused, %d accepted", refused, accepted)
	}
}

// spread counts how many different values of something there are.
func spread[K comparable](up []shot, of func(shot) K) int {
	m := map[K]bool{}
	for _, s := range up {
		m[of(s)] = true
	}
	return len(m)
}

func dstPort(s shot) uint16 { return s.DstPort }
func srcPort(s shot) uint16 { return s.SrcPort }
func dst(s shot) netip.Addr { return s.Dst }
func src(s shot) netip.Addr { return s.Src }
func length(s shot) int     { return s.Length }
func flags(s shot) uint8    { return s.TCPFlags }
func protocol(s shot) uint8 { return s.Proto }

func TestFloodShapes(t *testing.T) {
	many := func(n int) bool { return n > 5000 }
	tests := []struct {
		kind     string
		proto    uint8
		length   int
		flags    uint8
		dstPorts func(int) bool
		srcPorts func(int) bool
	}{
		{MiraiSYN, protoTCP, 14 + 20 + 40, syn, many, many},
		{MiraiACK, protoTCP, 14 + 20 + 20 + 512, ack, many, many},
		{MiraiUDP, protoUDP, 14 + 20 + 8 + 512, 0, many, many},
		{MiraiUDPPlain, protoUDP, 14 + 20 + 8 + 512, 0, one, one},
		{MiraiGREIP, protoGRE, 14 + 20 + 4 + 20 + 8 + 512, 0, one, one},
		{MiraiVSE, protoUDP, 14 + 20 + 8 + 25, 0, one, many},
		{BashliteUDP, protoUDP, 14 + 20 + 8 + 1024, 0, one, one},
		{BashliteTCP, protoTCP, 14 + 20 + 20, syn | rst | fin | ack | psh, one, many},
		{SpoofedFlood, protoTCP, 14 + 20 + 40, syn, many, many},
	}
	for _, tt := range tests {
		up, _ := strike(t, testOverlay(tt.kind))
		if spread(up, dst) != 1 || up[0].Dst != netip.MustParseAddr("203.0.113.66") {
			t.Errorf("%s: %d targets, the first %v", tt.kind, spread(up, dst), up[0].Dst)
		}
		if spread(up, protocol) != 1 || up[0].Proto != tt.proto || spread(up, length) != 1 || up[0].Length != tt.length {
			t.Errorf("%s: protocol %d, %d lengths, the first %d", tt.kind, up[0].Proto, spread(up, length), up[0].Length)
		}
		if spread(up, flags) != 1 || up[0].TCPFlags != tt.flags {
			t.Errorf("%s: flags %#x", tt.kind, up[0].TCPFlags)
		}
		if !tt.dstPorts(spread(up, dstPort)) || !tt.srcPorts(spread(up, srcPort)) {
			t.Errorf("%s: %d source and %d destination ports", tt.kind, spread(up, srcPort), spread(up, dstPort))
		}
	}
}

func one(n int) bool { return n == 1 }

func TestSpoofedSources(t *testing.T) {
	up, _ := strike(t, testOverlay(SpoofedFlood))
	if n := spread(up, src); n < len(up)*9/10 {
		t.Errorf("%d sources in %d packets", n, len(up))
	}
}

func TestMiraiDNS(t *testing.T) {
	o := testOverlay(MiraiDNS)
	o.Target = netip.MustParseAddr("192.168.77.1")
	up, _ := strike(t, o)
	names := spread(up, func(s shot) string {
		if strings.ContainsAny(string(s.Payload[13:25]), "xyz9") || s.DstPort != 53 || s.Dst != o.Target || s.Payload[12] != 12 || string(s.Payload[25:]) != "\x06victim\x07example\x00\x00\x01\x00\x01" {
			t.Fatalf("query %x to %v", s.Payload, s.Dst)
		}
		return string(s.Payload[13:25])
	})
	if names != len(up) {
		t.Errorf("%d names in %d queries", names, len(up))
	}
	o.Target = netip.Addr{}
	if up, _ = strike(t, o); up[0].Dst.IsPrivate() {
		t.Errorf("without a resolver: %v", up[0].Dst)
	}
}

func TestBashliteScan(t *testing.T) {
	up, _ := strike(t, testOverlay(BashliteScan))
	type try struct {
		to   netip.Addr
		from uint16
	}
	first := map[try]uint32{}
	times := map[try]int{}
	hosts, networks := map[netip.Addr]bool{}, map[netip.Prefix]bool{}
	for _, s := range up {
		if s.TCPFlags != syn {
			continue
		}
		if s.DstPort != 23 || !isPublic(s.Dst.As4()) {
			t.Fatalf("connects to %v:%d", s.Dst, s.DstPort)
		}
		k := try{s.Dst, s.SrcPort}
		if seq, again := first[k]; again && seq != s.TCPSeq {
			t.Fatalf("repeated SYN to %v has another sequence number", s.Dst)
		}
		first[k] = s.TCPSeq
		times[k]++
		network, _ := s.Dst.Prefix(24)
		hosts[s.Dst], networks[network] = true, true
	}
	silent := 0
	for _, n := range times {
		if n == 4 {
			silent++
		}
	}
	if len(hosts) < 300 || len(hosts) > 500 || silent < len(hosts)*8/10 || len(networks) != 2 {
		t.Errorf("%d hosts in 20 s at 20 a second, %d silent, in %d networks", len(hosts), silent, len(networks))
	}
}

func TestConnectionsAddUp(t *testing.T) {
	for _, kind := range []string{MiraiHTTP, BashliteJunk, BashliteCombo, Exfiltration, Beacon} {
		o := testOverlay(kind)
		o.Duration = 3 * time.Minute
		if o.Rate = 2; kind == Beacon {
			o.Rate = 0
		}
		_, all := strike(t, o)
		checkTCP(t, kind, all)
	}
}

// checkTCP holds every TCP segment against those before it: sequence numbers go
// on where they stood, and nothing is acknowledged that has not passed.
func checkTCP(t *testing.T, what string, all []shot) {
	t.Helper()
	type side struct {
		src, dst netip.AddrPort
	}
	next := map[side]uint32{}
	checked := 0
	for i, s := range all {
		if s.Proto != protoTCP {
			continue
		}
		own := side{netip.AddrPortFrom(s.Src, s.SrcPort), netip.AddrPortFrom(s.Dst, s.DstPort)}
		if s.TCPFlags&syn == 0 {
			want, known := next[own]
			if known && want != s.TCPSeq {
				t.Fatalf("%s, frame %d: sequence number %d, want %d", what, i, s.TCPSeq, want)
			}
			if known {
				checked++
			}
		}
		if peer, known := next[side{own.dst, own.src}]; known && s.TCPFlags&ack != 0 && peer != binary.BigEndian.Uint32(s.data[42:]) {
			t.Fatalf("%s, frame %d: acknowledges %d, want %d", what, i, binary.BigEndian.Uint32(s.data[42:]), peer)
		}
		n := uint32(len(s.Payload))
		if s.TCPFlags&(syn|fin) != 0 {
			n++
		}
		next[own] = s.TCPSeq + n
	}
	if checked == 0 {
		t.Fatalf("%s: no segment was checked", what)
	}
}

func TestHomeConnectionsAddUp(t *testing.T) {
	var all []shot
	for f := range NewHome(HomeOptions{Seed: 9, Start: testStart()}).Frames(testStart().Add(15 * time.Minute)) {
		s := shot{data: append([]byte{}, f.Data...)}
		s.Time, s.Length = f.Time, len(f.Data)
		packet.Decode(packet.LinkEthernet, s.data, &s.Packet)
		all = append(all, s)
	}
	checkTCP(t, "home", all)
}

func TestSlowKinds(t *testing.T) {
	o := testOverlay(SlowScan)
	o.Duration = time.Hour
	up, _ := strike(t, o)
	if n := spread(up, dst); n < 55 || n > 65 {
		t.Errorf("slow scan: %d hosts in an hour", n)
	}
	o.Kind = Beacon
	up, _ = strike(t, o)
	beats := 0
	for _, s := range up {
		if len(s.Payload) == 2 {
			beats++
		}
	}
	if beats < 55 || beats > 65 || spread(up, srcPort) != 1 {
		t.Errorf("beacon: %d beats in an hour over %d connections", beats, spread(up, srcPort))
	}
	o.Kind, o.Duration = Exfiltration, 30*time.Second
	up, all := strike(t, o)
	var sent, got int
	for _, s := range all {
		if s.up {
			sent += s.Length
		} else {
			got += s.Length
		}
	}
	if sent < 10*got || spread(up, dst) != 1 {
		t.Errorf("exfiltration: %d bytes up, %d down", sent, got)
	}
}

func TestLocalKinds(t *testing.T) {
	up, _ := strike(t, testOverlay(ARPScan))
	if n := spread(up, dst); n != 253 {
		t.Errorf("ARP scan asks for %d addresses, want all 254 but its own", n)
	}
	up, _ = strike(t, testOverlay(ARPSpoof))
	for _, s := range up {
		if s.ARPOp != 2 || s.Src != netip.MustParseAddr("192.168.77.1") || zone.MAC(s.data[22:28]) != documentationMAC(0x42) {
			t.Fatalf("ARP spoof: %+v", s)
		}
	}
	up, _ = strike(t, testOverlay(AddressMisuse))
	for _, s := range up {
		if s.SrcMAC == documentationMAC(0x42) {
			t.Fatal("address misuse: sent by the device itself")
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	bad := map[string]func(*Overlay){
		"kind":     func(o *Overlay) { o.Kind = "mirai" },
		"address":  func(o *Overlay) { o.IP = netip.MustParseAddr("fe80::1") },
		"target":   func(o *Overlay) { o.Target = netip.MustParseAddr("fe80::1") },
		"duration": func(o *Overlay) { o.Duration = 0 },
		"end":      func(o *Overlay) { o.Start = math.MaxInt64 },
		"rate":     func(o *Overlay) { o.Rate = math.NaN() },
		"negative": func(o *Overlay) { o.Rate = -1 },
	}
	for name, spoil := range bad {
		o := testOverlay(MiraiSYN)
		if err := o.Check(); err != nil {
			t.Fatalf("good overlay: %v", err)
		}
		spoil(&o)
		if o.Check() == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}

func BenchmarkOverlay(b *testing.B) {
	for _, kind := range []string{MiraiScan, MiraiUDP, MiraiSYN} {
		b.Run(kind, func(b *testing.B) {
			o := testOverlay(kind)
			o.Duration = 1000 * time.Hour
			b.ReportAllocs()
			n := 0
			for range o.Frames() {
				if n++; n >= b.N {
					break
				}
			}
		})
	}
}
