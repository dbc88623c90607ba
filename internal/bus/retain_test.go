package bus

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bellwether/internal/journal"
	"bellwether/internal/message"
	"bellwether/internal/zone"
)

// smallStore opens a store with segments of 64 KiB.
func smallStore(tb testing.TB, dir string, keepMax int64, keep time.Duration) *payloads {
	tb.Helper()
	p, err := openPayloads(dir, keep, 0, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	p.full, p.keepMax = 64<<10, keepMax
	tb.Cleanup(func() { p.close() })
	return p
}

// shelf is what a test has put into a store.
type shelf struct {
	testing.TB
	p   *payloads
	all []stored
	at  uint64
}

// put stores payloads of that sender, each in a block of its own.
func (s *shelf) put(from zone.MemberID, sizes ...int) {
	s.Helper()
	var batch []stored
	for _, size := range sizes {
		n := len(s.all)
		one := stored{id: zone.HID{byte(n), byte(n >> 8), byte(n >> 16), 1}, from: from, payload: bytes.Repeat([]byte{byte(n)}, size)}
		batch, s.all = append(batch, one), append(s.all, one)
	}
	if err := s.p.add(s.at, zone.Time(s.at), batch); err != nil {
		s.Fatal(err)
	}
	for i := range sizes { // for check: the block, in the number's place
		s.all[len(s.all)-1-i].seq = zone.SeqID(s.at)
	}
	s.at++
}

// check looks for everything, and gives how much of each sender was lost, and how
// much of that was not too old: its oldest, each once.
func (s *shelf) check() (lost, early map[zone.MemberID]int) {
	s.Helper()
	lost, early = map[zone.MemberID]int{}, map[zone.MemberID]int{}
	has, keep := map[zone.MemberID]bool{}, int64(s.p.keep)
	for n, one := range s.all {
		got, err := s.p.find(one.id, uint64(one.seq))
		switch {
		case err != nil:
			s.Fatal(err)
		case got == nil && has[one.from]:
			s.Fatalf("payload %d of %s is gone, an older one is not", n, one.from)
		case got == nil:
			lost[one.from]++
			if keep < 0 || int64(s.at)-int64(one.seq) <= keep {
				early[one.from]++
			}
		case keep > 0 && int64(s.at)-int64(one.seq) > keep+keep/2:
			s.Fatalf("payload %d is %d old", n, int64(s.at)-int64(one.seq))
		case !bytes.Equal(got, one.payload):
			s.Fatalf("payload %d is another one", n)
		default:
			has[one.from] = true
		}
	}
	return lost, early
}

// sizes gives what each sender has, as it was counted, and as it lies on the disk,
// where SEQ-IDs must be those that were given.
func (s *shelf) sizes() (counted, there map[zone.MemberID]int64, files int) {
	s.Helper()
	counted, there = map[zone.MemberID]int64{}, map[zone.MemberID]int64{}
	for name, from := range s.p.senders {
		counted[name] = from.bytes
	}
	paths, err := filepath.Glob(filepath.Join(s.p.dir, segmentGlob))
	if err != nil {
		s.Fatal(err)
	}
	for _, path := range paths {
		for rec, err := range journal.Scan(path, payloadKind) {
			if err != nil {
				s.Fatal(err)
			}
			if rec.Number == 0 {
				continue
			}
			one, err := parseStored(rec.Payload)
			if err != nil || one.seq < 1 || int(one.seq) > len(s.all) || s.all[one.seq-1].id != one.id {
				s.Fatalf("%s: record %d has SEQ-ID %d: %v", path, rec.Number, one.seq, err)
			}
			there[one.from] += int64(len(rec.Payload) + journal.Overhead)
		}
	}
	return counted, there, len(paths)
}

// TestFairShare: whatever senders hand in, none loses a byte to another one that has
// more, each loses its oldest first, the store stays within its bounds, in few files,
// and comes back as it was.
func TestFairShare(t *testing.T) {
	const keepMax = 1 << 20
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng, keep := rand.New(rand.NewPCG(seed, 7)), time.Duration(-1)
			if seed%2 == 1 {
				keep = 500
			}
			s := &shelf{TB: t, p: smallStore(t, t.TempDir(), keepMax, keep)}
			dropped := int64(0)
			for round := range 1200 {
				from := zone.MemberID("quiet-" + string(rune('a'+rng.IntN(8))))
				sizes := []int{20 + rng.IntN(200)}
				if rng.IntN(3) > 0 {
					from = zone.MemberID("loud-" + string(rune('a'+rng.IntN(1+int(seed)))))
					for range rng.IntN(8) {
						sizes = append(sizes, rng.IntN(4000))
					}
				}
				s.put(from, sizes...)
				if s.p.bytes > keepMax {
					t.Fatalf("round %d: %d bytes are kept", round, s.p.bytes)
				}
				if round%300 == 299 {
					dropped += s.p.dropped
					s.p.close()
					s.p = smallStore(t, s.p.dir, keepMax, keep)
				}
			}
			lost, early := s.check()
			total := int64(0)
			for _, n := range lost {
				total += int64(n)
			}
			if dropped += s.p.dropped; dropped != total || total == 0 {
				t.Errorf("%d are gone, %d were counted", total, dropped)
			}
			counted, there, files := s.sizes()
			if !maps.Equal(counted, there) {
				t.Errorf("counted %v, there is %v", counted, there)
			}
			most := slices.Max(slices.Collect(maps.Values(counted)))
			for name, n := range early {
				if strings.HasPrefix(string(name), "quiet") {
					t.Errorf("%s lost %d, and has %d bytes; others have %d", name, n, counted[name], most)
				}
			}
			if len(early) == 0 {
				t.Error("nobody lost anything by size")
			}
			if bound := 2*keepMax/int(s.p.full) + 2*9 + 2; files > bound || files != len(s.p.segments) {
				t.Errorf("%d files, want at most %d", files, bound)
			}
			t.Logf("%d of %d are gone, %v early; %d files, %d bytes, %v", total, len(s.all), early, files, s.p.bytes, counted)
			if s.p.next != zone.SeqID(len(s.all)+1) {
				t.Errorf("the next SEQ-ID is %d", s.p.next)
			}
		})
	}
}

