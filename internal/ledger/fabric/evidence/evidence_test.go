package evidence

import (
	"bytes"
	"crypto/elliptic"
	"encoding/asn1"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// sample reads evidence of block 1 of a zone, and the channel's first block, as a
// real network gave them: `go test ./internal/ledger/fabric -run TestEvidence -update`.
func sample(t testing.TB, name string) (*Evidence, []byte) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name+".evidence"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	channel, err := os.ReadFile(filepath.Join("testdata", name+".channel"))
	if err != nil {
		t.Fatal(err)
	}
	return e, channel
}

func channel(t testing.TB, raw []byte) *Channel {
	t.Helper()
	c, err := ParseChannel(raw)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSamples(t *testing.T) {
	for name, want := range map[string]struct {
		kind      string
		orderers  int
		endorsers []string
	}{"raft": {"etcdraft", 1, []string{"org1MSP", "org2MSP"}}, "bft": {"BFT", 3, []string{"org1MSP"}}} {
		e, raw := sample(t, name)
		c := channel(t, raw)
		s, err := e.Verify(c)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if c.Type != want.kind || c.Number != 0 || c.Name != "bellwether" || len(s.Orderers) < want.orderers || !slices.Equal(s.Endorsers, want.endorsers) ||
			s.Creator != "org1MSP" || s.Answered != "org1MSP" || s.Block.Header.Number != 1 {
			t.Errorf("%s: %+v of %+v", name, s, c)
		}
	}
}

// TestHandover: what a zone came to the channel with is shown like a block.
func TestHandover(t *testing.T) {
	e, raw := sample(t, "handover")
	s, err := e.Verify(channel(t, raw))
	if err != nil || s.Block != nil || s.Handover.Header.Number != 2 || !slices.Equal(s.Endorsers, []string{"org1MSP", "org2MSP"}) {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestSteps: what fails is named.
func TestSteps(t *testing.T) {
	_, other := sample(t, "bft")
	for name, tt := range map[string]struct {
		step   string
		change func(*Evidence, *Channel)
	}{
		"another network":    {StepOrderers, func(_ *Evidence, c *Channel) { *c = *channel(t, other) }},
		"data":               {StepOrderers, func(e *Evidence, _ *Channel) { e.Data[0][100] ^= 1 }},
		"number":             {StepOrderers, func(e *Evidence, _ *Channel) { e.Number++ }},
		"previous":           {StepOrderers, func(e *Evidence, _ *Channel) { e.Previous[3] ^= 1 }},
		"no signature":       {StepOrderers, func(e *Evidence, _ *Channel) { e.Signatures = nil }},
		"configuration":      {StepOrderers, func(_ *Evidence, c *Channel) { c.Number = 7 }},
		"no such orderer":    {StepOrderers, func(_ *Evidence, c *Channel) { c.orderersOf = c.members }},
		"transaction":        {StepTransaction, func(e *Evidence, _ *Channel) { e.Transaction = "x" }},
		"channel":            {StepTransaction, func(_ *Evidence, c *Channel) { c.Name = "other" }},
		"no member":          {StepCreator, func(_ *Evidence, c *Channel) { delete(c.members, "org1MSP") }},
		"no second member":   {StepEndorsements, func(_ *Evidence, c *Channel) { delete(c.members, "org2MSP") }},
		"more members":       {StepEndorsements, func(_ *Evidence, c *Channel) { c.members["a"], c.members["b"] = nil, nil }},
		"not peers":          {StepEndorsements, func(_ *Evidence, c *Channel) { c.members["org2MSP"].peers = "other" }},
		"no unit of peers":   {StepEndorsements, func(_ *Evidence, c *Channel) { c.members["org2MSP"].peers = "" }},
		"answer":             {StepValidation, func(e *Evidence, _ *Channel) { e.Answer[9] ^= 1 }},
		"the answer's peer":  {StepValidation, func(e *Evidence, _ *Channel) { e.Peer = nil }},
		"the larger s":       {StepValidation, func(e *Evidence, _ *Channel) { e.Signature = larger(t, e.Signature) }},
		"answer's signature": {StepValidation, func(e *Evidence, _ *Channel) { e.Signature[9] ^= 1 }},
	} {
		e, raw := sample(t, "raft")
		c := channel(t, raw)
		tt.change(e, c)
		step := (*StepError)(nil)
		if _, err := e.Verify(c); !errors.As(err, &step) || step.Step != tt.step {
			t.Errorf("%s: %v, want it to fail at the %s", name, err, tt.step)
		}
	}
}

// larger gives the other value of s with which a signature by a key on P-256 holds.
func larger(t *testing.T, signature []byte) []byte {
	var v struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(signature, &v); err != nil {
		t.Fatal(err)
	}
	v.S.Sub(elliptic.P256().Params().N, v.S)
	other, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return other
}

// TestOtherChaincode: what an unrelated chaincode of the channel took by a function
// of the same name is no block of a zone.
func TestOtherChaincode(t *testing.T) {
	for _, name := range []string{"raft", "handover"} {
		e, raw := sample(t, name)
		tx, err := e.find(channel(t, raw))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := tx.content(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, answer := range [][]byte{nil, []byte("OK"), tx.answer[:31]} {
			tx.answer = answer
			step := (*StepError)(nil)
			if _, _, err := tx.content(); !errors.As(err, &step) || step.Step != StepZone {
				t.Errorf("%s: answered by %q: %v", name, answer, err)
			}
		}
	}
}

// TestQuorum: with SmartBFT one signature less than the quorum is too few, and
// one orderer's twice counts once.
func TestQuorum(t *testing.T) {
	e, raw := sample(t, "bft")
	c := channel(t, raw)
	for n, ok := range map[int]bool{4: true, 5: false, 7: false} { // of 5 consenters 4 are needed, of 7 5
		for id := range c.consenters {
			if id > 4 {
				delete(c.consenters, id)
			}
		}
		for id := 5; id <= n; id++ {
			c.consenters[uint32(id)] = c.consenters[1]
		}
		if s, err := e.Verify(c); (err == nil) != ok {
			t.Errorf("of %d consenters: %+v, %v", n, s, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"raft", "bft", "handover"} {
		e, raw := sample(f, name)
		f.Add(e.Bytes(), raw)
	}
	good, anchor := sample(f, "raft")
	f.Fuzz(func(t *testing.T, raw, config []byte) {
		e, err := Parse(raw)
		if err != nil {
			return
		}
		if !bytes.Equal(e.Bytes(), raw) {
			t.Fatalf("%x is taken, its canonical form is %x", raw, e.Bytes())
		}
		if c, err := ParseChannel(config); err == nil {
			e.Verify(c)
		}
		if s, err := e.Verify(channel(t, anchor)); err == nil && s.Block.Header.Hash() != mustBlock(t, good, anchor) {
			t.Fatalf("%x shows another block", raw)
		}
	})
}

func mustBlock(t *testing.T, e *Evidence, anchor []byte) [32]byte {
	s, err := e.Verify(channel(t, anchor))
	if err != nil {
		t.Fatal(err)
	}
	return s.Block.Header.Hash()
}
