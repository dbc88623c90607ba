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

// memberZone is a zone whose members' transactions are written as examples.
type memberZone struct {
	*vectors
	group  zone.Hash
	state  contract.Memory
	height uint64
}

// transactions writes an association, a message, a request and its reply, as they
// are signed, and as they stand on the ledger; and the frames about them.
func (v *vectors) transactions(master, key ed25519.PrivateKey, ticket []byte, seal [32]byte) {
	by := master.Public().(ed25519.PublicKey)
	m := &memberZone{vectors: v, group: contract.GroupID(by, vectorTime, "Home"), state: contract.Memory{}}
	created, err := (&contract.Tx{Zone: m.group, Time: vectorTime, N: 1, Body: &contract.ZoneCreated{Name: "Home", UseCase: "smart-home", Master: [32]byte(by)}}).Sign(master)
	v.must(err)
	_, err = new(contract.Validator).Apply(m.state, 0, created)
	v.must(err)

	payload := append(run(0xe0, contract.PayloadSalt), "hello"...)
	v.b.WriteString("\n# It associates, four seconds after the zone was created by its own clock, and is received\n# half a second later; then it sends \"hello\" to the master. The state after both, in blocks 1\n# and 2 of a zone without devices.\n")
	associated, first := m.say("member.associated", key, contract.Tx{Member: "lamp", N: 1, Body: &contract.Associated{Ticket: ticket, Seal: seal}})
	sent, second := m.say("member.message", key, contract.Tx{Member: "lamp", N: 2, Body: letter(contract.OpSend, zone.Master, payload)})
	hash := contract.PayloadHash(payload)
	v.bytes("member.message.payload", payload)
	v.bytes("member.message.hash", hash[:])
	m.digest("member.state")

	question, answer := append(run(0xd0, contract.PayloadSalt), "time?"...), append(run(0xf0, contract.PayloadSalt), "noon"...)
	v.b.WriteString("\n# It asks the master \"time?\", in block 3, which replies \"noon\", in block 4. The state after\n# each: the request is open, and closed.\n")
	_, asked := m.say("member.request", key, contract.Tx{Member: "lamp", N: 3, Body: letter(contract.OpRequest, zone.Master, question)})
	v.bytes("member.request.payload", question)
	m.digest("member.request.state")
	reply := letter(contract.OpReply, "lamp", answer)
	reply.Ref = asked
	m.say("member.reply", master, contract.Tx{Member: zone.Master, N: 1, Body: reply})
	v.bytes("member.reply.payload", answer)
	m.digest("member.reply.state")
	v.frames(ticket, [][]byte{associated, sent}, []zone.HID{first, second}, payload)
}

func letter(op contract.Op, to zone.MemberID, payload []byte) *contract.Message {
	return &contract.Message{To: to, Op: op, Hash: contract.PayloadHash(payload), Size: uint32(len(payload))}
}

// say writes a member's transaction, which stands in the next block.
func (m *memberZone) say(name string, key ed25519.PrivateKey, tx contract.Tx) (object []byte, id zone.HID) {
	at := vectorTime + zone.Time(4+m.height)*1e9
	m.height++
	tx.Zone, tx.Sent = m.group, at
	object, err := tx.SignMember(key)
	m.must(err)
	raw, err := contract.Receive(object, at+5e8)
	m.must(err)
	got, err := new(contract.Validator).Apply(m.state, m.height, raw)
	m.must(err)
	m.bytes(name, object)
	m.bytes(name+".h_id", got.ID[:])
	m.bytes(name+".on_ledger", raw)
	return object, got.ID
}

func (m *memberZone) digest(name string) {
	digest, err := contract.Digest(m.state)
	m.must(err)
	m.bytes(name, digest[:])
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
