package bus

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"bellwether/internal/contract"
	"bellwether/internal/ledger/embedded"
	"bellwether/internal/ledger/ledgertest"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// patienceOf is how long a test waits for what has to come.
const patienceOf = 30 * time.Second

// place is a zone with a hub, which can be stopped and started again.
type place struct {
	testing.TB
	dir     string
	zone    zone.Hash
	options Options
	hub     *Hub
	ledger  *embedded.Ledger
	desk    *Desk
	address string
	stop    func()
	log     *lines
	tight   bool                // sockets take little that is not read
	between func(Ledger) Ledger // stands before the ledger; nil: nothing does
}

// tightBytes are the buffers of such a socket.
const tightBytes = 128 << 10

// tight makes the buffers of what it accepts small.
type tight struct{ net.Listener }

func (t tight) Accept() (net.Conn, error) {
	c, err := t.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(tightBytes)
	}
	return c, err
}

// lines is a log that tests read.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newPlace(tb testing.TB, o Options) *place {
	tb.Helper()
	if o.Messages == 0 {
		o.Messages = 1 << 20 // tests wait for nothing else
	}
	p := &place{TB: tb, dir: tb.TempDir(), options: o, log: &lines{}}
	p.zone = contract.GroupID(ledgertest.Master().Public().(ed25519.PublicKey), ledgertest.Created, "test")
	p.options.Log = slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p.start()
	tb.Cleanup(func() {
		if p.stop != nil {
			p.stop()
		}
		if tb.Failed() {
			tb.Log(p.log.String())
		}
	})
	return p
}

func (p *place) start() {
	p.Helper()
	must := func(err error) {
		p.Helper()
		if err != nil {
			p.Fatal(err)
		}
	}
	var err error
	p.hub, err = Prepare(filepath.Join(p.dir, "members"), p.options)
	must(err)
	p.ledger, err = embedded.Open(filepath.Join(p.dir, "ledger"), ledgertest.Master(), embedded.Options{BlockTxs: 1000, Past: p.hub.Past})
	must(err)
	if p.ledger.Height() == 0 {
		must(p.ledger.Submit(p.Context(), ledgertest.Genesis(p)))
		must(p.ledger.Commit(p.Context()))
	}
	z, _, err := contract.ReadZone(p.ledger.State())
	must(err)
	p.zone = z.ID
	p.desk, err = OpenDesk(filepath.Join(p.dir, "members"), p.zone, ledgertest.Master(), 0)
	must(err)
	hubs := Ledger(p.ledger)
	if p.between != nil {
		hubs = p.between(hubs)
	}
	must(p.hub.Open(p.Context(), p.zone, ledgertest.Master(), hubs, p.desk))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	p.address = l.Addr().String()
	if p.tight {
		l = tight{l}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.hub.Run(ctx, l) }()
	p.stop = func() {
		cancel()
		if err := errors.Join(<-done, p.hub.Close(), p.desk.Close(), p.ledger.Close()); err != nil {
			p.Errorf("the hub ended with: %v", err)
		}
		p.stop = nil
	}
}

// restart ends the hub and begins it anew.
func (p *place) restart() {
	p.Helper()
	p.stop()
	p.start()
}

// roll puts a transaction about members on the ledger, as the operator does.
func (p *place) roll(body contract.Body) {
	p.Helper()
	r, err := contract.ReadRoll(p.ledger.State())
	if err != nil {
		p.Fatal(err)
	}
	tx := contract.Tx{Zone: p.zone, Time: ledgertest.Created, N: r.N + 1, Body: body}
	raw, err := tx.Sign(ledgertest.Master())
	if err == nil {
		err = p.ledger.Submit(p.Context(), raw)
	}
	if err == nil {
		err = p.ledger.Commit(p.Context())
	}
	if err != nil {
		p.Fatal(err)
	}
}

// peer is a follower of these tests.
type peer struct {
	*place
	name   zone.MemberID
	key    ed25519.PrivateKey
	code   string
	ticket []byte
	n      uint64
	conn   *websocket.Conn
	tls    *tls.Conn
	blind  bool   // it does not look at the pin
	from   string // its own address; empty: any
}

