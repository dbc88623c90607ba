package simulate

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"bellwether/internal/zone"
)

// The shapes in this file are those of two families that spread from peer to
// peer and have no floods. Their sources were not published, and only reports of
// the analyses could be read. Those name ports, the networks that Hajime leaves
// out, and that Hide-and-Seek's scanner is Mirai's. Weights of ports, rates and,
// for Hajime, the kind of socket are not checked against a text: they are
// assumptions, and slower than Mirai. docs/attacks.md has the list.

func wormKinds() []Kind {
	return slices.Concat(
		family("ports and left-out networks as reported of Kaspersky Lab's analysis of April 2017; socket, repeats, weights and rate assumed, not checked against a text", brief,
			Kind{Name: HajimeScan, About: "Telnet and TR-064 connections to random public addresses", Rate: 30, start: (*assault).hajimeScan}),
		family("ports as reported of Bitdefender's and 360 Netlab's analyses of January and July 2018, Mirai's scanner as reported of Avast's; weights and rate assumed, not checked against a text", brief,
			Kind{Name: HNSScan, About: "SYNs to random public addresses: Telnet, web and database ports", Rate: 60, start: (*assault).hnsScan}),
	)
}

// hajimeScan: connections to Telnet, or to TR-064 on 7547 or 5555, outside the
// networks that Mirai leaves out too. Not checked against a text: that the
// sockets are ordinary ones and give up after two SYNs, and that Telnet is half
// of it.
func (a *assault) hajimeScan() habit {
	ports := []uint16{23, 23, 7547, 5555}
	return a.paced(func(now zone.Time) {
		to, port := netip.AddrFrom4(a.miraiTarget()), ports[a.r.below(len(ports))]
		rtt := a.knock(now, to, port, time.Second)
		if rtt > 0 && port == 23 {
			a.bashliteLogin(now, to, rtt)
		} else if rtt > 0 {
			t := a.connection(now, to, port, rtt)
			t.open()
			t.exchange(true, 700, 300, opaque, nil, nil)
			t.shut(false)
		}
	})
}

// hnsScan: SYNs as Mirai's scanner sends them, to Telnet, web servers, OrientDB
// and CouchDB. Not checked against a text: that all six ports are equally
// likely, and the even pace.
func (a *assault) hnsScan() habit {
	ports := []uint16{23, 2323, 80, 8080, 2480, 5984}
	from, window := uint16(a.r.between(1024, 65535)), a.r.uint16()
	return a.paced(func(now zone.Time) {
		ip := a.miraiTarget()
		f := a.single(protoTCP, netip.AddrFrom4(ip), ports[a.r.below(len(ports))])
		f.fragment = true
		f.near.port, f.near.window, f.near.seq = from, window, binary.BigEndian.Uint32(ip[:])
		a.probe(now, f)
	})
}
