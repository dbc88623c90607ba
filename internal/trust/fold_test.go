package trust

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/zone"
)

var update = flag.Bool("update", false, "write testdata anew")

// TestTimeBackwards: a transaction that is stamped earlier counts, and makes
// nothing fade or come back.
func TestTimeBackwards(t *testing.T) {
	s, steady := newStory("smart-home"), newStory("smart-home")
	s.watched(1, day)
	steady.watched(1, day)
	newest := s.now
	for _, back := range []time.Duration{time.Nanosecond, day, time.Duration(newest)} {
		s.now = newest.Add(-back)
		s.tell(mac(0), &contract.DeviceRenamed{Name: "device 0"})
		checkSound(t, s.At(s.now, 0))
		if got, want := s.At(newest, 0), steady.At(newest, 0); got.Trust != want.Trust {
			t.Errorf("%s back: %g, want %g", back, got.Trust, want.Trust)
		}
		if s.At(0, 0).Trust != steady.At(newest, 0).Trust {
			t.Errorf("asked for the distant past it is %g", s.At(0, 0).Trust)
		}
	}
	if s.Newest() != newest {
		t.Errorf("newest is %s, want %s", s.Newest(), newest)
	}
	checkSound(t, s.At(math.MaxInt64, 0))
}

// random tells of a random life of many devices.
func random(seed uint64) *story {
	r := rand.New(rand.NewPCG(seed, 1))
	s := newStory("grid")
	for range 3000 {
		s.now += zone.Time(r.Int64N(int64(2*hour))) - zone.Time(hour/4)
		d := mac(r.IntN(30))
		switch r.IntN(20) {
		case 0:
			s.tell(d, malicious())
		case 1:
			s.tell(d, quiet())
		case 2:
			s.tell(d, &contract.ModelAccepted{})
		case 3:
			s.tell(d, &contract.DeviceSeen{Name: "seen"})
		case 4:
			s.tell(d, &contract.OperatorAction{Action: contract.ActionRelearn})
		default:
			n := r.Uint64N(1000)
			s.tell(d, &contract.SegmentRecorded{Rows: 1000, Normal: n, Malicious: r.Uint64N(1001 - n)})
		}
	}
	return s
}

func TestSound(t *testing.T) {
	for seed := range uint64(20) {
		s := random(seed)
		for _, later := range []time.Duration{-day, 0, hour, day, 100 * day} {
			checkSound(t, s.At(s.now.Add(later), 0))
		}
	}
}

// TestDeterministic: the same entries give the same bytes, whatever order a
// map has this time.
func TestDeterministic(t *testing.T) {
	var want []byte
	for run := range 50 {
		s := random(7)
		got, err := json.Marshal(s.At(s.now.Add(day), 0))
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("run %d gives\n%s\nbefore\n%s", run, got, want)
		}
	}
}

// TestGolden holds the fold's bits for other machines and other days.
func TestGolden(t *testing.T) {
	s := random(1)
	got, err := json.MarshalIndent(s.At(s.now.Add(36*hour), 0), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "zone.golden")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the fold changed; got\n%s", got)
	}
}
