// Package trust folds the ledger's entries into what a zone may claim of
// itself: for each device a subjective-logic opinion (Jøsang, "Subjective
// Logic", 2016, section 3.2), for the zone one level with its uncertainty.
//
// The fold reads nothing but transactions, in ledger order, and computes in
// integers, so that two machines that read the same ledger hold bit for bit
// the same opinions. Trust goes down fast (one malicious verdict wipes out
// most of what was earned) and up slowly (a bounded amount for each segment),
// and without new evidence it decays to uncertainty, not to distrust.
package trust

import (
	"fmt"
	"slices"

	"bellwether/internal/contract"
	"bellwether/internal/zone"
)

// Opinion is a binomial opinion: Belief + Disbelief + Uncertainty = 1.
type Opinion struct {
	Belief      float64 `json:"belief"`
	Disbelief   float64 `json:"disbelief"`
	Uncertainty float64 `json:"uncertainty"`
}

// Level is the projected probability: belief + base rate · uncertainty.
func (o Opinion) Level() float64 {
	return o.Belief + float64(o.Uncertainty*baseRateNum/baseRateDen)
}

// Device is what the fold holds of one device.
type Device struct {
	MAC   zone.MAC   `json:"mac"`
	Name  string     `json:"name"`
	State zone.State `json:"-"`
	Since zone.Time  `json:"-"` // when State began
	Opinion
	Trust float64 `json:"trust"`
	// Counts says whether it counts in the zone's opinion: not while it learns
	// and has sent too few snapshots to be learned from.
	Counts bool `json:"counts"`
}

// Zone is the zone's trust at one moment.
type Zone struct {
	Trust     float64 `json:"trust"`     // the level, 0 to 1
	Threshold float64 `json:"threshold"` // what outsiders ask for
	// ThresholdFrom says who set it: the use case, or whoever gave At one ("trust.threshold").
	ThresholdFrom string `json:"threshold_from"`
	UseCase       string `json:"use_case"`
	Trusted       bool   `json:"trusted"` // Trust ≥ Threshold
	Opinion
	At      zone.Time `json:"-"`
	Devices []Device  `json:"devices"` // by MAC
}

// Presets gives the threshold of each use case (paper, section 4.3: "a
// threshold must be defined for every use-case"), in alphabetical order.
func Presets() []Preset {
	return []Preset{{"grid", 0.8}, {"health-care", 0.85}, {"school", 0.7}, {"smart-home", 0.6}}
}

// Preset is one use case and the least level that it asks for.
type Preset struct {
	UseCase   string
	Threshold float64
}

// ThresholdOf gives the preset threshold of a use case.
func ThresholdOf(useCase string) (float64, error) {
	var names []string
	for _, p := range Presets() {
		if p.UseCase == useCase {
			return p.Threshold, nil
		}
		names = append(names, p.UseCase)
	}
	return 0, fmt.Errorf("use case %q is not known: want one of %q, or set trust.threshold", useCase, names)
}

// Fold accumulates ledger entries. The zero value is an empty zone; Apply must
// see every transaction, in ledger order, from the first.
type Fold struct {
	devices map[zone.MAC]*evidence
	useCase string
	newest  zone.Time
}

// Apply takes one transaction that the contract has accepted.
func (f *Fold) Apply(tx *contract.Tx) {
	f.newest = max(f.newest, tx.Time)
	if body, ok := tx.Body.(*contract.ZoneCreated); ok {
		f.useCase = body.UseCase
		return
	}
	if tx.Device == (zone.MAC{}) {
		return
	}
	if f.devices == nil {
		f.devices = map[zone.MAC]*evidence{}
	}
	e := f.devices[tx.Device]
	if e == nil {
		e = &evidence{state: zone.StateLearning, since: tx.Time, clock: tx.Time}
		f.devices[tx.Device] = e
	}
	e.decay(tx.Time)
	e.apply(tx)
}

// Newest is the time of the newest transaction, the default moment for At.
func (f *Fold) Newest() zone.Time { return f.newest }

// At gives the zone's trust at a moment; one before the newest entry of a
// device is that entry's moment for it. threshold 0 takes the preset of the zone's
// use case; a use case without one asks for 1, which no zone has.
//
// The zone's opinion lies half-way between the mean of all its devices and
// the worst device that is judged. A mean alone would let one infected device
// drown in a large zone, the worst alone would say nothing of all others. A
// device that has just turned malicious has a level of at most 0.16, and the
// mean is below 0.99, so that no zone of any size keeps a level of 0.58 or
// more: below every preset. A device that was never judged, since it still
// learns, counts in the mean only, as uncertainty, and with fewer than 20
// recorded snapshots not at all: somebody may have made its address up. A zone
// without devices that count is all uncertainty.
func (f *Fold) At(now zone.Time, threshold float64) Zone {
	z := Zone{UseCase: f.useCase, Threshold: threshold, ThresholdFrom: "trust.threshold", At: now, Opinion: Opinion{Uncertainty: 1}}
	if threshold == 0 {
		z.Threshold, z.ThresholdFrom = preset(f.useCase), f.useCase
	}
	for mac, e := range f.devices {
		d := *e
		d.decay(now)
		o := d.opinion()
		z.Devices = append(z.Devices, Device{MAC: mac, Name: d.name, State: d.state, Since: d.since, Opinion: o, Trust: o.Level(), Counts: d.counts()})
	}
	slices.SortFunc(z.Devices, func(a, b Device) int { return slices.Compare(a.MAC[:], b.MAC[:]) })
	if counted := z.counted(); len(counted) > 0 {
		z.Opinion = combine(counted)
	}
	z.Trust = z.Level()
	z.Trusted = z.Trust >= z.Threshold
	return z
}

// counted gives the devices that count in the zone's opinion.
func (z *Zone) counted() []Device {
	return slices.DeleteFunc(slices.Clone(z.Devices), func(d Device) bool { return !d.Counts })
}

// preset is the threshold of a use case, 1 if there is none.
func preset(useCase string) float64 {
	t, err := ThresholdOf(useCase)
	if err != nil {
		return 1
	}
	return t
}

// combine is the zone's opinion from those of its devices.
func combine(devices []Device) Opinion {
	var sum, worst Opinion
	found := false
	for _, d := range devices {
		sum.Belief += d.Belief
		sum.Disbelief += d.Disbelief
		if d.State != zone.StateLearning && (!found || d.Trust < worst.Level()) {
			worst, found = d.Opinion, true
		}
	}
	n := float64(len(devices))
	mean := Opinion{Belief: sum.Belief / n, Disbelief: sum.Disbelief / n}
	if !found {
		worst = mean
	}
	o := Opinion{Belief: (mean.Belief + worst.Belief) / 2, Disbelief: (mean.Disbelief + worst.Disbelief) / 2}
	o.Uncertainty = 1 - o.Belief - o.Disbelief
	return o
}
