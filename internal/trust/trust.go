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
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/zone"
)

// unit is one piece of evidence in the fold's fixed point.
const unit = 1 << 20

// The evidence rules, in pieces of evidence.
const (
	priorWeight   = 2  // Jøsang's non-informative prior weight W
	segmentRows   = 50 // judged snapshots that make a whole piece
	maxBelief     = 60 // evidence for a device is capped here
	maxDisbelief  = 60 // and evidence against it here
	verdictWeight = 20 // against, for one malicious verdict
	keptOnVerdict = 10 // one part in this many of the evidence for is kept
	baseRateNum   = 1  // base rate: what an outsider expects of an
	baseRateDen   = 2  // unknown device
	step          = zone.Time(time.Hour)
	forgetSteps   = 24 * 90 // after so many hours nothing is left
)

// Hourly decay factors in units of 2^-32: evidence for halves in a day,
// evidence against in a week.
const (
	keepBelief    = 4172697914 // 2^(-1/24)
	keepDisbelief = 4277283299 // 2^(-1/168)
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
}

// Zone is the zone's trust at one moment.
type Zone struct {
	Trust     float64 `json:"trust"`     // the level, 0 to 1
	Threshold float64 `json:"threshold"` // what the use case asks for
	UseCase   string  `json:"use_case"`
	Trusted   bool    `json:"trusted"` // Trust ≥ Threshold
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

// evidence is what the fold holds of one device, in fixed point.
type evidence struct {
	name     string
	state    zone.State
	since    zone.Time
	pro, con int64
	clock    zone.Time // up to here decay has been applied
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

func (e *evidence) apply(tx *contract.Tx) {
	switch body := tx.Body.(type) {
	case *contract.DeviceSeen:
		e.name = body.Name
	case *contract.DeviceRenamed:
		e.name = body.Name
	case *contract.ModelAccepted:
		e.enter(zone.StateWatching, tx.Time)
	case *contract.SegmentRecorded:
		e.segment(body)
	case *contract.VerdictChanged:
		e.verdict(body, tx.Time)
	case *contract.OperatorAction:
		if body.Action == "relearn" {
			e.pro, e.con = 0, 0
			e.enter(zone.StateLearning, tx.Time)
		}
	}
}

func (e *evidence) enter(s zone.State, t zone.Time) { e.state, e.since = s, t }

// segment counts a segment's judged snapshots: at most one piece of evidence,
// split by their labels. Nothing speaks for a device that is malicious.
func (e *evidence) segment(s *contract.SegmentRecorded) {
	judged := int64(s.Normal + s.Malicious)
	if judged == 0 || e.state == zone.StateLearning {
		return
	}
	whole := max(judged, segmentRows)
	if e.state == zone.StateWatching {
		e.pro = min(e.pro+int64(s.Normal)*unit/whole, maxBelief*unit)
	}
	e.con = min(e.con+int64(s.Malicious)*unit/whole, maxDisbelief*unit)
}

func (e *evidence) verdict(v *contract.VerdictChanged, t zone.Time) {
	if v.To == zone.StateMalicious {
		e.pro /= keptOnVerdict
		e.con = min(e.con+verdictWeight*unit, maxDisbelief*unit)
	}
	e.enter(v.To, t)
}

// decay lets the evidence of every whole hour since the last one fade. While
// a device is malicious the evidence against it stays.
func (e *evidence) decay(now zone.Time) {
	if now <= e.clock {
		return
	}
	hours := int64((now - e.clock) / step)
	e.clock += zone.Time(hours) * step
	if hours > forgetSteps {
		hours = forgetSteps
	}
	for range hours {
		e.pro = fade(e.pro, keepBelief)
		if e.state != zone.StateMalicious {
			e.con = fade(e.con, keepDisbelief)
		}
	}
}

// fade multiplies v < 2^31 by keep/2^32.
func fade(v int64, keep uint64) int64 { return int64(uint64(v) * keep >> 32) }

func (e *evidence) opinion() Opinion {
	total := float64(e.pro + e.con + priorWeight*unit)
	return Opinion{
		Belief:      float64(e.pro) / total,
		Disbelief:   float64(e.con) / total,
		Uncertainty: priorWeight * unit / total,
	}
}

// Newest is the time of the newest transaction, the default moment for At.
func (f *Fold) Newest() zone.Time { return f.newest }

// At gives the zone's trust at a moment, not earlier than the newest entry's.
// threshold 0 takes the preset of the zone's use case.
//
// The zone's opinion lies half-way between the mean of all its devices and
// the worst device that is judged: one infected device weighs as much in a
// large zone as in a small one. A zone without devices is all uncertainty.
func (f *Fold) At(now zone.Time, threshold float64) Zone {
	z := Zone{UseCase: f.useCase, Threshold: threshold, At: now, Opinion: Opinion{Uncertainty: 1}}
	if threshold == 0 {
		z.Threshold, _ = ThresholdOf(f.useCase)
	}
	for mac, e := range f.devices {
		d := *e
		d.decay(now)
		o := d.opinion()
		z.Devices = append(z.Devices, Device{MAC: mac, Name: d.name, State: d.state, Since: d.since, Opinion: o, Trust: o.Level()})
	}
	slices.SortFunc(z.Devices, func(a, b Device) int { return slices.Compare(a.MAC[:], b.MAC[:]) })
	if len(z.Devices) > 0 {
		z.Opinion = combine(z.Devices)
	}
	z.Trust = z.Level()
	z.Trusted = z.Trust >= z.Threshold
	return z
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
