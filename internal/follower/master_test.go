package follower

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"bellwether/internal/contract"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// testMaster does the master's side of docs/format/member.md on a ledger in
// memory, where every block holds one transaction. It admits everyone.
type testMaster struct {
	testing.TB
	key    ed25519.PrivateKey
	cert   tls.Certificate
	invite message.Invite

	mu       sync.Mutex
	state    contract.Memory
	height   uint64
	landed   map[zone.HID]*message.Receipt
	objects  map[zone.HID]stored
	joined   map[zone.MemberID]zone.HID // the newest association
	queues   map[zone.MemberID]*queue
	sessions map[*masterSession]bool
	serials  map[zone.MemberID]uint64
	until    uint64 // the last block of the tickets it gives
	mute     bool   // it neither answers nor pings
	deny     bool   // it refuses every hello
	server   *http.Server
}

type stored struct{ object, payload []byte }

type queue struct {
	messages []message.Delivery // position i+1
	acked    uint64
}

type masterSession struct {
	m      *testMaster
	member zone.MemberID
	key    [32]byte
	conn   *websocket.Conn
	sent   uint64 // newest position delivered
	out    sync.Mutex
}

func newMaster(t testing.TB) *testMaster {
	t.Helper()
	m := &testMaster{TB: t, state: contract.Memory{}, landed: map[zone.HID]*message.Receipt{}, objects: map[zone.HID]stored{},
		joined: map[zone.MemberID]zone.HID{}, queues: map[zone.MemberID]*queue{}, sessions: map[*masterSession]bool{},
		serials: map[zone.MemberID]uint64{}, until: 1 << 40}
	_, m.key, _ = ed25519.GenerateKey(nil)
	public := m.key.Public().(ed25519.PublicKey)
	created := zone.Time(1_700_000_000_000_000_000)
	group := contract.GroupID(public, created, "Home")
	m.master(contract.Tx{Zone: group, Time: created, N: 1, Body: &contract.ZoneCreated{Name: "Home", UseCase: "smart-home", Master: [32]byte(public)}})
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "nobody"}, NotAfter: time.Unix(1, 0)} // long past
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, m.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	m.cert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: m.key}
	m.invite = message.Invite{Zone: group, Master: [32]byte(public), Pin: sha256.Sum256(leaf.RawSubjectPublicKeyInfo)}
	m.listen("127.0.0.1:0")
	t.Cleanup(m.stop)
	return m
}

// master puts a transaction of the master on the ledger.
func (m *testMaster) master(tx contract.Tx) {
	m.Helper()
	raw, err := tx.Sign(m.key)
	if err != nil {
		m.Fatal(err)
	}
	if _, err := new(contract.Validator).Apply(m.state, m.height, raw); err != nil {
		m.Fatal(err)
	}
	m.height++
}

type nonceKey struct{}

func (m *testMaster) listen(address string) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		m.Fatal(err)
	}
	m.invite.Address = l.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+message.Path, m.open)
	m.server = &http.Server{Handler: mux, TLSConfig: &tls.Config{Certificates: []tls.Certificate{m.cert}, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}},
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, nonceKey{}, new([32]byte))
		}}
	go m.server.ServeTLS(l, "", "")
}

// stop takes the master away, as kill -9 would.
func (m *testMaster) stop() {
	m.server.Close()
	m.drop()
}

// forget loses the newest half of the acknowledgements, which need not be durable.
func (m *testMaster) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, q := range m.queues {
		q.acked /= 2
	}
}

// drop loses every connection.
func (m *testMaster) drop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for s := range m.sessions {
		s.conn.CloseNow()
	}
}

func (m *testMaster) open(w http.ResponseWriter, r *http.Request) {
	nonce := r.Context().Value(nonceKey{}).(*[32]byte)
	hello, key, err := message.ParseHello(r.Header.Get("Authorization"))
	m.mu.Lock()
	deny := m.deny
	m.mu.Unlock()
	binding, _ := r.TLS.ExportKeyingMaterial(message.Binding, nil, 32)
	good := err == nil && !deny && *nonce != [32]byte{} && hello.Nonce == *nonce && hello.Binding == [32]byte(binding) &&
		hello.Zone == m.invite.Zone && hello.Master == m.invite.Master
	*nonce = [32]byte{}
	if !good {
		rand.Read(nonce[:])
		w.Header().Set("WWW-Authenticate", message.Challenge(*nonce))
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{message.Subprotocol}})
	if err != nil {
		return
	}
	conn.SetReadLimit(message.MaxFrame)
	s := &masterSession{m: m, member: hello.Member, key: [32]byte(key), conn: conn}
	m.mu.Lock()
	m.sessions[s] = true
	m.mu.Unlock()
	s.talk(r.Context())
	m.mu.Lock()
	delete(m.sessions, s)
	m.mu.Unlock()
	conn.CloseNow()
}

func (s *masterSession) send(f message.Frame) {
	b, err := message.Bytes(f)
	if err != nil {
		s.m.Error(err)
	}
	s.out.Lock()
	defer s.out.Unlock()
	s.conn.Write(context.Background(), websocket.MessageBinary, b)
}

