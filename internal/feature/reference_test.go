package feature

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// reference is a second, slow extractor: text keys, maps, one stream for every
// decay rate, and the formulas of the definition one by one.
type reference struct {
	streams map[string]*referenceStream
	links   map[string]*referenceLink
}

type referenceStream struct {
	t         float64
	w, s1, s2 float64
}

type referenceLink struct {
	t, c, w   float64
	residuals map[string]float64
}

func newReference() *reference {
	return &reference{map[string]*referenceStream{}, map[string]*referenceLink{}}
}

func (s *referenceStream) mean() float64 {
	if s == nil {
		return 0
	}
	return s.s1 / s.w
}

func (s *referenceStream) variance() float64 {
	if s == nil {
		return 0
	}
	return math.Abs(s.s2/s.w - s.mean()*s.mean())
}

// insert adds v, or the time since the last packet, to the stream of the key.
func (r *reference) insert(key string, rate, t, v float64, gap bool) *referenceStream {
	key = fmt.Sprint(key, " ", rate)
	s := r.streams[key]
	if s == nil {
		s = &referenceStream{t: t, w: 1e-20}
		r.streams[key] = s
	}
	if gap {
		v = max(0, t-s.t)
	}
	if dt := t - s.t; dt > 0 {
		f := math.Pow(2, -rate*dt)
		s.w, s.s1, s.s2, s.t = s.w*f, s.s1*f, s.s2*f, t
	}
	s.w, s.s1, s.s2 = s.w+1, s.s1+v, s.s2+v*v
	return s
}

// exchange adds v to the stream from one end to another and gives its seven
// columns.
func (r *reference) exchange(group, from, to string, rate, t, v float64) [7]float64 {
	s := r.insert(group+" "+from+">"+to, rate, t, v, false)
	other := r.streams[fmt.Sprint(group, " ", to, ">", from, " ", rate)]
	key := fmt.Sprint(group, " ", min(from, to), "=", max(from, to), " ", rate)
	l := r.links[key]
	steps := 2
	if l == nil {
		steps = 1
		l = &referenceLink{t: t, w: 1e-20, residuals: map[string]float64{}}
		r.links[key] = l
	}
	if dt := t - l.t; dt > 0 {
		f := math.Pow(2, -rate*dt)
		l.c, l.w, l.t = l.c*f, l.w*f, t
	}
	opposite := 0.0
	if from != to {
		opposite = l.residuals[to]
	}
	for range steps {
		residual := v - s.mean()
		l.c, l.w = l.c+residual*opposite, l.w+1
		l.residuals[from] = residual
	}
	covariance, pcc := l.c/l.w, 0.0
	if d := math.Sqrt(s.variance()) * math.Sqrt(other.variance()); d != 0 {
		pcc = covariance / d
	}
	return [7]float64{
		s.w, s.mean(), math.Sqrt(s.variance()),
		math.Hypot(s.mean(), other.mean()), math.Hypot(s.variance(), other.variance()),
		covariance, pcc,
	}
}

// update gives the packet's features in the order of the header.
func (r *reference) update(p *packet.Packet) []float64 {
	from, to, fromSocket, toSocket := referenceKeys(p)
	t, v := float64(p.Time-referenceStart)/1e9, float64(p.Length)
	var source, host, gaps, channels, sockets []float64
	for _, rate := range []float64{5, 3, 1, 0.1, 0.01} {
		s := r.insert("source "+p.SrcMAC.String()+" "+from, rate, t, v, false)
		source = append(source, s.w, s.mean(), s.variance())
		s = r.insert("host "+from, rate, t, v, false)
		host = append(host, s.w, s.mean(), s.variance())
		s = r.insert("gap "+from+">"+to, rate, t, 0, true)
		gaps = append(gaps, s.w, s.mean(), s.variance())
		c := r.exchange("channel", from, to, rate, t, v)
		channels = append(channels, c[:]...)
		c = r.exchange("socket", fromSocket, toSocket, rate, t, v)
		sockets = append(sockets, c[:]...)
	}
	all := append(source, host...)
	all = append(all, channels...)
	return append(append(all, gaps...), sockets...)
}