func (p *place) peer(name string) *peer {
	seed := sha256.Sum256([]byte(name))
	return &peer{place: p, name: zone.MemberID(name), key: ed25519.NewKeyFromSeed(seed[:])}
}

func (f *peer) identity() message.Identity {
	return message.Identity{Member: f.name, Key: f.key.Public().(ed25519.PublicKey)}
}

// errRefused is a 401 to a hello.
var errRefused = errors.New("refused")

// attempt opens a session; change may spoil the hello before it is signed.
func (f *peer) attempt(ctx context.Context, change func(*message.Hello)) error {
	dialer := &net.Dialer{}
	if f.from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(f.from)}
	}
	raw, err := (&tls.Dialer{NetDialer: dialer, Config: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}}}).DialContext(ctx, "tcp", f.address)
	if err != nil {
		return err
	}
	c := raw.(*tls.Conn)
	if f.tight {
		c.NetConn().(*net.TCPConn).SetReadBuffer(tightBytes)
	}
	state := c.ConnectionState()
	if pin := zone.Hash(sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo)); pin != f.hub.Pin() && !f.blind {
		return fmt.Errorf("pin %s", pin.Short())
	}
	once := make(chan net.Conn, 1)
	once <- c
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1, DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
		select {
		case c := <-once:
			return c, nil
		default:
			return nil, errors.New("another connection")
		}
	}}}
	url := "https://" + f.address + message.Path
	first, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	first.Header.Set("Connection", "Upgrade") // as the second one, or the client keeps them apart
	first.Header.Set("Upgrade", "websocket")
	r, err := client.Do(first)
	if err != nil {
		c.Close()
		return err
	}
	r.Body.Close()
	nonce, err := message.ParseChallenge(r.Header.Get("WWW-Authenticate"))
	if err != nil {
		c.Close()
		return err
	}
	binding, err := state.ExportKeyingMaterial(message.Binding, nil, 32)
	if err != nil {
		return err
	}
	hello := &message.Hello{Zone: f.zone, Member: f.name, Master: [32]byte(ledgertest.Master().Public().(ed25519.PublicKey)), Nonce: nonce, Binding: [32]byte(binding), Code: f.code, Ticket: f.ticket}
	if change != nil {
		change(hello)
	}
	value, err := hello.Sign(f.key)
	if err != nil {
		return err
	}
	conn, answer, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: client, HTTPHeader: http.Header{"Authorization": {value}}, Subprotocols: []string{message.Subprotocol}})
	if err != nil {
		c.Close()
		if answer != nil && answer.StatusCode == http.StatusUnauthorized {
			return errRefused
		}
		return err
	}
	conn.SetReadLimit(message.MaxFrame)
	f.conn, f.tls = conn, c
	return nil
}

// open opens a session and gives its welcome.
func (f *peer) open() *message.Welcome {
	f.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patienceOf)
	defer cancel()
	if err := f.attempt(ctx, nil); err != nil {
		f.Fatalf("%s: %v", f.name, err)
	}
	w := want[*message.Welcome](f)
	f.n = w.N
	return w
}

func (f *peer) close() {
	if f.conn != nil {
		f.conn.CloseNow()
	}
}

func (f *peer) next() (message.Frame, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patienceOf)
	defer cancel()
	_, raw, err := f.conn.Read(ctx)
	if err != nil {
		return nil, err
	}
	return message.Parse(raw)
}

// want gives the next frame, which has to be of that type.
func want[F message.Frame](f *peer) F {
	f.Helper()
	got, err := f.next()
	if err != nil {
		f.Fatalf("%s: %v", f.name, err)
	}
	out, ok := got.(F)
	if !ok {
		f.Fatalf("%s: got %T %+v, want %T", f.name, got, got, out)
	}
	return out
}

func (f *peer) say(frame message.Frame) {
	f.Helper()
	raw, err := message.Bytes(frame)
	if err == nil {
		err = f.conn.Write(context.Background(), websocket.MessageBinary, raw)
	}
	if err != nil {
		f.Fatalf("%s: %v", f.name, err)
	}
}

// sign gives the member's next transaction.
func (f *peer) sign(body contract.Body) []byte {
	f.Helper()
	f.n++
	return f.signAs(f.n, body)
}

