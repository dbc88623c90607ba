package simulate

import (
	"encoding/binary"
	"slices"
	"time"

	"bellwether/internal/zone"
)

// The shapes in this file are those of two families that spread from peer to
// peer and have no floods. Their sources were not published; the analyses that
// wormKinds names say to which ports and by which kind of socket they scan, but
// no rate: the rates here are assumptions, and lower than Mirai's.

func wormKinds() []Kind {
	return slices.Concat(
		family("Edwards and Profetis, Hajime: Analysis of a decentralized internet worm for IoT devices, Rapidity Networks 2016; Herwig et al., Measurement and Analysis of Hajime, NDSS 2019", brief,
			Kind{Name: HajimeScan, About: "Telnet and TR-064 connections to random public addresses", Rate: 30, start: (*assault).hajimeScan}),
		family("Botezatu, New Hide 'N Seek IoT Botnet, Bitdefender Labs, January 2018; HNS Botnet Recent Activities, 360 Netlab, July 2018", brief,
			Kind{Name: HNSScan, About: "SYNs to random public addresses: Telnet, web and database ports", Rate: 60, start: (*assault).hnsScan}),
	)
}

// hajimeScan: ordinary sockets that connect to Telnet on its own port or on
// 5358, or to TR-064 on 7547, and give up after two SYNs.
func (a *assault) hajimeScan() habit {
	ports := []uint16{23, 23, 5358, 7547}
	return a.paced(func(now zone.Time) {
		t := a.connection(now, a.anywhere(), ports[a.r.below(len(ports))], a.r.span(30*time.Millisecond, 260*time.Millisecond))
		a.retry(&t, 0, time.Second)
	})
}

// hnsScan: SYNs from a raw socket, with the destination address as their
// sequence number as in Mirai's scanner, to Telnet, web servers, OrientDB and
// CouchDB.
func (a *assault) hnsScan() habit {
	ports := []uint16{23, 2323, 80, 8080, 2480, 5984}
	from, window := uint16(a.r.between(1024, 65535)), a.r.uint16()
	return a.paced(func(now zone.Time) {
		to := a.anywhere()
		ip := to.As4()
		f := a.single(protoTCP, to, ports[a.r.below(len(ports))])
		f.near.port, f.near.window, f.near.seq = from, window, binary.BigEndian.Uint32(ip[:])
		a.probe(now, f)
	})
}
