package contract

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"errors"
	"io"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"bellwether/internal/canonical"
	"bellwether/internal/zone"
)

// with changes a copy of a body.
func with[B any](b *B, change func(*B)) *B {
	c := *b
	change(&c)
	return &c
}

// rawSign signs without any check, as a stranger's program may.
func rawSign(tb testing.TB, t *Tx, k ed25519.PrivateKey) []byte {
	tb.Helper()
	body, err := canonical.Marshal(t.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return signWire(tb, wireTx{t.Zone, t.Kind, t.Time, who(tb, t.Device), t.N, body}, k)
}

func signWire(tb testing.TB, w wireTx, k ed25519.PrivateKey) []byte {
	tb.Helper()
	payload, err := canonical.Marshal(w)
	if err != nil {
		tb.Fatal(err)
	}
	return signPayload(tb, payload, k)
}

func signPayload(tb testing.TB, payload []byte, k ed25519.PrivateKey) []byte {
	tb.Helper()
	sig := ed25519.Sign(k, append([]byte(signDomain), payload...))
	raw, err := canonical.Marshal(wireSigned{Payload: payload, Key: k.Public().(ed25519.PublicKey), Signature: sig})
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// checkReject applies raw and expects a refusal with the code and no trace.
func checkReject(t *testing.T, s Memory, raw []byte, want Code) {
	t.Helper()
	before := maps.Clone(s)
	_, err := new(Validator).Apply(s, 0, raw)
	r := (*RejectError)(nil)
	if !errors.As(err, &r) || r.Code != want {
		t.Errorf("got %v, want code %s", err, want)
	}
	if !maps.EqualFunc(s, before, bytes.Equal) {
		t.Error("the refused transaction left a trace")
	}
}

// TestRejectByState: after the first n transactions of a life.
func TestRejectByState(t *testing.T) {
	elsewhere := genesis()
	elsewhere.Body = with(elsewhere.Body.(*ZoneCreated), func(b *ZoneCreated) { b.Name = "elsewhere" })
	second := genesis()
	second.N = 2
	lateBirth := with(genesis(), func(x *Tx) { x.N = 2 })
	silenceZone := func(n uint64, a string) *Tx {
		return with(about(n, &OperatorAction{Action: a}), func(x *Tx) { x.Device = zone.MAC{} })
	}
	tests := []struct {
		name  string
		after int
		tx    *Tx
		want  Code
	}{
		{"no zone yet", 0, about(1, &DeviceSeen{}), CodeZone},
		{"group ID of other content", 0, elsewhere, CodeZone},
		{"zone created as number 2", 0, lateBirth, CodeOrder},
		{"the same zone again", 1, genesis(), CodeDuplicate},
		{"zone created twice", 1, second, CodeTransition},
		{"another zone", 2, with(about(2, &DeviceRenamed{}), func(x *Tx) { x.Zone = digest(9) }), CodeZone},
		{"zone: number left out", 1, silenceZone(3, ActionUnsilence), CodeOrder},
		{"zone: not silenced", 1, silenceZone(2, ActionUnsilence), CodeTransition},
		{"never seen", 1, about(1, &DeviceRenamed{}), CodeTransition},
		{"seen twice", 2, about(2, &DeviceSeen{}), CodeTransition},
		{"the same again", 2, about(1, &DeviceSeen{Name: "lamp"}), CodeDuplicate},
		{"another with that number", 2, about(1, &DeviceSeen{Name: "other"}), CodeOrder},
		{"number left out", 2, about(3, &DeviceRenamed{}), CodeOrder},
		{"number of long ago", 6, about(2, segment(1, 100)), CodeOrder},
		{"verdict while learning", 2, about(2, turned()), CodeTransition},
		{"relearn while learning", 2, about(2, &OperatorAction{Action: ActionRelearn}), CodeTransition},
		{"unsilence in silence's absence", 2, about(2, &OperatorAction{Action: ActionUnsilence}), CodeTransition},
		{"the same model while watching", 4, about(4, model()), CodeTransition},
		{"model of rows that are not recorded", 4, about(4, with(model(), func(b *ModelAccepted) { b.Digest = digest(7) })), CodeTransition},
		{"quiet while watching", 4, about(4, quiet()), CodeTransition},
		{"verdict of another model", 4, about(4, with(turned(), func(b *VerdictChanged) { b.Model = digest(8) })), CodeTransition},
		{"model while malicious", 7, about(7, with(model(), func(b *ModelAccepted) { b.Digest = digest(7) })), CodeTransition},
		{"malicious twice", 7, about(7, turned()), CodeTransition},
		{"segment overlaps", 3, about(3, segment(100, 101)), CodeTransition},
		{"segment again", 3, about(3, segment(1, 100)), CodeTransition},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := Memory{}
			mustApply(t, s, life()[:tt.after]...)
			checkReject(t, s, sign(t, tt.tx), tt.want)
		})
	}
}

