package bus

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/ledger/embedded"
	"bellwether/internal/ledger/ledgertest"
	"bellwether/internal/message"
	"bellwether/internal/processtest"
	"bellwether/internal/zone"
)

// hubInstead, when set, makes this test program a hub over the state in the
// directory named there, until it is killed.
const (
	hubInstead   = "BELLWETHER_TEST_HUB"
	smallInstead = "BELLWETHER_TEST_SMALL_HUB" // likewise, with a store that is full at once
)

func TestMain(m *testing.M) {
	processtest.Instead(hubInstead, func(dir string) error { return serveForever(dir, func(*payloads) {}) })
	processtest.Instead(smallInstead, func(dir string) error { return serveForever(dir, small) })
	os.Exit(m.Run())
}

// small makes a store that is full at once.
func small(p *payloads) { p.full, p.keepMax = 16<<10, 256<<10 }

// serveForever says its address and serves, with the store as it was set.
func serveForever(dir string, set func(*payloads)) error {
	l, err := embedded.Open(filepath.Join(dir, "ledger"), ledgertest.Master(), embedded.Options{})
	if err != nil {
		return err
	}
	z, _, err := contract.ReadZone(l.State())
	if err != nil {
		return err
	}
	members := filepath.Join(dir, "members")
	desk, err := OpenDesk(members, z.ID, ledgertest.Master(), 0)
	if err != nil {
		return err
	}
	h, err := Prepare(members, Options{})
	if err == nil {
		err = h.Open(context.Background(), z.ID, ledgertest.Master(), l, desk)
	}
	if err != nil {
		return err
	}
	set(h.payloads)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	return h.Run(context.Background(), listener)
}

// victim starts a hub in a process of its own and points the peers to it.
func victim(t *testing.T, instead, dir string, peers ...*peer) *exec.Cmd {
	t.Helper()
	cmd := processtest.Again(t, instead, dir)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the hub did not start: %v", err)
	}
	for _, f := range peers {
		f.address = strings.TrimSpace(address)
	}
	return cmd
}

// TestKill: the hub is killed at random moments, again and again. What was
// acknowledged to the sender comes to the recipient, once or again, in order, and
// nothing that was not sent.
func TestKill(t *testing.T) {
	p := newPlace(t, Options{})
	a, b := p.peer("a"), p.peer("b")
	a.join(Grant{})
	b.join(Grant{})
	p.stop()
	killed(t, hubInstead, a, b, nil)
}

// TestKillMakingRoom is that while another member floods a full store, of which
// segment after segment is written anew.
func TestKillMakingRoom(t *testing.T) {
	p := newPlace(t, Options{})
	a, b, loud := p.peer("a"), p.peer("b"), p.peer("loud")
	a.join(Grant{})
	b.join(Grant{})
	loud.join(Grant{})
	p.stop()
	full, err := openPayloads(filepath.Join(p.dir, "members"), 0, 0, p.options.Log)
	if err != nil {
		t.Fatal(err)
	}
	small(full)
	for i := 0; full.bytes <= full.keepMax-full.keepMax/roomParts; i++ {
		if err := full.add(1, zone.TimeOf(time.Now()), []stored{{id: zone.HID{byte(i)}, from: "loud", payload: make([]byte, 4000)}}); err != nil {
			t.Fatal(err)
		}
	}
	oldest := full.segments[0]
	if err := full.close(); err != nil {
		t.Fatal(err)
	}
	killed(t, smallInstead, a, b, loud)
	if full, err = openPayloads(filepath.Join(p.dir, "members"), 0, 0, p.options.Log); err != nil {
		t.Fatal(err)
	}
	defer full.close()
	if s := full.segments[0]; s.number == oldest.number && s.bytes == oldest.bytes {
		t.Error("no room was made")
	}
}

// flood sends nobody contents until the connection breaks.
func flood(f *peer) {
	ctx, cancel := context.WithTimeout(context.Background(), patienceOf)
	defer cancel()
	if f.attempt(ctx, nil) != nil {
		return
	}
	defer f.close()
	got, err := f.next()
	w, ok := got.(*message.Welcome)
	if err != nil || !ok {
		return
	}
	go func() { // there is one answer to each
		for err == nil {
			_, err = f.next()
		}
	}()
	for n := w.N + 1; ; n++ {
		body, payload := f.message("master", strings.Repeat("x", 4000))
		if !trySay(f, &message.Submit{Object: f.signAs(n, body), Payload: payload}) {
			return
		}
	}
}

