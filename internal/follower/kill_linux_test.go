package follower

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bellwether/internal/contract"
)

var (
	kills    = flag.Int("kills", 12, "how often the kill test kills the follower")
	killSeed = flag.Uint64("kill-seed", 1, "when it does")
)

// application gives orders to a follower and takes its messages, and goes on where
// it was when the follower is killed. What it has is its own, as if it were durable.
type application struct {
	dir  string
	mu   sync.Mutex
	kept int      // orders that the follower has answered as durable
	said int      // orders with a receipt
	got  []string // messages, each at its position
	bad  []string
}

// talk gives orders from the first that may not be kept on, and reads until the
// connection is lost.
func (a *application) talk(orders []string) {
	c, err := net.Dial("unix", filepath.Join(a.dir, SocketFile))
	if err != nil {
		return
	}
	defer c.Close()
	a.mu.Lock()
	from, position := a.kept, len(a.got)+1
	a.mu.Unlock()
	go func() {
		fmt.Fprintf(c, `{"from": %d, "follow": true}`+"\n", position)
		for i, text := range orders[from:] {
			if _, err := fmt.Fprintf(c, `{"send": {"to": "other", "text": %q, "seal": %t}, "id": "order-%d"}`+"\n", text, i%3 == 0, from+i); err != nil {
				return
			}
		}
	}()
	lines := bufio.NewScanner(c)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r Reply
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return // cut off by the kill
		}
		a.take(&r)
	}
}

func (a *application) take(r *Reply) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case r.Received != nil:
		if r.Received.Position != uint64(len(a.got)+1) {
			a.bad = append(a.bad, fmt.Sprintf("position %d after %d", r.Received.Position, len(a.got)))
			return
		}
		a.got = append(a.got, *r.Received.Text)
	case r.Receipt != nil:
		a.said++
	case r.Order > 0 && r.Refused == "":
		var i int
		if _, err := fmt.Sscanf(r.ID, "order-%d", &i); err != nil || i != a.kept {
			a.bad = append(a.bad, fmt.Sprintf("order %q is kept, want order-%d", r.ID, a.kept))
			return
		}
		a.kept++
	default:
		a.bad = append(a.bad, fmt.Sprintf("%+v", *r))
	}
}

// TestKilled: whenever the follower is killed, with messages in flight both ways,
// nothing that was acknowledged is lost, and nothing comes twice.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and kills a program")
	}
	program := buildProgram(t)
	m := newMaster(t)
	random := rand.New(rand.NewPCG(*killSeed, 0))
	other, _ := start(t, newFollower(t, m, "other"), quick())
	app := &application{dir: newFollower(t, m, "f")}
	until(t, "the other has associated", func() bool { return m.numbers("other") == 1 })
	var orders, answers []string
	for i := range 150 * *kills {
		orders = append(orders, fmt.Sprintf("%d %s", i, strings.Repeat("x", random.IntN(300))))
	}
	for killed := 0; ; killed++ {
		run := exec.Command(program, "run", "--state", app.dir)
		run.Stderr = t.Output()
		if err := run.Start(); err != nil {
			t.Fatal(err)
		}
		dead, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			for {
				app.talk(orders)
				select {
				case <-dead:
					return
				case <-time.After(5 * time.Millisecond): // the socket is not there yet
				}
			}
		}()
		kill := func() {
			run.Process.Kill()
			run.Wait()
			close(dead)
			<-ended
		}
		if killed == *kills {
			// The last one may live.
			until(t, "every order is kept and has come to the ledger", func() bool { return m.numbers("f") >= uint64(len(orders))+1 })
			until(t, "every answer has come", func() bool { app.mu.Lock(); defer app.mu.Unlock(); return len(app.got) >= len(answers) })
			until(t, "every message has come", func() bool { return len(received(t, other)) >= len(orders) })
			kill()
			break
		}
		until(t, "f has associated", func() bool { return m.numbers("f") >= 1 })
		for range random.IntN(40) {
			text := fmt.Sprintf("answer %d", len(answers))
			if _, err := other.Accept(Order{To: "f", Op: contract.OpSend, Content: []byte(text)}, nil); err != nil {
				t.Fatal(err)
			}
			answers = append(answers, text)
		}
		time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
		if killed%4 == 3 {
			m.forget()
			m.drop()
		}
		kill()
		t.Logf("killed: %d orders kept, %d on the ledger, %d messages taken", app.kept, m.numbers("f"), len(app.got))
	}
	if len(app.bad) > 0 {
		t.Errorf("the application was told what is wrong: %q", app.bad)
	}
	if !slices.Equal(app.got, answers) {
		t.Errorf("%d messages came, want %d, each once and in order", len(app.got), len(answers))
	}
	if got := received(t, other); !slices.Equal(got, orders) {
		t.Errorf("%d messages came to the other, want %d, each once and in order", len(got), len(orders))
	}
	if n := m.numbers("f"); n != uint64(len(orders))+1 {
		t.Errorf("the ledger has %d transactions, want %d", n, len(orders)+1)
	}
}