// TestLevel: senders with most lose, down to the same for each.
func TestLevel(t *testing.T) {
	for _, c := range []struct {
		free      int64
		has, want []int64
	}{
		{10, []int64{100, 50}, []int64{10, 0}},
		{60, []int64{100, 50}, []int64{55, 5}},
		{50, []int64{100, 50}, []int64{50, 0}},
		{30, []int64{40, 40, 40, 1}, []int64{10, 10, 10, 0}},
		{500, []int64{100, 50}, []int64{100, 50}},
		{0, []int64{100, 50}, []int64{0, 0}},
		{5, nil, nil},
	} {
		p := &payloads{senders: map[zone.MemberID]*sender{}}
		for i, n := range c.has {
			p.senders[zone.MemberID(rune('a'+i))] = &sender{name: zone.MemberID(rune('a' + i)), bytes: n, excess: 7}
		}
		p.overdraw(c.free)
		var got []int64
		for i := range c.has {
			got = append(got, p.senders[zone.MemberID(rune('a'+i))].excess)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%d of %v: %v, want %v", c.free, c.has, got, c.want)
		}
	}
}

// TestCutCrash: a crash at any point of writing segments anew leaves a store that
// has all that it should.
func TestCutCrash(t *testing.T) {
	dir := t.TempDir()
	s := &shelf{TB: t, p: smallStore(t, dir, 512<<10, -1)}
	files := func() map[string][]byte {
		all := map[string][]byte{}
		paths, _ := filepath.Glob(filepath.Join(dir, "*"))
		for _, path := range paths {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all[filepath.Base(path)] = raw
		}
		return all
	}
	cuts, merged := 0, 0
	for i := range 400 {
		s.put(zone.MemberID("quiet-"+string(rune('a'+i%5))), 100)
		s.put("loud", 3000)
		if s.p.bytes < s.p.keepMax-s.p.keepMax/roomParts && !s.p.making || i < 100 {
			continue
		}
		before := files()
		was := s.p.dropped
		s.put("loud", 10)
		after := files()
		if s.p.dropped == was {
			continue
		}
		cuts++
		for name, raw := range before {
			if _, there := after[name]; !there {
				merged++
				after[name] = raw // it was not removed yet
			}
		}
		again := t.TempDir()
		after[".new-payloads-00000001.log"] = []byte("bellw")
		for name, raw := range after {
			if err := os.WriteFile(filepath.Join(again, name), raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		other := &shelf{TB: t, p: smallStore(t, again, 512<<10, -1), all: s.all}
		want, _ := s.check()
		got, _ := other.check()
		counted, there, n := other.sizes()
		if !maps.Equal(want, got) || !maps.Equal(counted, there) || other.p.next != s.p.next || n != len(s.p.segments) {
			t.Fatalf("after the crash %v are lost, without it %v; %d files, %d segments; %v is counted, %v there", got, want, n, len(s.p.segments), counted, there)
		}
		if _, err := os.Stat(filepath.Join(again, ".new-payloads-00000001.log")); err == nil {
			t.Fatal("an unfinished file is still there")
		}
		other.p.close()
	}
	if cuts < 5 || merged == 0 {
		t.Errorf("%d cuts, %d segments merged away", cuts, merged)
	}
}

// TestDamagedSegment: what cannot be read any more keeps nobody from storing.
func TestDamagedSegment(t *testing.T) {
	dir := t.TempDir()
	s := &shelf{TB: t, p: smallStore(t, dir, 512<<10, -1)}
	s.put("quiet", 100)
	for range 60 {
		s.put("loud", 3000)
	}
	path := s.p.path(s.p.segments[1])
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		s.put("loud", 3000)
	}
	if lost, _ := s.check(); lost["quiet"] != 0 || lost["loud"] == 0 || int64(lost["loud"]) != s.p.dropped {
		t.Errorf("lost %v, dropped %d", lost, s.p.dropped)
	}
}

// TestFindWhileCut: whoever reads finds what stays, while segments are written anew.
func TestFindWhileCut(t *testing.T) {
	s := &shelf{TB: t, p: smallStore(t, t.TempDir(), 512<<10, -1)}
	for i := range 50 {
		s.put("quiet", 1000)
		if i%3 == 0 {
			s.put("loud", 3000)
		}
	}
	quiet := slices.DeleteFunc(slices.Clone(s.all), func(one stored) bool { return one.from != "quiet" })
	stop := make(chan bool)
	var readers sync.WaitGroup
	for i := range 3 {
		readers.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			for {
				select {
				case <-stop:
					return
				default:
				}
				one := quiet[rng.IntN(len(quiet))]
				if got, err := s.p.find(one.id, uint64(one.seq)); err != nil || !bytes.Equal(got, one.payload) {
					t.Errorf("block %d: %d bytes, %v", one.seq, len(got), err)
					return
				}
			}
		})
	}
	for range 600 {
		s.put("loud", 3000)
	}
	close(stop)
	readers.Wait()
	if s.p.dropped == 0 {
		t.Error("nothing was cut")
	}
}

