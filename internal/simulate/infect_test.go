package simulate

import (
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"bellwether/internal/zone"
)

func TestInfect(t *testing.T) {
	until := testStart().Add(12 * time.Minute)
	clean := digest(NewHome(HomeOptions{Seed: 4, Start: testStart()}), until)
	h := NewHome(HomeOptions{Seed: 4, Start: testStart()})
	mac := h.Devices()[0].MAC
	begin := testStart().Add(8 * time.Minute)
	plan := []Attack{
		{Kind: MiraiScan, Start: begin, Duration: time.Minute},
		{Kind: MiraiUDP, Start: begin.Add(time.Minute), Duration: 10 * time.Second, Rate: 200},
	}
	if err := h.Infect(mac, plan); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	twin := NewHome(HomeOptions{Seed: 4, Start: testStart()})
	if err := twin.Infect(mac, plan); err != nil {
		t.Fatal(err)
	}
	last := testStart()
	for f := range h.Frames(until) {
		if f.Time < last {
			t.Fatal("not in the order of time")
		}
		last = f.Time
		counts[f.Attack]++
		if f.Attack != "" && (f.Device != mac || f.Time < begin) {
			t.Fatalf("%s by %v at %v", f.Attack, f.Device, f.Time)
		}
	}
	if counts[MiraiScan] < 60*160 || counts[MiraiUDP] < 1900 || len(counts) != 3 {
		t.Errorf("frames by attack: %v", counts)
	}
	if digest(twin, until) != clean {
		t.Error("the infection changed benign traffic")
	}
}

func TestInfectLate(t *testing.T) {
	h := NewHome(HomeOptions{Start: testStart()})
	last := testStart()
	for f := range h.Frames(testStart().Add(time.Minute)) {
		last = f.Time
	}
	late := []Attack{{Kind: MiraiSYN, Start: testStart().Add(30 * time.Second), Duration: time.Minute, Rate: 100}}
	infected := h.Devices()[2].MAC
	if err := h.Infect(infected, late); err != nil {
		t.Fatal(err)
	}
	n := 0
	for f := range h.Frames(testStart().Add(3 * time.Minute)) {
		if f.Time < last {
			t.Fatalf("%v comes after %v", f.Time, last)
		}
		last = f.Time
		if f.Attack != "" && zone.MAC(f.Data[6:12]) == infected {
			n++
		}
	}
	if n < 2800 || n > 3200 {
		t.Errorf("%d frames in the 30 s that are left at 100 a second", n)
	}
}

func TestInfectRefuses(t *testing.T) {
	h := NewHome(HomeOptions{Start: testStart()})
	good := Attack{Kind: MiraiScan, Start: testStart(), Duration: time.Second}
	if h.Infect(zone.MAC{1}, []Attack{good}) == nil {
		t.Error("a stranger was infected")
	}
	if h.Infect(h.Devices()[1].MAC, []Attack{good, {Kind: "nonsense", Duration: 1}}) == nil {
		t.Error("an unknown attack was planned")
	}
	for f := range h.Frames(testStart().Add(time.Minute)) {
		if f.Attack != "" {
			t.Fatal("a refused plan was carried out in part")
		}
	}
}

func TestInfectedDNSUsesTheGateway(t *testing.T) {
	h := NewHome(HomeOptions{Start: testStart()})
	if err := h.Infect(h.Devices()[1].MAC, []Attack{{Kind: MiraiDNS, Start: testStart().Add(time.Minute), Duration: time.Second}}); err != nil {
		t.Fatal(err)
	}
	_, want := h.Gateway()
	n := 0
	for f := range h.Frames(testStart().Add(2 * time.Minute)) {
		if f.Attack == MiraiDNS && zone.MAC(f.Data[6:12]) == f.Device {
			n++
			if got := netip.AddrFrom4([4]byte(f.Data[30:34])); got != want {
				t.Fatalf("asks %v, not %v", got, want)
			}
		}
	}
	if n < 100 {
		t.Errorf("%d queries", n)
	}
}

func TestMerge(t *testing.T) {
	sequence := func(device byte, times ...zone.Time) func(func(*Frame) bool) {
		return func(yield func(*Frame) bool) {
			for _, at := range times {
				if !yield(&Frame{Time: at, Device: zone.MAC{device}}) {
					return
				}
			}
		}
	}
	var got []zone.Time
	for f := range Merge(sequence(1, 10, 20, 20, 50), sequence(2, 5, 20, 30, 60, 70)) {
		got = append(got, f.Time*10+zone.Time(f.Device[0]))
	}
	want := []zone.Time{52, 101, 201, 201, 202, 302, 501, 602, 702}
	if !slices.Equal(got, want) {
		t.Errorf("merged to %v, want %v", got, want)
	}
	n := 0
	for range Merge(sequence(1, 10, 20), sequence(2, 5, 30)) {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("%d frames before the break", n)
	}
}

func TestRandomIsWhatItSays(t *testing.T) {
	r := newRandom(1, "test")
	const n = 200000
	var sum, squares, longest float64
	for range n {
		x := r.exponential(time.Second).Seconds()
		sum, squares, longest = sum+x, squares+x*x, math.Max(longest, x)
	}
	mean := sum / n
	if variance := squares/n - mean*mean; math.Abs(mean-1) > 0.02 || math.Abs(variance-1) > 0.05 || longest < 8 {
		t.Errorf("exponential: mean %.3f, variance %.3f, longest %.1f", mean, variance, longest)
	}
	low, high := 10, 0
	for range 1000 {
		v := r.between(3, 7)
		low, high = min(low, v), max(high, v)
		if d := r.about(time.Second, 0.25); d < 750*time.Millisecond || d > 1250*time.Millisecond {
			t.Fatalf("about a second: %v", d)
		}
		if d := r.span(time.Second, 2*time.Second); d < time.Second || d >= 2*time.Second {
			t.Fatalf("from 1 s to 2 s: %v", d)
		}
	}
	if low != 3 || high != 7 {
		t.Errorf("between 3 and 7: %d to %d", low, high)
	}
}