// killed has a send to b, while loud floods if there is one, and kills the hub.
func killed(t *testing.T, instead string, a, b, loud *peer) {
	t.Helper()
	p, peers := a.place, []*peer{a, b}
	if loud != nil {
		peers = append(peers, loud)
	}
	rounds := 8
	if testing.Short() {
		rounds = 3
	}
	rng := rand.New(rand.NewPCG(5, 6))
	sent := map[uint64]queued{} // by number, until it is known to stand on the ledger
	next := uint64(2)
	stands := uint64(1)
	var in inbox
	var flooded sync.WaitGroup
	for round := range rounds + 1 {
		cmd := victim(t, instead, p.dir, peers...)
		if round < rounds {
			time.AfterFunc(time.Duration(20+rng.IntN(400))*time.Millisecond, func() { cmd.Process.Kill() })
		}
		done := make(chan bool)
		go func() { receive(t, b, &in, round == rounds, &next); close(done) }()
		if loud != nil {
			flooded.Go(func() { flood(loud) })
		}
		stands = transmit(a, sent, &next, stands, round == rounds)
		<-done
		cmd.Process.Kill()
		cmd.Wait()
		flooded.Wait()
	}
	if stands != next-1 || len(in.all) != int(stands)-1 {
		t.Errorf("%d were sent, %d stand on the ledger, %d came", next-2, stands-1, len(in.all))
	}
	for i, got := range in.all {
		if want := fmt.Sprintf("a: %d", i+2); got != want {
			t.Fatalf("message %d is %q, want %q", i, got, want)
		}
	}
	t.Logf("%d messages over %d kills", stands-1, rounds)
}

// queued is a transaction that the sender keeps until it has its receipt.
type queued struct{ object, payload []byte }

// transmit sends until the connection breaks, or in the last round what is left.
func transmit(f *peer, sent map[uint64]queued, next *uint64, stands uint64, last bool) uint64 {
	ctx, cancel := context.WithTimeout(context.Background(), patienceOf)
	defer cancel()
	if f.attempt(ctx, nil) != nil {
		return stands
	}
	defer f.close()
	got, err := f.next()
	if err != nil {
		return stands
	}
	w, ok := got.(*message.Welcome)
	if !ok || w.N < stands {
		f.Errorf("welcome %+v, and %d were acknowledged", got, stands)
		return stands
	}
	for n := stands + 1; n < *next; n++ { // also what may stand there already
		q := sent[n]
		if !trySay(f, &message.Submit{Object: q.object, Payload: q.payload}) {
			return stands
		}
	}
	for {
		for !last && *next-stands <= 8 {
			body, payload := f.message("b", fmt.Sprint(*next))
			q := queued{f.signAs(*next, body), payload}
			sent[*next] = q
			*next++
			if !trySay(f, &message.Submit{Object: q.object, Payload: q.payload}) {
				return stands
			}
		}
		if last && stands == *next-1 {
			return stands
		}
		got, err := f.next()
		if err != nil {
			return stands
		}
		r, ok := got.(*message.Receipt)
		if !ok || r.N != stands+1 {
			f.Errorf("got %+v, want the receipt of %d", got, stands+1)
			return stands
		}
		stands = r.N
		delete(sent, r.N)
	}
}

func trySay(f *peer, frame message.Frame) bool {
	raw, err := message.Bytes(frame)
	if err != nil {
		return false
	}
	return f.conn.Write(context.Background(), 2, raw) == nil
}

// receive takes deliveries until the connection breaks, or in the last round until
// everything is there.
func receive(t *testing.T, f *peer, in *inbox, last bool, next *uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), patienceOf)
	defer cancel()
	if f.attempt(ctx, nil) != nil {
		return
	}
	defer f.close()
	for !last || len(in.all) < int(*next)-2 {
		got, err := f.next()
		if err != nil {
			return
		}
		if d, ok := got.(*message.Delivery); ok {
			in.take(t, d)
			trySay(f, &message.Ack{Position: d.Position})
		}
	}
}
