package bus

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// givesWay gives the request that loses its place: the oldest of the address that has
// most. There is at least one.
func givesWay(all []Request) Request {
	count := map[netip.Prefix]int{}
	for _, r := range all {
		count[r.network()]++
	}
	return slices.MinFunc(all, func(a, b Request) int {
		return cmp.Or(cmp.Compare(count[b.network()], count[a.network()]), a.compareAge(b))
	})
}

// How often requests to be admitted are noted, each of which is a write to the disk:
// askBurst at once, then one every askEvery. One address may use up an eighth of it.
const (
	askBurst  = 2 * maxRequests
	askEvery  = 500 * time.Millisecond
	askShare  = 8
	askWindow = askBurst * askEvery // after which everything may be used again
)

// maxAskers is how many addresses are remembered before those are forgotten that may
// use everything again. There are never as many others, by the bound of all together.
const maxAskers = 4 * askBurst

// asks are the requests that were noted lately.
type asks struct {
	all  time.Duration                  // moment up to which they have used what they may, together
	from map[netip.Prefix]time.Duration // and by address
}

// may reports whether an address may have another request noted, and counts it. Now
// counts from any moment, and never goes back.
func (a *asks) may(from netip.Prefix, now time.Duration) bool {
	now += askWindow // so that at first nothing is used
	if a.from == nil || len(a.from) >= maxAskers {
		kept := map[netip.Prefix]time.Duration{}
		for address, used := range a.from {
			if used > now-askWindow {
				kept[address] = used
			}
		}
		a.from = kept
	}
	all, each := max(a.all, now-askWindow)+askEvery, max(a.from[from], now-askWindow)+askShare*askEvery
	if all > now || each > now {
		return false
	}
	a.all, a.from[from] = all, each
	return true
}
