package gateway

import (
	"context"
	"errors"
	"fmt"

	"bellwether/internal/contract"
	"bellwether/internal/detect"
	"bellwether/internal/durable"
	"bellwether/internal/monitor"
	"bellwether/internal/zone"
)

// Adaptation is how a device's shadow model compares with the one in force, and
// what became of it.
type Adaptation struct {
	Device  zone.MAC          `json:"mac"`
	Gates   monitor.Gates     `json:"gates"`
	Anchor  monitor.Candidate `json:"anchor"` // the first model since the device joined or learned anew
	Present monitor.Candidate `json:"present"`
	Shadow  monitor.Candidate `json:"shadow"`
	ID      zone.HID          `json:"h_id"` // zeros: it did not take over
}

// Adapt learns a shadow model of a watched device and lets it take over, if it is
// within its bounds ([monitor.BoundError]) and try is false. What was found is
// given with every error that comes after it.
func (s *State) Adapt(ctx context.Context, mac zone.MAC, try bool) (*Adaptation, error) {
	device, h, err := s.watched(ctx, mac)
	if err != nil {
		return nil, err
	}
	anchor, err := s.model(h.Models[0].Digest)
	if err != nil {
		return nil, err
	}
	present, err := s.model(device.Model)
	if err != nil {
		return nil, err
	}
	out := &Adaptation{Device: mac}
	shadow, err := monitor.TrainShadow(ctx, s.Store, h, anchor, present, device.LastSeq)
	out.Gates, out.Anchor, out.Present, out.Shadow = shadow.Gates, shadow.Anchor, shadow.Present, shadow.Shadow
	if err == nil {
		err = shadow.Check(anchor)
	}
	if err == nil && shadow.Accepted.Digest == device.Model {
		err = fmt.Errorf("nothing newer of %s has passed the gates: the shadow is the model in force", mac)
	}
	if err != nil || try {
		return out, err
	}
	file, err := shadow.Model.MarshalBinary()
	if err != nil {
		return out, err
	}
	if err := durable.WriteFile(s.path(modelDir+"/"+shadow.Accepted.Digest.String()+".model"), file, 0o640); err != nil {
		return out, fmt.Errorf("model of %s: %w", mac, err)
	}
	out.ID, err = s.acceptModel(ctx, device, shadow.Accepted)
	return out, err
}

// Rollback lets the model take over that the one in force took the place of.
func (s *State) Rollback(ctx context.Context, mac zone.MAC) (*contract.ModelAccepted, zone.HID, error) {
	device, h, err := s.watched(ctx, mac)
	if err != nil {
		return nil, zone.HID{}, err
	}
	former, err := h.Former()
	if err != nil {
		return nil, zone.HID{}, err
	}
	if _, err := s.model(former.Digest); err != nil {
		return nil, zone.HID{}, err
	}
	id, err := s.acceptModel(ctx, device, &former)
	return &former, id, err
}

// watched gives a device whose model may be another, and its history.
func (s *State) watched(ctx context.Context, mac zone.MAC) (contract.DeviceState, *monitor.History, error) {
	if err := s.runs.unfinished(); err != nil {
		return contract.DeviceState{}, nil, err
	}
	d, ok, err := contract.ReadDevice(s.Ledger.State(), mac)
	switch {
	case err != nil:
		return d, nil, err
	case !ok:
		return d, nil, fmt.Errorf("%s is not a device of zone %s", mac, s.Zone.Name)
	case d.State == zone.StateLearning:
		return d, nil, fmt.Errorf("%s is learning: it has no model yet", mac)
	case d.State != zone.StateWatching:
		return d, nil, fmt.Errorf("%s is %s: its model changes only while it is watched; wait until it is quiet, or let it learn anew with `bellwether device relearn %s`", mac, d.State, mac)
	}
	h, err := monitor.ReadHistory(ctx, s.Ledger, mac)
	if err == nil && len(h.Models) == 0 {
		err = errors.New("the ledger does not hold the model that its state names")
	}
	return d, h, err
}

func (s *State) model(digest zone.Hash) (*detect.Model, error) {
	file, err := s.modelFile(digest)
	if err != nil {
		return nil, err
	}
	m, err := detect.UnmarshalModel(file)
	if err == nil && m.Digest() != digest {
		err = fmt.Errorf("it has the digest %s", m.Digest().Short())
	}
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", digest.Short(), err)
	}
	return m, nil
}

// acceptModel records that a device is watched with a model from now on: the time
// of its newest recorded snapshot, so that the same state gives the same entry.
func (s *State) acceptModel(ctx context.Context, d contract.DeviceState, body *contract.ModelAccepted) (zone.HID, error) {
	at := max(d.Since, body.To)
	for _, seg := range s.Store.Segments() {
		if r, ok := seg.Range(d.MAC); ok && r.Last <= d.LastSeq {
			at = max(at, r.LastTime)
		}
	}
	return s.submit(ctx, contract.Tx{Zone: s.Zone.ID, Time: at, Device: d.MAC, N: d.N + 1, Body: body})
}
