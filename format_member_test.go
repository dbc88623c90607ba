package bellwether_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"encoding/hex"
	"testing"

	"bellwether/internal/contract"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// sealedExample was sealed once: the encapsulated key is random.
const sealedExample = "5030062e364c66722d851c7348a2b5c520d2c301fdb9afdacb7561303085fb3b9b13bf0c1fe3b76c0963b7434815362dbb9895a2728e78d04d9802c3b09c51eb770c"

// run gives n bytes that count up from first.
func run(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

// members writes one of everything that a follower and its master say.
func (v *vectors) members(master ed25519.PrivateKey) {
	key := ed25519.NewKeyFromSeed(run(0x20, 32))
	seal, err := ecdh.X25519().NewPrivateKey(run(0x40, 32))
	v.must(err)
	public := [32]byte(key.Public().(ed25519.PublicKey))
	by := [32]byte(master.Public().(ed25519.PublicKey))
	group := contract.GroupID(by[:], vectorTime, "Home")
	v.b.WriteString("\n# A member \"lamp\" of that zone: its Ed25519 and X25519 keys, and what it is invited with\n# and admitted by.\n")
	v.bytes("member.seed", key.Seed())
	v.bytes("member.public_key", public[:])
	v.bytes("member.seal_private", seal.Bytes())
	v.bytes("member.seal_public", seal.PublicKey().Bytes())
	invite := message.Invite{Address: "192.0.2.1:7300", Zone: group, Master: by, Pin: zone.Hash(run(0x60, 32)), Code: "k7m2-9qxt"}
	v.text("member.invite", invite.String())
	v.text("member.identity", message.Identity{Member: "lamp", Key: public[:]}.String())

	ticket, err := (&contract.Ticket{Zone: group, Member: "lamp", Key: public, Role: "light", Maker: "ACME", Firmware: zone.Hash(run(0x80, 32)),
		MAC: vectorDevice(), Until: 1000, Epoch: 0, Serial: 1}).Sign(master)
	v.must(err)
	v.b.WriteString("\n# Its ticket, for blocks up to 1000; and a challenge and the hello that answers it.\n")
	v.bytes("member.ticket", ticket)
	v.text("member.challenge", message.Challenge([32]byte(run(0xa0, 32))))
	hello, err := (&message.Hello{Zone: group, Member: "lamp", Master: by, Nonce: [32]byte(run(0xa0, 32)), Binding: [32]byte(run(0xc0, 32)), Code: invite.Code, Ticket: ticket}).Sign(key)
	v.must(err)
	v.text("member.hello", hello)
	v.transactions(master, key, ticket, [32]byte(seal.PublicKey().Bytes()))
	v.sealed(seal, group)
}

// transactions writes an association and a message, as they are signed, and as
// they stand on the ledger; and the frames about them.
func (v *vectors) transactions(master, key ed25519.PrivateKey, ticket []byte, seal [32]byte) {
	by := master.Public().(ed25519.PublicKey)
	group := contract.GroupID(by, vectorTime, "Home")
	state := contract.Memory{}
	created, err := (&contract.Tx{Zone: group, Time: vectorTime, N: 1, Body: &contract.ZoneCreated{Name: "Home", UseCase: "smart-home", Master: [32]byte(by)}}).Sign(master)
	v.must(err)
	_, err = new(contract.Validator).Apply(state, 0, created)
	v.must(err)

	payload := append(run(0xe0, contract.PayloadSalt), "hello"...)
	v.b.WriteString("\n# It associates, four seconds after the zone was created by its own clock, and is received\n# half a second later; then it sends \"hello\" to the master. The state after both, in blocks 1\n# and 2 of a zone without devices.\n")
	var signed [][]byte
	var ids []zone.HID
	for i, c := range []struct {
		name string
		body contract.Body
	}{
		{"member.associated", &contract.Associated{Ticket: ticket, Seal: seal}},
		{"member.message", &contract.Message{To: zone.Master, Op: contract.OpSend, Hash: contract.PayloadHash(payload), Size: uint32(len(payload))}},
	} {
		at := vectorTime + zone.Time(4+i)*1e9
		tx := contract.Tx{Zone: group, N: uint64(i + 1), Member: "lamp", Sent: at, Body: c.body}
		object, err := tx.SignMember(key)
		v.must(err)
		raw, err := contract.Receive(object, at+5e8)
		v.must(err)
		got, err := new(contract.Validator).Apply(state, uint64(i+1), raw)
		v.must(err)
		v.bytes(c.name, object)
		v.bytes(c.name+".h_id", got.ID[:])
		v.bytes(c.name+".on_ledger", raw)
		signed, ids = append(signed, object), append(ids, got.ID)
	}
	hash := contract.PayloadHash(payload)
	v.bytes("member.message.payload", payload)
	v.bytes("member.message.hash", hash[:])
	digest, err := contract.Digest(state)
	v.must(err)
	v.bytes("member.state", digest[:])
	v.frames(ticket, signed, ids, payload)
}

func (v *vectors) frames(ticket []byte, signed [][]byte, ids []zone.HID, payload []byte) {
	v.b.WriteString("\n# Every frame.\n")
	for _, c := range []struct {
		name  string
		frame message.Frame
	}{
		{"welcome", &message.Welcome{Standing: message.StandingMember, Height: 3, N: 2, Newest: ids[1]}},
		{"ticket", &message.Ticket{Ticket: ticket}},
		{"receipt", &message.Receipt{N: 2, ID: ids[1], Block: 2}},
		{"refusal", &message.Refusal{N: 3, Code: contract.CodePolicy}},
		{"delivery", &message.Delivery{Position: 7, Received: vectorTime + 55e8, Object: signed[1], Payload: payload}},
		{"object", &message.Object{N: 4, Object: signed[1], Payload: payload}},
		{"member", &message.Member{Member: "lamp", Object: signed[0]}},
		{"bye", &message.Bye{Code: contract.CodeRevoked}},
		{"submit", &message.Submit{Object: signed[1], Payload: payload}},
		{"ack", &message.Ack{Position: 7}},
		{"lookup", &message.Lookup{Member: "lamp"}},
	} {
		b, err := message.Bytes(c.frame)
		v.must(err)
		again, err := message.Parse(b)
		v.must(err)
		if b2, err := message.Bytes(again); err != nil || !bytes.Equal(b, b2) {
			v.Errorf("frame %s is read as %+v (%v)", c.name, again, err)
		}
		v.bytes("member.frame_"+c.name, b)
	}
}

func (v *vectors) sealed(key *ecdh.PrivateKey, group zone.Hash) {
	payload, err := hex.DecodeString(sealedExample)
	v.must(err)
	content, err := message.Unseal(key, message.Envelope{Zone: group, From: "switch", To: "lamp", N: 3}, payload)
	v.must(err)
	v.b.WriteString("\n# A payload that \"switch\" sealed to it for its transaction 3, and what is in it.\n")
	v.bytes("member.sealed", payload)
	v.text("member.sealed.content", string(content))
}

// TestSealedExample shows that the example is what sealing gives, but for what is
// random.
func TestSealedExample(t *testing.T) {
	key, err := ecdh.X25519().NewPrivateKey(run(0x40, 32))
	if err != nil {
		t.Fatal(err)
	}
	e := message.Envelope{Zone: zone.Hash(run(1, 32)), From: "switch", To: "lamp", N: 3}
	payload, err := message.Seal([32]byte(key.PublicKey().Bytes()), e, []byte("on"))
	if err != nil {
		t.Fatal(err)
	}
	if 2*len(payload) != len(sealedExample) {
		t.Errorf("a sealed payload has %d bytes, the example %d", len(payload), len(sealedExample)/2)
	}
	if got, err := message.Unseal(key, e, payload); err != nil || string(got) != "on" {
		t.Errorf("unsealed %q, %v", got, err)
	}
}
