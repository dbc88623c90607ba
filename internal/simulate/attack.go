package simulate

import (
	"fmt"
	"iter"
	"math"
	"net/netip"
	"time"

	"bellwether/internal/zone"
)

// The kinds of attack.
const (
	MiraiScan     = "mirai-scan"
	MiraiSYN      = "mirai-syn"
	MiraiACK      = "mirai-ack"
	MiraiUDP      = "mirai-udp"
	MiraiUDPPlain = "mirai-udpplain"
	MiraiGREIP    = "mirai-greip"
	MiraiDNS      = "mirai-dns"
	MiraiVSE      = "mirai-vse"
	MiraiHTTP     = "mirai-http"

	BashliteScan  = "bashlite-scan"
	BashliteJunk  = "bashlite-junk"
	BashliteUDP   = "bashlite-udp"
	BashliteTCP   = "bashlite-tcp"
	BashliteCombo = "bashlite-combo"

	SlowScan      = "slow-scan"
	Beacon        = "beacon"
	Exfiltration  = "exfiltration"
	ARPScan       = "arp-scan"
	ARPSpoof      = "arp-spoof"
	SpoofedFlood  = "spoofed-flood"
	AddressMisuse = "address-misuse"
)

// Kind describes one kind of attack.
type Kind struct {
	Name  string
	About string  // one line
	Rate  float64 // strikes per second where an Overlay gives none
	start func(*assault) habit
}

// Kinds lists the attacks, by family.
func Kinds() []Kind {
	return []Kind{
		{MiraiScan, "Telnet SYNs to random public addresses, in bursts once a second", 160, (*assault).miraiScan},
		{MiraiSYN, "SYN flood of one victim, random ports", 1000, (*assault).miraiSYN},
		{MiraiACK, "ACK flood with 512 random bytes, random ports", 1000, (*assault).miraiACK},
		{MiraiUDP, "UDP flood with 512 random bytes, random ports", 1000, (*assault).miraiUDP},
		{MiraiUDPPlain, "UDP flood with 512 random bytes over one socket", 1500, (*assault).miraiUDPPlain},
		{MiraiGREIP, "GRE flood: UDP packets between random addresses in IP in GRE", 1000, (*assault).miraiGREIP},
		{MiraiDNS, "DNS water torture: look-ups of random names of one domain", 200, (*assault).miraiDNS},
		{MiraiVSE, "Valve source engine query flood on port 27015", 800, (*assault).miraiVSE},
		{MiraiHTTP, "HTTP GET flood over many connections", 30, (*assault).miraiHTTP},
		{BashliteScan, "Telnet connections to random public addresses", 20, (*assault).bashliteScan},
		{BashliteJunk, "TCP connections to one port, 1024 random bytes each", 40, (*assault).bashliteJunk},
		{BashliteUDP, "UDP flood of one port with random capital letters", 1000, (*assault).bashliteUDP},
		{BashliteTCP, "TCP flood of one port with all flags set", 1000, (*assault).bashliteTCP},
		{BashliteCombo, "junk to one port, and connections that are left open", 60, (*assault).bashliteCombo},
		{SlowScan, "one Telnet SYN a minute to a random public address", 1.0 / 60, (*assault).slowScan},
		{Beacon, "a look whether there are orders, once a minute", 1.0 / 60, (*assault).beacon},
		{Exfiltration, "one long upload over TLS to a server never seen before", 150, (*assault).exfiltration},
		{ARPScan, "ARP requests for every address of the local network", 50, (*assault).arpScan},
		{ARPSpoof, "ARP replies that claim the gateway's address", 1, (*assault).arpSpoof},
		{SpoofedFlood, "SYN flood from random source addresses", 1000, (*assault).spoofedFlood},
		{AddressMisuse, "another station sends with the device's IP address", 40, (*assault).addressMisuse},
	}
}

func findKind(name string) (Kind, error) {
	for _, k := range Kinds() {
		if k.Name == name {
			return k, nil
		}
	}
	return Kind{}, fmt.Errorf("there is no attack of the kind %q: take one of simulate.Kinds, such as %s", name, MiraiScan)
}

// Overlay is one attack by one device, to be merged into other traffic.
type Overlay struct {
	MAC        zone.MAC   // the device
	IP         netip.Addr // the device's IPv4 address
	GatewayMAC zone.MAC   // next hop to everything outside
	Kind       string     // one of Kinds
	Start      zone.Time
	// Duration is how long the device strikes. Answers and connections that
	// are under way may end some seconds later.
	Duration time.Duration
	Rate     float64 // strikes (packets, or connections where the attack makes these) per second; 0 is the kind's own
	// Target is the victim's IPv4 address; for mirai-dns the resolver, for the
	// ARP attacks the gateway's local address. The zero value is the kind's
	// own: a documentation address, Mirai's public resolvers, the first
	// address of the device's /24. Scans have no target.
	Target netip.Addr
	Seed   uint64
}

// Check says what is wrong with an overlay.
func (o Overlay) Check() error {
	_, err := findKind(o.Kind)
	switch {
	case err != nil:
		return err
	case !o.IP.Is4():
		return fmt.Errorf("attack %s: the device's address %v is not an IPv4 address", o.Kind, o.IP)
	case o.Target.IsValid() && !o.Target.Is4():
		return fmt.Errorf("attack %s: the target %v is not an IPv4 address", o.Kind, o.Target)
	case o.Duration <= 0:
		return fmt.Errorf("attack %s: its duration %v is not positive", o.Kind, o.Duration)
	case o.Start > math.MaxInt64-zone.Time(o.Duration)-zone.Time(24*time.Hour):
		return fmt.Errorf("attack %s: it would end after the year 2262", o.Kind)
	case !(o.Rate == 0 || o.Rate >= 1e-4 && o.Rate <= 1e6):
		return fmt.Errorf("attack %s: its rate %v per second is not 0 nor from 0.0001 to 1000000", o.Kind, o.Rate)
	}
	return nil
}

// Frames gives the attack's frames in the order of time: what the device sends,
// and plausible answers to some of it. It panics where Check returns an error.
// Every call starts anew.
func (o Overlay) Frames() iter.Seq[*Frame] {
	if err := o.Check(); err != nil {
		panic("simulate: " + err.Error())
	}
	return func(yield func(*Frame) bool) {
		e := newEngine(o.Start)
		o.begin(e)
		e.run(math.MaxInt64, yield)
	}
}

// begin puts the attack into an engine. The overlay has to pass Check.
func (o Overlay) begin(e *engine) {
	kind, err := findKind(o.Kind)
	if err != nil {
		panic("simulate: " + err.Error())
	}
	a := &assault{Overlay: o, e: e, r: newRandom(o.Seed, o.Kind+o.MAC.String()), end: o.Start.Add(o.Duration)}
	if a.Rate == 0 {
		a.Rate = kind.Rate
	}
	a.noise = noise(a.r.uint64() | 1)
	a.port = uint16(a.r.between(32768, 50000))
	e.wake(o.Start, kind.start(a))
}
