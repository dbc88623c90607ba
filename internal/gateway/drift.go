package gateway

import (
	"context"
	"fmt"
	"slices"

	"bellwether/internal/detect"
	"bellwether/internal/feature"
	"bellwether/internal/zone"
)

// Drift is how a device's recent normal snapshots differ from what its model was
// calibrated on. An attack is an alarm; this is a model that no longer fits.
type Drift struct {
	Snapshots int `json:"snapshots"` // that were looked at: the newest normal ones since the model was learned
	// High is the share of them that score above the 99 % quantile of the
	// calibration scores: 0.01 of a device that does what it did.
	High float64 `json:"high"`
	// Drifted says that High is at least detect.DriftedShare.
	Drifted bool `json:"drifted"`
	// Moved are features that left the range in which 99 % of what was learned
	// lies, in more than a tenth of the snapshots: most first, at most five.
	Moved []MovedFeature `json:"moved"`
}

// MovedFeature is one of them, and the share of the snapshots outside the range.
type MovedFeature struct {
	Name  string  `json:"name"`
	Share float64 `json:"share"`
}

// Of how much is looked at for drift.
const (
	driftSnapshots = 2000 // the newest of each device,
	driftLeast     = 200  // if there are so many,
	driftSegments  = 64   // in the newest segments
)

const movedNames = 5

// drift tells of the devices whose models are given. A device with too few
// snapshots is left out.
func (s *State) drift(ctx context.Context, models map[zone.MAC]*detect.Model) (map[zone.MAC]Drift, error) {
	recent := map[zone.MAC][][zone.Features]float32{}
	for row, err := range s.Store.Rows(ctx, s.driftFrom(models), 0, zone.MAC{}) {
		if err != nil {
			return nil, fmt.Errorf("newest snapshots: %w", err)
		}
		m := models[row.Device]
		if m == nil || row.Label != zone.Normal || row.Seq <= m.Origin.Last {
			continue
		}
		kept := append(recent[row.Device], row.Features)
		if len(kept) == 2*driftSnapshots {
			kept = append(kept[:0], kept[driftSnapshots:]...)
		}
		recent[row.Device] = kept
	}
	out := map[zone.MAC]Drift{}
	for mac, rows := range recent {
		if len(rows) >= driftLeast {
			out[mac] = driftOf(models[mac], rows[max(0, len(rows)-driftSnapshots):])
		}
	}
	return out, nil
}

// driftFrom is where to look from so that each device has enough, if the newest
// segments have that.
func (s *State) driftFrom(models map[zone.MAC]*detect.Model) zone.SeqID {
	normal := map[zone.MAC]uint64{}
	from := s.Store.Last() + 1
	segments := s.Store.Segments()
	for _, seg := range slices.Backward(segments[max(0, len(segments)-driftSegments):]) {
		if seg.Removed {
			break
		}
		from = seg.First
		enough := true
		for mac := range models {
			if r, ok := seg.Range(mac); ok {
				normal[mac] += r.Normal
			}
			enough = enough && normal[mac] >= driftSnapshots
		}
		if enough {
			break
		}
	}
	return from
}

func driftOf(m *detect.Model, rows [][zone.Features]float32) Drift {
	d := m.Drift(rows)
	out := Drift{Snapshots: d.Rows, High: d.High, Drifted: d.High >= detect.DriftedShare, Moved: []MovedFeature{}}
	names := feature.Names()
	for _, f := range d.Moved[:min(len(d.Moved), movedNames)] {
		out.Moved = append(out.Moved, MovedFeature{Name: names[f.Index], Share: f.Share})
	}
	return out
}
