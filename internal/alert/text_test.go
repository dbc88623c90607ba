package alert

import (
	"bytes"
	"net/netip"
	"testing"

	"bellwether/internal/zone"
)

func TestWrite(t *testing.T) {
	source := anAlert()
	source.Reason, source.Text = zone.ReasonSource, "it uses the source address 198.18.0.9, which it never had"
	held, fine := anAlert(), anAlert()
	held.Network, fine.Network = anOutside(), &zone.AlertNetwork{SHA256: zone.Hash{0xaa}, Evidence: zone.NetworkReport{Packets: 1, Inside: 1}}
	for _, c := range []struct {
		a    *zone.Alert
		want string
	}{
		{anAlert(), `alert-abcdef010203  camera (00:00:5e:00:53:01) stopped behaving like itself at 2017-04-07T22:24:37Z
  why    talks to 122 new hosts <on port 23>
  score  3.25, threshold 0.5: 31 of the last 60 snapshots lie above it, since 22:24:37.251
`},
		{source, `alert-abcdef010203  camera (00:00:5e:00:53:01) stopped behaving like itself at 2017-04-07T22:24:37Z
  why    it uses the source address 198.18.0.9, which it never had
`},
		{held, `alert-abcdef010203  camera (00:00:5e:00:53:01) stopped behaving like itself at 2017-04-07T22:24:37Z
  why    talks to 122 new hosts <on port 23>
  score  3.25, threshold 0.5: 31 of the last 60 snapshots lie above it, since 22:24:37.251
  policy 07a5c405: 50 of 60 packets lie outside, 4 cannot be checked
         TCP port 23: 8 hosts, 30 packets, first 198.51.100.7; ICMP: 1 host, 10 packets, first 198.51.100.8; to others 10 packets
`},
		{fine, `alert-abcdef010203  camera (00:00:5e:00:53:01) stopped behaving like itself at 2017-04-07T22:24:37Z
  why    talks to 122 new hosts <on port 23>
  score  3.25, threshold 0.5: 31 of the last 60 snapshots lie above it, since 22:24:37.251
  policy aa000000: 0 of 1 packet lie outside
`},
	} {
		var out bytes.Buffer
		if Write(&out, c.a, zone.AlertID(digest)); out.String() != c.want {
			t.Errorf("got\n%s\nwant\n%s", out.String(), c.want)
		}
	}
}

func anOutside() *zone.AlertNetwork {
	first := netip.MustParseAddr("198.51.100.7")
	return &zone.AlertNetwork{SHA256: zone.Hash{7, 0xa5, 0xc4, 5}, Evidence: zone.NetworkReport{Packets: 60, Inside: 6, Outside: 50, Unchecked: 4, More: 1,
		Named: []zone.Strange{{Proto: 6, Port: 23, Hosts: 8, Packets: 30, First: first}, {Proto: 1, Port: -1, Hosts: 1, Packets: 10, First: first.Next()},
			{Proto: 47, Port: -1, Hosts: 1, Packets: 9, First: first}}}}
}

func TestWriteFeatures(t *testing.T) {
	const want = `  feature                        observed   usually                   share of the error
  MI_dir_L5_weight                 1500.5   1 to 20                    62.5 %
  HpHp_L0.01_pcc                    -0.25   0 to 0                      6.2 %
`
	var out bytes.Buffer
	if WriteFeatures(&out, anAlert()); out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