func (s *masterSession) talk(ctx context.Context) {
	s.welcome()
	defer s.ping(ctx)()
	for {
		_, b, err := s.conn.Read(ctx)
		if err != nil {
			return
		}
		frame, err := message.Parse(b)
		if err != nil {
			s.m.Errorf("a follower sent %x: %v", b, err)
			return
		}
		s.m.mu.Lock()
		if !s.m.mute {
			s.hear(frame)
		}
		s.m.mu.Unlock()
	}
}

// ping does so every second until the result is called.
func (s *masterSession) ping(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		for tick := time.NewTicker(time.Second); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
			s.m.mu.Lock()
			mute := s.m.mute
			s.m.mu.Unlock()
			if !mute {
				s.conn.Ping(ctx)
			}
		}
	}()
	return cancel
}

func (s *masterSession) welcome() {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.m.mute {
		return
	}
	member, _, _ := contract.ReadMember(s.m.state, s.member)
	roll, _ := contract.ReadRoll(s.m.state)
	w := &message.Welcome{Standing: message.StandingMember, Height: s.m.height, Epoch: roll.Epoch, N: member.N, Newest: member.Newest}
	if q := s.m.queues[s.member]; q != nil {
		s.sent = q.acked
	}
	if member.Key == [32]byte{} || member.Standing(s.m.state, s.m.height) != nil {
		w.Standing = message.StandingRenew
		s.send(w)
		s.send(&message.Ticket{Ticket: s.m.ticket(s.member, s.key)})
		return
	}
	s.send(w)
	s.deliver()
}

func (m *testMaster) ticket(member zone.MemberID, key [32]byte) []byte {
	m.serials[member]++
	roll, _ := contract.ReadRoll(m.state)
	t := contract.Ticket{Zone: m.invite.Zone, Member: member, Key: key, Role: "sensor", Until: m.until, Epoch: roll.Epoch, Serial: m.serials[member]}
	raw, err := t.Sign(m.key)
	if err != nil {
		m.Error(err)
	}
	return raw
}

func (s *masterSession) hear(frame message.Frame) {
	switch f := frame.(type) {
	case *message.Submit:
		s.submit(f)
	case *message.Ack:
		q := s.m.queue(s.member)
		q.acked = max(q.acked, min(f.Position, s.sent)) // what was not sent cannot be acknowledged
		s.deliver()
	case *message.Lookup:
		answer := &message.Member{Member: f.Member}
		var v contract.Validator
		if reaches, err := v.Reaches(s.m.state, s.m.height, s.member, f.Member); err != nil {
			s.m.Error(err)
		} else if reaches {
			answer.Object = s.m.objects[s.m.joined[f.Member]].object
		}
		s.send(answer)
	}
}

func (m *testMaster) queue(member zone.MemberID) *queue {
	if m.queues[member] == nil {
		m.queues[member] = &queue{}
	}
	return m.queues[member]
}

// deliver sends what the member's credit allows.
func (s *masterSession) deliver() {
	q := s.m.queue(s.member)
	s.sent = max(s.sent, q.acked)
	for s.sent < uint64(len(q.messages)) && s.sent < q.acked+message.Credit {
		d := q.messages[s.sent]
		s.sent++
		s.send(&d)
	}
}

func (s *masterSession) submit(f *message.Submit) {
	m := s.m
	raw, err := contract.Receive(f.Object, zone.Time(time.Now().UnixNano()))
	if err != nil {
		m.Error(err)
		return
	}
	tx, err := contract.Parse(raw)
	if err != nil {
		m.Errorf("a follower signed what cannot be parsed: %v", err)
		return
	}
	if r := m.landed[tx.ID]; r != nil {
		s.send(r)
		return
	}
	if _, err := new(contract.Validator).Apply(m.state, m.height, raw); err != nil {
		var refused *contract.RejectError
		if !errors.As(err, &refused) {
			m.Error(err)
		}
		s.send(&message.Refusal{N: tx.N, Code: refused.Code})
		return
	}
	r := &message.Receipt{N: tx.N, ID: tx.ID, Block: m.height}
	m.height++
	m.landed[tx.ID] = r
	m.objects[tx.ID] = stored{f.Object, f.Payload}
	s.send(r)
	switch b := tx.Body.(type) {
	case *contract.Associated:
		m.joined[s.member] = tx.ID
		s.deliver()
	case *contract.Message:
		s.pass(tx, b, f)
	}
}

// pass puts a message into the queues of those that it is for.
func (s *masterSession) pass(tx *contract.Signed, b *contract.Message, f *message.Submit) {
	if b.Op == contract.OpRead {
		d, _, _ := contract.ReadData(s.m.state, b.To, b.Object)
		s.send(&message.Object{N: tx.N, Object: s.m.objects[d.ID].object, Payload: s.m.objects[d.ID].payload})
		return
	}
	if b.Op > contract.OpReply {
		return
	}
	for member := range s.m.joined {
		if member == tx.Member || b.To != zone.Everyone && b.To != member {
			continue
		}
		q := s.m.queue(member)
		q.messages = append(q.messages, message.Delivery{Position: uint64(len(q.messages)) + 1, Received: tx.Time, Object: f.Object, Payload: f.Payload})
		for other := range s.m.sessions {
			if other.member == member {
				other.deliver()
			}
		}
	}
}

// numbers gives how many transactions the ledger has of a member.
func (m *testMaster) numbers(member zone.MemberID) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, _, err := contract.ReadMember(m.state, member)
	if err != nil {
		m.Error(err)
	}
	return s.N
}
