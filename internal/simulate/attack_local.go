package simulate

import (
	"net/netip"
	"time"

	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// localKinds are attacks that do not leave the device's own network, and the
// one that another station commits in its name.
func localKinds() []Kind {
	return family("RFC 826 and RFC 5227 say what an ARP packet means; no family's", brief,
		Kind{Name: ARPScan, About: "ARP requests for every address of the local network", Rate: 50, start: (*assault).arpScan},
		Kind{Name: ARPSpoof, About: "ARP replies that claim the gateway's address", Rate: 1, Lasts: time.Minute, start: (*assault).arpSpoof},
		Kind{Name: AddressMisuse, About: "another station sends with the device's IP address", Rate: 40, start: (*assault).addressMisuse},
	)
}

// local is the address on the device's network that an ARP attack is about.
func (a *assault) local() netip.Addr {
	if a.Target.IsValid() {
		return a.Target
	}
	ip := a.IP.As4()
	ip[3] = 1
	return netip.AddrFrom4(ip)
}

func (a *assault) arp(at zone.Time, to zone.MAC, body []byte) {
	f := a.e.once()
	f.device, f.attack, f.ether = a.MAC, a.Kind, packet.EtherTypeARP
	f.near.mac, f.far.mac = a.MAC, to
	a.e.packet(at, segment{flow: f, up: true, body: body, last: true})
}

// arpScan: requests for one address after the other, round and round. Those who
// are there answer only in the traffic that this one is laid over.
func (a *assault) arpScan() habit {
	ip := a.IP.As4()
	own := ip[3]
	ip[3] = 0
	return a.paced(func(now zone.Time) {
		ip[3] = ip[3]%254 + 1
		if ip[3] == own {
			ip[3] = ip[3]%254 + 1
		}
		a.arp(now, broadcast(), arpBody(arpRequest, a.MAC, a.IP, zone.MAC{}, netip.AddrFrom4(ip)))
	})
}

// arpSpoof: unasked replies to everybody that the gateway's address is at the
// device.
func (a *assault) arpSpoof() habit {
	claimed := a.local()
	return a.paced(func(now zone.Time) {
		a.arp(now, broadcast(), arpBody(arpReply, a.MAC, claimed, broadcast(), claimed))
	})
}

// addressMisuse: a station that is not the device sends small UDP packets to the
// victim from the device's IP address. Only the source MAC tells. The frames'
// Device is the one whose address is misused.
func (a *assault) addressMisuse() habit {
	intruder := documentationMAC(0xee)
	if intruder == a.MAC {
		intruder[5]++
	}
	from := a.ephemeral()
	return a.paced(func(now zone.Time) {
		f := a.single(protoUDP, a.victim(), 4444)
		f.near.mac, f.near.port = intruder, from
		answered := a.r.chance(0.5)
		a.e.packet(now, segment{flow: f, up: true, size: a.r.between(60, 400), last: !answered})
		if answered {
			a.e.packet(now.Add(a.r.span(20*time.Millisecond, 40*time.Millisecond)), segment{flow: f, size: a.r.between(40, 900), last: true})
		}
	})
}