func TestRejectAuthority(t *testing.T) {
	s := Memory{}
	checkReject(t, s, rawSign(t, genesis(), key(2)), CodeAuthority)
	mustApply(t, s, genesis())
	checkReject(t, s, rawSign(t, about(1, &DeviceSeen{}), key(2)), CodeAuthority)
}

func TestRejectSignature(t *testing.T) {
	s := Memory{}
	mustApply(t, s, genesis())
	raw := sign(t, about(1, &DeviceSeen{Name: "lamp"}))
	name := bytes.Index(raw, []byte("lamp"))
	for _, at := range []int{name, len(raw) - 1, len(raw) - 64, len(raw) - 70} {
		changed := bytes.Clone(raw)
		changed[at] ^= 1
		checkReject(t, s, changed, CodeSignature)
	}
}

// TestRejectRange: one transaction for each value that none may have.
func TestRejectRange(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	long := strings.Repeat("x", 129)
	m := func(f func(*ModelAccepted)) *Tx { return about(1, with(model(), f)) }
	g := func(f func(*SegmentRecorded)) *Tx { return about(1, with(segment(1, 10), f)) }
	v := func(f func(*VerdictChanged)) *Tx { return about(1, with(turned(), f)) }
	z := func(f func(*ZoneCreated)) *Tx {
		return with(genesis(), func(x *Tx) { x.Body = with(x.Body.(*ZoneCreated), f) })
	}
	op := func(b OperatorAction) *Tx { return about(1, &b) }
	tests := map[string]*Tx{
		"time":                with(genesis(), func(x *Tx) { x.Time = -1 }),
		"number":              about(0, &DeviceSeen{}),
		"group address":       with(about(1, &DeviceSeen{}), func(x *Tx) { x.Device[0] |= 1 }),
		"no device":           with(about(1, &DeviceSeen{}), func(x *Tx) { x.Device = zone.MAC{} }),
		"zone with device":    with(genesis(), func(x *Tx) { x.Device = lamp }),
		"zone name empty":     z(func(b *ZoneCreated) { b.Name = "" }),
		"zone name long":      z(func(b *ZoneCreated) { b.Name = long }),
		"use case":            z(func(b *ZoneCreated) { b.UseCase = "a\nb" }),
		"no master":           z(func(b *ZoneCreated) { b.Master = [32]byte{} }),
		"name long":           about(1, &DeviceSeen{Name: long}),
		"name control":        about(1, &DeviceSeen{Name: "a\x00"}),
		"name direction":      about(1, &DeviceRenamed{Name: "a\u202eb"}),
		"name invisible":      about(1, &DeviceRenamed{Name: "a\u200bb"}),
		"model digest":        m(func(b *ModelAccepted) { b.Digest = zone.Hash{} }),
		"model features":      m(func(b *ModelAccepted) { b.Features = zone.Hash{} }),
		"model first":         m(func(b *ModelAccepted) { b.First = 0 }),
		"model last":          m(func(b *ModelAccepted) { b.Last = 0 }),
		"model rows":          m(func(b *ModelAccepted) { b.Rows = 901 }),
		"model no rows":       m(func(b *ModelAccepted) { b.Rows = 0 }),
		"model from":          m(func(b *ModelAccepted) { b.From = -1 }),
		"model to":            m(func(b *ModelAccepted) { b.To = b.From - 1 }),
		"model threshold":     m(func(b *ModelAccepted) { b.Threshold = nan }),
		"model rule":          m(func(b *ModelAccepted) { b.Rule = "" }),
		"model window":        m(func(b *ModelAccepted) { b.Window = 0 }),
		"model span":          m(func(b *ModelAccepted) { b.Span = -1 }),
		"segment root":        g(func(b *SegmentRecorded) { b.Root = zone.Hash{} }),
		"segment rows":        g(func(b *SegmentRecorded) { b.Rows, b.Normal = 11, 10 }),
		"segment first":       g(func(b *SegmentRecorded) { b.First = 0 }),
		"segment last":        g(func(b *SegmentRecorded) { b.First = 11 }),
		"segment normal":      g(func(b *SegmentRecorded) { b.Normal = 11 }),
		"segment malicious":   g(func(b *SegmentRecorded) { b.Malicious = 2 }),
		"segment unjudged":    g(func(b *SegmentRecorded) { b.Unjudged = 1 }),
		"segment overflow":    g(func(b *SegmentRecorded) { b.Normal, b.Malicious = math.MaxUint64, 11 }),
		"verdict from":        v(func(b *VerdictChanged) { b.From = zone.StateLearning }),
		"verdict to":          v(func(b *VerdictChanged) { b.To = zone.StateUnseen }),
		"verdict same":        v(func(b *VerdictChanged) { b.To = b.From }),
		"verdict reason":      v(func(b *VerdictChanged) { b.Reason = "Score!" }),
		"verdict no reason":   v(func(b *VerdictChanged) { b.Reason = "" }),
		"verdict reason long": v(func(b *VerdictChanged) { b.Reason = strings.Repeat("a", 33) }),
		"verdict first":       v(func(b *VerdictChanged) { b.First = 0 }),
		"verdict last":        v(func(b *VerdictChanged) { b.Last = 1 }),
		"verdict score":       v(func(b *VerdictChanged) { b.Score = inf }),
		"verdict threshold":   v(func(b *VerdictChanged) { b.Threshold = -1 }),
		"verdict model":       v(func(b *VerdictChanged) { b.Model = zone.Hash{} }),
		"verdict alert":       v(func(b *VerdictChanged) { b.Alert = zone.Hash{} }),
		"verdict since":       v(func(b *VerdictChanged) { b.Since = created.Add(time.Hour) }),
		"verdict before 1970": v(func(b *VerdictChanged) { b.Since = -1 }),
		"action":              op(OperatorAction{Action: "reboot"}),
		"silence over":        op(OperatorAction{Action: ActionSilence, Until: created}),
		"relearn until":       op(OperatorAction{Action: ActionRelearn, Until: created}),
		"relearn the zone":    with(op(OperatorAction{Action: ActionRelearn}), func(x *Tx) { x.Device = zone.MAC{} }),
		"unsilence until":     op(OperatorAction{Action: ActionUnsilence, Until: created}),
		"note":                op(OperatorAction{Action: ActionUnsilence, Note: strings.Repeat("x", 513)}),
	}
	s := Memory{}
	mustApply(t, s, genesis())
	for name, tx := range tests {
		t.Run(name, func(t *testing.T) {
			checkReject(t, s, rawSign(t, tx, key(1)), CodeRange)
			_, err := tx.Sign(key(1))
			if r := (*RejectError)(nil); !errors.As(err, &r) || r.Code != CodeRange {
				t.Errorf("Sign: %v", err)
			}
		})
	}
}

func TestSignRefuses(t *testing.T) {
	for name, tx := range map[string]*Tx{
		"no body":      {Zone: group(), Kind: KindDeviceSeen, Device: lamp, N: 1},
		"another kind": {Zone: group(), Kind: KindDeviceSeen, Device: lamp, N: 1, Body: &DeviceRenamed{}},
	} {
		if _, err := tx.Sign(key(1)); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
	fails := errors.New("no enclave")
	if _, err := genesis().Sign(failingSigner{fails}); !errors.Is(err, fails) {
		t.Errorf("got %v", err)
	}
	if _, err := genesis().Sign(failingSigner{}); err == nil {
		t.Error("signed with a key that is not Ed25519")
	}
	tx := genesis()
	tx.Kind = 0
	if !bytes.Equal(sign(t, tx), sign(t, genesis())) || tx.Kind != 0 {
		t.Error("a kind of 0 is not that of the body")
	}
}

type failingSigner struct{ err error }

func (f failingSigner) Public() crypto.PublicKey {
	if f.err == nil {
		return "no key"
	}
	return key(1).Public()
}

func (f failingSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, f.err }