func referenceKeys(p *packet.Packet) (from, to, fromSocket, toSocket string) {
	from, to = p.Src.String(), p.Dst.String()
	proto := fmt.Sprintf(" ip%d", p.Proto)
	if !p.Src.IsValid() {
		from, to = p.SrcMAC.String(), p.DstMAC.String()
	}
	fromSocket, toSocket = from, to
	switch {
	case p.Kind == packet.KindARP:
		fromSocket, toSocket, proto = p.SrcMAC.String(), p.DstMAC.String(), " arp"
	case p.Kind == packet.KindOther:
		proto = fmt.Sprintf(" type%d", p.EtherType)
	case p.HasPorts:
		fromSocket, toSocket = fmt.Sprint(from, " ", p.SrcPort), fmt.Sprint(to, " ", p.DstPort)
	case p.Fragment:
		proto += " fragment"
	}
	return from, to, fromSocket + proto, toSocket + proto
}

const referenceStart = zone.Time(1_600_000_000_000_000_000)

// randomPackets gives n packets among a few hosts: every kind of key, replies,
// talk with oneself, gaps from nothing to an hour, and time running backwards.
func randomPackets(seed uint64, n int) []packet.Packet {
	r := rand.New(rand.NewPCG(seed, 115))
	at := referenceStart
	packets := make([]packet.Packet, n)
	for i := range packets {
		gap := []float64{0, 1e-4, 1e-2, 1, 20, -0.5}[r.IntN(6)]
		if r.IntN(500) == 0 {
			gap = 3600
		}
		at += zone.Time(gap * r.Float64() * 1e9)
		packets[i] = randomPacket(r, at)
	}
	return packets
}

func randomPacket(r *rand.Rand, at zone.Time) packet.Packet {
	a, b := byte(r.IntN(5)), byte(r.IntN(5))
	p := packet.Packet{
		Time: at, Length: 60 + r.IntN(1400), HasMAC: true,
		SrcMAC: zone.MAC{2, 0, 0, 0, 0, a}, DstMAC: zone.MAC{2, 0, 0, 0, 0, b},
		Kind: packet.KindIPv4, EtherType: packet.EtherTypeIPv4,
		Src: netip.AddrFrom4([4]byte{10, 0, 0, a}), Dst: netip.AddrFrom4([4]byte{10, 0, 0, b}),
	}
	switch r.IntN(8) {
	case 0:
		p.Kind, p.EtherType = packet.KindARP, packet.EtherTypeARP
	case 1:
		p.Kind, p.EtherType, p.Src, p.Dst = packet.KindOther, 0x88cc, netip.Addr{}, netip.Addr{}
	case 2:
		p.Proto = packet.ProtoICMP
	case 3:
		p.Proto, p.Fragment = []uint8{packet.ProtoUDP, packet.ProtoICMP}[r.IntN(2)], true
	case 4:
		p.Kind, p.EtherType = packet.KindIPv6, packet.EtherTypeIPv6
		p.Src, p.Dst = netip.AddrFrom16([16]byte{0xfd, 15: a}), netip.AddrFrom16([16]byte{0xfd, 15: b})
		fallthrough
	default:
		p.Proto = []uint8{packet.ProtoTCP, packet.ProtoUDP}[r.IntN(2)]
		p.HasPorts, p.SrcPort, p.DstPort = true, uint16(r.IntN(3)), uint16(r.IntN(3))
	}
	return p
}

func TestAgainstReference(t *testing.T) {
	for seed := range uint64(5) {
		compareWithReference(t, randomPackets(seed, 4000))
	}
}

func TestAgainstReferenceOnCapture(t *testing.T) {
	compareWithReference(t, pcapPackets(t, dataFile(t, "kitsune/mirai_first2000.pcap")))
}

// compareWithReference compares every value but the correlations of streams
// that hardly deviate, which are noise divided by noise.
func compareWithReference(t *testing.T, packets []packet.Packet) {
	t.Helper()
	names := Names()
	r, e := newReference(), NewExtractor(Limits{})
	for i := range packets {
		var v Vector
		e.Update(&packets[i], &v)
		for c, want := range r.update(&packets[i]) {
			if strings.HasSuffix(names[c], "_pcc") && hardlyDeviates(v[c-4], v[c-2]) {
				continue
			}
			if !near(v[c], want) {
				t.Fatalf("packet %d: %s is %v, the reference says %v", i, names[c], v[c], want)
			}
		}
	}
}

// hardlyDeviates reports that one of two streams has a deviation of less than a
// byte, given the deviation of the first and the radius of both.
func hardlyDeviates(std, radius float64) bool {
	variance := std * std
	return variance < 1 || (radius-variance)*(radius+variance) < 1
}
