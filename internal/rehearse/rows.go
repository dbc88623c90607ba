package rehearse

import (
	"context"
	"fmt"

	"bellwether/internal/capture"
	"bellwether/internal/feature"
	"bellwether/internal/gateway"
	"bellwether/internal/packet"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// Row is what the features say right after a packet that a device sent, in the
// order of feature.Names and the precision in which the monitor keeps them.
type Row struct {
	Time     zone.Time
	Packet   uint64 // its index in the capture that it was put into
	Features [zone.Features]float32
}

// RowSet is rows of one device from one capture, in order. Statistics begin
// empty with each capture; those of an attack's rows also hold the benign
// traffic around it.
type RowSet struct {
	Device zone.MAC
	Name   string
	Attack string // the kind whose packets the rows are of; "" is benign
	Round  int    // of the attack, from 1
	Learn  bool   // benign, to learn from; the other benign rows are to be judged
	Rows   []Row
}

// Rows gives labelled rows to f for detectors that are not the monitor's: of each
// device those to learn from, then those of the later part, then, kind by kind
// and round by round, those of each attack's packets, over the merged traffic.
// Devices come in the order of their addresses. f may keep what it is given.
//
// Devices and attacks are those of Run with the same options. Rows of benign
// packets in an attacked capture are not given.
func (r Rehearsal) Rows(ctx context.Context, f func(RowSet) error) error {
	return r.onStage(ctx, func(s *stage) error {
		actors, err := s.rowActors(ctx)
		if err != nil {
			return err
		}
		if err := s.benignRows(ctx, s.learn, actors, true, f); err != nil {
			return err
		}
		if err := s.benignRows(ctx, []string{s.rest}, actors, false, f); err != nil {
			return err
		}
		for i := range len(s.Attacks) * s.Times {
			if err := s.attackRows(ctx, s.Attacks[i/s.Times], i%s.Times, actors, f); err != nil {
				return err
			}
			s.Progress("rows", int64(i+1), int64(len(s.Attacks)*s.Times))
		}
		return nil
	})
}

// rowActors finds the devices that a replay learns. How well does not matter
// here, so it trains as little as it can.
func (s *stage) rowActors(ctx context.Context) ([]actor, error) {
	config := s.Config
	config.Detector.Epochs = 1
	learned, err := gateway.Replay{StateDir: s.learnedDir(), Learn: s.learn, Config: config}.Run(ctx)
	if err != nil {
		return nil, fmt.Errorf("learning: %w", err)
	}
	actors, _, err := s.cast(learned)
	return actors, err
}

// decoded hands every packet of captures to f, with its index.
func decoded(ctx context.Context, captures []string, f func(index uint64, p *packet.Packet)) error {
	var p packet.Packet
	n := uint64(0)
	_, err := gateway.Frames(ctx, captures, func(fr *capture.Frame) error {
		p.Time, p.Length = fr.Time, fr.Length
		packet.Decode(fr.Link, fr.Data, &p)
		f(n, &p)
		n++
		return nil
	})
	return err
}

// benignRows gives the rows of what each of the actors sent in captures.
func (s *stage) benignRows(ctx context.Context, captures []string, actors []actor, learn bool, f func(RowSet) error) error {
	sets := make([]RowSet, len(actors))
	of := map[zone.MAC]*RowSet{}
	for i, a := range actors {
		sets[i] = RowSet{Device: a.mac, Name: a.name, Learn: learn}
		of[a.mac] = &sets[i]
	}
	e := feature.NewExtractor(feature.Limits(s.Config.Tables))
	err := decoded(ctx, captures, func(n uint64, p *packet.Packet) {
		if set := of[p.SrcMAC]; set != nil && p.HasMAC {
			set.add(e, n, p)
			return
		}
		e.Update(p, nil)
	})
	return each(sets, err, f)
}

// attackRows gives the rows of the packets of one round of attacks.
func (s *stage) attackRows(ctx context.Context, name string, round int, actors []actor, f func(RowSet) error) error {
	kind, err := simulate.FindKind(name)
	if err != nil {
		return err
	}
	strikes := s.strikes(kind, round, actors)
	path, truthPath := s.capturePath(kind.Name, round)
	if err := overlay(ctx, s.excerpts[round].path, path, strikes, truthPath); err != nil {
		return err
	}
	sets := make([]RowSet, len(actors))
	of := map[uint64]*RowSet{}
	for i, k := range strikes {
		sets[i] = RowSet{Device: k.MAC, Name: actors[i].name, Attack: kind.Name, Round: round + 1}
		for _, n := range k.sent {
			of[n] = &sets[i]
		}
	}
	e := feature.NewExtractor(feature.Limits(s.Config.Tables))
	err = decoded(ctx, []string{path}, func(n uint64, p *packet.Packet) {
		if set := of[n]; set != nil {
			set.add(e, n, p)
			return
		}
		e.Update(p, nil)
	})
	if err == nil {
		err = s.drop(path)
	}
	return each(sets, err, f)
}

// add appends the row of a packet.
func (set *RowSet) add(e *feature.Extractor, n uint64, p *packet.Packet) {
	var v feature.Vector
	e.Update(p, &v)
	row := Row{Time: p.Time, Packet: n}
	for i, x := range v {
		row.Features[i] = float32(x)
	}
	set.Rows = append(set.Rows, row)
}

// each gives the sets to f, unless something failed before.
func each(sets []RowSet, err error, f func(RowSet) error) error {
	for _, set := range sets {
		if err != nil {
			return err
		}
		err = f(set)
	}
	return err
}