func (f *peer) signAs(n uint64, body contract.Body) []byte {
	f.Helper()
	tx := contract.Tx{Zone: f.zone, Member: f.name, N: n, Body: body}
	raw, err := tx.SignMember(f.key)
	if err != nil {
		f.Fatal(err)
	}
	return raw
}

// salted gives a payload of that content.
func salted(content string) []byte {
	salt := make([]byte, contract.PayloadSalt)
	rand.Read(salt)
	return append(salt, content...)
}

func (f *peer) message(to, content string) (*contract.Message, []byte) {
	payload := salted(content)
	return &contract.Message{To: zone.MemberID(to), Op: contract.OpSend, Hash: contract.PayloadHash(payload), Size: uint32(len(payload))}, payload
}

// send hands in a message and does not wait.
func (f *peer) send(to, content string) {
	f.Helper()
	b, payload := f.message(to, content)
	f.say(&message.Submit{Object: f.sign(b), Payload: payload})
}

// join admits the follower, associates it and leaves it connected.
func (f *peer) join(g Grant) {
	f.Helper()
	if _, err := f.desk.Admit(f.ledger.State(), f.ledger.Height(), f.identity(), g); err != nil {
		f.Fatal(err)
	}
	if w := f.open(); w.Standing != message.StandingAssociate {
		f.Fatalf("%s: standing %s", f.name, w.Standing)
	}
	f.associate(want[*message.Ticket](f).Ticket)
}

func (f *peer) associate(ticket []byte) {
	f.Helper()
	f.say(&message.Submit{Object: f.sign(&contract.Associated{Ticket: ticket})})
	if r := want[*message.Receipt](f); r.N != f.n {
		f.Fatalf("receipt of %d", r.N)
	}
	if w := want[*message.Welcome](f); w.Standing != message.StandingMember || w.N != f.n {
		f.Fatalf("%s: welcome %+v", f.name, w)
	}
}

// content checks a delivery and gives sender and content.
func content(tb testing.TB, d *message.Delivery) string {
	tb.Helper()
	tx := delivered(tb, d)
	if err := tx.Verify(); err != nil {
		tb.Fatal(err)
	}
	b := tx.Body.(*contract.Message)
	if b.Op.Carries() && contract.PayloadHash(d.Payload) != b.Hash {
		tb.Fatal("another payload")
	}
	if len(d.Payload) == 0 {
		return fmt.Sprintf("%s %s %s", tx.Member, b.Op, b.Object)
	}
	return fmt.Sprintf("%s: %s", tx.Member, d.Payload[contract.PayloadSalt:])
}

func TestEndToEnd(t *testing.T) {
	var heard []Heard
	var mu sync.Mutex
	p := newPlace(t, Options{OnMessage: func(m Heard) { mu.Lock(); heard = append(heard, m); mu.Unlock() }})
	a, b := p.peer("a"), p.peer("b")
	a.join(Grant{})
	b.join(Grant{Role: "sensor"})
	a.send("b", "hello")
	if r := want[*message.Receipt](a); r.N != 2 {
		t.Errorf("receipt %+v", r)
	}
	d := want[*message.Delivery](b)
	if got := content(t, d); got != "a: hello" {
		t.Errorf("delivered %q", got)
	}
	b.say(&message.Ack{Position: d.Position})
	b.send("*", "to everyone")
	if got := content(t, want[*message.Delivery](a)); got != "b: to everyone" {
		t.Errorf("delivered %q", got)
	}
	want[*message.Receipt](b)
	mu.Lock()
	if len(heard) != 2 || heard[0].From != "a" || heard[1].To != "*" {
		t.Errorf("heard %+v", heard)
	}
	mu.Unlock()
	a.close()
	b.close()
	p.restart()
	// What was not acknowledged comes again, and what was does not.
	if w := a.open(); w.N != 2 || w.Standing != message.StandingMember {
		t.Errorf("welcome %+v", w)
	}
	if got := content(t, want[*message.Delivery](a)); got != "b: to everyone" {
		t.Errorf("delivered %q", got)
	}
	b.open()
	a.send("b", "again")
	if got := content(t, want[*message.Delivery](b)); got != "a: again" {
		t.Errorf("delivered %q", got)
	}
}
