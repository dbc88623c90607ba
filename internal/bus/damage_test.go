package bus

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// flip changes one byte of a file.
func flip(t *testing.T, path string, at int) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[at] ^= 1 << (at % 8)
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

func segmentFiles(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, segmentGlob))
	if err != nil || len(paths) < 3 {
		t.Fatal(paths, err)
	}
	slices.Sort(paths)
	return paths
}

// TestDamagedPayload: a payload that cannot be read any more holds up nothing that is
// behind it, and is counted: wherever a byte changed, before the start or since.
func TestDamagedPayload(t *testing.T) {
	const n = 20
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 16 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			p := newPlace(t, Options{})
			p.hub.payloads.full = 1 << 10
			a, b := p.peer("a"), p.peer("b")
			a.join(Grant{})
			b.join(Grant{})
			b.close()
			for i := range n {
				a.send("b", fmt.Sprintf("message-%02d-%0100d", i, i))
				want[*message.Receipt](a)
			}
			a.close()
			paths := segmentFiles(t, filepath.Join(p.dir, "members"))
			path := paths[r.IntN(len(paths))]
			if round < 4 {
				path = paths[len(paths)-1] // the newest
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			at := r.IntN(int(info.Size()))
			if round%2 == 0 {
				p.stop()
				flip(t, path, at)
				p.start()
			} else {
				flip(t, path, at)
				f := &p.hub.frames
				f.mu.Lock()
				f.raw, f.order, f.bytes, f.blocks = nil, nil, 0, nil
				f.mu.Unlock()
			}
			a.open()
			a.send("b", "the last one")
			want[*message.Receipt](a)
			b.open()
			got, last := 0, ""
			for {
				d := want[*message.Delivery](b)
				b.say(&message.Ack{Position: d.Position})
				c := content(t, d)
				if c == "a: the last one" {
					break
				}
				if got++; c <= last {
					t.Errorf("%q after %q", c, last)
				}
				last = c
			}
			if expired := int(p.hub.Status().Expired); got < n-1 || got+expired != n {
				t.Errorf("byte %d of %s: %d of %d delivered, %d expired", at, path, got, n, expired)
			}
			if lines := strings.Count(p.log.String(), "contents of messages cannot be read"); lines > 2 {
				t.Errorf("said %d times", lines)
			}
		})
	}
}

// TestDamagedByte: whatever byte changes in a segment, no more than one payload is lost,
// what is stored behind that is found, and so it is after another start.
func TestDamagedByte(t *testing.T) {
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	open := func(dir string) *payloads {
		t.Helper()
		p, err := openPayloads(dir, -1, 1<<40, log)
		if err != nil {
			t.Fatal(err)
		}
		p.full = 220
		return p
	}
	payload := func(i int) stored {
		return stored{id: zone.HID{byte(i), 1}, from: "a", payload: bytes.Repeat([]byte{byte(i)}, 8)}
	}
	add := func(p *payloads, i int) {
		t.Helper()
		if err := p.add(uint64(i), zone.Time(time.Hour), []stored{payload(i)}); err != nil {
			t.Fatal(err)
		}
	}
	lost := func(p *payloads, n int) (lost int) {
		t.Helper()
		for i := range n {
			one := payload(i)
			got, err := p.find(one.id, uint64(i))
			if err != nil || got != nil && !bytes.Equal(got, one.payload) {
				t.Fatalf("payload %d: %x, %v", i, got, err)
			}
			if got == nil {
				lost++
			}
		}
		return lost
	}
	const n = 7
	p := open(dir)
	for i := range n {
		add(p, i)
	}
	if err := p.close(); err != nil {
		t.Fatal(err)
	}
	paths := segmentFiles(t, dir)
	whole := map[string][]byte{}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		whole[filepath.Base(path)] = raw
	}
	for _, path := range paths {
		name := filepath.Base(path)
		for at := range whole[name] {
			dir := t.TempDir()
			for name, raw := range whole {
				if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			flip(t, filepath.Join(dir, name), at)
			p := open(dir)
			if k := lost(p, n); k > 1 {
				t.Fatalf("byte %d of %s: %d payloads are lost", at, name, k)
			}
			for i := n; i < n+5; i++ {
				add(p, i)
			}
			before := lost(p, n+5)
			if err := p.close(); err != nil {
				t.Fatal(err)
			}
			p = open(dir)
			if k := lost(p, n+5); before > 1 || k != before || p.next < n+5 {
				t.Fatalf("byte %d of %s: %d payloads are lost, then %d; the next one is %d", at, name, before, k, p.next)
			}
			if err := p.close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestDamagedObject: an object that cannot be read any more is lost, alone, and its
// reader is answered; the hub goes on and opens.
func TestDamagedObject(t *testing.T) {
	p := newPlace(t, Options{})
	a := p.peer("a")
	a.join(Grant{})
	keep := func(name, text string, op contract.Op) {
		t.Helper()
		b, payload := a.message("a", text)
		b.Op, b.Object = op, name
		a.say(&message.Submit{Object: a.sign(b), Payload: payload})
		want[*message.Receipt](a)
	}
	look := func(name string) []byte {
		t.Helper()
		a.say(&message.Submit{Object: a.sign(&contract.Message{To: "a", Op: contract.OpRead, Object: name})})
		want[*message.Receipt](a)
		return want[*message.Object](a).Payload
	}
	names := []string{"one", "two", "three"}
	for _, name := range names {
		keep(name, strings.Repeat(name, 30), contract.OpCreate)
	}
	path := filepath.Join(p.dir, "members", objectFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flip(t, path, bytes.Index(raw, []byte("twotwo")))
	check := func(when string) {
		t.Helper()
		for _, name := range names {
			if got := look(name); (len(got) == 0) != (name == "two") {
				t.Errorf("%s: %s is %d bytes", when, name, len(got))
			}
		}
	}
	check("at once")
	check("again")
	p.stop()
	p.start()
	a.open()
	check("after a start")
	p.stop()
	p.start()
	a.open()
	check("after another one")
	keep("two", "new", contract.OpUpdate)
	if len(look("two")) == 0 {
		t.Error("the object cannot be written anew")
	}
	if n := strings.Count(p.log.String(), "data of members cannot be read"); n != 2 {
		t.Errorf("said %d times", n)
	}
}
