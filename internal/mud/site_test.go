package mud

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"bellwether/internal/zone"
)

// TestSiteNames holds names and patterns against addresses that have several names.
func TestSiteNames(t *testing.T) {
	one, two, none := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("203.0.113.9")
	names := map[string][]netip.Addr{"a.example": {one}, "b.example": {one, two}, "example": {two}, "a.test": {one}, "xa.test": {two}, "gone.test": nil}
	for _, name := range []string{"a.example", "b.example", "example", "a.test", "gone.test", "unknown.test", "*.example", "*example", "*a.test", "*.test", "*", "*.none"} {
		p := Peer{Name: name}
		for _, a := range []netip.Addr{one, two, none} {
			has, some := false, false
			for n, addrs := range names {
				if p.isNamed(n) {
					some = true
					for _, b := range addrs {
						has = has || a == b
					}
				}
			}
			matches, known := p.named(a, &Site{Names: names})
			wantMatches, wantKnown := !some || has, some
			if strings.HasPrefix(name, "*") {
				wantMatches, wantKnown = true, has
			}
			if matches != wantMatches || known != wantKnown {
				t.Errorf("%s and %s: %v, %v, want %v, %v", name, a, matches, known, wantMatches, wantKnown)
			}
		}
	}
}

// TestManyPatterns: who checks a proof has the names and the rules from a stranger.
func TestManyPatterns(t *testing.T) {
	name := strings.Repeat("a", 250)
	var addrs []netip.Addr
	for i := range 20_000 {
		addrs = append(addrs, netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)}))
	}
	p := &Profile{}
	for i := range len(name) {
		p.From = append(p.From, Rule{Name: fmt.Sprint(i), Proto: -1, ICMPType: -1, ICMPCode: -1, Peer: Peer{Name: "*" + name[i:]}})
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := p.Report(func(yield func(*zone.Snapshot, error) bool) {
		yield(&zone.Snapshot{Proto: protoTCP, Dst: netip.MustParseAddr("198.51.100.7")}, nil)
	}, &Site{Names: map[string][]netip.Addr{name: addrs}})
	runtime.ReadMemStats(&after)
	if err != nil || r.Unchecked != 1 {
		t.Errorf("%v, %v", r, err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 50<<20 {
		t.Errorf("%d patterns and %d addresses took %d MiB", len(p.From), len(addrs), took>>20)
	}
}
