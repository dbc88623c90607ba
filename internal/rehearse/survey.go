package rehearse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"bellwether/internal/capture"
	"bellwether/internal/gateway"
	"bellwether/internal/packet"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// Bounds on what a survey remembers, whatever is in the captures.
const (
	maxSenders   = 1 << 16
	maxAddresses = 64   // of one sender, and next hops
	maxMoments   = 4096 // of one sender
	maxUsual     = 2048 // packets of one sender
)

// survey is what benign traffic says of those who send in it.
type survey struct {
	devices map[zone.MAC]*sender
	hops    map[zone.MAC]int // to whom packets for the outside go, of all senders
	time    timeline
	frames  int64
	foreign int64 // frames that are not of an Ethernet
	packet  packet.Packet
}

// sender is what one station sent.
type sender struct {
	sent    int
	ips     map[netip.Addr]int
	hops    map[zone.MAC]int
	moments moments
	usual   []simulate.Sending // the newest packets with ports, a ring
	last    zone.Time          // of them
}

// look surveys captures.
func (s *stage) look(ctx context.Context, captures []string) (*survey, error) {
	v := &survey{devices: map[zone.MAC]*sender{}, hops: map[zone.MAC]int{}}
	damaged, err := gateway.Frames(ctx, captures, func(fr *capture.Frame) error {
		v.frame(fr)
		if v.frames%4096 == 0 {
			s.Progress("surveying", v.frames, 0)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, d := range damaged {
		s.Warning(d)
	}
	if v.frames == 0 {
		return nil, errors.New("the benign captures hold no Ethernet frame: attacks are made of such and cannot be put among others")
	}
	if v.foreign > 0 {
		s.Warning(fmt.Errorf("%d frames of the benign traffic are not of an Ethernet and are left out", v.foreign))
	}
	return v, nil
}

func (v *survey) frame(fr *capture.Frame) {
	if fr.Link != packet.LinkEthernet {
		v.foreign++
		return
	}
	v.frames++
	v.time.add(fr.Time)
	p := &v.packet
	p.Time, p.Length = fr.Time, fr.Length
	packet.Decode(fr.Link, fr.Data, p)
	if !p.HasMAC || p.SrcMAC.IsGroup() {
		return
	}
	d := v.devices[p.SrcMAC]
	if d == nil {
		if len(v.devices) >= maxSenders {
			return
		}
		d = &sender{ips: map[netip.Addr]int{}, hops: map[zone.MAC]int{}}
		v.devices[p.SrcMAC] = d
	}
	d.add(p)
	if outside(p) {
		count(v.hops, p.DstMAC)
	}
}

// outside reports a packet of the zone to somewhere outside it.
func outside(p *packet.Packet) bool {
	return p.Kind == packet.KindIPv4 && p.Src.IsPrivate() && !p.Dst.IsPrivate() && p.Dst.IsGlobalUnicast() && !p.DstMAC.IsGroup()
}

func (d *sender) add(p *packet.Packet) {
	d.sent++
	d.moments.add(p.Time)
	if p.Kind == packet.KindIPv4 && !p.Src.IsUnspecified() {
		count(d.ips, p.Src)
	}
	if !outside(p) || !p.HasPorts {
		return
	}
	count(d.hops, p.DstMAC)
	s := simulate.Sending{Size: payload(p)}
	if len(d.usual) > 0 {
		s.Wait = min(max(0, p.Time.Sub(d.last)), silence)
	}
	d.last = p.Time
	if d.usual = append(d.usual, s); len(d.usual) >= 2*maxUsual {
		d.usual = append(d.usual[:0], d.usual[maxUsual:]...)
	}
}

// payload is about how many bytes a packet carries above TCP or UDP over
// Ethernet and IPv4: options are those of Linux.
func payload(p *packet.Packet) int {
	if p.Proto == 17 {
		return max(0, p.Length-14-20-8)
	}
	return max(0, p.Length-14-20-32)
}

// count counts a key in a map that does not grow without bound.
func count[K comparable](m map[K]int, key K) {
	if m[key] > 0 || len(m) < maxAddresses {
		m[key]++
	}
}

// most gives the key with the highest count, the first by its text.
func most[K interface {
	comparable
	fmt.Stringer
}](m map[K]int) (best K) {
	for k, n := range m {
		if n > m[best] || n == m[best] && k.String() < best.String() {
			best = k
		}
	}
	return best
}

// busiest lists the senders of the most packets.
func (v *survey) busiest(n int) string {
	macs := slices.SortedFunc(maps.Keys(v.devices), func(a, b zone.MAC) int {
		return cmp.Or(cmp.Compare(v.devices[b].sent, v.devices[a].sent), cmp.Compare(a.String(), b.String()))
	})
	var out []string
	for _, m := range macs[:min(n, len(macs))] {
		out = append(out, fmt.Sprintf("%s (%d packets)", m, v.devices[m].sent))
	}
	return strings.Join(out, ", ")
}

// newest gives the newest packets that the sender sent to the outside.
func (d *sender) newest() []simulate.Sending { return d.usual[max(0, len(d.usual)-maxUsual):] }

// moments are times, thinned out evenly when there are too many.
type moments struct {
	at   []zone.Time
	skip int // how many are left out after each that is kept
	wait int // how many are left out still
}

func (m *moments) add(at zone.Time) {
	if m.wait > 0 {
		m.wait--
		return
	}
	if len(m.at) >= maxMoments {
		for i := range maxMoments / 2 {
			m.at[i] = m.at[2*i]
		}
		m.at = m.at[:maxMoments/2]
		m.skip = 2*m.skip + 1
	}
	m.at, m.wait = append(m.at, at), m.skip
}

// between gives the moments from one to another, both included.
func (m *moments) between(from, to zone.Time) (out []zone.Time) {
	for _, at := range m.at {
		if at >= from && at <= to {
			out = append(out, at)
		}
	}
	return out
}
