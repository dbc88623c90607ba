package mud

import (
	"fmt"
	"net/netip"
	"testing"

	"bellwether/internal/zone"
)

// scanned is the evidence of a scan: n packets to as many hosts.
func scanned(n int) []zone.Snapshot {
	rows := make([]zone.Snapshot, n)
	for i := range rows {
		rows[i] = zone.Snapshot{Src: netip.AddrFrom4([4]byte{192, 168, 1, 9}), Dst: netip.AddrFrom4([4]byte{172, byte(16 + i>>16), byte(i >> 8), byte(i)}),
			Proto: protoTCP, SrcPort: 40000, DstPort: 23, TCPFlags: tcpSYN}
	}
	return rows
}

// BenchmarkOfAlert holds the most evidence that an alert has (10,000 snapshots)
// against profiles.
func BenchmarkOfAlert(b *testing.B) {
	for _, by := range []string{"network", "name", "name below"} {
		for _, rules := range []int{20, MaxRules} {
			names := map[string][]netip.Addr{}
			p := &Profile{}
			for i := range rules {
				r := Rule{Proto: -1, ICMPType: -1, ICMPCode: -1}
				host := netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)})
				name := fmt.Sprintf("h%d.example", i)
				switch by {
				case "network":
					r.Peer.Net = netip.PrefixFrom(host, 32)
				case "name":
					r.Peer.Name, names[name] = name, make([]netip.Addr, 256)
				default:
					r.Peer.Name, names[name] = "*.x", make([]netip.Addr, 256)
				}
				p.From = append(p.From, r)
			}
			rows := scanned(10_000)
			b.Run(fmt.Sprintf("%s/%d", by, rules), func(b *testing.B) {
				for b.Loop() {
					if _, err := p.OfAlert(zone.Hash{}, names, rows); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
