package trust

import (
	"math/bits"
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
	countedRows   = 20 // snapshots from which on a device counts, as many as one can be learned from
	verdictWeight = 20 // against, for one malicious verdict
	keptOnVerdict = 20 // one part in this many of the evidence for is kept
	baseRateNum   = 1  // base rate: what an outsider expects of an
	baseRateDen   = 2  // unknown device
	step          = zone.Time(time.Hour)
	forgetSteps   = 24 * 90 // a gap of so many hours leaves nothing of what fades
)

// Hourly decay factors in units of 2^-32: evidence for halves in a day,
// evidence against in a week.
const (
	keepBelief    = 4172697914 // 2^(-1/24)
	keepDisbelief = 4277283299 // 2^(-1/168)
)

// evidence is what the fold holds of one device, in fixed point.
type evidence struct {
	name     string
	state    zone.State
	since    zone.Time
	rows     uint64 // in recorded segments, up to countedRows
	pro, con int64
	clock    zone.Time // up to here decay has been applied
}

func (e *evidence) apply(tx *contract.Tx) {
	switch body := tx.Body.(type) {
	case *contract.DeviceSeen:
		e.name = body.Name
	case *contract.DeviceRenamed:
		e.name = body.Name
	case *contract.ModelAccepted:
		if e.state != zone.StateWatching { // else only the model is another
			e.enter(zone.StateWatching, tx.Time)
		}
	case *contract.SegmentRecorded:
		e.segment(body)
	case *contract.VerdictChanged:
		e.verdict(body, tx.Time)
	case *contract.OperatorAction:
		if body.Action == contract.ActionRelearn {
			e.pro, e.con = 0, 0
			e.enter(zone.StateLearning, tx.Time)
		}
	}
}

// counts reports a device that is judged, or seen often enough to be one.
func (e *evidence) counts() bool { return e.state != zone.StateLearning || e.rows == countedRows }

func (e *evidence) enter(s zone.State, t zone.Time) { e.state, e.since = s, t }

// segment counts a segment's judged snapshots: at most one piece of evidence,
// split by their labels. Nothing speaks for a device that is malicious.
func (e *evidence) segment(s *contract.SegmentRecorded) {
	e.rows = min(e.rows+min(s.Rows, countedRows), countedRows)
	judged := s.Normal + s.Malicious
	if judged == 0 || e.state == zone.StateLearning {
		return
	}
	whole := max(judged, segmentRows)
	if e.state == zone.StateWatching {
		e.pro = min(e.pro+part(s.Normal, whole), maxBelief*unit)
	}
	e.con = min(e.con+part(s.Malicious, whole), maxDisbelief*unit)
}

// part gives n/whole of a piece of evidence, n ≤ whole, for numbers of any size.
func part(n, whole uint64) int64 {
	hi, lo := bits.Mul64(n, unit)
	quo, _ := bits.Div64(hi, lo, whole)
	return int64(quo)
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
	if hours >= forgetSteps {
		hours, e.pro = 0, 0
		if e.state != zone.StateMalicious {
			e.con = 0
		}
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
