package feature

import (
	"strconv"

	"bellwether/internal/packet"
)

// KitsuneCount is the number of columns of the public Kitsune-py program.
const KitsuneCount = 2*lenSingle + 2*lenPair

// KitsunePy computes what the public Kitsune-py program computes (the form
// published since August 2020, fed by tshark), quirks included: text keys
// joined without a separator, links between all peers of a stream, of which
// every packet updates each, residuals that never decay, and correlations
// beyond 1. It squares means, values and variances, and decays, as the C
// library's pow does, which is now and then the float64 beside the nearest. It is
// there to be compared with results that others published.
//
// It forgets nothing, and a packet costs time in proportion to the peers of its
// sender: never let it see traffic that somebody else chooses. It is not safe
// for concurrent use.
type KitsunePy struct {
	sources, channels, hosts, sockets kitsuneStreams
}

// NewKitsunePy returns a KitsunePy that has seen nothing.
func NewKitsunePy() *KitsunePy {
	return &KitsunePy{kitsuneStreams{}, kitsuneStreams{}, kitsuneStreams{}, kitsuneStreams{}}
}

// KitsuneNames gives the column names in the order of the program's output.
func KitsuneNames() [KitsuneCount]string {
	single := []string{"weight", "mean", "variance"}
	pair := []string{"weight", "mean", "variance", "radius", "magnitude", "covariance", "pcc"}
	names := columns("MI_dir", single)
	names = append(names, columns("HH", pair)...)
	names = append(names, columns("HH_jit", single)...)
	names = append(names, columns("HpHp", pair)...)
	return [KitsuneCount]string(names)
}

// Update absorbs a packet and fills out with the columns of the moment after
// it, in the order of KitsuneNames. A nil out only absorbs.
func (k *KitsunePy) Update(p *packet.Packet, out *[KitsuneCount]float64) {
	if out == nil {
		out = new([KitsuneCount]float64)
	}
	f := kitsuneFieldsOf(p)
	t, v := kitsuneSeconds(p), float64(p.Length)
	source := k.sources.get(f.srcMAC+f.srcIP, t)
	source.insert(t, v)
	gap := k.channels.get(f.srcIP+f.dstIP, t)
	gap.insert(t, max(0, t-gap.last))
	host, hostLink := k.hosts.exchange(f.srcIP, f.dstIP, t, v)
	from, to := f.srcIP+f.srcPort, f.dstIP+f.dstPort
	if f.srcPort == "arp" {
		from, to = f.srcMAC, f.dstMAC
	}
	socket, socketLink := k.sockets.exchange(from, to, t, v)

	rest := source.write(out[:])
	rest = writeKitsunePair(host, hostLink, rest)
	rest = gap.write(rest)
	writeKitsunePair(socket, socketLink, rest)
}

// kitsuneSeconds gives the packet's time as the float64 nearest to its decimal
// digits, which is how the program reads it.
func kitsuneSeconds(p *packet.Packet) float64 {
	const second = 1_000_000_000
	return float64(p.Time/second) + float64(p.Time%second)/second
}

// kitsuneFields are the texts that the program makes its keys of.
type kitsuneFields struct {
	srcMAC, srcIP, dstIP, dstMAC string
	srcPort, dstPort             string
}

// kitsuneFieldsOf picks the fields as the program picks them from tshark's.
// Ports come first, even those of a datagram that an ICMP error quotes; "arp"
// and "icmp" stand in for them. ICMPv6 and everything else has none.
func kitsuneFieldsOf(p *packet.Packet) kitsuneFields {
	var f kitsuneFields
	if p.HasMAC {
		f.srcMAC, f.dstMAC = p.SrcMAC.String(), p.DstMAC.String()
	}
	if p.Src.IsValid() && p.Dst.IsValid() {
		f.srcIP, f.dstIP = p.Src.String(), p.Dst.String()
	}
	src, dst, ok := kitsunePorts(p)
	switch {
	case ok:
		f.srcPort, f.dstPort = strconv.Itoa(int(src)), strconv.Itoa(int(dst))
	case p.Kind == packet.KindARP:
		f.srcPort, f.dstPort = "arp", "arp"
	case p.Kind == packet.KindIPv4 && p.Proto == packet.ProtoICMP && !p.Fragment:
		f.srcPort, f.dstPort = "icmp", "icmp"
	case f.srcIP == "" && f.dstIP == "":
		f.srcIP, f.dstIP = f.srcMAC, f.dstMAC
	}
	return f
}

// kitsunePorts gives the ports of TCP or UDP: the packet's own, or those of the
// datagram that an ICMP error quotes (RFC 792).
func kitsunePorts(p *packet.Packet) (src, dst uint16, ok bool) {
	if p.Proto == packet.ProtoICMP && !p.Fragment && isICMPError(p.ICMPType) {
		var quoted packet.Packet
		packet.Decode(packet.LinkRaw, p.Payload, &quoted)
		p = &quoted
	}
	return p.SrcPort, p.DstPort, p.HasPorts && (p.Proto == packet.ProtoTCP || p.Proto == packet.ProtoUDP)
}

// isICMPError reports unreachable, source quench, redirect, time exceeded and
// parameter problem.
func isICMPError(t uint8) bool {
	switch t {
	case 3, 4, 5, 11, 12:
		return true
	}
	return false
}
