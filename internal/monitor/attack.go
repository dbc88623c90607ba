package monitor

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"bellwether/internal/detect"
	"bellwether/internal/feature"
	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// Attack is one that did not happen, by one device alone, for models to be tried on.
type Attack struct {
	Kind    string
	Rate    float64 // strikes a second
	Packets iter.Seq[*packet.Packet]
}

// Tried says how many kinds of attack models find that did not happen.
type Tried struct {
	Kinds    int `json:"kinds"`
	ByAnchor int `json:"found_by_anchor"`
	ByShadow int `json:"found_by_shadow"` // of those, as strong as maxRateShift allows
}

const (
	// maxRateShift is how many times as strong an attack may have to be for a shadow
	// to find it as for its anchor.
	maxRateShift = 2
	// attackRows is the most snapshots of one attack that are tried: a few votes.
	attackRows = 200
)

// try holds a shadow against its anchor by attacks that did not happen, and by the
// votes over their scores alone: the plain counts have bounds of their own. Of each
// kind the shadow has to find what is maxRateShift times as strong as the weakest
// that the anchor finds, and whatever is stronger; the error is a [*BoundError].
// Without Options.Attacks or an IPv4 address of the device nothing is tried.
func (m *Monitor) try(ctx context.Context, anchor, shadow *detect.Model) (out Tried, err error) {
	ip, ok := ownIPv4(&anchor.Profile)
	if m.o.Attacks == nil || !ok {
		return out, nil
	}
	mac := anchor.Origin.Device
	e := feature.NewExtractor(feature.Limits{Hosts: 2 * attackRows, Channels: 2 * attackRows, Sockets: 2 * attackRows})
	for _, kind := range m.o.Attacks(mac, ip) {
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		out.Kinds++
		snapshots := make([][]zone.Snapshot, len(kind))
		weakest := -1
		for i, a := range kind {
			snapshots[i] = attacked(e, mac, a.Packets)
			if finds(anchor, snapshots[i]) {
				weakest = i
			}
		}
		if weakest < 1 { // none, or only the strongest that is tried
			continue
		}
		out.ByAnchor++
		if missed := missed(shadow, kind, snapshots, maxRateShift*kind[weakest].Rate); missed > 0 {
			err = &BoundError{fmt.Sprintf("it would not find %s at %.4g a second, which the first model finds at %.4g", kind[0].Kind, missed, kind[weakest].Rate)}
			continue
		}
		out.ByShadow++
	}
	return out, err
}

// missed is the weakest of the rates from need on at which the model does not find an
// attack, 0 if it finds all.
func missed(model *detect.Model, kind []Attack, snapshots [][]zone.Snapshot, need float64) (rate float64) {
	for i, a := range kind {
		if a.Rate >= need && !finds(model, snapshots[i]) {
			rate = a.Rate
		}
	}
	return rate
}

// finds reports whether a device with the model is called malicious by the scores of
// its snapshots.
func finds(model *detect.Model, snapshots []zone.Snapshot) bool {
	rows := make([][zone.Features]float32, len(snapshots))
	for i := range snapshots {
		rows[i] = snapshots[i].Features
	}
	scores := make([]float64, len(rows))
	model.Score(rows, scores)
	d := &device{}
	d.arm(model)
	for i := range snapshots {
		snapshots[i].Score = scores[i]
		if d.judge(&snapshots[i], false) {
			return true
		}
	}
	return false
}

// attacked gives snapshots of what the device sends, at most attackRows, with
// statistics that begin empty.
func attacked(e *feature.Extractor, mac zone.MAC, packets iter.Seq[*packet.Packet]) []zone.Snapshot {
	e.Reset()
	var out []zone.Snapshot
	var v feature.Vector
	for p := range packets {
		if p.SrcMAC != mac {
			e.Update(p, nil)
			continue
		}
		e.Update(p, &v)
		out = append(out, snapshotOf(p, &v))
		out[len(out)-1].Device = mac
		if len(out) == attackRows {
			break
		}
	}
	return out
}

// ownIPv4 is the first IPv4 address that the device had while it was learned.
func ownIPv4(p *detect.Profile) (netip.Addr, bool) {
	i := slices.IndexFunc(p.Addresses, func(a netip.Addr) bool { return a.Is4() && Bindable(a) })
	if i < 0 {
		return netip.Addr{}, false
	}
	return p.Addresses[i], true
}