// TestFloodedStore: a member that may send, and sends more than the store holds,
// takes nothing from what others have said, the shares of a backup's key among it.
func TestFloodedStore(t *testing.T) {
	p := newPlace(t, Options{KeepMax: 1, Rate: 1 << 30}) // two segments
	away, good, bad := p.peer("away"), p.peer("good"), p.peer("bad")
	for _, f := range []*peer{away, good, bad} {
		f.join(Grant{})
	}
	away.close()
	good.send("away", "first")
	want[*message.Receipt](good)
	if _, err := p.hub.Say(t.Context(), Say{To: "away", Content: []byte("a share of the key")}); err != nil {
		t.Fatal(err)
	}
	const n = 1200 // of 60 kB are more than four segments
	filling := strings.Repeat("x", 60_000)
	go func() {
		for range n {
			bad.send("master", filling)
		}
	}()
	for range n {
		want[*message.Receipt](bad)
	}
	p.restart()
	away.open()
	for _, text := range []string{"good: first", "master: a share of the key"} {
		if got := content(t, want[*message.Delivery](away)); got != text {
			t.Errorf("delivered %q, want %q", got, text)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(p.dir, "members", segmentGlob)); len(files) > 6 {
		t.Errorf("%d files", len(files))
	}
}

// BenchmarkCut: one step of making room, on a segment half of which has to go.
func BenchmarkCut(b *testing.B) {
	for _, size := range []int{256, 60_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			p, err := openPayloads(b.TempDir(), -1, 1<<40, slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			defer p.close()
			at, now := uint64(0), zone.Time(0)
			for b.Loop() {
				b.StopTimer()
				for ; len(p.segments) < 2; at++ {
					var batch []stored
					for i := range 1 + 1_000_000/(2*size) {
						for _, from := range []zone.MemberID{"a", "b"} {
							batch = append(batch, stored{id: zone.HID{byte(i), byte(i >> 8), byte(at), byte(at >> 8), from[0]}, from: from, payload: make([]byte, size)})
						}
					}
					if err := p.add(at, now, batch); err != nil {
						b.Fatal(err)
					}
				}
				p.senders["b"].excess = int64(p.segments[0].tally[p.senders["b"]].bytes)
				b.SetBytes(p.segments[0].bytes)
				b.StartTimer()
				if err := p.rewrite(0, 1); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := p.replace(0, len(p.segments)-1, nil); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

// TestClockSet: a clock that is set makes nothing old that came before.
func TestClockSet(t *testing.T) {
	const keep = 7 * 24 * time.Hour
	p := smallStore(t, t.TempDir(), 1<<20, keep)
	const n = 40
	put := func(i int, now zone.Time) {
		t.Helper()
		if err := p.add(uint64(i), now, []stored{{id: zone.HID{byte(i), 1}, from: "a", payload: make([]byte, 8000)}}); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (left int) {
		t.Helper()
		for i := range n {
			got, err := p.find(zone.HID{byte(i), 1}, uint64(i))
			if err != nil {
				t.Fatal(err)
			}
			if got != nil {
				left++
			}
		}
		return left
	}
	for i := range n {
		put(i, zone.Time(i)*zone.Time(time.Second))
	}
	put(n, clockSet)
	if left() != n {
		t.Errorf("%d of %d payloads are left when the clock is set", left(), n)
	}
	put(n+1, clockSet+zone.Time(keep))
	if left() != n {
		t.Errorf("%d of %d payloads are left after %s", left(), n, keep)
	}
	put(n+2, clockSet+zone.Time(3*keep))
	if left() != 0 {
		t.Errorf("%d payloads are left after %s", left(), 3*keep)
	}
}

// TestStoreBeforeReaders: whoever stores does not wait for all that want to read old
// segments.
func TestStoreBeforeReaders(t *testing.T) {
	const readers = 1000
	p := smallStore(t, t.TempDir(), 4<<20, -1)
	n := 0
	put := func() {
		if err := p.add(uint64(n), 0, []stored{{id: zone.HID{byte(n), byte(n >> 8), 1}, from: "a", payload: make([]byte, 16<<10)}}); err != nil {
			t.Error(err)
		}
		n++
	}
	for len(p.segments) < 8 {
		put()
	}
	old := n - 5 // the newest segment has fewer
	p.old.Lock()
	var read atomic.Int64
	var work sync.WaitGroup
	for i := range readers {
		work.Go(func() {
			k := i % old
			if got, err := p.find(zone.HID{byte(k), byte(k >> 8), 1}, uint64(k)); got == nil || err != nil {
				t.Errorf("payload %d: %d bytes, %v", k, len(got), err)
			}
			read.Add(1)
		})
	}
	time.Sleep(100 * time.Millisecond) // for the readers to come first
	before := make(chan int64)
	go func() {
		if _, err := p.begin(uint64(n), 0); err != nil {
			t.Error(err)
		}
		before <- read.Load()
	}()
	for waits := 0; waits < 50; time.Sleep(time.Millisecond) { // for that one to wait as well, which it does with the lock
		if waits++; p.mu.TryLock() {
			p.mu.Unlock()
			waits = 0
		}
	}
	p.old.Unlock()
	if got := <-before; got > readers/2 {
		t.Errorf("%d of %d readers came before who stores", got, readers)
	}
	work.Wait()
}
