package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"bellwether/internal/capture"
	"bellwether/internal/packet"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// strike is how long an overlaid attack lasts.
const strike = 10 * time.Second

// kinds are the attacks that are laid over the watched captures. They are loud:
// each has to be found.
func kinds() []string {
	return []string{simulate.MiraiScan, simulate.MiraiSYN, simulate.MiraiACK, simulate.MiraiUDP, simulate.MiraiUDPPlain,
		simulate.BashliteScan, simulate.BashliteUDP, simulate.BashliteTCP, simulate.ARPScan, simulate.SpoofedFlood}
}

// target is a learned device as the watched captures show it.
type target struct {
	mac     zone.MAC
	ip      netip.Addr
	router  zone.MAC
	moments []zone.Time // when it sent something
}

// overlays attacks from every learned device, kind by kind, on top of a copy
// of the watched captures.
func (b *bench) overlays(o *outcome, learned string) error {
	targets, err := b.targets()
	if err != nil {
		return err
	}
	var table strings.Builder
	t := tabwriter.NewWriter(&table, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "attack\tdevices\tfound\tin alarm before\tmedian seconds\tmedian attack packets\t")
	for _, kind := range kinds() {
		if err := b.overlay(o, t, learned, kind, targets); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	t.Flush()
	o.say("%s", strings.TrimRight(table.String(), "\n"))
	return nil
}

// overlay makes one capture in which every device attacks once, each at another
// time, and watches it.
func (b *bench) overlay(o *outcome, t *tabwriter.Writer, learned, kind string, targets []target) error {
	path := filepath.Join(b.dir, "overlay.pcap")
	attacks := make([]simulate.Overlay, len(targets))
	for i, d := range targets {
		at := d.moments[len(d.moments)*(i+1)/(len(targets)+1)]
		attacks[i] = simulate.Overlay{MAC: d.mac, IP: d.ip, GatewayMAC: d.router, Kind: kind, Start: at, Duration: strike, Seed: uint64(i)}
	}
	sent, err := b.writeOverlay(path, attacks)
	if err != nil {
		return err
	}
	state, err := b.copyState(learned)
	if err != nil {
		return err
	}
	r, _, err := b.replay(state, "--watch", path)
	if err != nil {
		return err
	}
	found, before := 0, 0
	var delays, packets []float64
	var missed []string
	for _, a := range attacks {
		at, already := raised(&r, a)
		switch {
		case at != 0:
			found++
			delays = append(delays, at.Sub(sent[a.MAC][0]).Seconds())
			n, _ := slices.BinarySearch(sent[a.MAC], at+1)
			packets = append(packets, float64(n))
		case already:
			before++
		default:
			missed = append(missed, a.MAC.String())
		}
	}
	fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%.2f\t%.0f\t\n", kind, len(attacks), found, before, median(delays), median(packets))
	if len(missed) > 0 {
		o.need(false, "%s: not found at %s", kind, strings.Join(missed, ", "))
	}
	return nil
}

// raised gives the moment of the alert that the attack led to, and whether its
// device was in alarm already.
func raised(r *report, a simulate.Overlay) (at zone.Time, already bool) {
	for _, d := range r.Devices {
		if d.MAC != a.MAC.String() {
			continue
		}
		for _, e := range d.Alerts {
			start, err := time.Parse(time.RFC3339Nano, e.Start)
			if err != nil {
				continue
			}
			s := zone.TimeOf(start)
			if s >= a.Start && s <= a.Start.Add(strike+time.Minute) {
				return s, false
			}
			already = already || s < a.Start && (e.End == nil || *e.End > a.Start.String())
		}
	}
	return 0, already
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// watched gives the frames of the watched captures, file by file.
func (b *bench) watched() iter.Seq2[*capture.Frame, error] {
	return func(yield func(*capture.Frame, error) bool) {
		files, err := capture.Expand(b.zone.monitoring)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, path := range files {
			if !eachFrame(path, yield) {
				return
			}
		}
	}
}

// eachFrame gives a file's frames as far as it is whole.
func eachFrame(path string, yield func(*capture.Frame, error) bool) bool {
	f, err := capture.Open(path)
	if err != nil {
		return yield(nil, err)
	}
	defer f.Close()
	var fr capture.Frame
	for {
		if err := f.Next(&fr); err != nil {
			return true
		}
		if !yield(&fr, nil) {
			return false
		}
	}
}

// targets finds the learned devices' addresses and next hops in the watched
// captures.
func (b *bench) targets() ([]target, error) {
	type votes struct {
		ips  map[netip.Addr]int
		hops map[zone.MAC]int
		at   []zone.Time
	}
	seen := map[zone.MAC]*votes{}
	for _, d := range b.report.Devices {
		mac, err := zone.ParseMAC(d.MAC)
		if err != nil {
			return nil, err
		}
		if d.Threshold != nil {
			seen[mac] = &votes{map[netip.Addr]int{}, map[zone.MAC]int{}, nil}
		}
	}
	var p packet.Packet
	for fr, err := range b.watched() {
		if err != nil {
			return nil, err
		}
		p.Time, p.Length = fr.Time, fr.Length
		packet.Decode(fr.Link, fr.Data, &p)
		v := seen[p.SrcMAC]
		if v == nil || p.Kind != packet.KindIPv4 || !p.Src.IsPrivate() {
			continue
		}
		v.ips[p.Src]++
		v.at = append(v.at, fr.Time)
		if !p.Dst.IsPrivate() && !p.Dst.IsMulticast() && !p.DstMAC.IsGroup() {
			v.hops[p.DstMAC]++
		}
	}
	var out []target
	for mac, v := range seen {
		if len(v.ips) > 0 && len(v.hops) > 0 {
			out = append(out, target{mac, most(v.ips), most(v.hops), v.at})
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no learned device talks to the outside in the watched captures")
	}
	slices.SortFunc(out, func(a, b target) int { return cmp.Compare(a.mac.String(), b.mac.String()) })
	return out, nil
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

// attackFrame is a frame of an attack, kept until its time has come.
type attackFrame struct {
	time zone.Time
	data []byte
	from zone.MAC // the device, if it sent the frame itself
}

// attackFrames gives the frames of all attacks in the order of time.
func attackFrames(attacks []simulate.Overlay) []attackFrame {
	var out []attackFrame
	for _, a := range attacks {
		for f := range a.Frames() {
			g := attackFrame{time: f.Time, data: bytes.Clone(f.Data)}
			if zone.MAC(f.Data[6:12]) == a.MAC {
				g.from = a.MAC
			}
			out = append(out, g)
		}
	}
	slices.SortStableFunc(out, func(a, b attackFrame) int { return cmp.Compare(a.time, b.time) })
	return out
}

// writeOverlay writes the watched captures with attacks between their frames,
// which stay as they are. It gives the moments at which each device sent an
// attack packet.
func (b *bench) writeOverlay(path string, attacks []simulate.Overlay) (map[zone.MAC][]zone.Time, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buffer := bufio.NewWriterSize(f, 1<<20)
	w, err := capture.NewWriter(buffer, packet.LinkEthernet)
	if err != nil {
		return nil, err
	}
	due := attackFrames(attacks)
	sent := map[zone.MAC][]zone.Time{}
	strikeUntil := func(until zone.Time) error {
		for ; len(due) > 0 && due[0].time < until; due = due[1:] {
			a := due[0]
			sent[a.from] = append(sent[a.from], a.time)
			if err := w.Write(capture.Frame{Time: a.time, Link: packet.LinkEthernet, Data: a.data, Length: len(a.data)}); err != nil {
				return err
			}
		}
		return nil
	}
	for fr, err := range b.watched() {
		if err != nil {
			return nil, err
		}
		if fr.Link != packet.LinkEthernet {
			continue
		}
		if err := cmp.Or(strikeUntil(fr.Time), w.Write(*fr)); err != nil {
			return nil, err
		}
	}
	return sent, cmp.Or(strikeUntil(1<<63-1), buffer.Flush())
}
