package contract

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"bellwether/internal/zone"
)

const created = zone.Time(1_700_000_000_000_000_000)

var lamp = zone.MAC{0x64, 0x16, 0x66, 0x49, 0x3e, 0xcb}

func key(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func digest(n byte) (h zone.Hash) {
	h[0], h[31] = n, n
	return h
}

func group() zone.Hash { return GroupID(key(1).Public().(ed25519.PublicKey), created, "home") }

func genesis() *Tx {
	return &Tx{Zone: group(), Kind: KindZoneCreated, Time: created, N: 1,
		Body: &ZoneCreated{Name: "home", UseCase: "smart home", Master: [32]byte(key(1).Public().(ed25519.PublicKey))}}
}

// about makes transaction n of the lamp, a second after the one before.
func about(n uint64, b Body) *Tx {
	return &Tx{Zone: group(), Kind: b.kind(), Time: created.Add(time.Duration(n) * time.Second), Device: lamp, N: n, Body: b}
}

func model() *ModelAccepted {
	return &ModelAccepted{Digest: digest(1), Features: digest(2), First: 1, Last: 900, Rows: 500, From: created, To: created + 1,
		Threshold: 0.25, Rule: "mean + std", Window: 20, Span: time.Minute}
}

func segment(first, last zone.SeqID) *SegmentRecorded {
	rows := uint64(last - first + 1)
	return &SegmentRecorded{First: first, Last: last, Rows: rows, Root: digest(3), Normal: rows - 1, Malicious: 1}
}

func turned() *VerdictChanged {
	return &VerdictChanged{From: zone.StateWatching, To: zone.StateMalicious, Reason: zone.ReasonScore, First: 901, Last: 920,
		Score: 3.5, Threshold: 0.25, Model: digest(1), Alert: digest(4), Since: created}
}

func quiet() *VerdictChanged {
	return &VerdictChanged{From: zone.StateMalicious, To: zone.StateWatching, Reason: zone.ReasonQuiet, Threshold: 0.25, Model: digest(1), Since: created}
}

// life is a whole life of one device, every kind in it.
func life() []*Tx {
	return []*Tx{
		genesis(),
		about(1, &DeviceSeen{Name: "lamp"}),
		about(2, segment(1, 100)),
		about(3, model()),
		about(4, &DeviceRenamed{Name: "Lampe über dem Tisch"}),
		about(5, segment(101, 1000)),
		about(6, turned()),
		about(7, &OperatorAction{Action: ActionSilence, Until: created.Add(time.Hour), Note: "on it"}),
		about(8, quiet()),
		about(9, &OperatorAction{Action: ActionUnsilence}),
		about(10, &OperatorAction{Action: ActionRelearn}),
	}
}

func sign(tb testing.TB, t *Tx) []byte {
	tb.Helper()
	raw, err := t.Sign(key(1))
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func mustApply(tb testing.TB, s State, txs ...*Tx) {
	tb.Helper()
	for i, tx := range txs {
		if _, err := new(Validator).Apply(s, 0, sign(tb, tx)); err != nil {
			tb.Fatalf("transaction %d, %s: %v", i, tx.Kind, err)
		}
	}
}

func TestLife(t *testing.T) {
	s := Memory{}
	mustApply(t, s, life()[:7]...)
	d, ok, err := ReadDevice(s, lamp)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	at := func(n int) zone.Time { return life()[n].Time }
	want := DeviceState{MAC: lamp, Name: "Lampe über dem Tisch", State: zone.StateMalicious, Since: at(6), N: 6, Newest: d.Newest,
		FirstSeen: at(1), LastSeq: 1000, Model: digest(1), Threshold: 0.25, Rows: 1000, Normal: 998, Malicious: 2}
	if d != want {
		t.Errorf("got  %+v\nwant %+v", d, want)
	}
	mustApply(t, s, life()[7:]...)
	if d, _, err = ReadDevice(s, lamp); err != nil {
		t.Fatal(err)
	}
	want.State, want.Since, want.N, want.Newest, want.Model, want.Threshold = zone.StateLearning, at(10), 10, d.Newest, zone.Hash{}, 0
	if d != want {
		t.Errorf("got  %+v\nwant %+v", d, want)
	}
	z, ok, err := ReadZone(s)
	if err != nil || !ok || z.ID != group() || z.Name != "home" || z.UseCase != "smart home" || z.N != 1 || z.Created != created {
		t.Errorf("zone %+v, %v, %v", z, ok, err)
	}
	devices, err := Devices(s)
	if err != nil || len(devices) != 1 || devices[0] != d {
		t.Errorf("devices %+v, %v", devices, err)
	}
}

// A watched device may be given another model, and its former one again: it is
// watched since it was, by that model's verdicts alone.
func TestModelWhileWatching(t *testing.T) {
	s := Memory{}
	mustApply(t, s, life()[:6]...)
	before, _, err := ReadDevice(s, lamp)
	if err != nil {
		t.Fatal(err)
	}
	other := with(model(), func(b *ModelAccepted) { b.Digest, b.Last, b.Threshold = digest(7), 1000, 0.5 })
	mustApply(t, s, about(6, other))
	d, _, err := ReadDevice(s, lamp)
	want := before
	want.N, want.Newest, want.Model, want.Threshold = 6, d.Newest, digest(7), 0.5
	if err != nil || d != want {
		t.Errorf("got  %+v, %v\nwant %+v", d, err, want)
	}
	checkReject(t, s, sign(t, about(7, turned())), CodeTransition)
	mustApply(t, s, about(7, model()), about(8, turned()))
	if d, _, err = ReadDevice(s, lamp); err != nil || d.Model != digest(1) || d.State != zone.StateMalicious {
		t.Errorf("after the former model's verdict: %+v, %v", d, err)
	}
}

func TestSilenceZone(t *testing.T) {
	s := Memory{}
	mustApply(t, s, genesis())
	for n, b := range []*OperatorAction{{Action: ActionSilence, Until: created.Add(time.Hour)}, {Action: ActionUnsilence}} {
		tx := about(uint64(n+2), b)
		tx.Device = zone.MAC{}
		mustApply(t, s, tx)
		if z, _, err := ReadZone(s); err != nil || z.SilencedUntil != b.Until || (z.SilencedFrom != 0) != (b.Until != 0) || z.N != uint64(n+2) {
			t.Errorf("after %s: %+v, %v", b.Action, z, err)
		}
	}
}

// TestReplayGivesTheSameState applies a life twice, by Apply and by Replay, and
// expects equal bytes after every transaction.
func TestReplayGivesTheSameState(t *testing.T) {
	a, b := Memory{}, Memory{}
	seen := map[zone.Hash]bool{}
	for i, tx := range life() {
		raw := sign(t, tx)
		first, err := new(Validator).Apply(a, 0, raw)
		if err != nil {
			t.Fatal(err)
		}
		second, err := new(Validator).Replay(b, 0, raw)
		if err != nil || first.ID != second.ID {
			t.Fatal(err, first.ID, second.ID)
		}
		if !maps.EqualFunc(a, b, bytes.Equal) {
			t.Fatalf("states differ after transaction %d", i)
		}
		da, errA := Digest(a)
		db, errB := Digest(b)
		if da != db || seen[da] || errA != nil || errB != nil {
			t.Fatalf("digests after transaction %d: %s and %s", i, da, db)
		}
		seen[da] = true
	}
}

func TestParseGivesWhatWasSigned(t *testing.T) {
	for _, tx := range life() {
		raw := sign(t, tx)
		got, err := Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		again := sign(t, &got.Tx)
		if !bytes.Equal(again, raw) {
			t.Errorf("%s: parsed and signed again it is other bytes", tx.Kind)
		}
		if id, err := ID(raw); err != nil || id != got.ID {
			t.Errorf("%s: ID %s, %v; Parse says %s", tx.Kind, id, err, got.ID)
		}
		if err := got.Verify(); err != nil {
			t.Error(err)
		}
	}
}

func TestKindNames(t *testing.T) {
	seen := map[string]bool{}
	for k := KindZoneCreated; newBody(k) != nil; k++ {
		if newBody(k).kind() != k || seen[k.String()] || strings.ToLower(k.String()) != k.String() {
			t.Errorf("kind %d: %s", k, k)
		}
		seen[k.String()] = true
	}
	if len(seen) != 13 || newBody(0) != nil || Kind(99).String() != "kind(99)" {
		t.Errorf("%d kinds", len(seen))
	}
}

// brokenState fails at one of its methods.
type brokenState struct {
	Memory
	get, put, keys error
}

func (b brokenState) Get(k string) ([]byte, error) {
	if b.get != nil {
		return nil, b.get
	}
	return b.Memory.Get(k)
}

func (b brokenState) Put(k string, v []byte) error {
	if b.put != nil {
		return b.put
	}
	return b.Memory.Put(k, v)
}

func (b brokenState) Keys(p string) ([]string, error) {
	if b.keys != nil {
		return nil, b.keys
	}
	return b.Memory.Keys(p)
}

func TestStateErrorsAreNotRejects(t *testing.T) {
	broken := errors.New("broken disk")
	for name, s := range map[string]State{"get": brokenState{Memory: Memory{}, get: broken}, "put": brokenState{Memory: Memory{}, put: broken}} {
		_, err := new(Validator).Apply(s, 0, sign(t, genesis()))
		if r := (*RejectError)(nil); !errors.Is(err, broken) || errors.As(err, &r) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := brokenState{Memory: Memory{}, keys: broken}
	_, errD := Devices(s)
	_, errG := Digest(s)
	if !errors.Is(errD, broken) || !errors.Is(errG, broken) {
		t.Error(errD, errG)
	}
	if _, err := new(Validator).Apply(Memory{zoneKey: []byte("no CBOR")}, 0, sign(t, genesis())); err == nil || !strings.Contains(err.Error(), zoneKey) {
		t.Errorf("on damaged state: %v", err)
	}
}

func TestMeasure(t *testing.T) {
	for _, v := range []float64{0, 1, math.MaxFloat64, math.SmallestNonzeroFloat64} {
		if err := measure("x", v); err != nil {
			t.Error(err)
		}
	}
	for _, v := range []float64{math.NaN(), math.Copysign(math.NaN(), -1), math.Inf(1), math.Inf(-1), -1, math.Copysign(0, -1)} {
		if measure("x", v) == nil {
			t.Errorf("%v was taken", v)
		}
	}
}

func BenchmarkApply(b *testing.B) {
	txs := make([][]byte, 3)
	for i, tx := range life()[:3] {
		txs[i] = sign(b, tx)
	}
	var v Validator
	for name, apply := range map[string]func(State, uint64, []byte) (*Signed, error){"apply": v.Apply, "replay": v.Replay} {
		b.Run(name, func(b *testing.B) {
			s := Memory{}
			for i := 0; b.Loop(); i++ {
				if i%len(txs) == 0 {
					clear(s)
				}
				if _, err := apply(s, 0, txs[i%len(txs)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
