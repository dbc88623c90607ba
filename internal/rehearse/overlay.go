package rehearse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"bellwether/internal/capture"
	"bellwether/internal/gateway"
	"bellwether/internal/packet"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// actor is a device that attacks.
type actor struct {
	mac   zone.MAC
	name  string
	ip    netip.Addr
	hop   zone.MAC
	usual []simulate.Sending
}

// strike is one attack as it stands in a capture.
type strike struct {
	simulate.Overlay
	first zone.Time // of its packets that the device sent
	sent  []uint64  // their indices in the capture, ascending
}

// until is the last moment at which an alert still counts.
func (k *strike) until() zone.Time { return k.Start.Add(k.Duration + grace) }

// strikes plans one attack by each actor within an excerpt, each at a moment at
// which it sent something there, if it did.
func (s *stage) strikes(kind simulate.Kind, round int, actors []actor) []*strike {
	t := s.excerpts[round].time
	warm := min(warmUp, t.length()/4)
	from := t.after(warm)
	to := max(from, t.after(max(warm, t.length()-kind.Lasts-grace)))
	var out []*strike
	for _, a := range actors {
		noise := rand.New(rand.NewPCG(s.Seed, named(kind.Name, a.mac, round)))
		at := from.Add(time.Duration(noise.Int64N(int64(to.Sub(from)) + 1)))
		if own := s.survey.devices[a.mac].moments.between(from, to); len(own) > 0 {
			at = own[noise.IntN(len(own))]
		}
		out = append(out, &strike{Overlay: simulate.Overlay{MAC: a.mac, IP: a.ip, GatewayMAC: a.hop, Kind: kind.Name,
			Start: at, Duration: kind.Lasts, Usual: a.usual, Seed: noise.Uint64()}})
	}
	return out
}

// named makes a stream of random numbers one attack's own.
func named(kind string, mac zone.MAC, round int) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %s %d", kind, mac, round)
	return h.Sum64()
}

// frames gives the frames of all attacks in order of time.
func frames(strikes []*strike) iter.Seq[*simulate.Frame] {
	switch n := len(strikes); n {
	case 0:
		return func(func(*simulate.Frame) bool) {}
	case 1:
		return strikes[0].Frames()
	default:
		return simulate.Merge(frames(strikes[:n/2]), frames(strikes[n/2:]))
	}
}

// overlaying is a capture that attacks are put into.
type overlaying struct {
	*copied
	attacks map[zone.MAC]*strike
	truth   *truth
}

// overlay writes a copy of a capture, or of none, with attacks between its frames,
// which stay as they are, and notes in each strike where its packets stand.
func overlay(ctx context.Context, benign, path string, strikes []*strike, truthPath string) (err error) {
	o := &overlaying{attacks: map[zone.MAC]*strike{}}
	for _, k := range strikes {
		o.attacks[k.MAC] = k
	}
	if truthPath != "" {
		if o.truth, err = newTruth(truthPath); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, o.truth.close()) }()
	}
	if o.copied, err = create(path); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	next, stop := iter.Pull(frames(strikes))
	defer stop()
	due, more := next()
	var captures []string
	if benign != "" {
		captures = []string{benign}
	}
	_, err = gateway.Frames(ctx, captures, func(fr *capture.Frame) error {
		for ; more && due.Time < fr.Time; due, more = next() {
			if err := o.attack(due); err != nil {
				return err
			}
		}
		_, err := o.write(*fr)
		return err
	})
	for ; err == nil && more; due, more = next() {
		err = o.attack(due)
	}
	return err
}

// attack writes a frame of an attack.
func (o *overlaying) attack(f *simulate.Frame) error {
	index, err := o.write(capture.Frame{Time: f.Time, Link: packet.LinkEthernet, Data: f.Data, Length: len(f.Data)})
	if err != nil {
		return err
	}
	k := o.attacks[f.Device]
	sent := zone.MAC(f.Data[6:12]) != k.GatewayMAC
	if sent {
		if len(k.sent) == 0 {
			k.first = f.Time
		}
		k.sent = append(k.sent, index)
	}
	if o.truth == nil {
		return nil
	}
	return o.truth.add(index, f, sent)
}

// actors gives the devices that attack, with their addresses and next hops. What
// cannot attack is named with its reason.
func (s *stage) actors(devices []gateway.DeviceReport) (actors []actor, left []Unable) {
	for _, d := range devices {
		v := s.survey.devices[d.MAC]
		switch {
		case d.Threshold == nil:
			left = append(left, Unable{d.MAC, d.Name, fmt.Sprintf("sent %d packets in the part to learn from, needs %d", d.LearnedSnapshots, d.NeededSnapshots)})
			continue
		case v == nil || len(v.ips) == 0:
			left = append(left, Unable{d.MAC, d.Name, "has no IPv4 address in the benign traffic"})
			continue
		}
		a := actor{mac: d.MAC, name: d.Name, ip: most(v.ips), hop: most(v.hops), usual: v.newest()}
		if len(v.hops) == 0 {
			a.hop = most(s.survey.hops)
		}
		if a.hop == (zone.MAC{}) {
			left = append(left, Unable{d.MAC, d.Name, "nobody sends to the outside in the benign traffic, so its next hop is not known"})
			continue
		}
		actors = append(actors, a)
	}
	return actors, left
}

// capturePath is where an attacked capture goes, and its truth.
func (s *stage) capturePath(kind string, round int) (path, truthPath string) {
	name := fmt.Sprintf("%s-%d", kind, round+1)
	if s.Keep == "" {
		return filepath.Join(s.dir, name+".pcap"), ""
	}
	return filepath.Join(s.Keep, name+".pcap"), filepath.Join(s.Keep, name+".truth.csv")
}

// drop removes an attacked capture that is not to be kept.
func (s *stage) drop(path string) error {
	if s.Keep != "" {
		return nil
	}
	return os.Remove(path)
}

func byMAC(a, b actor) int { return cmp.Compare(a.mac.String(), b.mac.String()) }

// Overlays gives, for each of the devices that captures show with an address and
// a next hop, an attack that begins with the device's last packet and still lacks its
// kind and duration.
func Overlays(ctx context.Context, captures []string, devices []zone.MAC) ([]simulate.Overlay, error) {
	s := &stage{Rehearsal: Rehearsal{}.withDefaults()}
	var err error
	if s.survey, err = s.look(ctx, captures); err != nil {
		return nil, err
	}
	var reports []gateway.DeviceReport
	for _, mac := range devices {
		reports = append(reports, gateway.DeviceReport{MAC: mac, Threshold: new(float64)})
	}
	actors, left := s.actors(reports)
	if len(actors) == 0 {
		return nil, fmt.Errorf("no device can attack: %s", reasons(left))
	}
	var out []simulate.Overlay
	for _, a := range actors {
		at := s.survey.devices[a.mac].moments.at
		out = append(out, simulate.Overlay{MAC: a.mac, IP: a.ip, GatewayMAC: a.hop, Start: at[len(at)-1], Usual: a.usual})
	}
	return out, nil
}
