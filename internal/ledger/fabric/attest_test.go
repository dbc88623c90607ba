package fabric

import (
	"bytes"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"bellwether/internal/ledger/fabric/evidence"
	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/ledgertest"
)

var update = flag.Bool("update", false, "write the samples of package evidence anew")

// sample keeps evidence and the channel's first block for the tests of package
// evidence, which need no network.
func sample(t *testing.T, name string, e *evidence.Evidence, n *network.Network) {
	t.Helper()
	if !*update {
		return
	}
	for suffix, raw := range map[string][]byte{".evidence": e.Bytes(), ".channel": firstBlockOf(t, n)} {
		if err := os.WriteFile(filepath.Join("evidence", "testdata", strings.ToLower(name)+suffix), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEvidence: evidence of a block from raft with two organisations and from
// BFT verifies against the channel's first block and nothing else, and each part
// of it that is changed is named.
func TestEvidence(t *testing.T) {
	t.Parallel()
	other := channelOf(t, up(t, network.Options{}))
	for name, o := range map[string]network.Options{"raft": {Orgs: 2}, "BFT": {Orderers: network.BFT4}} {
		t.Run(name, func(t *testing.T) {
			n := up(t, o)
			c := channelOf(t, n)
			dir, with := t.TempDir(), Options{Connection: connection(n, 0), Patience: calmPatience}
			l := opened(t, dir, ledgertest.Master(), with)
			for _, tx := range history(t, 3) {
				submit(t, l, tx)
				commit(t, l)
			}
			block, err := l.Block(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			all, carried, err := Evidence(t.Context(), dir, with, []uint64{1}) // beside the ledger that is open
			if err != nil || len(all) != 1 || carried != 0 {
				t.Fatalf("%d pieces, %d blocks carried over: %v", len(all), carried, err)
			}
			e := all[0]
			again, err := evidence.Parse(e.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			s, err := again.Verify(c)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(s.Block.Bytes(), block.Bytes()) || s.Channel != network.Channel || s.Chaincode != network.Chaincode || s.Answered != "org1MSP" {
				t.Errorf("it shows %+v", s)
			}
			orderers, endorsers := 1, []string{"org1MSP", "org2MSP"}
			if name == "BFT" {
				orderers, endorsers = 3, endorsers[:1]
			}
			if len(s.Orderers) < orderers || !slices.Equal(s.Endorsers, endorsers) {
				t.Errorf("signed by %q, endorsed by %q", s.Orderers, s.Endorsers)
			}
			if _, err := again.Verify(other); err == nil {
				t.Error("it verifies against another channel of the same name")
			}
			changeEach(t, e, c)
			sample(t, name, e, n)
			if _, _, err := Evidence(t.Context(), dir, with, []uint64{1, 3}); err == nil {
				t.Error("there is evidence of a block that is not there")
			}
		})
	}
}

func firstBlockOf(t *testing.T, n *network.Network) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(n.Gateway(0).TLSCA), "..", "..", "genesis.block"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func channelOf(t *testing.T, n *network.Network) *evidence.Channel {
	t.Helper()
	c, err := evidence.ParseChannel(firstBlockOf(t, n))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// changeEach changes bytes all over the evidence, part by part.
func changeEach(t *testing.T, good *evidence.Evidence, c *evidence.Channel) {
	t.Helper()
	steps := map[string]int{}
	try := func(what string, change func(e *evidence.Evidence)) {
		e, err := evidence.Parse(good.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		change(e)
		step := (*evidence.StepError)(nil)
		if _, err := e.Verify(c); err == nil {
			t.Errorf("%s: it still verifies", what)
		} else if !errors.As(err, &step) || !strings.Contains(err.Error(), step.Step) {
			t.Errorf("%s: the error names no step: %v", what, err)
		} else {
			steps[step.Step]++
		}
	}
	try("number", func(e *evidence.Evidence) { e.Number++ })
	try("previous", func(e *evidence.Evidence) { e.Previous[0] ^= 1 })
	try("transaction", func(e *evidence.Evidence) { e.Transaction = strings.Repeat("0", 64) })
	try("no data", func(e *evidence.Evidence) { e.Data = nil })
	try("more data", func(e *evidence.Evidence) { e.Data = append(e.Data, []byte("x")) })
	try("no signatures", func(e *evidence.Evidence) { e.Signatures = nil })
	try("no answer", func(e *evidence.Evidence) { e.Answer = nil })
	for name, part := range map[string]func(e *evidence.Evidence) []byte{
		"data": func(e *evidence.Evidence) []byte { return e.Data[0] }, "signatures": func(e *evidence.Evidence) []byte { return e.Signatures },
		"answer": func(e *evidence.Evidence) []byte { return e.Answer }, "peer": func(e *evidence.Evidence) []byte { return e.Peer },
		"signature": func(e *evidence.Evidence) []byte { return e.Signature },
	} {
		for i := 0; i < len(part(good)); i += 5 {
			try(fmt.Sprintf("byte %d of %s", i, name), func(e *evidence.Evidence) { part(e)[i] ^= 1 })
		}
	}
	if steps[evidence.StepOrderers] == 0 || steps[evidence.StepTransaction] == 0 || steps[evidence.StepValidation] == 0 {
		t.Errorf("the steps that failed: %v", steps)
	}
	t.Logf("changed parts fail at %v", steps)
}

// TestLyingOrderer: an orderer that signs whatever it likes cannot make up a
// transaction, nor leave out who endorsed it.
func TestLyingOrderer(t *testing.T) {
	t.Parallel()
	o := network.Options{Orgs: 2, Dir: t.TempDir()}
	n := up(t, o)
	c := channelOf(t, n)
	dir, with := t.TempDir(), Options{Connection: connection(n, 0), Patience: calmPatience}
	l := opened(t, dir, ledgertest.Master(), with)
	submit(t, l, ledgertest.Genesis(t))
	commit(t, l)
	all, _, err := Evidence(t.Context(), dir, with, []uint64{0})
	if err != nil {
		t.Fatal(err)
	}
	good := all[0]
	orderer := filepath.Join(o.Dir, "nodes", "orderer1", "msp", "keystore", "key.pem")
	for _, tt := range []struct {
		name, step string
		change     func(*parts)
	}{
		{"nothing", "", func(*parts) {}},
		{"the creator's signature", evidence.StepCreator, func(p *parts) { p.envelope.Signature[10] ^= 1 }},
		{"an endorsement", evidence.StepEndorsements, func(p *parts) { p.action.Action.Endorsements[1].Signature[10] ^= 1 }},
		{"an endorsement less", evidence.StepEndorsements, func(p *parts) { p.action.Action.Endorsements = p.action.Action.Endorsements[:1] }},
		{"one endorsement twice", evidence.StepEndorsements, func(p *parts) { p.action.Action.Endorsements[1] = p.action.Action.Endorsements[0] }},
		{"the creator as endorser", evidence.StepEndorsements, func(p *parts) {
			client, err := connection(n, 0).signer(nil)
			if err != nil {
				t.Fatal(err)
			}
			var by common.SignatureHeader
			if err := proto.Unmarshal(p.payload.Header.SignatureHeader, &by); err != nil {
				t.Fatal(err)
			}
			response := p.action.Action.ProposalResponsePayload
			signature, err := client.sign(append(slices.Clone(response), by.Creator...))
			if err != nil {
				t.Fatal(err)
			}
			p.action.Action.Endorsements[0] = &peer.Endorsement{Endorser: by.Creator, Signature: signature}
		}},
		{"the call", evidence.StepTransaction, func(p *parts) { p.action.ChaincodeProposalPayload[40] ^= 1 }},
		{"the result", evidence.StepTransaction, func(p *parts) {
			p.action.Action.ProposalResponsePayload = p.action.Action.ProposalResponsePayload[:20]
		}},
	} {
		e, err := evidence.Parse(good.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		p := takeApart(t, e.Data[0])
		tt.change(p)
		if tt.step == evidence.StepCreator || tt.step == "" {
			e.Data[0] = encoded(t, p.envelope)
		} else {
			e.Data[0] = p.together(t, connection(n, 0))
		}
		signAsOrderer(t, e, orderer)
		step := (*evidence.StepError)(nil)
		switch _, err := e.Verify(c); {
		case tt.step == "" && err != nil:
			t.Errorf("signed again without a change: %v", err)
		case tt.step != "" && (!errors.As(err, &step) || step.Step != tt.step):
			t.Errorf("%s changed: %v, want it to fail at the %s", tt.name, err, tt.step)
		}
	}
}

// parts is a transaction of Fabric taken apart.
type parts struct {
	envelope *common.Envelope
	payload  *common.Payload
	tx       *peer.Transaction
	action   *peer.ChaincodeActionPayload
}

func takeApart(t *testing.T, raw []byte) *parts {
	t.Helper()
	p := &parts{new(common.Envelope), new(common.Payload), new(peer.Transaction), new(peer.ChaincodeActionPayload)}
	if err := errors.Join(proto.Unmarshal(raw, p.envelope), proto.Unmarshal(p.envelope.Payload, p.payload), proto.Unmarshal(p.payload.Data, p.tx),
		proto.Unmarshal(p.tx.Actions[0].Payload, p.action)); err != nil {
		t.Fatal(err)
	}
	return p
}

// together makes the transaction again, signed by its creator.
func (p *parts) together(t *testing.T, c Connection) []byte {
	t.Helper()
	p.tx.Actions[0].Payload = encoded(t, p.action)
	p.payload.Data = encoded(t, p.tx)
	p.envelope.Payload = encoded(t, p.payload)
	s, err := c.signer(nil)
	if err != nil {
		t.Fatal(err)
	}
	if p.envelope.Signature, err = s.sign(p.envelope.Payload); err != nil {
		t.Fatal(err)
	}
	return encoded(t, p.envelope)
}

// signAsOrderer signs the block's header again, as it is now.
func signAsOrderer(t *testing.T, e *evidence.Evidence, keyFile string) {
	t.Helper()
	text, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	key, err := identity.PrivateKeyFromPEM(text)
	if err != nil {
		t.Fatal(err)
	}
	var m common.Metadata
	if err := proto.Unmarshal(e.Signatures, &m); err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(bytes.Join(e.Data, nil))
	header, err := asn1.Marshal(struct {
		Number         *big.Int
		Previous, Data []byte
	}{new(big.Int).SetUint64(e.Number), e.Previous, hash[:]})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(slices.Concat(m.Value, m.Signatures[0].SignatureHeader, header))
	sign, err := identity.NewPrivateKeySign(key)
	if err != nil {
		t.Fatal(err)
	}
	if m.Signatures[0].Signature, err = sign(sum[:]); err != nil {
		t.Fatal(err)
	}
	e.Signatures = encoded(t, &m)
}
